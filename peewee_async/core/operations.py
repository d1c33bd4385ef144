"""What a program does with one object: create, save, update, delete, get or create.

Each is the method of `peewee.Model` that it is named after, as a plan or as steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from operator import and_, or_
from typing import Any, TypeVar

import peewee

from peewee_async.core import finding, plans, row_writes
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Plan, Steps, Work, finished, then
from peewee_async.core.transactions import Transactions, atomic

T = TypeVar("T")
M = TypeVar("M", bound=peewee.Model)


def create(dialect: Dialect, model: type[M], data: Mapping[str, Any]) -> Work[M]:
    """Make an object and insert it: `Model.create`."""
    return _saved(dialect, model(**data))


def _saved(dialect: Dialect, instance: M) -> Work[M]:
    return then(save(dialect, instance, force_insert=True), lambda rows: instance)


def save(
    dialect: Dialect,
    instance: Any,
    force_insert: bool = False,
    only: Iterable[Any] | None = None,
) -> Work[int | bool]:
    """Insert or update an object: `Model.save`, to the letter of its rules.

    The number of rows written; False if `only_save_dirty` finds nothing to write.
    """
    key = _key_of(instance)
    if instance._meta.refs or (key is None and not force_insert):
        return _in_turn(
            lambda: _save(dialect, instance, _key_of(instance), force_insert, only)
        )
    return _save(dialect, instance, key, force_insert, only)


def _in_turn(make: Callable[[], Work[T]]) -> Steps[T]:
    """Look at an object when the connection is free for it.

    Until then, another task of the same block may give a key to it, or to an object
    that it refers to.
    """
    return (yield from make())


def _key_of(instance: Any) -> Any:
    return instance._pk if instance._meta.primary_key is not False else None


def _save(
    dialect: Dialect,
    instance: Any,
    key: Any,
    force_insert: bool,
    only: Iterable[Any] | None,
) -> Work[int | bool]:
    meta = instance._meta
    data = dict(instance.__data__)
    if only is not None:
        data = instance._prune_fields(data, only)
    elif meta.only_save_dirty and not force_insert:
        data = instance._prune_fields(data, instance.dirty_fields)
        if not data:
            instance._dirty.clear()
            return finished(False)
    instance._populate_unsaved_relations(data)
    if meta.auto_increment and key is None:
        data.pop(meta.primary_key.name, None)
    if key is None or force_insert:
        return _insert(dialect, instance, key, data)
    _drop_key(meta, data)
    if not data:
        raise ValueError("no data to save!")
    return _update(dialect, instance, data)


def _insert(
    dialect: Dialect, instance: Any, key: Any, data: Mapping[str, Any]
) -> Work[int]:
    meta, before = instance._meta, instance.__data__.copy()

    def take_note(made: Any) -> int:
        _note_saved(instance, data, before)
        has_key = meta.primary_key is not False and made is not None
        if has_key and (meta.auto_increment or key is None):
            instance._pk = made
            # The key is known to the database: it is nothing left to save.
            instance._dirty.discard(meta.primary_key.name)
        return 1

    return then(row_writes.insert(dialect, type(instance), data), take_note)


def _update(dialect: Dialect, instance: Any, data: Mapping[str, Any]) -> Work[int]:
    before = instance.__data__.copy()

    def take_note(rows: int) -> int:
        _note_saved(instance, data, before)
        return rows

    return then(row_writes.update(dialect, instance, data), take_note)


def _note_saved(instance: Any, names: Iterable[str], before: Mapping[str, Any]) -> None:
    """Take note that fields were written; one that was assigned to meanwhile is dirty.

    before: the values when they were about to be written.

    Such a field need not be among the dirty ones still: another save may have written
    the new value, and then this one has written the old one over it.
    """
    now, dirty = instance.__data__, instance._dirty
    others = [name for name in names if now.get(name) is not before.get(name)]
    dirty.difference_update(names)
    dirty.update(others)


def _drop_key(meta: Any, data: dict[str, Any]) -> None:
    for field in meta.get_primary_keys():
        data.pop(field.name, None)


def update(
    dialect: Dialect, instance: Any, only: Iterable[Any] | None = None
) -> Work[int]:
    """Write an object's columns, or only those named; the number of rows written.

    only: fields, or names of fields or columns.

    Nothing is sent if there is nothing to write. Raises ValueError for a name that
    the model does not have, and for an object without a primary key; TypeError for a
    name that is not in a list.
    """
    meta = instance._meta
    if isinstance(only, str):
        raise TypeError(f"only={only!r} is one name: give a list of them, [{only!r}].")
    names = None if only is None else {field_of(meta, item).name for item in only}
    if meta.refs or _has_no_key(instance):
        return _in_turn(lambda: _write_found(dialect, instance, names))
    return _write(dialect, instance, names)


def _write_found(dialect: Dialect, instance: Any, names: set[str] | None) -> Work[int]:
    if _has_no_key(instance):
        raise ValueError(
            f"This {type(instance).__name__} has no primary key, so there is no row "
            "to update: use create() for a new object."
        )
    return _write(dialect, instance, names)


def _write(dialect: Dialect, instance: Any, names: set[str] | None) -> Work[int]:
    meta = instance._meta
    if names is None:
        names = set(instance.__data__)
        if meta.only_save_dirty:
            names &= instance._dirty
    data = {name: value for name, value in instance.__data__.items() if name in names}
    instance._populate_unsaved_relations(data)
    _drop_key(meta, data)
    if not data:
        return finished(0)
    return _update(dialect, instance, data)


def field_of(meta: Any, item: Any) -> Any:
    """Find a field of a model: by itself, its name or its column; else ValueError."""
    name = item.name if isinstance(item, peewee.Field) else item
    field = meta.combined.get(name) if isinstance(name, str) else None
    if field is None or not (isinstance(item, str) or is_own(field, item)):
        raise ValueError(f"{meta.model.__name__} has no field {name!r} to update.")
    return field


def is_own(field: Any, item: Any) -> bool:
    """Tell whether an item is a field, or the one that it was inherited from."""
    # A subclass has copies of the fields that it inherits.
    return field is item or (
        field.name == item.name and issubclass(field.model, item.model)
    )


def _has_no_key(instance: Any) -> bool:
    keys = instance._meta.get_primary_keys()
    return not keys or any(getattr(instance, key.safe_name) is None for key in keys)


def delete(
    dialect: Dialect,
    transactions: Transactions,
    instance: Any,
    recursive: bool = False,
    delete_nullable: bool = False,
) -> Work[int]:
    """Delete an object, and with `recursive` what refers to it, in one transaction.

    Nullable references are set to NULL, unless `delete_nullable` has their rows
    deleted too: `Model.delete_instance`. The number of the object's own rows.
    """
    model = type(instance)
    if row_writes.has_simple_key(model):
        own = row_writes.delete(dialect, model, instance._pk)
    else:
        own = plans.execute(dialect, model.delete().where(instance._pk_expr()))
    if not recursive:
        return own
    tree = _delete_tree(dialect, instance, delete_nullable, own)
    return atomic(transactions, tree)


def _delete_tree(
    dialect: Dialect, instance: Any, delete_nullable: bool, own: Work[int]
) -> Steps[int]:
    dependencies = instance.dependencies(exclude_null_children=not delete_nullable)
    for condition, key in dependencies:
        if key.null and not delete_nullable:
            query = key.model.update(**{key.name: None}).where(condition)
        else:
            query = key.model.delete().where(condition)
        yield from plans.execute(dialect, query)
    return (yield from own)


def set_by_id(dialect: Dialect, model: Any, key: Any, value: Any) -> Work[Any]:
    """Update the row of a key, or insert one if the key is None: `Model.set_by_id`.

    The number of rows updated, or the new key.
    """
    if key is None:
        return plans.execute(dialect, model.insert(value))
    query = model.update(value).where(row_writes.by_key(model, key))
    return plans.execute(dialect, query)


def delete_by_id(dialect: Dialect, model: Any, key: Any) -> Work[int]:
    """Delete the row of a key: `Model.delete_by_id`; the number of rows."""
    return row_writes.delete(dialect, model, key)


def get_or_create(
    dialect: Dialect,
    transactions: Transactions,
    model: type[M],
    lookup: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
) -> Steps[tuple[M, bool]]:
    """Get the object that has these values, else create it: `Model.get_or_create`.

    The object, and whether it was created. If somebody else creates it in between,
    theirs is got.
    """
    table: Any = model
    existing: Plan[M] = finding.get_exactly(dialect, table, lookup)
    try:
        return (yield from existing), False
    except table.DoesNotExist:
        pass
    new = create(dialect, model, {**lookup, **(defaults or {})})
    try:
        return (yield from atomic(transactions, new)), True
    except peewee.IntegrityError as error:
        try:
            return (yield from existing), False
        except table.DoesNotExist:
            raise error from error.__cause__


def create_or_get(
    dialect: Dialect,
    transactions: Transactions,
    model: type[M],
    data: Mapping[str, Any],
) -> Steps[tuple[M, bool]]:
    """Create an object; if its unique values are taken, get the one that has them.

    The object, and whether it was created. The IntegrityError is raised again if it
    is not about uniqueness, and unless exactly one row has a key, a unique field or
    all fields of a unique index in common with the new object.
    """
    instance = model(**data)
    new = _saved(dialect, instance)
    try:
        # A failed statement would spoil a transaction that is open.
        made = yield from (atomic(transactions, new) if transactions.depth else new)
    except peewee.IntegrityError as error:
        found: list[M] = []
        if dialect.is_duplicate(error):
            found = yield from _same_keys(dialect, instance)
        if len(found) != 1:
            raise
        return found[0], False
    return made, True


def _same_keys(dialect: Dialect, instance: M) -> Work[list[M]]:
    conditions = [
        reduce(and_, [field == instance.__data__[field.name] for field in fields])
        for fields in _unique_fields(instance._meta)
        if all(instance.__data__.get(field.name) is not None for field in fields)
    ]
    if not conditions:
        return finished([])
    query: Any = type(instance).select().where(reduce(or_, conditions)).limit(2)
    return plans.select(dialect, query)


def _unique_fields(meta: Any) -> Iterator[tuple[Any, ...]]:
    if meta.primary_key is not False:
        yield meta.get_primary_keys()
    for field in meta.sorted_fields:
        if field.unique:
            yield (field,)
    for index in meta.indexes:
        if isinstance(index, peewee.ModelIndex):
            yield from _fields_of(index)
        elif not isinstance(index, peewee.Node) and index[1]:
            yield tuple(meta.combined[name] for name in index[0])


def _fields_of(index: Any) -> Iterator[tuple[Any, ...]]:
    fields = tuple(index._expressions)
    plain = all(isinstance(field, peewee.Field) for field in fields)
    if index._unique and index._where is None and plain:
        yield fields
