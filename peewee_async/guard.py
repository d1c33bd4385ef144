"""The guard against sync queries in a running event loop, and what it advises."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from peewee_async.core.sources import unwrap

# The async twin of what a program may have called, where it is not just `aio_` more:
# of methods whose class tells that a query of its model is to do it, and of others.
MODEL_TWINS = {
    "ManyToManyFieldAccessor.__set__": "aio_set",
    "ModelBase.__contains__": "aio_get_or_none",
    "ModelBase.__delitem__": "aio_delete_by_id",
    "ModelBase.__getitem__": "aio_get_by_id",
    "ModelBase.__iter__": "aio_execute",
    "ModelBase.__len__": "aio_count",
    "ModelBase.__setitem__": "aio_set_by_id",
}
TWINS = {
    "__enter__": "aio_atomic",
    "__getitem__": "aio_execute",
    "__iter__": "aio_execute",
    "__len__": "aio_execute",
    "connection": "aio_connection",
}
CONTEXTS = {
    "ConnectionContext": "aio_connection",
    "_savepoint": "aio_savepoint",
    "_transaction": "aio_transaction",
}
# How to use what gives nothing to await.
FORMS = {
    "aio_atomic": "async with",
    "aio_connection": "async with",
    "aio_iterator": "async for row in",
    "aio_savepoint": "async with",
    "aio_transaction": "async with",
    "iterator": "async for row in",
}
# What a Manager has for models and queries that have no async methods of their own.
MANAGER = {
    "__getitem__": "execute",
    "__iter__": "execute",
    "__len__": "execute",
    "count": "count",
    "create": "create",
    "delete_instance": "delete",
    "execute": "execute",
    "first": "get_or_none",
    "get": "get",
    "get_by_id": "get",
    "get_or_create": "get_or_create",
    "get_or_none": "get_or_none",
    "iterator": "iterator",
    "prefetch": "prefetch",
    "save": "update",
    "scalar": "scalar",
}


class SyncNotAllowed(AssertionError):
    """A sync query would have blocked the event loop; nothing was sent.

    It is an AssertionError because it always was one in this API, and it is raised
    under `python -O` as well.
    """


def refusal(database: Any, called: str) -> SyncNotAllowed:
    """Make the error for the sync call that is under way.

    called: the method of the database that was called, unless peewee's own frames
        know better.
    """
    return SyncNotAllowed(
        "A sync query in a running event loop would block it. "
        f"{_advice(database, called)} "
        "`with database.allow_sync():` allows it on purpose."
    )


def _advice(owner: Any, called: str) -> str:
    qualified = called
    for frame in _peewee_frames():
        name, variables = frame.f_code.co_name, frame.f_locals
        if name == "get_rel_instance":
            return _advice_on_relation(variables)
        if name == "inner":
            # Decorators of peewee's call what they decorate `method`; those that
            # users put on their own functions do not.
            method = variables.get("method")
            name = getattr(method, "__name__", "")
            qualified = getattr(method, "__qualname__", "")
        else:
            qualified = frame.f_code.co_qualname
        if name:
            called, owner = name, _first_argument(frame)
    twin = _twin(owner, called, qualified)
    if twin is not None:
        manager = ", or the Manager," if called in MANAGER else ""
        form = FORMS.get(twin, "await")
        return f"Use `{form} ...{twin}(...)`{manager} instead of `{called}`."
    if called in MANAGER:
        method = MANAGER[called]
        form = FORMS.get(method, "await")
        return f"Use `{form} manager.{method}(...)` instead of `{called}`."
    return (
        f"Use a method of the Manager, or one that is called `aio_...`; `{called}` can "
        "run in a thread of its own as well, by `asyncio.to_thread`."
    )


def _first_argument(frame: FrameType) -> Any:
    code = frame.f_code
    return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None


def _twin(owner: Any, called: str, qualified: str) -> str | None:
    """Give the name of an async method that the object or class really has."""
    if qualified in MODEL_TWINS:
        model = getattr(owner, "rel_model", owner)
        return MODEL_TWINS[qualified] if hasattr(model, "aio_get") else None
    twin = TWINS.get(called, f"aio_{called}")
    if called == "__enter__":
        twin = CONTEXTS.get(type(owner).__name__, twin)
        owner = getattr(owner, "db", owner)
    owner = unwrap(owner)
    kind = owner if isinstance(owner, type) else type(owner)
    return twin if hasattr(kind, twin) else None


def _advice_on_relation(variables: dict[str, object]) -> str:
    accessor, instance = variables["self"], variables["instance"]
    field = f"{type(instance).__name__}.{getattr(accessor, 'name', '?')}"
    related = getattr(accessor, "rel_model", None)
    call = f"manager.get({getattr(related, '__name__', 'Model')}, ...)"
    if hasattr(instance, "aio_fetch"):
        call = f"instance.aio_fetch({field})"
    return f"{field} is not loaded: join it, prefetch it, or use `await {call}`."


def _peewee_frames() -> Iterator[FrameType]:
    """Give the frames of peewee that led here, the innermost first."""
    frame: FrameType | None = sys._getframe()
    inside = False
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module == "peewee" or module.startswith("playhouse."):
            inside = True
            yield frame
        elif inside:
            return
        frame = frame.f_back
