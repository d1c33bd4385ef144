"""Odd input, given to peewee itself and to the package: both must answer the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import peewee

from peewee_async import AioDatabase
from peewee_async.io.errors import translate
from tests.integration.backends import POOL_SIZE, Backend
from tests.integration.checks import seen, statistics

Make = Callable[[], Any]


class Twins:
    """A database object of peewee, and one of the package, with the same tables."""

    def __init__(self, sync: Any, database: AioDatabase) -> None:
        self.sync = sync
        self.database = database

    async def agree(self, make: Make, about: Any = "") -> Any:
        """Execute a query on both, made anew for each: the value that both give.

        An error of the same class is given back as well. The connection must be of
        use afterwards. about: what to call this, should it fail.
        """
        expected = self.peewee(make)
        actual = await self.ours(make)
        await self.check_usable()
        assert told(actual) == told(expected), (about, actual, expected)
        return actual

    async def agree_in_turn(self, makes: Sequence[Make], about: Any = "") -> None:
        """Execute several queries in peewee, the last of which undoes them, then here.

        They must answer the same. about: what to call this, should it fail.
        """
        expected = [told(self.peewee(make)) for make in makes]
        actual = []
        for make in makes:
            actual.append(told(await self.ours(make)))
            await self.check_usable()
        assert actual == expected, about

    def peewee(self, make: Make) -> Any:
        """Execute a query in peewee: its value, or its error."""
        try:
            value = make().execute(self.sync)
            if not isinstance(value, peewee.CursorWrapper):
                return value
            # psycopg2 fails to fetch what has no rows.
            return [] if value.cursor.description is None else list(value)
        except Exception as error:
            return error

    async def ours(self, make: Make) -> Any:
        """Execute a query here: its value, or its error."""
        try:
            return await self.database.aio_execute(make())
        except Exception as error:
            check_cause(error)
            return error

    async def check_usable(self) -> None:
        count = statistics(self.database)
        assert (count.busy, count.waiting) == (0, 0)
        assert count.size <= POOL_SIZE
        for number in range(2):
            assert await self.rows(f"SELECT {number}") == [(number,)]

    async def rows(self, sql: str, *params: Any) -> Any:
        """Run SQL here."""
        return await self.database.aio_execute(raw(sql, *params))

    def seen_outside(self, sql: str) -> Any:
        """Run SQL in peewee: what is not committed is not seen."""
        return list(self.sync.execute_sql(sql).fetchall())


async def same_mode(twins: Twins, backend: Backend) -> None:
    """Have a MySQL server be as strict with peewee as it is with the package.

    Up to 4.4 peewee has it cut values to fit, and make up what is left out.
    """
    if backend.name == "mysql":
        ((mode,),) = await twins.rows("SELECT @@sql_mode")
        twins.sync.execute_sql("SET sql_mode = %s", (mode,))


def told(outcome: Any) -> Any:
    """Say what must be the same: all of a value, the class of an error."""
    if isinstance(outcome, RecursionError):
        return RecursionError
    if isinstance(outcome, Exception):
        # peewee fetches rows outside of what translates its driver's errors.
        return type(translate(outcome))
    return repr(seen(outcome))  # NaN is not equal to itself


def check_cause(error: Exception) -> None:
    """An error of the database has that of the driver as its cause."""
    if isinstance(error, peewee.DatabaseError | peewee.InterfaceError):
        assert error.__cause__ is not None
        assert not isinstance(error.__cause__, peewee.PeeweeException)


def raw(sql: str, *params: Any) -> Any:
    query: Any = peewee.RawQuery(sql, params)
    return query.tuples()


def select(*columns: Any) -> Any:
    query: Any = peewee.Select(columns=columns)
    return query.tuples()
