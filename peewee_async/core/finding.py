"""One object by its key, by expressions or keywords: `Model.get`.

What was asked before of a model is answered without building a query at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from peewee_async.core import plans, prefetching
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Plan, Work
from peewee_async.core.facts import is_stock
from peewee_async.core.lookups import is_model, lookup
from peewee_async.core.shapes import (
    filled_condition,
    nodes_of,
    nodes_of_condition,
    of_condition,
    of_select,
)
from peewee_async.core.templates import learn, recall

Query = Any


def get(
    dialect: Dialect,
    source: Any,
    conditions: tuple[Any, ...],
    filters: Mapping[str, Any],
) -> Work[Any]:
    """Get the first row of a source that meets expressions and keywords.

    The arguments are those of `lookups.lookup`, and so are the errors; the plan is that
    of `prefetching.get`.
    """
    plan = None
    if is_model(source) and is_stock(source.select):
        if not conditions and filters:
            return _by_names(dialect, source, filters)
        if conditions and not filters:
            plan = _by_conditions(dialect, source, conditions)
    return plan or prefetching.get(dialect, lookup(source, conditions, filters))


def get_exactly(dialect: Dialect, model: Any, values: Mapping[str, Any]) -> Plan[Any]:
    """Get the row whose fields have these values, as `Model.get_or_create` does."""
    conditions = [getattr(model, name) == value for name, value in values.items()]
    plan = None
    if conditions and is_stock(model.select):
        plan = _by_conditions(dialect, model, conditions)
    if plan is None:
        query = model.select()
        for condition in conditions:
            query = query.where(condition)
        plan = plans.get(dialect, query)
    return plan


def _by_names(dialect: Dialect, model: Any, filters: Mapping[str, Any]) -> Plan[Any]:
    key, values = (_by_names, *filters), tuple(filters.values())
    plan = recall(dialect, model, key, values)
    if plan is not None:
        return plan

    def build(values: Any) -> Query:
        return lookup(model, (), dict(zip(filters, values, strict=True)))

    return _learning(dialect, model, key, values, build, asks_fields=True)


def _by_conditions(
    dialect: Dialect, model: Any, conditions: Sequence[Any]
) -> Plan[Any] | None:
    """Get a row by expressions; None if one of them has no shape."""
    shape: list[Any] = [_by_conditions, len(conditions)]
    values: list[Any] = []
    for condition in conditions:
        if not of_condition(condition, shape, values):
            return None
    key = tuple(shape)
    plan = recall(dialect, model, key, values)
    if plan is not None:
        return plan

    def build(values: Any) -> Query:
        left = iter(values)
        filled = [filled_condition(condition, left) for condition in conditions]
        return lookup(model, tuple(filled), {})

    return _learning(dialect, model, key, values, build, asks_fields=False)


def _learning(
    dialect: Dialect,
    model: Any,
    key: tuple[Any, ...],
    values: Any,
    build: Callable[[Any], Query],
    asks_fields: bool,
) -> Plan[Any]:
    """Have peewee make the plan, and keep a template of it if it has a shape.

    asks_fields: whether the fields make the conditions, by methods of theirs.
    """
    query = build(values)
    plan = plans.get(dialect, query)
    if of_select(query) is not None:
        learn(
            dialect,
            model,
            key,
            plan,
            lambda slots: plans.get(dialect, build(slots).bind(None)),
            [None] * len(values),
            nodes_of(query),
            list(nodes_of_condition(query._where)) if asks_fields else (),
        )
    return plan
