"""Sessions that were abandoned in the middle of a statement are ended."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator
from typing import Any

import peewee
import pytest

from peewee_async.core import plans
from peewee_async.core.boundary import Statement
from peewee_async.core.transactions import Transactions
from peewee_async.io.pool import Pool, PoolOptions
from peewee_async.io.session import Session, run_limited
from tests.unit.fakes import CONNECT, FakeConnection, FakeServer, turns
from tests.unit.models import POSTGRES


@pytest.fixture
def server() -> FakeServer:
    server = FakeServer()
    server.numbers_sessions = True
    return server


def end(session: int, own: int, seconds: float) -> Statement:
    assert own > session
    assert 0 <= seconds < 60
    return Statement(f"END {session}")


def make_pool(server: FakeServer, maximum: int = 1, **options: Any) -> Pool:
    # Nothing is opened but what a test asks for.
    chosen = PoolOptions(0, maximum, **options)
    return Pool(server.connect, "the fake", chosen, lambda it: None, end_session=end)


@pytest.fixture
async def pool(server: FakeServer) -> AsyncIterator[Pool]:
    pool = make_pool(server, 3)
    yield pool
    await pool.close()
    assert server.alive == []
    assert server.violations == []


def ended(server: FakeServer) -> list[str]:
    return [sql for sql in server.sent if sql.startswith("END")]


async def send(pool: Pool, sql: str) -> None:
    connection = pool.take() or await pool.wait()
    try:
        await run_limited(plans.raw(POSTGRES, sql), connection, pool)
    finally:
        pool.give_back(connection)


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def abandon(server: FakeServer, pool: Pool) -> None:
    hold = server.hold("SLOW")
    task = asyncio.create_task(send(pool, "SLOW"))
    await hold.reached.wait()
    await cancel(task)


async def test_a_session_that_was_cancelled_in_a_statement_is_ended(
    server: FakeServer, pool: Pool
) -> None:
    await abandon(server, pool)
    assert pool.statistics().size == 0
    await turns()
    assert ended(server) == ["END 1"]
    assert [each.said_goodbye for each in server.connections] == [False, True]
    # The one that did it is not of the pool.
    assert pool.statistics().opened == 1


async def test_nothing_waits_for_it(server: FakeServer, pool: Pool) -> None:
    hold = server.hold("END")
    await abandon(server, pool)
    await hold.reached.wait()
    await send(pool, "NEXT")
    assert "NEXT" in server.sent
    hold.release()


async def test_one_connection_ends_all_that_were_abandoned_meanwhile(
    server: FakeServer, pool: Pool
) -> None:
    holds = [server.hold("SLOW") for _ in range(3)]
    tasks = [asyncio.create_task(send(pool, "SLOW")) for _ in range(3)]
    for hold in holds:
        await hold.reached.wait()
    connecting = server.hold(CONNECT)
    await cancel(tasks[0])
    await connecting.reached.wait()
    await cancel(tasks[1])
    await cancel(tasks[2])
    connecting.release()
    await turns()
    assert sorted(ended(server)) == ["END 1", "END 2", "END 3"]
    assert len(server.connections) == 4


async def test_one_that_is_abandoned_while_the_last_one_says_goodbye(
    server: FakeServer, pool: Pool
) -> None:
    await send(pool, "FIRST")
    hold, slow = server.hold("END"), server.hold("SLOW")
    await asyncio.gather(send(pool, "A"), send(pool, "B"))
    task = asyncio.create_task(send(pool, "SLOW"))
    await slow.reached.wait()
    await abandon(server, pool)
    await hold.reached.wait()
    hold.release()
    await turns(2)  # the goodbye takes three
    await cancel(task)
    await turns(20)
    assert len(ended(server)) == 2


async def test_a_statement_that_has_ended_leaves_nothing_to_end(
    server: FakeServer, pool: Pool
) -> None:
    server.fail("NEXT", peewee.OperationalError("broken"), breaks=True)
    with pytest.raises(peewee.OperationalError, match="broken"):
        await send(pool, "NEXT")
    await turns()
    assert len(server.connections) == 1


async def test_a_transaction_that_nobody_ended_is_ended_by_the_closed_socket(
    server: FakeServer, pool: Pool
) -> None:
    await send(pool, "BEGIN")
    await turns()
    assert server.connections[0].closed
    assert len(server.connections) == 1


async def test_the_query_timeout(server: FakeServer) -> None:
    pool = make_pool(server, query_timeout=0.01)
    server.hold("SLOW")
    with pytest.raises(peewee.OperationalError, match="query_timeout"):
        await send(pool, "SLOW")
    await turns()
    assert ended(server) == ["END 1"]
    await pool.close()


async def test_a_block_that_goes_on_does_not_delay_it(
    server: FakeServer, pool: Pool
) -> None:
    session = Session(pool, await pool.wait(), POSTGRES)
    block = (await begin(session)).blocks[0]
    hold = server.hold("SLOW")
    child = asyncio.create_task(
        session.run(block, lambda _: plans.raw(POSTGRES, "SLOW"))
    )
    await hold.reached.wait()
    await cancel(child)
    await turns()
    assert ended(server) == ["END 1"]
    session.end(block)
    await turns()
    assert ended(server) == ["END 1"]  # once


async def begin(session: Session) -> Transactions:
    await session.run(None, lambda transactions: transactions.transaction())
    return session.transactions


async def test_a_block_that_ends_while_a_child_is_in_a_statement(
    server: FakeServer, pool: Pool
) -> None:
    session = Session(pool, await pool.wait(), POSTGRES)
    block = (await begin(session)).blocks[0]
    hold = server.hold("SLOW")
    child = asyncio.create_task(
        session.run(block, lambda _: plans.raw(POSTGRES, "SLOW"))
    )
    await hold.reached.wait()
    session.end(block)
    with pytest.raises(peewee.OperationalError):
        await child
    await turns()
    assert ended(server) == ["END 1"]


async def test_closing_ends_what_is_still_in_use(server: FakeServer) -> None:
    pool = make_pool(server, close_timeout=0.01)
    hold = server.hold("SLOW")
    task = asyncio.create_task(send(pool, "SLOW"))
    await hold.reached.wait()
    await pool.close()
    assert ended(server) == ["END 1"]
    assert server.alive == []
    with pytest.raises(peewee.OperationalError):
        await task


async def test_closing_waits_for_it_and_not_for_long(
    server: FakeServer, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peewee_async.io.pool.LAST_MOMENT", 0.01)
    server.hold("END")
    await abandon(server, pool)
    await turns()
    await pool.close()
    assert server.alive == []


async def test_an_attempt_that_was_interrupted_is_repeated_by_closing(
    server: FakeServer, pool: Pool
) -> None:
    """As at the end of `asyncio.run`, which cancels all tasks first."""
    hold = server.hold("END")
    await abandon(server, pool)
    await hold.reached.wait()
    assert pool._ending is not None
    await cancel(pool._ending)
    assert ended(server) == ["END 1"]
    await pool.close()
    assert ended(server) == ["END 1", "END 1"]


async def test_a_server_that_cannot_be_reached(
    server: FakeServer, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    server.hold("SLOW")
    hold = server.hold(CONNECT)
    with caplog.at_level(logging.WARNING, "peewee.async"):
        task = asyncio.create_task(send(pool, "SLOW"))
        await hold.reached.wait()
        hold.release()
        await turns()
        server.refusal = peewee.OperationalError("no more connections")
        await cancel(task)
        await turns()
    assert "1 sessions could not be ended" in caplog.text
    assert "no more connections" in caplog.text
    server.refusal = None
    await abandon(server, pool)
    await turns()
    assert ended(server) == ["END 2"]


async def test_a_server_that_does_not_answer(
    server: FakeServer,
    pool: Pool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("peewee_async.io.abandoned.END_LIMIT", 0.01)
    server.hold("END")
    with caplog.at_level(logging.WARNING, "peewee.async"):
        await abandon(server, pool)
        await turns()
        assert pool._ending is not None
        await pool._ending
    assert "TimeoutError" in caplog.text
    assert server.alive == []


async def test_a_session_that_has_ended_by_itself(
    server: FakeServer, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    server.fail("END", peewee.OperationalError(1094, "Unknown thread id"))
    with caplog.at_level(logging.DEBUG, "peewee.async"):
        await abandon(server, pool)
        await turns()
    (record,) = [each for each in caplog.records if "could not be" in each.msg]
    assert record.levelno == logging.DEBUG
    assert server.connections[1].said_goodbye


async def test_the_connection_breaks(
    server: FakeServer, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    server.fail("END", peewee.OperationalError("gone"), breaks=True)
    with caplog.at_level(logging.WARNING, "peewee.async"):
        await abandon(server, pool)
        await turns()
    assert "gone" in caplog.text


async def test_a_server_without_sessions(server: FakeServer, pool: Pool) -> None:
    server.numbers_sessions = False
    await abandon(server, pool)
    await turns()
    assert len(server.connections) == 1


async def test_a_session_that_is_not_to_be_ended(server: FakeServer) -> None:
    chosen = PoolOptions(0)
    pool = Pool(server.connect, "the fake", chosen, lambda it: None)
    await abandon(server, pool)
    await turns()
    assert [each.statements for each in server.connections] == [["SLOW"], []]
    await pool.close()


def test_nothing_is_started_in_a_loop_that_stands_still(server: FakeServer) -> None:
    loop = asyncio.new_event_loop()

    async def hang() -> tuple[Pool, asyncio.Task[Any]]:
        pool = make_pool(server)
        hold = server.hold("SLOW")
        task = asyncio.create_task(send(pool, "SLOW"))
        await hold.reached.wait()
        return pool, task

    pool, task = loop.run_until_complete(hang())
    server.connections[0]._interrupted = True
    server.connections[0].abort()
    pool.aborted(server.connections[0])
    assert pool._ending is None
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.run_until_complete(pool.close())
    loop.close()
    pool.aborted(server.connections[0])
    gc.collect()


async def test_nothing_is_started_in_a_forked_process(
    server: FakeServer, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = server.hold("SLOW")
    task = asyncio.create_task(send(pool, "SLOW"))
    await hold.reached.wait()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        await cancel(task)
        await turns()
    assert ended(server) == []


async def test_a_connection_that_was_not_interrupted(server: FakeServer) -> None:
    connection = FakeConnection(server)
    connection.abort()
    assert not connection.abandoned
