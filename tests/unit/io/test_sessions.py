"""Which connection the current task uses, and whose turn it is on it."""

# ruff: noqa: PT012 - that an error leaves a block is what is tested

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import warnings
import weakref
from dataclasses import replace

import peewee
import pytest

from peewee_async.core.pool import Statistics
from peewee_async.io.sessions import in_event_loop
from tests.unit.fakes import CONNECT, FakeDatabase, FakeServer, Oops, turns


async def test_a_query_borrows_a_connection(
    server: FakeServer, database: FakeDatabase
) -> None:
    await database.send("SELECT 1")
    await database.send("SELECT 2")
    assert [each.statements for each in server.connections] == [
        ["SELECT 1", "SELECT 2"]
    ]
    assert database.statistics.idle == 1


async def test_two_queries_use_two_connections(
    server: FakeServer, database: FakeDatabase
) -> None:
    hold = server.hold("SELECT 1")
    task = asyncio.create_task(database.send("SELECT 1"))
    await hold.reached.wait()
    await database.send("SELECT 2")
    hold.release()
    await task
    assert [each.statements for each in server.connections] == [
        ["SELECT 1"],
        ["SELECT 2"],
    ]


async def test_a_failed_query_keeps_its_connection(
    server: FakeServer, database: FakeDatabase
) -> None:
    server.fail("SELECT", peewee.DataError("no"))
    with pytest.raises(peewee.DataError):
        await database.send("SELECT 1")
    await database.send("SELECT 2")
    assert server.attempts == 1


async def test_a_cancelled_query_gives_up_its_connection(
    server: FakeServer, database: FakeDatabase
) -> None:
    hold = server.hold("SELECT 1")
    task = asyncio.create_task(database.send("SELECT 1"))
    await hold.reached.wait()
    task.cancel()
    await turns()
    assert task.cancelled()
    assert server.connections[0].closed
    assert database.statistics.busy == 0
    await database.send("SELECT 2")
    assert server.connections[1].statements == ["SELECT 2"]


async def test_children_share_the_block_one_statement_at_a_time(
    server: FakeServer, database: FakeDatabase
) -> None:
    async with database.aio_atomic():
        await asyncio.gather(*(database.send(f"INSERT {each}") for each in range(5)))
    (connection,) = server.connections
    inserts = [f"INSERT {each}" for each in range(5)]
    assert connection.statements == ["BEGIN", *inserts, "COMMIT"]
    assert server.committed == inserts


async def test_a_child_made_by_a_timeout_shares_the_block(
    server: FakeServer, database: FakeDatabase
) -> None:
    async with database.aio_atomic():
        await asyncio.wait_for(database.send("INSERT 1"), 1000)
        await asyncio.shield(asyncio.create_task(database.send("INSERT 2")))
    assert server.sent == ["BEGIN", "INSERT 1", "INSERT 2", "COMMIT"]
    assert server.attempts == 1


async def test_a_nested_block_makes_its_siblings_wait(
    server: FakeServer, database: FakeDatabase
) -> None:
    async def nested() -> None:
        async with database.aio_atomic():
            await database.send("INSERT inner")
            raise Oops

    async with database.aio_atomic():
        hold = server.hold("INSERT inner")
        inside = asyncio.create_task(nested())
        await hold.reached.wait()
        sibling = asyncio.create_task(database.send("INSERT sibling"))
        own = asyncio.create_task(database.send("INSERT own"))
        await turns()
        assert server.sent[-1] == "INSERT inner"
        hold.release()
        with pytest.raises(Oops):
            await inside
        await asyncio.gather(sibling, own)
    assert server.sent == [
        "BEGIN",
        'SAVEPOINT "s1"',
        "INSERT inner",
        'ROLLBACK TO SAVEPOINT "s1"',
        "INSERT sibling",
        "INSERT own",
        "COMMIT",
    ]
    assert server.committed == ["INSERT sibling", "INSERT own"]


async def test_two_nested_blocks_of_siblings_follow_one_another(
    server: FakeServer, database: FakeDatabase
) -> None:
    async def nested(name: str) -> None:
        async with database.aio_atomic():
            await database.send(f"INSERT {name} 1")
            await database.send(f"INSERT {name} 2")

    async with database.aio_atomic():
        await asyncio.gather(nested("a"), nested("b"))
    assert server.committed == [
        "INSERT a 1",
        "INSERT a 2",
        "INSERT b 1",
        "INSERT b 2",
    ]


