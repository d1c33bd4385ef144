"""What an adapter provides: this `Connection`, and `async def connect(**options)`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from peewee_async.core.boundary import Fetch, Reply, Statement, Status


class Connection(Protocol):
    """One connection to a server, in autocommit mode unless it is told BEGIN.

    abandoned: `abort` found a statement under way, and the server may still be at it.
    Whoever sees to that makes it False again.
    """

    abandoned: bool

    @property
    def session(self) -> int | None:
        """The server's number of the session; None if there is no server."""

    @property
    def driver(self) -> Any:
        """The connection of the driver, for what peewee has no words for."""

    @property
    def server_version(self) -> Any:
        """The version of the server, as the driver gives it."""

    @property
    def closed(self) -> bool:
        """Whether the connection is known to be of no more use."""

    @property
    def alive(self) -> bool:
        """Whether the connection can be used, as far as is known without asking.

        To an idle client a server says nothing but goodbye, so that one whose socket
        has anything to read is of no more use. For idle connections only.
        """

    @property
    def status(self) -> Status:
        """How the connection stands with a transaction, without asking the server."""

    async def execute(self, statement: Statement) -> Reply:
        """Send one statement and wait for the reply.

        If the statement names a cursor, the rows after the first ones are kept for
        `fetch`, out of this program's memory, whatever else is executed meanwhile, for
        as long as the transaction lasts that it is in.

        Raises peewee's database errors; if the connection is closed, at once, with what
        the driver says of its end as the cause. If the wait is interrupted, `abort`
        must be called next.
        """

    async def fetch(self, fetch: Fetch) -> Reply:
        """Wait for more rows of a statement that was executed with a cursor.

        Raises as `execute` does.
        """

    def abort(self) -> None:
        """Close the connection at once: no goodbye, no wait, no error.

        Works though a statement is under way, and though the event loop is closed.
        """

    async def close(self) -> None:
        """Say goodbye and close."""


# Opens a connection; if the wait is interrupted, nothing stays open.
Connect = Callable[[], Awaitable[Connection]]
