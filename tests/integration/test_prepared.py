"""Prepared queries and kept plans, on each backend."""

from __future__ import annotations

import asyncio
from typing import Any

import peewee
from peewee import fn

from peewee_async import AioDatabase, Manager, prepared, slot
from tests.integration.conftest import CreateTables
from tests.integration.models import CORE, Post, User


async def test_prepared_queries(database: AioDatabase, tables: CreateTables) -> None:
    tables(*CORE)
    await User.aio_bulk_create([User(name=str(age), age=age) for age in range(20)])
    add = prepared(Post.insert(author=slot("author"), title=slot("title"), views=3))
    of = prepared(
        Post.select(Post, User)
        .join(User, on=Post.author)
        .where(User.name == slot("name"), Post.title.in_(slot("titles")))
        .order_by(Post.id)
        .limit(slot("most"))
    )
    users = {user.name: user for user in await User.select().aio_execute()}
    for name in ("3", "4", "5"):
        for title in ("a", "b", "c"):
            assert await add.aio_execute(author=users[name], title=title) is not None
    for name in ("3", "4", "5"):
        for titles in (["a", "c"], ["b"], [], ["a", "b", "c"]):
            rows = await of.aio_execute(name=name, titles=titles, most=2)
            assert [row.title for row in rows] == titles[:2]
            assert {row.author.name for row in rows} <= {name}
    total = prepared(User.select(fn.SUM(User.age)).where(User.age < slot("below")))
    sums = await asyncio.gather(*(total(below=n).aio_scalar() for n in range(1, 20)))
    assert [int(value) for value in sums] == [sum(range(n)) for n in range(1, 20)]


async def test_what_is_asked_again(objects: Manager, tables: CreateTables) -> None:
    """Many times the same, with other values: each answer is that of its own values."""
    tables(*CORE)

    async def use(number: int) -> None:
        user: Any = await objects.create(User, name=str(number), age=number)
        assert (await objects.get(User, name=str(number))).id == user.id
        assert (await User.aio_get(User.age == number)).id == user.id
        assert (await User.aio_get_by_id(user.id)).name == str(number)
        user.age += 100
        assert await user.aio_save() == 1
        same = User.select().where(User.age == number + 100)
        assert [each.id for each in await same.aio_execute()] == [user.id]
        assert await same.aio_count() == 1
        found, created = await objects.get_or_create(User, name=str(number))
        assert (found.id, created) == (user.id, False)
        assert await objects.get_or_none(User, name=str(number), age=number) is None
        assert await user.aio_delete_instance() == 1
        assert not await same.aio_exists()

    for start in range(0, 40, 8):
        await asyncio.gather(*(use(number) for number in range(start, start + 8)))


async def test_many_rows_at_once(database: AioDatabase, tables: CreateTables) -> None:
    tables(*CORE)
    for count in (1, 2, 3, 4, 7, 500):
        batch = [User(name=f"{count} {n}", age=n, email=None) for n in range(count)]
        await User.aio_bulk_create(batch)
        query = User.select().where(User.name.startswith(f"{count} "))
        rows = await query.order_by(User.id).aio_execute()
        assert [(row.name, row.age) for row in rows] == [
            (user.name, user.age) for user in batch
        ]
        if database.returning_clause:
            assert [user.id for user in batch] == [row.id for row in rows]
    try:
        await User.aio_bulk_create([User(name=None) for _ in range(9)])
    except peewee.IntegrityError:
        pass
    else:
        raise AssertionError("a name that is NULL was stored")
