"""Ruling 27: the methods of a database."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import peewee
import pytest

from peewee_async import AioDatabase, Manager
from tests.integration.checks import both_kinds
from tests.integration.conftest import MakeDatabase
from tests.integration.models import User
from tests.integration.rulings.common import SEVEN, Oops
from tests.integration.rulings.conftest import Names


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
