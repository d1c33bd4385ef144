"""The asyncio shell of the pool: futures, timers, tasks. The policy is the core's."""

from __future__ import annotations

import asyncio
import gc
import sys
import traceback
import warnings
import weakref
from collections.abc import AsyncIterator, Collection
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


def timers(pool: Pool) -> set[str]:
    """Name what the event loop will call later."""
    loop: Any = pool.loop
    names = set()
    for handle in loop._scheduled:
        if not handle.cancelled():
            method = handle._args[0] if handle._args else None
            called = method if callable(method) else handle._callback
            names.add(called.__qualname__)
    return names


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


async def test_many_cancelled_in_the_moment_a_connection_comes_back(
    pool: Pool,
) -> None:
    connection = await pool.wait()
    waiters = [asyncio.create_task(pool.wait()) for _ in range(sys.getrecursionlimit())]
    await turns(1)
    for waiter in waiters:
        waiter.cancel()
    pool.give_back(connection)
    await asyncio.wait(waiters)
    assert all(waiter.cancelled() for waiter in waiters)
    assert pool.take() is connection
    pool.give_back(connection)


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
    before = timers(pool)
    waiter = await waiting(pool)
    assert timers(pool) - before == {"Pool._expire", "Pool._tick"}
    pool.give_back(await waiter)
    assert timers(pool) - before == {"Pool._tick"}
    await pool.close()
    assert timers(pool) == before


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
    closer = await closing(pool)
    for waiter in waiters:
        with pytest.raises(peewee.InterfaceError, match="was closed while"):
            await waiter
    pool.give_back(connection)
    await closer


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


async def closing(pool: Pool, spared: Collection[Any] = ()) -> asyncio.Task[None]:
    """A task that closes a pool, and has begun to wait."""
    task = asyncio.create_task(pool.close(spared))
    await turns()
    return task


async def test_closing_waits_for_what_is_in_use(server: FakeServer, pool: Pool) -> None:
    connection = await pool.wait()
    closers = [await closing(pool), await closing(pool)]
    assert not connection.closed
    assert not any(task.done() for task in closers)
    assert not pool.finished
    pool.give_back(connection)
    await asyncio.gather(*closers)
    assert server.connections[0].said_goodbye
    assert pool.finished


