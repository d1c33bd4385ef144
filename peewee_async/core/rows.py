"""One INSERT of many rows, made from the text for a few.

peewee writes a group of placeholders for each row, and takes longer for that than the
server does for the rows. What it writes for one, two and three rows tells how the text
goes on; if it does not go on like that, peewee writes all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import peewee

from peewee_async.core import facts, plans
from peewee_async.core.boundary import Reply, Statement
from peewee_async.core.caching import Cache
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Plan, Work
from peewee_async.core.templates import NULLABLE, Place, Slot, numbers_of

# Its stubs leave out what is not documented.
_peewee: Any = peewee

# How many texts a model keeps at most, for all databases together.
MOST = 16
# For so many rows peewee makes the text, to be learnt from.
FEW = 3
KEPT = "_peewee_async_rows"

Column = Sequence[Any]


class Rows:
    """The text of an INSERT for any number of rows, and what converts their values."""

    __slots__ = ("_facts", "_group", "_head", "_places", "_read", "_tail")

    def __init__(
        self,
        texts: tuple[str, str, str],
        places: Sequence[Place],
        read: Callable[[Reply], Any],
        known: facts.Facts,
    ) -> None:
        self._head, self._group, self._tail = texts
        self._places = places
        self._read = read
        self._facts = known

    def text(self, count: int) -> str:
        """Give the SQL for a number of rows."""
        return self._head + ", ".join([self._group] * count) + self._tail

    def hold(self, dialect: Dialect) -> bool:
        """Tell whether peewee would still make the same text."""
        return self._facts.hold(dialect)

    def fill(self, dialect: Dialect, columns: Sequence[Column]) -> Plan[Any] | None:
        """Make the plan for the values of columns; None if peewee has to make it."""
        pairs = zip(self._places, columns, strict=True)
        with dialect.lock:
            converted: list[Any] = [_converted(*pair) for pair in pairs]
        if any(values is None for values in converted):
            return None
        params = tuple(chain.from_iterable(zip(*converted, strict=True)))
        return Plan(Statement(self.text(len(columns[0])), params), self._read)


def _converted(place: Place, column: Column) -> Column | None:
    kinds = set(map(type, column))
    if not kinds <= NULLABLE:
        return None
    if kinds <= {place.unchanged, type(None)} and place.unchanged is not None:
        return column
    convert: Any = place.convert
    try:
        values = [convert(value) for value in column]
    except Exception:
        return None  # peewee, which goes by rows, may find another fault first
    is_sql = any(isinstance(value, peewee.Node | type) for value in values)
    return None if is_sql else values


def insert(
    dialect: Dialect, model: Any, fields: Sequence[Any], batch: Sequence[Any]
) -> Work[Any]:
    """Insert objects by one statement: their keys, as `plans.insert` gives them."""
    if not fields:
        return plans.execute(dialect, model.insert_many([[] for _ in batch], fields))
    columns = [*_columns(model, fields, batch)]
    rows = _rows(dialect, model, fields) if len(batch) > FEW else None
    plan = None if rows is None else rows.fill(dialect, columns)
    if plan is not None:
        return plan
    values = [list(row) for row in zip(*columns, strict=True)]
    return plans.execute(dialect, model.insert_many(values, fields=fields))


def _columns(
    model: Any, fields: Sequence[Any], batch: Sequence[Any]
) -> Iterator[Column]:
    """Read fields of objects, past those accessors that do nothing else."""
    simple = are_simple(model, batch)
    for field in fields:
        if simple and is_simple(model, field):
            name = field.name
            yield [instance.__data__.get(name) for instance in batch]
        else:
            yield [getattr(instance, field.safe_name) for instance in batch]


def are_simple(model: Any, objects: Sequence[Any]) -> bool:
    """Tell whether objects are of a model, and read and written by accessors alone."""
    return (
        model.__getattribute__ is object.__getattribute__
        and model.__setattr__ is object.__setattr__
        and set(map(type, objects)) == {model}
    )


def is_simple(model: Any, field: Any) -> bool:
    """Tell whether the accessor of a field does no more than read and write it."""
    return type(vars(model).get(field.name)) is _peewee.FieldAccessor


def _rows(dialect: Dialect, model: Any, fields: Sequence[Any]) -> Rows | None:
    """Give the text for some fields of a model, as it is kept or as it is learnt."""
    if not facts.is_stock(model.insert_many):
        return None
    kept: Cache[Rows] = vars(model._meta).setdefault(KEPT, Cache(MOST))
    key = (dialect.token, dialect.returning, *map(id, fields))
    rows = kept.get(key)
    if rows is None or not rows.hold(dialect):
        models = facts.models_of(model, fields)
        if models is None or not facts.allow(dialect, models):
            return None
        rows = _learnt(dialect, model, fields, models)
        if rows is not None:
            kept.put(key, rows)
    return rows


def _learnt(
    dialect: Dialect, model: Any, fields: Sequence[Any], models: list[Any]
) -> Rows | None:
    converts = [field.db_value for field in fields]
    if not facts.can_watch(converts):
        return None
    width = len(fields)
    few: list[Any] = [
        plans.execute(dialect, model.insert_many(_slots(fields, count), fields=fields))
        for count in range(1, FEW + 1)
    ]
    one = few[0]
    group = "(" + ", ".join([dialect.database.param] * width) + ")"
    head, _, tail = one.statement.sql.partition(group)
    known = facts.Facts(dialect.database, models, converts)
    rows = Rows((head, group, tail), one.statement.params, few[-1].read, known)
    goes_on = all(
        plan.statement.sql == rows.text(count)
        and numbers_of(plan.statement.params) == list(range(width * count))
        for count, plan in enumerate(few, 1)
    )
    return rows if goes_on else None


def _slots(fields: Sequence[Any], count: int) -> list[list[Slot]]:
    width = len(fields)
    return [
        [Slot(row * width + at, field.db_value) for at, field in enumerate(fields)]
        for row in range(count)
    ]
