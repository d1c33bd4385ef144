"""What the values of a reply of PostgreSQL are, as far as psycopg2's casts tell."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from operator import attrgetter
from typing import Any

import psycopg2
from psycopg2 import extensions

# Above so many rows it pays to know what types they are of.
MANY = 100

# Each cast with the exact type of what it makes of all but NULL.
_CASTS: tuple[tuple[Any, type], ...] = (
    (extensions.BOOLEAN, bool),
    (extensions.INTEGER, int),
    (extensions.LONGINTEGER, int),
    (extensions.FLOAT, float),
    (extensions.DECIMAL, Decimal),
    (psycopg2.STRING, str),
    (extensions.DATE, date),
    (extensions.TIME, time),
    (psycopg2.DATETIME, datetime),
)
# By identity: two casts are equal if they have a type of the server in common.
_MADE = {id(cast): kind for cast, kind in _CASTS}

_type = attrgetter("type_code")

Rows = Sequence[tuple[Any, ...]]


def types_of(cursor: Any, rows: Rows) -> tuple[type | None, ...] | None:
    """Give the exact type of each column's values but NULL; None if it is not known.

    rows: those of the reply.

    A program can register casts of its own for a cursor, a connection or all of them;
    see https://www.psycopg.org/docs/extensions.html#psycopg2.extensions.register_type.
    """
    if type(cursor) is not extensions.cursor:
        return None  # it may do anything to its rows
    casts = extensions.string_types
    own = (cursor.connection.string_types, cursor.string_types)
    if any(own):
        casts = {**casts, **own[0], **(own[1] or {})}
    columns = enumerate(map(casts.get, map(_type, cursor.description)))
    kinds = [(_MADE.get(id(cast)), index) for index, cast in columns]
    return tuple(kind if _is_true(kind, index, rows) else None for kind, index in kinds)


def _is_true(kind: type | None, index: int, rows: Rows) -> bool:
    """Whether a column is of a type: its cast may be another one by now."""
    values = (row[index] for row in rows if row[index] is not None)
    return kind is not None and type(next(values, None)) in (kind, type(None))
