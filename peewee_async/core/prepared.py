"""Queries with named slots in place of values, kept by the program itself.

Without slots a query is known again by its shape, if it is a plain one. A prepared
query may be of any kind, for it is the same object each time: peewee renders it twice,
once with what says where the values go, and then only if a value changes the SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import peewee

from peewee_async.core import facts
from peewee_async.core.boundary import Statement
from peewee_async.core.caching import Cache
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Plan, Work
from peewee_async.core.rendering import is_argument
from peewee_async.core.templates import NULLABLE, Place, Slot, Template, is_due

# How many templates a query keeps at most: one for each database and way to run it.
MOST = 32

Values = tuple[Any, ...]


class NamedSlot(peewee.ColumnBase):
    """Stands for a value in a query, which comes when the query is run.

    field: the field that the value is written to, if it is.
    """

    def __init__(self, name: str, field: Any = None) -> None:
        self.name = name
        self.field = field

    def __sql__(self, context: Any) -> Any:
        values = context.state.slots
        if values is None:
            raise TypeError(
                f"The query has a slot {self.name!r}, which has no value: give it to "
                "prepared(), and run what comes back."
            )
        node = self._node(values[self.name])
        if not is_argument(context):
            return context.sql(node)
        with context(converter=None):
            return context.sql(node)

    def _node(self, value: Any) -> Any:
        if isinstance(value, Slot):
            convert = None if self.field is None else self.field.db_value
            return Slot(value.number, convert)
        if self.field is not None:
            is_sql = isinstance(value, peewee.Node) and not _is_row(value)
            return value if is_sql else self.field.to_value(value)
        if value is None:
            raise TypeError(
                f"The slot {self.name!r} got None, and SQL's NULL equals nothing: ask "
                "by a query with is_null() instead."
            )
        return value

    def __repr__(self) -> str:
        return f"<slot {self.name!r}>"


def _is_row(value: Any) -> bool:
    return isinstance(value, peewee.Model)


class PreparedQuery:
    """A query with slots, and the plans that were made of it.

    query: any query of peewee. defaults: values for slots that a call gives none for.

    Raises TypeError for a default of a slot that the query does not have.
    """

    def __init__(self, query: Any, defaults: Mapping[str, Any]) -> None:
        self.query = _with_fields(query)
        slots = list(_slots_in(self.query, set()))
        self.names = frozenset(slot.name for slot in slots)
        self._fields = [slot.field for slot in slots if slot.field is not None]
        self._check(defaults)
        self._defaults = dict(defaults)
        self._kept: Cache[tuple[Template, Values] | int] = Cache(MOST)

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Give a value for each slot; TypeError if one is missing or too many."""
        self._check(given)
        values = {**self._defaults, **given}
        missing = sorted(self.names - values.keys())
        if missing:
            raise TypeError(f"The query needs a value for {', '.join(missing)}.")
        return values

    def _check(self, given: Mapping[str, Any]) -> None:
        unknown = sorted(given.keys() - self.names)
        if unknown:
            known = ", ".join(sorted(self.names)) or "none"
            raise TypeError(
                f"The query has no slot {unknown[0]!r}: it has {known}. Put one into "
                f"the query by slot({unknown[0]!r})."
            )

    def plan(
        self,
        dialect: Dialect,
        values: Mapping[str, Any],
        make: Callable[..., Work[Any]],
        *args: Any,
    ) -> Work[Any]:
        """Plan to run the query with values.

        make: what plans it, of dialect, query and the other arguments.
        """
        key = (dialect.token, make, args, *values)
        found = self._kept.get(key) or 0
        if isinstance(found, int):
            times = found + 1
        else:
            template, constants = found
            plan = template.fill(dialect, (*values.values(), *constants))
            if plan is not None:
                return plan
            # Else it is the values that peewee has to be asked for.
            times = 0 if template.holds(dialect) else 1
        work = make(dialect.with_slots(values), self.query, *args)
        if times:
            learnt = self._template(dialect, key, work) if is_due(times) else None
            self._kept.put(key, learnt or times)
        return work

    def _template(
        self,
        dialect: Dialect,
        key: tuple[Any, ...],
        plan: Work[Any],
    ) -> tuple[Template, Values] | None:
        if not isinstance(plan, Plan) or _adds_defaults(self.query):
            return None
        _, make, args, *names = key
        noting = dialect.with_slots({name: Slot(at) for at, name in enumerate(names)})
        sketch: Any = make(noting, self.query, *args)
        models = list(dict.fromkeys(noting.met or ()))
        if not facts.allow(dialect, models, self._fields):
            return None
        constants = _constants(plan.statement, sketch.statement)
        if constants is None:
            return None
        places = _places(sketch.statement.params, len(names))
        converts = [place.convert for place in places]
        if not facts.can_watch(converts):
            return None
        known = facts.Facts(dialect.database, models, converts)
        return Template(sketch, places, known), constants


