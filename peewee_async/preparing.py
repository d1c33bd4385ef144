"""Queries that are built once and run with other values each time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import peewee

from peewee_async.core import plans, prefetching
from peewee_async.core.execution import Work
from peewee_async.core.lookups import require_query
from peewee_async.core.prepared import NamedSlot, PreparedQuery
from peewee_async.database import aio_database

T = TypeVar("T")


def slot(name: str) -> Any:
    """Make a place for a value in a query that is to be prepared.

    name: what the value is called when the query is run. It may stand several times.

    What `contains`, `startswith` and `endswith` are given by a slot is a pattern, as by
    any other part of a query: `%` and `_` in it stand for other text. Peewee escapes
    them in values that it sees while the query is built.
    """
    return NamedSlot(name)


def prepared(query: Any, **defaults: Any) -> Prepared:
    """Keep a query with slots, whose SQL is built once for all values.

    query: any query of peewee with `slot(name)` in place of values. What it is made of
        beside them must stay as it is.
    defaults: values of slots that a call gives none for.

    What comes back is called with values by name, and gives what can be run: by its own
    `aio_` methods, or by `execute`, `get`, `count` and `scalar` of a Manager. Where a
    value changes the SQL, as the length of a list does, the SQL is built again for it.

    Raises TypeError for a default of a slot that the query does not have, and for slots
    among the parameters of SQL that is written by hand.

    >>> import asyncio, peewee
    >>> from peewee_async import AioModel, SqliteDatabase, prepared, slot
    >>> class User(AioModel):
    ...     name = peewee.CharField()
    ...     age = peewee.IntegerField()
    ...     class Meta:
    ...         database = SqliteDatabase(":memory:")
    >>> User.create_table()
    >>> oldest = User.select(peewee.fn.MAX(User.age)).where(User.name != slot("name"))
    >>> oldest_but = prepared(oldest)
    >>> async def main():
    ...     await User.aio_create(name="ada", age=36)
    ...     await User.aio_create(name="bob", age=7)
    ...     print(await oldest_but(name="ada").aio_scalar())
    >>> asyncio.run(main())
    7
    """
    return Prepared(PreparedQuery(require_query(query), defaults))


class Prepared:
    """A query with slots; made by `prepared`."""

    def __init__(self, query: PreparedQuery) -> None:
        self._query = query

    def __call__(self, **values: Any) -> Filled:
        """Give the query with values for its slots.

        Raises TypeError if a value is missing, or there is no slot for it.
        """
        return Filled(self._query, self._query.values(values))

    async def aio_execute(self, **values: Any) -> Any:
        """Run the query with values: what `execute()` gives in peewee, rows as a list.

        It runs on its own database, which is that of its model.
        """
        return await self(**values).aio_execute()

    def __repr__(self) -> str:
        names = ", ".join(sorted(self._query.names))
        return f"<Prepared {type(self._query.query).__name__} ({names})>"


class Filled:
    """A prepared query and the values to run it with.

    database: in each method, where to run the query instead of its own database.
    """

    def __init__(self, query: PreparedQuery, values: Mapping[str, Any]) -> None:
        self._query = query
        self._values = values

    def work(self, dialect: Any, plan: Callable[..., Work[T]], *args: Any) -> Work[T]:
        """Plan the query: `plan` is a planner of the core for queries of its kind."""
        return self._query.plan(dialect, self._values, plan, *args)

    async def _aio(self, database: Any, plan: Callable[..., Work[T]], *args: Any) -> T:
        own = self._query.query._database
        chosen = aio_database(own if database is None else database)
        return await chosen.run_plan(self.work, plan, *args)

    async def aio_execute(self, database: Any = None) -> Any:
        """Run the query: what `execute()` gives in peewee, rows as a list."""
        return await self._aio(database, prefetching.execute)

    async def aio_get(self, database: Any = None) -> Any:
        """Get the first row; raises the model's DoesNotExist if there is none."""
        return await self._aio(database, prefetching.get)

    async def aio_get_or_none(self, database: Any = None) -> Any:
        """Get the first row, or None if there is none."""
        try:
            return await self.aio_get(database)
        except peewee.DoesNotExist:
            return None

    async def aio_first(self, n: int = 1, database: Any = None) -> Any:
        """Get the first row, or the list of the first n; None if there is none."""
        return await self._aio(database, prefetching.first, n)

    async def aio_scalar(self, database: Any = None) -> Any:
        """Get the first column of the first row; None if there is none."""
        return await self._aio(database, plans.scalar)

    async def aio_count(self, database: Any = None) -> int:
        """Count the rows."""
        return await self._aio(database, plans.count)

    async def aio_exists(self, database: Any = None) -> bool:
        """Tell whether there is any row."""
        return await self._aio(database, plans.exists)

    def __repr__(self) -> str:
        # The values may be secrets, as parameters are.
        return f"<Filled {type(self._query.query).__name__}>"
