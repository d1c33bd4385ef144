"""A network that is stalled or half-open: only limits of time end a wait for it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import Any

import peewee
import pytest

from peewee_async import Manager
from tests.integration.checks import both_kinds
from tests.integration.faults.common import (
    LARGE,
    SEVEN,
    Oops,
    lines,
    recovered,
    servers_only,
    settled,
    until,
    write,
)
from tests.integration.faults.conftest import MakeManager
from tests.integration.models import Line
from tests.integration.proxy import DOWN, UP, Direction, Fault, Proxy

pytestmark = servers_only

both_ways = pytest.mark.parametrize("direction", [UP, DOWN])
silences = pytest.mark.parametrize(
    ("fault", "direction"),
    [(Fault.STALL, UP), (Fault.STALL, DOWN), (Fault.HALF_OPEN, UP)],
)

# Seconds: more than a query takes, even if the machine has much else to do.
LIMIT = 0.4


@pytest.fixture
def limited(make_through: MakeManager, pooled: bool) -> Manager:
    return make_through(pooled=pooled, query_timeout=LIMIT)


def given_up(error: BaseException) -> bool:
    return isinstance(error, peewee.OperationalError) and "query_timeout" in str(error)


# While connecting


@silences
async def test_a_connect_that_hangs_in_the_middle(
    make_through: MakeManager, proxy: Proxy, fault: Fault, direction: Direction
) -> None:
    through = make_through(connect_timeout=60)
    await through.connect()
    total = proxy.passed[direction]
    await through.close()
    hasty = make_through(connect_timeout=0.1)
    for after in (0, total // 2, total - 1):
        proxy.arm(fault, direction, after)
        while not proxy.struck.is_set():  # the limit may come first
            with pytest.raises(peewee.OperationalError, match="connect_timeout"):
                await hasty.connect()
        assert not hasty.is_connected
        assert hasty.database.pool_statistics()[:5] == (0, 0, 0, 0, 0)
    await recovered(through)


async def test_a_free_connection_is_served_while_another_connect_hangs(
    make_through: MakeManager, proxy: Proxy
) -> None:
    through = make_through(max_connections=2)
    await through.connect()
    inside, go_on = asyncio.Barrier(2), asyncio.Event()

    async def hold() -> None:
        async with through.atomic():
            await through.count(Line)
            await inside.wait()
            await go_on.wait()

    holder = asyncio.create_task(hold())
    await inside.wait()
    proxy.silent = True
    waiters = [asyncio.create_task(through.count(Line)) for _ in range(5)]
    await until(lambda: through.database.pool_statistics().opening)
    go_on.set()
    async with asyncio.timeout(1):
        assert await asyncio.gather(*waiters) == [0] * 5
    await holder
    assert through.database.pool_statistics()[:5] == (2, 1, 0, 1, 0)
    await through.close()


async def test_closing_while_a_connect_hangs(
    make_through: MakeManager, proxy: Proxy
) -> None:
    through = make_through(connect_timeout=60)
    proxy.silent = True
    task = asyncio.create_task(through.count(Line))
    await until(lambda: proxy.links)
    async with asyncio.timeout(5):
        await through.close()
    with pytest.raises(peewee.InterfaceError):
        await task
    proxy.silent = False
    assert await through.count(Line) == 0


# In a query


@silences
async def test_a_query(
    limited: Manager, proxy: Proxy, sync: Any, fault: Fault, direction: Direction
) -> None:
    await write(limited, "well")
    before = limited.database.pool_statistics()
    for after in (0, 5):
        await limited.count(Line)
        await settled(limited, proxy)
        proxy.arm(fault, direction, after)
        with pytest.raises(peewee.OperationalError) as caught:
            await write(limited, "lost")
        assert given_up(caught.value)
        assert proxy.sent.count(b"INSERT") <= 1
        now = limited.database.pool_statistics()
        assert (now.busy, now.waiting) == (0, 0)
        assert now.discarded > before.discarded
    proxy.strike(Fault.RESET)
    await recovered(limited)
    assert lines(sync).count("lost") <= 2


async def test_a_statement_that_does_not_get_through(
    limited: Manager, proxy: Proxy
) -> None:
    """More than all buffers on the way can take."""
    await limited.connect()
    proxy.stall()
    query = peewee.Select(columns=[peewee.Value("x" * 12_000_000)])
    with pytest.raises(peewee.OperationalError) as caught:
        await limited.scalar(query)
    assert given_up(caught.value)
    await recovered(limited)


async def test_those_who_wait_for_a_stalled_connection(
    make_through: MakeManager, proxy: Proxy
) -> None:
    crowded = make_through(max_connections=2, query_timeout=LIMIT)
    await recovered(crowded)
    proxy.stall()
    stuck = [asyncio.create_task(crowded.count(Line)) for _ in range(2)]
    waiting = [asyncio.create_task(crowded.count(Line)) for _ in range(10)]
    for task in stuck:
        with pytest.raises(peewee.OperationalError, match="query_timeout"):
            await task
    async with asyncio.timeout(1):
        assert await asyncio.gather(*waiting) == [0] * 10
    await recovered(crowded)


async def test_a_limit_of_the_users_own(through: Manager, proxy: Proxy) -> None:
    await through.connect()
    proxy.stall()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await through.count(Line)
    with suppress(TimeoutError):
        await recovered(through)
    await recovered(through)


# In a block


@silences
async def test_between_two_statements_of_a_block(
    limited: Manager, proxy: Proxy, sync: Any, fault: Fault, direction: Direction
) -> None:
    with pytest.raises(peewee.OperationalError) as caught:
        async with limited.atomic():
            await write(limited, "before")
            proxy.strike(fault, direction)
            with pytest.raises(peewee.OperationalError, match="query_timeout"):
                await write(limited, "in between")
            for _ in range(2):
                with pytest.raises(peewee.OperationalError, match="lost"):
                    await write(limited, "after")
    assert "lost" in str(caught.value)
    proxy.strike(Fault.RESET)
    await recovered(limited)
    assert lines(sync) == []
    await write(limited, "again")
    assert lines(sync) == ["again"]


@silences
async def test_at_the_commit(
    limited: Manager, proxy: Proxy, sync: Any, fault: Fault, direction: Direction
) -> None:
    called: list[int] = []
    with pytest.raises(peewee.OperationalError) as caught:
        async with limited.atomic() as tx:
            await write(limited, "one")
            tx.after_commit(lambda: called.append(1))
            proxy.strike(fault, direction)
    assert given_up(caught.value)
    assert called == []
    proxy.strike(Fault.RESET)
    await recovered(limited)
    assert lines(sync) == (["one"] if direction is DOWN else [])


@silences
async def test_at_the_rollback(
    limited: Manager, proxy: Proxy, sync: Any, fault: Fault, direction: Direction
) -> None:
    """The user's own error comes out."""
    with pytest.raises(Oops) as caught:
        async with limited.atomic():
            await write(limited, "one")
            proxy.strike(fault, direction)
            raise Oops
    assert "query_timeout" in "".join(caught.value.__notes__)
    proxy.strike(Fault.RESET)
    await recovered(limited)
    assert lines(sync) == []


