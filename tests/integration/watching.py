"""What a server is at, as another session of it sees."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.backends import Backend
from tests.integration.models import User

SESSIONS = {
    "postgres": (
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    ),
    "mysql": (
        "SELECT COUNT(*) FROM information_schema.processlist "
        "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    ),
}
OPEN_TRANSACTIONS = {
    "postgres": (
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND state LIKE 'idle in transaction%%'"
    ),
    "mysql": (
        "SELECT COUNT(*) FROM information_schema.innodb_trx JOIN "
        "information_schema.processlist ON trx_mysql_thread_id = id "
        "WHERE db = DATABASE()"
    ),
}


def open_transactions(backend: Backend, sync: Any) -> int:
    """Count the sessions that the server sees in a transaction."""
    if backend.server is None:
        return 0
    count: int = sync.execute_sql(OPEN_TRANSACTIONS[backend.name]).fetchone()[0]
    return count


# Statements that would go on for a minute: whoever waits for one has failed.
LONG = {
    "postgres": "SELECT pg_sleep(60)",
    "mysql": "SELECT SLEEP(60)",
    "sqlite": (
        "WITH RECURSIVE n(i) AS (SELECT started() UNION ALL SELECT i + 1 FROM n "
        "WHERE i < 10000000000) SELECT COUNT(*) FROM n"
    ),
}
RUNNING = {
    "postgres": (
        "SELECT COUNT(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%%' "
        "AND state = 'active' AND datname = current_database()"
    ),
    "mysql": (
        "SELECT COUNT(*) FROM information_schema.processlist "
        "WHERE info LIKE 'SELECT SLEEP%%' AND db = DATABASE()"
    ),
}


class Long:
    """A statement that lasts, and how one sees that it is under way."""

    def __init__(self, backend: Backend, sync: Any) -> None:
        self.backend = backend
        self._sync = sync
        self._started = 0

    def watch(self, database: Any) -> None:
        if self.backend.name == "sqlite":
            database.register_function(self._start, "started")

    def _start(self) -> int:
        self._started += 1
        return 1

    @property
    def query(self) -> Any:
        return User.raw(LONG[self.backend.name]).tuples()

    def running(self) -> int:
        if self.backend.name == "sqlite":
            return self._started
        count: int = self._sync.execute_sql(RUNNING[self.backend.name]).fetchone()[0]
        return count

    async def until_running(self, count: int = 1) -> None:
        # What another process does is no event of ours.
        while self.running() < count:  # noqa: ASYNC110
            await asyncio.sleep(0)


def sessions(backend: Backend, sync: Any) -> int:
    """Count the sessions at the server, that of `sync` left out."""
    count: int = sync.execute_sql(SESSIONS[backend.name]).fetchone()[0]
    return count


async def until_sessions(backend: Backend, sync: Any, count: int) -> None:
    """Wait until the server has so many sessions: it ends them in its own time."""
    while sessions(backend, sync) != count:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def until_no_transactions(backend: Backend, sync: Any) -> None:
    """Wait until the server sees no session in a transaction: it ends them likewise."""
    while open_transactions(backend, sync):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