async def test_the_end_of_a_block_waits_for_a_child_in_a_statement(
    server: FakeServer, database: FakeDatabase
) -> None:
    async def block() -> None:
        async with database.aio_atomic():
            children.append(asyncio.create_task(database.send("INSERT 1")))
            await hold.reached.wait()

    children: list[asyncio.Task[object]] = []
    hold = server.hold("INSERT 1")
    task = asyncio.create_task(block())
    await hold.reached.wait()
    await turns()
    assert server.sent == ["BEGIN", "INSERT 1"]
    hold.release()
    await task
    await children[0]
    assert server.sent == ["BEGIN", "INSERT 1", "COMMIT"]
    assert server.committed == ["INSERT 1"]


async def test_a_child_that_outlives_the_block_gets_its_own_connection(
    server: FakeServer, database: FakeDatabase
) -> None:
    ended = asyncio.Event()

    async def outlive() -> None:
        await database.send("INSERT 1")
        await ended.wait()
        await database.send("INSERT 2")

    async with database.aio_atomic():
        child = asyncio.create_task(outlive())
        await turns()
    async with database.aio_atomic():
        ended.set()
        await child
        await database.send("INSERT 3")
        # A block of another task does not hold it up either.
        assert server.committed == ["INSERT 1", "INSERT 2"]
    assert [each.statements for each in server.connections] == [
        ["BEGIN", "INSERT 1", "COMMIT", "BEGIN", "INSERT 3", "COMMIT"],
        ["INSERT 2"],
    ]


async def test_a_child_whose_block_ends_while_it_waits_gets_its_own_connection(
    server: FakeServer, database: FakeDatabase
) -> None:
    hold = server.hold("COMMIT")

    async def block() -> None:
        async with database.aio_atomic():
            children.append(asyncio.create_task(late()))

    async def late() -> None:
        await hold.reached.wait()
        await database.send("INSERT late")

    children: list[asyncio.Task[None]] = []
    task = asyncio.create_task(block())
    await hold.reached.wait()
    await turns()
    assert server.sent == ["BEGIN", "COMMIT"]
    hold.release()
    await task
    await children[0]
    assert server.sent == ["BEGIN", "COMMIT", "INSERT late"]
    assert server.committed == ["INSERT late"]


async def test_a_block_begun_while_its_outer_one_ends_is_a_transaction(
    server: FakeServer, database: FakeDatabase
) -> None:
    hold = server.hold("COMMIT")

    async def late() -> None:
        await hold.reached.wait()
        async with database.aio_atomic():
            await database.send("INSERT late")

    async with database.aio_atomic():
        child = asyncio.create_task(late())
        asyncio.get_running_loop().call_soon(hold.release)
        await turns()
    await child
    assert server.sent == ["BEGIN", "COMMIT", "BEGIN", "INSERT late", "COMMIT"]


async def test_two_databases_never_mix() -> None:
    servers = FakeServer(), FakeServer()
    one, two = (FakeDatabase(each, max_connections=1) for each in servers)
    async with one.aio_atomic():
        await one.send("INSERT 1")
        await two.send("INSERT 2")
        async with two.aio_atomic(), one.aio_atomic():
            await two.send("INSERT 3")
            await one.send("INSERT 4")
        await two.send("INSERT 5")
    assert servers[0].sent == [
        "BEGIN",
        "INSERT 1",
        'SAVEPOINT "s1"',
        "INSERT 4",
        'RELEASE SAVEPOINT "s1"',
        "COMMIT",
    ]
    assert servers[1].sent == ["INSERT 2", "BEGIN", "INSERT 3", "COMMIT", "INSERT 5"]
    await one.aio_close()
    await two.aio_close()


async def test_two_objects_for_one_server_never_mix(server: FakeServer) -> None:
    one, two = FakeDatabase(server), FakeDatabase(server)
    async with one.aio_atomic(), two.aio_atomic():
        await one.send("INSERT 1")
        await two.send("INSERT 2")
    assert [each.statements for each in server.connections] == [
        ["BEGIN", "INSERT 1", "COMMIT"],
        ["BEGIN", "INSERT 2", "COMMIT"],
    ]
    await one.aio_close()
    await two.aio_close()


