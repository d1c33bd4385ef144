"""Ruling 27: the methods of a database."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import peewee
import pytest

from peewee_async import AioDatabase, Manager, aio_prefetch
from tests.integration.backends import DRIVERS, Backend
from tests.integration.checks import both_kinds, only, seen, statistics
from tests.integration.conftest import MakeDatabase
from tests.integration.models import Category, Line, Post, User
from tests.integration.rulings.common import SEVEN, Oops, connection_number
from tests.integration.rulings.conftest import Names

# The older one


@both_kinds
async def test_ruling_27_connect_async_and_close_async(
    make_database: MakeDatabase, pooled: bool
) -> None:
    database = make_database(pooled=pooled)
    await database.connect_async()
    await database.connect_async(loop=asyncio.get_running_loop(), timeout=30)
    assert database.is_connected
    await database.close_async()
    await database.close_async()
    assert not database.is_connected


@pytest.mark.usefixtures("objects")
@pytest.mark.parametrize("kind", ["atomic_async", "transaction_async"])
async def test_ruling_27_atomic_async_and_transaction_async(
    database: AioDatabase, names: Names, kind: str
) -> None:
    block: Any = getattr(database, kind)
    async with block() as tx:
        await User.aio_create(name="one")
        await tx.commit()
        assert names() == {"one"}
    with suppress(Oops):
        async with block():
            await User.aio_create(name="two")
            raise Oops
    assert names() == {"one"}


@pytest.mark.usefixtures("objects")
async def test_ruling_27_savepoint_async(database: AioDatabase, names: Names) -> None:
    async with database.atomic_async():
        await User.aio_create(name="one")
        with suppress(Oops):
            async with database.savepoint_async(sid="mine"):
                await User.aio_create(name="two")
                raise Oops
        async with database.savepoint_async():
            await User.aio_create(name="three")
    assert names() == {"one", "three"}


async def test_ruling_27_transaction_depth_async(database: AioDatabase) -> None:
    assert database.transaction_depth_async() == 0
    async with database.transaction_async():
        assert database.transaction_depth_async() == 1
        async with database.transaction_async():
            assert database.transaction_depth_async() == 2
        assert database.transaction_depth_async() == 1
    assert database.transaction_depth_async() == 0


# The newer one


@both_kinds
async def test_ruling_27_aio_connect_and_aio_close(
    make_database: MakeDatabase, pooled: bool
) -> None:
    database = make_database(pooled=pooled)
    assert not database.is_connected
    await asyncio.gather(*(database.aio_connect() for _ in range(10)))
    assert database.is_connected
    await database.aio_close()
    await database.aio_close()
    assert not database.is_connected
    assert await database.aio_execute(SEVEN)
    assert database.is_connected


def test_ruling_27_is_connected_without_an_event_loop(
    make_database: MakeDatabase,
) -> None:
    assert not make_database().is_connected


async def test_ruling_27_aio_execute(objects: Manager, names: Names) -> None:
    database: AioDatabase = objects.database
    await database.aio_execute(User.insert(name="ada", age=3))
    assert names() == {"ada"}
    assert await database.aio_execute(User.update(age=4)) == 1
    (user,) = await database.aio_execute(User.select())
    assert (user.name, user.age) == ("ada", 4)
    assert await database.aio_execute(SEVEN.tuples()) == [(7,)]


@both_kinds
@pytest.mark.parametrize("kind", ["aio_atomic", "aio_transaction"])
async def test_ruling_27_aio_atomic_and_aio_transaction(
    objects: Manager, names: Names, kind: str
) -> None:
    block: Any = getattr(objects.database, kind)
    async with block() as tx:
        await User.aio_create(name="one")
        assert names() == set()
        await tx.commit()
        assert names() == {"one"}
        await User.aio_create(name="two")
        await tx.rollback()
    with suppress(Oops):
        async with block():
            await User.aio_create(name="three")
            raise Oops
    assert names() == {"one"}


async def test_ruling_27_aio_savepoint(objects: Manager, names: Names) -> None:
    database: AioDatabase = objects.database
    async with database.aio_atomic():
        await User.aio_create(name="one")
        with suppress(Oops):
            async with database.aio_savepoint("named"):
                await User.aio_create(name="two")
                raise Oops
        async with database.aio_savepoint():
            await User.aio_create(name="three")
    assert names() == {"one", "three"}


async def test_ruling_27_options_of_blocks(objects: Manager) -> None:
    database: AioDatabase = objects.database
    with pytest.raises(ValueError, match="isolation_level"):
        async with database.aio_atomic(isolation_level="NONE SUCH"):
            pass
    async with database.aio_transaction():
        with pytest.raises(ValueError, match="outermost"):
            async with database.aio_transaction(read_only=True):
                pass
    assert await objects.count(User) == 0


async def test_ruling_27_aio_connection_is_the_drivers(
    database: AioDatabase, backend: Backend
) -> None:
    async with database.aio_connection() as connection:
        modules = {kind.__module__.split(".")[0] for kind in type(connection).__mro__}
        assert DRIVERS[backend.name] in modules
        assert statistics(database).busy == 1
    assert statistics(database).busy == 0


@only("postgres", "mysql")
async def test_ruling_27_aio_connection_pins_one_to_the_task(
    database: AioDatabase, objects: Manager, backend: Backend
) -> None:
    async with database.aio_connection() as connection:
        numbers = [await connection_number(objects, backend) for _ in range(3)]
        async with database.aio_connection() as again:
            assert again is connection
        async with database.aio_atomic():
            numbers.append(await connection_number(objects, backend))
    assert len(set(numbers)) == 1


@pytest.mark.usefixtures("objects")
async def test_ruling_27_aio_connection_is_no_transaction(
    database: AioDatabase, names: Names
) -> None:
    with suppress(Oops):
        async with database.aio_connection():
            await User.aio_create(name="one")
            assert names() == {"one"}
            with suppress(KeyError):
                async with database.aio_atomic():
                    await User.aio_create(name="two")
                    raise KeyError
            raise Oops
    assert names() == {"one"}


async def test_ruling_27_the_connection_of_a_block(
    database: AioDatabase, objects: Manager, names: Names
) -> None:
    with suppress(Oops):
        async with database.aio_atomic():
            async with database.aio_connection():
                await User.aio_create(name="one")
                assert statistics(database).busy == 1
            raise Oops
    assert names() == set()
    assert await objects.count(User) == 0


async def test_ruling_27_tables(database: AioDatabase, backend: Backend) -> None:
    models = [Category, Line]
    assert not await database.aio_table_exists("line")
    await database.aio_create_tables(models)
    await database.aio_create_tables(models)  # safe by default, as in peewee
    try:
        assert await database.aio_table_exists("line")
        with database.allow_sync():
            assert await database.aio_get_tables() == database.get_tables()
        assert {"category", "line"} <= set(await database.aio_get_tables())
    finally:
        await database.aio_drop_tables(models)
    await database.aio_drop_tables(models)
    assert not await database.aio_table_exists("line")
    assert "category" not in await database.aio_get_tables()


async def test_ruling_27_aio_prefetch(objects: Manager) -> None:
    ada = await objects.create(User, name="ada")
    await objects.create(Post, author=ada, title="one")
    users = await aio_prefetch(User.select(), Post)
    assert [post.title for post in users[0].posts] == ["one"]
    assert seen(users) == seen(await User.select().aio_prefetch(Post))


# Under both


async def test_ruling_27_one_implementation_under_all(
    objects: Manager, names: Names
) -> None:
    """Blocks of the Manager and of the database are the same blocks."""
    database: AioDatabase = objects.database
    with pytest.raises(peewee.PeeweeException, match="cannot be committed"):
        async with objects.transaction():
            await User.aio_create(name="one")
            with suppress(Oops):
                async with database.aio_transaction():
                    await objects.create(User, name="two")
                    raise Oops
    assert names() == set()
    async with database.aio_atomic():
        async with objects.savepoint():
            await database.aio_execute(User.insert(name="three"))
        assert names() == set()
    assert names() == {"three"}
