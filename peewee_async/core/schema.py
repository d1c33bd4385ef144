"""Tables: created, dropped, emptied and looked for, with what belongs to them.

Each is the method of `peewee.Model` or `peewee.Database` that it is named after, run
by `replay` on the database at hand, whatever the model is bound to. What a schema
manager of the program's own sends is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any

import peewee

from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Steps
from peewee_async.core.lookups import is_model, require_model
from peewee_async.core.replay import replay

# Its stubs leave out what is not documented.
_peewee: Any = peewee

NONE: Mapping[str, Any] = {}


def create_table(
    dialect: Dialect, model: Any, options: Mapping[str, Any] = NONE
) -> Steps[None]:
    """Create a model's table, its indexes and sequences: `Model.create_table`."""
    return _of_model(dialect, "create_table", model, options)


def drop_table(
    dialect: Dialect, model: Any, options: Mapping[str, Any] = NONE
) -> Steps[None]:
    """Drop a model's table and its sequences: `Model.drop_table`."""
    return _of_model(dialect, "drop_table", model, options)


def truncate_table(
    dialect: Dialect, model: Any, options: Mapping[str, Any] = NONE
) -> Steps[None]:
    """Delete all rows of a model's table: `Model.truncate_table`."""
    return _of_model(dialect, "truncate_table", model, options)


def table_exists(dialect: Dialect, model: Any) -> Steps[bool]:
    """Tell whether a model's table exists: `Model.table_exists`."""
    return _of_model(dialect, "table_exists", model)


def create_tables(
    dialect: Dialect, models: Iterable[Any], options: Mapping[str, Any] = NONE
) -> Steps[None]:
    """Create the tables of models, those that others refer to first."""
    for model in _sorted(models):
        yield from create_table(dialect, model, options)


def drop_tables(
    dialect: Dialect, models: Iterable[Any], options: Mapping[str, Any] = NONE
) -> Steps[None]:
    """Drop the tables of models, those that others refer to last."""
    for model in reversed(_sorted(models)):
        yield from drop_table(dialect, model, options)


def inspect(dialect: Dialect, method: str, *args: Any) -> Steps[Any]:
    """Ask the catalogue by a method of the database: `get_tables` and the like."""
    return replay(dialect.database, lambda database: getattr(database, method)(*args))


def _sorted(models: Iterable[Any]) -> list[Any]:
    if is_model(models):
        raise TypeError(f"{models!r} is one model: give a list of them.")
    ordered: list[Any] = _peewee.sort_models([require_model(each) for each in models])
    return ordered


def _of_model(
    dialect: Dialect, method: str, model: Any, options: Mapping[str, Any] = NONE
) -> Steps[Any]:
    body = getattr(_peewee.Model, method).__func__
    require_model(model)

    def function(database: Any) -> Any:
        with dialect.adapting([model]):
            return body(_Bound(model, database), **options)

    return replay(dialect.database, function)


class _Bound:
    """A model in the eyes of `peewee.Model`'s methods, on a database for one call.

    The model itself is not touched: binding it would be seen by everybody.
    """

    __slots__ = ("_meta", "_schema")

    def __init__(self, model: Any, database: Any) -> None:
        self._meta = model._meta
        self._schema = copy(model._schema)
        self._schema.database = database

    def table_exists(self) -> bool:
        exists: bool = _peewee.Model.table_exists.__func__(self)
        return exists
