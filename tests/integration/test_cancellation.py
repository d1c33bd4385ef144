"""Cancelled at every await, in every way: nothing is lost, nothing is left."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import anyio
import peewee
import pytest

from peewee_async import AioDatabase, Manager
from peewee_async.core.boundary import Statement
from tests.integration.backends import POOL_SIZE, Backend
from tests.integration.cancelling import LASTING, cancelled
from tests.integration.checks import both_kinds, only, statistics
from tests.integration.conftest import CreateTables, MakeDatabase, end_other_sessions
from tests.integration.models import Post, Token, User
from tests.integration.watching import Long, until_no_transactions, until_sessions

servers_only = only("postgres", "mysql")

# The seconds that a server may take for anything here.
SOON = 30


class Oops(Exception):
    pass


# At every await

Scenario = Callable[[Manager, str], Coroutine[Any, Any, None]]


async def pair(objects: Manager, label: str) -> None:
    """Write the two rows of a label, of which there must be both or none."""
    await objects.create(Token, label=f"{label}a")
    await objects.create(Token, label=f"{label}b")


async def query(objects: Manager, label: str) -> None:
    assert await objects.count(User) == 3


async def first_query(objects: Manager, label: str) -> None:
    await objects.close()
    await query(objects, label)


async def block(objects: Manager, label: str) -> None:
    async with objects.atomic():
        await pair(objects, label)


async def nested_blocks(objects: Manager, label: str) -> None:
    async with objects.atomic():
        await objects.create(Token, label=f"{label}a")
        with suppress(Oops):
            async with objects.atomic():
                await objects.create(Token, label=f"{label}c")
                raise Oops
        async with objects.savepoint(), objects.transaction():
            await objects.create(Token, label=f"{label}b")


async def rolled_back(objects: Manager, label: str) -> None:
    with suppress(Oops):
        async with objects.transaction():
            await pair(objects, f"{label}never")
            raise Oops


async def ended_by_hand(objects: Manager, label: str) -> None:
    async with objects.atomic() as tx:
        await pair(objects, f"{label}first")
        await tx.commit()
        await pair(objects, f"{label}never")
        await tx.rollback()
        await pair(objects, f"{label}last")


async def begun_by_hand(objects: Manager, label: str) -> None:
    tx = await objects.database.aio_begin()
    await pair(objects, label)
    inner = await objects.database.aio_savepoint()
    await pair(objects, f"{label}never")
    await inner.rollback()
    await tx.commit()


async def streamed(objects: Manager, label: str) -> None:
    rows = objects.database.aio_iterator(User.select(), batch_size=1)
    assert len([user async for user in rows]) == 3


async def streamed_in_a_block(objects: Manager, label: str) -> None:
    async with objects.atomic():
        await objects.create(Token, label=f"{label}a")
        await streamed(objects, label)
        await objects.create(Token, label=f"{label}b")


async def kept(objects: Manager, label: str) -> None:
    async with objects.database.aio_connection():
        await query(objects, label)
        await block(objects, label)


async def detached(objects: Manager, label: str) -> None:
    async with objects.atomic(read_only=True):  # in SQLite one can write at a time
        await query(objects, label)
        async with objects.database.detached():
            await block(objects, label)
        await query(objects, label)


async def in_children(objects: Manager, label: str) -> None:
    async with objects.atomic():
        await asyncio.gather(
            objects.create(Token, label=f"{label}a"),
            query(objects, label),
            objects.create(Token, label=f"{label}b"),
        )


async def crowded(objects: Manager, label: str) -> None:
    """Wait for a slot: others have them all."""

    async def other() -> None:
        async with objects.atomic():
            await query(objects, label)

    others = [asyncio.create_task(other()) for _ in range(2 * POOL_SIZE)]
    await asyncio.sleep(0)
    try:
        await block(objects, label)
    finally:
        await asyncio.wait(others)


async def operations(objects: Manager, label: str) -> None:
    async with objects.atomic():
        await objects.get_or_create(Token, label=f"{label}a")
        await Token.aio_bulk_create([Token(label=f"{label}b")])
    await objects.prefetch(User.select(), Post.select())


async def closed(objects: Manager, label: str) -> None:
    await query(objects, label)
    await objects.close()


SCENARIOS: list[Scenario] = [
    query,
    first_query,
    block,
    nested_blocks,
    rolled_back,
    ended_by_hand,
    begun_by_hand,
    streamed,
    streamed_in_a_block,
    kept,
    detached,
    in_children,
    crowded,
    operations,
    closed,
]


async def until_settled(objects: Manager) -> None:
    """Wait until all that was interrupted has been cleaned up."""
    me = asyncio.current_task()
    async with asyncio.timeout(SOON):
        while True:
            count = objects.database.pool_statistics()
            if (count.busy, count.waiting) == (0, 0):
                return
            if asyncio.all_tasks() == {me}:
                gc.collect()  # what was begun by hand is nobody's any more
            await asyncio.sleep(0)


async def whole_labels(objects: Manager) -> set[str]:
    """Give the labels whose two rows are there; half a one is a failure."""
    rows = await objects.execute(Token.select(Token.label).tuples())
    labels = [label for (label,) in rows]
    assert len(labels) == len(set(labels))
    whole = {label[:-1] for label in labels}
    assert set(labels) == {f"{label}{end}" for label in whole for end in "ab"}
    return whole


@pytest.fixture
def few_to_collect() -> Iterator[None]:
    """Leave what is there already out of collections, which a loop of them needs."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


