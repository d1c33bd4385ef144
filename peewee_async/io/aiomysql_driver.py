"""The connection of aiomysql, repaired where it cannot be trusted."""

from __future__ import annotations

from typing import Any

import aiomysql
from pymysql.constants import CLIENT


class Driver(aiomysql.Connection):  # type: ignore[misc]
    """A connection that commits by itself and takes one statement at a time.

    aiomysql sends a password as Latin-1, puts `sql_mode` into SQL as it is, and with
    some versions of PyMySQL cannot write binary values.
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

    def escape(self, obj: Any) -> str:
        if isinstance(obj, bytes | bytearray | memoryview):
            return f"_binary X'{bytes(obj).hex()}'"
        return str(super().escape(obj))

    def abort(self) -> None:
        writer, self._writer, self._reader = self._writer, None, None
        transport = writer and writer.transport
        if transport and not self.loop.is_closed():
            transport.abort()
        elif transport and hasattr(transport, "_sock"):
            # Without its loop a transport cannot close itself, only complain.
            transport._sock.close()
            transport._sock, transport._closing = None, True
