"""Tables created, dropped, emptied and found as peewee does it, and SQL as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import peewee
import pytest

from peewee_async import AioDatabase, AioModel
from tests.integration.backends import Backend
from tests.integration.checks import both_kinds, only, statistics
from tests.integration.conftest import MakeDatabase, end_other_sessions
from tests.integration.watching import LONG, Long, cancel


class Oops(Exception):
    pass


class Shelf(AioModel):
    id: Any
    name: Any = peewee.CharField(unique=True)
    above: Any = peewee.ForeignKeyField("self", null=True, on_delete="SET NULL")


class Tome(AioModel):
    shelf: Any = peewee.ForeignKeyField(Shelf, on_delete="CASCADE", on_update="CASCADE")
    title: Any = peewee.CharField(max_length=80, column_name='order `by` "that\'s"')
    pages: Any = peewee.IntegerField(index=True, constraints=[peewee.SQL("DEFAULT 5")])

    class Meta:
        table_name = 'select "from" `where`'
        indexes = ((("shelf", "pages"), True),)


class Loan(peewee.Model):
    """No model of ours, and bound to no database."""

    tome: Any = peewee.ForeignKeyField(Tome)
    reader: Any = peewee.CharField(max_length=40)
    day: Any = peewee.DateField()

    class Meta:
        primary_key = peewee.CompositeKey("tome", "reader")


class Slow(peewee.SchemaManager):
    """Lasts for a minute once the table is there."""

    sql = ""

    def create_table(self, safe: bool = True, **options: Any) -> None:
        parent: Any = super()
        parent.create_table(safe, **options)
        database: Any = self.database
        database.execute_sql(self.sql)


class Monument(peewee.Model):
    name: Any = peewee.CharField(index=True)

    class Meta:
        schema_manager_class = Slow
        depends_on = [Shelf]  # noqa: RUF012


class Ruin(peewee.Model):
    monument: Any = peewee.ForeignKeyField(Monument)


MODELS: tuple[Any, ...] = (Shelf, Tome, Loan, Monument, Ruin)
NAMES = ["loan", 'select "from" `where`', "shelf"]

Catalogue = Callable[[], list[Any]]


@pytest.fixture(autouse=True)
def cleared(backend: Backend, sync: Any) -> Iterator[None]:
    """Drop in the end whatever a test has left."""
    yield
    if backend.name != "sqlite":
        end_other_sessions(backend, sync)
        with sync.bind_ctx(MODELS, False, False):
            sync.drop_tables(MODELS)


@pytest.fixture
def bound(database: AioDatabase) -> Iterator[AioDatabase]:
    """The database, with the models of this package bound to it."""
    with database.bind_ctx([Shelf, Tome], False, False):
        yield database


@pytest.fixture
def catalogue(sync: Any) -> Catalogue:
    """A function that gives all that the server knows of the tables."""

    def look() -> list[Any]:
        names = [name for name in sync.get_tables() if name in NAMES]
        questions = (
            sync.get_columns,
            sync.get_indexes,
            sync.get_primary_keys,
            sync.get_foreign_keys,
        )
        return [names, *([ask(name) for name in names] for ask in questions)]

    return look


def outcome(call: Callable[[], Any]) -> Any:
    """What a sync call gives: its value, or its error and the driver's."""
    try:
        return call()
    except Exception as error:
        return type(error), type(error.__context__)


async def aio_outcome(awaitable: Any) -> Any:
    try:
        return await awaitable
    except Exception as error:
        return type(error), type(error.__cause__)


# Methods of the model


@both_kinds
async def test_the_table_of_a_model(bound: AioDatabase, sync: Any) -> None:
    assert not await Shelf.aio_table_exists()
    await Shelf.aio_create_table(True)
    assert await Shelf.aio_table_exists()
    assert "shelf" in sync.get_tables()
    await Shelf.aio_create_table()
    await Shelf.aio_create(name="low")
    await Shelf.aio_create(name="high", above=1)
    await Shelf.aio_drop_table(safe=True)
    assert not await Shelf.aio_table_exists()
    assert "shelf" not in sync.get_tables()
    await Shelf.aio_drop_table()
    assert statistics(bound).busy == 0


