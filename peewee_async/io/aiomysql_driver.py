"""The connection of aiomysql, repaired where it cannot be trusted."""

from __future__ import annotations

import re
from typing import Any

from pymysql.constants import CLIENT, SERVER_STATUS
from pymysql.err import MySQLError, OperationalError

from peewee_async.core.boundary import Status
from peewee_async.io.aiomysql_errors import LARGE, no_tls, too_long
from peewee_async.io.aiomysql_packets import Packets
from peewee_async.io.aiomysql_tls import take_tls
from peewee_async.io.aiomysql_transport import drop
from peewee_async.io.aiomysql_values import Values

_AUTOCOMMIT = SERVER_STATUS.SERVER_STATUS_AUTOCOMMIT
_TRANSACTION = _AUTOCOMMIT | SERVER_STATUS.SERVER_STATUS_IN_TRANS
_SENDS_FILE = re.compile(rb"\s*LOAD\s+(DATA|XML)\s.*?\bLOCAL\s+INFILE\b", re.I | re.S)


class Driver(Packets, Values):
    """A connection that commits by itself and takes one statement at a time.

    aiomysql sends a password as Latin-1, talks in the clear to a server that says it
    has no TLS, and if files may be sent sends any that the server asks for, whatever
    the statement. It does not say why a server hangs up on a statement that is too
    long for it, nor why there is no connection.
    """

    _reader: Any = None
    _writer: Any = None
    _ssl_context: Any
    _local_infile: bool
    client_flag: int

    def __init__(self, *, password: str | None = None, **options: Any) -> None:
        context, self._needs_tls = take_tls(options)
        options["password"] = (password or "").encode().decode("latin-1")
        super().__init__(autocommit=True, ssl=context, **options)
        self.client_flag &= ~CLIENT.MULTI_STATEMENTS
        self._may_send_files, self._local_infile = self._local_infile, False

    def __del__(self) -> None:
        """Do nothing: the pool closes, and a forked process must not."""

    @property
    def transaction(self) -> Status:
        # Without autocommit the next statement is in a transaction that nobody ends.
        is_open = self.server_status & _TRANSACTION != _AUTOCOMMIT
        return Status.OPEN if is_open and not self.gone else Status.IDLE

    @property
    def gone(self) -> bool:
        # There may be something left to read: why the server hung up.
        reader = self._reader
        return reader is None or reader._eof_received or reader._exception is not None

    @property
    def unasked(self) -> bool:
        """Whether the server has said something more than it was asked."""
        if self._reader is None or not self._reader._buffer:
            return False
        return not (
            self.sending or (self._result is not None and self._result.has_next)
        )

    @property
    def sending(self) -> bool:
        """Whether the server is in the middle of sending rows."""
        return self._result is not None and bool(self._result.unbuffered_active)

    def fileno(self) -> int:
        """Give the number of the socket."""
        raw = self._writer.transport.get_extra_info("socket")
        return int(raw.fileno())

    async def ask_status(self) -> None:
        """Have the server tell whether there is a transaction; an error does not."""
        if self.sending:
            return  # nothing has failed just now, and nothing can be asked
        try:
            await self.ping(reconnect=False)
        except Exception:
            self.abort()

    async def has_lost_transaction(self) -> bool:
        """Ask whether an error has ended the transaction, or the connection."""
        was_open = self.get_transaction_status()
        await self.ask_status()
        return self.gone or (was_open and not self.get_transaction_status())

    async def _connect(self) -> None:
        try:
            await super()._connect()
        except OperationalError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            number, text = error.args
            raise OperationalError(number, f"{text} ({error.__cause__})") from error

    async def _get_server_information(self) -> None:
        await super()._get_server_information()
        if self._ssl_context is None or self.server_capabilities & CLIENT.SSL:
            return
        if self._needs_tls:
            raise no_tls()
        self._ssl_context, self.client_flag = None, self.client_flag & ~CLIENT.SSL

    async def query(self, sql: bytes, unbuffered: bool = False) -> Any:
        is_asked = self._may_send_files and isinstance(sql, bytes)
        self._local_infile = is_asked and _SENDS_FILE.match(sql) is not None
        try:
            return await super().query(sql, unbuffered)
        except (MySQLError, OSError) as error:
            is_over = self._writer is None or isinstance(error, OSError)
            if is_over and len(sql) >= LARGE:
                raise too_long(len(sql)) from error
            raise

    def close(self) -> None:
        self.abort()  # what is left to be sent would keep the socket open

    def abort(self) -> None:
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            drop(writer.transport, self.loop)
