"""MySQL and MariaDB by aiomysql."""

from __future__ import annotations

from typing import Any

from pymysql.err import InternalError, MySQLError, OperationalError

from peewee_async.core.boundary import Fetch, Reply, Statement, Status
from peewee_async.io.aiomysql_cursors import Cursors
from peewee_async.io.aiomysql_driver import Driver
from peewee_async.io.aiomysql_errors import unreadable
from peewee_async.io.errors import driver_errors
from peewee_async.io.sockets import Watch


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
        self.driver = driver
        self._cursors = Cursors(driver)
        self._watch = Watch(driver.fileno())
        self.server_version = driver.get_server_info()
        self.session = driver.thread_id()
        self.abandoned = self._under_way = self._aborted = False

    @property
    def closed(self) -> bool:
        return self.driver.gone or self.driver.unasked

    @property
    def alive(self) -> bool:
        # The server may have said why it closes.
        return not (self.closed or self._watch.readable())

    @property
    def status(self) -> Status:
        status = self.driver.transaction
        is_busy = status is Status.IDLE and self._cursors.busy
        return Status.BUSY if is_busy else status

    async def execute(self, statement: Statement) -> Reply:
        with driver_errors:
            sql = self.driver.render(statement.sql, statement.params)
            self._under_way = True  # and still so if the wait is interrupted
            try:
                reply = await self._cursors.execute(sql, statement)
            except Exception as error:
                await self._failed(error)
                raise
            self._under_way = False
            return reply

    async def fetch(self, fetch: Fetch) -> Reply:
        with driver_errors:
            self._under_way = True
            try:
                reply = await self._cursors.fetch(fetch)
            except Exception as error:
                await self._failed(error)
                raise
            self._under_way = False
            return reply

    async def _failed(self, error: Exception) -> None:
        if not isinstance(error, MySQLError):
            self.abort()  # somewhere in a reply, which nobody can go on reading
            raise unreadable(error) from error
        self._under_way = False
        # An error does not tell if it ended the transaction or connection.
        may_be_end = isinstance(error, OperationalError | InternalError)
        if may_be_end or self.status is Status.OPEN:
            await self.driver.ask_status()

    def abort(self) -> None:
        if not self._aborted:
            self._aborted = True
            self.abandoned = self._under_way or self.driver.sending
        self.driver.abort()

    async def close(self) -> None:
        await self.driver.ensure_closed()
