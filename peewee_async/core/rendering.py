"""SQL is rendered once where peewee would do it twice.

Before `x IN (...)`, peewee renders what is in the brackets, to see if it is nothing at
all. A SELECT never is; and one inside another inside another would be rendered eight
times.
"""

from __future__ import annotations

from typing import Any

import peewee

# Its stubs leave out what is not documented.
_peewee: Any = peewee

_OF_SELECTS = _peewee.Select.__sql__


class Rendering(_peewee.Context):  # type: ignore[misc]
    """Peewee's context, which looks at subqueries without rendering them."""

    __slots__ = ()

    def as_new(self) -> Any:
        """Make the context that peewee looks with."""
        return _Look(**self.state.settings)


class Filling(Rendering):
    """The same for a query with slots, which ask it by `is_argument`."""

    __slots__ = ()

    def __call__(self, **overrides: Any) -> Any:
        """Go into a part of the query, as peewee does."""
        if "in_function" in overrides:
            overrides["is_given"] = overrides["in_function"]
        elif "converter" in overrides:
            overrides["is_given"] = False
        return super().__call__(**overrides)


def is_argument(context: Any) -> bool:
    """Tell whether the next node of a query with slots is an argument of a function.

    Peewee does not convert such a value, though the function be compared with a field.
    It does convert those of a CASE, which are not in brackets.
    """
    return bool(context.state.is_given and context.state.parentheses)


class _Look(_peewee.Context):  # type: ignore[misc]
    __slots__ = ()

    def parse(self, node: Any) -> tuple[str, list[Any]]:
        """Render a node; of a SELECT only say that it is not empty."""
        if getattr(type(node), "__sql__", None) is _OF_SELECTS:
            return "(SELECT)", []
        sql, params = super().parse(node)
        return sql, params


def look_once(context: Any) -> Any:
    """Have a context of peewee's render subqueries once; another one stays."""
    if type(context) is _peewee.Context:
        context.__class__ = Rendering if context.state.slots is None else Filling
    return context
