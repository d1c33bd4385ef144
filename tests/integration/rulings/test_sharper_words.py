"""The sharper words, which win over the rulings."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import peewee
import pytest
from peewee import fn
from playhouse.db_url import connect

import peewee_async
import peewee_asyncext
from peewee_async import AioDatabase, AioModel, Manager
from tests.integration.backends import Backend
from tests.integration.checks import dirty, only, statistics
from tests.integration.conftest import MakeDatabase
from tests.integration.models import PlainUser, User, people
from tests.integration.rulings.common import (
    SEVEN,
    Oops,
    add,
    blocks_open,
    connection_number,
    end_connection,
    is_full_at,
)
from tests.integration.rulings.conftest import Names, Served
from tests.integration.test_connecting import silent_server

servers_only = only("postgres", "mysql")

# Ruling 4: the keys of pool_params


@pytest.mark.parametrize("size", ["maxsize", "max_size"])
@pytest.mark.parametrize("least", ["minsize", "min_size"])
async def test_sharper_04_sizes(
    backend: Backend, path: Path, least: str, size: str
) -> None:
    params = {least: 1, size: 2}
    database: AioDatabase = backend.make(path, pooled=False, pool_params=params)
    assert await is_full_at(database, 2)
    await database.aio_close()


async def test_sharper_04_timeout(make_database: MakeDatabase) -> None:
    database = make_database(pooled=False, pool_params={"timeout": 0.1})
    await database.aio_connect()
    async with blocks_open(database, 1):
        with pytest.raises(peewee.OperationalError, match="acquire_timeout"):
            await database.aio_execute(SEVEN)


@servers_only
@pytest.mark.parametrize("key", ["pool_recycle", "max_lifetime"])
async def test_sharper_04_the_life_of_a_connection(
    make_database: MakeDatabase, backend: Backend, key: str
) -> None:
    for seconds, lives_on in ((3600, True), (0, False)):
        objects = Manager(make_database(pooled=False, pool_params={key: seconds}))
        first = await connection_number(objects, backend)
        second = await connection_number(objects, backend)
        assert (first == second) is lives_on


@servers_only
async def test_sharper_04_connection_timeout(make_database: MakeDatabase) -> None:
    params = {"connection_timeout": 0.1}
    async with silent_server() as port:
        database = make_database(host="127.0.0.1", port=port, pool_params=params)
        with pytest.raises(peewee.OperationalError, match="connect_timeout"):
            await database.aio_connect()


# Ruling 6


@pytest.mark.parametrize("kind", [peewee.Proxy, peewee.DatabaseProxy])
async def test_sharper_06_a_proxy_that_is_not_initialized(kind: Any) -> None:
    proxy = kind()

    class Late(AioModel):
        name: Any = peewee.CharField()

        class Meta:
            database = proxy

    objects = Manager(proxy)
    for call in (
        objects.connect,
        lambda: objects.get(Late),
        lambda: objects.create(Late, name="x"),
        lambda: objects.atomic().__aenter__(),
        lambda: Late.aio_create(name="x"),
        lambda: Late.aio_get_or_create(name="x"),
        lambda: Late.select().aio_execute(),
    ):
        with pytest.raises(peewee.InterfaceError, match="initialize"):
            await call()


# Rulings 7 and 8


def test_sharper_07_sqlite() -> None:
    for scheme, name in (
        ("sqlite+async", "SqliteDatabase"),
        ("sqlite+pool+async", "PooledSqliteDatabase"),
    ):
        assert type(connect(f"{scheme}:///:memory:")) is getattr(peewee_async, name)


@only("postgres")
def test_sharper_08_no_hstore_on_the_sync_side(backend: Backend, path: Path) -> None:
    name, options = backend.options(path)
    database: Any = peewee_asyncext.PostgresqlExtDatabase(name, **options)
    assert database.execute_sql("SELECT 7").fetchone() == (7,)
    database.close()


# Ruling 13


@pytest.mark.usefixtures("served")
async def test_sharper_13_keys_made_by_the_server(
    objects: Manager, backend: Backend
) -> None:
    made: Any = await objects.create(Served, label="a")
    with objects.allow_sync():
        wanted: Any = Served.create(label="b")
    assert type(made.id) is type(wanted.id)
    assert dirty(made) == dirty(wanted)
    if backend.name == "postgres":
        assert (await objects.get(Served, id=made.id)).label == "a"


# Ruling 16


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])
async def test_sharper_16_inside_a_transaction_as_outside(
    objects: Manager, inside: bool
) -> None:
    async def race() -> list[tuple[User, bool]]:
        calls = (objects.get_or_create(User, {"age": 1}, name="ada") for _ in range(20))
        return await asyncio.gather(*calls)

    if inside:
        async with objects.atomic():
            results = await race()
    else:
        results = await race()
    assert sorted(created for _, created in results) == [False] * 19 + [True]
    assert await objects.count(User) == 1


@servers_only
async def test_sharper_16_a_snapshot_that_hides_the_winner(
    objects: Manager, make_database: MakeDatabase, backend: Backend
) -> None:
    winner = Manager(make_database())
    async with objects.atomic():
        assert await objects.count(User) == 0
        await add(winner, "ada")
        if backend.name == "mysql":
            with pytest.raises(peewee.IntegrityError):
                await objects.get_or_create(User, name="ada")
        else:
            assert not (await objects.get_or_create(User, name="ada"))[1]
        await add(objects, "bob")
    assert await objects.count(User) == 2


# Ruling 18


async def test_sharper_18_the_id_of_an_ignored_insert(objects: Manager) -> None:
    await objects.create(User, id=70, name="ada")
    query = User.insert(name="ada").on_conflict_ignore()
    got = await objects.execute(query.clone())
    with objects.allow_sync():
        User.insert(id=71, name="bob").execute()
        wanted: Any = query.execute()
    if isinstance(objects.database, peewee.SqliteDatabase):
        assert (got, wanted) == (None, 71)  # as if 71 had been inserted
    else:
        assert got == wanted


# Ruling 20


async def test_sharper_20_an_aggregate_is_one_row(objects: Manager) -> None:
    await objects.execute(User.insert_many(people(3)))
    for aggregate in (fn.COUNT(User.id), fn.MAX(User.age), fn.SUM(User.age)):
        query = User.select(aggregate)
        assert await objects.count(query) == len(await objects.execute(query)) == 1
        assert await query.aio_count() == 1


# Ruling 22


def test_sharper_22_the_arguments_of_blocks(make_database: MakeDatabase) -> None:
    options: Any = dict.fromkeys(
        ("isolation_level", "read_only", "deferrable", "lock_type")
    )
    database = make_database()
    objects = Manager(database)
    blocks: list[Any] = [
        objects.atomic,
        objects.transaction,
        database.aio_atomic,
        database.aio_transaction,
    ]
    for block in blocks:
        block(**options)
        with pytest.raises(TypeError):
            block(isolation="SERIALIZABLE")
    assert list(inspect.signature(objects.savepoint).parameters) == ["sid"]


async def test_sharper_22_after_commit_is_on_database_and_block(
    objects: Manager, names: Names
) -> None:
    calls: list[Any] = []

    async def count() -> None:
        calls.append(await objects.count(User))

    async with objects.atomic() as tx:
        tx.after_commit(count)
        objects.database.after_commit(count)
        objects.database.after_commit(lambda: calls.append(names()))
        await add(objects, "ada")
        assert calls == []
    assert calls == [1, 1, {"ada"}]


async def test_sharper_22_inner_callbacks_wait_for_the_outermost_commit(
    objects: Manager,
) -> None:
    calls: list[str] = []
    async with objects.atomic():
        async with objects.atomic() as inner:
            inner.after_commit(lambda: calls.append("savepoint"))
            async with objects.transaction() as innermost:
                innermost.after_commit(lambda: calls.append("transaction"))
            objects.database.after_commit(lambda: calls.append("database"))
        assert calls == []
    assert sorted(calls) == ["database", "savepoint", "transaction"]


async def test_sharper_22_callbacks_are_dropped_with_a_rollback(
    objects: Manager,
) -> None:
    calls: list[str] = []

    def never() -> None:
        calls.append("never")

    with suppress(Oops):
        async with objects.atomic() as tx:
            tx.after_commit(never)
            async with objects.atomic() as inner:
                inner.after_commit(never)
            raise Oops
    async with objects.atomic() as tx:
        tx.after_commit(lambda: calls.append("kept"))
        with suppress(Oops):
            async with objects.atomic() as inner:
                inner.after_commit(never)
                objects.database.after_commit(never)
                raise Oops
    async with objects.atomic() as tx:
        tx.after_commit(never)
        await tx.rollback()
    assert calls == ["kept"]


# Ruling 24


@servers_only
async def test_sharper_24_the_error_of_the_user_comes_out(
    objects: Manager,
    names: Names,
    backend: Backend,
    sync: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(Oops):
        async with objects.atomic():
            await add(objects, "never")
            end_connection(backend, sync, await connection_number(objects, backend))
            with suppress(peewee.PeeweeException):
                await add(objects, "never")
            raise Oops
    assert "lost" in caplog.text
    assert names() == set()


@servers_only
async def test_sharper_24_the_loss_is_raised_without_an_error(
    objects: Manager, names: Names, backend: Backend, sync: Any
) -> None:
    with pytest.raises(peewee.OperationalError, match="lost"):
        async with objects.atomic():
            await add(objects, "never")
            end_connection(backend, sync, await connection_number(objects, backend))
            with suppress(peewee.PeeweeException):
                await add(objects, "never")
    assert names() == set()


# Ruling 25


async def test_sharper_25_aio_scalars_gives_a_list(objects: Manager) -> None:
    query: Any = User.select(User.age).order_by(User.age)
    assert await query.aio_scalars() == []
    await objects.execute(User.insert_many(people(3)))
    assert await query.aio_scalars() == [0, 1, 2]


# Ruling 27


async def test_sharper_27_aio_begin_and_commit(
    database: AioDatabase, objects: Manager, names: Names
) -> None:
    tx = await database.aio_begin()
    await add(objects, "one")
    async with objects.atomic():
        await add(objects, "two")
    assert names() == set()
    await tx.commit()
    assert names() == {"one", "two"}
    assert statistics(database).busy == 0
    await add(objects, "three")
    assert names() == {"one", "two", "three"}


async def test_sharper_27_aio_begin_and_rollback(
    database: AioDatabase, objects: Manager, names: Names
) -> None:
    tx = await database.aio_begin()
    await add(objects, "one")
    await tx.rollback()
    assert names() == set()
    assert statistics(database).busy == 0
    await add(objects, "two")
    assert names() == {"two"}


async def test_sharper_27_aio_savepoint_with_await(
    database: AioDatabase, objects: Manager, names: Names
) -> None:
    async with objects.atomic():
        await add(objects, "one")
        sp = await database.aio_savepoint()
        await add(objects, "two")
        await sp.rollback()
        sp = await database.aio_savepoint("mine")
        await add(objects, "three")
        await sp.commit()
        async with database.aio_savepoint():
            await add(objects, "four")
    assert names() == {"one", "three", "four"}


async def test_sharper_27_aio_begin_with_aio_savepoint(
    database: AioDatabase, objects: Manager, names: Names
) -> None:
    tx = await database.aio_begin()
    await add(objects, "one")
    sp = await database.aio_savepoint()
    await add(objects, "two")
    await sp.rollback()
    await tx.commit()
    assert names() == {"one"}


def user_sql(database: AioDatabase, sql: str) -> str:
    opening, closing = tuple(database.quote)
    return sql.format(user=f"{opening}user{closing}", p=database.param)


async def test_sharper_27_aio_execute_sql(
    database: AioDatabase, objects: Manager, names: Names
) -> None:
    insert = "INSERT INTO {user} (name, age) VALUES ({p}, {p})"
    assert await database.aio_execute_sql(user_sql(database, insert), ("ada", 36)) == 1
    assert names() == {"ada"}
    select = user_sql(database, "SELECT name, age FROM {user} WHERE age > {p}")
    rows = await database.aio_execute_sql(select, (1,))
    assert [tuple(row) for row in rows] == [("ada", 36)]
    assert list(await database.aio_execute_sql(select, (99,))) == []
    update = user_sql(database, "UPDATE {user} SET age = age + 1")
    assert await database.aio_execute_sql(update) == 1


async def test_sharper_27_aio_execute_sql_takes_part_in_blocks(
    database: AioDatabase, objects: Manager, names: Names
) -> None:
    insert = user_sql(database, "INSERT INTO {user} (name, age) VALUES ({p}, 1)")
    with suppress(Oops):
        async with objects.atomic():
            await database.aio_execute_sql(insert, ("ada",))
            assert await objects.count(User) == 1
            raise Oops
    assert names() == set()
    with pytest.raises(peewee.PeeweeException):
        await database.aio_execute_sql("SELECT FROM WHERE")


async def test_sharper_27_fetch_results(
    database: AioDatabase, objects: Manager
) -> None:
    await add(objects, "ada", "bob")
    given: list[Any] = []

    async def fetch_results(database: Any, cursor: Any) -> list[str]:
        given.append(database)
        return [name for (name,) in await cursor.fetchall()]

    select = user_sql(database, "SELECT name FROM {user} ORDER BY name")
    found = await database.aio_execute_sql(select, (), fetch_results)
    assert found == ["ada", "bob"]
    again = await database.aio_execute_sql(select, fetch_results=fetch_results)
    assert again == found
    assert given == [database, database]


# Ruling 27: where a ruling differs from an older generation, the ruling stands


async def test_sharper_27_a_nested_transaction_is_no_new_one(
    objects: Manager, names: Names
) -> None:
    database = objects.database
    with pytest.raises(peewee.PeeweeException, match="cannot be committed"):
        async with database.aio_transaction():
            with suppress(Oops):
                async with database.aio_transaction():
                    await User.aio_create(name="ada")
                    raise Oops
    assert names() == set()


async def test_sharper_27_a_query_after_close(objects: Manager) -> None:
    database = objects.database
    await database.aio_connect()
    await database.aio_close()
    assert await User.select().aio_count() == 0
    assert database.is_connected


# Logging


async def test_sharper_logging(
    objects: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "peewee.async"):
        async with objects.atomic():
            await objects.get_or_none(User, name="ada")
    records = [record for record in caplog.records if record.name == "peewee.async"]
    assert {record.levelno for record in records} == {logging.DEBUG}
    begin, query, commit = (record.msg for record in records)
    assert begin[0].startswith("BEGIN")
    assert query[0].startswith("SELECT ")
    assert query[1][0] == "ada"
    assert commit[0] == "COMMIT"


# SQLite


async def on_each_connection(database: AioDatabase, query: Any) -> list[Any]:
    """Run a query on three connections at once."""
    all_there = asyncio.Barrier(3)

    async def run() -> Any:
        async with database.aio_atomic(lock_type="DEFERRED"):
            await all_there.wait()
            return list(await database.aio_execute(query.tuples()))

    return await asyncio.gather(*(run() for _ in range(3)))


class Longest:
    def __init__(self) -> None:
        self.found = ""

    def step(self, value: str) -> None:
        self.found = max(self.found, value, key=len)

    def finalize(self) -> str:
        return self.found


def backwards(one: str, two: str) -> int:
    return (one < two) - (one > two)


@only("sqlite")
async def test_sharper_sqlite_holds_on_every_connection(
    make_database: MakeDatabase, objects: Manager, tmp_path: Path
) -> None:
    await add(objects, "a", "bbb", "cc")
    await objects.close()
    database: Any = make_database(pragmas={"cache_size": -77})
    database.register_function(lambda value: 2 * value, "twice")
    database.register_aggregate(Longest, "longest")
    database.register_collation(backwards, "backwards")
    database.attach(str(tmp_path / "more.db"), "more")
    for sql, value in {
        "PRAGMA cache_size": -77,
        "SELECT twice(21)": 42,
        'SELECT longest(name) FROM "user"': "bbb",
        'SELECT name FROM "user" ORDER BY name COLLATE backwards LIMIT 1': "cc",
        "SELECT COUNT(*) FROM more.sqlite_master": 0,
    }.items():
        assert await on_each_connection(database, User.raw(sql)) == [[(value,)]] * 3


@only("sqlite")
async def test_sharper_sqlite_extensions_are_loaded(
    make_database: MakeDatabase,
) -> None:
    database: Any = make_database()
    database.load_extension("there_is_no_such_extension")
    with pytest.raises(peewee.OperationalError, match="extension"):
        await database.aio_connect()


# Users' models


async def test_sharper_a_model_is_never_bound(objects: Manager) -> None:
    """A table that is made later is made where the model says by then."""

    class Later(peewee.Model):
        name: Any = peewee.CharField()

        class Meta:
            table_name = "user"

    await add(objects, "ada")
    query = Later.select(Later.name)
    assert (await objects.get(query)).name == "ada"
    assert Later._meta.database is None
    memory = peewee.SqliteDatabase(":memory:")
    Later._meta.database = memory
    Later.create_table()
    Later.create(name="bob")
    assert [row.name for row in Later.select()] == ["bob"]
    assert memory.table_exists("user")
    memory.close()
    assert (await objects.get(query)).name == "ada"


async def test_sharper_another_database_takes_effect_at_once(
    objects: Manager, make_database: MakeDatabase
) -> None:
    await add(objects, "ada")
    one, two = make_database(), make_database()

    class Bound(AioModel):
        name: Any = peewee.CharField()

        class Meta:
            database = one
            table_name = "user"

    assert await Bound.select(Bound.name).aio_count() == 1
    assert not two.is_connected
    await one.aio_close()
    Bound._meta.database = two
    assert (await Bound.aio_get(name="ada")).name == "ada"
    assert two.is_connected
    assert not one.is_connected
    assert await objects.count(PlainUser) == 1
