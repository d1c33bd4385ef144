"""The functions and the database methods of the older generation, on each backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import peewee
import pytest
from peewee import fn

import peewee_async
from peewee_async import AioDatabase
from tests.integration.checks import both_kinds, seen, statistics
from tests.integration.conftest import CreateTables
from tests.integration.models import PlainPost, PlainUser, User, people

MODELS = (PlainUser, PlainPost)


class Oops(Exception):
    pass


@pytest.fixture
async def bound(database: AioDatabase, tables: CreateTables) -> AsyncIterator[Any]:
    """Bind plain models of peewee to the database, by a proxy."""
    tables(*MODELS)
    proxy = peewee.DatabaseProxy()
    proxy.initialize(database)
    for model in MODELS:
        model._meta.database = proxy
    yield proxy
    for model in MODELS:
        model._meta.database = None


async def fill() -> None:
    await peewee_async.insert(PlainUser.insert_many(people(3)).as_rowcount())
    for user in await peewee_async.select(PlainUser.select().order_by(PlainUser.id)):
        for number in range(2):
            title = f"{user.name} {number}"
            await peewee_async.insert(PlainPost.insert(author=user, title=title))


async def names() -> list[str]:
    query = PlainUser.select().order_by(PlainUser.id)
    return [user.name for user in await peewee_async.execute(query)]


@pytest.mark.usefixtures("bound")
@both_kinds
async def test_each_kind_of_query() -> None:
    key = await peewee_async.insert(PlainUser.insert(name="ada", age=36))
    (ada,) = await peewee_async.select(PlainUser.select())
    assert (type(ada), ada.id, ada.name) == (PlainUser, key, "ada")
    assert await peewee_async.update(PlainUser.update(age=37)) == 1
    one = peewee.SQL("1")
    raw = PlainUser.raw("SELECT 37 AS age, 'x' AS name")
    (found,) = await peewee_async.raw_query(raw)
    assert (type(found), found.age, found.name) == (PlainUser, 37, "x")
    both = PlainUser.select(one.alias("age")) | PlainUser.select(one.alias("age"))
    assert [user.age for user in await peewee_async.select(both)] == [1]
    assert await peewee_async.delete(PlainUser.delete()) == 1
    assert await peewee_async.execute(PlainUser.select()) == []
    with pytest.raises(TypeError, match="is no DELETE"):
        await peewee_async.delete(PlainUser.update(age=1))


@pytest.mark.usefixtures("bound")
async def test_count_and_scalar() -> None:
    await fill()
    assert await peewee_async.count(PlainUser.select()) == 3
    query = PlainUser.select().limit(1)
    assert await peewee_async.count(query) == 1
    assert await peewee_async.count(query, clear_limit=True) == 3
    ages = PlainUser.select(fn.MAX(PlainUser.age), fn.COUNT(PlainUser.id))
    assert await peewee_async.scalar(ages) == 2
    assert await peewee_async.scalar(ages, as_tuple=True) == (2, 3)


@pytest.mark.parametrize("name", ["prefetch", "aio_prefetch"])
async def test_prefetch(bound: Any, name: str) -> None:
    await fill()
    prefetch = getattr(peewee_async, name)
    users = PlainUser.select().order_by(PlainUser.id)
    posts = PlainPost.select().order_by(PlainPost.id)
    with bound.allow_sync():
        by_where = seen(list(peewee.prefetch(users, posts)))
        by_join = seen(list(peewee.prefetch(users, posts, prefetch_type=2)))
    got = await prefetch(users, posts)
    assert seen(got) == by_where
    assert [post.title for post in got[1].posts] == ["user1 0", "user1 1"]
    assert seen(await prefetch(users, posts, prefetch_type=2)) == by_join


@both_kinds
async def test_blocks(bound: Any) -> None:
    async with peewee_async.atomic(bound):
        await peewee_async.insert(PlainUser.insert(name="ada"))
        for sid in (None, "mine"):
            with pytest.raises(Oops):
                async with peewee_async.savepoint(bound, sid):
                    await peewee_async.insert(PlainUser.insert(name="undone"))
                    raise Oops
        async with peewee_async.transaction(bound):
            await peewee_async.insert(PlainUser.insert(name="bob"))
    with pytest.raises(Oops):
        async with peewee_async.transaction(bound):
            await peewee_async.delete(PlainUser.delete())
            raise Oops
    assert await names() == ["ada", "bob"]


@pytest.mark.usefixtures("objects")
@both_kinds
async def test_models_of_this_package(database: AioDatabase) -> None:
    async with peewee_async.atomic(database):
        await peewee_async.execute(User.insert(name="ada"))
        await User.aio_create(name="bob")
    assert await peewee_async.count(User.select()) == 2


@both_kinds
async def test_the_older_methods(bound: Any, database: AioDatabase) -> None:
    await database.connect_async(loop=asyncio.get_running_loop(), timeout=30)
    assert statistics(database).size == 1
    assert database.transaction_depth_async() == 0
    async with database.atomic_async():
        assert database.transaction_depth_async() == 1
        await peewee_async.insert(PlainUser.insert(name="ada"))
        with pytest.raises(Oops):
            async with database.savepoint_async(sid="mine"):
                await peewee_async.insert(PlainUser.insert(name="undone"))
                raise Oops
        async with database.transaction_async():
            assert database.transaction_depth_async() == 2
        async with database.atomic_async():
            assert database.transaction_depth_async() == 1
    with pytest.raises(Oops):
        async with database.transaction_async():
            await peewee_async.delete(PlainUser.delete())
            raise Oops
    assert await names() == ["ada"]
    await database.close_async()
    assert not database.is_connected
    assert await names() == ["ada"]
