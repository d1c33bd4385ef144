"""Sessions that the server ends: in a query, in a block, in a stream, at COMMIT."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Any

import peewee
import pytest

from peewee_async import AioDatabase, Manager
from tests.integration.backends import Backend
from tests.integration.checks import both_kinds
from tests.integration.conftest import CreateTables, end_other_sessions
from tests.integration.faults.common import (
    LARGE,
    LongQuery,
    Oops,
    chain,
    lines,
    recovered,
    require_driver,
    servers_only,
    until,
    write,
)
from tests.integration.models import Line, User

pytestmark = servers_only

turns = pytest.mark.parametrize("turns", [0, 2, 20])

ALIVE = {
    "postgres": (
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    ),
    "mysql": (
        "SELECT COUNT(*) FROM information_schema.processlist "
        "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    ),
}
# What ends the statement, and not the session.
STOP = {
    "postgres": (
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep%%'"
    ),
    "mysql": "SELECT id FROM information_schema.processlist "
    "WHERE info LIKE 'SELECT SLEEP%%' AND db = DATABASE()",
}

Kill = Callable[[], None]


@pytest.fixture
def kill(backend: Backend, sync: Any) -> Kill:
    """A function that ends all sessions, and returns when the server has done it."""

    def end() -> None:
        end_other_sessions(backend, sync)
        while sync.execute_sql(ALIVE[backend.name]).fetchone()[0]:
            pass

    return end


@pytest.fixture
def writing(database: AioDatabase, tables: CreateTables) -> Manager:
    tables(Line, User)
    return Manager(database)


async def pause(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# In a query


@both_kinds
async def test_in_a_query(
    writing: Manager, backend: Backend, kill: Kill, long: LongQuery, pooled: bool
) -> None:
    async with long.under_way(writing) as tasks:
        waiting = [asyncio.create_task(writing.count(Line)) for _ in range(10)]
        await asyncio.sleep(0)
        kill()
        async with asyncio.timeout(1):
            assert await asyncio.gather(*waiting) == [0] * 10
    assert isinstance(tasks[0].exception(), peewee.OperationalError)
    require_driver(tasks[0].exception(), backend)
    await recovered(writing)


async def test_a_statement_that_the_server_gives_up(
    writing: Manager, backend: Backend, sync: Any, long: LongQuery
) -> None:
    """Its session goes on, and no task was cancelled."""
    opened = writing.database.pool_statistics().opened
    async with long.under_way(writing) as tasks:
        opened = writing.database.pool_statistics().opened
        rows = sync.execute_sql(STOP[backend.name]).fetchall()
        if backend.name == "mysql":
            for (number,) in rows:
                sync.execute_sql(f"KILL QUERY {number}")
    (task,) = tasks
    # MariaDB's SLEEP tells of it by its value, MySQL's and all others by an error.
    if task.exception() is None:
        assert backend.name == "mysql"
        assert task.result() == [(1,)]
    else:
        assert isinstance(task.exception(), peewee.OperationalError)
        require_driver(task.exception(), backend)
    assert task.cancelling() == 0
    assert writing.database.pool_statistics().opened == opened
    await recovered(writing)


async def test_a_task_group_reports_it(
    writing: Manager, backend: Backend, kill: Kill, long: LongQuery
) -> None:
    async def work() -> None:
        await writing.execute(long.query)

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            await long.until_running()
            kill()
    assert caught.group_contains(peewee.OperationalError)
    await recovered(writing)


# In a block


@turns
@both_kinds
async def test_between_two_statements(
    writing: Manager,
    backend: Backend,
    sync: Any,
    kill: Kill,
    turns: int,
    pooled: bool,
) -> None:
    """All that follows fails; the error of the first comes out of the block."""
    with pytest.raises(peewee.OperationalError) as caught:
        async with writing.atomic():
            await write(writing, "one")
            kill()
            await pause(turns)
            first = await failing(write(writing, "two"))
            require_driver(first, backend)
            if backend.name == "postgres":  # MariaDB gives no reason
                said = " ".join(str(error) for error in chain(first))
                assert "administrator command" in said
            second = await failing(write(writing, "three"))
            require_driver(second, backend)
            assert "lost" in str(second)
            raise first
    assert caught.value is first
    assert lines(sync) == []
    await write(writing, "four")
    assert lines(sync) == ["four"]
    await recovered(writing)


async def failing(work: Any) -> peewee.OperationalError:
    with pytest.raises(peewee.OperationalError) as caught:
        await work
    return caught.value


@turns
async def test_at_the_commit(
    writing: Manager,
    backend: Backend,
    sync: Any,
    kill: Kill,
    turns: int,
) -> None:
    with pytest.raises(peewee.OperationalError) as caught:
        async with writing.atomic():
            await write(writing, "one")
            kill()
            await pause(turns)
    require_driver(caught.value, backend)
    assert lines(sync) == []
    await recovered(writing)


async def test_at_the_commit_by_hand(
    writing: Manager, backend: Backend, sync: Any, kill: Kill
) -> None:
    with pytest.raises(peewee.OperationalError) as caught:
        async with writing.atomic() as tx:
            await write(writing, "one")
            kill()
            await pause(20)
            require_driver(await failing(tx.commit()), backend)
            require_driver(await failing(write(writing, "two")), backend)
    require_driver(caught.value, backend)
    assert lines(sync) == []
    await recovered(writing)


@turns
async def test_the_users_own_error_comes_out(
    writing: Manager,
    backend: Backend,
    sync: Any,
    kill: Kill,
    turns: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The loss is logged."""
    with caplog.at_level(logging.WARNING, "peewee.async"), pytest.raises(Oops):
        async with writing.atomic():
            await write(writing, "one")
            kill()
            await pause(turns)
            raise Oops
    assert "peewee.async" in {record.name for record in caplog.records}
    assert lines(sync) == []
    await recovered(writing)


