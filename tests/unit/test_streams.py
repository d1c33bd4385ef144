"""Streams as a program sees them: which connection they use, and when it is free."""

# ruff: noqa: PT012 - that an error leaves a loop is what is tested

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import peewee
import pytest

from peewee_async.core.boundary import Reply, Statement
from tests.unit.fakes import FakeDatabase, FakeServer, MemoryDatabase, Oops, turns
from tests.unit.models import User

NAMES = User.select(User.name).tuples()
SELECT = "SELECT"


@pytest.fixture
def server() -> FakeServer:
    """Five names, whatever is asked."""

    def answer(statement: Statement) -> Reply:
        if not statement.sql.startswith(SELECT):
            return Reply((), None, 1)
        return Reply([(name,) for name in "abcde"], ("name",), 5)

    return FakeServer(answer)


def stream(database: FakeDatabase, size: int = 2) -> AsyncGenerator[Any, None]:
    return database.aio_iterator(NAMES, size)


async def test_alone_it_has_a_connection_and_a_transaction(
    server: FakeServer, database: FakeDatabase
) -> None:
    names = [name async for (name,) in stream(database)]
    assert names == list("abcde")
    fetch = "FETCH 2 FROM peewee_async_1"
    (connection,) = server.connections
    verbs = [sql.partition(" ")[0] for sql in connection.statements]
    assert verbs == ["BEGIN", "SELECT", "FETCH", "FETCH", "COMMIT"]
    assert connection.statements.count(fetch) == 2
    assert database.statistics.idle == 1


async def test_the_connection_is_free_with_the_last_portion(
    database: FakeDatabase,
) -> None:
    async for (name,) in stream(database):
        assert database.statistics.busy == (name < "e")


async def test_queries_in_the_loop_use_another_connection(
    server: FakeServer, database: FakeDatabase
) -> None:
    async for _ in stream(database):
        await database.send("UPDATE")
    first, second = server.connections
    assert "UPDATE" not in first.statements[:-1]
    assert "UPDATE" in second.statements


@pytest.mark.parametrize("size", [1, 5])
async def test_left_early_it_frees_its_connection_at_once(
    server: FakeServer, database: FakeDatabase, size: int
) -> None:
    async for _ in stream(database, size):
        break
    await turns()
    assert database.statistics.busy == 0
    assert len(server.alive) <= 1


async def test_an_error_in_the_loop_frees_its_connection(
    database: FakeDatabase,
) -> None:
    with pytest.raises(Oops):
        async for _ in stream(database):
            raise Oops
    await turns()
    assert database.statistics.busy == 0


async def test_closed_by_hand_it_frees_its_connection(database: FakeDatabase) -> None:
    async with aclosing(stream(database)) as rows:
        assert await anext(rows) == ("a",)
        assert database.statistics.busy == 1
    assert database.statistics.busy == 0


async def test_a_stream_that_nobody_started_takes_nothing(
    server: FakeServer, database: FakeDatabase
) -> None:
    rows = stream(database)
    del rows
    gc.collect()
    assert server.attempts == 0


@pytest.mark.parametrize("text", ["BEGIN", SELECT, "FETCH", "COMMIT"])
async def test_cancelled_it_gives_its_connection_up(
    server: FakeServer, database: FakeDatabase, text: str
) -> None:
    async def consume() -> None:
        async for _ in stream(database):
            pass

    hold = server.hold(text)
    task = asyncio.create_task(consume())
    await hold.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert database.statistics.busy == 0
    assert server.connections[0].closed


@pytest.mark.parametrize("text", ["BEGIN", SELECT, "FETCH", "COMMIT"])
async def test_a_statement_that_fails_keeps_no_connection(
    server: FakeServer, database: FakeDatabase, text: str
) -> None:
    server.fail(text, peewee.OperationalError("no"))
    with pytest.raises(peewee.OperationalError, match="no"):
        [name async for (name,) in stream(database)]
    assert database.statistics.busy == 0


@pytest.mark.parametrize("text", ["BEGIN", SELECT, "FETCH", "COMMIT"])
async def test_a_connection_that_breaks_is_an_error(
    server: FakeServer, database: FakeDatabase, text: str
) -> None:
    server.fail(text, peewee.OperationalError("cut"), breaks=True)
    with pytest.raises(peewee.OperationalError, match="cut"):
        [name async for (name,) in stream(database)]
    assert database.statistics.busy == 0
    assert len([name async for (name,) in stream(database)]) == 5


# One connection


async def test_a_single_connection_is_not_kept_from_others(server: FakeServer) -> None:
    database = FakeDatabase(server, max_connections=1)
    async for _ in stream(database):
        await database.send("UPDATE")
    assert database.statistics.size == 1
    await turns()
    assert len(server.connections) == 2
    assert len(server.alive) == 1
    await database.aio_close()


async def test_a_connection_of_its_own_cannot_be_had(server: FakeServer) -> None:
    database = FakeDatabase(server, max_connections=1)
    await database.aio_connect()
    server.refusal = ConnectionRefusedError("nobody there")
    with pytest.raises(peewee.OperationalError, match="nobody there"):
        [name async for (name,) in stream(database)]
    server.refusal = None
    await database.aio_close()
    assert server.alive == []


