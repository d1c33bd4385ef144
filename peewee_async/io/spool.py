"""Rows that are set aside in a temporary file, to be read again in portions."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from tempfile import SpooledTemporaryFile
from typing import Any

# The number of bytes from which on the rows are in a file and not in memory.
IN_MEMORY = 1 << 20

# The number of rows to write at a time.
PORTION = 1000

Rows = Sequence[tuple[Any, ...]]


class Spool:
    """A queue of rows. Write all of them, then read; `close` removes the file.

    error: what kept the rest from being written; it is raised when that is reached.
    """

    __slots__ = ("_file", "_rows", "_written", "error")

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._file = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed by close()
        self._rows: list[tuple[Any, ...]] = []
        self._written = True

    def write(self, rows: Rows) -> None:
        """Add rows to the end: all of them, or none if that fails."""
        if not rows:
            return
        end = self._file.tell()
        try:
            pickle.dump(rows, self._file, pickle.HIGHEST_PROTOCOL)
        except BaseException:
            self._file.seek(end)
            self._file.truncate()
            raise

    def read(self, limit: int) -> Rows:
        """Take the next rows off, `limit` of them or as many as there are."""
        if self._written:
            self._written = False
            self._file.seek(0)
        while len(self._rows) < limit and (rows := self._load()):
            self._rows += rows
        if len(self._rows) < limit and self.error is not None:
            raise self.error
        taken, self._rows = self._rows[:limit], self._rows[limit:]
        return taken

    def _load(self) -> Rows:
        try:
            rows: Rows = pickle.load(self._file)
        except EOFError:
            return ()
        return rows

    def close(self) -> None:
        """Drop all rows that are left."""
        self._file.close()

    __del__ = close  # whoever forgets it is done with it
