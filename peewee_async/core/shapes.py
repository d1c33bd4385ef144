"""The shape of a plain SELECT: all that its SQL depends on, apart from its values.

A shape is a tuple that names what the query is made of by identity; it means something
only as long as those things live. Whatever this module does not know has no shape, and
is left to peewee.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import peewee

# Its stubs leave out what is not documented.
_peewee: Any = peewee

# The types of values that never change the SQL. Subclasses may be anything.
PLAIN = frozenset(
    {
        int,
        float,
        str,
        bool,
        bytes,
        datetime,
        date,
        time,
        timedelta,
        Decimal,
        UUID,
    }
)

# The classes of queries whose SQL is peewee's own.
SELECTS: set[type] = {peewee.ModelSelect}

_Expression, _Join, _Ordering = peewee.Expression, _peewee.Join, _peewee.Ordering
_Alias, _Function = _peewee.Alias, _peewee.Function
_OP: Any = peewee.OP
_LOGIC = (_OP.AND, _OP.OR)
_NULL = (_OP.IS, _OP.IS_NOT)
_AMONG = (_OP.IN, _OP.NOT_IN)
_COMPARISONS = frozenset(
    {
        *(_OP.EQ, _OP.NE, _OP.LT, _OP.LTE, _OP.GT, _OP.GTE),
        *(_OP.LIKE, _OP.ILIKE, _OP.REGEXP, _OP.IREGEXP),
    }
)


def of_select(query: Any) -> tuple[list[Any], list[Any]] | None:
    """Give the shape of a query and its values in order; None if it has no shape."""
    if query.__class__ not in SELECTS:
        return None
    parts = query.__dict__
    if not _is_plain(parts):
        return None
    returning, grouped = parts["_returning"], parts["_group_by"]
    shape = [
        query.__class__,
        parts["_row_type"],
        parts["_is_default"],
        parts["_simple_distinct"],
        parts["_distinct"] is None,
        len(returning),
        *map(id if parts["_is_default"] else _column, returning),
    ]
    values: list[Any] = []
    sources, joins, where = parts["_from_list"], parts["_joins"], parts["_where"]
    shape += (len(sources), len(joins), where is None, grouped is None)
    for source in sources:
        if not _source(source, shape, values):
            return None
    if joins:
        _attributes(joins, shape)
    if where is not None and not of_condition(where, shape, values):
        return None
    if grouped is not None:
        shape += (len(grouped), *map(id, grouped))
    has_shape = _order(parts["_order_by"] or (), shape) and _numbers(
        parts, shape, values
    )
    return (shape, values) if has_shape else None


def _is_plain(parts: dict[str, Any]) -> bool:
    return (
        parts["_having"] is None
        and not parts["_distinct"]
        and parts["_windows"] is None
        and parts["_for_update"] is None
        and parts["_lateral"] is None
        and parts["_cte_list"] is None
        and parts["_alias"] is None
        and parts["_constructor"] is None
    )


def _column(node: Any) -> Any:
    """Name a column: one that is computed by what it is made of, which fields are."""
    if not _is_computed(node):
        return id(node)
    if node.__class__ is _Alias:
        return _Alias, node._alias, node._coerce, _column(node.node)
    return _Function, node.name, node._coerce, *map(id, node.arguments)


def _is_computed(node: Any) -> bool:
    """Whether a column is a function or an alias, with no more to it than that."""
    if node.__class__ is _Alias:
        return node._converter is None
    return (
        node.__class__ is _Function
        and node._converter is None
        and node._python_value is None
        and node._filter is None
        and node._order_by is None
    )


def _numbers(parts: dict[str, Any], shape: list[Any], values: list[Any]) -> bool:
    for number in (parts["_limit"], parts["_offset"]):
        if number.__class__ is int:
            values.append(number)
        elif number is not None:
            return False
        shape.append(number is None)
    return True


def of_condition(node: Any, shape: list[Any], values: list[Any]) -> bool:
    """Add the shape of a condition and its values; False if it has no shape."""
    if node.__class__ is not _Expression:
        return False
    left, op, right = node.lhs, node.op, node.rhs
    if op in _COMPARISONS:
        if right.__class__ in PLAIN:
            shape += (op, node.flat, id(left), None)
            values.append(right)
            return True
        shape += (op, node.flat, id(left), id(right))
        return isinstance(right, peewee.Field)
    if right is None:
        shape += (op, node.flat, id(left))
        return op in _NULL
    if op in _AMONG:
        shape += (op, node.flat, id(left))
        return _subquery(right, shape, values)
    shape += (op, node.flat)
    return (
        op in _LOGIC
        and of_condition(left, shape, values)
        and of_condition(right, shape, values)
    )


def _subquery(query: Any, shape: list[Any], values: list[Any]) -> bool:
    known = of_select(query)
    # Of a SELECT of all columns, peewee leaves what the model's key is by then.
    if known is None or query._is_default:
        return False
    shape += (id(query.model), *known[0])
    values += known[1]
    return True


def _source(source: Any, shape: list[Any], values: list[Any]) -> bool:
    if source.__class__ is not _Join:
        shape.append(id(source))
        return isinstance(source, type)
    shape.append(source.join_type)
    return (
        _source(source.lhs, shape, values)
        and _source(source.rhs, shape, values)
        and of_condition(source._on, shape, values)
    )


def _attributes(joins: dict[Any, Any], shape: list[Any]) -> None:
    """Add where joined rows go, which their decoder depends on."""
    for source, targets in joins.items():
        shape += (id(source), len(targets))
        for target, attribute, constructor, kind in targets:
            shape += (id(target), attribute, id(constructor), kind)


def _order(terms: Sequence[Any], shape: list[Any]) -> bool:
    shape.append(len(terms))
    for term in terms:
        if term.__class__ is not _Ordering:
            shape += (id(term), None)
        elif term.collation is None and term.nulls is None:
            shape += (id(term.node), term.direction)
        else:
            return False
    return True


def filled(query: Any, values: Iterator[Any]) -> Any:
    """Copy a query that has a shape, with other values in the same order.

    The copy is bound to no database.
    """
    copy = query.clone().bind(None)
    copy._from_list = [_filled_source(each, values) for each in query._from_list]
    if query._where is not None:
        copy._where = filled_condition(query._where, values)
    copy._limit = next(values) if query._limit is not None else None
    copy._offset = next(values) if query._offset is not None else None
    return copy


def filled_condition(node: Any, values: Iterator[Any]) -> Any:
    """Copy a condition that has a shape, with other values in the same order."""
    copy = node.clone()
    if node.op in _LOGIC:
        copy.lhs = filled_condition(node.lhs, values)
        copy.rhs = filled_condition(node.rhs, values)
    elif node.op in _AMONG:
        copy.rhs = filled(node.rhs, values)
    elif node.rhs.__class__ in PLAIN:
        copy.rhs = next(values)
    return copy


def _filled_source(source: Any, values: Iterator[Any]) -> Any:
    if source.__class__ is not _Join:
        return source
    copy = source.clone()
    copy.lhs = _filled_source(source.lhs, values)
    copy.rhs = _filled_source(source.rhs, values)
    copy._on = filled_condition(source._on, values)
    return copy


def nodes_of(query: Any) -> Iterator[Any]:
    """Give what a query that has a shape is made of, by identity."""
    for node in query._returning:
        yield from _nodes_of_column(node)
    for source in query._from_list:
        yield from _nodes_of_source(source)
    for source, targets in query._joins.items():
        yield source
        for target, _, constructor, _ in targets:
            yield from (target, constructor)
    if query._where is not None:
        yield from nodes_of_condition(query._where)
    yield from query._group_by or ()
    for term in query._order_by or ():
        yield term.node if term.__class__ is _Ordering else term


def _nodes_of_column(node: Any) -> Iterator[Any]:
    if not _is_computed(node):
        yield node
    elif node.__class__ is _Alias:
        yield from _nodes_of_column(node.node)
    else:
        yield from node.arguments


def nodes_of_condition(node: Any) -> Iterator[Any]:
    """Do the same for a condition that has a shape."""
    if node.op in _LOGIC:
        yield from nodes_of_condition(node.lhs)
        yield from nodes_of_condition(node.rhs)
    elif node.op in _AMONG:
        yield from (node.lhs, node.rhs.model)
        yield from nodes_of(node.rhs)
    else:
        yield node.lhs
        if node.rhs is not None and node.rhs.__class__ not in PLAIN:
            yield node.rhs


def _nodes_of_source(source: Any) -> Iterator[Any]:
    if source.__class__ is _Join:
        yield from _nodes_of_source(source.lhs)
        yield from _nodes_of_source(source.rhs)
        yield from nodes_of_condition(source._on)
    else:
        yield source
