"""Connections that a task keeps, leaves a block for, or ends by hand."""

# ruff: noqa: PT012 - that an error leaves a block is what is tested

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import peewee
import pytest

from tests.unit.fakes import FakeDatabase, FakeServer, MemoryDatabase, Oops, turns

# aio_connection


async def test_a_kept_connection_runs_everything(
    server: FakeServer, database: FakeDatabase
) -> None:
    async with database.aio_connection() as raw:
        assert raw == "the driver's connection"
        await database.send("SELECT 1")
        await asyncio.gather(database.send("SELECT 2"), database.send("SELECT 3"))
        async with database.aio_atomic():
            await database.send("INSERT 1")
            async with database.aio_atomic():
                await database.send("INSERT 2")
        await database.send("SELECT 4")
    (connection,) = server.connections
    assert connection.statements == [
        "SELECT 1",
        "SELECT 2",
        "SELECT 3",
        "BEGIN",
        "INSERT 1",
        'SAVEPOINT "s1"',
        "INSERT 2",
        'RELEASE SAVEPOINT "s1"',
        "COMMIT",
        "SELECT 4",
    ]
    assert database.statistics.idle == 1


async def test_other_tasks_do_not_get_a_kept_connection(
    server: FakeServer, database: FakeDatabase
) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def keeper() -> None:
        async with database.aio_connection():
            entered.set()
            await leave.wait()

    task = asyncio.create_task(keeper())
    await entered.wait()
    await database.send("SELECT 1")
    leave.set()
    await task
    assert [each.statements for each in server.connections] == [[], ["SELECT 1"]]


@pytest.mark.parametrize("outer", ["aio_atomic", "aio_connection"])
async def test_inside_a_block_it_is_the_connection_of_the_block(
    server: FakeServer, database: FakeDatabase, outer: str
) -> None:
    async with getattr(database, outer)(), database.aio_connection() as raw:
        assert raw == "the driver's connection"
        await database.send("INSERT 1")
    assert len(server.connections) == 1
    assert server.committed == ["INSERT 1"]


@pytest.mark.parametrize("enter", ["aio_connection", "detached"])
async def test_is_refused_while_it_is_open(database: FakeDatabase, enter: str) -> None:
    """Its end inside would be the end of the one around it."""
    kept = getattr(database, enter)()
    async with kept as raw:
        with pytest.raises(RuntimeError, match=r"make a new one"):
            async with kept:
                pass
        async with database.aio_connection() as inner:
            assert inner is raw
        assert database.statistics.busy == 1
    assert database.statistics.busy == 0


async def test_is_refused_to_another_task_that_is_in_a_block(
    server: FakeServer, database: FakeDatabase
) -> None:
    kept, entered, leave = database.aio_connection(), asyncio.Event(), asyncio.Event()

    async def keep() -> None:
        async with kept:
            entered.set()
            await leave.wait()
            await database.send("SELECT 1")

    task = asyncio.create_task(keep())
    await entered.wait()
    async with database.aio_atomic():
        with pytest.raises(RuntimeError, match="make a new one"):
            async with kept:
                pass
        leave.set()
        await task
    assert server.connections[0].statements == ["SELECT 1"]


async def test_can_be_entered_again_after_it_was_left_or_could_not_be(
    server: FakeServer, database: FakeDatabase
) -> None:
    kept = database.aio_connection()
    server.refusal = OSError("refused")
    with pytest.raises(peewee.OperationalError, match="refused"):
        await kept.__aenter__()
    server.refusal = None
    for _ in range(2):
        async with kept:
            assert database.statistics.busy == 1
    assert database.statistics.busy == 0


async def test_a_kept_connection_is_no_transaction(database: FakeDatabase) -> None:
    async with database.aio_connection():
        assert database.transaction_depth_async() == 0
        async with database.aio_transaction():
            assert database.transaction_depth_async() == 1
            async with database.aio_transaction():
                assert database.transaction_depth_async() == 2


@pytest.mark.skipif(
    not hasattr(peewee.Database, "after_commit"),
    reason="this peewee has no such method",
)
async def test_without_a_transaction_there_is_no_commit_to_wait_for(
    database: FakeDatabase,
) -> None:
    called: list[int] = []
    async with database.aio_connection():
        database.after_commit(lambda: called.append(1))
        assert called == [1]
        async with database.aio_transaction():
            database.after_commit(lambda: called.append(2))
            assert called == [1]
        assert called == [1, 2]


async def test_an_error_leaves_a_kept_connection_as_it_is(
    server: FakeServer, database: FakeDatabase
) -> None:
    with pytest.raises(Oops):
        async with database.aio_connection():
            await database.send("INSERT 1")
            raise Oops
    assert server.sent == ["INSERT 1"]
    assert database.statistics.idle == 1


async def test_a_savepoint_needs_a_transaction_there_too(
    database: FakeDatabase,
) -> None:
    async with database.aio_connection():
        with pytest.raises(RuntimeError, match="needs a transaction"):
            async with database.aio_savepoint():
                pass


