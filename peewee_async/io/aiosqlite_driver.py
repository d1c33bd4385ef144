"""The connection of aiosqlite, repaired where it cannot be trusted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any

from aiosqlite import core as aiosqlite


class Driver(aiosqlite.Connection):
    """A connection that its thread closes in the end, whoever may have given it up.

    aiosqlite forgets one whose opening was interrupted, and its thread breaks when
    the event loop is closed before a statement has ended, and keeps the last rows.
    """

    def __init__(self, opener: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(self._open, iter_chunk_size=64)
        self._opener: Callable[[], sqlite3.Connection] | None = opener
        self._opened: sqlite3.Connection | None = None
        # A program that forgets to close must still be able to end: a daemon.
        self._thread = Thread(target=_work, args=(self._tx,), daemon=True)

    def _open(self) -> sqlite3.Connection:
        # The thread keeps what it did last, and would keep the opener's database too.
        opener, self._opener = self._opener, None
        if opener is None:
            raise sqlite3.InterfaceError("The connection was opened before.")
        self._opened = opener()
        return self._opened

    def stop(self, before: Callable[[], None] | None = None) -> None:
        """Have the thread close the connection, after something else."""
        self._running = False
        self._connection = None
        self._tx.put_nowait((None, partial(self._finish, before)))

    def _finish(self, before: Callable[[], None] | None) -> object:
        if before is not None:
            before()
        if self._opened is not None:
            self._opened.close()
        return aiosqlite._STOP_RUNNING_SENTINEL


def _work(tasks: Any) -> None:
    """Do what comes, and keep nothing of it while there is nothing to do."""
    result: object = None
    while result is not aiosqlite._STOP_RUNNING_SENTINEL:
        future, function = tasks.get()
        tell: Callable[..., None] = aiosqlite.set_result
        try:
            result = function()
        except BaseException as error:
            result, tell = error, aiosqlite.set_exception
        if future is not None:
            with suppress(RuntimeError):  # nobody to answer: the event loop is closed
                future.get_loop().call_soon_threadsafe(tell, future, result)
        if result is not aiosqlite._STOP_RUNNING_SENTINEL:
            future = function = result = None
