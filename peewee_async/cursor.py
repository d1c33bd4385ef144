"""What a reader of results sees of a reply: a cursor as PEP 249 has it, with await."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any

from peewee_async.core.boundary import Reply

Row = tuple[Any, ...]


class AioCursor:
    """The rows of one statement, all of which are here already.

    description: a tuple of seven for each column, the name and six times None; None
        if the statement gives no rows.
    rowcount: the number of rows written or given, as the driver tells it.
    lastrowid: the key made for an inserted row, where the driver tells it.
    """

    arraysize = 1

    def __init__(self, reply: Reply) -> None:
        self._rows: Iterator[Row] = iter(reply.rows)
        self.rowcount = reply.rowcount
        self.lastrowid = reply.lastrowid
        self.description: list[Row] | None = None
        if reply.columns is not None:
            self.description = [(name, *[None] * 6) for name in reply.columns]

    async def fetchone(self) -> Row | None:
        """Give the next row, or None after the last one."""
        return next(self._rows, None)

    async def fetchmany(self, size: int | None = None) -> list[Row]:
        """Give the next rows, at most `size` of them, or `arraysize`."""
        return list(islice(self._rows, self.arraysize if size is None else size))

    async def fetchall(self) -> list[Row]:
        """Give all rows that are left."""
        return list(self._rows)

    async def close(self) -> None:
        """Forget the rows that are left."""
        self._rows = iter(())

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    async def __aiter__(self) -> AsyncIterator[Row]:
        for row in self._rows:
            yield row
