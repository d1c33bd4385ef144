"""The connection of aiopg, repaired where it cannot be trusted."""

from __future__ import annotations

from asyncio import Future
from typing import Any

import aiopg
from psycopg2 import NotSupportedError, OperationalError, extensions

from peewee_async.core.boundary import Status
from peewee_async.io.aiopg_values import with_plain_values

_STRINGS = "standard_conforming_strings"
_STATUS = {
    extensions.TRANSACTION_STATUS_IDLE: Status.IDLE,
    extensions.TRANSACTION_STATUS_UNKNOWN: Status.IDLE,
    extensions.TRANSACTION_STATUS_INERROR: Status.ABORTED,
}

# Types are left to psycopg2, so that sync and async values agree.
_DEFAULTS: dict[str, Any] = {
    "dsn": None,
    "timeout": None,
    "enable_json": False,
    "enable_uuid": False,
}


class Driver(aiopg.Connection):
    """A connection that leaves time limits and cancellation to its user.

    aiopg answers a statement that the server gave up (`statement_timeout`) with a
    CancelledError, makes a task for each wait, and while it connects keeps waiting for
    a socket that libpq has left for another one: that of the next address of the host,
    or of a second attempt without TLS.
    """

    _strings: str | None = None
    _cursor_kept: Any = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**_DEFAULTS | options)

    @property
    def transaction(self) -> Status:
        return _STATUS.get(self._conn.get_transaction_status(), Status.OPEN)

    @property
    def failure(self) -> BaseException | None:
        told = self._notifies_proxy._close_event
        error = told.exception() if told.done() else None
        return None if error is None else self._explained(error)

    def _explained(self, error: BaseException, said: str = "") -> BaseException:
        """Add the server's goodbye, which came as a notice between two statements."""
        said = said or "".join(self._conn.notices)
        return OperationalError(f"{said}{error}") if said else error

    def __del__(self) -> None:
        """Do nothing: the pool closes, and a forked process must not."""

    async def send(self, sql: str, params: tuple[Any, ...]) -> Any:
        """Send a statement and wait for the reply: a cursor of psycopg2 that has it.

        The next statement may be sent by the same cursor unless it is closed. aiopg's
        own costs more than the rest of a short statement.
        """
        if self._strings == "off":
            self.require_quoting()
        cursor = self._cursor_kept
        if cursor is None or cursor.closed:
            cursor = self._cursor_kept = self._conn.cursor()
        waiter = self._create_waiter("send")
        try:
            cursor.execute(*with_plain_values(sql, params))
            await self._poll(waiter, None)
        finally:
            self._waiter = None
            self.forget_notices()
        return cursor

    async def _poll(self, waiter: Future[None], timeout: float | None) -> None:
        said = "".join(self._conn.notices)
        self._ready(self._weakref)
        try:
            await waiter
        except OperationalError as error:
            if said and self.closed:
                raise self._explained(error, said) from error
            raise
        finally:
            self._waiter = None

    async def _connect(self) -> Driver:
        self._waiter = None
        self._loop.remove_reader(self._conn.fileno())
        self._fileno = None
        try:
            while (state := self._conn.poll()) != extensions.POLL_OK:
                await self._wait_for_socket(self._conn.fileno(), state)
        except BaseException:
            self._conn.close()
            raise
        self._strings = self._conn.get_parameter_status(_STRINGS)
        self._fileno = self._conn.fileno()
        self._loop.add_reader(self._fileno, self._ready, self._weakref)
        return self

    def require_quoting(self) -> None:
        """Raise, and close the connection, if values could carry SQL by now.

        psycopg2 looks once whether backslashes in strings are escapes, and libpq all
        the time: if they were when it connected, and are not any more, their quotes
        do not fit.
        """
        if self._conn.get_parameter_status(_STRINGS) != "off":
            self.abort()
            raise NotSupportedError(
                f"{_STRINGS} was turned on after connecting with it off: values cannot "
                "be quoted any more, so the connection is closed"
            )

    def abort(self) -> bool:
        """Close at once; tell whether a statement was under way."""
        status = self._conn.get_transaction_status()
        if self._loop.is_closed():
            self._fileno = None  # there is no reader left to remove
        self._close()
        listening = self._notifies_proxy._close_event
        if listening.done():
            listening.exception()  # nobody asks for it, of which a loop would complain
        return bool(status == extensions.TRANSACTION_STATUS_ACTIVE)

    def forget_notices(self) -> None:
        """Forget what came with a statement: what comes later is the server's end."""
        del self._conn.notices[:]

    async def _wait_for_socket(self, socket: int, state: int) -> None:
        ready: Future[None] = self._loop.create_future()
        if state == extensions.POLL_READ:
            watch, forget = self._loop.add_reader, self._loop.remove_reader
        else:
            watch, forget = self._loop.add_writer, self._loop.remove_writer
        watch(socket, _wake, ready)
        try:
            await ready
        finally:
            forget(socket)


def _wake(waiter: Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
