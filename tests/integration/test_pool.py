"""The pool against real servers: what dies, ages, waits, is closed and is counted."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import warnings
import weakref
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_async import AioDatabase, Manager
from peewee_async.core.boundary import Statement
from peewee_async.core.pool import Statistics
from peewee_async.io.pool import Pool
from tests.integration.backends import POOL_SIZE, Backend
from tests.integration.checks import both_kinds, only, quiet, run_python
from tests.integration.conftest import MakeDatabase, end_other_sessions
from tests.integration.models import User
from tests.integration.watching import sessions, until_sessions

servers_only = only("postgres", "mysql")

OWN_SESSION = {
    "postgres": "SELECT pg_backend_pid()",
    "mysql": "SELECT CONNECTION_ID()",
}


def pool_of(database: AioDatabase) -> Pool:
    return database.ready_sessions().pool


async def one_row(objects: Manager) -> None:
    assert await objects.scalar(peewee.Select(columns=[peewee.Value(7)])) == 7


async def fill(objects: Manager, size: int) -> None:
    """Have so many idle connections."""
    pool = pool_of(objects.database)
    connections = [await pool.wait() for _ in range(size)]
    for connection in connections:
        pool.give_back(connection)
    assert objects.database.pool_statistics().idle == size


NOTICE_AND_ERROR = """
DO $$ BEGIN RAISE NOTICE 'first'; RAISE EXCEPTION 'second'; END $$
"""


# Connections that die while they are idle


@servers_only
@both_kinds
@pytest.mark.parametrize("turns", [0, 1, 10])
async def test_the_first_query_after_an_idle_connection_was_killed(
    objects: Manager, backend: Backend, sync: Any, pooled: bool, turns: int
) -> None:
    """Whether or not the event loop has run meanwhile."""
    await objects.create(User, name="ada")
    for _ in range(5):
        end_other_sessions(backend, sync)
        await until_killed(backend, sync, turns)
        assert await objects.count(User) == 1
        end_other_sessions(backend, sync)
        await until_killed(backend, sync, turns)
        async with objects.atomic():
            assert (await objects.get(User)).name == "ada"


async def until_killed(backend: Backend, sync: Any, turns: int) -> None:
    while sessions(backend, sync):
        pass
    for _ in range(turns):
        await asyncio.sleep(0)


@servers_only
async def test_all_idle_connections_were_killed(
    objects: Manager, backend: Backend, sync: Any
) -> None:
    await fill(objects, POOL_SIZE)
    end_other_sessions(backend, sync)
    await until_killed(backend, sync, 0)
    results = await asyncio.gather(*(objects.count(User) for _ in range(20)))
    assert results == [0] * 20
    count = objects.database.pool_statistics()
    assert count.discarded == POOL_SIZE
    assert count.size <= POOL_SIZE


# The shortest time after which the server ends an idle session by itself.
SHORT_IDLE = {
    "postgres": "SET idle_session_timeout = 1",
    "mysql": "SET SESSION wait_timeout = 1",
}


@servers_only
async def test_the_first_query_after_the_servers_limit_for_idle_sessions(
    objects: Manager, backend: Backend, sync: Any
) -> None:
    if backend.name == "postgres" and sync.server_version < 140000:
        pytest.skip("This server has no such limit.")
    await objects.connect()
    connection = await pool_of(objects.database).wait()
    await connection.execute(Statement(SHORT_IDLE[backend.name]))
    pool_of(objects.database).give_back(connection)
    await until_sessions(backend, sync, 0)
    await one_row(objects)
    assert objects.database.pool_statistics().opened == 2


@only("mysql")
async def test_a_goodbye_with_a_reason_is_heard(objects: Manager) -> None:
    """MySQL says why it ends a session, MariaDB does not."""
    connection: Any = await pool_of(objects.database).wait()
    pool_of(objects.database).give_back(connection)
    assert connection.alive
    connection.driver._reader.feed_data(b"\x03\x00\x00\x00\xff\xbf\x0f")
    assert not connection.alive
    await one_row(objects)
    assert objects.database.pool_statistics().opened == 2


@servers_only
async def test_a_killed_idle_connection_is_replaced_without_being_asked(
    objects: Manager, backend: Backend, sync: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peewee_async.io.pool.TICK", 0.01)
    await objects.connect()
    end_other_sessions(backend, sync)
    while objects.database.pool_statistics().opened < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await until_sessions(backend, sync, 1)
    count = objects.database.pool_statistics()
    assert (count.idle, count.discarded) == (1, 1)


@servers_only
async def test_a_quiet_connection_is_alive(objects: Manager, backend: Backend) -> None:
    """Nothing that a connection reads in a query is left to be read later."""
    await objects.connect()
    for _ in range(20):
        await one_row(objects)
        with pytest.raises(peewee.DatabaseError):
            await objects.execute(User.raw("SELECT nothing_at_all"))
        await asyncio.sleep(0)
        await objects.execute(User.raw("DROP TABLE IF EXISTS not_there"))  # a notice
        if backend.name == "postgres":
            with pytest.raises(peewee.DatabaseError):
                await objects.execute(User.raw(NOTICE_AND_ERROR))
    assert objects.database.pool_statistics().opened == 1


# Checked before use


async def test_a_connection_that_was_idle_is_checked_before_it_is_used(
    objects: Manager, make_database: MakeDatabase
) -> None:
    checking = Manager(make_database(ping_idle=0))
    await checking.connect()
    before = checking.database.pool_statistics()
    for _ in range(3):
        await one_row(checking)
    count = checking.database.pool_statistics()
    assert count.opened == 1
    assert count.waits == before.waits + 3


@servers_only
async def test_a_connection_that_says_nothing_is_replaced(
    objects: Manager,
    make_database: MakeDatabase,
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if a firewall had forgotten it: neither an answer comes, nor an end."""
    slow = {"postgres": "SELECT pg_sleep(60)", "mysql": "SELECT SLEEP(60)"}
    checking = Manager(make_database(ping_idle=0))
    await checking.connect()
    with monkeypatch.context() as patch:
        ping = Statement(slow[backend.name])
        patch.setattr("peewee_async.io.connecting.PING", ping)
        patch.setattr("peewee_async.io.connecting.PING_LIMIT", 0.05)
        await one_row(checking)
    count = checking.database.pool_statistics()
    assert (count.opened, count.discarded, count.idle) == (2, 1, 1)