async def test_a_query_takes_no_longer_than_query_timeout(server: FakeServer) -> None:
    database = FakeDatabase(server, query_timeout=0)
    server.hold("SELECT")
    text = r"longer than 0 s \(query_timeout\) and was given up"
    with pytest.raises(peewee.OperationalError, match=text):
        await database.send("SELECT 1")
    assert server.connections[0].closed
    assert database.statistics.busy == 0
    await database.aio_close()


async def test_a_timeout_of_the_driver_is_not_the_query_timeout(
    server: FakeServer,
) -> None:
    database = FakeDatabase(server, query_timeout=1000)
    error = TimeoutError("of the driver")
    server.fail("SELECT", error)
    with pytest.raises(TimeoutError) as caught:
        await database.send("SELECT 1")
    assert caught.value is error
    await database.aio_close()


async def test_a_block_is_lost_with_a_query_that_takes_too_long(
    server: FakeServer,
) -> None:
    database = FakeDatabase(server, query_timeout=1000)
    await database.send("SELECT 1")
    with pytest.raises(peewee.OperationalError, match="transaction is lost"):
        async with database.aio_atomic():
            await database.send("INSERT 1")
            server.hold("INSERT 2")
            pool = database.sessions.pool
            pool.options = replace(pool.options, query_timeout=0)
            with pytest.raises(peewee.OperationalError, match="query_timeout"):
                await database.send("INSERT 2")
    assert server.committed == []
    assert server.alive == []
    await database.aio_close()


async def test_waits_for_a_turn_no_longer_than_acquire_timeout(
    server: FakeServer,
) -> None:
    database = FakeDatabase(server, acquire_timeout=0)
    with pytest.raises(peewee.OperationalError):
        await database.aio_connect()
    await turns()
    async with database.aio_atomic():
        hold = server.hold("INSERT 1")
        child = asyncio.create_task(database.send("INSERT 1"))
        await hold.reached.wait()
        text = r"No turn .* within 0 s \(acquire_timeout\): <Block transaction, active>"
        with pytest.raises(peewee.OperationalError, match=text):
            await database.send("INSERT 2")
        hold.release()
        await child
        await database.send("INSERT 3")
    assert server.committed == ["INSERT 1", "INSERT 3"]
    await database.aio_close()


async def test_cancelled_while_waiting_for_a_turn(
    server: FakeServer, database: FakeDatabase
) -> None:
    async with database.aio_atomic():
        hold = server.hold("INSERT 1")
        first = asyncio.create_task(database.send("INSERT 1"))
        await hold.reached.wait()
        second = asyncio.create_task(database.send("INSERT 2"))
        third = asyncio.create_task(database.send("INSERT 3"))
        await turns()
        second.cancel()
        await turns()
        hold.release()
        await asyncio.gather(first, third)
        assert second.cancelled()
    assert server.committed == ["INSERT 1", "INSERT 3"]


async def test_cancelled_in_the_moment_a_turn_is_given(
    server: FakeServer, database: FakeDatabase
) -> None:
    async with database.aio_atomic():
        hold = server.hold("INSERT 1")
        first = asyncio.create_task(database.send("INSERT 1"))
        await hold.reached.wait()
        second = asyncio.create_task(database.send("INSERT 2"))
        third = asyncio.create_task(database.send("INSERT 3"))
        await turns()
        hold.release()
        first.get_loop().call_soon(second.cancel)  # after the first has gone on
        await asyncio.gather(first, third)
        assert second.cancelled()
    assert server.committed == ["INSERT 1", "INSERT 3"]


async def test_many_cancelled_in_the_moment_a_turn_is_given(
    server: FakeServer, database: FakeDatabase
) -> None:
    async with database.aio_atomic():
        hold = server.hold("INSERT 1")
        first = asyncio.create_task(database.send("INSERT 1"))
        await hold.reached.wait()
        others = [
            asyncio.create_task(database.send("INSERT 2"))
            for _ in range(sys.getrecursionlimit())
        ]
        await turns()
        hold.release()
        await turns(1)
        for other in others:
            other.cancel()
        await asyncio.wait(others)
        assert all(other.cancelled() for other in others)
        await first
        await database.send("INSERT 3")
    assert server.committed == ["INSERT 1", "INSERT 3"]


