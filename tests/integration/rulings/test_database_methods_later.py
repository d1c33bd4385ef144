"""Ruling 27: code of both earlier generations."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from importlib import import_module
from typing import Any

import pytest

from peewee_async import Manager
from tests.integration.backends import DRIVERS, Backend
from tests.integration.checks import both_kinds, only, seen, statistics
from tests.integration.conftest import MakeDatabase
from tests.integration.models import Category, Line, Post, User
from tests.integration.rulings.common import Oops, connection_number
from tests.integration.rulings.conftest import Names

aio: Any = import_module("peewee_async")


@pytest.fixture
def methods(objects: Manager) -> Any:
    """The database, with methods that the type checker need not know."""
    return objects.database


# The older one


@both_kinds
async def test_ruling_27_connect_async_and_close_async(
    make_database: MakeDatabase, pooled: bool
) -> None:
    database: Any = make_database(pooled=pooled)
    await database.connect_async()
    await database.connect_async(loop=asyncio.get_running_loop(), timeout=30)
    assert database.is_connected
    await database.close_async()
    await database.close_async()
    assert not database.is_connected


@pytest.mark.parametrize("kind", ["atomic_async", "transaction_async"])
async def test_ruling_27_atomic_async_and_transaction_async(
    methods: Any, names: Names, kind: str
) -> None:
    block = getattr(methods, kind)
    async with block() as tx:
        await User.aio_create(name="one")
        await tx.commit()
        assert names() == {"one"}
    with suppress(Oops):
        async with block():
            await User.aio_create(name="two")
            raise Oops
    assert names() == {"one"}


async def test_ruling_27_savepoint_async(methods: Any, names: Names) -> None:
    async with methods.atomic_async():
        await User.aio_create(name="one")
        with suppress(Oops):
            async with methods.savepoint_async(sid="mine"):
                await User.aio_create(name="two")
                raise Oops
        async with methods.savepoint_async():
            await User.aio_create(name="three")
    assert names() == {"one", "three"}


async def test_ruling_27_transaction_depth_async(methods: Any) -> None:
    assert methods.transaction_depth_async() == 0
    async with methods.transaction_async():
        assert methods.transaction_depth_async() == 1
        async with methods.transaction_async():
            assert methods.transaction_depth_async() == 2
        assert methods.transaction_depth_async() == 1
    assert methods.transaction_depth_async() == 0


# The newer one


async def test_ruling_27_aio_connection_is_the_drivers(
    methods: Any, backend: Backend
) -> None:
    async with methods.aio_connection() as connection:
        module = type(connection).__module__.split(".")[0]
        kinds = {kind.__module__.split(".")[0] for kind in type(connection).__mro__}
        assert DRIVERS[backend.name] in kinds | {module}
        assert statistics(methods).busy == 1
    assert statistics(methods).busy == 0


@only("postgres", "mysql")
async def test_ruling_27_aio_connection_pins_one_to_the_task(
    methods: Any, objects: Manager, backend: Backend
) -> None:
    async with methods.aio_connection() as connection:
        numbers = [await connection_number(objects, backend) for _ in range(3)]
        async with methods.aio_connection() as again:
            assert again is connection
        async with methods.aio_atomic():
            numbers.append(await connection_number(objects, backend))
    assert len(set(numbers)) == 1


async def test_ruling_27_aio_connection_is_no_transaction(
    methods: Any, names: Names
) -> None:
    with suppress(Oops):
        async with methods.aio_connection():
            await User.aio_create(name="one")
            assert names() == {"one"}
            with suppress(KeyError):
                async with methods.aio_atomic():
                    await User.aio_create(name="two")
                    raise KeyError
            raise Oops
    assert names() == {"one"}


async def test_ruling_27_the_connection_of_a_block(
    methods: Any, objects: Manager, names: Names
) -> None:
    with suppress(Oops):
        async with methods.aio_atomic():
            async with methods.aio_connection():
                await User.aio_create(name="one")
                assert statistics(methods).busy == 1
            raise Oops
    assert names() == set()
    assert await objects.count(User) == 0


async def test_ruling_27_tables(methods: Any, backend: Backend) -> None:
    models = [Category, Line]
    assert not await methods.aio_table_exists("line")
    await methods.aio_create_tables(models)
    await methods.aio_create_tables(models)  # safe by default, as in peewee
    try:
        assert await methods.aio_table_exists("line")
        with methods.allow_sync():
            assert await methods.aio_get_tables() == methods.get_tables()
        assert {"category", "line"} <= set(await methods.aio_get_tables())
    finally:
        await methods.aio_drop_tables(models)
    await methods.aio_drop_tables(models)
    assert not await methods.aio_table_exists("line")
    assert "category" not in await methods.aio_get_tables()


async def test_ruling_27_aio_prefetch(objects: Manager) -> None:
    ada = await objects.create(User, name="ada")
    await objects.create(Post, author=ada, title="one")
    users = await aio.aio_prefetch(User.select(), Post)
    assert [post.title for post in users[0].posts] == ["one"]
    assert seen(users) == seen(await User.select().aio_prefetch(Post))