# Age


async def test_connections_above_the_minimum_are_closed_when_idle(
    objects: Manager, make_database: MakeDatabase, backend: Backend, sync: Any
) -> None:
    database = make_database(max_idle=0, min_connections=2)
    shrinking = Manager(database)
    await fill(shrinking, POOL_SIZE)
    pool_of(database)._tick()
    assert database.pool_statistics().idle == 2
    await one_row(shrinking)
    if backend.name != "sqlite":
        await until_sessions(backend, sync, 2)


async def test_connections_live_no_longer_than_they_may(
    objects: Manager, make_database: MakeDatabase, backend: Backend, sync: Any
) -> None:
    aging = Manager(make_database(max_lifetime=0))
    for _ in range(3):
        await one_row(aging)
    assert aging.database.pool_statistics().discarded >= 2
    if backend.name != "sqlite":
        await until_sessions(backend, sync, aging.database.pool_statistics().size)


async def test_the_minimum_is_there(
    make_database: MakeDatabase, backend: Backend, sync: Any
) -> None:
    database = make_database(min_connections=3)
    await database.aio_connect()
    while database.pool_statistics().idle < 3:  # noqa: ASYNC110
        await asyncio.sleep(0)
    if backend.name != "sqlite":
        assert sessions(backend, sync) == 3


# Who waits


