"""MySQL and MariaDB by aiomysql."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pymysql.err import MySQLError

from peewee_async.core.boundary import Reply, Statement, Status
from peewee_async.io.aiomysql_driver import Driver
from peewee_async.io.errors import driver_errors


async def connect(**options: Any) -> Connection:
    """Open a connection; options: those of aiomysql.connect."""
    with driver_errors:
        driver = Driver(**options)
        try:
            await driver._connect()
        except BaseException:
            driver.abort()
            raise
        return Connection(driver)


class Connection:
    """One connection to a MySQL or MariaDB server."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.server_version = driver.get_server_info()

    @property
    def closed(self) -> bool:
        reader = self._driver._reader
        return reader is None or reader.at_eof() or reader.exception() is not None

    @property
    def status(self) -> Status:
        is_open = not self.closed and self._driver.get_transaction_status()
        return Status.OPEN if is_open else Status.IDLE

    async def execute(self, statement: Statement) -> Reply:
        sql, params, limit = statement
        with driver_errors:
            text: str = sql % tuple(map(self._driver.escape, params))
            result = await self._query(
                text.encode(self._driver.encoding, "surrogateescape")
            )
        columns = result.description  # None if the statement gives no rows
        names = columns and tuple(column[0] for column in columns)
        rows = (result.rows or ())[:limit]
        return Reply(rows, names, result.affected_rows, result.insert_id)

    async def _query(self, sql: bytes) -> Any:
        # Not by a cursor: aiomysql's asks for warnings, and raises them as Python's.
        try:
            await self._driver.query(sql)
            result = self._driver._result
            while self._driver._result.has_next:
                await self._driver.next_result()
            return result
        except MySQLError:
            if self.status is Status.OPEN:
                # An error does not tell whether it ended the transaction.
                with suppress(Exception):
                    await self._driver.ping(reconnect=False)
            raise
        except Exception:
            self.abort()  # somewhere in a reply, which nobody can go on reading
            raise

    def abort(self) -> None:
        self._driver.abort()

    async def close(self) -> None:
        await self._driver.ensure_closed()
