"""Rows become what the query asks for: models, joined models, dicts or tuples.

peewee's own cursor wrappers know how; they do it for each row anew. So for rows that
come again, or are many, a function is generated from what a wrapper has resolved. It is
kept with the model, for as long as that lives.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from itertools import islice, repeat
from typing import Any, NamedTuple

import peewee

from peewee_async.core.boundary import Reply
from peewee_async.core.caching import Cache
from peewee_async.core.compiling import function
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import PORTION
from peewee_async.core.row_shapes import Shape, Unfit, shape_of
from peewee_async.core.row_sources import source_of

# Its stubs leave out what is not documented.
_peewee: Any = peewee

Decode = Callable[[Reply], list[Any]]
Read = Callable[[Any, Any, list[Any]], bool]

# To generate a function takes as long as peewee's wrapper takes for so many rows.
MANY = 100
# Shapes kept for each model: of those with a function, and of those seen once.
LIMIT = 128

_KEPT = "_peewee_async_decoders"
_OWN_WRAPPERS = (
    _peewee.BaseQuery._get_cursor_wrapper,
    _peewee.BaseModelSelect._get_cursor_wrapper,
)
_OWN_MODEL_WRAPPERS = (
    _peewee.BaseModelSelect._get_model_cursor_wrapper,
    _peewee.ModelSelect._get_model_cursor_wrapper,
    _peewee.ModelCompoundSelectQuery._get_model_cursor_wrapper,
    None,
)


class ReplyCursor:
    """The part of a PEP 249 cursor that peewee reads, over a reply."""

    __slots__ = ("_rows", "description", "lastrowid", "rowcount")

    def __init__(self, reply: Reply) -> None:
        self._rows = iter(reply.rows)
        self.description = [(name,) for name in reply.columns or ()]
        self.rowcount = reply.rowcount
        self.lastrowid = reply.lastrowid

    def fetchone(self) -> tuple[Any, ...] | None:
        """Give the next row, or None after the last one."""
        return next(self._rows, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Give the rows that are left."""
        return list(self._rows)

    def __iter__(self) -> Any:
        return self._rows

    def close(self) -> None:
        """Do nothing: the rows are here already."""


class Known(NamedTuple):
    """A shape that has been looked into.

    read: the function that reads its rows, or None where only a wrapper can. kept: what
    the key of the shape refers to.
    """

    read: Read | None
    kept: tuple[Any, ...]


class Shapes:
    """The shapes of rows that one model has been seen in."""

    __slots__ = ("known", "seen")

    def __init__(self) -> None:
        self.known: Cache[Known] = Cache(LIMIT)
        self.seen: Cache[bool] = Cache(LIMIT)

    def is_due(self, key: Hashable, rows: int) -> bool:
        """Whether a shape that is not known should be looked into by now."""
        if rows > MANY or self.seen.get(key):
            return True
        self.seen.put(key, True)
        return False


_without_model = Shapes()


def shapes_of(model: Any) -> Shapes:
    """Give the shapes of a model; they go with it."""
    if model is None:
        return _without_model
    # In a dict of their own they would keep the model from being collected.
    found: Shapes = vars(model._meta).setdefault(_KEPT, Shapes())
    return found


class WrappedRows:
    """Makes the objects of a query from replies to it as peewee does.

    wrap: makes peewee's wrapper over a cursor.

    Call it with a reply, and perhaps a list to put the objects into: one that has those
    before an error.
    """

    __slots__ = ("_wrap",)

    def __init__(self, wrap: Callable[[ReplyCursor], Any]) -> None:
        self._wrap = wrap

    def __call__(self, reply: Reply, made: list[Any] | None = None) -> list[Any]:
        made = [] if made is None else made
        made += self._iterator(reply)
        return made

    def portions(self, reply: Reply, size: int = PORTION) -> Iterator[list[Any]]:
        """Make the objects of many rows, some at a time; those before an error, too."""
        rows = self._iterator(reply)
        while True:
            made: list[Any] = []
            try:
                made += islice(rows, size)
            except Exception:
                if made:
                    yield made
                raise
            if not made:
                return
            yield made

    def _iterator(self, reply: Reply) -> Iterator[Any]:
        rows: Iterator[Any] = self._wrap(ReplyCursor(reply)).iterator()
        return rows


