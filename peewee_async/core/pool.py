"""The policy of a connection pool: what to do when something happens to it.

Strategy: events go in as method calls, with the time in seconds where it matters;
actions come out as a list, to be carried out in order. Waiters are served in the order
of coming, the connection used last is used first, and a pool grows by one connection
per waiter that none is left for. Whoever does the connecting and the waiting has no
say in any of it.
"""

from __future__ import annotations

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


class Check(NamedTuple):
    """Ask a server whether a connection still works, then call `checked` or `dead`."""

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


Action = Open | HandOver | Check | Close | Retry | Refuse

# The seconds after which a failed attempt to connect is repeated: at first, and at most
# for those who wait for a connection, or to have the minimum again.
FIRST_RETRY, LAST_RETRY, LAST_REFILL = 0.1, 5.0, 60.0


class Statistics(NamedTuple):
    """What a pool has, and what it has done since it was opened.

    size: the number of connections, those that are being opened included; it is the
    sum of idle, busy and opening.
    idle: connections that nobody uses.
    busy: connections in use, or being checked before they are used.
    opening: connections that are being opened.
    waiting: callers that wait for a connection.
    opened: how many connections were ever opened.
    discarded: how many of them were closed, or found dead.
    waits: how many callers ever had to wait, those who still do included.
    wait_seconds: how long those who wait no more had to wait, all in all.
    """

    size: int = 0
    idle: int = 0
    busy: int = 0
    opening: int = 0
    waiting: int = 0
    opened: int = 0
    discarded: int = 0
    waits: int = 0
    wait_seconds: float = 0.0


def require_sizes(minimum: int, maximum: int) -> None:
    """Raise ValueError unless a pool can have so many connections."""
    if not 0 <= minimum <= maximum or maximum < 1:
        raise ValueError(
            f"A pool of {minimum} to {maximum} connections cannot be: "
            "max_connections must be 1 or more, min_connections not above it."
        )


