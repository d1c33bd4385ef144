"""A server does not go on with a statement that nobody waits for any more."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_async import AioDatabase, Manager
from tests.integration.backends import POOL_SIZE, Backend
from tests.integration.checks import both_kinds, only, quiet, run_python, statistics
from tests.integration.conftest import MakeDatabase
from tests.integration.models import User
from tests.integration.watching import (
    LONG,
    Long,
    cancel,
    sessions,
    until_no_transactions,
    until_sessions,
)

servers_only = only("postgres", "mysql")

# The seconds that a server may take for anything here. What it does is no event of
# ours: it is asked now and then.
SOON = 10

WAITING_FOR_LOCKS = {
    "postgres": (
        "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND datname = current_database()"
    ),
    "mysql": (
        "SELECT COUNT(*) FROM information_schema.processlist "
        "WHERE info LIKE 'UPDATE%%' AND db = DATABASE()"
    ),
}


async def until_gone(long: Long) -> None:
    async with asyncio.timeout(SOON):
        while long.running():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def waiting_for_locks(backend: Backend, sync: Any) -> int:
    sql = WAITING_FOR_LOCKS[backend.name]
    count: int = sync.execute_sql(sql).fetchone()[0]
    return count


async def until_waiting(backend: Backend, sync: Any, count: int) -> None:
    async with asyncio.timeout(SOON):
        while waiting_for_locks(backend, sync) != count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@servers_only
@both_kinds
async def test_a_cancelled_statement(
    objects: Manager, long: Long, database: AioDatabase, backend: Backend, sync: Any
) -> None:
    await objects.connect()
    for _ in range(3):
        task = asyncio.create_task(objects.execute(long.query))
        await long.until_running()
        await cancel(task)
        assert await objects.count(User) == 0
        await until_gone(long)
    async with asyncio.timeout(SOON):
        await until_sessions(backend, sync, statistics(database).size)


@servers_only
async def test_many_at_once(
    objects: Manager, long: Long, database: AioDatabase, backend: Backend, sync: Any
) -> None:
    tasks = [asyncio.create_task(objects.execute(long.query)) for _ in range(POOL_SIZE)]
    await long.until_running(POOL_SIZE)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await until_gone(long)
    async with asyncio.timeout(SOON):
        await until_sessions(backend, sync, statistics(database).size)


@servers_only
async def test_the_time_limit_of_the_database(
    objects: Manager, make_database: MakeDatabase, long: Long
) -> None:
    limited = Manager(make_database(query_timeout=0.2))
    with pytest.raises(peewee.OperationalError, match="query_timeout"):
        await limited.execute(long.query)
    await until_gone(long)


@servers_only
@both_kinds
async def test_a_statement_that_waits_for_a_lock(
    objects: Manager, database: AioDatabase, backend: Backend, sync: Any
) -> None:
    await objects.create(User, name="ada")
    change = User.update(age=7)
    with sync.atomic():
        sync.execute_sql(*User.update(age=1).bind(sync).sql())
        task = asyncio.create_task(objects.execute(change))
        await until_waiting(backend, sync, 1)
        await cancel(task)
        await until_waiting(backend, sync, 0)
    # Had the statement gone on, it would have had the lock by now.
    assert (await objects.get(User)).age == 1
    assert await objects.execute(change) == 1


@servers_only
async def test_a_child_is_cancelled_and_the_block_goes_on(
    objects: Manager, long: Long
) -> None:
    with pytest.raises(peewee.OperationalError, match="lost"):
        async with objects.atomic():
            child = asyncio.create_task(objects.execute(long.query))
            await long.until_running()
            await cancel(child)
            await until_gone(long)


@servers_only
async def test_a_block_that_cannot_be_cleaned_up_in_time(
    objects: Manager, long: Long, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peewee_async.blocks.CLEAN_UP_LIMIT", 0.05)

    async def block() -> None:
        async with objects.atomic():
            children.append(asyncio.create_task(objects.execute(long.query)))
            await long.until_running()
            reached.set()
            await asyncio.Event().wait()

    children: list[asyncio.Task[Any]] = []
    reached = asyncio.Event()
    task = asyncio.create_task(block())
    await reached.wait()
    await cancel(task)
    with pytest.raises(peewee.OperationalError):
        await children[0]
    await until_gone(long)


@servers_only
async def test_closing_does_not_leave_it_running(
    objects: Manager, make_database: MakeDatabase, long: Long, backend: Backend
) -> None:
    hasty = Manager(make_database(close_timeout=0.05))
    task = asyncio.create_task(hasty.execute(long.query))
    await long.until_running()
    await hasty.close()
    with pytest.raises(peewee.OperationalError):
        await task
    await until_gone(long)


@servers_only
@pytest.mark.parametrize("in_block", [False, True])
async def test_a_stream_that_is_cancelled(
    objects: Manager, long: Long, database: AioDatabase, in_block: bool
) -> None:
    async def read() -> None:
        async for _ in database.aio_iterator(long.query):
            pass

    async def read_in_block() -> None:
        async with objects.atomic():
            await read()

    task = asyncio.create_task(read_in_block() if in_block else read())
    # PostgreSQL's statement is a DECLARE, and the FETCH is what lasts.
    async with asyncio.timeout(SOON):
        while not fetching(long):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await cancel(task)
    async with asyncio.timeout(SOON):
        while fetching(long):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def fetching(long: Long) -> int:
    if long.backend.name == "mysql":
        return long.running()
    count: int = long._sync.execute_sql(
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND state = 'active' AND query LIKE 'FETCH%%'"
    ).fetchone()[0]
    return count


@only("mysql")
async def test_a_stream_that_is_left_while_the_server_is_at_its_rows(
    objects: Manager, database: AioDatabase, long: Long
) -> None:
    """Only MySQL goes on by itself; enough rows for it to send some of them."""
    query = User.raw(
        "SELECT SLEEP(seq > 20000) * 0, REPEAT('x', 100) FROM seq_1_to_100000"
    )
    rows = database.aio_iterator(query.tuples(), batch_size=10)
    await anext(rows)
    assert long.running() == 1
    await rows.aclose()
    await until_gone(long)


@servers_only
async def test_a_server_that_takes_no_more_connections(
    objects: Manager,
    database: AioDatabase,
    long: Long,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse() -> Any:
        raise peewee.OperationalError("too many clients")

    await objects.connect()
    pool: Any = database.ready_sessions().pool
    with caplog.at_level(logging.WARNING, "peewee.async"):
        task = asyncio.create_task(objects.execute(long.query))
        await long.until_running()
        monkeypatch.setattr(pool._abandoned, "_connect", refuse)
        await cancel(task)
        assert await objects.count(User) == 0
        await pool._ending
    assert "too many clients" in caplog.text


@servers_only
@pytest.mark.parametrize("end", ["cancelled", "returned"])
async def test_the_end_of_a_program(
    objects: Manager, backend: Backend, path: Path, long: Long, end: str
) -> None:
    program = f"""