# How many times a run has to come to its end before it counts as having no more awaits:
# an answer that is there at once is not waited for.
SURE = 3


@pytest.mark.parametrize(
    ("pooled", "times"),
    [(True, 1), (True, LASTING), (False, 2)],
    ids=["once", "storm", "single-twice"],
    indirect=["pooled"],
)
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.usefixtures("few_to_collect")
async def test_at_every_await(
    objects: Manager,
    tables: CreateTables,
    database: AioDatabase,
    backend: Backend,
    sync: Any,
    scenario: Scenario,
    times: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # PostgreSQL may answer so fast that nothing would ever be waited for.
    monkeypatch.setattr("peewee_async.io.runner.PACE", 1)
    tables(Token)
    for number in range(3):
        await objects.create(User, name=f"user{number}")
    at = ended = runs = 0
    complete: set[str] = set()
    while ended < SURE:
        runs += 1
        label = f"{runs}."
        if await cancelled(scenario(objects, label), at, times):
            at, ended = at + 1, 0
        else:
            ended += 1
            complete.add(label)
        await until_settled(objects)
        assert await objects.count(User) == 3
    assert at > 0
    assert await objects.scalar(User.select(peewee.Value(at)).limit(1)) == at
    labels = await whole_labels(objects)
    assert not any("never" in label for label in labels)
    if scenario not in (query, first_query, streamed, rolled_back, closed):
        assert complete <= {label.partition(".")[0] + "." for label in labels}
    await until_settled(objects)
    async with asyncio.timeout(SOON):
        while (count := statistics(database)).opening:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert count.size == count.idle <= POOL_SIZE
        if backend.name != "sqlite":
            await until_sessions(backend, sync, count.size)
    await until_no_transactions(backend, sync)


# In every way


async def in_block(objects: Manager, long: Long) -> None:
    async with objects.atomic():
        await objects.create(User, name="never")
        async with objects.atomic():
            await objects.execute(long.query)


async def outside(objects: Manager, long: Long) -> None:
    await objects.execute(long.query)


async def nothing_left(objects: Manager, backend: Backend, sync: Any) -> None:
    task = asyncio.current_task()
    assert task is not None
    if sys.version_info >= (3, 13):  # before, groups of Python leave it counted
        assert task.cancelling() == 0
    await until_settled(objects)
    assert await objects.count(User) == 0
    await objects.create(User, name="afterwards")
    await until_no_transactions(backend, sync)


everywhere = pytest.mark.parametrize("work", [outside, in_block])
Work = Callable[[Manager, Long], Coroutine[Any, Any, None]]


@both_kinds
@everywhere
async def test_timeout(
    objects: Manager, long: Long, backend: Backend, sync: Any, work: Work
) -> None:
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.2):
            await work(objects, long)
    assert not isinstance(caught.value, peewee.PeeweeException)
    await nothing_left(objects, backend, sync)


