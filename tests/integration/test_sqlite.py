"""What SQLite alone has: files, memory, pragmas, functions of one's own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_async import AioDatabase, Manager, PooledSqliteDatabase, SqliteDatabase
from peewee_async.io import aiosqlite
from tests.integration.backends import Backend
from tests.integration.checks import only, statistics
from tests.integration.models import PlainPost, PlainUser, people

pytestmark = [only("sqlite"), pytest.mark.usefixtures("backend")]

KINDS = [SqliteDatabase, PooledSqliteDatabase]


def create_tables(database: AioDatabase, *models: type[peewee.Model]) -> None:
    with database.allow_sync(), database.bind_ctx(models, False, False):
        database.create_tables(models)


@pytest.mark.parametrize("kind", KINDS)
async def test_memory_is_one_for_sync_and_async(kind: Any) -> None:
    database = kind(":memory:", pragmas={"foreign_keys": 1})
    create_tables(database, PlainUser, PlainPost)
    objects = Manager(database)
    ada = await objects.create(PlainUser, name="ada")
    await objects.create(PlainPost, author=ada, title="one")
    with database.allow_sync(), database.bind_ctx([PlainUser], False, False):
        assert PlainUser.select().count() == 1
        PlainUser.create(name="bob")
    assert await objects.count(PlainUser) == 2
    with pytest.raises(peewee.IntegrityError):
        await objects.delete(ada)
    await objects.close()
    assert await objects.count(PlainUser) == 2  # it lasts as long as the object
    await objects.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_memory_under_load(kind: Any) -> None:
    database = kind(":memory:")
    create_tables(database, PlainUser)
    objects = Manager(database)

    async def work(number: int) -> None:
        async with objects.atomic():
            await objects.create(PlainUser, name=f"user{number}", age=number)
            await objects.get_or_create(PlainUser, name="all")

    await asyncio.gather(*(work(number) for number in range(50)))
    assert await objects.count(PlainUser) == 51
    assert statistics(database).size == 1
    await objects.close()


async def test_memories_are_apart() -> None:
    one, two = SqliteDatabase(":memory:"), SqliteDatabase(":memory:")
    create_tables(one, PlainUser)
    await Manager(one).create(PlainUser, name="ada")
    with pytest.raises(peewee.OperationalError, match="no such table"):
        await Manager(two).count(PlainUser)
    await one.aio_close()
    await two.aio_close()


async def test_a_cancelled_query_in_memory_loses_no_data() -> None:
    database: Any = SqliteDatabase(":memory:")
    started = asyncio.Event()
    loop = asyncio.get_running_loop()

    def start() -> int:
        loop.call_soon_threadsafe(started.set)
        return 1

    database.register_function(start, "started")
    create_tables(database, PlainUser)
    objects = Manager(database)
    await objects.execute(PlainUser.insert_many(people(3)))
    long = PlainUser.raw(
        "WITH RECURSIVE n(i) AS (SELECT started() UNION ALL SELECT i + 1 FROM n "
        "WHERE i < 10000000000) SELECT COUNT(*) FROM n"
    )
    task = asyncio.create_task(objects.execute(long))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await objects.count(PlainUser) == 3
    await objects.close()


async def test_memory_is_free_after_a_connection_was_given_up() -> None:
    database = SqliteDatabase(":memory:")
    create_tables(database, PlainUser)
    objects = Manager(database)

    async def many(number: int) -> None:
        async with objects.atomic():
            for index in range(20):
                await objects.create(PlainUser, name=f"{number} {index}")

    for number in range(50):
        task = asyncio.create_task(many(number))
        for _ in range(number % 7 + 2):
            await asyncio.sleep(0)
        task.cancel()
        await objects.create(PlainUser, name=f"{number}")
        await asyncio.gather(task, return_exceptions=True)
    assert await objects.count(PlainUser.select()) >= 50
    await objects.close()


async def test_pragmas_and_functions_hold_on_each_connection(path: Path) -> None:
    database: Any = PooledSqliteDatabase(
        str(path), pragmas={"cache_size": -1234, "foreign_keys": 1}, max_connections=3
    )

    def twice(value: int) -> int:
        return 2 * value

    class Longest:
        def __init__(self) -> None:
            self.found = ""

        def step(self, value: str) -> None:
            self.found = max(self.found, value, key=len)

        def finalize(self) -> str:
            return self.found

    def backwards(one: str, two: str) -> int:
        return (one < two) - (one > two)

    database.register_function(twice, "twice")
    database.register_aggregate(Longest, "longest")
    database.register_collation(backwards, "backwards")
    objects = Manager(database)
    create_tables(database, PlainUser)
    await objects.execute(PlainUser.insert_many(people(3)))

    async def check() -> None:
        async with objects.atomic(lock_type="DEFERRED"):
            pragma = peewee.RawQuery("PRAGMA cache_size").tuples()
            assert list(await objects.execute(pragma)) == [(-1234,)]
            twice_as_old = PlainUser.select(peewee.fn.twice(PlainUser.age))
            assert await objects.scalar(twice_as_old.where(PlainUser.age == 2)) == 4
            longest = PlainUser.select(peewee.fn.longest(PlainUser.name))
            assert await objects.scalar(longest) == "user0"
            ordered = PlainUser.select(PlainUser.name).order_by(
                PlainUser.name.collate("backwards")
            )
            assert await objects.scalar(ordered) == "user2"

    await asyncio.gather(*(check() for _ in range(6)))
    assert statistics(database).size == 3
    await objects.close()
    database.close()


async def test_writers_wait_for_one_another(path: Path, backend: Backend) -> None:
    database = backend.make(path, pooled=True)
    create_tables(database, PlainUser)
    objects = Manager(database)
    await objects.create(PlainUser, name="ada")

    async def read_then_write() -> None:
        async with objects.atomic():
            user = await objects.get(PlainUser, name="ada")
            user.age += 1
            await objects.update(user)

    await asyncio.gather(*(read_then_write() for _ in range(20)))
    assert (await objects.get(PlainUser)).age == 20
    await objects.close()


async def test_a_lock_that_lasts_too_long(path: Path) -> None:
    one = SqliteDatabase(str(path), timeout=0.1)
    two = SqliteDatabase(str(path), timeout=0.1)
    create_tables(one, PlainUser)
    async with one.aio_atomic():
        with pytest.raises(peewee.OperationalError, match="locked"):
            async with two.aio_atomic():
                pass
    await Manager(two).create(PlainUser, name="ada")
    assert await Manager(one).count(PlainUser) == 1
    await one.aio_close()
    await two.aio_close()


async def test_a_connection_may_be_given_up_while_it_is_closed() -> None:
    def opener() -> sqlite3.Connection:
        return sqlite3.connect(":memory:", check_same_thread=False)

    connection = await aiosqlite.connect(opener=opener)
    closing = asyncio.create_task(connection.close())
    await asyncio.sleep(0)
    closed = threading.Event()
    connection.driver._tx.put((None, closed.set))
    assert closed.wait(5)  # in its thread; the task has not been told
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    connection.abort()
    assert connection.closed
