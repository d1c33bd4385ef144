"""Kept plans: what peewee made of a query once serves for all that differ in values.

A template is a plan with slots in place of values. It is learnt from peewee itself, the
second time that something is asked: the query is rendered again with slots in it, and
if the SQL is the same and each slot comes back once, the slots are where the values go.
They also know what would have converted the values.

Strategy: what the SQL depends on is either part of the key, by identity, or looked at
before each use: the options of the database, the table and the columns of each model,
and where models are bound. Whatever is not known to be peewee's own goes to peewee
every time: methods and fields that a program has overridden, values of other types,
models whose fields speak another database's SQL.

Templates live in their model, and know of a database no more than a token: neither
keeps the other alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any
from weakref import ref

import peewee

from peewee_async.core.boundary import Statement
from peewee_async.core.caching import Cache
from peewee_async.core.dialect import Dialect, family_of
from peewee_async.core.execution import Plan, Work
from peewee_async.core.lookups import is_model
from peewee_async.core.shapes import PLAIN, SELECTS
from peewee_async.core.sources import unwrap

# Its stubs leave out what is not documented.
_peewee: Any = peewee

# How many templates a model keeps at most, for all databases together.
MOST = 256

# Values of rows may be NULL; in a condition that changes the SQL.
NULLABLE = PLAIN | {type(None)}

KEPT = "_peewee_async_templates"

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


class Mark:
    """Stands among the parameters for the value of a slot."""

    __slots__ = ("slot",)

    def __init__(self, slot: Slot) -> None:
        self.slot = slot


class Slot(_peewee.Value):  # type: ignore[misc]
    """A place for a value in a query, and what peewee would convert that with.

    convert: what it converts a value of a row with. That of a condition it takes from
        the field on the other side.
    """

    def __init__(self, index: int, convert: Callable[[Any], Any] | None = None) -> None:
        self.mark = Mark(self)
        super().__init__(self.mark, converter=False, unpack=False)
        self.index = index
        self.convert = convert
        self.types = PLAIN if convert is None else NULLABLE

    def __sql__(self, context: Any) -> Any:
        self.convert = self.convert or context.state.converter
        return super().__sql__(context)


class Template:
    """A plan with slots in place of values, followed by constants."""

    __slots__ = (
        "_about",
        "_constants",
        "_limit",
        "_models",
        "_options",
        "_read",
        "_slots",
        "_sql",
    )

    def __init__(
        self,
        database: Any,
        plan: Plan[Any],
        slots: list[Slot],
        models: Iterable[Any],
    ) -> None:
        self._sql = plan.statement.sql
        self._limit = plan.statement.limit
        self._constants = plan.statement.params[len(slots) :]
        self._slots = [
            (slot.index, _unchanged(slot.convert), slot.convert, slot.types)
            for slot in slots
        ]
        self._read = plan.read
        self._about = getattr(plan.read, "about", None)
        self._options = _options(database)
        self._models = [_state_of(model._meta) for model in models]

    def fill(self, dialect: Dialect, values: Sequence[Any]) -> Plan[Any] | None:
        """Make the plan for values; None if peewee has to make it."""
        params = self._params(values) if self._holds(dialect) else None
        if params is None:
            return None
        statement = Statement(self._sql, params, self._limit)
        read = self._read if self._about is None else self._about(statement)
        return Plan(statement, read)

    def _holds(self, dialect: Dialect) -> bool:
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
        return True

    def _params(self, values: Sequence[Any]) -> tuple[Any, ...] | None:
        """Give the parameters; None if there is a value that may change the SQL."""
        params = []
        for index, unchanged, convert, types in self._slots:
            value = values[index]
            kind = value.__class__
            if kind is not unchanged:
                if kind not in types:
                    return None
                if convert is not None:
                    value = convert(value)
                    if isinstance(value, peewee.Node | type):
                        return None
            params.append(value)
        return (*params, *self._constants)


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


_UNCHANGED = {
    peewee.IntegerField.adapt: int,
    _peewee.FloatField.adapt: float,
    _peewee._StringField.adapt: str,
    peewee.DateTimeField.adapt: datetime,
    bool: bool,
}


def _unchanged(convert: Any) -> type | None:
    """Give the type of values that a conversion gives back as they are, if any."""
    field = getattr(convert, "__self__", None)
    if not isinstance(field, peewee.Field) or vars(field).keys() & {
        "db_value",
        "adapt",
    }:
        return None
    kind = type(field)
    if kind.db_value is peewee.ForeignKeyField.db_value:
        key: Any = field
        return _unchanged(key.rel_field.db_value)
    if kind.db_value is not peewee.Field.db_value:
        return None
    return _UNCHANGED.get(kind.adapt)


def recall(
    dialect: Dialect, model: Any, key: tuple[Any, ...], values: Sequence[Any]
) -> Plan[Any] | None:
    """Make the plan of a template that a model keeps; None if peewee has to make it."""
    kept = vars(model._meta).get(KEPT)
    template = None if kept is None else kept.get((dialect.token, key))
    return template.fill(dialect, values) if isinstance(template, Template) else None


def learn(
    dialect: Dialect,
    model: Any,
    key: tuple[Any, ...],
    plan: Work[Any],
    make: Callable[[list[Any]], Work[Any]],
    converters: list[Callable[[Any], Any] | None],
    nodes: Iterable[Any],
    given: Iterable[Any] = (),
) -> None:
    """Keep a template for a plan that peewee had to make, if that is safe.

    plan: the plan for values.
    make: makes the same plan of other values.
    converters: for each value of a row what converts it, None for one of a condition.
    nodes: the models and fields that the plan is about.
    given: the fields whose methods are asked what to do with the values.
    """
    kept: Cache[Template | int] = vars(model._meta).setdefault(KEPT, Cache(MOST))
    key = (dialect.token, key)
    found = kept.get(key) or 0
    seen = 1 if isinstance(found, Template) else found
    kept.put(key, seen + 1)
    # What could not be kept is tried again, but less and less often.
    if not seen or seen & (seen - 1) or not isinstance(plan, Plan):
        return
    models = _models_of(model, nodes)
    if models is None or not _may_be_kept(dialect, models, given):
        return
    slots = [Slot(index, convert) for index, convert in enumerate(converters)]
    sketch = make(slots)
    if isinstance(sketch, Plan) and _agree(plan, sketch, slots):
        marked = [param.slot for param in sketch.statement.params[: len(slots)]]
        kept.put(key, Template(dialect.database, sketch, marked, models))


def _agree(plan: Plan[Any], sketch: Plan[Any], slots: list[Slot]) -> bool:
    """Tell whether a plan with slots says the same, with each slot in it once.

    Only a LIMIT of the plan's own may follow, with its OFFSET.
    """
    one, other = plan.statement, sketch.statement
    params, constants = other.params[: len(slots)], other.params[len(slots) :]
    return (
        (one.sql, one.limit) == (other.sql, other.limit)
        and {id(param) for param in params} == {id(slot.mark) for slot in slots}
        and constants in ((), (one.limit,), (one.limit, 0))
        and one.params[len(slots) :] == constants
    )


def _models_of(model: Any, nodes: Iterable[Any]) -> list[Any] | None:
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


def _may_be_kept(dialect: Dialect, models: list[Any], given: Iterable[Any]) -> bool:
    kind: Any = type(dialect.database)
    return (
        kind.get_sql_context is peewee.Database.get_sql_context
        and kind.get_context_options is peewee.Database.get_context_options
        and all(type(each._meta).table is _peewee.Metadata.table for each in models)
        and all(_is_neutral(dialect, each._meta) for each in models)
        and all(_is_related(each, models) for each in models[1:])
        and all(_has_own(field, _ASKING) for field in given)
    )


def _is_related(model: Any, models: list[Any]) -> bool:
    """Tell whether a model is known to others, which keep it alive anyway."""
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
