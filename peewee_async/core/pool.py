"""The policy of a connection pool: what to do when something happens to it.

Strategy: events go in as method calls, actions come out as a list, to be carried out
in order. Waiters are served in the order of coming, the connection used last is used
first, and a pool grows by one connection per waiter that none is left for. Whoever
does the connecting and the waiting has no say in any of it.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, NamedTuple, TypeVar

import peewee

C = TypeVar("C")
W = TypeVar("W")


class Open(NamedTuple):
    """Open one more connection, then call `opened` or `failed`."""


class HandOver(NamedTuple):
    """Give a connection to a waiter; it is busy until `given_back` or `lost`."""

    waiter: Any
    connection: Any


class Close(NamedTuple):
    """Close a connection, of which the pool knows no more."""

    connection: Any


class Retry(NamedTuple):
    """Call `retry` after so many seconds."""

    seconds: float


class Refuse(NamedTuple):
    """Tell a waiter that it gets no connection, and why."""

    waiter: Any
    error: peewee.PeeweeException


Action = Open | HandOver | Close | Retry | Refuse

# The seconds after which a failed attempt to connect is repeated for those who wait
# for a connection that is in use: at first, and at most.
FIRST_RETRY, LAST_RETRY = 0.1, 5.0


class Statistics(NamedTuple):
    """How many connections a pool has, in which state, and how many wait for one."""

    size: int
    idle: int
    busy: int
    opening: int
    waiting: int


def require_sizes(minimum: int, maximum: int) -> None:
    """Raise ValueError unless a pool can have so many connections."""
    if not 0 <= minimum <= maximum or maximum < 1:
        raise ValueError(
            f"A pool of {minimum} to {maximum} connections cannot be: "
            "max_connections must be 1 or more, min_connections not above it."
        )


class Pool(Generic[C, W]):
    """The connections of one pool, those who wait for them, and the rules.

    minimum, maximum: how many connections to have. max_lifetime: the number of
    seconds after which a connection is replaced when it is not in use.
    """

    def __init__(
        self, minimum: int, maximum: int, max_lifetime: float | None = None
    ) -> None:
        require_sizes(minimum, maximum)
        self.minimum = minimum
        self.maximum = maximum
        self.max_lifetime = max_lifetime
        self.closed = False
        self._idle: list[C] = []
        self._born: dict[C, float] = {}
        self._opening = 0
        self._waiting: deque[W] = deque()
        self._failure: str | None = None
        self._retry_after = FIRST_RETRY
        self._retrying = False

    def statistics(self) -> Statistics:
        """Count what there is."""
        alive, idle = len(self._born), len(self._idle)
        size = alive + self._opening
        return Statistics(size, idle, alive - idle, self._opening, len(self._waiting))

    def take(self, now: float) -> C | None:
        """Hand over an idle connection at once, if there is one and nobody waits."""
        if not self._idle or self._waiting or self._is_old(self._idle[-1], now):
            return None
        return self._idle.pop()

    def wanted(self, waiter: W, now: float) -> list[Action]:
        """Somebody wants a connection and waits for it."""
        if self.closed:
            return [Refuse(waiter, _closed())]
        actions: list[Action] = []
        while self._idle:
            connection = self._idle.pop()
            if not self._is_old(connection, now):
                return [*actions, HandOver(waiter, connection)]
            actions += self._drop(connection)
        self._waiting.append(waiter)
        return actions + self._grow()

    def withdrawn(self, waiter: W) -> None:
        """A waiter gave up; one that was served already is not affected."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)

    def expired(self, waiter: W, seconds: float) -> list[Action]:
        """A waiter has waited for as long as it may."""
        if waiter not in self._waiting:
            return []
        self._waiting.remove(waiter)
        return [Refuse(waiter, self._too_late(seconds))]

    def opened(self, connection: C, now: float) -> list[Action]:
        """A connection that was asked for is there."""
        self._opening -= 1
        self._failure = None
        self._retry_after = FIRST_RETRY
        self._retrying = False
        self._born[connection] = now
        # Another attempt may have failed meanwhile, for one who still waits.
        return self._place(connection) + self._grow()

    def failed(self, error: peewee.PeeweeException) -> list[Action]:
        """A connection that was asked for could not be opened.

        If none is left that could serve the waiters, they are told the reason;
        otherwise another attempt is made in a while.
        """
        self._opening -= 1
        self._failure = str(error)
        if self._born:
            return self._try_later()
        if self._opening:
            return []
        refused: list[Action] = [Refuse(waiter, error) for waiter in self._waiting]
        self._waiting.clear()
        return refused

    def _try_later(self) -> list[Action]:
        if self._opening or self._retrying or not self._waiting:
            return []
        seconds, self._retrying = self._retry_after, True
        self._retry_after = min(2 * seconds, LAST_RETRY)
        return [Retry(seconds)]

    def retry(self) -> list[Action]:
        """The time for another attempt to connect has come."""
        self._retrying = False
        return self._grow()

    def given_back(self, connection: C, now: float) -> list[Action]:
        """A connection is not needed any more, and fit for the next."""
        if self.closed or self._is_old(connection, now):
            return self._drop(connection) + self._grow()
        return self._place(connection)

    def lost(self, connection: C) -> list[Action]:
        """A connection is of no more use."""
        return self._drop(connection) + self._grow()

    def warm(self) -> list[Action]:
        """Open connections up to the minimum."""
        return self._grow()

    def close(self) -> list[Action]:
        """Close what is idle, refuse those who wait; what is busy follows later."""
        self.closed = True
        actions: list[Action] = [Refuse(waiter, _closed()) for waiter in self._waiting]
        self._waiting.clear()
        for connection in self._idle[:]:
            actions += self._drop(connection)
        self._idle.clear()
        return actions

    def _place(self, connection: C) -> list[Action]:
        if self.closed:
            return self._drop(connection)
        if self._waiting:
            return [HandOver(self._waiting.popleft(), connection)]
        self._idle.append(connection)
        return []

    def _drop(self, connection: C) -> list[Action]:
        del self._born[connection]
        return [Close(connection)]

    def _grow(self) -> list[Action]:
        if self.closed or (self._retrying and self._born):
            return []
        missing = max(len(self._waiting), self.minimum - len(self._born))
        room = self.maximum - len(self._born)
        more = max(min(missing, room) - self._opening, 0)
        self._opening += more
        return [Open() for _ in range(more)]

    def _is_old(self, connection: C, now: float) -> bool:
        if self.max_lifetime is None:
            return False
        return now - self._born[connection] >= self.max_lifetime

    def _too_late(self, seconds: float) -> peewee.OperationalError:
        count = self.statistics()
        text = (
            f"No connection became free within {seconds:g} s (acquire_timeout): "
            f"{count.busy} of {self.maximum} are in use, {count.opening} are being "
            f"opened, {count.waiting} more callers wait."
        )
        if self._failure is not None:
            text += f" The last attempt to connect failed: {self._failure}"
        return peewee.OperationalError(text)

    def __repr__(self) -> str:
        count = self.statistics()
        return (
            f"<Pool {count.size} of {self.maximum} connections, {count.busy} busy, "
            f"{count.waiting} waiting{', closed' if self.closed else ''}>"
        )


def _closed() -> peewee.InterfaceError:
    return peewee.InterfaceError(
        "The connection pool was closed while this query waited for a connection."
    )
