"""The rows of a prefetch are put into one another, by peewee's rules.

They are those of `PrefetchQuery.store_instance` and `populate_instance`, taken for all
rows at a time, and past the accessors where models leave those as they are. Rows of a
model that refers to itself find each other while they come, one after the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import peewee

from peewee_async.core.boundary import Pause
from peewee_async.core.conversions import handed_on
from peewee_async.core.decoding import makes_clean
from peewee_async.core.execution import PORTION, Steps
from peewee_async.core.row_objects import (
    accessor_of,
    is_descriptor,
    is_stock,
    makes_dirty_when_asked,
)

Rows = Sequence[Any]
Fill = Callable[[Rows], None]


class Known:
    """What is known of the rows of a model.

    by_key: the rows, or lists of them, by a foreign key and what it refers to.
    kinds: their classes. dirty: whether any of them may be.
    """

    __slots__ = ("by_key", "dirty", "kinds")

    def __init__(self) -> None:
        self.by_key: dict[Any, dict[Any, Any]] = {}
        self.kinds: set[Any] = set()
        self.dirty = False

    @property
    def kind(self) -> Any:
        """The class of all rows; None if there are several."""
        return next(iter(self.kinds)) if len(self.kinds) == 1 else None

    def add(self, query: Any, rows: Rows) -> None:
        """Take note of rows that a query just gave."""
        self.kinds.update(map(type, rows))
        # Those that have a set anyway can be asked.
        is_clean = all(map(makes_dirty_when_asked, self.kinds)) and makes_clean(query)
        self.dirty = self.dirty or not is_clean


def assembled(
    stage: Any, rows: list[Any], known: Known, children: Sequence[tuple[Any, Known]]
) -> Steps[None]:
    """Note the rows of a stage, and put those of the stages inside it into them.

    known: of the stage's model. children: the stages inside, and what is known of each.
    """
    known.add(stage.query, rows)
    fills = [_filling(child, known, inner) for child, inner in children]
    is_own = any(inner is known for _, inner in children)
    for start in range(0, len(rows), PORTION):
        portion = rows[start : start + PORTION]
        for some in [[row] for row in portion] if is_own else [portion]:
            _note(stage, some, known)
            for fill in fills:
                fill(some)
        if start + PORTION < len(rows):
            yield Pause()


def _note(stage: Any, rows: Rows, known: Known) -> None:
    """Note rows by the keys that others will ask for."""
    for field, name in stage.field_to_name or ():
        of_field = known.by_key.setdefault(field, defaultdict(list))
        convert, as_is = field.rel_field.python_value, handed_on(field.rel_field)
        is_single = stage.is_backref
        for row in rows:
            key = row.__data__[name]
            if key.__class__ is not as_is:
                key = convert(key)
            if is_single:
                of_field[key] = row
            else:
                of_field[key].append(row)


def _filling(stage: Any, known: Known, inner: Known) -> Fill:
    """Make what puts the rows of an inner stage into rows."""
    make = _with_parents if stage.is_backref else _with_children
    fills = [make(field, known, inner) for field in stage.fields]
    if len(fills) == 1:
        return fills[0]

    def fill_all(rows: Rows) -> None:
        for row in rows:
            for fill in fills:
                fill((row,))

    return fill_all


def _with_parents(field: Any, known: Known, inner: Known) -> Fill:
    name, key_name = field.name, field.rel_field.name
    is_direct = _is_direct(field, inner.kind, known.kind)

    def fill(rows: Rows) -> None:
        of_field = inner.by_key.get(field, {})
        for row in rows:
            parent = of_field.get(row.__data__[name])
            if parent is None:
                continue
            if is_direct:
                row.__data__[name] = parent.__data__.get(key_name)
                row.__rel__[name] = parent
            else:
                known.dirty = True
                setattr(row, name, parent)
            if known.dirty:
                row._dirty.discard(name)

    return fill


def _with_children(field: Any, known: Known, inner: Known) -> Fill:
    name, key_name, backref = field.name, field.rel_field.name, field.backref
    is_direct = _is_direct(field, known.kind, inner.kind)
    if known.kind is None or is_descriptor(known.kind, backref):
        known.dirty = True

    def fill(rows: Rows) -> None:
        of_field = inner.by_key.get(field, {})
        for row in rows:
            key = row.__data__[key_name]
            # The list is the children's own: rows that come later join it.
            children = of_field.get(key) or []
            if is_direct:
                for child in children:
                    child.__data__[name] = key
                    child.__rel__[name] = row
            else:
                inner.dirty = True
                for child in children:
                    setattr(child, name, row)
            if inner.dirty:
                _clean(children)
            setattr(row, backref, children)

    return fill


def _clean(rows: Rows) -> None:
    for row in rows:
        if row._dirty:  # to ask costs less than to clear
            row._dirty.clear()


def _is_direct(field: Any, parent: Any, child: Any) -> bool:
    """Whether the accessor of a foreign key would do nothing but note the object.

    parent, child: the classes at its ends; None if there are several.
    """
    if parent is None or child is None:
        return False
    key = accessor_of(child, field.name)
    target = field.rel_field
    return (
        key is not None
        and is_stock(child)
        and not isinstance(target, peewee.ForeignKeyField)
        and accessor_of(parent, target.name) is not None
        and issubclass(parent, key.rel_model)
    )
