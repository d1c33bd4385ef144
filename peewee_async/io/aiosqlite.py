"""SQLite by aiosqlite: one thread for each connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from operator import itemgetter
from typing import Any

from peewee_async.core.boundary import Fetch, Reply, Statement, Status
from peewee_async.io.aiosqlite_cursors import Cursors
from peewee_async.io.aiosqlite_driver import Driver
from peewee_async.io.errors import driver_errors

_name = itemgetter(0)


async def connect(*, opener: Callable[[], sqlite3.Connection]) -> Connection:
    """Have a connection of sqlite3 opened by a function, in a thread of its own."""
    driver = Driver(opener)
    with driver_errors:
        await driver
    return Connection(driver)


class Connection:
    """One connection, and the thread that does its work."""

    server_version = sqlite3.sqlite_version_info
    session, abandoned = None, False  # to interrupt a statement is enough

    def __init__(self, driver: Driver) -> None:
        self.driver: Any = driver
        self._raw = driver._conn
        self._cursors = Cursors(self._raw)
        self.closed = False

    @property
    def alive(self) -> bool:
        return not self.closed

    @property
    def status(self) -> Status:
        if self.closed:
            return Status.IDLE
        if self._raw.in_transaction:
            return Status.OPEN
        return Status.BUSY if self._cursors.busy else Status.IDLE

    async def execute(self, statement: Statement) -> Reply:
        # Sending and fetching in one function is one hop to the thread, not two.
        with driver_errors:
            self._require_open()
            reply: Reply = await self.driver._execute(self._run, statement)
            return reply

    async def fetch(self, fetch: Fetch) -> Reply:
        with driver_errors:
            self._require_open()
            reply: Reply = await self.driver._execute(self._cursors.fetch, fetch)
            return reply

    def _run(self, statement: Statement) -> Reply:
        sql, params, limit, name = statement
        self._require_open()
        self._cursors.set_aside()
        cursor = self._raw.execute(sql, params)
        if name is not None and limit is not None:
            return self._cursors.open(name, cursor, limit)
        try:
            if cursor.description is None:
                return Reply((), None, cursor.rowcount, cursor.lastrowid)
            names = tuple(map(_name, cursor.description))
            rows = cursor.fetchall() if limit is None else cursor.fetchmany(limit)
            return Reply(rows, names, cursor.rowcount, cursor.lastrowid)
        finally:
            cursor.close()

    def _require_open(self) -> None:
        if self.closed:
            raise sqlite3.InterfaceError("The connection was given up.")

    def abort(self) -> None:
        if self.closed:
            return
        self.closed = True
        with suppress(sqlite3.ProgrammingError):  # its thread may have closed it
            self._raw.interrupt()
        self.driver.stop(self._cursors.close)

    async def close(self) -> None:
        with driver_errors:
            await self.driver.close()
        self.closed = True
