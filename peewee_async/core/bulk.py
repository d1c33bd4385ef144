"""Many objects of one model: `bulk_create` and `bulk_update` of `peewee.Model`.

Each batch is one statement. Nothing holds the batches together but a transaction that
the caller may have open: the ones before a failure are done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import peewee

from peewee_async.core import plans, rows
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Steps
from peewee_async.core.operations import field_of


def create(
    dialect: Dialect,
    model: Any,
    objects: Iterable[Any],
    batch_size: int | None = None,
) -> Steps[None]:
    """Insert objects: `Model.bulk_create`.

    They take over the keys that the database makes where it has RETURNING.
    """
    meta = model._meta
    made_by_database = meta.primary_key if meta.auto_increment else None
    fields = [field for field in meta.sorted_fields if field is not made_by_database]
    keys = meta.get_primary_keys() if dialect.returning else ()
    for batch in _batches(objects, batch_size):
        made = yield from rows.insert(dialect, model, fields, batch)
        if keys and made is not None:
            _take_over(model, keys, made, batch)


def _take_over(
    model: Any, keys: tuple[Any, ...], made: list[Any], batch: list[Any]
) -> None:
    # Fewer rows than objects come back if the model's own `insert_many` ignores some.
    pairs = zip(made, batch, strict=False)
    key, *others = keys
    if not others and rows.is_simple(model, key) and rows.are_simple(model, batch):
        name = key.name
        for (value,), instance in pairs:
            instance.__data__[name] = value
            instance._dirty.add(name)
        return
    for row, instance in pairs:
        for key, value in zip(keys, row, strict=True):
            setattr(instance, key.name, value)


def update(
    dialect: Dialect,
    model: Any,
    objects: Iterable[Any],
    fields: Iterable[Any],
    batch_size: int | None = None,
) -> Steps[int]:
    """Write some fields of objects: `Model.bulk_update`; the number of rows written.

    fields: fields, or names of fields or columns.

    Nothing is sent if there are no objects or no fields. Raises ValueError for a name
    that the model does not have, and for a model whose key is not one column;
    TypeError for a name that is not in a list.
    """
    meta = model._meta
    if isinstance(fields, str):
        raise TypeError(f"fields={fields!r} is one name: give a list, [{fields!r}].")
    if meta.composite_key or meta.primary_key is False:
        raise ValueError(
            f"The primary key of {model.__name__} is not one column, so its rows "
            "cannot be updated in bulk: save the objects one by one."
        )
    own = [field_of(meta, item) for item in fields]
    written = 0
    for batch in _batches(objects, batch_size) if own else ():
        cases = {field: _case(meta.primary_key, field, batch) for field in own}
        keys = [instance._pk for instance in batch]
        query = model.update(cases).where(meta.primary_key.in_(keys))
        written += yield from plans.execute(dialect, query)
    return written


def _case(key: Any, field: Any, batch: list[Any]) -> Any:
    values = [
        (key.to_value(instance._pk), _value(field, getattr(instance, field.safe_name)))
        for instance in batch
    ]
    return peewee.Case(key, values)


def _value(field: Any, value: Any) -> Any:
    return value if isinstance(value, peewee.Node) else field.case_value(value)


def _batches(objects: Iterable[Any], size: int | None) -> Iterator[list[Any]]:
    if size is not None and size < 1:
        raise ValueError(
            f"batch_size={size} would write nothing: give 1 or more, or None to write "
            "all by one statement."
        )
    left = iter(objects)
    while batch := list(islice(left, size)):
        yield batch
