"""What each column of a row is converted by, as peewee's wrapper has resolved it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple

import peewee

from peewee_async.core.row_shapes import argument_of

# Its stubs leave out what is not documented.
_peewee: Any = peewee


class Source(Enum):
    """Where the values of a column come from."""

    AS_IS = "the driver's values, as they are"
    FIELD = "converted by a field"
    ARGUMENT = "converted by the field that is a function's first argument, if it can"
    EXTRA = "converted by a function of the program's own"


class Column(NamedTuple):
    """One column.

    field: what converts it, or None. converter: what peewee would call. extra: which
    of the shape's extras that is. by_name: the name that the field was found by among
    those of the model, or not. made: the exact type of all values but None, if known.
    """

    source: Source
    model: Any
    field: Any = None
    converter: Any = None
    extra: int = 0
    by_name: str | None = None
    made: type | None = None


def columns_of(
    wrapper: Any, types: Sequence[type | None] | None = None
) -> list[Column]:
    """Give the columns of a wrapper that is initialized, with values of these types."""
    columns: list[Column] = []
    for index, converter in enumerate(wrapper.converters):
        known = _known(wrapper, index)
        extra = sum(column.source is Source.EXTRA for column in columns)
        made = None if types is None else types[index]
        columns.append(known._replace(converter=converter, extra=extra, made=made))
    return columns


def _known(wrapper: Any, index: int) -> Column:
    if index >= len(wrapper.select):
        return _named(wrapper, index, True)
    node = wrapper.select[index]
    bare: Any = node.unwrap()
    is_converted = wrapper.converters[index] is not None
    if isinstance(bare, _peewee.Field):
        source = Source.FIELD if is_converted else Source.AS_IS
        return Column(source, wrapper.model, _own(bare))
    if isinstance(bare, _peewee.ColumnBase) and node._converter:
        return Column(Source.EXTRA, wrapper.model)
    if isinstance(bare, _peewee.Function) and bare._coerce:
        return _function(wrapper, bare, is_converted)
    return _named(wrapper, index, is_converted)


def _function(wrapper: Any, function: Any, is_converted: bool) -> Column:
    model = wrapper.model
    if function._python_value is not None and is_converted:
        return Column(Source.EXTRA, model)
    argument = argument_of(function)
    if isinstance(argument, _peewee.Entity):
        name = argument._path[-1]
        argument = model._meta.combined.get(name)
        source = Source.ARGUMENT if is_converted else Source.AS_IS
        return Column(source, model, argument, by_name=name)
    if is_converted:
        return Column(Source.ARGUMENT, model, _own(argument))
    return Column(Source.AS_IS, model)


def _named(wrapper: Any, index: int, is_converted: bool) -> Column:
    name = _cleaned(wrapper.cursor.description[index][0])
    field = wrapper.model._meta.combined.get(name)
    is_found = field is not None and is_converted
    source = Source.FIELD if is_found else Source.AS_IS
    return Column(source, wrapper.model, field, by_name=name)


def _cleaned(name: str) -> str:
    """Do what peewee does to the name of a column."""
    return name[name.rfind(".") + 1 :].strip('()"`')


def _own(field: Any) -> Any:
    """Give the field behind that of an alias: they convert alike."""
    return field.field if isinstance(field, _peewee.FieldAlias) else field
