"""Things that are dear to make, kept for a while; never more than so many."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

V = TypeVar("V")


def _nothing(value: Any) -> None:
    """Do nothing about a thing that is forgotten."""


class Cache(Generic[V]):
    """Keeps values by key; of too many, the older half is forgotten.

    Several threads may use it at once: each step is one operation of a dict.

    limit: how many are kept. forget: called with each value that is forgotten.
    """

    __slots__ = ("_forget", "_limit", "_values")

    def __init__(self, limit: int, forget: Callable[[V], None] = _nothing) -> None:
        self._limit = limit
        self._forget = forget
        self._values: dict[Hashable, V] = {}

    def get(self, key: Hashable) -> V | None:
        """Give the value of a key, or None."""
        return self._values.get(key)

    def put(self, key: Hashable, value: V) -> None:
        """Keep a value, which may be in the place of another."""
        if len(self._values) >= self._limit and key not in self._values:
            for old in list(self._values)[: self._limit // 2]:
                self.drop(old)
        self._values[key] = value

    def drop(self, key: Hashable) -> None:
        """Forget the value of a key, if there is any."""
        value = self._values.pop(key, None)
        if value is not None:
            self._forget(value)

    def __len__(self) -> int:
        return len(self._values)
