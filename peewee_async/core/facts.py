"""What SQL depends on besides the query: options, tables, and methods not overridden.

Whatever is not known to be peewee's own goes to peewee every time: methods and fields
that a program has overridden, models whose fields speak another database's SQL.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any
from weakref import ref

import peewee

from peewee_async.core.conversions import chain
from peewee_async.core.dialect import Dialect, family_of
from peewee_async.core.lookups import is_model
from peewee_async.core.shapes import SELECTS
from peewee_async.core.sources import unwrap

# Its stubs leave out what is not documented.
_peewee: Any = peewee

# What decides on the SQL of a database, beside its class.
_options = attrgetter(
    "server_version",
    "returning_clause",
    "_operations",
    "param",
    "quote",
    "limit_max",
    "compound_select_parentheses",
    "context_class",
)

_column_name = attrgetter("column_name")
_conversion = attrgetter("db_value", "adapt")


class Facts:
    """What was so when SQL was made, to be compared with what is.

    converts: the methods of fields that values are converted by.
    are_adapted: whether one of those fields speaks to another database at times, in
        another thread: it converts under the lock of the dialect only.
    """

    __slots__ = ("_conversions", "_converting", "_models", "_options", "are_adapted")

    def __init__(
        self, database: Any, models: Iterable[Any], converts: Iterable[Any] = ()
    ) -> None:
        self._options = _options(database)
        self._models = [_state_of(model._meta) for model in models]
        fields = [field_of(convert) for convert in converts if convert is not None]
        self._converting = [part for field in fields for part in chain(field)]
        self._conversions = [*map(_conversion, self._converting)]
        self.are_adapted = any(hasattr(part, "_db_hook") for part in self._converting)

    def hold(self, dialect: Dialect) -> bool:
        """Tell whether peewee would still make the same SQL."""
        database = dialect.database
        if _options(database) != self._options:
            return False
        for meta, table, fields, columns in self._models:
            here = meta._table
            if here is None or table() is not here:
                return False
            if meta.database is not database and not _is_neutral(dialect, meta):
                return False
            if [*map(_column_name, fields)] != columns:
                return False
        return [*map(_conversion, self._converting)] == self._conversions


def field_of(convert: Any) -> Any:
    """Give the field that a conversion is a method of; None if it is another one's."""
    field = getattr(convert, "__self__", None)
    return field if isinstance(field, peewee.Field) else None


def can_watch(converts: Iterable[Any]) -> bool:
    """Tell whether it would be seen that conversions are replaced; None is none."""
    return all(convert is None or field_of(convert) is not None for convert in converts)


def _state_of(meta: Any) -> tuple[Any, ...]:
    # The table is another one after a change of name, schema, fields or database. It
    # knows the database that it was made for, which must not be kept alive.
    fields = tuple(meta.sorted_fields)
    return meta, ref(meta.table), fields, [field.column_name for field in fields]


def _is_neutral(dialect: Dialect, meta: Any) -> bool:
    """Tell whether it makes no difference where a model is bound."""
    bound = unwrap(meta.database)
    if bound is dialect.database:
        return True
    return not meta._db_hooks and is_of_family(dialect, bound)


def is_of_family(dialect: Dialect, bound: Any) -> bool:
    """Tell whether a database that something is bound to speaks the dialect's SQL."""
    bound = unwrap(bound)
    return bound is None or family_of(bound) is dialect.family


def models_of(model: Any, nodes: Iterable[Any]) -> list[Any] | None:
    """Give the models that nodes belong to; None if one is not peewee's own."""
    models = {model: None}
    for node in nodes:
        owner = node.model if isinstance(node, peewee.Field) else node
        if not is_model(owner) or not (owner is node or _is_own_field(owner, node)):
            return None
        models[owner] = None
    return list(models)


def _is_own_field(model: Any, field: Any) -> bool:
    return model._meta.fields.get(field.name) is field and _has_own(field, _RENDERING)


_RENDERING = ("__sql__", "column", "get_sort_key")
_ASKING = (
    "to_value",
    "__eq__",
    "__ne__",
    "__lt__",
    "__le__",
    "__gt__",
    "__ge__",
    "iregexp",
)


def _has_own(field: Any, names: Iterable[str]) -> bool:
    """Tell whether methods of a field are peewee's, and not overridden."""
    kind: Any = type(field)
    return not vars(field).keys() & set(names) and all(
        getattr(kind, name) is getattr(peewee.Field, name) for name in names
    )


def allow(dialect: Dialect, models: list[Any], given: Iterable[Any] = ()) -> bool:
    """Tell whether what is made of models may be kept.

    given: the fields whose methods are asked what to do with the values.
    """
    kind: Any = type(dialect.database)
    return (
        kind.get_sql_context is peewee.Database.get_sql_context
        and kind.get_context_options is peewee.Database.get_context_options
        and all(type(each._meta).table is _peewee.Metadata.table for each in models)
        and all(_is_neutral(dialect, each._meta) for each in models)
        and all(_has_own(field, _ASKING) for field in given)
    )


def are_related(models: list[Any]) -> bool:
    """Tell whether there are models, which keep each other alive anyway.

    Those do that know each other by foreign keys.
    """
    return bool(models) and all(_is_known(each, models) for each in models[1:])


def _is_known(model: Any, models: list[Any]) -> bool:
    return any(
        model in each._meta.model_refs or model in each._meta.model_backrefs
        for each in models
        if each is not model
    )


# The methods of models that are not overridden.
_STOCK: set[Any] = set()
_METHODS = ("select", "insert", "insert_many", "update", "delete", "_pk_expr")


def vouch_for(model: Any, select: type | None = None) -> None:
    """Take the methods of a base class for as good as peewee's own.

    select: its class of SELECT queries.
    """
    _STOCK.update(map(_function, (getattr(model, name) for name in _METHODS)))
    if select is not None:
        SELECTS.add(select)


def _function(method: Any) -> Any:
    # A `classmethod_only` is a partial.
    return getattr(method, "__func__", None) or getattr(method, "func", method)


vouch_for(peewee.Model)


def is_stock(method: Any) -> bool:
    """Tell whether a method of a model is peewee's, or one that was vouched for."""
    return _function(method) in _STOCK
