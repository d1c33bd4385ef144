"""Rows become what the query asks for: models, joined models, dicts or tuples.

peewee's own cursor wrappers do the work, over a cursor that holds the rows of a
reply. `decoder` is where another way of decoding would come in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from peewee_async.core.boundary import Reply
from peewee_async.core.dialect import Dialect

Decoder = Callable[[Reply], list[Any]]


class ReplyCursor:
    """The part of a PEP 249 cursor that peewee reads, over a reply."""

    __slots__ = ("_rows", "description", "lastrowid", "rowcount")

    def __init__(self, reply: Reply) -> None:
        self._rows: Iterator[tuple[Any, ...]] = iter(reply.rows)
        self.description = [(name,) for name in reply.columns or ()]
        self.rowcount = reply.rowcount
        self.lastrowid = reply.lastrowid

    def fetchone(self) -> tuple[Any, ...] | None:
        """Give the next row, or None after the last one."""
        return next(self._rows, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Give the rows that are left."""
        return list(self._rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._rows

    def close(self) -> None:
        """Do nothing: the rows are here already."""


def decoder(dialect: Dialect, query: Any) -> Decoder:
    """Choose what makes a query's rows from a reply."""

    def decode(reply: Reply) -> list[Any]:
        return list(query._get_cursor_wrapper(ReplyCursor(reply)).iterator())

    return dialect.adapted(query, decode)
