"""MySQL and MariaDB by aiomysql."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from aiomysql import connection as aiomysql
from pymysql.constants import CLIENT
from pymysql.converters import escape_string

from peewee_async.core.boundary import Reply, Statement, Status
from peewee_async.io.errors import driver_errors


async def connect(*, password: str = "", sql_mode: str = "", **options: Any) -> Any:
    """Open a connection; options: those of aiomysql.connect."""
    # aiomysql sends passwords as Latin-1, and writes sql_mode into SQL as it is.
    options["password"] = password.encode().decode("latin-1")
    if sql_mode:
        options["sql_mode"] = f"'{escape_string(sql_mode)}'"
    with driver_errors:
        driver = Driver(autocommit=True, **options)
        driver.client_flag &= ~CLIENT.MULTI_STATEMENTS
        try:
            await driver._connect()
        except BaseException:
            driver.close()
            raise
        return Connection(driver)


class Driver(aiomysql.Connection):  # type: ignore[misc]
    """A connection that writes binary values as hexadecimal literals."""

    def escape(self, obj: Any) -> str:
        if isinstance(obj, bytes | bytearray | memoryview):
            return f"_binary X'{bytes(obj).hex()}'"
        return str(super().escape(obj))


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
            cursor = await self._driver.cursor()
            try:
                await cursor.execute(sql, params)
            except Exception:
                if self.status is Status.OPEN:
                    # An error does not tell whether it ended the transaction.
                    with suppress(Exception):
                        await self._driver.ping(reconnect=False)
                raise
            if cursor.description is None:
                return Reply((), None, cursor.rowcount, cursor.lastrowid)
            names = tuple(column[0] for column in cursor.description)
            rows = (await cursor.fetchall())[:limit]
            return Reply(rows, names, cursor.rowcount, cursor.lastrowid)

    def abort(self) -> None:
        writer, self._driver._writer = self._driver._writer, None
        self._driver._reader = None
        if writer is None:
            return
        if self._driver.loop.is_closed():
            _drop(writer.transport)
        else:
            writer.transport.abort()

    async def close(self) -> None:
        with driver_errors:
            await self._driver.ensure_closed()


def _drop(transport: Any) -> None:
    # Without its loop a transport cannot close itself, only complain.
    socket = getattr(transport, "_sock", None)
    if socket is not None:
        socket.close()
        transport._sock, transport._closing = None, True
