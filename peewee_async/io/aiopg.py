"""PostgreSQL by aiopg."""

from __future__ import annotations

from typing import Any

from psycopg2 import extensions

from peewee_async.core.boundary import Reply, Statement, Status
from peewee_async.io.aiopg_addresses import with_addresses
from peewee_async.io.aiopg_driver import Driver
from peewee_async.io.errors import driver_errors

_STATUS = {
    extensions.TRANSACTION_STATUS_IDLE: Status.IDLE,
    extensions.TRANSACTION_STATUS_UNKNOWN: Status.IDLE,
    extensions.TRANSACTION_STATUS_INERROR: Status.ABORTED,
}

# Types are left to psycopg2, so that sync and async values agree.
_DEFAULTS: dict[str, Any] = {
    "dsn": None,
    "timeout": None,
    "enable_json": False,
    "enable_uuid": False,
}


async def connect(**options: Any) -> Connection:
    """Open a connection; options: those of psycopg2.connect and aiopg.connect."""
    options = await with_addresses(_DEFAULTS | options)
    with driver_errors:
        driver = Driver(**options)
        await driver
        return Connection(driver)


class Connection:
    """One connection to a PostgreSQL server."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._gone = False
        self.server_version = driver.server_version

    @property
    def closed(self) -> bool:
        return self._gone or bool(self._driver.closed)

    @property
    def status(self) -> Status:
        return _STATUS.get(self._driver.raw.get_transaction_status(), Status.OPEN)

    async def execute(self, statement: Statement) -> Reply:
        sql, params, limit = statement
        with driver_errors:
            if self.closed:
                raise ConnectionError("it is closed already")
            cursor = await self._driver.cursor()
            await cursor.execute(sql, params)
            try:
                raw = cursor.raw  # libpq has the whole reply by now
                if raw.description is None:
                    return Reply((), None, raw.rowcount)
                names = tuple(column[0] for column in raw.description)
                rows = raw.fetchall() if limit is None else raw.fetchmany(limit)
                return Reply(rows, names, raw.rowcount)
            finally:
                cursor.close()

    def abort(self) -> None:
        if self._gone:
            return  # the number of the socket may be another connection's by now
        self._gone = True
        self._driver.abort()

    async def close(self) -> None:
        self.abort()  # libpq says goodbye without waiting
