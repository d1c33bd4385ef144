"""What the tests of several groups of rulings do, or look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import peewee

from peewee_async import AioDatabase, Manager
from tests.integration.backends import Backend
from tests.integration.checks import statistics
from tests.integration.models import User

ME = {"postgres": "pg_backend_pid", "mysql": "connection_id"}
KILL = {"postgres": "SELECT pg_terminate_backend(%s)", "mysql": "KILL %s"}
SLEEP = {"postgres": "SELECT pg_sleep({})", "mysql": "SELECT SLEEP({})"}
OTHERS = {
    "postgres": (
        "SELECT COUNT(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ),
    "mysql": (
        "SELECT COUNT(*) FROM information_schema.processlist "
        "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    ),
}

SEVEN: Any = peewee.Select(columns=[peewee.Value(7)])


class Oops(Exception):
    """An error of the user's own."""


async def add(objects: Manager, *names: str) -> None:
    for name in names:
        await objects.create(User, name=name)


async def ages(objects: Manager) -> list[int]:
    query = User.select(User.age).order_by(User.age).tuples()
    return [age for (age,) in await objects.execute(query)]


def from_users(objects: Manager, what: str = "*") -> str:
    """Give the SQL of a query for all users."""
    opening, closing = objects.database.quote
    return f"SELECT {what} FROM {opening}user{closing}"


async def connection_number(objects: Manager, backend: Backend) -> int:
    """Tell which connection of the server the current task is served by."""
    function = getattr(peewee.fn, ME[backend.name])
    number: int = await objects.scalar(peewee.Select(columns=[function()]))
    return number


def end_connection(backend: Backend, sync: Any, number: int) -> None:
    """Have the server end a connection."""
    sync.execute_sql(KILL[backend.name], (number,)).fetchall()


def connections(backend: Backend, sync: Any) -> int:
    """Count the connections that the server has, but for the one that asks."""
    count: int = sync.execute_sql(OTHERS[backend.name]).fetchone()[0]
    return count


def sleep(backend: Backend, seconds: float) -> Any:
    """Make a query that lasts, on a server."""
    return User.raw(SLEEP[backend.name].format(seconds)).tuples()


@asynccontextmanager
async def blocks_open(
    database: AioDatabase, count: int
) -> AsyncIterator[asyncio.Event]:
    """Have so many blocks open in other tasks, until the event is set."""
    inside, go_on = asyncio.Barrier(count + 1), asyncio.Event()
    lazy: Any = {"lock_type": "DEFERRED"} if is_sqlite(database) else {}

    async def hold() -> None:
        async with database.aio_atomic(**lazy):
            await inside.wait()
            await go_on.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(hold())
        await inside.wait()
        try:
            yield go_on
        finally:
            go_on.set()


async def until(condition: Callable[[], Any]) -> None:
    """Let other tasks go on until something is so."""
    # What another process or a pool does is no event of ours.
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


def is_sqlite(database: Any) -> bool:
    return isinstance(database, peewee.SqliteDatabase)


async def is_full_at(database: AioDatabase, size: int) -> bool:
    """Tell whether so many blocks can be open at once, and one more has to wait."""
    async with blocks_open(database, size) as go_on:
        more = asyncio.create_task(database.aio_execute(SEVEN))
        await until(lambda: statistics(database).waiting or more.done())
        now = statistics(database)
        go_on.set()
        await more
    return (now.size, now.busy, now.opening, now.waiting) == (size, size, 0, 1)
