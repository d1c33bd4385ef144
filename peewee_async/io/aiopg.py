"""PostgreSQL by aiopg."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from peewee_async.core.boundary import Fetch, Reply, Statement, Status
from peewee_async.io.aiopg_addresses import with_addresses
from peewee_async.io.aiopg_cursors import Cursors
from peewee_async.io.aiopg_driver import Driver
from peewee_async.io.aiopg_hstore import HStore, hstore_of
from peewee_async.io.aiopg_rows import PORTION, rows_of
from peewee_async.io.aiopg_types import MANY, types_of
from peewee_async.io.errors import driver_errors
from peewee_async.io.sockets import Watch

_name = attrgetter("name")


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
        self._raw = driver.raw
        self._watch = Watch(self._raw.fileno())
        self._hstore = hstore
        self.server_version = driver.server_version
        self.session = self._raw.get_backend_pid()
        self._cursors = Cursors(self.execute)
        self._gone = self.abandoned = False

    @property
    def closed(self) -> bool:
        return self._gone or bool(self._raw.closed)

    @property
    def alive(self) -> bool:
        return not (self.closed or self._raw.notices or self._watch.readable())

    @property
    def status(self) -> Status:
        status = self.driver.transaction
        is_busy = status is Status.IDLE and self._cursors.busy
        return Status.BUSY if is_busy else status

    async def execute(self, statement: Statement) -> Reply:
        if statement.cursor is not None:
            return await self._cursors.open(statement, self._is_outside)
        with driver_errors:
            if self.closed:
                raise ConnectionError("it is closed already") from self.driver.failure
            cursor = await self.driver.send(statement.sql, statement.params)
            description = cursor.description  # libpq has the whole reply by now
            if description is None:
                return Reply((), None, cursor.rowcount)
            try:
                limit, count = statement.limit, cursor.rowcount
                if count > PORTION or self._hstore is not None:
                    rows = await rows_of(cursor, limit, self._hstore)
                else:
                    rows = cursor.fetchmany(count if limit is None else limit)
                types = types_of(cursor, rows) if count > MANY else None
                return Reply(rows, tuple(map(_name, description)), count, None, types)
            finally:
                cursor.close()  # else it keeps the rows until the next statement

    async def fetch(self, fetch: Fetch) -> Reply:
        return await self._cursors.fetch(fetch, self._is_outside)

    @property
    def _is_outside(self) -> bool:
        return self.status is not Status.OPEN

    def abort(self) -> None:
        if not self._gone:  # else its socket's number may be another connection's
            self._gone = True
            self.abandoned = self.driver.abort()

    async def close(self) -> None:
        self.abort()  # libpq says goodbye without waiting