class Pool(Generic[C, W]):
    """The connections of one pool, those who wait for them, and the rules.

    minimum, maximum: how many connections to have.
    max_lifetime: the age in seconds from which a connection is replaced when it is not
    in use.
    max_idle: the number of seconds that a connection above the minimum may be idle.
    ping_idle: the number of seconds after which an idle connection is checked before
    it is used.
    """

    def __init__(
        self,
        minimum: int,
        maximum: int,
        *,
        max_lifetime: float | None = None,
        max_idle: float | None = None,
        ping_idle: float | None = None,
    ) -> None:
        require_sizes(minimum, maximum)
        self.minimum = minimum
        self.maximum = maximum
        self.max_lifetime = max_lifetime
        self.max_idle = max_idle
        self.ping_idle = ping_idle
        self.closed = False
        self._born: dict[C, float] = {}
        # Since when, in the order of coming: the last one was used last.
        self._idle: dict[C, float] = {}
        self._waiting: dict[W, float] = {}
        self._checking: dict[C, float] = {}
        self._opening = 0
        self._opened = self._discarded = self._waits = 0
        self._wait_seconds = 0.0
        self._failure: str | None = None
        self._retrying = False
        self._retry_after = FIRST_RETRY
        self._refill_at = float("-inf")

    @property
    def idle(self) -> list[C]:
        """The connections that nobody uses, the one used last at the end."""
        return list(self._idle)

    def statistics(self) -> Statistics:
        """Count what there is, and what there was."""
        alive, idle = len(self._born), len(self._idle)
        return Statistics(
            size=alive + self._opening,
            idle=idle,
            busy=alive - idle,
            opening=self._opening,
            waiting=len(self._waiting),
            opened=self._opened,
            discarded=self._discarded,
            waits=self._waits,
            wait_seconds=self._wait_seconds,
        )

    # Callers come and go.

    def take(self, now: float) -> C | None:
        """Hand over an idle connection at once, if one is fit and nobody waits."""
        if not self._idle or self._waiting:
            return None
        connection, since = self._idle.popitem()
        if self._is_old(connection, now) or self._needs_check(since, now):
            self._idle[connection] = since
            return None
        return connection

    def wanted(self, waiter: W, now: float) -> list[Action]:
        """Somebody wants a connection and waits for it."""
        if self.closed:
            return [Refuse(waiter, _closed())]
        self._waiting[waiter] = now
        actions = self._serve(now)
        # One who is served at once has not waited.
        self._waits += waiter in self._waiting
        return actions

    def withdrawn(self, waiter: W, now: float) -> None:
        """A waiter gave up; one that was served already is not affected."""
        if waiter in self._waiting:
            self._leave(waiter, now)

    def expired(self, waiter: W, seconds: float, now: float) -> list[Action]:
        """A waiter has waited for as long as it may."""
        if waiter not in self._waiting:
            return []
        self._leave(waiter, now)
        return [Refuse(waiter, self._too_late(seconds))]

    def given_back(self, connection: C, now: float) -> list[Action]:
        """A connection is not needed any more, and fit for the next."""
        if self._is_old(connection, now):
            return self.lost(connection, now)
        return self._place(connection, now)

    def lost(self, connection: C, now: float) -> list[Action]:
        """A connection, in use or idle, is of no more use."""
        return self._drop(connection) + self._serve(now)

    # Connections are opened and checked.

    def opened(self, connection: C, now: float) -> list[Action]:
        """A connection that was asked for is there."""
        self._opening -= 1
        self._opened += 1
        self._failure = None
        self._retrying = False
        self._retry_after = FIRST_RETRY
        self._refill_at = now
        self._born[connection] = now
        # Another attempt may have failed meanwhile, for one who still waits.
        return self._place(connection, now) + self._grow(now)

    def failed(self, error: peewee.PeeweeException, now: float) -> list[Action]:
        """A connection that was asked for could not be opened.

        If none is left that could serve the waiters, they are told the reason;
        otherwise another attempt is made in a while.
        """
        self._opening -= 1
        self._failure = str(error)
        if self._opening:
            return []
        if self._born:
            return self._try_later(now)
        self._put_off_refill(now)
        return self._refuse_all(error, now)

    def retry(self, now: float) -> list[Action]:
        """The time for another attempt to connect has come."""
        self._retrying = False
        return self._grow(now)

    def checked(self, connection: C, now: float) -> list[Action]:
        """A connection was checked, and works."""
        del self._checking[connection]
        return self._place(connection, now)

    def dead(self, connection: C, now: float) -> list[Action]:
        """A connection was checked, and does not work.

        Neither will those that were idle when it was taken, and for longer: what ended
        it, a restart of the server or a rule of the network, has met them too. To check
        one after the other would take its time for each.
        """
        taken = self._checking.pop(connection)
        actions: list[Action] = []
        for other, since in list(self._idle.items()):
            if since <= taken:
                actions += self._drop(other)
        return actions + self.lost(connection, now)

    # Time goes by.

    def warm(self, now: float) -> list[Action]:
        """Open connections up to the minimum."""
        return self._grow(now)

    def tick(self, now: float) -> list[Action]:
        """Close what was idle for too long, and keep the minimum; call now and then."""
        actions: list[Action] = []
        for connection, since in list(self._idle.items()):
            if self._is_old(connection, now) or self._is_spare(since, now):
                actions += self._drop(connection)
        return actions + self._grow(now)

    def close(self, now: float) -> list[Action]:
        """Close what is idle, refuse those who wait; what is busy follows later."""
        self.closed = True
        actions = self._refuse_all(_closed(), now)
        for connection in list(self._idle):
            actions += self._drop(connection)
        return actions

    # The rules.

    def _serve(self, now: float) -> list[Action]:
        """Find connections for those who wait: idle ones, or else new ones."""
        actions: list[Action] = []
        while self._idle and len(self._waiting) > len(self._checking):
            connection, since = self._idle.popitem()
            if self._is_old(connection, now):
                actions += self._drop(connection)
            elif self._needs_check(since, now):
                self._checking[connection] = since
                actions.append(Check(connection))
            else:
                actions.append(self._hand_over(connection, now))
        return actions + self._grow(now)

    def _place(self, connection: C, now: float) -> list[Action]:
        if self.closed:
            return self._drop(connection)
        if self._waiting:
            return [self._hand_over(connection, now)]
        self._idle[connection] = now
        return []

    def _hand_over(self, connection: C, now: float) -> HandOver:
        waiter = next(iter(self._waiting))
        self._leave(waiter, now)
        return HandOver(waiter, connection)

    def _leave(self, waiter: W, now: float) -> None:
        self._wait_seconds += now - self._waiting.pop(waiter)

    def _refuse_all(self, error: peewee.PeeweeException, now: float) -> list[Action]:
        waiters = list(self._waiting)
        for waiter in waiters:
            self._leave(waiter, now)
        return [Refuse(waiter, error) for waiter in waiters]

    def _drop(self, connection: C) -> list[Action]:
        del self._born[connection]
        self._idle.pop(connection, None)
        self._discarded += 1
        return [Close(connection)]

    def _grow(self, now: float) -> list[Action]:
        if self.closed:
            return []
        missing = min(self._missing(now), self.maximum - len(self._born))
        more = max(missing - self._opening, 0)
        self._opening += more
        return [Open() for _ in range(more)]

    def _missing(self, now: float) -> int:
        if self._retrying and self._born:
            return 0
        refill = self.minimum - len(self._born) if now >= self._refill_at else 0
        return max(len(self._waiting) - len(self._checking), refill)

    def _try_later(self, now: float) -> list[Action]:
        seconds = self._put_off_refill(now)
        if self._retrying or not self._waiting:
            return []
        self._retrying = True
        return [Retry(min(seconds, LAST_RETRY))]

    def _put_off_refill(self, now: float) -> float:
        seconds = self._retry_after
        self._retry_after = min(2 * seconds, LAST_REFILL)
        # A pool that never had a connection has no minimum to keep.
        self._refill_at = now + seconds if self._opened else float("inf")
        return seconds

    def _is_old(self, connection: C, now: float) -> bool:
        if self.max_lifetime is None:
            return False
        return now - self._born[connection] >= self.max_lifetime

    def _needs_check(self, since: float, now: float) -> bool:
        return self.ping_idle is not None and now - since >= self.ping_idle

    def _is_spare(self, since: float, now: float) -> bool:
        if self.max_idle is None or len(self._born) <= self.minimum:
            return False
        return now - since >= self.max_idle

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
