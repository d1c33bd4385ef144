"""Statements of MySQL whose rows are fetched in portions, by an unbuffered result."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from peewee_async.core.boundary import Fetch, Reply, Statement
from peewee_async.io.aiomysql_driver import Driver
from peewee_async.io.spool import PORTION, Rows, Spool

_name = itemgetter(0)


class Rest:
    """The rows of one statement that were not fetched yet."""

    __slots__ = ("_columns", "_driver", "_result", "_spool")

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._result = driver._result
        self._columns = tuple(map(_name, self._result.description))
        self._spool: Spool | None = None

    async def read(self, limit: int) -> Reply:
        spool = self._spool
        rows = await self._receive(limit) if spool is None else spool.read(limit)
        return Reply(rows, self._columns)

    async def _receive(self, limit: int) -> Rows:
        rows: list[tuple[Any, ...]] = []
        while len(rows) < limit:
            row = await self._result._read_rowdata_packet_unbuffered()
            if row is None:
                break
            rows.append(row)
        return rows

    async def set_aside(self) -> None:
        """Read to the end; an error on the way is raised when its turn comes.

        One that has ended the transaction is raised now, before anything is sent.
        """
        if self._spool is not None or not self._result.unbuffered_active:
            return
        self._spool = Spool()
        try:
            while rows := await self._receive(PORTION):
                self._spool.write(rows)
        except Exception as error:
            self._spool.error = error
            if await self._driver.has_lost_transaction():
                raise

    async def give_up(self) -> None:
        """Read to the end for nothing: the server does not stop sending."""
        if self._spool is not None:
            self._spool.close()
        try:
            await self._result._finish_unbuffered_query()
        except Exception:
            if await self._driver.has_lost_transaction():
                raise


class Cursors:
    """The cursors of one connection, of which one at most is receiving rows.

    The rest of its rows is set aside before anything else is sent.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._rests: dict[str, Rest] = {}

    @property
    def busy(self) -> bool:
        """Whether somebody is in the middle of fetching."""
        return bool(self._rests)

    async def execute(self, sql: bytes, statement: Statement) -> Reply:
        """Send a statement; its rows, or the first ones if it names a cursor."""
        for rest in self._rests.values():
            await rest.set_aside()
        if statement.cursor is not None:
            return await self._open(statement.cursor, sql, statement.limit or 0)
        # Not by a cursor: aiomysql's asks for warnings, and raises them as Python's.
        await self._driver.query(sql)
        result = self._driver._result
        while self._driver._result.has_next:
            await self._driver.next_result()
        names = result.description and tuple(map(_name, result.description))
        rows = (result.rows or ())[: statement.limit]
        return Reply(rows, names, result.affected_rows, result.insert_id)

    async def _open(self, name: str, sql: bytes, limit: int) -> Reply:
        await self._driver.query(sql, unbuffered=True)
        if self._driver._result.description is None:
            return Reply((), None, self._driver._result.affected_rows)
        rest = Rest(self._driver)
        reply = await rest.read(limit)
        self._rests[name] = rest
        return reply

    async def fetch(self, fetch: Fetch) -> Reply:
        """Give the next rows; with a limit of 0, forget all that are left."""
        if fetch.limit:
            return await self._rests[fetch.cursor].read(fetch.limit)
        rest = self._rests.pop(fetch.cursor, None)
        if rest is not None:
            await rest.give_up()
        return Reply()
