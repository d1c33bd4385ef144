"""One row inserted, updated or deleted, by a template of the same if there is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peewee_async.core import plans
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Work
from peewee_async.core.facts import is_stock
from peewee_async.core.templates import learn, recall


def insert(dialect: Dialect, model: Any, data: Mapping[str, Any]) -> Work[Any]:
    """Insert a row: the key of it, where the database tells it."""
    if not is_stock(model.insert):
        return plans.insert(dialect, model.insert(**data))
    key, values = (insert, dialect.returning, *data), tuple(data.values())
    plan = recall(dialect, model, key, values)
    if plan is not None:
        return plan

    def make(values: Any) -> Work[Any]:
        row = dict(zip(data, values, strict=True))
        return plans.insert(dialect, model.insert(**row))

    work = make(values)
    if not all(field.name in data for field in model._meta.defaults):
        return work  # to make it again would call defaults once more
    # A field that was removed from its model is still an attribute of that.
    fields = [model._meta.combined.get(name) for name in data]
    converters = [getattr(field, "db_value", None) for field in fields]
    learn(dialect, model, key, work, make, converters, fields)
    return work


def update(dialect: Dialect, instance: Any, data: Mapping[str, Any]) -> Work[int]:
    """Update the row of an object."""
    model: Any = type(instance)
    meta = model._meta
    if not (is_stock(model.update) and has_simple_key(model)):
        query = model.update(**data).where(instance._pk_expr())
        return plans.execute(dialect, query)
    key, values = (update, *data), (*data.values(), instance._pk)
    plan = recall(dialect, model, key, values)
    if plan is not None:
        return plan

    def make(values: Any) -> Work[int]:
        *new, own_key = values
        row = dict(zip(data, new, strict=True))
        query = model.update(**row).where(meta.primary_key == own_key)
        return plans.execute(dialect, query)

    work = make(values)
    fields = [meta.combined.get(name) for name in data]
    converters = [getattr(field, "db_value", None) for field in (*fields, None)]
    fields.append(meta.primary_key)
    learn(dialect, model, key, work, make, converters, fields, fields)
    return work


def delete(dialect: Dialect, model: Any, own_key: Any) -> Work[int]:
    """Delete the row that has a key."""
    if not (is_stock(model.delete) and has_simple_key(model)):
        query = model.delete().where(by_key(model, own_key))
        return plans.execute(dialect, query)
    key, values = (delete,), (own_key,)
    plan = recall(dialect, model, key, values)
    if plan is not None:
        return plan

    def make(values: Any) -> Work[int]:
        query = model.delete().where(by_key(model, *values))
        return plans.execute(dialect, query)

    work = make(values)
    field = model._meta.primary_key
    learn(dialect, model, key, work, make, [None], [field], [field])
    return work


def has_simple_key(model: Any) -> bool:
    """Tell whether the key of a model is one field, and its rows are found by that."""
    meta = model._meta
    single = meta.primary_key is not False and not meta.composite_key
    return single and is_stock(model._pk_expr)


def by_key(model: Any, key: Any) -> Any:
    """Make the condition that a row has this primary key.

    Raises ValueError for a model that has none.
    """
    if model._meta.primary_key is False:
        raise ValueError(f"{model.__name__} has no primary key to find a row by.")
    return model._meta.primary_key == key
