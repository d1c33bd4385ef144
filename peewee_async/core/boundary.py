"""The values that cross between the core and whoever talks to a server."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple


class Statement(NamedTuple):
    """One SQL statement to be sent.

    sql: the text, with the placeholders of the database's driver.
    params: the values for them, in order.
    limit: the number of rows that are wanted at most; None for all of them.
    cursor: a name under which the rows after these are kept, to be fetched.
    """

    sql: str
    params: tuple[Any, ...] = ()
    limit: int | None = None
    cursor: str | None = None


class Fetch(NamedTuple):
    """More rows are wanted of a statement that was sent with a cursor.

    cursor: its name.
    limit: the number of rows that are wanted at most; 0 gives up all that are left.
    """

    cursor: str
    limit: int

    @property
    def sql(self) -> str:
        """How PostgreSQL says it; other drivers have functions for it."""
        if self.limit:
            return f"FETCH {self.limit} FROM {self.cursor}"
        return f"CLOSE {self.cursor}"

    @property
    def params(self) -> tuple[Any, ...]:
        return ()


class Pause(NamedTuple):
    """Nothing is wanted of the server: let others have a turn, and reply with no rows.

    Nothing is under way on the connection meanwhile.
    """

    @property
    def sql(self) -> str:
        return ""

    @property
    def params(self) -> tuple[Any, ...]:
        return ()


Request = Statement | Fetch | Pause


class Reply(NamedTuple):
    """What a server answered to one request; whoever reads it has it for himself.

    rows: the rows, as tuples of what the driver made of the values.
    columns: the names of the columns; None if the statement gives no rows.
    rowcount: the number of rows that were written, as PEP 249 has it.
    lastrowid: the key made for an inserted row, where the driver tells it.
    types: for each column the exact type of all its values but None, or None where the
        driver does not vouch for one; None if there are few rows, or it cannot tell.
    """

    rows: Sequence[tuple[Any, ...]] = ()
    columns: tuple[str, ...] | None = None
    rowcount: int = -1
    lastrowid: int | None = None
    types: tuple[type | None, ...] | None = None


class Status(Enum):
    """How a connection stands with the transaction on its server."""

    IDLE = "idle"
    BUSY = "in the middle of fetching rows"
    OPEN = "in a transaction"
    ABORTED = "in a transaction that can only be rolled back"
