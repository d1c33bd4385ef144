"""Each class, method and argument of the API reference, by its name.

Arguments are given by name and by position, as the signatures there have them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peewee
import pytest
from peewee import fn
from playhouse.postgres_ext import BinaryJSONField, HStoreField

import peewee_async
import peewee_asyncext
from peewee_async import AioDatabase, AioModel, Manager
from tests.integration.backends import Backend
from tests.integration.checks import both_kinds, only, seen, statistics
from tests.integration.conftest import CreateTables
from tests.integration.models import Comment, Post, Slot, User, people

SESSION = {
    "postgres": "SELECT pg_backend_pid()",
    "mysql": "SELECT CONNECTION_ID()",
}


class Oops(Exception):
    pass


async def names(objects: Manager) -> list[str]:
    query = User.select(User.name).order_by(User.id).tuples()
    return [name for (name,) in await objects.execute(query)]


# Manager


async def test_manager(database: AioDatabase, objects: Manager) -> None:
    for made in (Manager(database), Manager(database=database)):
        assert made.database is database
        assert not made.is_connected
    with pytest.raises(AssertionError, match="needs a database"):
        Manager()
    await Manager(database).create(User, name="ada")
    assert await names(objects) == ["ada"]


async def test_manager_loop(database: AioDatabase, objects: Manager) -> None:
    """It is no argument of the signature, but of the first example."""
    await Manager(database, loop=asyncio.get_running_loop()).create(User, name="ada")
    assert await names(objects) == ["ada"]


async def test_manager_database(database: AioDatabase, objects: Manager) -> None:
    assert Manager.database is None

    class Mine(Manager):
        database: Any = objects.database

    assert Mine().database is database
    await Mine().create(User, name="ada")
    assert await names(objects) == ["ada"]


@both_kinds
async def test_manager_allow_sync(objects: Manager) -> None:
    with pytest.raises(AssertionError):
        User.create(name="refused")
    with objects.allow_sync():
        User.create(name="ada")
        assert not objects.database.is_closed()
    assert objects.database.is_closed()
    with pytest.raises(AssertionError):
        User.create(name="refused")
    assert await names(objects) == ["ada"]


@both_kinds
async def test_manager_get(objects: Manager) -> None:
    ada = await objects.create(User, name="ada", age=36)
    await objects.create(User, name="bob", age=40)
    found = [
        await objects.get(User, id=ada.id),
        await objects.get(User, User.id == ada.id),
        await objects.get(User.select().where(User.id == ada.id)),
        await objects.get(User, User.age > 30, User.age < 40, name="ada"),
        await objects.get(User.select().order_by(User.age), name__in=["ada", "bob"]),
    ]
    assert [seen(each) for each in found] == [seen(found[0])] * 5
    assert (type(found[0]), found[0].name, found[0].age) == (User, "ada", 36)
    with pytest.raises(User.DoesNotExist):
        await objects.get(User, name="eve")


@both_kinds
async def test_manager_create(objects: Manager) -> None:
    ada = await objects.create(User, name="ada", age=36)
    assert (type(ada), ada.name, ada.age, ada.email) == (User, "ada", 36, None)
    found = await objects.get(User)
    assert (found.id, found.name, found.age) == (ada.id, "ada", 36)
    assert (await objects.create(User, name="bob")).id == ada.id + 1


async def test_manager_names_of_first_arguments_may_be_fields(
    objects: Manager, tables: CreateTables
) -> None:
    class Odd(peewee.Model):
        id: Any
        source_: Any = peewee.CharField(unique=True)
        model_: Any = peewee.CharField()

    tables(Odd)
    values: dict[str, Any] = {"source_": "s", "model_": "m"}
    odd = await objects.create(Odd, **values)
    assert await objects.get(Odd, **values) == odd
    assert await objects.get_or_create(Odd, **values) == (odd, False)
    assert await objects.create_or_get(Odd, **values) == (odd, False)


@both_kinds
async def test_manager_update(objects: Manager) -> None:
    ada = await objects.create(User, name="ada", age=36)

    async def stored() -> tuple[str, int, str | None]:
        found = await objects.get(User, id=ada.id)
        return found.name, found.age, found.email

    ada.name, ada.age, ada.email = "a", 1, "a@b"
    assert await objects.update(ada, ["age"]) == 1
    assert await stored() == ("ada", 1, None)
    assert await objects.update(ada, only=(User.email,)) == 1
    assert await stored() == ("ada", 1, "a@b")
    assert await objects.update(obj=ada, only=None) == 1
    assert await stored() == ("a", 1, "a@b")


@both_kinds
async def test_manager_delete(objects: Manager) -> None:
    ada, bob = [await objects.create(User, name=name) for name in ("ada", "bob")]
    kept = await objects.create(Post, author=ada, reviewer=bob, title="kept")
    await objects.create(Post, author=bob, title="goes with its author")
    with pytest.raises(peewee.IntegrityError):
        await objects.delete(bob)
    assert await objects.delete(bob, True, False) == 1
    (post,) = await objects.execute(Post.select())
    assert (post.id, post.reviewer_id) == (kept.id, None)
    eve = await objects.create(User, name="eve")
    kept.reviewer = eve
    await objects.update(kept)
    assert await objects.delete(obj=eve, recursive=True, delete_nullable=True) == 1
    assert await objects.count(Post) == 0
    assert await objects.delete(ada, recursive=False) == 1
    assert await objects.delete(ada) == 0
    assert await names(objects) == []


@both_kinds
async def test_manager_get_or_create(objects: Manager) -> None:
    ada, created = await objects.get_or_create(User, {"age": 36}, name="ada")
    assert (ada.name, ada.age, created) == ("ada", 36, True)
    again, created = await objects.get_or_create(
        User, defaults={"age": 1, "email": "a@b"}, name="ada"
    )
    assert (again.id, again.age, again.email, created) == (ada.id, 36, None, False)
    bob, created = await objects.get_or_create(User, None, name="bob", age=2)
    assert (bob.name, bob.age, created) == ("bob", 2, True)
    assert await names(objects) == ["ada", "bob"]


@both_kinds
async def test_manager_create_or_get(objects: Manager, tables: CreateTables) -> None:
    tables(Slot)
    one, created = await objects.create_or_get(Slot, name="one", room=1, hour=2)
    assert (one.name, one.room, created) == ("one", 1, True)
    same, created = await objects.create_or_get(Slot, name="one", room=5, hour=5)
    assert (same.id, same.room, created) == (one.id, 1, False)
    same, created = await objects.create_or_get(Slot, room=1, hour=2, seats=9)
    assert (same.id, same.seats, created) == (one.id, 1, False)
    assert await objects.count(Slot) == 1


@both_kinds
async def test_manager_execute(objects: Manager) -> None:
    key = await objects.execute(User.insert(name="ada", age=1))
    assert (await objects.get(User, name="ada")).id == key
    assert await objects.execute(query=User.update(age=User.age + 1)) == 1
    rows = await objects.execute(User.select())
    assert [(type(row), row.name, row.age) for row in rows] == [(User, "ada", 2)]
    assert (len(rows), rows[0].id) == (1, key)
    assert await objects.execute(User.delete()) == 1
    assert await objects.execute(User.select()) == []


async def test_manager_prefetch(objects: Manager) -> None:
    for name in ("ada", "bob"):
        user = await objects.create(User, name=name)
        for number in range(2):
            post = await objects.create(
                Post, author=user, reviewer=user, title=f"{name} {number}"
            )
            await objects.create(Comment, post=post, text=f"on {post.title}")
    users = User.select().order_by(User.id)
    posts = Post.select().order_by(Post.id)
    with objects.allow_sync():
        by_join = seen(list(peewee.prefetch(users, posts, Comment, prefetch_type=2)))
        by_where = seen(list(peewee.prefetch(users, posts, Comment, prefetch_type=1)))
    assert seen(await objects.prefetch(users, posts, Comment)) == by_join
    for kind, wanted in ((2, by_join), (1, by_where)):
        got = await objects.prefetch(users, posts, Comment, prefetch_type=kind)
        assert seen(got) == wanted
        titles = [[post.title for post in user.posts] for user in got]
        assert titles == [["ada 0", "ada 1"], ["bob 0", "bob 1"]]
        assert got[1].posts[0].comments[0].text == "on bob 0"
    alone = await objects.prefetch(query=users)
    assert [user.name for user in alone] == ["ada", "bob"]


async def test_manager_count(objects: Manager) -> None:
    assert await objects.count(User.select()) == 0
    await objects.execute(User.insert_many(people(5)))
    query = User.select().where(User.age > 0).limit(2).offset(1)
    assert await objects.count(query) == 2
    assert await objects.count(query, False) == 2
    assert await objects.count(query, True) == 4
    assert await objects.count(query=query, clear_limit=True) == 4
    assert len(await objects.execute(query)) == 2


async def test_manager_scalar(objects: Manager) -> None:
    query = User.select(fn.MAX(User.age), fn.COUNT(User.id))
    assert await objects.scalar(query) is None
    await objects.execute(User.insert_many(people(5)))
    assert await objects.scalar(query) == 4
    assert await objects.scalar(query, False) == 4
    assert await objects.scalar(query, True) == (4, 5)
    assert await objects.scalar(query=query, as_tuple=True) == (4, 5)
    with objects.allow_sync():
        assert query.scalar() == 4
        assert query.scalar(as_tuple=True) == (4, 5)


@both_kinds
async def test_manager_connect(objects: Manager) -> None:
    await objects.connect()
    await objects.connect()
    assert objects.is_connected
    assert statistics(objects.database).size == 1
    assert await names(objects) == []


@both_kinds
async def test_manager_close(objects: Manager) -> None:
    await objects.close()
    await objects.create(User, name="ada")
    assert objects.is_connected
    await objects.close()
    await objects.close()
    assert not objects.is_connected
    assert await names(objects) == ["ada"]


@both_kinds
async def test_manager_atomic(objects: Manager) -> None:
    async with objects.atomic():
        await objects.create(User, name="ada")
        with pytest.raises(Oops):
            async with objects.atomic():
                await objects.create(User, name="undone")
                raise Oops
    with pytest.raises(Oops):
        async with objects.atomic():
            await objects.create(User, name="undone")
            raise Oops
    assert await names(objects) == ["ada"]


@both_kinds
async def test_manager_transaction(objects: Manager) -> None:
    async with objects.transaction() as block:
        await objects.create(User, name="ada")
        await block.commit()
        await objects.create(User, name="undone")
        await block.rollback()
        async with objects.transaction():
            await objects.create(User, name="bob")
    with pytest.raises(Oops):
        async with objects.transaction():
            await objects.create(User, name="undone")
            raise Oops
    assert await names(objects) == ["ada", "bob"]


@both_kinds
async def test_manager_savepoint(objects: Manager) -> None:
    async with objects.transaction():
        for block in (
            objects.savepoint(),
            objects.savepoint(None),
            objects.savepoint("mine"),
            objects.savepoint(sid='my "own" `name`'),
        ):
            async with block as open_block:
                await objects.create(User, name="undone")
                await open_block.rollback()
            with pytest.raises(Oops):
                async with block:
                    await objects.create(User, name="undone")
                    raise Oops
        async with objects.savepoint(sid="kept"):
            await objects.create(User, name="ada")
    with pytest.raises(RuntimeError, match="needs a transaction"):
        await objects.savepoint().__aenter__()
    assert await names(objects) == ["ada"]


# Databases


def test_signatures_of_databases() -> None:
    """The name comes first; as an argument too it is called `database`."""
    for kind in (
        peewee_async.PostgresqlDatabase,
        peewee_async.PooledPostgresqlDatabase,
        peewee_asyncext.PostgresqlExtDatabase,
        peewee_asyncext.PooledPostgresqlExtDatabase,
        peewee_async.MySQLDatabase,
        peewee_async.PooledMySQLDatabase,
    ):
        make: Any = kind
        assert make("test").database == make(database="test").database == "test"
        assert issubclass(kind, peewee.Database)


async def sessions_used(
    database: AioDatabase, backend: Backend, tasks: int, together: int
) -> set[int]:
    """Ask in many tasks which session of the server they have.

    together: that many blocks must be open at once, or this never ends.
    """
    everybody = asyncio.Barrier(together)
    query: Any = peewee.RawQuery(SESSION[backend.name]).tuples()

    async def one() -> int:
        async with database.aio_atomic():
            await everybody.wait()
            ((number,),) = await database.aio_execute(query)
            return int(number)

    return set(await asyncio.gather(*(one() for _ in range(tasks))))


async def check_single(kind: Any, backend: Backend, path: Path, **options: Any) -> None:
    """One sync connection, and one async connection that tasks queue for."""
    name, driver_options = backend.options(path)
    database = kind(name, **driver_options, **options)
    assert len(await sessions_used(database, backend, 5, together=1)) == 1
    assert statistics(database).size == 1
    await check_sync(database, backend)
    await database.aio_close()


async def check_pooled(
    kind: Any, backend: Backend, path: Path, default: int, **options: Any
) -> None:
    """One sync connection, and as many async ones as are asked for."""
    name, driver_options = backend.options(path)
    database = kind(name, max_connections=3, **driver_options, **options)
    assert len(await sessions_used(database, backend, 9, together=3)) == 3
    assert statistics(database).size == 3
    await check_sync(database, backend)
    await database.aio_close()
    usual = kind(name, **driver_options, **options)
    used = await sessions_used(usual, backend, 2 * default, together=default)
    assert len(used) == statistics(usual).size == default
    await usual.aio_close()


async def check_sync(database: Any, backend: Backend) -> None:
    with database.allow_sync():
        rows = database.execute_sql(SESSION[backend.name]).fetchall()
        assert len(rows) == 1
        assert not database.is_closed()
    assert database.is_closed()


@only("postgres")
async def test_postgresql_database(backend: Backend, path: Path) -> None:
    kind = peewee_async.PostgresqlDatabase
    assert issubclass(kind, peewee.PostgresqlDatabase)
    await check_single(kind, backend, path)


@only("postgres")
async def test_pooled_postgresql_database(backend: Backend, path: Path) -> None:
    kind = peewee_async.PooledPostgresqlDatabase
    assert issubclass(kind, peewee.PostgresqlDatabase)
    await check_pooled(kind, backend, path, default=20)


async def check_extensions(
    kind: Any, backend: Backend, path: Path, sync: Any, tables: CreateTables
) -> None:
    """Give dicts for JSON always, and for HStore unless that is turned off."""

    class Labelled(peewee.Model):
        id: Any
        labels: Any = HStoreField(index=False)
        data: Any = BinaryJSONField(index=False)

    sync.execute_sql("CREATE EXTENSION hstore")
    try:
        tables(Labelled)
        name, options = backend.options(path)
        data = {"list": [1, None]}
        for more, wanted in (
            ({}, {"a": "1"}),
            ({"register_hstore": True}, {"a": "1"}),
            ({"register_hstore": False}, '"a"=>"1"'),
        ):
            objects = Manager(kind(name, **options, **more))
            values: dict[str, Any] = {"labels": {"a": "1"}, "data": data}
            made = await objects.create(Labelled, **values)
            found = await objects.get(Labelled, id=made.id)
            assert (found.labels, found.data) == (wanted, data)
            with objects.allow_sync(), objects.database.bind_ctx([Labelled]):
                assert Labelled.get_by_id(made.id).labels == wanted
            await objects.close()
    finally:
        sync.execute_sql("DROP EXTENSION hstore CASCADE")


@only("postgres")
async def test_postgresql_ext_database(
    backend: Backend, path: Path, sync: Any, tables: CreateTables
) -> None:
    kind = peewee_asyncext.PostgresqlExtDatabase
    await check_extensions(kind, backend, path, sync, tables)
    await check_single(kind, backend, path, register_hstore=False)


@only("postgres")
async def test_pooled_postgresql_ext_database(
    backend: Backend, path: Path, sync: Any, tables: CreateTables
) -> None:
    kind = peewee_asyncext.PooledPostgresqlExtDatabase
    await check_extensions(kind, backend, path, sync, tables)
    await check_pooled(kind, backend, path, default=20, register_hstore=False)


@only("mysql")
async def test_mysql_database(backend: Backend, path: Path) -> None:
    kind = peewee_async.MySQLDatabase
    assert issubclass(kind, peewee.MySQLDatabase)
    await check_single(kind, backend, path)


@only("mysql")
async def test_pooled_mysql_database(backend: Backend, path: Path) -> None:
    kind = peewee_async.PooledMySQLDatabase
    assert issubclass(kind, peewee.MySQLDatabase)
    await check_pooled(kind, backend, path, default=10)


@only("mysql")
async def test_mysql_database_with_connections(backend: Backend, path: Path) -> None:
    """The reference shows the single class with `max_connections`."""
    name, options = backend.options(path)
    database = peewee_async.MySQLDatabase(name, max_connections=4, **options)
    assert len(await sessions_used(database, backend, 8, together=4)) == 4
    await database.aio_close()


# AioModel


@pytest.mark.usefixtures("objects")
@both_kinds
async def test_aiomodel() -> None:
    user = User(name="ada", age=36)
    assert isinstance(user, peewee.Model)
    assert (user.name, user.age) == ("ada", 36)
    assert await User.select().where(User.name == "ada").aio_execute() == []
    await user.aio_save()
    (found,) = await User.select().where(User.name == "ada").aio_execute()
    assert (type(found), found.name, found.age) == (User, "ada", 36)
    assert await User.update(age=37).where(User.name == "ada").aio_execute() == 1
    assert await User.delete().aio_execute() == 1


Get = Callable[..., Any]


@pytest.mark.usefixtures("objects")
@pytest.mark.parametrize("pooled", [True, False], indirect=True)
@pytest.mark.parametrize("method", ["aio_get", "aio_get_or_none"])
async def test_aiomodel_gets(method: str) -> None:
    ada = await User.aio_create(name="ada", age=36)
    await User.aio_create(name="bob", age=40)
    get: Get = getattr(User, method)
    found = [
        await get(User.name == "ada"),
        await get(User.age > 30, User.age < 40),
        await get(name="ada"),
        await get(User.age > 30, name="ada", age__lt=40),
        await get(User, name="ada"),
    ]
    assert [each.id for each in found] == [ada.id] * 5
    assert {type(each) for each in found} == {User}


@pytest.mark.usefixtures("objects")
async def test_aiomodel_aio_get() -> None:
    with pytest.raises(User.DoesNotExist):
        await User.aio_get(User.name == "nobody")
    with pytest.raises(User.DoesNotExist):
        await User.aio_get()
    await User.aio_create(name="ada")
    assert (await User.aio_get()).name == "ada"


@pytest.mark.usefixtures("objects")
async def test_aiomodel_aio_get_or_none() -> None:
    assert await User.aio_get_or_none(User.name == "nobody") is None
    assert await User.aio_get_or_none(name="nobody") is None
    await User.aio_create(name="ada")
    found = await User.aio_get_or_none()
    assert found is not None
    assert found.name == "ada"


@pytest.mark.usefixtures("objects")
@both_kinds
async def test_aiomodel_aio_create() -> None:
    ada = await User.aio_create(name="ada", age=36)
    found = await User.aio_get(id=ada.id)
    assert (type(ada), ada.name, ada.age) == (User, "ada", 36)
    assert (found.name, found.age, found.email) == ("ada", 36, None)
    with pytest.raises(peewee.IntegrityError):
        await User.aio_create(name="ada")
    assert await User.select().aio_count() == 1


# What is async is awaited, and what is not is not


@pytest.mark.parametrize(
    ("owner", "names_of_methods", "is_async"),
    [
        (
            Manager,
            "get create update delete get_or_create create_or_get execute prefetch "
            "count scalar connect close",
            True,
        ),
        (Manager, "allow_sync atomic transaction savepoint", False),
        (AioModel, "aio_get aio_get_or_none aio_create", True),
    ],
)
def test_which_methods_are_async(
    owner: Any, names_of_methods: str, is_async: bool
) -> None:
    for name in names_of_methods.split():
        assert inspect.iscoroutinefunction(getattr(owner, name)) is is_async
