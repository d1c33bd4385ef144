"""Values in statements of PostgreSQL: the plain ones are written without psycopg2."""

from __future__ import annotations

from typing import Any

from psycopg2 import extensions

# What psycopg2 writes these types by, unless a program has registered something else.
_OWN = {
    (int, extensions.ISQLQuote): extensions.Int,
    (bool, extensions.ISQLQuote): extensions.Boolean,
    (str, extensions.ISQLQuote): extensions.QuotedString,
}.items()

_LEFT = "%s"


def with_plain_values(sql: str, params: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Put values into a statement that look the same in every charset and mode.

    psycopg2 makes an object for each value, which for a bulk insert takes longer than
    all the rest. What comes back is for psycopg2, which then sends the same bytes.
    """
    count = len(params)
    if not count or type(sql) is not str or not extensions.adapters.items() >= _OWN:
        return sql, params
    if sql.count("%") != count or sql.count(_LEFT) != count:
        return sql, params  # a percent sign means something else, or is one too many
    texts = tuple(map(_text, params))
    left = [value for value, text in zip(params, texts, strict=True) if text == _LEFT]
    return sql % texts, tuple(left)


def _text(value: Any) -> str:
    """Write a value; `%s` if psycopg2 has to do it."""
    kind = type(value)
    if kind is str:
        # Of what is printable, these alone have a meaning inside of quotes, or would
        # have one to psycopg2.
        is_plain = value.isascii() and value.isprintable()
        if is_plain and "'" not in value and "\\" not in value and "%" not in value:
            return f"'{value}'"
    elif kind is int:
        # Not "--1", which begins a comment, where a minus comes before.
        return str(value) if value >= 0 else f" {value}"
    elif kind is bool:
        return "true" if value else "false"
    elif value is None:
        return "NULL"
    return _LEFT
