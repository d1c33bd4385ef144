"""The guard against sync queries in a running event loop, and what it advises."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType

# What a program may have called on a model or query, and the name of the async twin.
TWINS = {
    "create": "aio_create",
    "delete_instance": "aio_delete_instance",
    "get": "aio_get",
    "get_or_create": "aio_get_or_create",
    "get_or_none": "aio_get_or_none",
    "save": "aio_save",
    "count": "aio_count",
    "execute": "aio_execute",
    "exists": "aio_exists",
    "first": "aio_first",
    "prefetch": "aio_prefetch",
    "scalar": "aio_scalar",
    "connect": "aio_connect",
    "__enter__": "aio_atomic",
    "__getitem__": "aio_execute",
    "__iter__": "aio_execute",
    "__len__": "aio_execute",
}


class SyncNotAllowed(AssertionError):
    """A sync query would have blocked the event loop; nothing was sent.

    It is an AssertionError because it always was one in this API, and it is raised
    under `python -O` as well.
    """


def refusal(called: str) -> SyncNotAllowed:
    """Make the error for the sync call that is under way.

    called: the method that was called, unless peewee's own frames know better.
    """
    return SyncNotAllowed(
        f"A sync query in a running event loop would block it. {_advice(called)} "
        "`with database.allow_sync():` allows it on purpose."
    )


def _advice(called: str) -> str:
    for frame in _peewee_frames():
        variables = frame.f_locals
        if frame.f_code.co_name == "get_rel_instance":
            return _advice_on_relation(variables)
        # peewee's decorators call what they decorate `method`.
        method = variables.get("method") if frame.f_code.co_name == "inner" else None
        called = getattr(method, "__name__", frame.f_code.co_name)
    twin = TWINS.get(called)
    if twin is None:
        return "Use a method of the Manager, or one that is called `aio_...`."
    return f"Use `await ...{twin}(...)`, or the Manager, instead of `{called}`."


def _advice_on_relation(variables: dict[str, object]) -> str:
    accessor, instance = variables["self"], variables["instance"]
    name = getattr(accessor, "name", "?")
    related = getattr(accessor, "rel_model", None)
    return (
        f"{type(instance).__name__}.{name} is not loaded: join it, prefetch it, or use "
        f"`await manager.get({getattr(related, '__name__', 'Model')}, ...)`."
    )


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