class ShapedRows:
    """Makes the objects of a query from replies to it, or to any of its shape.

    Call it as `WrappedRows`.
    """

    __slots__ = ("_by_wrapper", "_known_shape", "_ready", "_wrapper")

    def __init__(self, wrapper: Any) -> None:
        self._wrapper = wrapper
        self._by_wrapper = WrappedRows(self._fresh)
        self._known_shape: Shape | None = None
        self._ready: tuple[Any, Any, Any, Any] = (Ellipsis, None, None, None)

    def __call__(self, reply: Reply, made: list[Any] | None = None) -> list[Any]:
        made = [] if made is None else made
        columns, types, read, extras = self._ready
        is_ready = columns == reply.columns and types == reply.types
        if is_ready and read(reply.rows, extras, made):
            return made
        return self._anew(reply, made) if reply.rows else made

    def portions(self, reply: Reply, size: int = PORTION) -> Iterator[list[Any]]:
        """Make the objects of many rows, some at a time; those before an error, too."""
        if not self._is_ready(reply):
            yield from self._by_wrapper.portions(reply, size)
            return
        for rows in _taken(reply.rows, size):
            made: list[Any] = []
            try:
                self(reply._replace(rows=rows), made)
            except Exception:
                if made:
                    yield made
                raise
            yield made

    def _anew(self, reply: Reply, made: list[Any]) -> list[Any]:
        if self._is_ready(reply):
            *_, read, extras = self._ready
            if read(reply.rows, extras, made):
                return made
            # What it relies on has changed.
            self._shapes().known.drop(self._key(reply))
        return self._by_wrapper(reply, made)

    def _is_ready(self, reply: Reply) -> bool:
        """Find or make the function for the rows; there may be none."""
        try:
            key = self._key(reply)
        except Unfit:
            return False
        shapes = self._shapes()
        known = shapes.known.get(key)
        if known is None:
            if not shapes.is_due(key, len(reply.rows)):
                return False
            known = Known(self._generated(reply), self._shape().kept)
            shapes.known.put(key, known)
        if known.read is None:
            return False
        self._ready = (reply.columns, reply.types, known.read, self._shape().extras)
        return True

    def _key(self, reply: Reply) -> Hashable:
        return self._shape().key, reply.columns, reply.types

    def _shape(self) -> Shape:
        if self._known_shape is None:
            self._known_shape = shape_of(self._wrapper)
        return self._known_shape

    def _shapes(self) -> Shapes:
        return shapes_of(getattr(self._wrapper, "model", None))

    def _generated(self, reply: Reply) -> Read | None:
        wrapper = self._fresh(ReplyCursor(reply))
        wrapper.initialize()
        try:
            text, names = source_of(wrapper, reply.types)
        except Unfit:
            return None
        return function("read", text, names)

    def _fresh(self, cursor: ReplyCursor) -> Any:
        """Make a wrapper like the one of the query, over a cursor."""
        fresh = object.__new__(type(self._wrapper))
        vars(fresh).update(vars(self._wrapper))
        fresh.cursor = cursor
        return fresh


def _taken(rows: Any, size: int) -> Iterator[Any]:
    """Give rows in portions, and keep none that was given.

    A reply is read once. What its rows took in memory is for the objects made of them.
    """
    for start in range(0, len(rows), size):
        portion = rows[start : start + size]
        if isinstance(rows, list):
            rows[start : start + size] = repeat(None, len(portion))
        yield portion


class AdaptedRows:
    """Makes objects while the fields of models speak to one database."""

    __slots__ = ("_next", "_portions", "_read")

    def __init__(
        self, rows: WrappedRows | ShapedRows, adapted: Callable[[Any], Any]
    ) -> None:
        self._read = adapted(rows)
        self._next = adapted(next)
        self._portions = rows.portions

    def __call__(self, reply: Reply) -> list[Any]:
        rows: list[Any] = self._read(reply)
        return rows

    def portions(self, reply: Reply, size: int = PORTION) -> Iterator[list[Any]]:
        """Make the objects of many rows, some at a time; those before an error, too."""
        portions = self._portions(reply, size)
        while portion := self._next(portions, None):
            yield portion


Rows = WrappedRows | ShapedRows | AdaptedRows


def decoder(dialect: Dialect, query: Any) -> Rows:
    """Choose what makes a query's rows from a reply.

    What comes back knows the shape of the query, not its conditions: it may be kept
    and called for every query of that shape.
    """
    rows: WrappedRows | ShapedRows
    if _has_own_wrapper(query):
        rows = ShapedRows(query._get_cursor_wrapper(None))
    else:
        rows = WrappedRows(query._get_cursor_wrapper)
    if dialect.adapted(query, rows) is rows:
        return rows
    return AdaptedRows(rows, lambda read: dialect.adapted(query, read))


def makes_clean(query: Any) -> bool:
    """Whether the objects of a query come with nothing dirty.

    peewee cleans those of a model, but not what an alias or a function gives.
    """
    is_of_model = isinstance(query.model, type) and _has_own_wrapper(query)
    return is_of_model and query._row_type in (None, _peewee.ROW.MODEL)


def _has_own_wrapper(query: Any) -> bool:
    """Whether a query's rows are wrapped by peewee, in no way of the program's own."""
    while isinstance(query, _peewee.ModelCompoundSelectQuery):
        if not _wraps(query):
            return False
        query = query.lhs
    return _wraps(query)


def _wraps(query: Any) -> bool:
    kind = type(query)
    return (
        kind._get_cursor_wrapper in _OWN_WRAPPERS
        and getattr(kind, "_get_model_cursor_wrapper", None) in _OWN_MODEL_WRAPPERS
        and _WRAPPERS.isdisjoint(vars(query))
    )


_WRAPPERS = {"_get_cursor_wrapper", "_get_model_cursor_wrapper"}
