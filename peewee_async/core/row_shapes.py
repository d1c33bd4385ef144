"""What decides how the rows of a query are read, as a key to look a decoder up by.

Two queries whose wrappers have equal keys get the same objects for the same rows,
values of their conditions apart. Nodes that a program makes anew for each query are
known by what they are and where they stand, not by identity: an alias, a subquery, an
expression. What cannot be told from the key, a converter or a constructor of the
program's own, comes beside it, to be handed to the decoder at each call.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import peewee

from peewee_async.core.lookups import is_model

# Its stubs leave out what is not documented.
_peewee: Any = peewee


# The versions whose wrappers are known to the letter; those of others do the work
# themselves.
_KNOWN = ("4.3.", "4.4.", "4.5.")


class Unfit(Exception):
    """Only peewee's wrapper can make something of these rows."""


class Shape(NamedTuple):
    """The key, and what differs from query to query.

    extras: converters and constructors, in the order of the columns. kept: objects
    whose identities are in the key, which have to live as long as it is used.
    """

    key: Hashable
    extras: tuple[Any, ...]
    kept: tuple[Any, ...]


def shape_of(wrapper: Any) -> Shape:
    """Tell the shape of the rows of one of peewee's wrappers, not initialized yet.

    Raises `Unfit` for what has no shape that is known.
    """
    read = _READERS.get(type(wrapper))
    if read is None or not _peewee.__version__.startswith(_KNOWN):
        raise Unfit
    walk = _Walk(getattr(wrapper, "model", None))
    key = (type(wrapper), *read(walk, wrapper))
    return Shape(key, tuple(walk.extras), tuple(walk.kept))


def _rows(walk: _Walk, wrapper: Any) -> tuple[Hashable, ...]:
    return ()


def _constructed(walk: _Walk, wrapper: Any) -> tuple[Hashable, ...]:
    return (walk.extra(wrapper.constructor),)


def _columns(walk: _Walk, wrapper: Any) -> tuple[Hashable, ...]:
    return tuple([walk.column(node) for node in wrapper.select])


def _objects(walk: _Walk, wrapper: Any) -> tuple[Hashable, ...]:
    columns = _columns(walk, wrapper)
    return (walk.constructor(wrapper.constructor), *columns)


def _joined(walk: _Walk, wrapper: Any) -> tuple[Hashable, ...]:
    walk.is_joined = True
    root = walk.source(wrapper.model)
    sources = tuple([walk.origin(item) for item in wrapper.from_list])
    joins = tuple(
        [
            (walk.source(source), tuple([walk.join(*join) for join in joined]))
            for source, joined in wrapper.joins.items()
        ]
    )
    return (root, sources, joins, *_columns(walk, wrapper))


_READERS: dict[Any, Callable[[_Walk, Any], tuple[Hashable, ...]]] = {
    _peewee.CursorWrapper: _rows,
    _peewee.DictCursorWrapper: _rows,
    _peewee.NamedTupleCursorWrapper: _rows,
    _peewee.ObjectCursorWrapper: _constructed,
    _peewee.ModelDictCursorWrapper: _columns,
    _peewee.ModelTupleCursorWrapper: _columns,
    _peewee.ModelNamedTupleCursorWrapper: _columns,
    _peewee.ModelObjectCursorWrapper: _objects,
    _peewee.ModelCursorWrapper: _joined,
}


class _Walk:
    """Walks over what a wrapper was given; says what peewee looks at in each node."""

    __slots__ = ("_sources", "_table", "extras", "is_joined", "kept")

    def __init__(self, model: Any) -> None:
        self._table = None if model is None else model._meta.table
        self._sources: dict[Any, int] = {}
        self.is_joined = False
        self.extras: list[Any] = []
        self.kept: list[Any] = []

    def constructor(self, constructor: Any) -> Hashable:
        if is_model(constructor):
            return self._identity(constructor)
        return self.extra(constructor)

    def source(self, source: Any) -> Hashable:
        """Name a source: a model by itself, another one by the order of coming.

        Whichever are equal to peewee are equal here.
        """
        if is_model(source):
            return self._identity(source)
        number = self._sources.setdefault(source, len(self._sources))
        if isinstance(source, peewee.ModelAlias):
            return "alias", number, self._identity(source.model)
        return "source", number

    def origin(self, item: Any) -> Hashable:
        if isinstance(item, _peewee.Join):
            return self.origin(item.lhs), self.origin(item.rhs)
        return self.source(item)

    def join(
        self, source: Any, attribute: str, constructor: Any, kind: str
    ) -> Hashable:
        if not is_model(constructor):
            raise Unfit
        return self.source(source), attribute, self._identity(constructor), kind

    def column(self, node: Any) -> Hashable:
        bare: Any = node.unwrap()
        if isinstance(bare, _peewee.Field):
            if bare is node and node._coerce and not isinstance(node, _FIELD_ALIAS):
                return self._identity(node)
            return self._field(bare, node._coerce), node.is_alias(), node._coerce
        owner = self._owner(node, bare) if self.is_joined else None
        return node.is_alias(), self._computed(node, bare), owner

    def _field(self, field: Any, is_converted: bool) -> Hashable:
        if isinstance(field, _FIELD_ALIAS):
            if is_converted and field.python_value.__func__ is not _OF_ALIASES:
                raise Unfit
            return self.source(field.source), self._identity(field.field)
        if not is_converted:
            # `coerce(False)` of a field is another field; that of the model does.
            known = field.model._meta.fields.get(field.name)
            return self._identity(field if known is None else known)
        return self._identity(field)

    def _computed(self, node: Any, bare: Any) -> Hashable:
        """Follow `_resolve_model_columns` of peewee."""
        if isinstance(bare, _peewee.ColumnBase) and node._converter:
            return self.extra(node._converter)
        if isinstance(bare, _peewee.Function) and bare._coerce:
            return self._function(node, bare)
        is_own = isinstance(bare, peewee.Column) and bool(bare.source == self._table)
        return "by name", bool(getattr(bare, "_coerce", True)), is_own

    def _function(self, node: Any, bare: Any) -> Hashable:
        if node._coerce is False:
            return "function"
        if bare._python_value is not None:
            return self.extra(bare._python_value)
        first = argument_of(bare)
        if isinstance(first, _peewee.Entity):
            return "entity", first._path[-1]
        if isinstance(first, peewee.Field):
            return "argument", self._field(first, True)
        return "function"

    def _owner(self, node: Any, bare: Any) -> Hashable:
        if isinstance(node, _peewee.BindTo):
            return self.source(node.dest)
        return self.source(bare.source) if isinstance(bare, peewee.Column) else None

    def extra(self, thing: Any) -> Hashable:
        self.extras.append(thing)
        return "extra"

    def _identity(self, thing: Any) -> int:
        self.kept.append(thing)
        return id(thing)


_FIELD_ALIAS = _peewee.FieldAlias
_OF_ALIASES = _peewee.FieldAlias.python_value


def argument_of(function: Any) -> Any:
    """Give the node that a function's values are converted by, if it has any."""
    arguments = function.arguments
    if arguments and isinstance(arguments[0], peewee.Node):
        return arguments[0].unwrap()
    return None
