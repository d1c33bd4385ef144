"""The connection of aiomysql, repaired where it cannot be trusted."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import aiomysql
from pymysql.constants import CLIENT, CR
from pymysql.err import MySQLError, OperationalError, ProgrammingError

from peewee_async.core.boundary import Status
from peewee_async.io.sockets import readable

_LARGE = 2**20  # bytes: the smallest max_allowed_packet that servers come with
_SEQUENCES = (list, tuple, set, frozenset)


class Driver(aiomysql.Connection):  # type: ignore[misc]
    """A connection that commits by itself and takes one statement at a time.

    aiomysql sends a password as Latin-1, puts `sql_mode` into SQL as it is, and with
    some versions of PyMySQL cannot write binary values nor lists. It does not say why
    a server hangs up on a statement that is too long for it.
    """

    _reader: Any = None
    _writer: Any = None

    def __init__(
        self,
        *,
        password: str | None = None,
        sql_mode: str | None = None,
        **options: Any,
    ) -> None:
        if sql_mode is not None:
            options["sql_mode"] = "'" + sql_mode.replace("'", "''") + "'"
        options["password"] = (password or "").encode().decode("latin-1")
        super().__init__(autocommit=True, **options)
        self.client_flag &= ~CLIENT.MULTI_STATEMENTS

    def __del__(self) -> None:
        """Do nothing: the pool closes, and a forked process must not."""

    @property
    def transaction(self) -> Status:
        # Without autocommit the next statement is in a transaction that nobody ends.
        is_open = self.get_transaction_status() or not self.get_autocommit()
        return Status.OPEN if is_open and not self.gone else Status.IDLE

    @property
    def gone(self) -> bool:
        reader = self._reader
        return reader is None or reader.at_eof() or reader.exception() is not None

    async def has_lost_transaction(self) -> bool:
        """Ask the server whether an error has ended the transaction before it."""
        if not self.get_transaction_status():
            return False
        await self.ping(reconnect=False)
        return not self.get_transaction_status()

    def escape(self, obj: Any) -> str:
        if isinstance(obj, bytes | bytearray | memoryview):
            return f"_binary X'{bytes(obj).hex()}'"
        if type(obj) in _SEQUENCES:
            return "(" + ",".join(map(self.escape, obj)) + ")"
        return str(super().escape(obj))

    def was_told(self) -> bool:
        """Whether the server has said something, perhaps why it closes."""
        raw = self._writer.transport.get_extra_info("socket")
        return bool(self._reader._buffer) or readable(raw.fileno())

    def render(self, sql: str, params: tuple[Any, ...]) -> bytes:
        """Put the parameters into a statement, as PyMySQL does, and encode it.

        Text that the charset of the connection does not have is refused.
        """
        values = tuple(map(self.escape, params))
        try:
            text = sql % values
        except TypeError as error:
            raise ProgrammingError(*error.args) from error
        return text.encode(self.encoding)

    async def query(self, sql: bytes, unbuffered: bool = False) -> Any:
        try:
            return await super().query(sql, unbuffered)
        except MySQLError as error:
            if self._writer is not None or len(sql) < _LARGE:
                raise
            # A server that finds a statement too long hangs up in the middle of it.
            raise OperationalError(
                CR.CR_SERVER_GONE_ERROR,
                f"MySQL server has gone away during a statement of {len(sql)} bytes, "
                "perhaps more than its max_allowed_packet",
            ) from error

    async def look(self) -> None:
        """See how the connection stands; it is closed if it does not answer."""
        with suppress(Exception):
            await self.ping(reconnect=False)

    def close(self) -> None:
        self.abort()  # what is left to be sent would keep the socket open

    def abort(self) -> None:
        writer, self._writer, self._reader = self._writer, None, None
        transport = writer and writer.transport
        if transport and not self.loop.is_closed():
            transport.abort()
        elif transport and hasattr(transport, "_sock"):
            # Without its loop a transport cannot close itself, only complain.
            transport._sock.close()
            transport._sock, transport._closing = None, True
