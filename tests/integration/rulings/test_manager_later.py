"""Ruling 21: the functions of the old API."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Any

import peewee
import pytest
from peewee import fn

from peewee_async import AioDatabase, Manager
from tests.integration.checks import seen
from tests.integration.models import Post, User, people
from tests.integration.rulings.common import Oops
from tests.integration.rulings.conftest import Names

aio: Any = import_module("peewee_async")

pytestmark = pytest.mark.usefixtures("objects")


async def test_ruling_21_execute_and_its_kin(database: Any) -> None:
    key = await aio.insert(User.insert(name="ada", age=36))
    assert (await aio.select(User.select()))[0].id == key
    assert await aio.execute(User.insert_many(people(3)).as_rowcount()) == 3
    assert await aio.update(User.update(age=7).where(User.name == "ada")) == 1
    assert await aio.delete(User.delete().where(User.name == "user0")) == 1
    names = User.select(User.name).order_by(User.name).tuples()
    assert await aio.select(names) == [("ada",), ("user1",), ("user2",)]
    opening, closing = database.quote
    raw = User.raw(f"SELECT name FROM {opening}user{closing} WHERE age = 7")
    assert [user.name for user in await aio.raw_query(raw)] == ["ada"]


async def test_ruling_21_count_and_scalar() -> None:
    await aio.execute(User.insert_many(people(3)))
    assert await aio.count(User.select()) == 3
    assert await aio.count(User.select().limit(1)) == 1
    assert await aio.count(User.select().limit(1), clear_limit=True) == 3
    assert await aio.scalar(User.select(fn.MAX(User.age))) == 2
    both = User.select(fn.MIN(User.age), fn.MAX(User.age))
    assert await aio.scalar(both, as_tuple=True) == (0, 2)


async def test_ruling_21_prefetch(objects: Manager) -> None:
    ada = await objects.create(User, name="ada")
    await objects.create(Post, author=ada, title="one")
    users = await aio.prefetch(User.select(), Post)
    assert [post.title for post in users[0].posts] == ["one"]
    with objects.allow_sync():
        assert seen(users) == seen(list(peewee.prefetch(User.select(), Post)))


@pytest.mark.parametrize("kind", ["atomic", "transaction"])
async def test_ruling_21_atomic_and_transaction(
    database: AioDatabase, names: Names, kind: str
) -> None:
    block = getattr(aio, kind)
    async with block(database) as tx:
        await aio.execute(User.insert(name="one"))
        await tx.commit()
        assert names() == {"one"}
        await aio.execute(User.insert(name="two"))
        await tx.rollback()
    with suppress(Oops):
        async with block(database):
            await aio.execute(User.insert(name="three"))
            raise Oops
    assert names() == {"one"}


async def test_ruling_21_savepoint(database: AioDatabase, names: Names) -> None:
    async with aio.atomic(database):
        await aio.execute(User.insert(name="one"))
        with suppress(Oops):
            async with aio.savepoint(database, sid="two words"):
                await aio.execute(User.insert(name="two"))
                raise Oops
        async with aio.savepoint(database):
            await aio.execute(User.insert(name="three"))
    assert names() == {"one", "three"}
