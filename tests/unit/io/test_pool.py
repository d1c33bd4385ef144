"""The asyncio shell of the pool: futures, timers, tasks. The policy is the core's."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from typing import Any

import peewee
import pytest

from peewee_async.core.boundary import Statement, Status
from peewee_async.io.pool import Pool, PoolOptions
from tests.unit.fakes import CONNECT, FakeConnection, FakeServer, turns


def make_pool(server: FakeServer, maximum: int = 1, **options: Any) -> Pool:
    chosen = PoolOptions(max_connections=maximum, **options)
    return Pool(server.connect, "the fake", chosen, lambda connection: None)


@pytest.fixture
async def pool(server: FakeServer) -> AsyncIterator[Pool]:
    """A pool of one connection."""
    pool = make_pool(server)
    yield pool
    await pool.close()
    assert server.alive == []


async def waiting(pool: Pool) -> asyncio.Task[Any]:
    """A task that waits for a connection, and has begun to."""
    task = asyncio.create_task(pool.wait())
    await turns(1)
    return task


async def test_an_idle_connection_is_taken_without_waiting(
    server: FakeServer, pool: Pool
) -> None:
    assert pool.take() is None
    assert server.attempts == 0
    connection = await pool.wait()
    assert pool.take() is None
    pool.give_back(connection)
    assert pool.take() is connection
    pool.give_back(connection)
    assert await pool.wait() is connection
    pool.give_back(connection)


async def test_every_connection_is_shown_to_whoever_learns(server: FakeServer) -> None:
    seen: list[Any] = []
    options = PoolOptions(min_connections=2, max_connections=2)
    pool = Pool(server.connect, "the fake", options, seen.append)
    await pool.warm()
    await turns()
    assert seen == server.connections
    assert len(seen) == 2
    await pool.close()


async def test_waiters_are_served_in_the_order_of_coming(
    server: FakeServer, pool: Pool
) -> None:
    connection = await pool.wait()
    first, second = await waiting(pool), await waiting(pool)
    pool.give_back(connection)
    assert await first is connection
    assert not second.done()
    pool.give_back(connection)
    assert await second is connection
    pool.give_back(connection)
    assert server.attempts == 1


@pytest.mark.parametrize("status", [Status.OPEN, Status.ABORTED])
async def test_a_connection_in_a_transaction_is_dropped(
    server: FakeServer, pool: Pool, status: Status
) -> None:
    connection = await pool.wait()
    waiter = await waiting(pool)
    server.connections[0].status = status
    pool.give_back(connection)
    assert await waiter is not connection
    assert connection.closed
    assert not server.connections[0].said_goodbye
    pool.give_back(await waiter)


async def test_a_connection_that_broke_in_use_is_replaced(
    server: FakeServer, pool: Pool
) -> None:
    connection = await pool.wait()
    waiter = await waiting(pool)
    server.connections[0].break_off()
    pool.give_back(connection)
    assert await waiter is server.connections[1]
    pool.give_back(await waiter)


async def test_a_connection_that_broke_when_idle_is_not_handed_out(
    server: FakeServer, pool: Pool
) -> None:
    pool.give_back(await pool.wait())
    server.connections[0].break_off()
    assert pool.take() is None
    fresh = await pool.wait()
    assert fresh is server.connections[1]
    pool.give_back(fresh)


async def test_a_connection_that_breaks_while_handed_over_is_replaced(
    server: FakeServer, pool: Pool
) -> None:
    connection = await pool.wait()
    waiter = await waiting(pool)
    pool.give_back(connection)
    server.connections[0].break_off()
    assert await waiter is server.connections[1]
    pool.give_back(await waiter)


async def test_a_cancelled_waiter_is_withdrawn(pool: Pool) -> None:
    connection = await pool.wait()
    waiter = await waiting(pool)
    assert pool.statistics().waiting == 1
    waiter.cancel()
    await turns()
    assert waiter.cancelled()
    assert pool.statistics().waiting == 0
    pool.give_back(connection)
    assert pool.statistics().idle == 1


async def test_cancelled_just_before_the_hand_over(pool: Pool) -> None:
    connection = await pool.wait()
    waiter, next_one = await waiting(pool), await waiting(pool)
    waiter.cancel()
    pool.give_back(connection)
    assert await next_one is connection
    assert waiter.cancelled()
    pool.give_back(connection)
    assert pool.statistics().idle == 1


async def test_cancelled_just_after_the_hand_over(pool: Pool) -> None:
    connection = await pool.wait()
    waiter, next_one = await waiting(pool), await waiting(pool)
    pool.give_back(connection)
    waiter.cancel()
    assert await next_one is connection
    assert waiter.cancelled()
    pool.give_back(connection)
    assert pool.statistics().idle == 1


async def test_waits_no_longer_than_acquire_timeout(server: FakeServer) -> None:
    pool = make_pool(server, acquire_timeout=0)
    hold = server.hold(CONNECT)
    text = r"within 0 s \(acquire_timeout\): 0 of 1 are in use, 1 are being opened"
    with pytest.raises(peewee.OperationalError, match=text):
        await pool.wait()
    hold.release()
    await turns()
    assert pool.statistics().idle == 1
    await pool.close()


async def test_a_limit_does_not_outlive_the_wait(server: FakeServer) -> None:
    pool = make_pool(server, acquire_timeout=1000)
    timers = 0
    call_later = pool.loop.call_later

    def counting(*args: Any, **options: Any) -> asyncio.TimerHandle:
        nonlocal timers
        timers += 1
        handle = call_later(*args, **options)
        handles.append(handle)
        return handle

    handles: list[asyncio.TimerHandle] = []
    pool.loop.call_later = counting  # type: ignore[assignment, method-assign]
    pool.give_back(await pool.wait())
    assert timers == 1
    assert handles[0].cancelled()
    await pool.close()


async def test_connects_no_longer_than_connect_timeout(server: FakeServer) -> None:
    pool = make_pool(server, connect_timeout=0)
    server.hold(CONNECT)
    text = r"^Cannot connect to the fake: no answer within 0 s \(connect_timeout\)$"
    with pytest.raises(peewee.OperationalError, match=text):
        await pool.wait()
    await pool.close()


async def test_a_refusal_is_told_and_the_next_attempt_may_work(
    server: FakeServer, pool: Pool
) -> None:
    server.refusal = OSError("refused")
    text = "^Cannot connect to the fake: refused$"
    with pytest.raises(peewee.OperationalError, match=text) as caught:
        await pool.wait()
    assert caught.value.__cause__ is server.refusal
    server.refusal = None
    pool.give_back(await pool.wait())
    assert server.attempts == 2


async def test_a_connection_that_tells_nothing_is_given_up(server: FakeServer) -> None:
    def learn(connection: Any) -> None:
        raise ValueError("no version")

    pool = Pool(server.connect, "the fake", PoolOptions(), learn)
    with pytest.raises(peewee.OperationalError, match=r"the fake: no version$"):
        await pool.wait()
    assert server.alive == []
    await pool.close()


async def test_each_waiter_gets_an_error_of_its_own(
    server: FakeServer, pool: Pool
) -> None:
    server.refusal = OSError("refused")
    hold = server.hold(CONNECT)
    waiters = [await waiting(pool) for _ in range(3)]
    hold.release()
    errors = await asyncio.gather(*waiters, return_exceptions=True)
    assert len({id(error) for error in errors}) == 3
    assert {type(error) for error in errors} == {peewee.OperationalError}
    assert {str(error) for error in errors} == {"Cannot connect to the fake: refused"}
    assert all(error.__cause__ is server.refusal for error in errors)
    assert server.attempts == 1


async def test_waiters_wait_on_while_a_connection_is_in_use(
    server: FakeServer,
) -> None:
    pool = make_pool(server, 2)
    connection = await pool.wait()
    server.refusal = OSError("too many clients")
    waiter = await waiting(pool)
    await turns()
    assert server.attempts == 2
    assert not waiter.done()
    pool.give_back(connection)
    assert await waiter is connection
    pool.give_back(connection)
    await pool.close()


async def test_closing_says_goodbye_to_what_is_idle(
    server: FakeServer, pool: Pool
) -> None:
    pool.give_back(await pool.wait())
    await pool.close()
    assert pool.closed
    assert server.connections[0].said_goodbye
    await pool.close()


async def test_closing_refuses_those_who_wait(pool: Pool) -> None:
    connection = await pool.wait()
    waiters = [await waiting(pool) for _ in range(2)]
    await pool.close()
    for waiter in waiters:
        with pytest.raises(peewee.InterfaceError, match="was closed while"):
            await waiter
    pool.give_back(connection)
    await turns()


async def test_closing_refuses_those_who_come(pool: Pool) -> None:
    await pool.close()
    assert pool.take() is None
    with pytest.raises(peewee.InterfaceError, match="was closed"):
        await pool.wait()


async def test_closing_gives_up_what_is_being_opened(
    server: FakeServer, pool: Pool
) -> None:
    hold = server.hold(CONNECT)
    waiter = await waiting(pool)
    await hold.reached.wait()
    await pool.close()
    with pytest.raises(peewee.InterfaceError, match="was closed while"):
        await waiter
    assert pool.statistics().size == 0
    assert server.connections == []


async def test_closing_leaves_what_is_in_use_until_it_is_given_back(
    server: FakeServer, pool: Pool
) -> None:
    connection = await pool.wait()
    await pool.close()
    assert not connection.closed
    pool.give_back(connection)
    await turns()
    assert server.connections[0].said_goodbye


async def test_closing_waits_for_work_in_the_background(
    server: FakeServer, pool: Pool
) -> None:
    connection = await pool.wait()

    async def clean_up() -> None:
        await turns(3)
        pool.give_back(connection)

    pool.background(clean_up())
    await pool.close()
    assert server.connections[0].said_goodbye


async def test_a_goodbye_that_fails_ends_in_an_abort(
    server: FakeServer, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def close(self: FakeConnection) -> None:
        raise peewee.OperationalError("broken pipe")

    monkeypatch.setattr(FakeConnection, "close", close)
    pool.give_back(await pool.wait())
    await pool.close()
    assert server.connections[0].closed


async def test_opens_as_many_as_there_are_to_be(server: FakeServer) -> None:
    pool = make_pool(server, 5, min_connections=3)
    await pool.warm()
    await turns()
    assert pool.statistics().idle == 3
    await pool.close()
    assert all(each.said_goodbye for each in server.connections)


async def test_an_old_connection_is_replaced(server: FakeServer, pool: Pool) -> None:
    aged = make_pool(server, max_lifetime=0)
    for number in range(3):
        connection = await aged.wait()
        assert connection is server.connections[number]
        aged.give_back(connection)
    await aged.close()


async def use(pool: Pool) -> None:
    connection = await pool.wait()
    await connection.execute(Statement("SELECT 1"))
    pool.give_back(connection)


def test_the_end_of_asyncio_run_closes_the_pool(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    pools: list[Pool] = []

    async def main() -> None:
        pools.append(make_pool(server))
        await use(pools[0])

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(main())
        gc.collect()
    assert pools[0].closed
    assert server.connections[0].said_goodbye
    assert caught == []
    assert caplog.records == []


def test_a_pool_of_a_dead_loop_is_forgotten_without_it(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> Pool:
        pool = make_pool(server, 2)
        await use(pool)
        await pool.wait()
        return pool

    loop = asyncio.new_event_loop()
    pool = loop.run_until_complete(main())
    loop.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pool.forget()
        assert pool.closed
        del pool
        gc.collect()
    assert server.alive == []
    assert caught == []
    assert caplog.records == []


async def test_forgetting_refuses_those_who_wait(
    server: FakeServer, pool: Pool
) -> None:
    connection = await pool.wait()
    waiter = await waiting(pool)
    pool.forget()
    assert connection.closed
    await turns()
    assert waiter.done()
    with pytest.raises(peewee.InterfaceError, match="was closed while"):
        await waiter
    pool.give_back(connection)


def test_who_waits_on_a_dead_loop_is_no_trouble(server: FakeServer) -> None:
    async def main() -> tuple[Pool, asyncio.Task[Any]]:
        pool = make_pool(server)
        await pool.wait()
        return pool, await waiting(pool)

    loop = asyncio.new_event_loop()
    pool, waiter = loop.run_until_complete(main())
    loop.close()
    pool.forget()
    assert server.alive == []
    assert not waiter.done()
    waiter._log_destroy_pending = False  # type: ignore[attr-defined]
