"""Cancelled at every await, in every way: nothing is lost, nothing is left."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any

import peewee
import pytest

from peewee_async import AioDatabase, Manager
from tests.integration.backends import POOL_SIZE, Backend
from tests.integration.checks import only, statistics
from tests.integration.conftest import CreateTables
from tests.integration.models import Post, Token, User
from tests.integration.watching import (
    open_transactions,
    until_sessions,
)

servers_only = only("postgres", "mysql")

# The seconds that a server may take for anything here.
SOON = 10


class Oops(Exception):
    pass


# At every await

LASTING = sys.maxsize


class Cancelling:
    """Work whose task is cancelled when it waits for the nth time, and so many more.

    `await` gives whether it was cancelled before it came to its end.
    """

    def __init__(self, work: Coroutine[Any, Any, Any], at: int, times: int) -> None:
        self._work = work
        self._at = at
        self._times = times

    def __await__(self) -> Generator[Any, Any, bool]:
        task = asyncio.current_task()
        assert task is not None
        waits, answer, error = 0, None, None
        while True:
            try:
                if error is not None:
                    waited_for = self._work.throw(error)
                else:
                    waited_for = self._work.send(answer)
            except StopIteration:
                return False
            except asyncio.CancelledError:
                return True
            if self._at <= waits < self._at + self._times:
                task.cancel()
            waits += 1
            answer = error = None
            try:
                answer = yield waited_for
            except BaseException as interruption:
                error = interruption


async def cancelled(work: Coroutine[Any, Any, Any], at: int, times: int) -> bool:
    """Do work in a task of its own that is cancelled; False if it was done before."""

    async def run() -> bool:
        return await Cancelling(work, at, times)

    return await asyncio.create_task(run())


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
    async with objects.atomic():
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
    async with asyncio.timeout(SOON):
        while True:
            for _ in range(5):
                count = objects.database.pool_statistics()
                if (count.busy, count.waiting) == (0, 0):
                    return
                await asyncio.sleep(0)
            gc.collect()  # a transaction that was begun by hand is nobody's any more


async def whole_labels(objects: Manager) -> set[str]:
    """Give the labels whose two rows are there; half a one is a failure."""
    rows = await objects.execute(Token.select(Token.label).tuples())
    labels = [label for (label,) in rows]
    assert len(labels) == len(set(labels))
    whole = {label[:-1] for label in labels}
    assert set(labels) == {f"{label}{end}" for label in whole for end in "ab"}
    return whole


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
    assert open_transactions(backend, sync) == 0