async def test_a_kept_connection_goes_on_after_a_transaction_that_was_lost(
    server: FakeServer, database: FakeDatabase
) -> None:
    async with database.aio_connection():
        with pytest.raises(peewee.OperationalError, match="deadlock"):
            async with database.aio_atomic():
                await database.send("INSERT 1")
                server.connections[0].roll_back()
                server.fail("INSERT 2", peewee.OperationalError("deadlock"))
                await database.send("INSERT 2")
        await database.send("INSERT 3")
        async with database.aio_atomic():
            await database.send("INSERT 4")
    assert server.committed == ["INSERT 3", "INSERT 4"]


async def test_a_kept_connection_that_broke_is_not_replaced(
    server: FakeServer, database: FakeDatabase
) -> None:
    with pytest.raises(peewee.OperationalError, match="The connection is lost: its"):
        async with database.aio_connection():
            server.fail("SELECT 1", peewee.OperationalError("cut"), breaks=True)
            with pytest.raises(peewee.OperationalError, match="cut"):
                await database.send("SELECT 1")
            await database.send("SELECT 2")
    await database.send("SELECT 3")
    assert "SELECT 2" not in server.sent


async def test_a_kept_connection_left_in_a_transaction_is_dropped(
    server: FakeServer, database: FakeDatabase
) -> None:
    async with database.aio_connection():
        await database.send("BEGIN")
    assert server.connections[0].closed


# detached


async def test_detached_is_outside_of_the_block(
    server: FakeServer, database: FakeDatabase
) -> None:
    with pytest.raises(Oops):
        async with database.aio_atomic():
            await database.send("INSERT lost")
            async with database.detached() as raw:
                assert raw == "the driver's connection"
                await database.send("INSERT kept")
                async with database.aio_atomic():
                    await database.send("INSERT kept too")
            await database.send("INSERT lost too")
            raise Oops
    assert server.committed == ["INSERT kept", "INSERT kept too"]
    inner = server.connections[1]
    assert inner.statements == ["INSERT kept", "BEGIN", "INSERT kept too", "COMMIT"]


async def test_detached_has_a_connection_beyond_a_single_one(
    server: FakeServer,
) -> None:
    database = FakeDatabase(server, max_connections=1)
    async with database.aio_atomic(), database.detached(), database.detached():
        await database.send("INSERT 1")
    await turns()
    assert server.committed == ["INSERT 1"]
    assert (len(server.connections), len(server.alive)) == (3, 1)
    assert database.statistics.size == 1
    await database.aio_close()


async def test_detached_without_a_block_is_a_connection(
    server: FakeServer, database: FakeDatabase
) -> None:
    async with database.detached():
        await database.send("INSERT 1")
    assert server.committed == ["INSERT 1"]


async def test_siblings_go_on_in_the_block_meanwhile(
    server: FakeServer, database: FakeDatabase
) -> None:
    hold = server.hold("INSERT detached")

    async def detached() -> None:
        async with database.detached():
            await database.send("INSERT detached")

    async with database.aio_atomic():
        task = asyncio.create_task(detached())
        await hold.reached.wait()
        await database.send("INSERT 1")
        hold.release()
        await task
    assert server.committed == ["INSERT detached", "INSERT 1"]


async def test_memory_cannot_be_detached(memory: MemoryDatabase) -> None:
    async with memory.aio_atomic():
        with pytest.raises(peewee.InterfaceError, match="one connection to SQLite"):
            async with memory.detached():
                pass
        await memory.aio_execute(peewee.RawQuery("SELECT 1"))


@pytest.mark.parametrize("enter", ["aio_connection", "detached"])
async def test_cancelled_inside_gives_the_connection_back(
    server: FakeServer, database: FakeDatabase, enter: str
) -> None:
    hold = server.hold("SELECT 1")

    async def run() -> None:
        async with getattr(database, enter)():
            await database.send("SELECT 1")

    task = asyncio.create_task(run())
    await hold.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert database.statistics.busy == 0


# aio_begin, and savepoints by hand


async def test_begins_and_ends_by_hand(
    server: FakeServer, database: FakeDatabase
) -> None:
    transaction = await database.aio_begin(isolation_level="serializable")
    await database.send("INSERT 1")
    savepoint = await database.aio_savepoint("here")
    await database.send("INSERT 2")
    await savepoint.rollback()
    savepoint = await database.aio_savepoint()
    await database.send("INSERT 3")
    await savepoint.commit()
    await transaction.commit()
    await database.send("INSERT 4")
    assert server.committed == ["INSERT 1", "INSERT 3", "INSERT 4"]
    assert server.sent[0] == "BEGIN ISOLATION LEVEL SERIALIZABLE"
    assert server.sent[-2:] == ["COMMIT", "INSERT 4"]
    assert database.statistics.idle == 1


