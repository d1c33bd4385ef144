"""What a caller looks for, as a query: a model or query, expressions and keywords."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import peewee


def query_of(source: Any) -> Any:
    """Give the query for a source: all rows of a model or alias, or the query itself.

    Raises TypeError for anything else.
    """
    if is_model(source) or isinstance(source, peewee.ModelAlias):
        return source.select()
    if isinstance(source, peewee.BaseQuery):
        return source
    raise TypeError(
        f"{source!r} is nothing to select from: give a model, an alias or a query."
    )


def lookup(source: Any, conditions: tuple[Any, ...], filters: Mapping[str, Any]) -> Any:
    """Narrow a source by expressions, and by keywords as `Model.filter` has them.

    The source may stand among the expressions, where it says nothing. One whole
    number is looked for as a key that the database makes, as in `Model.get`.
    """
    query = query_of(source)
    model = getattr(query, "model", None)
    conditions = tuple(
        condition
        for condition in conditions
        if condition is not source and condition is not model
    )
    for condition in conditions:
        _refuse_model(condition)
    if not conditions and not filters:
        return query
    if not isinstance(query, peewee.Select):
        raise TypeError(
            f"A {type(query).__name__} cannot be narrowed any more: "
            "put the conditions into the query itself."
        )
    if conditions:
        query = query.where(*_keys(model, conditions))
    return _filtered(query, filters) if filters else query


def require_query(query: Any) -> Any:
    """Give a query back; TypeError for anything else."""
    if isinstance(query, peewee.BaseQuery):
        return query
    raise TypeError(f"{query!r} is no query to execute: write one, such as X.select().")


def require_model(model: Any) -> Any:
    """Give a model class back; TypeError for anything else."""
    if is_model(model):
        return model
    raise TypeError(f"{model!r} is no model: give the class, and data as keywords.")


def require_instance(instance: Any) -> Any:
    """Give an object of a model back; TypeError for anything else."""
    if isinstance(instance, peewee.Model):
        return instance
    raise TypeError(
        f"{instance!r} is no object of a model: give one, or execute a query instead."
    )


def is_model(source: Any) -> bool:
    """Tell whether something is a model class."""
    return isinstance(source, type) and issubclass(source, peewee.Model)


def _refuse_model(condition: Any) -> None:
    if is_model(condition):
        raise TypeError(
            f"{condition.__name__} is a model, not a condition: name the field to "
            f"compare, as in {condition.__name__}.id == 1."
        )


def _keys(model: Any, conditions: tuple[Any, ...]) -> tuple[Any, ...]:
    meta = getattr(model, "_meta", None)
    only = conditions[0] if len(conditions) == 1 else None
    if meta is not None and meta.auto_increment and isinstance(only, int):
        # Asked of the model, which may be an alias: the field alone would not tell.
        return (getattr(model, meta.primary_key.name) == only,)
    return conditions


def _filtered(query: Any, filters: Mapping[str, Any]) -> Any:
    if not isinstance(query, peewee.ModelSelect):
        raise TypeError("Keywords name fields of a model, and this query has none.")
    return query.filter(**filters)