@everywhere
async def test_wait_for(
    objects: Manager, long: Long, backend: Backend, sync: Any, work: Work
) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(work(objects, long), 0.2)
    await nothing_left(objects, backend, sync)


@everywhere
async def test_a_task_group_whose_other_task_fails(
    objects: Manager, long: Long, backend: Backend, sync: Any, work: Work
) -> None:
    async def fail() -> None:
        await long.until_running()
        raise Oops

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(work(objects, long))
            group.create_task(fail())

    # In a task of their own: before 3.13 a group leaves a cancellation counted.
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.create_task(both())
    assert [type(error) for error in caught.value.exceptions] == [Oops]
    await nothing_left(objects, backend, sync)


@everywhere
async def test_move_on_after(
    objects: Manager, long: Long, backend: Backend, sync: Any, work: Work
) -> None:
    with anyio.move_on_after(0.2) as scope:
        await work(objects, long)
    assert scope.cancelled_caught
    await nothing_left(objects, backend, sync)


@everywhere
async def test_fail_after(
    objects: Manager, long: Long, backend: Backend, sync: Any, work: Work
) -> None:
    with pytest.raises(TimeoutError), anyio.fail_after(0.2):
        await work(objects, long)
    await nothing_left(objects, backend, sync)


@both_kinds
async def test_a_scope_that_cancels_again_at_every_await(
    objects: Manager, backend: Backend, sync: Any
) -> None:
    """Between two statements: nothing is in flight, and all is rolled back."""
    with anyio.CancelScope() as scope:
        async with objects.atomic():
            await objects.create(User, name="never")
            async with objects.atomic():
                await objects.create(User, name="never either")
                scope.cancel()
                await objects.count(User)
                # It need not have waited, if the answer was there at once.
                await anyio.sleep_forever()
    assert scope.cancelled_caught
    await nothing_left(objects, backend, sync)


async def test_a_scope_that_cancels_a_group(
    objects: Manager, long: Long, backend: Backend, sync: Any
) -> None:
    async def read() -> None:
        rows = objects.database.aio_iterator(long.query)
        async for _ in rows:
            pass

    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(outside, objects, long)
            group.start_soon(read)
        await long.until_running(2)
        group.cancel_scope.cancel()
    await nothing_left(objects, backend, sync)


async def test_cancelled_while_it_is_rolled_back(
    objects: Manager, backend: Backend, sync: Any
) -> None:
    """The task may be cancelled as often as it likes: the ROLLBACK is not its own."""
    reached = asyncio.Event()

    async def block() -> None:
        async with objects.atomic():
            await objects.create(User, name="never")
            reached.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await reached.wait()
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    assert task.cancelled()
    await nothing_left(objects, backend, sync)


# A server that gives a statement up is no cancellation

SHORT = {
    "postgres": "SET LOCAL statement_timeout = 50",
    "mysql": "SET max_statement_time = 0.05",
}
# With MariaDB's SLEEP this has been seen to end without an error, once.
COLLATIONS = [f"information_schema.collations AS c{number}" for number in range(5)]
UNDER_WAY = {
    "postgres": "SELECT pg_sleep(60)",
    "mysql": f"SELECT COUNT(*) FROM {', '.join(COLLATIONS)}",
}


async def gives_up(objects: Manager, long: Long) -> None:
    async with objects.atomic():
        name = long.backend.name
        if name == "mysql" and "MariaDB" not in long.backend.description:
            pytest.skip("MySQL calls it max_execution_time.")
        await objects.execute(User.raw(SHORT[name]))
        await objects.execute(User.raw(UNDER_WAY[name]))


