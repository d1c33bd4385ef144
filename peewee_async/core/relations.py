"""What hangs on an object: the object behind a foreign key, and many-to-many links."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import peewee

from peewee_async.core import plans, prefetching
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Steps, Work, finished
from peewee_async.core.operations import is_own
from peewee_async.core.transactions import Transactions, atomic

# What may be iterable, and is one object or key all the same.
_ONE = (peewee.Model, str, bytes, bytearray, memoryview, type)


def foreign_key(model: Any, item: Any) -> Any:
    """Find a foreign key of a model.

    item: the field, of the model or of one that it inherits from; or its name, or the
    name of the attribute that holds the key alone, as in `author_id`.

    Raises ValueError if the model has no such foreign key, and TypeError for what
    is no foreign key at all.
    """
    if not isinstance(item, str | peewee.ForeignKeyField):
        raise TypeError(
            f"{item!r} is no foreign key: give the field, as in Post.author, or its "
            "name."
        )
    for key in model._meta.refs:
        if _is_meant(key, item):
            return key
    names = ", ".join(sorted(key.name for key in model._meta.refs))
    raise ValueError(
        f"{item!r} is no foreign key of {model.__name__}: it has {names or 'none'}."
    )


def _is_meant(key: Any, item: Any) -> bool:
    if isinstance(item, str):
        return item in (key.name, key.object_id_name)
    return is_own(key, item)


def is_loaded(instance: Any, key: Any) -> bool:
    """Tell whether it is known what a foreign key of an object leads to.

    Raises the related model's DoesNotExist if the key is NULL and must not be.
    """
    if key.name in instance.__rel__:
        return True
    if instance.__data__.get(key.name) is not None:
        return False
    if key.null:
        return True
    raise key.rel_model.DoesNotExist(
        f"This {type(instance).__name__} has no {key.name}: set it before you fetch it."
    )


def fetch(dialect: Dialect, instance: Any, key: Any) -> Steps[Any]:
    """Get the object that a foreign key leads to, and keep it in the instance.

    The related model's DoesNotExist is raised if there is none.
    """
    value = instance.__data__[key.name]
    query = key.rel_model.select().where(key.rel_field == value)
    related = yield from prefetching.get(dialect, query)
    if instance.__data__.get(key.name) != value:
        return related  # the instance has been told of another one meanwhile
    return instance.__rel__.setdefault(key.name, related)


def add(
    dialect: Dialect,
    transactions: Transactions,
    query: Any,
    value: Any,
    clear_existing: bool = False,
) -> Work[None]:
    """Link objects to the one that a many-to-many query belongs to.

    value: an object, a key, several of them, or a SELECT of the related model.
    clear_existing: remove all other links in the same transaction.

    `ManyToManyQuery.add`, but in one piece.
    """
    links = _insert(dialect, query, value)
    if not clear_existing:
        return _in_turn([] if links is None else [links])
    if links is None:
        return _in_turn([clear(dialect, query)])
    return atomic(transactions, _in_turn([clear(dialect, query), links]))


def _in_turn(works: Iterable[Work[Any]]) -> Steps[None]:
    for work in works:
        yield from work


def _insert(dialect: Dialect, query: Any, value: Any) -> Work[Any] | None:
    links = query._accessor
    source = _source_key(query)
    if _is_select(value):
        constant = peewee.Value(source, converter=links.src_fk.db_value)
        rows = value.columns(constant, links.dest_fk.rel_field)
        fields = [links.src_fk, links.dest_fk]
        return plans.execute(dialect, links.through_model.insert_from(rows, fields))
    pairs = [
        {links.src_fk.name: source, links.dest_fk.name: key}
        for key in _keys(query, value)
    ]
    if not pairs:
        return None
    return plans.execute(dialect, links.through_model.insert_many(pairs))


def remove(dialect: Dialect, query: Any, value: Any) -> Work[int | None]:
    """Remove links; `ManyToManyQuery.remove`.

    value: as in `add`.

    The number of links removed; None if the value holds nothing, and nothing is sent.
    """
    links = query._accessor
    if _is_select(value):
        keys = value.columns(getattr(value.model, query._dest_attr))
    else:
        keys = list(_keys(query, value))
        if not keys:
            return finished(None)
    condition = (links.dest_fk << keys) & (links.src_fk == _source_key(query))
    return plans.execute(dialect, links.through_model.delete().where(condition))


def clear(dialect: Dialect, query: Any) -> Work[int]:
    """Remove all links; `ManyToManyQuery.clear`. The number of links removed."""
    links = query._accessor
    condition = links.src_fk == _source_key(query)
    return plans.execute(dialect, links.through_model.delete().where(condition))


def _source_key(query: Any) -> Any:
    # By its safe name, for a key that is a foreign key too would be followed.
    return getattr(query._instance, query._accessor.src_fk.rel_field.safe_name)


def _keys(query: Any, value: Any) -> Iterator[Any]:
    name = query._accessor.dest_fk.rel_field.safe_name
    for item in _items(value):
        yield getattr(item, name) if isinstance(item, peewee.Model) else item


def _items(value: Any) -> Iterable[Any]:
    if value is None or isinstance(value, peewee.NoopModelSelect):
        return ()
    if isinstance(value, _ONE) or not isinstance(value, Iterable):
        return (value,)
    return value


def _is_select(value: Any) -> bool:
    if isinstance(value, peewee.ModelSelect):
        return not isinstance(value, peewee.NoopModelSelect)
    if isinstance(value, peewee.BaseQuery):
        raise TypeError(
            f"A {type(value).__name__} does not say which rows of the related model "
            "are meant: give a SELECT of that model, or execute this and give the rows."
        )
    return False