async def test_at_the_rollback_of_a_cancelled_block(
    through: Manager, proxy: Proxy, sync: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounded without a limit of the user's."""
    monkeypatch.setattr("peewee_async.blocks.CLEAN_UP_LIMIT", 0.05)
    reached = asyncio.Event()

    async def work() -> None:
        async with through.atomic():
            await write(through, "one")
            proxy.stall()
            reached.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    proxy.strike(Fault.RESET)
    await recovered(through)
    assert lines(sync) == []


# Idle


@both_kinds
async def test_idle_and_half_open(
    make_through: MakeManager,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    pooled: bool,
) -> None:
    """The peer is gone and has not said so: the first query succeeds all the same."""
    monkeypatch.setattr("peewee_async.io.connecting.PING_LIMIT", LIMIT)
    through = make_through(pooled=pooled, ping_idle=0)
    pool = through.database.ready_sessions().pool
    size = through.database._pool_options.max_connections
    for connection in [await pool.wait() for _ in range(size)]:
        pool.give_back(connection)
    proxy.strike(Fault.HALF_OPEN)
    assert await through.scalar(SEVEN) == 7
    count = through.database.pool_statistics()
    # One is asked, and those that were idle for longer go with it.
    assert count.discarded == size
    await recovered(through)


@silences
async def test_closing(
    through: Manager, proxy: Proxy, fault: Fault, direction: Direction
) -> None:
    await recovered(through)
    proxy.strike(fault, direction)
    async with asyncio.timeout(10):
        await through.close()
    assert not through.is_connected
    await recovered(through)


# Streams


@pytest.mark.parametrize(
    ("fault", "direction"), [(Fault.STALL, DOWN), (Fault.HALF_OPEN, UP)]
)
@pytest.mark.parametrize("in_block", [False, True])
async def test_a_stream(
    limited: Manager,
    proxy: Proxy,
    fault: Fault,
    direction: Direction,
    in_block: bool,
) -> None:
    query = Line.raw(LARGE).tuples()

    async def read() -> None:
        rows = limited.database.aio_iterator(query, batch_size=2)
        async with aclosing(rows):
            await anext(rows)
            proxy.strike(fault, direction)
            async for _ in rows:
                pass

    with pytest.raises(peewee.OperationalError) as caught:
        if in_block:
            async with limited.atomic():
                await read()
        else:
            await read()
    assert given_up(caught.value)
    await recovered(limited)