async def test_a_table_is_emptied(bound: AioDatabase, backend: Backend) -> None:
    await Shelf.aio_create_table()
    for _ in range(2):
        await Shelf.aio_create(name="low")
        restart = {"restart_identity": True} if backend.name == "postgres" else {}
        await Shelf.aio_truncate_table(**restart)
        assert await Shelf.select().aio_count() == 0
    made = await Shelf.aio_create(name="low")
    if backend.name == "postgres":
        assert made.id == 1


class Scratch(AioModel):
    id: Any
    text: Any = peewee.CharField()

    class Meta:
        temporary = True


async def test_temporary_tables_belong_to_their_connection(
    database: AioDatabase,
) -> None:
    with database.bind_ctx([Scratch], False, False):
        async with database.aio_atomic():
            await Scratch.aio_create_table()
            await Scratch.aio_create(text="low")
            assert await Scratch.select().aio_count() == 1
            assert not await Scratch.aio_table_exists()  # as in peewee
            await database.aio_execute_sql("DROP TABLE scratch")
        with pytest.raises(peewee.DatabaseError):
            await Scratch.select().aio_count()


async def test_errors_are_those_of_peewee(bound: AioDatabase, sync: Any) -> None:
    def twice(model: Any) -> list[Any]:
        calls = [
            lambda: model.drop_table(safe=False),
            lambda: model.truncate_table(),
            lambda: model.create_table(safe=False),
            lambda: model.create_table(safe=False),
            lambda: model.create_table(True, no_such_option=1),
            lambda: model.drop_table(safe=False),
        ]
        return [outcome(call) for call in calls]

    with sync.bind_ctx([Shelf], False, False):
        expected = twice(Shelf)
    assert expected == [
        await aio_outcome(Shelf.aio_drop_table(safe=False)),
        await aio_outcome(Shelf.aio_truncate_table()),
        await aio_outcome(Shelf.aio_create_table(safe=False)),
        await aio_outcome(Shelf.aio_create_table(safe=False)),
        await aio_outcome(Shelf.aio_create_table(True, no_such_option=1)),
        await aio_outcome(Shelf.aio_drop_table(safe=False)),
    ]
    assert issubclass(expected[0][0], peewee.DatabaseError)
    assert expected[2] is None
    assert issubclass(expected[3][0], peewee.DatabaseError)
    assert statistics(bound).busy == 0


# Methods of the database


@both_kinds
async def test_many_tables_are_those_that_peewee_makes(
    database: AioDatabase, sync: Any, catalogue: Catalogue
) -> None:
    """The models are bound to nothing at all."""
    models = [Loan, Tome, Shelf]
    with sync.bind_ctx(models, False, False):
        sync.create_tables(models)
        expected = catalogue()
        sync.drop_tables(models)
    assert expected[0] == NAMES or sorted(expected[0]) == sorted(NAMES)
    await database.aio_create_tables(models)
    assert catalogue() == expected
    await database.aio_create_tables(models)
    assert catalogue() == expected
    for model in models:
        assert await database.aio_table_exists(model)
        assert vars(model)["_meta"].database is None
    await database.aio_drop_tables(models)
    assert catalogue()[0] == []
    await database.aio_drop_tables(models)