def _constants(one: Statement, other: Statement) -> Values | None:
    """Give what is no slot among the parameters, if two statements say the same."""
    if (one.sql, one.limit) != (other.sql, other.limit):
        return None
    pairs = zip(one.params, other.params, strict=True)
    fixed = [pair for pair in pairs if not isinstance(pair[1], Place)]
    for value, same in fixed:
        kind = type(value)
        if kind is not type(same) or kind not in NULLABLE or value != same:
            return None
    return tuple(value for value, _ in fixed)


def _places(params: Values, number: int) -> list[Place]:
    """Give the places of values, and of constants as if they were further values."""
    places = []
    for param in params:
        if isinstance(param, Place):
            places.append(param)
        else:
            places.append(Place(number, type(param), None, NULLABLE))
            number += 1
    return places


def _slots_in(node: Any, seen: set[int]) -> Iterator[NamedSlot]:
    """Give the slots in a query, wherever they are."""
    if isinstance(node, NamedSlot):
        yield node
    elif id(node) not in seen and not isinstance(node, _NOT_LOOKED_INTO):
        seen.add(id(node))
        for part in _parts(node):
            if isinstance(part, NamedSlot) and isinstance(node, _RAW):
                raise TypeError(
                    f"The slot {part.name!r} is among the parameters of SQL written by "
                    "hand, which peewee does not look at: build the query of nodes."
                )
            yield from _slots_in(part, seen)


_NOT_LOOKED_INTO = (str, bytes, peewee.Field, peewee.Model, peewee.ModelAlias)
_RAW = (peewee.SQL, peewee.RawQuery)


def _parts(node: Any) -> Iterable[Any]:
    if isinstance(node, _RAW):
        return [
            *(getattr(node, "params", None) or getattr(node, "_params", None) or ())
        ]
    if isinstance(node, peewee.Node):
        return vars(node).values()
    if isinstance(node, Mapping):
        return (*node.keys(), *node.values())
    return node if isinstance(node, list | tuple | set | frozenset) else ()


def _with_fields(query: Any) -> Any:
    """Copy a query whose slots for what is written know the fields."""
    copy: Any = query.clone()
    if isinstance(query, peewee.Update):
        copy._update = _row_with_fields(copy, copy._update)
    elif isinstance(query, peewee.Insert):
        _insert_with_fields(copy)
    return copy


def _insert_with_fields(query: Any) -> None:
    rows, conflict = query._insert, query._on_conflict
    if isinstance(rows, Mapping):
        query._insert = _row_with_fields(query, rows)
    elif isinstance(rows, list | tuple):
        query._insert = [_row_with_fields(query, row) for row in rows]
    if conflict is not None and conflict._update:
        query._on_conflict = conflict.clone()
        query._on_conflict._update = _row_with_fields(query, conflict._update)


def _row_with_fields(query: Any, row: Any) -> Any:
    if isinstance(row, Mapping):
        return {key: _for(query, key, value) for key, value in row.items()}
    columns = query._columns or query.get_default_columns() or ()
    pairs = zip(columns, row, strict=False)
    return [_for(query, column, value) for column, value in pairs]


def _for(query: Any, field: Any, value: Any) -> Any:
    model = getattr(query, "model", None)
    if isinstance(field, str) and model is not None:
        field = model._meta.combined.get(field)
    is_field = isinstance(field, peewee.Field) and isinstance(value, NamedSlot)
    return NamedSlot(value.name, field) if is_field else value


def _adds_defaults(query: Any) -> bool:
    """Tell whether an INSERT has columns that it was not given, with values of then."""
    if not isinstance(query, peewee.Insert):
        return False
    insert: Any = query
    rows = insert._insert
    given = insert._columns or (rows if isinstance(rows, Mapping) else ())
    return not set(insert.get_default_data()) <= set(given)