async def test_a_lost_connection_fails_every_further_statement(
    server: FakeServer, database: FakeDatabase
) -> None:
    server.fail("INSERT 2", peewee.OperationalError("server died"), breaks=True)
    text = "transaction is lost: its connection broke"
    with pytest.raises(peewee.OperationalError, match=text):
        async with database.aio_atomic():
            await database.send("INSERT 1")
            with pytest.raises(peewee.OperationalError, match="server died"):
                await database.send("INSERT 2")
            for sql in ("INSERT 3", "SELECT 4"):
                with pytest.raises(peewee.OperationalError, match=text):
                    await database.send(sql)
            with pytest.raises(peewee.OperationalError, match=text):
                async with database.aio_atomic():
                    pass
    assert server.sent == ["BEGIN", "INSERT 1", "INSERT 2"]
    assert server.committed == []
    await database.send("SELECT 5")
    assert server.connections[1].statements == ["SELECT 5"]


async def test_a_transaction_that_the_server_ended_is_lost(
    server: FakeServer, database: FakeDatabase
) -> None:
    def deadlock(number: int) -> None:
        if server.sent[-1] == "INSERT 2":
            connection = server.connections[0]
            connection._take_note("ROLLBACK")
            raise peewee.OperationalError(1213, "deadlock")

    server.on_statement = deadlock
    with pytest.raises(peewee.OperationalError, match="the server rolled it back"):
        async with database.aio_atomic():
            await database.send("INSERT 1")
            with pytest.raises(peewee.OperationalError, match="deadlock"):
                await database.send("INSERT 2")
            with pytest.raises(peewee.OperationalError, match="is lost"):
                await database.send("INSERT 3")
    assert server.committed == []


async def test_what_the_driver_said_comes_with_every_error(
    server: FakeServer, database: FakeDatabase
) -> None:
    gone = peewee.OperationalError("server died")
    gone.__cause__ = said = ConnectionResetError("the driver's own words")
    server.fail("INSERT 1", gone, breaks=True)
    with pytest.raises(peewee.OperationalError, match="lost") as caught:
        async with database.aio_atomic():
            with pytest.raises(peewee.OperationalError, match="server died"):
                await database.send("INSERT 1")
    assert caught.value.__cause__ is said


async def test_what_the_driver_said_of_a_connection_that_breaks_between_statements(
    server: FakeServer, database: FakeDatabase
) -> None:
    said = ConnectionResetError("the driver's own words")
    with pytest.raises(peewee.OperationalError, match="lost") as caught:
        async with database.aio_atomic():
            server.connections[0].failure = said
            server.connections[0].break_off()
            for sql in ("INSERT 1", "INSERT 2"):
                with pytest.raises(peewee.OperationalError, match="lost") as first:
                    await database.send(sql)
                assert first.value.__cause__ is said
    assert caught.value.__cause__ is said
    assert server.committed == []


async def test_those_who_wait_for_a_lost_connection_are_told(
    server: FakeServer, database: FakeDatabase
) -> None:
    """Nobody gives a turn any more once the blocks have ended by an error."""

    async def nested() -> None:
        async with database.aio_atomic():
            await database.send("INSERT 1")

    server.fail("INSERT 1", peewee.OperationalError("server died"), breaks=True)
    hold = server.hold("INSERT 1")

    async def outer() -> None:
        async with database.aio_atomic():
            inside = asyncio.create_task(nested())
            await hold.reached.wait()
            siblings.append(asyncio.create_task(database.send("INSERT 2")))
            await turns()
            hold.release()
            await inside

    siblings: list[asyncio.Task[object]] = []
    with pytest.raises(peewee.OperationalError, match="server died"):
        await outer()
    await turns()
    assert siblings[0].done()
    # The block has ended by its error, or is lost: never its connection again.
    with pytest.raises(peewee.OperationalError, match="is lost"):
        await siblings[0]
    assert "INSERT 2" not in server.connections[0].statements


