"""The rows of one query in portions, so that few of them are in memory at once.

Strategy: the first request sends the statement with a cursor, further ones fetch from
it, and the last one gives it up. PostgreSQL keeps a cursor as long as a transaction, so
a stream that has a connection to itself begins one, and commits it after the last row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from typing import Any, Generic, TypeVar

import peewee

from peewee_async.core import plans
from peewee_async.core.boundary import Fetch, Request, Statement
from peewee_async.core.decoding import decoder
from peewee_async.core.dialect import Dialect, Family
from peewee_async.core.execution import Steps
from peewee_async.core.prefetching import execute, has_tree
from peewee_async.core.transactions import Block, Transactions

R = TypeVar("R")

# The number of rows that objects are made of at a time. As long as the last ones have
# been dropped by then, Python finds no reason to collect garbage.
BATCH = 100

_COMMENTS = r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_READS = re.compile(_COMMENTS + r"(?:SELECT|VALUES|TABLE|(WITH))\b", re.I | re.S)
_LOCKS = re.compile(r"\bFOR\s+(?:NO\s+KEY\s+)?(?:UPDATE|(?:KEY\s+)?SHARE)\b", re.I)
_WRITES = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE)\b", re.I)

_MAY_HAVE_ENDED = (
    "On PostgreSQL a stream ends with the transaction or savepoint that it was opened "
    "in: to commit or roll back in its loop, open it outside."
)


class Stream(Generic[R]):
    """Reads the rows of one query, on one connection, portion by portion.

    Run `open`, then `more` until `done`. `close` gives up before that.

    size: the number of rows of a portion; None for all of them at once.

    A query that writes gives all its rows at once: a server does not write in portions.
    """

    __slots__ = (
        "_block",
        "_cursor",
        "_decode",
        "_dialect",
        "_endings",
        "_query",
        "_size",
        "done",
    )

    def __init__(self, dialect: Dialect, query: Any, size: int | None) -> None:
        self._dialect = dialect
        self._query = query
        self._size = size
        self._decode = decoder(dialect, query)
        self._block: Block | None = None
        self._cursor = ""
        self._endings = 0
        self.done = False

    def open(self, transactions: Transactions) -> Steps[Iterable[R]]:
        """Send the query; the first rows."""
        query = self._query
        sql, params, *_ = plans.select(self._dialect, query).statement
        if self._size is None or not self._can_be_portioned(sql, transactions):
            self.done = True
            everything: list[R] = yield from execute(self._dialect, query)
            return everything
        if self._dialect.family is Family.POSTGRES and not transactions.blocks:
            self._block = yield from transactions.transaction()
        self._cursor = transactions.open_cursor()
        self._endings = transactions.endings
        first = Statement(sql, params, self._size, self._cursor)
        return (yield from self._portion(transactions, first, self._size))

    def _can_be_portioned(self, sql: str, transactions: Transactions) -> bool:
        selects = isinstance(self._query, peewee.SelectBase | peewee.RawQuery)
        if not selects or has_tree(self._query):
            return False
        is_kept = bool(transactions.blocks) and not transactions.depth
        if is_kept and self._dialect.family is Family.POSTGRES and _LOCKS.search(sql):
            return False  # no cursor locks rows beyond a transaction
        match = _READS.match(sql)
        return match is not None and not (match[1] and _WRITES.search(sql))

    def more(self, transactions: Transactions) -> Steps[Iterable[R]]:
        """Fetch the next rows."""
        size = self._size or 0
        return self._portion(transactions, Fetch(self._cursor, size), size)

    def _portion(
        self, transactions: Transactions, request: Request, size: int
    ) -> Steps[Iterable[R]]:
        try:
            reply = yield request
        except GeneratorExit:
            if self._block is not None:
                transactions.abandon(self._block)
            raise
        except Exception as error:
            self.done = True
            if self._block is not None:
                yield from transactions.rollback_after(self._block, error)
            elif transactions.may_have_ended(self._cursor, self._endings):
                error.add_note(_MAY_HAVE_ENDED)
            raise
        if len(reply.rows) < size:
            yield from self.close(transactions)
        return chain.from_iterable(self._decode.portions(reply, BATCH))

    def close(self, transactions: Transactions) -> Steps[None]:
        """Give up the rows that are left."""
        self.done = True
        if self._block is not None:
            yield from transactions.commit(self._block)
        elif not transactions.may_have_ended(self._cursor, self._endings):
            transactions.forget_cursor(self._cursor)
            yield Fetch(self._cursor, 0)


def require_portions(query: Any, size: int) -> None:
    """Raise ValueError unless a query can be read in portions of so many rows."""
    if type(size) is not int or size < 1:
        raise ValueError(f"Rows cannot come {size!r} at a time: give 1 or more.")
    if has_tree(query):
        raise ValueError(
            "with_related() needs all rows at once: execute the query, or use "
            "`async for` on the query itself."
        )
