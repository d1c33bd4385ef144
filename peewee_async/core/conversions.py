"""Values that a field of peewee would give back as they are.

A stock field converts what needs it and hands on the rest: an IntegerField gives back
an int. For a value whose exact type is known to be handed on, the call can be saved.
Everything else is converted by whatever the field has: fields of the program's own,
overridden methods, values of other types.
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import peewee

# Its stubs leave out what is not documented.
_peewee: Any = peewee

# What `Field.python_value` hands on, by the `adapt` that it calls.
_BY_ADAPT: dict[Any, type] = {
    _peewee.Field.adapt: object,
    _peewee.IntegerField.adapt: int,
    _peewee.FloatField.adapt: float,
    _peewee._StringField.adapt: str,
    _peewee.BooleanField.adapt: bool,
    _peewee.DateTimeField.adapt: datetime,
    _peewee.DateField.adapt: date,
    _peewee.TimeField.adapt: time,
}
_BY_PYTHON_VALUE: dict[Any, type] = {
    _peewee.DecimalField.python_value: Decimal,
    _peewee.UUIDField.python_value: UUID,
}
_PYTHON_VALUE = _peewee.Field.python_value
_OF_FOREIGN_KEYS = _peewee.ForeignKeyField.python_value
OVERRIDABLE = ("python_value", "adapt")


def handed_on(field: Any) -> type | None:
    """Give the exact type of the values that a field hands on; `object` means any.

    None is handed on as well where there is such a type. Without one, all values have
    to be converted.
    """
    if not is_stock(field):
        return None
    kinds = [type(part) for part in chain(field)]
    known = [kind for kind in kinds if kind.python_value is not _OF_FOREIGN_KEYS]
    return _type(known[0]) if known else None


def _type(kind: Any) -> type | None:
    if kind.python_value is _PYTHON_VALUE:
        return _BY_ADAPT.get(kind.adapt)
    return _BY_PYTHON_VALUE.get(kind.python_value)


def chain(field: Any) -> list[Any]:
    """Give a field, and after a foreign key those that it points to."""
    fields = [field]
    while isinstance(field, peewee.ForeignKeyField):
        field = field.rel_field
        if not isinstance(field, peewee.Field) or any(it is field for it in fields):
            break
        fields.append(field)
    return fields


def is_stock(field: Any) -> bool:
    """Whether a field's values are made by peewee's code alone, so are no models."""
    return all(
        type(part).__module__.partition(".")[0] in ("peewee", "playhouse")
        and not any(name in vars(part) for name in OVERRIDABLE)
        for part in chain(field)
    )