async def test_the_users_own_error_after_a_statement_has_told_of_it(
    writing: Manager,
    backend: Backend,
    sync: Any,
    kill: Kill,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "peewee.async"), pytest.raises(Oops):
        async with writing.atomic():
            await write(writing, "one")
            kill()
            await failing(write(writing, "two"))
            raise Oops
    assert "is lost" in caplog.text
    await recovered(writing)


async def test_an_integrity_error_comes_out_of_a_lost_block(
    writing: Manager, kill: Kill
) -> None:
    """An error in ROLLBACK never hides the original."""
    with pytest.raises(peewee.IntegrityError):
        async with writing.atomic():
            await writing.create(User, name="ada")
            try:
                await writing.create(User, name="ada")
            finally:
                kill()
    assert await writing.count(User) == 0
    await recovered(writing)


async def test_children_of_a_block(
    writing: Manager, backend: Backend, sync: Any, kill: Kill
) -> None:
    with pytest.raises(peewee.OperationalError):
        async with writing.atomic():
            await write(writing, "one")
            kill()
            results = await asyncio.gather(
                *(write(writing, f"child {n}") for n in range(10)),
                return_exceptions=True,
            )
            for result in results:
                assert isinstance(result, peewee.OperationalError)
                require_driver(result, backend)
    assert lines(sync) == []
    await recovered(writing)


async def test_in_a_query_of_a_block_that_children_wait_for(
    writing: Manager, backend: Backend, sync: Any, kill: Kill, long: LongQuery
) -> None:
    with pytest.raises(peewee.OperationalError):
        async with writing.atomic():
            await write(writing, "one")
            slow = asyncio.create_task(writing.execute(long.query))
            await long.until_running()
            others = [
                asyncio.create_task(write(writing, f"child {n}")) for n in range(5)
            ]
            await pause(1)
            kill()
            results = await asyncio.gather(slow, *others, return_exceptions=True)
            for result in results:
                assert isinstance(result, peewee.OperationalError)
                require_driver(result, backend)
    assert lines(sync) == []
    await recovered(writing)


# Blocks that are ended by hand, and connections that are kept


async def test_a_transaction_by_hand(
    writing: Manager, backend: Backend, sync: Any, kill: Kill
) -> None:
    tx = await writing.database.aio_begin()
    await write(writing, "one")
    kill()
    await pause(20)
    require_driver(await failing(tx.commit()), backend)
    await tx.rollback()
    assert lines(sync) == []
    await write(writing, "two")
    assert lines(sync) == ["two"]
    await recovered(writing)


@both_kinds
async def test_a_kept_connection(
    writing: Manager,
    backend: Backend,
    sync: Any,
    kill: Kill,
    pooled: bool,
) -> None:
    with pytest.raises(peewee.OperationalError, match="lost") as caught:
        async with writing.database.aio_connection():
            await write(writing, "one")
            kill()
            await pause(20)
            for _ in range(2):
                require_driver(await failing(write(writing, "two")), backend)
            with pytest.raises(peewee.OperationalError):
                async with writing.atomic():
                    pass
    require_driver(caught.value, backend)
    await write(writing, "three")
    assert lines(sync) == ["one", "three"]
    await recovered(writing)


@both_kinds
async def test_a_detached_block(
    writing: Manager,
    backend: Backend,
    sync: Any,
    long: LongQuery,
    pooled: bool,
) -> None:
    """The block around it goes on."""
    sql = "SELECT pg_backend_pid()" if backend.name == "postgres" else None
    own = Line.raw(sql or "SELECT CONNECTION_ID()").tuples()
    end = "SELECT pg_terminate_backend(%s)" if sql else "KILL %s"
    async with writing.atomic():
        await write(writing, "one")
        with suppress(peewee.OperationalError):
            async with writing.database.detached():
                ((number,),) = await writing.execute(own)
                sync.execute_sql(end, (number,))
                require_driver(await failing(writing.execute(long.query)), backend)
                require_driver(await failing(write(writing, "two")), backend)
        await write(writing, "three")
    assert lines(sync) == ["one", "three"]
    await recovered(writing)


# Streams


@pytest.mark.parametrize("where", ["outside", "in a block", "on a kept connection"])
async def test_a_stream(
    writing: Manager, backend: Backend, kill: Kill, where: str
) -> None:
    query = Line.raw(LARGE).tuples()
    read = 0

    async def stream() -> None:
        nonlocal read
        rows = writing.database.aio_iterator(query, batch_size=2)
        async with aclosing(rows):
            async for _ in rows:
                read += 1
                if read == 1:
                    kill()
                    await pause(20)

    with pytest.raises(peewee.OperationalError) as caught:
        if where == "in a block":
            async with writing.atomic():
                await stream()
        elif where == "on a kept connection":
            async with writing.database.aio_connection():
                await stream()
        else:
            await stream()
    require_driver(caught.value, backend)
    assert 1 <= read < 1000
    await recovered(writing)


async def test_errors_have_no_circles(
    writing: Manager, backend: Backend, kill: Kill
) -> None:
    """Whoever walks along the causes of an error arrives somewhere."""
    with pytest.raises(peewee.OperationalError) as caught:
        async with writing.atomic():
            await write(writing, "one")
            kill()
            for _ in range(3):
                await failing(write(writing, "two"))
    seen: set[int] = set()
    for error in chain(caught.value):
        assert id(error) not in seen
        seen.add(id(error))
    assert len(seen) >= 2
    await until(lambda: not writing.database.pool_statistics().busy)