async def test_waiters_are_served_in_the_order_of_coming(
    objects: Manager, make_database: MakeDatabase
) -> None:
    database = make_database(max_connections=1)
    crowded = Manager(database)
    await crowded.connect()
    before = database.pool_statistics()
    served: list[int] = []

    async def use(number: int) -> None:
        async with crowded.atomic():
            served.append(number)
            await one_row(crowded)

    await asyncio.gather(*(use(number) for number in range(50)))
    assert served == list(range(50))
    count = database.pool_statistics()
    assert count[:5] == (1, 1, 0, 0, 0)
    # Some are done before others begin: PostgreSQL answers faster than tasks start.
    assert before.waits < count.waits <= before.waits + 49
    assert count.wait_seconds > before.wait_seconds


async def test_a_task_that_never_pauses_does_not_starve_another(
    objects: Manager, make_database: MakeDatabase
) -> None:
    crowded = Manager(make_database(max_connections=1))
    done = asyncio.Event()

    async def greedy() -> None:
        while not done.is_set():
            await one_row(crowded)

    async def modest() -> None:
        for _ in range(20):
            await one_row(crowded)
        done.set()

    await asyncio.gather(greedy(), greedy(), modest())


@both_kinds
@pytest.mark.parametrize("in_block", [False, True])
async def test_a_tight_loop_lets_other_tasks_run(
    objects: Manager, pooled: bool, in_block: bool
) -> None:
    await objects.connect()
    queries = 0
    turns: list[int] = []

    async def other() -> None:
        while True:
            turns.append(queries)
            await asyncio.sleep(0)

    async def work() -> None:
        nonlocal queries
        for _ in range(500):
            await one_row(objects)
            queries += 1

    task = asyncio.create_task(other())
    if in_block:
        async with objects.atomic():
            await work()
    else:
        await work()
    task.cancel()
    gaps = [b - a for a, b in zip(turns, [*turns[1:], 500], strict=True)]
    assert max(gaps) <= 50


async def test_statistics(
    objects: Manager, database: AioDatabase, backend: Backend, sync: Any
) -> None:
    assert database.pool_statistics() == Statistics()
    await objects.connect()
    async with objects.atomic():
        assert database.pool_statistics().busy == 1
    count = database.pool_statistics()
    assert count[:7] == (1, 1, 0, 0, 0, 1, 0)
    await objects.close()
    assert database.pool_statistics() == Statistics()
    if backend.name != "sqlite":
        await until_sessions(backend, sync, 0)


# Closing


async def inside(objects: Manager, name: str, reached: Any, go_on: Any) -> None:
    async with objects.atomic():
        await objects.create(User, name=name)
        await reached.wait()
        await go_on.wait()
        await objects.execute(User.update(age=1).where(User.name == name))


async def names(objects: Manager) -> list[str]:
    query = User.select(User.name).order_by(User.name).tuples()
    return [name for (name,) in await objects.execute(query)]


