"""What replies mean: rows, the first of them, one value, a key, how many were written.

What reads for a kept plan reads many replies, so nothing here knows of a database.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from peewee_async.core.boundary import Reply, Statement
from peewee_async.core.decoding import Decode, Rows


class InsertedKey:
    """Reads the key of an inserted row, or the list of keys of several."""

    __slots__ = ("_decode", "_many")

    def __init__(self, decode: Decode, many: bool) -> None:
        self._decode = decode
        self._many = many

    def __call__(self, reply: Reply) -> Any:
        rows = self._decode(reply)
        if self._many:
            return rows
        return _key_of(rows[0]) if rows else None


def _key_of(row: Any) -> Any:
    # As `Database.last_insert_id` does: a row that is no tuple has no first column.
    if isinstance(row, tuple) and len(row) > 1:
        return row
    try:
        return row[0]
    except (KeyError, TypeError):
        return None


class First:
    """Reads the first row; a model's DoesNotExist, in peewee's words, without one."""

    __slots__ = ("_decode", "_model", "_statement")

    def __init__(self, decode: Decode, model: Any, statement: Statement) -> None:
        self._decode = decode
        self._model = model
        self._statement = statement

    def about(self, statement: Statement) -> First:
        """Make one that reads the reply to another statement."""
        return First(self._decode, self._model, statement)

    def __call__(self, reply: Reply) -> Any:
        rows = self._decode(reply)
        if rows:
            return rows[0]
        model = self._model
        if model is None:
            return None
        statement = self._statement
        raise model.DoesNotExist(
            f"{model} instance matching query does not exist:\n"
            f"SQL: {statement.sql}\nParams: {list(statement.params)}"
        )


class FirstColumn:
    """Reads the first column of the first row; None without one."""

    __slots__ = ("_decode",)

    def __init__(self, decode: Decode) -> None:
        self._decode = decode

    def __call__(self, reply: Reply) -> Any:
        row = first_of(self._decode(reply), 1)
        return row[0] if row else row


class FirstColumns:
    """Reads the first column of all rows."""

    __slots__ = ("_decode",)

    def __init__(self, decode: Rows) -> None:
        self._decode = decode

    def __call__(self, reply: Reply) -> list[Any]:
        return [row[0] for row in self._decode(reply)]

    def portions(self, reply: Reply) -> Iterator[list[Any]]:
        """Read many rows, some at a time."""
        for portion in self._decode.portions(reply):
            yield [row[0] for row in portion]


def first_of(rows: list[Any], n: int) -> Any:
    """Give the first of some rows, or the list of the first n; None without any."""
    head = rows[:n]
    if not head:
        return None
    return head[0] if n == 1 else head


def rowcount(reply: Reply) -> int:
    """Give the number of rows written."""
    return reply.rowcount


def one_value(reply: Reply) -> Any:
    """Give the first column of the first row."""
    return reply.rows[0][0]


def truth(reply: Reply) -> bool:
    """Tell whether that is true."""
    return bool(one_value(reply))


def rows_or_rowcount(reply: Reply) -> list[Any] | int:
    """Give the rows as they are, or the number of rows written where there are none."""
    return reply.rowcount if reply.columns is None else list(reply.rows)


def last_id(reply: Reply) -> Any:
    """Give the last key that the connection made."""
    return reply.lastrowid


def last_id_of_rows(reply: Reply) -> Any:
    """Give the same; None if nothing was inserted, of which SQLite says nothing."""
    return reply.lastrowid if reply.rowcount else None
