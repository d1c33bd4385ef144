"""The models that a query is about, and those of their fields that databases change.

Some fields of peewee (JSON, blobs) speak the SQL of the database that their model is
bound to. A query may run on another one, and its models may be bound to none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import peewee

from peewee_async.core.lookups import is_model

# Its stubs leave out what is not documented.
_peewee: Any = peewee


def unwrap(database: Any) -> Any:
    """Give the database behind a `Proxy`; None for one that stands for nothing yet."""
    while isinstance(database, peewee.Proxy):
        database = database.obj
    return database


def database_of(source: Any) -> Any:
    """Give the database that a query, table or model is bound to; None without one."""
    model = model_of(source)
    # A table keeps the database that its model was bound to when it was made.
    bound = (
        getattr(source, "_database", None) if model is None else model._meta.database
    )
    return unwrap(bound)


def model_of(source: Any) -> Any:
    """Give the model that a table or alias in a query stands for, if it does."""
    if is_model(source):
        return source
    if isinstance(source, peewee.ModelAlias):
        return source.model
    return getattr(source, "_model", None) if isinstance(source, peewee.Table) else None


class Sources(peewee.AliasManager):
    """Names the tables of a query while it is rendered, and tells of each of them."""

    __slots__ = ("_meet",)

    def __init__(self, meet: Callable[[Any], None]) -> None:
        super().__init__()
        self._meet = meet

    def __setitem__(self, source: Any, alias: Any) -> None:
        self._meet(source)
        super().__setitem__(source, alias)


class Adaptation:
    """Fields as one database wants them, until they are given back to their own."""

    __slots__ = ("_adapted", "_database")

    def __init__(self, database: Any) -> None:
        self._database = database
        self._adapted: list[Any] = []

    def adapt(self, model: Any) -> None:
        """Have a model's fields speak to the database."""
        meta = model._meta
        if meta._db_hooks and meta not in self._adapted:
            self._adapted.append(meta)
            _apply_hooks(meta, self._database)

    def undo(self) -> None:
        """Have all fields speak to the databases of their models again."""
        while self._adapted:
            meta = self._adapted.pop()
            _apply_hooks(meta, unwrap(meta.database))


def _apply_hooks(meta: Any, database: Any) -> None:
    for hook in meta._db_hooks:
        hook(database)


def models_of(query: Any) -> Iterator[Any]:
    """Give the models whose rows a query may give."""
    model = model_of(query)
    if model is not None:
        yield model
    for part in _parts(query):
        yield from models_of(part)


def _parts(query: Any) -> Iterator[Any]:
    if isinstance(query, _peewee.Join | _peewee.CompoundSelectQuery):
        yield from (query.lhs, query.rhs)
    elif isinstance(query, _peewee.CTE):
        yield query._query
    elif isinstance(query, _peewee.RawQuery):
        yield getattr(query, "model", None)
    elif isinstance(query, _peewee.Select):
        yield from query._from_list or ()
    elif isinstance(query, _peewee.Insert | _peewee.Update | _peewee.Delete):
        yield query.table