import asyncio
import peewee_async
from peewee import SQL, Select

database = {backend.source(path, pooled=True)}

async def query():
    await database.aio_execute_sql({LONG[backend.name]!r})

async def main():
    await database.aio_connect()
    task = asyncio.create_task(query())
    try:
        async with asyncio.timeout(0.3):
            await asyncio.shield(task)
    except TimeoutError:
        print("late")
    if {end == "returned"}:
        task.cancel()
        await asyncio.wait([task])

asyncio.run(main())
"""
    done = await asyncio.to_thread(run_python, program)
    assert quiet(done) == "late\n"
    await until_gone(long)


@servers_only
async def test_an_ordinary_account(
    objects: Manager, make_database: MakeDatabase, backend: Backend, sync: Any
) -> None:
    """It may end its own sessions."""
    quoted = {"postgres": "ordinary", "mysql": "ordinary@'%%'"}[backend.name]
    password = "a-password"
    if backend.name == "postgres":
        sync.execute_sql(f"CREATE ROLE ordinary LOGIN PASSWORD '{password}'")
    else:
        sync.execute_sql(f"CREATE USER {quoted} IDENTIFIED BY '{password}'")
        sync.execute_sql(f"GRANT SELECT ON {backend.database}.* TO {quoted}")
    try:
        database = make_database(user="ordinary", password=password)
        task = asyncio.create_task(database.aio_execute_sql(LONG[backend.name]))
        long = Long(backend, sync)
        await long.until_running()
        await cancel(task)
        await until_gone(long)
        await database.aio_close()
        async with asyncio.timeout(SOON):
            await until_sessions(backend, sync, 0)
    finally:
        kind = "ROLE" if backend.name == "postgres" else "USER"
        sync.execute_sql(f"DROP {kind} {quoted}")


@servers_only
async def test_a_session_of_another_client_is_left_alone(
    objects: Manager, database: AioDatabase, backend: Backend, sync: Any
) -> None:
    """The system has given the number to a process that came later."""
    await objects.connect()
    dialect: Any = database._dialect
    connection = await database.ready_sessions().pool.wait()
    own = connection.session
    assert own is not None
    later = 3600.0  # seconds: whatever it is, it began after that
    if backend.name == "postgres":
        statement = dialect.end_session(own, 0, later)
        assert (await connection.execute(statement)).rows == []
        foreign = dialect.end_session(own + 1, 0, 0.0)
        assert (await connection.execute(foreign)).rows == []
    else:
        assert dialect.end_session(own, own, later) is None
    database.ready_sessions().pool.give_back(connection)
    assert sessions(backend, sync) == 1


@both_kinds
async def test_the_locks_of_an_interrupted_block_are_free(
    objects: Manager, backend: Backend, sync: Any, long: Long
) -> None:
    """In SQLite the statement itself is interrupted."""
    await objects.create(User, name="ada")

    async def block() -> None:
        async with objects.atomic():
            await objects.execute(User.update(age=7))
            await objects.execute(long.query)

    task = asyncio.create_task(block())
    await long.until_running()
    await cancel(task)
    async with asyncio.timeout(SOON):
        await objects.execute(User.update(age=User.age + 1))
    assert (await objects.get(User)).age == 1
    await until_no_transactions(backend, sync)