def test_three_runs_on_one_database(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    database = FakeDatabase(server)

    async def main(number: int) -> None:
        assert not database.is_connected
        async with database.aio_atomic():
            await database.send(f"INSERT {number}")
        assert database.is_connected

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(3):
            asyncio.run(main(number))
        gc.collect()
    assert server.committed == ["INSERT 0", "INSERT 1", "INSERT 2"]
    assert [each.said_goodbye for each in server.connections] == [True] * 3
    assert caught == []
    assert caplog.records == []


def test_a_loop_closed_without_a_word_is_forgotten_at_the_next_use(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    database = FakeDatabase(server)
    for number in range(2):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(database.send(f"SELECT {number}"))
        loop.close()
    assert [each.closed for each in server.connections] == [True, False]
    assert not server.connections[0].said_goodbye
    database.sessions.forget_all()
    assert server.alive == []
    assert caplog.records == []


async def test_init_again_leaves_nobody_waiting(server: FakeServer) -> None:
    database = FakeDatabase(server)
    hold = server.hold(CONNECT)
    task = asyncio.create_task(database.send("SELECT 1"))
    await hold.reached.wait()
    database.init("other")
    with pytest.raises(peewee.InterfaceError, match="was closed while"):
        await task
    await database.send("SELECT 2")
    hold.release()
    await turns()
    await database.aio_close()
    assert server.alive == []


async def test_a_query_after_close_opens_the_pool_again(
    server: FakeServer, database: FakeDatabase
) -> None:
    await database.send("SELECT 1")
    await database.aio_close()
    assert not database.is_connected
    await database.aio_close()
    await database.send("SELECT 2")
    assert [each.statements for each in server.connections] == [
        ["SELECT 1"],
        ["SELECT 2"],
    ]


async def test_closing_in_a_block_lets_the_block_end(
    server: FakeServer, database: FakeDatabase
) -> None:
    async with database.aio_atomic():
        await database.aio_close()
        await database.send("INSERT 1")
    assert server.committed == ["INSERT 1"]
    await turns()
    assert server.alive == []


@pytest.mark.parametrize("by_child", [False, True])
async def test_closing_in_several_blocks_lets_all_of_them_end(
    server: FakeServer, by_child: bool
) -> None:
    database = FakeDatabase(server, close_timeout=None, max_connections=3)

    async def close() -> None:
        async with database.aio_atomic():
            await database.aio_close()

    async with database.aio_atomic():
        await database.send("INSERT 1")
        async with database.detached():
            await (asyncio.create_task(close()) if by_child else close())
            await database.send("INSERT 2")
        await database.send("INSERT 3")
    assert server.committed == ["INSERT 2", "INSERT 1", "INSERT 3"]
    await turns()
    assert server.alive == []


async def test_a_child_that_closes_leaves_the_block_its_connection(
    server: FakeServer,
) -> None:
    database = FakeDatabase(server, close_timeout=None)
    async with database.aio_atomic():
        await database.send("INSERT 1")
        await asyncio.gather(database.aio_close(), database.aio_close())
        await database.send("INSERT 2")
    assert server.committed == ["INSERT 1", "INSERT 2"]
    await turns()
    assert server.alive == []


async def test_two_who_close_in_blocks_do_not_wait_for_one_another(
    server: FakeServer,
) -> None:
    database = FakeDatabase(server, close_timeout=None)
    inside = asyncio.Barrier(2)

    async def work(number: int) -> None:
        async with database.aio_atomic():
            await inside.wait()
            await database.aio_close()
            await database.send(f"INSERT {number}")

    await asyncio.gather(work(1), work(2))
    assert sorted(server.committed) == ["INSERT 1", "INSERT 2"]
    await turns()
    assert server.alive == []


async def test_closing_waits_for_the_blocks_of_others(server: FakeServer) -> None:
    database = FakeDatabase(server, close_timeout=None)
    go_on = asyncio.Event()

    async def work() -> None:
        async with database.aio_atomic():
            await go_on.wait()
            await database.send("INSERT 1")

    task = asyncio.create_task(work())
    await turns()
    closers = [asyncio.create_task(database.aio_close()) for _ in range(3)]
    await turns()
    assert not any(closer.done() for closer in closers)
    await database.send("INSERT 2")  # by a pool that was opened meanwhile
    go_on.set()
    await asyncio.gather(*closers)
    await task
    assert server.committed == ["INSERT 2", "INSERT 1"]
    await database.aio_close()
    assert server.alive == []


async def test_a_block_that_is_cut_off_by_closing_is_lost(server: FakeServer) -> None:
    database = FakeDatabase(server, close_timeout=0)
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with database.aio_atomic():
            await database.send("INSERT 1")
            inside.set()
            await go_on.wait()
            await database.send("INSERT 2")

    task = asyncio.create_task(work())
    await inside.wait()
    await database.aio_close()
    go_on.set()
    with pytest.raises(peewee.OperationalError, match="is lost"):
        await task
    assert server.committed == []
    await database.send("INSERT 3")
    assert server.committed == ["INSERT 3"]
    await database.aio_close()


async def test_one_who_outlives_a_block_has_nothing_of_its_own_when_closing(
    server: FakeServer,
) -> None:
    database = FakeDatabase(server, max_connections=1, close_timeout=None)
    left = asyncio.Event()

    async def later() -> None:
        await left.wait()
        await database.aio_close()

    async with database.aio_atomic():
        child = asyncio.create_task(later())
    hold = server.hold("INSERT 1")
    task = asyncio.create_task(database.send("INSERT 1"))
    await hold.reached.wait()
    left.set()
    await turns()
    assert not child.done()
    hold.release()
    await child
    await task
    assert server.alive == []


async def test_statistics_of_a_database(
    server: FakeServer, database: FakeDatabase
) -> None:
    assert database.pool_statistics() == Statistics()
    await database.send("SELECT 1")
    count = database.pool_statistics()
    assert (count.size, count.idle, count.opened) == (1, 1, 1)
    assert await asyncio.to_thread(database.pool_statistics) == Statistics()
    await database.aio_close()
    assert database.pool_statistics() == Statistics()


async def test_a_database_that_nobody_has_any_more_closes_itself(
    server: FakeServer,
) -> None:
    database = FakeDatabase(server)
    async with database.aio_atomic():
        await database.send("INSERT 1")
    await turns()
    known = weakref.ref(database)
    del database
    gc.collect()
    await turns(30)
    gc.collect()
    assert known() is None
    assert server.connections[0].said_goodbye


async def test_cycles_of_a_database_leave_nothing(
    server: FakeServer, database: FakeDatabase
) -> None:
    for _ in range(1000):
        await database.send("SELECT 1")
        await database.aio_close()
    assert server.alive == []
    assert not database.sessions._pools


async def test_tells_whether_a_loop_runs() -> None:
    assert in_event_loop()
    assert not await asyncio.to_thread(in_event_loop)


async def test_a_forked_process_leaves_its_parents_pool_alone(
    server: FakeServer, database: FakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.send("SELECT 1")
    pool = database.sessions.pool
    with monkeypatch.context() as patch:
        patch.setattr("os.getpid", lambda: -1)
        assert database.sessions.open_pool is None
        database.sessions.forget_dead()
        database.sessions.forget_all()
    assert len(server.alive) == 1
    assert database.sessions.pool is pool


def test_threads_with_a_loop_each_do_not_meet(server: FakeServer) -> None:
    database = FakeDatabase(server)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                loop = asyncio.new_event_loop()
                loop.run_until_complete(database.send("SELECT 1"))
                loop.close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(server.sent) == 80
    database.sessions.forget_dead()
    assert server.alive == []


async def test_a_loop_in_another_thread_is_outside(
    server: FakeServer, database: FakeDatabase
) -> None:
    async with database.aio_atomic():
        await database.send("INSERT 1")
        await asyncio.to_thread(lambda: asyncio.run(database.send("INSERT 2")))
        assert server.committed == ["INSERT 2"]
        await database.send("INSERT 3")
    assert server.committed == ["INSERT 2", "INSERT 1", "INSERT 3"]


async def test_a_child_of_a_lost_block_goes_on_outside_when_it_was_left(
    server: FakeServer, database: FakeDatabase
) -> None:
    left = asyncio.Event()

    async def later() -> None:
        await left.wait()
        await database.send("INSERT later")

    with pytest.raises(peewee.OperationalError, match="gone"):
        async with database.aio_atomic(), database.aio_atomic() as inner:
            await inner.commit(begin=False)
            async with database.aio_atomic():
                await database.send("INSERT 1")
            child = asyncio.create_task(later())
            server.fail("INSERT 2", peewee.OperationalError("gone"), breaks=True)
            await database.send("INSERT 2")
    left.set()
    await child
    assert server.committed == ["INSERT later"]
