"""The lines that make one model instance of a row.

They do what `Model.__init__` and the accessors of the fields do, without calling them:
for models that leave both as they are in peewee, and where nothing can tell.
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import peewee

from peewee_async.core.row_shapes import Unfit
from peewee_async.core.row_text import RowText

# Its stubs leave out what is not documented.
_peewee: Any = peewee

_STOCK = {
    "__init__": _peewee.Model.__init__,
    "__new__": object.__new__,
    "__setattr__": object.__setattr__,
}
_SETTERS = (_peewee.FieldAccessor.__set__, _peewee.ForeignKeyAccessor.__set__)
_OF_FOREIGN_KEYS = _peewee.ForeignKeyAccessor.__set__
_RESERVED = {"__data__", "__rel__", "_dirty", "__dict__", "__class__"}


class Dirty:
    """The attribute `_dirty` of instances that were read: made when first asked for.

    Of what a row takes in memory a set is the largest part, and most rows are never
    changed.
    """

    __slots__ = ()

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        # In one step: two threads that ask at once get the same set.
        return vars(instance).setdefault("_dirty", set())


class Related:
    """The attribute `__rel__` of instances that were read: made when first asked for.

    It is for models without foreign keys, whose instances have nothing to put in. To
    the class itself it is None, as peewee has it.
    """

    __slots__ = ()

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return None if instance is None else vars(instance).setdefault("__rel__", {})


class Instance:
    """One instance of each row.

    name: the variable that it is in. columns: indexes of the row's columns, and the
    attributes that they go to, in the order of peewee's assignments. dirties: whether
    an assignment leaves it dirty.
    """

    __slots__ = ("_columns", "_makes_dirty", "_text", "dirties", "model", "name")

    def __init__(
        self, text: RowText, name: str, model: Any, columns: Sequence[tuple[int, str]]
    ) -> None:
        require_stock(text, model)
        if not _RESERVED.isdisjoint(attribute for _, attribute in columns):
            raise Unfit
        self._text = text
        self._columns = columns
        self.name = name
        self.model = model
        self._makes_dirty = not makes_dirty_when_asked(model)
        self.dirties = not all(self._is_plain(*column) for column in columns)

    def _is_plain(self, index: int, attribute: str) -> bool:
        """Whether an assignment only adds to `__data__` or to the attributes."""
        accessor = self.accessor(attribute)
        if accessor is None:
            return not is_descriptor(self.model, attribute)
        setter = type(accessor).__set__
        return setter is not _OF_FOREIGN_KEYS or self._text.is_no_model(index)

    def accessor(self, attribute: str) -> Any:
        """Give the accessor of a field, if it is peewee's own."""
        return accessor_of(self.model, attribute)

    def lines(self) -> list[str]:
        """Write how it is made, with the values of its columns."""
        values = [(name, self._text.value(index)) for index, name in self._columns]
        fields = [] if self.dirties else [it for it in values if self.accessor(it[0])]
        data = ", ".join(f"{name!r}: {value}" for name, value in fields)
        has_dirty = self._makes_dirty or self.dirties
        return [
            f"{self.name} = new({self._text.name('m', self.model)})",
            f"{self.name}.__data__ = {{{data}}}",
            *([f"{self.name}._dirty = set()"] if has_dirty else []),
            *([f"{self.name}.__rel__ = {{}}"] if self._has_related() else []),
            *(self.assigned(*value) for value in values if value not in fields),
        ]

    def _has_related(self) -> bool:
        """Whether a place for related objects has to be made at once."""
        meta = self.model._meta
        if meta.refs or not _makes_related_when_asked(self.model):
            return True
        # It may get a foreign key later.
        self._text.refuses(f"{self._text.name('d', meta)}.refs")
        return False

    def is_silent(self) -> bool:
        """Whether nobody can tell if it was made of a row that does not have it."""
        of_columns = (self._text.is_no_model(index) for index, _ in self._columns)
        return not self.dirties and all(of_columns)

    def assigned(self, attribute: str, value: str) -> str:
        """Write an assignment to an attribute, whatever that does."""
        # Python spells some other identifiers in another way than `setattr`.
        is_plain = attribute.isascii() and attribute.isidentifier()
        if is_plain and not keyword.iskeyword(attribute):
            return f"{self.name}.{attribute} = {value}"
        return f"setattr({self.name}, {attribute!r}, {value})"


def require_stock(text: RowText, model: Any) -> None:
    """Raise `Unfit` for a model that makes its instances in a way of its own."""
    if not is_stock(model):
        raise Unfit
    text.names["new"] = object.__new__
    name = text.name("m", model)
    for method, stock in _STOCK.items():
        text.requires(f"{name}.{method}", stock)


# What would not find the attributes that nobody has asked for.
_COPYING = {
    "__getstate__",
    "__reduce__",
    "__reduce_ex__",
    "__copy__",
    "__deepcopy__",
    "clone",
}


def makes_dirty_when_asked(model: Any) -> bool:
    """Whether `_dirty` of a model's instances need not be made for them."""
    is_late = isinstance(getattr(model, "_dirty", None), Dirty)
    return is_late and not _copies_in_own_way(model)


def _makes_related_when_asked(model: Any) -> bool:
    is_late = isinstance(vars(model).get("__rel__"), Related)
    return is_late and not _copies_in_own_way(model)


def _copies_in_own_way(model: Any) -> bool:
    """Whether a program has taken over from the class that makes attributes late."""
    own = takewhile(lambda base: not _has_late(base), model.__mro__)
    return any(not _COPYING.isdisjoint(vars(base)) for base in own)


def _has_late(base: type) -> bool:
    return isinstance(vars(base).get("_dirty"), Dirty)


def is_stock(model: Any) -> bool:
    """Whether a model makes its instances as peewee's Model does."""
    return (
        all(getattr(model, method) is stock for method, stock in _STOCK.items())
        and type(model).__call__ is type.__call__
        and not any("__slots__" in vars(base) for base in model.__mro__[:-1])
    )


def accessor_of(model: Any, attribute: str) -> Any:
    """Give the accessor of a model's field, if it is peewee's own."""
    found = vars(model).get(attribute)
    is_field = attribute in model._meta.fields
    is_known = getattr(type(found), "__set__", None) in _SETTERS
    if not is_field or not is_known or found.name != attribute:
        return None
    return found


def is_descriptor(model: Any, attribute: str) -> bool:
    """Whether an assignment to an attribute calls something."""
    found = inspect.getattr_static(model, attribute, None)
    return hasattr(type(found), "__set__")
