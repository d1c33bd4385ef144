"""PostgreSQL by aiopg."""

from __future__ import annotations

from typing import Any

from peewee_async.core.boundary import Fetch, Reply, Statement, Status
from peewee_async.io.aiopg_addresses import with_addresses
from peewee_async.io.aiopg_cursors import Cursors
from peewee_async.io.aiopg_driver import Driver
from peewee_async.io.aiopg_hstore import HStore, hstore_of
from peewee_async.io.errors import driver_errors
from peewee_async.io.sockets import readable


async def connect(**options: Any) -> Connection:
    """Open a connection; options: those of psycopg2.connect and aiopg.connect."""
    options = await with_addresses(options)
    with driver_errors:
        driver = Driver(**options)
        await driver
        return Connection(driver, await hstore_of(driver))


class Connection:
    """One connection to a PostgreSQL server."""

    def __init__(self, driver: Driver, hstore: HStore | None) -> None:
        driver.forget_notices()
        self.driver = driver
        self._hstore = hstore
        self.server_version = driver.server_version
        self.session = driver.raw.get_backend_pid()
        self._cursors = Cursors(self._send)
        self._gone = self.abandoned = False

    @property
    def closed(self) -> bool:
        return self._gone or bool(self.driver.closed)

    @property
    def alive(self) -> bool:
        raw = self.driver.raw
        return not (self.closed or raw.notices or readable(raw.fileno()))

    @property
    def status(self) -> Status:
        status = self.driver.transaction
        is_busy = status is Status.IDLE and self._cursors.busy
        return Status.BUSY if is_busy else status

    async def execute(self, statement: Statement) -> Reply:
        if statement.cursor is not None:
            return await self._cursors.open(statement, self._is_outside)
        return await self._send(*statement[:3])

    async def fetch(self, fetch: Fetch) -> Reply:
        return await self._cursors.fetch(fetch, self._is_outside)

    @property
    def _is_outside(self) -> bool:
        return self.status is not Status.OPEN

    async def _send(
        self, sql: str, params: tuple[Any, ...] = (), limit: int | None = None
    ) -> Reply:
        with driver_errors:
            if self.closed:
                raise ConnectionError("it is closed already") from self.driver.failure
            self.driver.require_quoting()
            cursor = await self.driver.cursor()
            try:
                await cursor.execute(sql, params)
            finally:
                self.driver.forget_notices()
            try:
                raw = cursor.raw  # libpq has the whole reply by now
                if raw.description is None:
                    return Reply((), None, raw.rowcount)
                names = tuple(column[0] for column in raw.description)
                rows = raw.fetchall() if limit is None else raw.fetchmany(limit)
                if self._hstore is not None:
                    rows = await self._hstore.cast(rows, raw)
                return Reply(rows, names, raw.rowcount)
            finally:
                cursor.close()

    def abort(self) -> None:
        if not self._gone:  # else its socket's number may be another connection's
            self._gone = True
            self.abandoned = self.driver.abort()

    async def close(self) -> None:
        self.abort()  # libpq says goodbye without waiting
