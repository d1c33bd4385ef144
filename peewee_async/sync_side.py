"""The sync side of a database: peewee's own connection, behind a guard."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import peewee

from peewee_async.guard import refusal
from peewee_async.io.sessions import allowing_sync, in_event_loop, is_sync_allowed


class SyncSide(peewee.Database):
    """A database of peewee that blocks no event loop unless it is allowed to."""

    _allow_sync: bool | None = None
    _state: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # A sync connection that a program leaves open is no reason to complain.
        weakref.finalize(self, _close_sync, self._state, os.getpid())

    @contextmanager
    def allow_sync(self) -> Iterator[None]:
        """Allow the current task sync queries; close what they opened in the end.

        Where several tasks of a thread are in such blocks, the last one closes.
        """
        users: SyncUsers = self._state.__dict__.setdefault("aio_users", SyncUsers())
        users.enter(self._state.conn)
        try:
            with allowing_sync(self):
                yield
        except BaseException:
            with suppress(Exception):  # what has gone wrong before comes out
                self._leave_sync(users)
            raise
        self._leave_sync(users)

    def _leave_sync(self, users: SyncUsers) -> None:
        if not users.leave(self._state.conn):
            return
        try:
            self.close()
        finally:
            # If a transaction was left open it cannot be closed in peewee's way.
            _close_sync(self._state, os.getpid())
            self._state.reset()

    def set_allow_sync(self, value: bool | None) -> None:
        """Allow sync queries everywhere, or nowhere but in `allow_sync`.

        value: None goes back to the rule: where no event loop runs.
        """
        self._allow_sync = value

    def _is_sync_allowed(self) -> bool:
        allowed = self._allow_sync
        if allowed is None:
            allowed = not in_event_loop()
        return allowed or is_sync_allowed(self)

    def _require_sync(self, called: str) -> None:
        if not self._is_sync_allowed():
            raise refusal(self, called)

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Open the sync connection, as in peewee.

        Raises SyncNotAllowed in a running event loop, unless `allow_sync` allows it.
        """
        self._require_sync("connect")
        return super().connect(reuse_if_open)

    def connection(self) -> Any:
        """Give the driver's own sync connection, under the same guard as `connect`."""
        self._require_sync("connection")
        raw: Any = super()
        return raw.connection()

    def cursor(self, *args: Any, **options: Any) -> Any:
        """Make a sync cursor, as in peewee, under the same guard as `connect`."""
        self._require_sync("execute")
        raw: Any = super()
        return raw.cursor(*args, **options)


class SyncUsers:
    """The `allow_sync` blocks of one thread, and the connection that they find."""

    def __init__(self) -> None:
        self._count = 0
        self._found: Any = None

    def enter(self, connection: Any) -> None:
        """Count a block; what the first one finds open is not theirs to close."""
        if not self._count:
            self._found = connection
        self._count += 1

    def leave(self, connection: Any) -> bool:
        """Tell whether this was the last one, and the connection was opened inside."""
        self._count -= 1
        if self._count:
            return False
        found, self._found = self._found, None
        return connection is not None and connection is not found


def _close_sync(state: Any, process: int) -> None:
    # In a process that was forked it is still its parent's connection.
    if not state.closed and process == os.getpid():
        with suppress(Exception):
            state.conn.close()
