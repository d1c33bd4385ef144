"""What an adapter provides: this `Connection`, and `async def connect(**options)`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from peewee_async.core.boundary import Reply, Statement, Status


class Connection(Protocol):
    """One connection to a server, in autocommit mode unless it is told BEGIN."""

    @property
    def server_version(self) -> Any:
        """The version of the server, as the driver gives it."""

    @property
    def closed(self) -> bool:
        """Whether the connection is known to be of no more use."""

    @property
    def status(self) -> Status:
        """How the connection stands with a transaction, without asking the server."""

    async def execute(self, statement: Statement) -> Reply:
        """Send one statement and wait for the whole reply.

        Raises peewee's database errors. If the wait is interrupted, `abort` must be
        called next.
        """

    def abort(self) -> None:
        """Close the connection at once: no goodbye, no wait, no error.

        Works though a statement is under way, and though the event loop is closed.
        """

    async def close(self) -> None:
        """Say goodbye and close."""


# Opens a connection; if the wait is interrupted, nothing stays open.
Connect = Callable[[], Awaitable[Connection]]
