"""Statements of SQLite whose rows are fetched in portions, in the driver's thread."""

from __future__ import annotations

import sqlite3

from peewee_async.core.boundary import Fetch, Reply
from peewee_async.io.spool import PORTION, Spool


class Rest:
    """The rows of one statement that were not fetched yet."""

    __slots__ = ("_columns", "_cursor", "_spool")

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._columns = tuple(column[0] for column in cursor.description)
        self._cursor = cursor
        self._spool: Spool | None = None

    def read(self, limit: int) -> Reply:
        spool = self._spool
        rows = self._cursor.fetchmany(limit) if spool is None else spool.read(limit)
        return Reply(rows, self._columns)

    def set_aside(self) -> None:
        """Read to the end; an error on the way is raised when its turn comes.

        One that has ended the transaction is raised now, before anything is executed.
        """
        if self._spool is not None:
            return
        self._spool, raw = Spool(), self._cursor.connection
        was_in_transaction = raw.in_transaction
        try:
            while rows := self._cursor.fetchmany(PORTION):
                self._spool.write(rows)
        except Exception as error:
            self._spool.error = error
            if was_in_transaction and not raw.in_transaction:
                raise
        finally:
            self._cursor.close()

    def close(self) -> None:
        self._cursor.close()
        if self._spool is not None:
            self._spool.close()


class Cursors:
    """The cursors of one connection.

    A statement with rows left keeps locks, and sees what its own connection writes. So
    the rest of it is set aside before anything else is executed on the connection, and
    at once where its locks would keep others from writing: outside of a transaction,
    unless the database is in WAL mode. See https://sqlite.org/isolation.html.
    """

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._rests: dict[str, Rest] = {}

    @property
    def busy(self) -> bool:
        """Whether somebody is in the middle of fetching."""
        return bool(self._rests)

    def open(self, name: str, cursor: sqlite3.Cursor, limit: int) -> Reply:
        """Keep the rows of a statement; the first ones."""
        rest = Rest(cursor)
        try:
            reply = rest.read(limit)
        except BaseException:
            rest.close()
            raise
        if not self._raw.in_transaction and not self._is_wal():
            rest.set_aside()
        self._rests[name] = rest
        return reply

    def _is_wal(self) -> bool:
        (mode,) = self._raw.execute("PRAGMA journal_mode").fetchone()
        return bool(mode == "wal")

    def fetch(self, fetch: Fetch) -> Reply:
        """Give the next rows; with a limit of 0, forget all that are left."""
        if fetch.limit:
            return self._rests[fetch.cursor].read(fetch.limit)
        rest = self._rests.pop(fetch.cursor, None)
        if rest is not None:
            rest.close()
        return Reply()

    def close(self) -> None:
        """Forget all rows, which keep the locks even of a connection that is closed."""
        for rest in self._rests.values():
            rest.close()

    def set_aside(self) -> None:
        """Make way for another statement."""
        for rest in self._rests.values():
            rest.set_aside()