async def test_the_catalogue_is_peewees(
    database: AioDatabase, sync: Any, backend: Backend
) -> None:
    await database.aio_create_tables([Loan, Tome, Shelf])
    await database.aio_execute_sql("CREATE VIEW names AS SELECT name FROM shelf")
    try:
        assert await database.aio_get_tables() == sync.get_tables()
        assert await database.aio_get_views() == sync.get_views()
        for name in NAMES:
            assert await database.aio_table_exists(name)
            assert await database.aio_get_columns(name) == sync.get_columns(name)
            assert await database.aio_get_indexes(name) == sync.get_indexes(name)
            keys = await database.aio_get_primary_keys(name)
            assert keys == sync.get_primary_keys(name)
            related = await database.aio_get_foreign_keys(name)
            assert related == sync.get_foreign_keys(name)
        assert not await database.aio_table_exists("no % such table")
        schema = {"sqlite": "main", "postgres": "public"}.get(backend.name)
        assert await database.aio_table_exists("shelf", schema)
        assert await database.aio_get_tables(schema) == sync.get_tables(schema)
        if backend.name == "postgres":
            assert await database.aio_sequence_exists("shelf_id_seq")
            assert not await database.aio_sequence_exists("shelf")
        else:
            with pytest.raises(NotImplementedError):
                await database.aio_sequence_exists("shelf")
    finally:
        await database.aio_execute_sql("DROP VIEW names")


async def test_an_error_in_the_middle(bound: AioDatabase) -> None:
    """What was made before it stays, for it is no transaction."""
    await bound.aio_create_tables([Tome, Shelf])
    await bound.aio_drop_tables([Tome])
    with pytest.raises(peewee.DatabaseError):
        await bound.aio_create_tables([Loan, Tome, Shelf], safe=False)
    assert not await Tome.aio_table_exists()
    await bound.aio_drop_tables([Shelf])
    with pytest.raises(peewee.DatabaseError):
        await bound.aio_create_tables([Shelf, Tome], safe=True, no_such_option=1)
    assert not await Shelf.aio_table_exists()
    await Shelf.aio_create_table()
    with pytest.raises(peewee.DatabaseError):
        await bound.aio_drop_tables([Shelf, Tome], safe=False)
    assert await Shelf.aio_table_exists()
    assert statistics(bound).busy == 0


# Transactions


@only("postgres", "sqlite")
async def test_a_transaction_undoes_tables(bound: AioDatabase, sync: Any) -> None:
    with suppress(Oops):
        async with bound.aio_atomic():
            await bound.aio_create_tables([Tome, Shelf])
            await Shelf.aio_create(name="low")
            assert await Tome.aio_table_exists()
            raise Oops
    assert "shelf" not in sync.get_tables()
    async with bound.aio_atomic():
        await Shelf.aio_create_table()
        with suppress(peewee.DatabaseError):
            async with bound.aio_atomic():
                await Tome.aio_create_table()
                await Shelf.aio_create_table(safe=False)
        assert not await Tome.aio_table_exists()
        await Shelf.aio_create(name="low")
    assert "shelf" in sync.get_tables()
    with suppress(Oops):
        async with bound.aio_atomic():
            await Shelf.aio_truncate_table()
            await Shelf.aio_drop_table()
            raise Oops
    assert await Shelf.select().aio_count() == 1


@only("mysql")
async def test_mysql_commits_when_a_table_is_made(bound: AioDatabase) -> None:
    await Shelf.aio_create_table()
    with suppress(Oops):
        async with bound.aio_atomic():
            await Shelf.aio_create(name="low")
            await Tome.aio_create_table()
            raise Oops
    assert await Shelf.select().aio_count() == 1
    assert await Tome.aio_table_exists()
    async with bound.aio_atomic():
        await Shelf.aio_create(name="high")
    assert await Shelf.select().aio_count() == 2


async def test_the_block_of_a_task_sees_its_own_tables(bound: AioDatabase) -> None:
    async with bound.aio_atomic():
        await asyncio.gather(
            Shelf.aio_create_table(),
            bound.aio_create_tables([Shelf, Tome]),
            bound.aio_table_exists(Shelf),
            bound.aio_get_tables(),
        )
        assert await Tome.aio_table_exists()
    await Tome.aio_drop_table()


# Cancellation


