"""Functions that run a query of peewee on its own database, and blocks of a database.

They take plain models and queries too. For each there is a method of Manager, which
says more about it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, Unpack

import peewee

from peewee_async import blocks
from peewee_async.blocks import BlockContext, TransactionKeywords
from peewee_async.core import plans, prefetching
from peewee_async.core.dialect import TransactionOptions
from peewee_async.core.execution import Work
from peewee_async.core.lookups import query_of, require_query
from peewee_async.database import aio_database
from peewee_async.io.sessions import Sessions

T = TypeVar("T")


async def execute(query: Any) -> Any:
    """Run a query; the value is what `query.execute()` gives in peewee.

    Rows come as a list. Raises peewee.InterfaceError, as all of these functions do, if
    the model of the query is bound to no database.
    """
    return await _run(prefetching.execute, require_query(query))


async def select(query: Any) -> Any:
    """Run a SELECT, plain or compound; TypeError for a query of another kind."""
    return await execute(_of_kind(query, peewee.SelectBase, "SELECT"))


async def insert(query: Any) -> Any:
    """Run an INSERT; TypeError for a query of another kind."""
    return await execute(_of_kind(query, peewee.Insert, "INSERT"))


async def update(query: Any) -> Any:
    """Run an UPDATE; TypeError for a query of another kind."""
    return await execute(_of_kind(query, peewee.Update, "UPDATE"))


async def delete(query: Any) -> Any:
    """Run a DELETE; TypeError for a query of another kind."""
    return await execute(_of_kind(query, peewee.Delete, "DELETE"))


async def raw_query(query: Any) -> Any:
    """Run a query of SQL written by hand; TypeError for a query of another kind."""
    return await execute(_of_kind(query, peewee.RawQuery, "raw query"))


async def count(query: Any, clear_limit: bool = False) -> int:
    """Count the rows that a query gives.

    clear_limit: count them as if the query had no LIMIT and OFFSET.
    """
    return await _run(plans.count, query_of(query), clear_limit)


async def scalar(query: Any, as_tuple: bool = False) -> Any:
    """Get the first column of a query's first row; None if there is no row.

    as_tuple: get the whole row.
    """
    return await _run(plans.scalar, query_of(query), as_tuple)


async def aio_prefetch(
    query: Any, *subqueries: Any, prefetch_type: int = peewee.PREFETCH_TYPE.WHERE
) -> list[Any]:
    """Run a query and fetch related objects with one query for each subquery.

    subqueries: models, queries, or tuples of one and the model it belongs to.
    prefetch_type: PREFETCH_TYPE.WHERE or PREFETCH_TYPE.JOIN.
    """
    return await _run(
        prefetching.prefetch,
        query_of(query),
        *subqueries,
        prefetch_type=prefetch_type,
    )


async def prefetch(
    query: Any, *subqueries: Any, prefetch_type: int = peewee.PREFETCH_TYPE.WHERE
) -> list[Any]:
    """Do what `aio_prefetch` does."""
    return await aio_prefetch(query, *subqueries, prefetch_type=prefetch_type)


def atomic(database: Any, **options: Unpack[TransactionKeywords]) -> BlockContext:
    """Make a transaction, or a savepoint inside one: `async with` or decorator.

    database: one of the database classes of this package, or a proxy for one, which
        need not be initialized yet.
    options: those of `AioDatabase.aio_atomic`, for the outermost block only.
    """
    return blocks.atomic(_sessions(database), TransactionOptions(**options))


def transaction(database: Any, **options: Unpack[TransactionKeywords]) -> BlockContext:
    """Make a transaction, or a part of the one around it; arguments as of `atomic`."""
    return blocks.transaction(_sessions(database), TransactionOptions(**options))


def savepoint(database: Any, sid: str | None = None) -> BlockContext:
    """Make a savepoint inside a transaction.

    sid: its name; one is made if none is given.
    """
    return blocks.savepoint(_sessions(database), sid)


async def _run(plan: Callable[..., Work[T]], query: Any, *args: Any, **named: Any) -> T:
    database = aio_database(getattr(query, "_database", None))
    return await database.run_plan(plan, query, *args, **named)


def _of_kind(query: Any, kind: type[Any], name: str) -> Any:
    if isinstance(query, kind):
        return query
    raise TypeError(f"{query!r} is no {name}: use execute(), which takes any query.")


def _sessions(database: Any) -> Callable[[], Sessions]:
    return lambda: aio_database(database).ready_sessions()
