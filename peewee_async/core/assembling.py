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
from peewee_async.core.execution import PORTION, Steps
from peewee_async.core.row_objects import accessor_of, is_stock

# The rows of a model, or lists of them, by a foreign key and what it refers to.
Known = dict[Any, dict[Any, Any]]
Rows = Sequence[Any]


def assembled(
    stage: Any, rows: list[Any], known: Known, children: Sequence[tuple[Any, Known]]
) -> Steps[None]:
    """Note the rows of a stage, and put those of the stages inside it into them.

    known: of the stage's model. children: the stages inside, and what is known of each.
    """
    kinds = set(map(type, rows))
    kind = kinds.pop() if len(kinds) == 1 else None
    fills = [_filling(child, inner, kind) for child, inner in children]
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
        of_field = known.setdefault(field, defaultdict(list))
        convert, as_is = field.rel_field.python_value, handed_on(field.rel_field)
        for row in rows:
            key = row.__data__[name]
            if key.__class__ is not as_is:
                key = convert(key)
            if stage.is_backref:
                of_field[key] = row
            else:
                of_field[key].append(row)


def _filling(stage: Any, known: Known, kind: Any) -> Callable[[Rows], None]:
    """Choose what puts the rows of an inner stage into rows of a kind."""
    fill = _fill_with_parents if stage.is_backref else _fill_with_children
    return lambda rows: fill(stage, known, kind, rows)


def _fill_with_parents(stage: Any, known: Known, kind: Any, rows: Rows) -> None:
    links = [
        (it.name, it.rel_field.name, known.get(it, {}), _Direct(it, kind, True))
        for it in stage.fields
    ]
    for row in rows:
        for name, key_name, of_field, is_direct in links:
            parent = of_field.get(row.__data__[name])
            if parent is None:
                continue
            if is_direct[type(parent)]:
                row.__data__[name] = parent.__data__.get(key_name)
                row.__rel__[name] = parent
            else:
                setattr(row, name, parent)
            row._dirty.discard(name)


def _fill_with_children(stage: Any, known: Known, kind: Any, rows: Rows) -> None:
    links = [
        (field, name, known.get(field, {}), _Direct(field, kind, False))
        for field, name in stage.field_to_name
    ]
    for row in rows:
        for field, name, of_field, is_direct in links:
            key = row.__data__[field.rel_field.name]
            # The list is the children's own: rows that come later join it.
            children = of_field.get(key)
            if children is None:
                children = []
            for child in children:
                if is_direct[type(child)]:
                    child.__data__[name] = key
                    child.__rel__[name] = row
                else:
                    setattr(child, name, row)
                if child._dirty:  # to ask costs less than to clear
                    child._dirty.clear()
            setattr(row, field.backref, children)


class _Direct(dict[Any, bool]):
    """Whether a key can be noted directly, by the class at its other end.

    kind: the class at this end, None if there are several. is_child: it has the key.
    """

    def __init__(self, field: Any, kind: Any, is_child: bool) -> None:
        super().__init__()
        self._field, self._kind, self._is_child = field, kind, is_child

    def __missing__(self, other: Any) -> bool:
        kind = self._kind
        ends = (other, kind) if self._is_child else (kind, other)
        answer = self[other] = kind is not None and _is_direct(self._field, *ends)
        return answer


def _is_direct(field: Any, parent: Any, child: Any) -> bool:
    """Whether the accessor of a foreign key would do nothing but note the object."""
    key = accessor_of(child, field.name)
    target = field.rel_field
    return (
        key is not None
        and is_stock(child)
        and not isinstance(target, peewee.ForeignKeyField)
        and accessor_of(parent, target.name) is not None
        and issubclass(parent, key.rel_model)
    )
