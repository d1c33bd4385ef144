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
        context.__class__ = Rendering
    return context