@pytest.mark.parametrize("size", [1, 2])
async def test_a_stream_that_goes_on_while_the_pool_is_closed_is_lost(
    server: FakeServer, size: int
) -> None:
    database = FakeDatabase(server, max_connections=size, close_timeout=0)
    async with aclosing(stream(database, 1)) as rows:
        await anext(rows)
        await database.aio_close()
        assert server.alive == []
        with pytest.raises(peewee.OperationalError, match="is lost"):
            await anext(rows)


async def test_memory_gives_all_rows_at_once(memory: MemoryDatabase) -> None:
    with memory.bind_ctx([User]), memory.allow_sync():
        memory.create_tables([User])
        User.insert_many([{"name": name} for name in "abc"]).execute()
    names = []
    async for (name,) in memory.aio_iterator(NAMES, 1):
        await memory.aio_execute(User.update(age=1))
        names.append(name)
    assert names == list("abc")


# In a block


async def test_in_a_block_it_uses_the_connection_of_the_block(
    server: FakeServer, database: FakeDatabase
) -> None:
    async with database.aio_atomic():
        async for _ in stream(database):
            await database.send("UPDATE")
    (connection,) = server.connections
    assert connection.statements[0] == "BEGIN"
    assert connection.statements.count("UPDATE") == 5
    assert connection.statements[-1] == "COMMIT"


async def test_left_early_in_a_block_it_closes_its_cursor(
    server: FakeServer, database: FakeDatabase
) -> None:
    async with database.aio_atomic():
        async for _ in stream(database):
            break
        await turns()
        assert server.sent[-1] == "CLOSE peewee_async_1"
        await database.send("UPDATE")
    assert server.sent[-1] == "COMMIT"


async def test_an_error_in_the_loop_rolls_the_block_back(
    server: FakeServer, database: FakeDatabase
) -> None:
    with pytest.raises(Oops):
        async with database.aio_atomic():
            async for _ in stream(database):
                raise Oops
    await turns()
    assert "ROLLBACK" in server.sent
    assert database.statistics.busy == 0


async def test_a_nested_block_may_go_on_with_a_stream(database: FakeDatabase) -> None:
    async with database.aio_atomic():
        rows = stream(database, 1)
        assert await anext(rows) == ("a",)
        async with database.aio_atomic():
            assert await anext(rows) == ("b",)
        assert [name async for (name,) in rows] == list("cde")


async def test_cancelled_while_a_nested_block_lasts_it_does_not_wait_for_it(
    database: FakeDatabase,
) -> None:
    async with database.aio_atomic():
        rows = stream(database)
        await anext(rows)
        await anext(rows)
        inside, leave = asyncio.Event(), asyncio.Event()

        async def nest() -> None:
            async with database.aio_atomic():
                inside.set()
                await leave.wait()

        nesting = asyncio.create_task(nest())
        await inside.wait()
        waiting: asyncio.Task[Any] = asyncio.ensure_future(anext(rows))
        await turns()
        waiting.cancel()
        done, _ = await asyncio.wait([waiting], timeout=5)
        leave.set()
        await nesting
        assert done


async def test_a_nested_block_may_give_up_a_stream(
    server: FakeServer, database: FakeDatabase
) -> None:
    async with database.aio_atomic():
        rows = stream(database)
        await anext(rows)
        async with database.aio_atomic(), asyncio.timeout(5):
            await rows.aclose()
    (connection,) = server.connections
    savepoint = connection.statements.index('SAVEPOINT "s1"')
    assert connection.statements[savepoint + 1] == "CLOSE peewee_async_1"


async def test_a_stream_does_not_outlive_its_block(database: FakeDatabase) -> None:
    async with database.aio_atomic():
        rows = stream(database, 1)
        await anext(rows)
    with pytest.raises(RuntimeError, match="has ended"):
        await anext(rows)


async def test_a_child_whose_block_ends_while_it_waits_streams_outside(
    server: FakeServer, database: FakeDatabase
) -> None:
    hold = server.hold("COMMIT")

    async def block() -> None:
        async with database.aio_atomic():
            children.append(asyncio.create_task(late()))

    async def late() -> list[Any]:
        await hold.reached.wait()
        return [name async for (name,) in stream(database)]

    children: list[asyncio.Task[list[Any]]] = []
    task = asyncio.create_task(block())
    await hold.reached.wait()
    await turns()
    hold.release()
    await task
    assert await children[0] == list("abcde")
    assert server.sent[:4] == ["BEGIN", "COMMIT", "BEGIN", server.sent[3]]


async def test_what_gives_no_rows_is_refused(database: FakeDatabase) -> None:
    with pytest.raises(TypeError, match="gives no rows"):
        database.aio_iterator(User.update(age=1))
    with pytest.raises(TypeError, match="no query"):
        database.aio_iterator("SELECT 1")
    with pytest.raises(ValueError, match="1 or more"):
        database.aio_iterator(NAMES, 0)
