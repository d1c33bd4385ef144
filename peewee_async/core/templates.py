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
from typing import Any, NamedTuple

import peewee

from peewee_async.core import facts
from peewee_async.core.boundary import Statement
from peewee_async.core.caching import Cache
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Plan, Work
from peewee_async.core.shapes import PLAIN

# Its stubs leave out what is not documented.
_peewee: Any = peewee

# How many templates a model keeps at most, for all databases together.
MOST = 256

# Values of rows may be NULL; in a condition that changes the SQL.
NULLABLE = PLAIN | {type(None)}

KEPT = "_peewee_async_templates"
SEEN = "_peewee_async_seen"

Convert = Callable[[Any], Any] | None


class Place(NamedTuple):
    """Where a value goes, among the parameters.

    number: of which value. unchanged: the type of values that need no conversion.
    convert: what converts others. types: those that others may have.
    """

    number: int
    unchanged: type | None
    convert: Convert
    types: frozenset[type]


class Slot(_peewee.Value):  # type: ignore[misc]
    """Stands for a value in a query; when it is rendered, its place is a parameter.

    convert: what converts a value of a row. That of a condition is converted by the
        field on the other side.
    """

    def __init__(self, number: int, convert: Convert = None) -> None:
        super().__init__(None)
        self.number = number
        self.convert = convert

    def __sql__(self, context: Any) -> Any:
        types = PLAIN if self.convert is None else NULLABLE
        convert = self.convert or context.state.converter
        place = Place(self.number, _unchanged(convert), convert, types)
        return context.value(place, converter=False)


class Template:
    """A plan with places for values, followed by constants.

    places: in the order of the parameters.
    facts: what the SQL depends on beside the values.
    """

    __slots__ = ("_about", "_constants", "_facts", "_limit", "_places", "_read", "_sql")

    def __init__(
        self,
        plan: Plan[Any],
        places: Sequence[Place],
        facts: facts.Facts,
        constants: tuple[Any, ...] = (),
    ) -> None:
        self._sql = plan.statement.sql
        self._limit = plan.statement.limit
        self._constants = constants
        self._places = places
        self._facts = facts
        self._read = plan.read
        self._about = getattr(plan.read, "about", None)

    def fill(self, dialect: Dialect, values: Sequence[Any]) -> Plan[Any] | None:
        """Make the plan for values; None if peewee has to make it."""
        known = self._facts
        if not known.hold(dialect):
            return None
        if known.are_adapted:
            with dialect.lock:
                params = self._params(values)
        else:
            params = self._params(values)
        if params is None:
            return None
        statement = Statement(self._sql, params, self._limit)
        read = self._read if self._about is None else self._about(statement)
        return Plan(statement, read)

    def holds(self, dialect: Dialect) -> bool:
        """Tell whether peewee would still make the same SQL."""
        return self._facts.hold(dialect)

    def _params(self, values: Sequence[Any]) -> tuple[Any, ...] | None:
        """Give the parameters; None if there is a value that may change the SQL."""
        params = []
        for number, unchanged, convert, types in self._places:
            value = values[number]
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


_UNCHANGED = {
    peewee.IntegerField.adapt: int,
    _peewee.FloatField.adapt: float,
    _peewee._StringField.adapt: str,
    peewee.DateTimeField.adapt: datetime,
    bool: bool,
}


def _unchanged(convert: Any) -> type | None:
    """Give the type of values that a conversion gives back as they are, if any."""
    field = facts.field_of(convert)
    if field is None or vars(field).keys() & {"db_value", "adapt"}:
        return None
    kind = type(field)
    if kind.db_value is peewee.ForeignKeyField.db_value:
        return _unchanged(field.rel_field.db_value)
    if kind.db_value is not peewee.Field.db_value:
        return None
    return _UNCHANGED.get(kind.adapt)


def recall(
    dialect: Dialect, model: Any, key: tuple[Any, ...], values: Sequence[Any]
) -> Plan[Any] | None:
    """Make the plan of a template that a model keeps; None if peewee has to make it."""
    kept = vars(model._meta).get(KEPT)
    template = None if kept is None else kept.get((dialect.token, key))
    return None if template is None else template.fill(dialect, values)


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
    models = facts.models_of(model, nodes) or []
    if not isinstance(plan, Plan) or not facts.are_related(models):
        return
    kept: Cache[Template] = vars(model._meta).setdefault(KEPT, Cache(MOST))
    key = (dialect.token, key)
    template = kept.get(key)
    if template is not None and template.holds(dialect):
        return  # but not for these values
    seen: Cache[int] = vars(model._meta).setdefault(SEEN, Cache(MOST))
    times = seen.get(key) or 0
    seen.put(key, times + 1)
    if not is_due(times) or not facts.allow(dialect, models, given):
        return
    sketch = make([Slot(number, convert) for number, convert in enumerate(converters)])
    count = len(converters)
    if isinstance(sketch, Plan) and _agree(plan, sketch, count):
        params = sketch.statement.params
        converts = [place.convert for place in params[:count]]
        if facts.can_watch(converts):
            known = facts.Facts(dialect.database, models, converts)
            kept.put(key, Template(sketch, params[:count], known, params[count:]))
            seen.put(key, 1)


def is_due(times: int) -> bool:
    """Tell whether what was asked so many times is to be learnt now.

    What could not be kept is tried again, but less and less often.
    """
    return times > 0 and not times & (times - 1)


def _agree(plan: Plan[Any], sketch: Plan[Any], count: int) -> bool:
    """Tell whether a plan with slots says the same, with each of them in it once.

    Only a LIMIT of the plan's own may follow, with its OFFSET.
    """
    one, other = plan.statement, sketch.statement
    places, constants = other.params[:count], other.params[count:]
    return (
        (one.sql, one.limit) == (other.sql, other.limit)
        and sorted(numbers_of(places)) == list(range(count))
        and constants in ((), (one.limit,), (one.limit, 0))
        and one.params[count:] == constants
    )


def numbers_of(params: Iterable[Any]) -> list[int]:
    """Give which value goes where; -1 for what is no place."""
    return [param.number if isinstance(param, Place) else -1 for param in params]