@servers_only
async def test_a_statement_that_the_server_gives_up(
    objects: Manager, long: Long, backend: Backend, sync: Any
) -> None:
    task = asyncio.create_task(gives_up(objects, long))
    with pytest.raises(peewee.OperationalError):
        await task
    assert task.cancelling() == 0
    assert not task.cancelled()
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(gives_up(objects, long))
    (error,) = caught.value.exceptions
    assert isinstance(error, peewee.OperationalError)
    await nothing_left(objects, backend, sync)


# Who waits is served

SOON_ENOUGH = 1.0


async def is_served(objects: Manager) -> None:
    async with asyncio.timeout(SOON_ENOUGH):
        assert await objects.count(User) == 0


def kill(database: AioDatabase, backend: Backend, sync: Any) -> None:
    if backend.name != "sqlite":
        end_other_sessions(backend, sync)
        return
    for connection in database.ready_sessions().pool._connections:
        connection.abort()


@pytest.mark.parametrize("how", ["cancelled", "killed", "dirty"])
async def test_waiters_are_served_when_a_connection_is_lost(
    objects: Manager,
    make_database: MakeDatabase,
    long: Long,
    backend: Backend,
    sync: Any,
    how: str,
) -> None:
    crowded = Manager(make_database(max_connections=1))
    long.watch(crowded.database)
    free = asyncio.Event()

    async def use() -> None:
        connection = await crowded.database.ready_sessions().pool.wait()
        await connection.execute(Statement("BEGIN"))
        await free.wait()
        crowded.database.ready_sessions().pool.give_back(connection)

    dirty = how == "dirty"
    user = asyncio.create_task(use() if dirty else crowded.execute(long.query))
    while statistics(crowded.database).busy < 1:  # noqa: ASYNC110
        await asyncio.sleep(0)
    if not dirty:
        await long.until_running()
    waiters = [asyncio.create_task(crowded.count(User)) for _ in range(5)]
    while statistics(crowded.database).waiting < 5:  # noqa: ASYNC110
        await asyncio.sleep(0)
    if how == "cancelled":
        user.cancel()
    elif how == "killed":
        kill(crowded.database, backend, sync)
    free.set()
    async with asyncio.timeout(SOON_ENOUGH):
        assert await asyncio.gather(*waiters) == [0] * 5
    await asyncio.wait([user])
    assert user.cancelled() == (how == "cancelled")
    assert (
        dirty
        or how == "cancelled"
        or isinstance(user.exception(), peewee.OperationalError)
    )


@servers_only
async def test_a_free_connection_is_served_while_another_connect_hangs(
    objects: Manager, database: AioDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = database.ready_sessions().pool
    connection = pool.take() or await pool.wait()
    hanging = asyncio.Event()

    async def hang() -> Any:
        hanging.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(pool, "_connect", hang)
    waiter = asyncio.create_task(is_served(objects))
    await hanging.wait()
    pool.give_back(connection)
    await waiter
    await is_served(objects)


# Children


@both_kinds
async def test_shield_and_wait_for_stay_in_the_block(objects: Manager) -> None:
    with pytest.raises(Oops):
        async with objects.atomic():
            await asyncio.shield(objects.create(User, name="a"))
            await asyncio.wait_for(objects.create(User, name="b"), 10)
            await asyncio.gather(
                *(objects.create(User, name=f"c{number}") for number in range(20))
            )
            assert await objects.count(User) == 22
            raise Oops
    assert await objects.count(User) == 0


@both_kinds
async def test_a_child_that_outlives_the_block(objects: Manager) -> None:
    over = asyncio.Event()

    async def child() -> None:
        await over.wait()
        await objects.create(User, name="child")

    with suppress(Oops):
        async with objects.atomic():
            task = asyncio.create_task(child())
            await objects.create(User, name="never")
            raise Oops
    over.set()
    await task
    users = await objects.execute(User.select())
    assert [user.name for user in users] == ["child"]
