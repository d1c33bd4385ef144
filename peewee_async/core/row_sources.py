"""Source of the function that reads the rows of one shape, written once per shape.

peewee's own wrapper has resolved which columns there are, what converts them and which
objects they belong to; here it is only written down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import peewee

from peewee_async.core.lookups import is_model
from peewee_async.core.row_columns import columns_of
from peewee_async.core.row_joins import joined
from peewee_async.core.row_objects import Instance, is_stock
from peewee_async.core.row_shapes import Unfit
from peewee_async.core.row_text import RowText

# Its stubs leave out what is not documented.
_peewee: Any = peewee


def source_of(
    wrapper: Any, types: Sequence[type | None] | None = None
) -> tuple[str, dict[str, Any]]:
    """Write the function of a wrapper that is initialized; it is called `read`.

    It takes the rows, the extras of the shape and the list that the objects go to. The
    names in it come with the text.

    types: those of the columns' values, as in a `Reply`.

    Raises `Unfit` for rows that only the wrapper itself can read.
    """
    if not wrapper.cursor.description:
        raise Unfit
    columns = columns_of(wrapper, types) if hasattr(wrapper, "converters") else []
    text = RowText(columns, len(wrapper.cursor.description))
    return _WRITERS[type(wrapper)](text, wrapper), text.names


def _rows(text: RowText, wrapper: Any) -> str:
    return text.whole("rows")


def _dicts(text: RowText, wrapper: Any) -> str:
    return text.each(_dict(text, enumerate(wrapper.columns)))


def _named_tuples(text: RowText, wrapper: Any) -> str:
    return text.each(_named_tuple(text, wrapper.tuple_class))


def _constructed(text: RowText, wrapper: Any) -> str:
    values = _dict(text, enumerate(wrapper.columns))
    return text.each(f"extras[-1](**{values})")


def _model_dicts(text: RowText, wrapper: Any) -> str:
    return text.each(_dict(text, _in_order(wrapper)))


def _model_tuples(text: RowText, wrapper: Any) -> str:
    return text.each(text.row())


def _model_named_tuples(text: RowText, wrapper: Any) -> str:
    return text.each(_named_tuple(text, wrapper.impl))


# The names of arguments that peewee calls a model with.
_TAKEN = {"self", "__no_default__"}


def _models(text: RowText, wrapper: Any) -> str:
    model = wrapper.constructor
    if not is_model(model):
        values = _dict(text, _in_order(wrapper))
        return text.each(f"extras[-1](**{values})")
    if is_stock(model):
        columns = list(_in_order(wrapper))
        if not _TAKEN.isdisjoint(name for _, name in columns):
            raise Unfit  # these rows are an error, which the wrapper raises
        instance = Instance(text, "o", model, columns)
        clear = ["o._dirty.clear()"] if instance.dirties else []
        return text.loop([*instance.lines(), *clear], "o")
    values = _dict(text, _in_order(wrapper))
    make = f"o = {text.name('m', model)}(__no_default__=1, **{values})"
    return text.loop([make, "o._dirty.clear()"], "o")


def _joined(text: RowText, wrapper: Any) -> str:
    return text.loop(*joined(text, wrapper))


_WRITERS: dict[Any, Callable[[RowText, Any], str]] = {
    _peewee.CursorWrapper: _rows,
    _peewee.DictCursorWrapper: _dicts,
    _peewee.NamedTupleCursorWrapper: _named_tuples,
    _peewee.ObjectCursorWrapper: _constructed,
    _peewee.ModelDictCursorWrapper: _model_dicts,
    _peewee.ModelTupleCursorWrapper: _model_tuples,
    _peewee.ModelNamedTupleCursorWrapper: _model_named_tuples,
    _peewee.ModelObjectCursorWrapper: _models,
    _peewee.ModelCursorWrapper: _joined,
}


def _in_order(wrapper: Any) -> Iterable[tuple[int, str]]:
    """Give the columns in peewee's order: those that are converted come last."""
    # Before 4.5, models had names of their own for the columns.
    names = vars(wrapper).get("identifiers", wrapper.unique_columns)
    return [(index, names[index]) for index in wrapper.no_convert + wrapper.convert]


def _dict(text: RowText, columns: Iterable[tuple[int, str]]) -> str:
    items = [f"{name!r}: {text.value(index)}" for index, name in columns]
    return f"{{{', '.join(items)}}}"


def _named_tuple(text: RowText, kind: Any) -> str:
    text.names["tuple_of"] = tuple.__new__
    return f"tuple_of({text.name('t', kind)}, {text.row()})"