@only("postgres", "mysql", "sqlite")
async def test_closing_waits_for_open_blocks(objects: Manager) -> None:
    reached, go_on = asyncio.Barrier(2), asyncio.Event()
    task = asyncio.create_task(inside(objects, "ada", reached, go_on))
    await reached.wait()
    closers = [asyncio.create_task(objects.close()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(closer.done() for closer in closers)
    go_on.set()
    await asyncio.gather(task, *closers)
    assert not objects.is_connected
    assert await names(objects) == ["ada"]


async def test_closing_rolls_back_what_takes_too_long(
    objects: Manager,
    make_database: MakeDatabase,
    backend: Backend,
    sync: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hasty = Manager(make_database(close_timeout=0.01))
    reached, go_on = asyncio.Barrier(2), asyncio.Event()
    with caplog.at_level(logging.WARNING, "peewee.async"):
        task = asyncio.create_task(inside(hasty, "ada", reached, go_on))
        await reached.wait()
        await hasty.close()
    assert "still in use" in caplog.text
    go_on.set()
    with pytest.raises(peewee.OperationalError):
        await task
    if backend.name != "sqlite":
        await until_sessions(backend, sync, 0)
    assert await names(hasty) == []
    await hasty.create(User, name="bob")


LONG = {
    "postgres": "SELECT pg_sleep(60)",
    "mysql": "SELECT SLEEP(60)",
    "sqlite": (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
        "WHERE i < 10000000000) SELECT COUNT(*) FROM n"
    ),
}


async def test_closing_ends_queries_that_take_too_long_and_those_who_wait(
    objects: Manager, make_database: MakeDatabase, backend: Backend
) -> None:
    hasty = Manager(make_database(close_timeout=0.05, max_connections=2))
    await fill(hasty, 2)
    query = User.raw(LONG[backend.name]).tuples()
    tasks = [asyncio.create_task(hasty.execute(query)) for _ in range(5)]
    while hasty.database.pool_statistics().waiting < 3:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await hasty.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    kinds = [type(result) for result in results]
    assert kinds[2:] == [peewee.InterfaceError] * 3
    assert all(issubclass(kind, peewee.PeeweeException) for kind in kinds)
    assert "AttributeError" not in str(results)
    await one_row(hasty)


@both_kinds
async def test_closing_inside_a_block(objects: Manager, pooled: bool) -> None:
    async with objects.atomic():
        await objects.create(User, name="ada")
        await objects.close()
        await objects.create(User, name="bob")
        await asyncio.gather(objects.close(), objects.close())
        async with objects.atomic():
            await objects.create(User, name="eve")
    assert await names(objects) == ["ada", "bob", "eve"]


@servers_only
async def test_closing_while_connecting(
    objects: Manager, make_database: MakeDatabase, backend: Backend, sync: Any
) -> None:
    for turns in range(12):
        other = Manager(make_database())
        tasks = [asyncio.create_task(one_row(other)) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        await other.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} <= {
            type(None),
            peewee.InterfaceError,
        }
        await other.close()
    await until_sessions(backend, sync, 0)


# What is left


def held(backend: Backend) -> int:
    """Count what connections hold in this process: sockets, or threads."""
    if backend.name == "sqlite":
        return threading.active_count()  # files stay open until all are closed
    return len(os.listdir("/dev/fd"))


async def until_held(backend: Backend, count: int) -> None:
    """Wait until connections hold no more than that: threads end in their own time."""
    while held(backend) > count:  # noqa: ASYNC110
        await asyncio.sleep(0)


@both_kinds
async def test_cycles_leave_nothing(
    objects: Manager, backend: Backend, sync: Any, pooled: bool
) -> None:
    await one_row(objects)
    await objects.close()
    tasks, before = asyncio.all_tasks(), held(backend)
    for _ in range(100):
        await one_row(objects)
        await objects.close()
        await until_held(backend, before)
    assert asyncio.all_tasks() == tasks
    loop: Any = asyncio.get_running_loop()
    assert [timer for timer in loop._scheduled if not timer.cancelled()] == []
    assert not objects.database.ready_sessions()._pools
    if backend.name != "sqlite":
        await until_sessions(backend, sync, 0)


async def test_a_database_that_nobody_has_any_more_leaves_nothing(
    objects: Manager, backend: Backend, sync: Any, path: Path
) -> None:
    before = held(backend)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        database = backend.make(path, pooled=True)
        other = Manager(database)
        await fill(other, 3)
        await one_row(other)
        known = weakref.ref(database)
        del database, other
        while known() is not None:
            await asyncio.sleep(0)
            gc.collect()
        await until_held(backend, before)
    assert caught == []
    if backend.name != "sqlite":
        await until_sessions(backend, sync, 0)


NOTHING_LEFT = """
import asyncio, gc
import peewee_async
from peewee import SQL, Select

async def use(database):
    await database.aio_execute(Select(columns=[SQL("7")]))

def make():
    return {database}
"""


@pytest.mark.parametrize("collect", ["before", "after", "never"])
def test_a_loop_of_ones_own_and_no_close(
    backend: Backend, path: Path, collect: str
) -> None:
    program = NOTHING_LEFT.format(database=backend.source(path, pooled=True))
    program += f"""
loop = asyncio.new_event_loop()
database = make()
loop.run_until_complete(use(database))
if {collect == "before"}:
    del database
    gc.collect()
    loop.run_until_complete(asyncio.sleep(0.1))
loop.close()
if {collect == "after"}:
    del database
    gc.collect()
print("ends")
"""
    assert quiet(run_python(program)) == "ends\n"


@servers_only
def test_a_fork_leaves_the_connections_of_its_parent_alone(
    backend: Backend, path: Path
) -> None:
    program = NOTHING_LEFT.format(database=backend.source(path, pooled=True))
    own = OWN_SESSION[backend.name]
    program += f"""
import os, sys, warnings

async def session(database):
    (row,) = await database.aio_execute(Select(columns=[SQL("{own[7:]}")]).tuples())
    return row[0]

async def main():
    first = await session(database)
    sys.stdout.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads, which a fork leaves behind
        child = os.fork()
    if not child:
        return first
    assert os.waitpid(child, 0)[1] == 0
    # In spite of all that the child has done, this is the same session.
    assert await session(database) == first
    print("parent")

async def afterwards(first):
    assert await session(database) != first
    print("child")

database = make()
loop = asyncio.new_event_loop()
loop.slow_callback_duration = 60  # waitpid() is slow, and the debug mode would say so
first = loop.run_until_complete(main())
if first is not None:
    asyncio.run(afterwards(first))
    del database
    gc.collect()
    sys.stdout.flush()
    os._exit(0)
loop.run_until_complete(database.aio_close())
loop.close()
"""
    assert quiet(run_python(program)) == "child\nparent\n"


def test_a_fork_that_ends_as_programs_do(backend: Backend, path: Path) -> None:
    program = NOTHING_LEFT.format(database=backend.source(path, pooled=True))
    program += """
import os, sys, warnings

database = make()
loop = asyncio.new_event_loop()
loop.run_until_complete(use(database))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    child = os.fork()
if not child:
    asyncio.run(use(database))
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
for _ in range(3):
    loop.run_until_complete(use(database))
assert loop.run_until_complete(asyncio.sleep(0, database.pool_statistics())).size == 0
loop.run_until_complete(database.aio_close())
loop.close()
print("ends")
"""
    # Outside of the loop there is nothing to count.
    assert quiet(run_python(program)) == "ends\n"


async def test_two_threads_with_a_loop_each(
    objects: Manager, database: AioDatabase, backend: Backend, sync: Any
) -> None:
    async def work(number: int) -> None:
        for turn in range(10):
            async with objects.atomic():
                await objects.create(User, name=f"user{number}.{turn}")
            await asyncio.gather(*(one_row(objects) for _ in range(3)))
            if turn % 4 == 0:
                await objects.close()

    threads = [asyncio.to_thread(asyncio.run, work(n)) for n in range(3)]
    await asyncio.gather(work(9), *threads)
    assert await objects.count(User) == 40
    await objects.close()
    if backend.name != "sqlite":
        await until_sessions(backend, sync, 0)


async def test_errors_that_are_kept_hold_no_connection(
    objects: Manager, database: AioDatabase
) -> None:
    await objects.create(User, name="ada")
    kept: list[Exception] = []
    for _ in range(3 * POOL_SIZE):
        try:
            await objects.create(User, name="ada")
        except peewee.IntegrityError as error:
            kept.append(error)
        try:
            async with objects.atomic():
                await objects.execute(User.raw("SELECT nothing_at_all"))
        except peewee.DatabaseError as error:
            kept.append(error)
    assert len(kept) == 6 * POOL_SIZE
    assert database.pool_statistics()[:5] == (1, 1, 0, 0, 0)
