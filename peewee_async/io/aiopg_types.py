"""What the values of a reply of PostgreSQL are, as far as psycopg2's casts tell."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from operator import attrgetter
from typing import Any

import psycopg2
from psycopg2 import extensions

# By the identity of each cast: those for the same types of the server are equal.
_MADE: dict[int, type] = {
    id(extensions.BOOLEAN): bool,
    id(extensions.INTEGER): int,
    id(extensions.LONGINTEGER): int,
    id(extensions.FLOAT): float,
    id(extensions.DECIMAL): Decimal,
    id(psycopg2.STRING): str,
    id(extensions.DATE): date,
    id(extensions.TIME): time,
    id(psycopg2.DATETIME): datetime,
}

_type = attrgetter("type_code")


def types_of(cursor: Any) -> tuple[type | None, ...]:
    """Give the exact type of each column's values but NULL; None if it is not known.

    A program can register casts of its own for a cursor, a connection or all of them;
    see https://www.psycopg.org/docs/extensions.html#psycopg2.extensions.register_type.
    """
    casts = extensions.string_types
    own = (cursor.connection.string_types, cursor.string_types)
    if any(own):
        casts = {**casts, **own[0], **(own[1] or {})}
    types = map(casts.get, map(_type, cursor.description))
    return tuple(_MADE.get(id(cast)) for cast in types)
