"""BEGIN of PostgreSQL, in one message with the first statement of its transaction.

That saves a round trip of each transaction. The server executes such a message as if
the statements had come one by one, but for two things: it reads the whole message
before it executes any of it, and counts lines from its first one. See
https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT.
"""

from __future__ import annotations

import re
from typing import Any

from psycopg2 import Error

from peewee_async.core.boundary import Status
from peewee_async.io.aiopg_driver import Driver

_LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)


class Begin:
    """The BEGIN of one connection that waits for a statement.

    sql: its text; None if there is none.
    """

    __slots__ = ("_driver", "sql")

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.sql: str | None = None

    async def send(self, sql: str, params: tuple[Any, ...]) -> Any:
        """Send it with a statement, and wait for the reply to that: `Driver.send`."""
        driver = self._driver
        if self.sql is not None and _is_one_statement(sql):
            try:
                cursor = await driver.send(sql, params, before=f"{self.sql};\n")
            except Error as error:
                if error.pgcode is None:
                    raise  # nothing was sent, or the connection is lost
                if driver.transaction is not Status.IDLE:
                    self.sql = None
                    _count_from_second_line(error)
                    raise
            else:
                self.sql = None
                return cursor
        # The server could not read the statement, so that nothing was executed: it is
        # to fail inside of the transaction.
        await self.settle()
        return await driver.send(sql, params)

    async def settle(self) -> None:
        """Send it alone."""
        sql, self.sql = self.sql, None
        if sql is not None:
            await self._driver.send(sql, ())


def _is_one_statement(sql: str) -> bool:
    """Whether a text is one statement for sure, and not a comment, or nothing."""
    return (sql[:1].isalpha() or sql[:1] == "(") and ";" not in sql


def _count_from_second_line(error: Error) -> None:
    if error.diag.statement_position is not None:
        text, *others = error.args
        error.args = (_LINE.sub(_one_less, text, count=1), *others)


def _one_less(match: re.Match[str]) -> str:
    return f"LINE {int(match[1]) - 1}:"
