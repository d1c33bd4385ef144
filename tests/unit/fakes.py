"""Fakes at the boundary: connections, and the server behind them.

No driver is faked: these stand where an adapter stands.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import peewee

from peewee_async import PooledPostgresqlDatabase, SqliteDatabase
from peewee_async.core import plans
from peewee_async.core.boundary import Fetch, Reply, Statement, Status
from peewee_async.core.pool import Statistics
from peewee_async.io.errors import driver_errors
from peewee_async.io.sessions import Sessions

CONNECT = "connect"


class Oops(Exception):
    """An error of the program's own."""


def sync(database: peewee.Database, sql: str) -> list[tuple[Any, ...]]:
    """Execute SQL on the sync connection; the rows."""
    rows: list[tuple[Any, ...]] = database.execute_sql(sql).fetchall()
    return rows


async def turns(count: int = 10) -> None:
    """Let everything happen that waits for nothing but its turn."""
    for _ in range(count):
        await asyncio.sleep(0)


class Hold:
    """Where one statement, or attempt to connect, stands still until `release`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.reached = asyncio.Event()
        self._go = asyncio.Event()

    async def stand(self) -> None:
        self.reached.set()
        await self._go.wait()

    def release(self) -> None:
        self._go.set()


class FakeServer:
    """Opens connections, answers statements, and keeps a record of all of it.

    answer: makes the reply to a statement. What breaks the protocol of a connection
    is noted in `violations`.
    """

    def __init__(self, answer: Callable[[Statement], Reply] | None = None) -> None:
        self.answer = answer or (lambda statement: Reply((), None, 1))
        self.connections: list[FakeConnection] = []
        self.sent: list[str] = []
        self.committed: list[str] = []
        self.violations: list[str] = []
        self.attempts = 0
        self.refusal: Exception | None = None
        self.numbers_sessions = False
        self.on_statement: Callable[[int], None] = lambda number: None
        self._holds: list[Hold] = []
        self._failures: list[tuple[str, BaseException, bool]] = []

    def hold(self, text: str) -> Hold:
        """Hold the next statement that begins so; `CONNECT` holds an attempt."""
        self._holds.append(Hold(text))
        return self._holds[-1]

    def fail(self, text: str, error: BaseException, breaks: bool = False) -> None:
        """Answer the next statement that begins so with an error.

        breaks: the connection is gone with it.
        """
        self._failures.append((text, error, breaks))

    def hold_for(self, sql: str) -> Hold | None:
        for hold in self._holds:
            if sql.startswith(hold.text):
                self._holds.remove(hold)
                return hold
        return None

    def failure_for(self, sql: str) -> tuple[str, BaseException, bool] | None:
        for failure in self._failures:
            if sql.startswith(failure[0]):
                self._failures.remove(failure)
                return failure
        return None

    async def connect(self, **options: Any) -> FakeConnection:
        self.attempts += 1
        hold = self.hold_for(CONNECT)
        await (hold.stand() if hold else asyncio.sleep(0))
        if self.refusal is not None:
            raise self.refusal
        connection = self.make(options)
        self.connections.append(connection)
        return connection

    def make(self, options: dict[str, Any]) -> FakeConnection:
        return FakeConnection(self)

    @property
    def alive(self) -> list[FakeConnection]:
        return [each for each in self.connections if not each.closed]


class FakeConnection:
    """A connection that takes a turn of the event loop for each statement."""

    server_version: Any = 170000

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.driver = "the driver's connection"
        self._rest: dict[str, Reply] = {}
        self.statements: list[str] = []
        self.closed = False
        self.failure: BaseException | None = None
        self.abandoned = False
        number = len(server.connections) + 1
        self.session = number if server.numbers_sessions else None
        self.said_goodbye = False
        self.status = Status.IDLE
        self._hold: Hold | None = None
        self._busy = False
        self._interrupted = False
        self._aborted = False
        self._pending: list[str] = []
        self._savepoints: dict[str, int] = {}

    @property
    def alive(self) -> bool:
        return not self.closed

    async def execute(self, statement: Statement) -> Reply:
        sql = statement.sql
        if self.closed:
            raise peewee.OperationalError("the connection is closed") from self.failure
        if self._busy or self._interrupted:
            self.server.violations.append(sql)
            raise RuntimeError(f"{sql} was sent on a connection that is not free")
        self._busy = True
        self.statements.append(sql)
        self.server.sent.append(sql)
        self._hold = self.server.hold_for(sql)
        self.server.on_statement(len(self.server.sent))
        try:
            await (self._hold.stand() if self._hold else asyncio.sleep(0))
        except BaseException:
            self._interrupted = True
            raise
        finally:
            self._busy = False
            self._hold = None
        if self.closed:
            raise peewee.OperationalError("the connection broke")
        return self._answer(statement)

    def _answer(self, statement: Statement) -> Reply:
        failure = self.server.failure_for(statement.sql)
        if failure is not None:
            _, error, breaks = failure
            if breaks:
                self.break_off()
            elif self.status is Status.OPEN and isinstance(error, Exception):
                self.status = Status.ABORTED
            raise error
        reply = self._reply(statement)
        self._take_note(statement.sql)
        if statement.cursor is not None and statement.limit is not None:
            self._rest[statement.cursor] = reply
            return self._portion(statement.cursor, statement.limit)
        return reply

    async def fetch(self, fetch: Fetch) -> Reply:
        """Answer as `execute` does; the record says FETCH or CLOSE."""
        return await self.execute(Statement(fetch.sql))

    def _portion(self, name: str, limit: int) -> Reply:
        reply = self._rest[name]
        self._rest[name] = reply._replace(rows=reply.rows[limit:])
        return reply._replace(rows=reply.rows[:limit])

    def _reply(self, statement: Statement) -> Reply:
        verb, _, rest = statement.sql.partition(" ")
        if verb == "FETCH":
            limit, _, name = rest.partition(" FROM ")
            return self._portion(name, int(limit))
        if verb == "CLOSE":
            del self._rest[rest]
            return Reply()
        return self._answer_to(statement)

    def _answer_to(self, statement: Statement) -> Reply:
        return self.server.answer(statement)

    def _take_note(self, sql: str) -> None:
        verb, _, rest = sql.partition(" ")
        if verb == "BEGIN":
            self.status = Status.OPEN
        elif sql in ("COMMIT", "ROLLBACK"):
            if sql == "COMMIT" and self.status is Status.OPEN:
                self.server.committed += self._pending
            self.roll_back()
        elif verb == "SAVEPOINT":
            self._savepoints[rest] = len(self._pending)
        elif verb == "ROLLBACK":
            self.status = Status.OPEN
            del self._pending[self._savepoints[rest.removeprefix("TO SAVEPOINT ")] :]
        elif verb == "INSERT":
            here = self.status is Status.OPEN
            (self._pending if here else self.server.committed).append(sql)

    def roll_back(self) -> None:
        """End the transaction, as servers do after a deadlock."""
        self.status, self._pending, self._savepoints = Status.IDLE, [], {}

    def break_off(self) -> None:
        """Be gone, as if the server had died; a statement that is held fails."""
        self.closed = True
        if self._hold is not None:
            with suppress(RuntimeError):  # its event loop is closed
                self._hold.release()

    def abort(self) -> None:
        if not self._aborted:
            self._aborted = True
            self.abandoned = self._busy or self._interrupted
        self.break_off()

    async def close(self) -> None:
        await turns(3)
        self.said_goodbye = True
        self.break_off()


class SqliteServer(FakeServer):
    """Executes statements with sqlite3, in the thread of the event loop."""

    def make(self, options: dict[str, Any]) -> FakeConnection:
        return SqliteConnection(self, options["opener"]())


class SqliteConnection(FakeConnection):
    server_version = sqlite3.sqlite_version_info

    def __init__(self, server: FakeServer, raw: sqlite3.Connection) -> None:
        super().__init__(server)
        self._raw = raw

    def _answer_to(self, statement: Statement) -> Reply:
        with driver_errors:
            cursor = self._raw.execute(statement.sql, statement.params)
        if cursor.description is None:
            return Reply((), None, cursor.rowcount, cursor.lastrowid)
        names = tuple(column[0] for column in cursor.description)
        rows = cursor.fetchall()[: statement.limit]
        return Reply(rows, names, cursor.rowcount, cursor.lastrowid)

    def _take_note(self, sql: str) -> None:
        self.status = Status.OPEN if self._raw.in_transaction else Status.IDLE

    def break_off(self) -> None:
        super().break_off()
        self._raw.close()


class FakeDatabase(PooledPostgresqlDatabase):
    """A PostgreSQL database, as far as anything but its server knows."""

    def __init__(self, server: FakeServer, **options: Any) -> None:
        self.server = server
        super().__init__("unit", **options)

    def _import_driver(self) -> Any:
        return SimpleNamespace(connect=self.server.connect)

    @property
    def sessions(self) -> Sessions:
        return self._sessions

    @property
    def statistics(self) -> Statistics:
        return self._sessions.pool.statistics()

    async def send(self, sql: str) -> Any:
        """Run SQL in the block of the current task, or on a free connection."""
        return await self.run_plan(plans.raw, sql)


class MemoryDatabase(SqliteDatabase):
    """A database in memory that needs no driver."""

    def __init__(self) -> None:
        self.server = SqliteServer()
        super().__init__(":memory:", pragmas={"foreign_keys": 1})

    def _import_driver(self) -> Any:
        return SimpleNamespace(connect=self.server.connect)
