"""Rows read by peewee's own wrapper and by a generated function, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import peewee

from peewee_async.core.boundary import Reply
from peewee_async.core.compiling import function
from peewee_async.core.decoding import ReplyCursor
from peewee_async.core.row_shapes import shape_of
from peewee_async.core.row_sources import source_of

Rows = Sequence[tuple[Any, ...]]


def reply(*rows: tuple[Any, ...], columns: Sequence[str]) -> Reply:
    return Reply(rows, tuple(columns), len(rows))


def by_wrapper(query: Any, answer: Reply) -> list[Any]:
    return list(query._get_cursor_wrapper(ReplyCursor(answer)).iterator())


def source(
    query: Any, columns: Sequence[str], types: Sequence[type | None] | None = None
) -> tuple[str, dict[str, Any]]:
    """Give the text that is generated for a query; `Unfit` is raised without one."""
    wrapper = query._get_cursor_wrapper(ReplyCursor(Reply((), tuple(columns))))
    wrapper.initialize()
    return source_of(wrapper, types)


def generated(query: Any, answer: Reply) -> list[Any] | None:
    """Read rows by the function that is generated for a query."""
    extras = shape_of(query._get_cursor_wrapper(None)).extras
    read = function("read", *source(query, answer.columns or (), answer.types))
    rows: list[Any] = []
    return rows if read(answer.rows, extras, rows) else None


def with_types(answer: Reply) -> Reply:
    """Have a reply vouch for the types of the columns that have a single one."""
    columns = zip(*answer.rows, strict=True)
    kinds = [{type(it) for it in column if it is not None} for column in columns]
    types = [kind.pop() if len(kind) == 1 else None for kind in kinds]
    return answer._replace(types=tuple(types or [None] * len(answer.columns or ())))


def same(query: Any, *rows: tuple[Any, ...], columns: Sequence[str]) -> list[Any]:
    """Give the rows, after they were found to be what the wrapper makes of them."""
    answer = reply(*rows, columns=columns)
    ours = generated(query, answer)
    assert picture(ours) == picture(by_wrapper(query, answer))
    assert picture(ours) == picture(generated(query, with_types(answer)))
    assert ours is not None
    return ours


def picture(value: Any, seen: dict[int, int] | None = None) -> Any:
    """Take a picture of all that can be told about a value, the order of dicts too.

    An object that is met again is shown as the one that it is.
    """
    seen = {} if seen is None else seen
    if isinstance(value, peewee.Model):
        if id(value) in seen:
            return "again", seen[id(value)]
        seen[id(value)] = len(seen)
        return type(value), picture(vars(value), seen)
    if isinstance(value, dict):
        return [(name, picture(item, seen)) for name, item in value.items()]
    if isinstance(value, list):
        return [picture(item, seen) for item in value]
    if isinstance(value, tuple):
        fields = getattr(value, "_fields", None)
        return type(value).__name__, fields, [picture(item, seen) for item in value]
    return type(value), repr(value) if isinstance(value, float) else value
