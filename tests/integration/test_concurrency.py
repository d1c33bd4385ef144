"""Many tasks at once, and tasks that are cancelled in the middle."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import peewee
import pytest

from peewee_async import AioDatabase, Manager
from tests.integration.backends import POOL_SIZE, Backend
from tests.integration.checks import both_kinds, limit, only, statistics
from tests.integration.conftest import CreateTables, MakeDatabase
from tests.integration.models import Post, Token, User
from tests.integration.watching import Long, cancel, until_no_transactions

TASKS = 50


class Oops(Exception):
    pass


async def work(objects: Manager, number: int) -> None:
    """Make a user in one of several ways, and posts in nested blocks."""
    user = await objects.create(User, name=f"user{number}", age=number)
    async with objects.atomic():
        user.age += 100
        await objects.update(user, only=["age"])
        await objects.create(Post, author=user, title="kept")
        with suppress(Oops):
            async with objects.atomic():
                await objects.create(Post, author=user, title="undone")
                raise Oops
        async with objects.atomic():
            await objects.create(Post, author=user, title="kept too")
    found = await objects.get(User, name=f"user{number}")
    assert (found.id, found.age) == (user.id, number + 100)
    with suppress(Oops):
        async with objects.atomic():
            await objects.execute(User.update(age=-1).where(User.id == user.id))
            raise Oops
    again, created = await objects.get_or_create(User, name=f"user{number}")
    assert (again.age, created) == (number + 100, False)


@both_kinds
async def test_mixed_work(objects: Manager, backend: Backend, sync: Any) -> None:
    await asyncio.gather(*(work(objects, number) for number in range(TASKS)))
    users = await objects.execute(User.select().order_by(User.age))
    assert [user.age for user in users] == [100 + number for number in range(TASKS)]
    assert await objects.count(Post.select().where(Post.title == "kept")) == TASKS
    assert await objects.count(Post) == 2 * TASKS
    count = statistics(objects.database)
    assert count.idle == count.size <= POOL_SIZE
    assert (count.busy, count.opening, count.waiting) == (0, 0, 0)
    await until_no_transactions(backend, sync)


async def test_a_pool_grows_to_its_size_and_no_further(
    objects: Manager, database: AioDatabase
) -> None:
    for _ in range(3):
        await asyncio.gather(*(objects.count(User) for _ in range(TASKS)))
        assert statistics(database).size <= POOL_SIZE
    await objects.close()
    assert not objects.is_connected


@both_kinds
async def test_get_or_create_of_one_name(objects: Manager) -> None:
    results = await asyncio.gather(
        *(
            objects.get_or_create(User, {"age": number}, name="ada")
            for number in range(TASKS)
        )
    )
    assert sum(created for _, created in results) == 1
    assert len({user.id for user, _ in results}) == 1
    assert len({user.age for user, _ in results}) == 1
    assert await objects.count(User) == 1


async def test_create_or_get_of_one_name(objects: Manager) -> None:
    results = await asyncio.gather(
        *(objects.create_or_get(User, name="ada") for _ in range(TASKS))
    )
    assert sum(created for _, created in results) == 1
    assert len({user.id for user, _ in results}) == 1
    assert await objects.count(User) == 1


async def test_get_or_create_of_one_name_in_one_block(objects: Manager) -> None:
    async with objects.atomic():
        results = await asyncio.gather(
            *(User.aio_get_or_create(name="ada") for _ in range(20))
        )
    assert sum(created for _, created in results) == 1
    assert await objects.count(User) == 1


async def test_counting_up_loses_nothing(objects: Manager) -> None:
    user = await objects.create(User, name="ada")

    async def count_up() -> None:
        async with objects.atomic():
            await objects.execute(User.update(age=User.age + 1))

    await asyncio.gather(*(count_up() for _ in range(TASKS)))
    assert (await objects.get(User, id=user.id)).age == TASKS


@both_kinds
async def test_connect_at_once(make_database: MakeDatabase, pooled: bool) -> None:
    database = make_database(pooled=pooled, min_connections=1)
    objects = Manager(database)
    await asyncio.gather(*(objects.connect() for _ in range(TASKS)))
    assert database.is_connected
    assert 1 <= statistics(database).size <= (POOL_SIZE if pooled else 1)
    assert len(database._sessions._pools) == 1


async def test_close_and_use_at_once(objects: Manager) -> None:
    async def use() -> None:
        with suppress(peewee.InterfaceError):  # closed while it waited
            await objects.count(User)

    for _ in range(5):
        await asyncio.gather(*(use() for _ in range(10)), objects.close())
    assert await objects.count(User) == 0


# Cancellation


@both_kinds
async def test_a_cancelled_query(
    objects: Manager, long: Long, database: AioDatabase
) -> None:
    await objects.create(User, name="ada")
    task = asyncio.create_task(objects.execute(long.query))
    await long.until_running()
    await cancel(task)
    assert statistics(database).busy == 0
    # The next replies are those of the next statements.
    assert (await objects.get(User)).name == "ada"
    assert await objects.count(User) == 1
    assert await objects.scalar(User.select(peewee.Value(7))) == 7


async def test_many_cancelled_queries(
    objects: Manager, long: Long, database: AioDatabase
) -> None:
    """More than the pool has connections: some are cancelled while they wait."""
    await objects.create(User, name="ada")
    tasks = [
        asyncio.create_task(objects.execute(long.query)) for _ in range(2 * POOL_SIZE)
    ]
    await long.until_running(POOL_SIZE)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} == {asyncio.CancelledError}
    count = statistics(database)
    assert (count.busy, count.waiting) == (0, 0)
    counts = await asyncio.gather(*(objects.count(User) for _ in range(20)))
    assert counts == [1] * 20


@both_kinds
async def test_a_query_with_a_time_limit(
    objects: Manager, long: Long, database: AioDatabase
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await objects.execute(long.query)
    assert statistics(database).busy == 0
    assert await objects.count(User) == 0


async def test_the_time_limit_of_the_database(
    objects: Manager, make_database: MakeDatabase, long: Long
) -> None:
    limited = Manager(make_database(query_timeout=0.2))
    long.watch(limited.database)
    with pytest.raises(peewee.OperationalError, match="query_timeout"):
        await limited.execute(long.query)
    with pytest.raises(peewee.OperationalError, match=r"query_timeout|lost"):
        async with limited.atomic():
            await limited.create(User, name="ada")
            await limited.execute(long.query)
    limit(limited.database, query_timeout=None)
    assert await limited.count(User) == 0


@both_kinds
async def test_a_block_that_is_cancelled_in_a_statement(
    objects: Manager, long: Long, database: AioDatabase
) -> None:
    async def block() -> None:
        async with objects.atomic():
            await objects.create(User, name="ada")
            async with objects.atomic():
                await objects.execute(long.query)

    task = asyncio.create_task(block())
    await long.until_running()
    await cancel(task)
    assert statistics(database).busy == 0
    assert await objects.count(User) == 0
    await objects.create(User, name="bob")
    assert await objects.count(User) == 1


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_an_abandoned_statement_is_given_up(objects: Manager, long: Long) -> None:
    """Nobody waits for the locks of a connection that nobody uses any more."""

    async def block() -> None:
        async with objects.atomic():
            await objects.create(User, name="ada")
            await objects.execute(long.query)

    task = asyncio.create_task(block())
    await long.until_running()
    await cancel(task)
    await objects.create(User, name="ada")


@both_kinds
async def test_a_block_that_is_cancelled_between_statements(
    objects: Manager, backend: Backend, sync: Any, database: AioDatabase
) -> None:
    reached = asyncio.Event()

    async def block() -> None:
        async with objects.atomic():
            await objects.create(User, name="ada")
            async with objects.atomic():
                await objects.create(User, name="bob")
                reached.set()
                await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await reached.wait()
    await cancel(task)
    assert statistics(database).busy == 0
    await until_no_transactions(backend, sync)
    assert await objects.count(User) == 0


async def test_a_child_that_is_cancelled_takes_the_block_with_it(
    objects: Manager, long: Long
) -> None:
    """A statement that is cut off leaves no transaction to go on with."""
    with pytest.raises(peewee.OperationalError, match="lost"):
        async with objects.atomic():
            await objects.create(User, name="ada")
            child = asyncio.create_task(objects.execute(long.query))
            await long.until_running()
            await cancel(child)
    assert await objects.count(User) == 0


async def test_cancelled_while_waiting_for_a_turn(objects: Manager) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def holder() -> None:
        async with objects.atomic():
            inside.set()
            await go_on.wait()
            await objects.create(User, name="held")

    async with objects.atomic():
        holding = asyncio.create_task(holder())
        await inside.wait()
        waiting = asyncio.create_task(objects.create(User, name="never"))
        await asyncio.sleep(0)
        await cancel(waiting)
        go_on.set()
        await holding
        await objects.create(User, name="after")
    users = await objects.execute(User.select().order_by(User.id))
    assert [user.name for user in users] == ["held", "after"]


@both_kinds
async def test_cancelled_at_every_moment(
    objects: Manager, tables: CreateTables
) -> None:
    """Each task is stopped after another number of turns of the loop."""
    tables(Token)

    async def block(number: int) -> None:
        async with objects.atomic():
            await objects.create(Token, label=f"{number}a")
            async with objects.atomic():
                await objects.create(Token, label=f"{number}b")

    done = []
    for turns in range(40):
        task = asyncio.create_task(block(turns))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
            done.append(turns)
    labels = {token.label for token in await objects.execute(Token.select())}
    # Both rows or none; and what was reported to be done is done.
    both = {label[:-1] for label in labels}
    assert labels == {f"{number}{letter}" for number in both for letter in "ab"}
    assert {str(number) for number in done} <= both


@only("postgres", "mysql")
async def test_nothing_stays_open_on_the_server(
    objects: Manager, backend: Backend, sync: Any
) -> None:
    inside = asyncio.Barrier(POOL_SIZE + 1)

    async def block(number: int) -> None:
        async with objects.atomic():
            await objects.create(User, name=f"user{number}")
            await inside.wait()
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(block(number)) for number in range(POOL_SIZE)]
    await inside.wait()
    for task in tasks:
        await cancel(task)
    await until_no_transactions(backend, sync)
    assert await objects.count(User) == 0


DIGITS = " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(10))
# A hundred thousand numbers, with no table behind them.
NUMBERS = (
    "SELECT a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d AS n FROM "
    + ", ".join(f"({DIGITS}) AS {name}" for name in "abcde")
)


class Noted(peewee.IntegerField):
    """Counts the values that it has converted."""

    converted = 0

    def python_value(self, value: Any) -> Any:
        self.converted += 1
        return value


class Number(peewee.Model):
    n: Any = Noted(primary_key=True)


async def test_others_get_turns_while_many_rows_are_read(objects: Manager) -> None:
    """All rows are there when the first is read: only pauses let others run."""
    Number.n.converted = 0
    seen: set[int] = set()

    async def other() -> None:
        while True:
            seen.add(Number.n.converted)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    rows = await objects.execute(Number.raw(NUMBERS))
    task.cancel()
    assert {row.n for row in rows} == set(range(100_000))
    assert len(seen) >= 100