async def test_rolls_back_by_hand(server: FakeServer, database: FakeDatabase) -> None:
    transaction = await database.aio_begin()
    await database.send("INSERT 1")
    await transaction.rollback(begin=True)
    await database.send("INSERT 2")
    await transaction.commit(begin=True)
    await database.send("INSERT 3")
    await transaction.rollback()
    await transaction.rollback()
    assert server.committed == ["INSERT 2"]
    with pytest.raises(RuntimeError, match="has ended"):
        await transaction.commit()


async def test_a_begin_that_fails_leaves_nothing(
    server: FakeServer, database: FakeDatabase
) -> None:
    server.fail("BEGIN", peewee.OperationalError("no"))
    with pytest.raises(peewee.OperationalError, match="no"):
        await database.aio_begin()
    await database.send("INSERT 1")
    assert server.committed == ["INSERT 1"]


async def test_after_a_commit_that_failed_the_task_is_outside(
    server: FakeServer, database: FakeDatabase
) -> None:
    transaction = await database.aio_begin()
    await database.send("INSERT 1")
    server.fail("COMMIT", peewee.IntegrityError("deferred"))
    with pytest.raises(peewee.IntegrityError):
        await transaction.commit()
    await transaction.rollback()
    await database.send("INSERT 2")
    assert server.committed == ["INSERT 2"]


@pytest.mark.parametrize("verb", ["commit", "rollback"])
async def test_a_transaction_that_was_lost_ends_by_hand(
    server: FakeServer, database: FakeDatabase, verb: str
) -> None:
    transaction = await database.aio_begin()
    server.connections[0].break_off()
    with pytest.raises(peewee.OperationalError):
        await database.send("INSERT 1")
    with pytest.raises(peewee.OperationalError, match="is lost"):
        await database.send("INSERT 2")
    if verb == "commit":
        with pytest.raises(peewee.OperationalError, match="is lost"):
            await transaction.commit()
    else:
        await transaction.rollback()
    await database.send("INSERT 3")
    assert server.committed == ["INSERT 3"]
    assert database.statistics.busy == 0


async def test_cancelled_at_the_commit_it_is_given_up(
    server: FakeServer, database: FakeDatabase
) -> None:
    hold = server.hold("COMMIT")

    async def run() -> None:
        transaction = await database.aio_begin()
        await database.send("INSERT 1")
        await transaction.commit()

    task = asyncio.create_task(run())
    await hold.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (server.committed, database.statistics.busy) == ([], 0)


async def test_a_transaction_whose_task_ended_is_rolled_back(
    server: FakeServer, database: FakeDatabase
) -> None:
    async def forgetful() -> None:
        await database.aio_begin()
        await database.send("INSERT 1")

    await asyncio.create_task(forgetful())
    gc.collect()
    await turns()
    assert (server.committed, database.statistics.busy) == ([], 0)
    assert server.connections[0].closed


def test_a_transaction_that_its_loop_left_open_is_dropped(server: FakeServer) -> None:
    database = FakeDatabase(server)

    async def forgetful() -> None:
        await database.aio_begin()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(forgetful())
    loop.close()
    asyncio.run(database.aio_connect())
    assert server.alive == []


async def test_a_transaction_left_open_on_a_kept_connection_is_told(
    server: FakeServer, database: FakeDatabase
) -> None:
    with pytest.raises(peewee.OperationalError, match="cut off before"):
        async with database.aio_connection():
            await database.aio_begin()
            await database.send("INSERT 1")
    await database.send("INSERT 2")
    assert server.committed == ["INSERT 2"]


async def test_savepoints_left_open_spoil_their_block(
    server: FakeServer, database: FakeDatabase
) -> None:
    with pytest.raises(peewee.InternalError, match="cannot be committed"):
        async with database.aio_atomic():
            await database.aio_savepoint()
            await database.aio_savepoint()
            await database.send("INSERT 1")
    await database.send("INSERT 2")
    assert server.committed == ["INSERT 2"]


async def test_cancelled_with_a_savepoint_left_open_it_rolls_back_at_once(
    server: FakeServer, database: FakeDatabase
) -> None:
    reached = asyncio.Event()

    async def run() -> None:
        async with database.aio_atomic():
            await database.aio_savepoint()
            reached.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await reached.wait()
    task.cancel()
    await turns(30)
    assert task.done()
    assert server.sent[-1] == "ROLLBACK"
    assert database.statistics.busy == 0


async def test_a_savepoint_by_hand_needs_a_transaction(database: FakeDatabase) -> None:
    with pytest.raises(RuntimeError, match="needs a transaction"):
        await database.aio_savepoint()


async def test_calls_come_after_the_commit_by_hand(database: FakeDatabase) -> None:
    calls: list[Any] = []
    add: Callable[[], None] = lambda: calls.append(1)  # noqa: E731
    transaction = await database.aio_begin()
    transaction.after_commit(add)
    assert calls == []
    await transaction.commit()
    assert calls == [1]