@pytest.fixture
def long(
    backend: Backend,
    sync: Any,
    database: AioDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> Long:
    monkeypatch.setattr(Slow, "sql", LONG[backend.name])
    statement = Long(backend, sync)
    statement.watch(database)
    return statement


async def test_cancelled_in_the_middle(
    bound: AioDatabase, long: Long, sync: Any
) -> None:
    """What was made before it stays; nothing is made afterwards."""
    making = bound.aio_create_tables([Ruin, Monument, Shelf])
    task = asyncio.create_task(making)
    await long.until_running()
    await cancel(task)
    assert statistics(bound).busy == 0
    tables = await bound.aio_get_tables()
    assert "shelf" in tables
    assert "monument" in tables
    assert "ruin" not in tables
    assert await bound.aio_execute_sql("SELECT 7") == [(7,)]


@only("postgres", "sqlite")
async def test_cancelled_in_the_middle_of_a_transaction(
    bound: AioDatabase, long: Long, sync: Any
) -> None:
    async def make() -> None:
        async with bound.aio_atomic():
            await bound.aio_create_tables([Ruin, Monument, Shelf])

    task = asyncio.create_task(make())
    await long.until_running()
    await cancel(task)
    tables = await bound.aio_get_tables()
    assert not {"shelf", "monument", "ruin"} & set(tables)


# Names


def percent(name: str) -> Any:
    class Percent(peewee.Model):
        value: Any = peewee.IntegerField(column_name=name, index=True)

        class Meta:
            table_name = f"t_{name}"

    return Percent


@pytest.mark.parametrize("name", ["100%", "100%%", "%s", "%(a)s", "a%b"])
async def test_percent_signs_in_names(
    database: AioDatabase, sync: Any, name: str
) -> None:
    """Async and sync make the same table, or the same error."""
    model = percent(name)
    with sync.bind_ctx([model], False, False):
        expected = outcome(model.create_table)
        tables = sync.get_tables()
        # Peewee looks for the name as it is written, which MySQL does not have.
        outcome(lambda: model.drop_table(safe=False))
    with database.bind_ctx([model], False, False):
        ours = await aio_outcome(database.aio_create_tables([model]))
        assert await database.aio_get_tables() == tables
        await aio_outcome(database.aio_drop_tables([model], safe=False))
    if expected is None or ours is None:
        assert ours is expected
    else:
        assert ours[0] is expected[0]


class Office(AioModel):
    id: Any
    code: Any = peewee.CharField(unique=True)

    class Meta:
        schema = 'the "office"'


class Desk(AioModel):
    id: Any
    office: Any = peewee.ForeignKeyField(Office)

    class Meta:
        schema = 'the "office"'


@only("postgres")
async def test_another_schema(database: AioDatabase, sync: Any) -> None:
    name = 'the "office"'
    sync.execute_sql('CREATE SCHEMA "the ""office"""')
    try:
        with database.bind_ctx([Office, Desk], False, False):
            assert not await Office.aio_table_exists()
            for _ in range(2):
                await database.aio_create_tables([Desk, Office])
            assert await Office.aio_table_exists()
            assert await database.aio_table_exists(Office)
            assert await database.aio_table_exists("office", name)
            assert not await database.aio_table_exists("office")
            assert await database.aio_get_tables(name) == ["desk", "office"]
            columns = await database.aio_get_columns("office", name)
            assert [column.name for column in columns] == ["id", "code"]
            indexes = await database.aio_get_indexes("desk", name)
            assert indexes == sync.get_indexes("desk", name)
            await Desk.aio_create(office=await Office.aio_create(code="a"))
            with pytest.raises(peewee.NotSupportedError):
                await Office.aio_truncate_table()
            await Office.aio_truncate_table(cascade=True, restart_identity=True)
            assert (await Office.aio_create(code="a")).id == 1
            with pytest.raises(peewee.InternalError):
                await Office.aio_drop_table(restrict=True)
            await Office.aio_drop_table(cascade=True)
            assert await database.aio_get_tables(name) == ["desk"]
    finally:
        sync.execute_sql('DROP SCHEMA "the ""office""" CASCADE')


class Ticket(AioModel):
    number: Any = peewee.IntegerField(primary_key=True, sequence="ticket_number")


@only("postgres")
async def test_sequences(database: AioDatabase) -> None:
    with database.bind_ctx([Ticket], False, False):
        for _ in range(2):
            await Ticket.aio_create_table()
        assert await database.aio_sequence_exists("ticket_number")
        assert (await Ticket.aio_create()).number == 1
        await Ticket.aio_drop_table(drop_sequences=False)
        assert await database.aio_sequence_exists("ticket_number")
        await Ticket.aio_create_table()
        assert (await Ticket.aio_create()).number == 2
        await Ticket.aio_drop_table()
        assert not await database.aio_sequence_exists("ticket_number")
        await Ticket.aio_drop_table()


# SQL as it is


@both_kinds
async def test_sql_gives_rows_or_their_number(
    database: AioDatabase, backend: Backend
) -> None:
    p = "?" if backend.name == "sqlite" else "%s"
    execute = database.aio_execute_sql
    await execute("CREATE TABLE loan (a INTEGER, b VARCHAR(9))")
    insert = f"INSERT INTO loan VALUES ({p}, {p}), (2, {p})"
    assert await execute(insert, [1, "100%", None]) == 2
    assert await execute("UPDATE loan SET a = a + 1") == 2
    assert await execute("SELECT a, b FROM loan ORDER BY a") == [(2, "100%"), (3, None)]
    assert await execute(f"SELECT a FROM loan WHERE b = {p}", ("%",)) == []
    assert await execute("DELETE FROM loan WHERE a > 9") == 0
    async with database.aio_atomic():
        assert await execute("DELETE FROM loan") == 2


@only("postgres", "sqlite")
async def test_sql_that_writes_and_gives_rows(database: AioDatabase) -> None:
    await database.aio_execute_sql("CREATE TABLE loan (a INTEGER)")
    sql = "INSERT INTO loan VALUES (1), (2) RETURNING a + 1"
    assert await database.aio_execute_sql(sql) == [(2,), (3,)]


PERCENT: list[tuple[str, Any]] = [
    (sql, params)
    for sql in ("'100%'", "'100%%'", "'a%b'", "'%s'", "'%(a)s'", "'%'", "1")
    for params in (None, (), [], ["x"])
]


@pytest.mark.parametrize(("sql", "params"), PERCENT)
async def test_percent_signs_are_those_of_the_driver(
    database: AioDatabase, sync: Any, sql: str, params: Any
) -> None:
    """With parameters and without, as `execute_sql` has it on each backend."""
    text = f"SELECT {sql}"
    expected = outcome(lambda: sync.execute_sql(text, params).fetchall())
    ours = await aio_outcome(database.aio_execute_sql(text, params))
    if isinstance(expected, tuple) and expected and isinstance(expected[0], type):
        assert ours[0] is expected[0]
    else:
        assert ours == list(expected)


async def test_a_reader_of_the_programs_own(make_database: MakeDatabase) -> None:
    """By then the connection is free: it may use the only one again."""
    database = make_database(pooled=False, acquire_timeout=5)

    async def read(where: Any, cursor: Any) -> Any:
        assert where is database
        names = [column[0] for column in cursor.description]
        first = await cursor.fetchone()
        again = await where.aio_execute_sql("SELECT 7")
        return names, first, await cursor.fetchall(), again

    sql = "SELECT 1 AS a UNION ALL SELECT 2 UNION ALL SELECT 3 ORDER BY 1"
    found = await database.aio_execute_sql(sql, fetch_results=read)
    assert found == (["a"], (1,), [(2,), (3,)], [(7,)])

    async def fail(where: Any, cursor: Any) -> Any:
        raise Oops

    with pytest.raises(Oops):
        await database.aio_execute_sql(sql, fetch_results=fail)
    assert await database.aio_execute_sql("SELECT 7") == [(7,)]