async def test_closing_gives_up_what_is_in_use_for_too_long(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make_pool(server, 2, close_timeout=0)
    connection, other = await pool.wait(), await pool.wait()
    server.hold("SELECT 1")
    query = asyncio.create_task(connection.execute(Statement("SELECT 1")))
    await turns()
    await pool.close()
    assert connection.closed
    assert other.closed
    with pytest.raises(peewee.OperationalError, match="broke"):
        await query
    assert "closed with 2 of its connections still in use" in caplog.text
    assert pool.finished
    pool.give_back(connection)
    pool.give_back(other)
    assert pool.statistics().size == 0


async def test_closing_without_a_limit_waits(server: FakeServer) -> None:
    pool = make_pool(server, close_timeout=None)
    connection = await pool.wait()
    before = timers(pool)
    closer = await closing(pool)
    assert timers(pool) < before
    pool.give_back(connection)
    await closer


async def test_closing_does_not_wait_for_the_callers_own(
    server: FakeServer,
) -> None:
    pool = make_pool(server, 3, close_timeout=1000)
    one, two, other = [await pool.wait() for _ in range(3)]
    closers = [await closing(pool, [one]), await closing(pool, [two])]
    assert not any(task.done() for task in closers)
    pool.give_back(other)
    await asyncio.gather(*closers)
    assert not one.closed
    assert not two.closed
    pool.give_back(one)
    pool.give_back(two)
    await turns()
    assert server.alive == []
    assert pool.finished


async def test_a_cancelled_close_leaves_what_is_in_use(
    server: FakeServer, pool: Pool
) -> None:
    connection = await pool.wait()
    closer = await closing(pool)
    closer.cancel()
    await turns()
    assert closer.cancelled()
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


# While time goes by


async def test_a_connection_that_died_when_idle_is_replaced_in_time(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peewee_async.io.pool.TICK", 0)
    pool = make_pool(server, 2)
    await pool.warm()
    server.connections[0].break_off()
    while not server.alive:  # noqa: ASYNC110 - the timer gives no notice
        await asyncio.sleep(0)
    count = pool.statistics()
    assert (count.opened, count.discarded, count.idle) == (2, 1, 1)
    await pool.close()


async def test_what_is_idle_for_too_long_is_closed_in_time(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(server, 3, max_idle=0)
    connections = [await pool.wait() for _ in range(3)]
    for connection in connections:
        pool.give_back(connection)
    assert pool.statistics().idle == 3
    pool._tick()
    assert pool.statistics().idle == 1
    await turns()
    assert server.alive == [server.connections[2]]
    assert server.connections[0].said_goodbye
    await pool.close()


async def test_the_minimum_is_restored_after_the_server_was_down(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    pool = make_pool(server)
    monkeypatch.setattr(pool.loop, "time", lambda: clock[0])
    await pool.warm()
    server.connections[0].break_off()
    server.refusal = OSError("refused")
    pool._tick()
    await turns()
    assert server.attempts == 2
    pool._tick()
    await turns()
    assert server.attempts == 2
    server.refusal = None
    clock[0] += 1
    pool._tick()
    await turns()
    assert server.attempts == 3
    assert pool.statistics().idle == 1
    monkeypatch.undo()
    await pool.close()


async def test_no_timer_is_left_behind(server: FakeServer) -> None:
    pool = make_pool(server, 2)
    before = timers(pool)
    connection = await pool.wait()
    server.refusal = OSError("too many clients")
    waiter = await waiting(pool)
    await turns()
    assert timers(pool) - before == {"Pool._expire", "Pool._tick", "Pool._retry"}
    pool.give_back(connection)
    await waiter
    pool.give_back(connection)
    await pool.close()
    assert timers(pool) == before


async def test_attempts_are_repeated_for_one_who_waits(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peewee_async.core.pool.FIRST_RETRY", 0)
    pool = make_pool(server, 2)
    connection = await pool.wait()
    server.refusal = OSError("too many clients")
    waiter = await waiting(pool)
    while server.attempts < 4:  # noqa: ASYNC110 - an attempt gives no notice
        await asyncio.sleep(0)
    server.refusal = None
    pool.give_back(await waiter)
    pool.give_back(connection)
    await pool.close()


# Checked before use


async def test_a_connection_that_was_idle_for_long_is_checked(
    server: FakeServer,
) -> None:
    pool = make_pool(server, ping_idle=0)
    pool.give_back(await pool.wait())
    assert pool.take() is None
    assert server.sent == []
    assert await pool.wait() is server.connections[0]
    assert server.sent == ["SELECT 1"]
    pool.give_back(server.connections[0])
    await pool.close()


@pytest.mark.parametrize("breaks", [True, False])
async def test_a_connection_that_does_not_answer_well_is_replaced(
    server: FakeServer, breaks: bool
) -> None:
    pool = make_pool(server, ping_idle=0)
    pool.give_back(await pool.wait())
    server.fail("SELECT 1", peewee.OperationalError("gone"), breaks)
    assert await pool.wait() is server.connections[1]
    assert server.connections[0].closed
    pool.give_back(server.connections[1])
    await pool.close()


async def test_a_connection_that_does_not_answer_in_time_is_replaced(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peewee_async.io.connecting.PING_LIMIT", 0)
    pool = make_pool(server, ping_idle=0)
    pool.give_back(await pool.wait())
    server.hold("SELECT 1")
    assert await pool.wait() is server.connections[1]
    assert server.connections[0].closed
    pool.give_back(server.connections[1])
    await pool.close()


async def test_one_who_gives_up_during_a_check_leaves_the_connection(
    server: FakeServer,
) -> None:
    pool = make_pool(server, ping_idle=0)
    pool.give_back(await pool.wait())
    hold = server.hold("SELECT 1")
    waiter = await waiting(pool)
    await hold.reached.wait()
    waiter.cancel()
    await turns()
    hold.release()
    await turns()
    assert pool.statistics().idle == 1
    await pool.close()


@pytest.mark.parametrize("count", [0, 5])
async def test_closing_ends_a_check(server: FakeServer, count: int) -> None:
    """Also one that has not begun yet."""
    pool = make_pool(server, ping_idle=0, close_timeout=1000)
    pool.give_back(await pool.wait())
    server.hold("SELECT 1")
    waiter = asyncio.create_task(pool.wait())
    await turns(1 + count)
    await pool.close()
    with pytest.raises(peewee.InterfaceError, match="was closed while"):
        await waiter
    assert server.alive == []
    assert pool.finished


@pytest.mark.parametrize("count", [1, 5])
async def test_an_attempt_that_is_cancelled_takes_no_slot(
    server: FakeServer, count: int
) -> None:
    """Whoever cancels all tasks of a loop, before they begin or later."""
    pool = make_pool(server)
    server.hold(CONNECT)
    before = asyncio.all_tasks()
    waiter = asyncio.create_task(pool.wait())
    await turns(count)
    (attempt,) = asyncio.all_tasks() - before - {waiter}
    attempt.cancel()
    with pytest.raises(peewee.OperationalError, match="the attempt was cancelled"):
        await waiter
    assert pool.statistics().size == 0
    await pool.close()


# What is left


async def test_a_pool_that_nobody_has_any_more_closes_itself(
    server: FakeServer,
) -> None:
    pool = make_pool(server)
    await pool.warm()
    await turns()
    del pool
    gc.collect()
    await turns(30)
    assert server.connections[0].said_goodbye


def test_a_pool_that_is_collected_after_its_loop_leaves_nothing(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    pools: list[Pool] = []

    async def main() -> None:
        pools.append(make_pool(server))
        await use(pools[0])

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    pools.clear()
    gc.collect()
    assert server.alive == []
    assert caplog.records == []


def test_a_forked_process_leaves_what_it_collects_alone(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools: list[Pool] = []

    async def main() -> None:
        pools.append(make_pool(server))
        await use(pools[0])

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    with monkeypatch.context() as patch:
        patch.setattr("os.getpid", lambda: -1)
        pools.clear()
        gc.collect()
        assert len(server.alive) == 1
    loop.run_until_complete(turns(30))
    loop.close()
    assert server.connections[0].said_goodbye


async def test_cycles_leave_nothing(server: FakeServer) -> None:
    tasks = asyncio.all_tasks()
    for _ in range(1000):
        pool = make_pool(server)
        await pool.warm()
        await pool.close()
        assert pool.finished
    assert timers(pool) <= {"Timeout._on_timeout"}
    assert asyncio.all_tasks() == tasks
    assert server.alive == []
    loop: Any = pool.loop
    known = weakref.ref(pool)
    del pool
    assert known() is None
    assert len(loop._asyncgens) < 10


def test_giving_back_after_the_loop_is_closed(server: FakeServer) -> None:
    async def main() -> tuple[Pool, Any, Any, asyncio.Task[Any]]:
        pool = make_pool(server, 2)
        one, two = await pool.wait(), await pool.wait()
        return pool, one, two, await waiting(pool)

    loop = asyncio.new_event_loop()
    pool, one, two, waiter = loop.run_until_complete(main())
    waiter._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    pool.give_back(one)
    pool.give_back(two)
    assert server.alive == []
    assert pool.closed


def test_the_end_of_a_loop_waits_a_moment_for_what_is_in_use(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tasks were cancelled; but generators may still be closing."""
    monkeypatch.setattr("peewee_async.io.pool.LAST_MOMENT", 0)
    pools: list[Pool] = []

    async def main(**options: Any) -> None:
        pools.append(make_pool(server, **options))
        await pools[-1].wait()

    asyncio.run(main(close_timeout=1000))
    asyncio.run(main(close_timeout=None))
    assert server.alive == []
    assert all(pool.finished for pool in pools)


async def test_errors_that_are_kept_hold_no_connection(
    server: FakeServer, pool: Pool
) -> None:
    server.refusal = OSError("refused")
    kept = []
    for _ in range(20):
        with pytest.raises(peewee.OperationalError) as caught:
            await pool.wait()
        kept.append(caught.value)
    server.refusal = None
    assert pool.statistics().size == 0
    pool.give_back(await pool.wait())
    assert pool.statistics().idle == 1
    assert len(kept) == 20


async def test_an_interrupted_connect_tells_nothing_of_its_options(
    server: FakeServer, pool: Pool
) -> None:
    hold = server.hold(CONNECT)
    task = asyncio.create_task(pool.wait_for_own())
    await hold.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    names = [frame.f_code.co_qualname for frame in frames]
    assert names[-1] == "open_connection"


async def test_statistics(server: FakeServer, pool: Pool) -> None:
    connection = await pool.wait()
    waiter = await waiting(pool)
    count = pool.statistics()
    assert count[:5] == (1, 0, 1, 0, 1)
    assert (count.opened, count.discarded, count.waits) == (1, 0, 2)
    pool.give_back(connection)
    pool.give_back(await waiter)
    assert pool.statistics()[:5] == (1, 1, 0, 0, 0)
    assert pool.statistics().wait_seconds > 0


async def test_one_who_was_cancelled_just_before_the_end_is_not_refused(
    pool: Pool,
) -> None:
    connection = await pool.wait()
    waiter = await waiting(pool)
    waiter.cancel()
    closer = asyncio.create_task(pool.close())
    await turns()
    assert waiter.cancelled()
    pool.give_back(connection)
    await closer


def test_a_loop_that_was_closed_in_the_middle_of_connecting(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> tuple[Pool, asyncio.Task[Any]]:
        pool = make_pool(server)
        hold = server.hold(CONNECT)
        waiter = await waiting(pool)
        await hold.reached.wait()
        return pool, waiter

    loop = asyncio.new_event_loop()
    pool, waiter = loop.run_until_complete(main())
    waiter._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pool.forget()
        del pool, waiter
        gc.collect()
    assert server.connections == []
    assert caught == []
    assert caplog.records == []
