"""Transcripts of the core: what goes out, what comes back, what the caller gets."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Self

from peewee_async.core.boundary import Fetch, Reply, Statement
from peewee_async.core.execution import Execution, Work


class Script:
    """Plays the server for one piece of work.

    `sends`, `opens` and `fetches` check the request that is waiting; `gets` answers it
    with rows, `writes` with a number of rows written, `breaks` with an error. `result`
    checks that nothing is left to send, and gives what the caller gets.

    columns: what rows are made of that no SELECT brings, but a FETCH.
    """

    def __init__(self, work: Work[Any], columns: tuple[str, ...] = ()) -> None:
        self.execution = Execution(work)
        self.waiting = self.execution.start()
        self._columns = columns

    def sends(self, sql: str, *params: Any, limit: int | None = None) -> Self:
        assert self.waiting == Statement(sql, params, limit)
        return self

    def opens(self, cursor: str, sql: str, *params: Any, limit: int) -> Self:
        assert self.waiting == Statement(sql, params, limit, cursor)
        return self

    def fetches(self, cursor: str, limit: int) -> Self:
        assert self.waiting == Fetch(cursor, limit)
        return self

    def gets(self, *rows: tuple[Any, ...], columns: tuple[str, ...] = ()) -> Self:
        """Answer with rows; the columns are those that the SQL selects or returns."""
        assert self.waiting is not None, "nothing was sent"
        names = columns or columns_of(self.waiting.sql) or self._columns
        self._columns = names
        self.waiting = self.execution.feed(Reply(rows, names, len(rows)))
        return self

    def writes(self, rowcount: int = 0, lastrowid: int | None = None) -> Self:
        """Answer a statement that gives no rows."""
        self.waiting = self.execution.feed(Reply((), None, rowcount, lastrowid))
        return self

    def breaks(self, error: Exception) -> Self:
        self.waiting = self.execution.fail(error)
        return self

    def is_interrupted(self) -> Self:
        self.execution.abort()
        self.waiting = None
        return self

    @property
    def result(self) -> Any:
        assert self.waiting is None, f"{self.waiting} is left to send"
        return self.execution.result


def columns_of(sql: str) -> tuple[str, ...]:
    """Read the names of the columns off the SQL of a simple statement."""
    match = re.search(r"RETURNING (.*)$|^SELECT (?:DISTINCT )?(.*?)(?: FROM |$)", sql)
    if match is None:
        return ()
    items = (match[1] or match[2]).split(", ")
    return tuple(re.findall(r"[\w$]+", item)[-1] for item in items)


def statements(make: Callable[[], Work[Any]], answer: Callable[[str], Reply]) -> int:
    """Count the statements that work sends when each is answered well."""
    execution = Execution(make())
    waiting = execution.start()
    count = 0
    while waiting is not None:
        count += 1
        waiting = execution.feed(answer(waiting.sql))
    return count
