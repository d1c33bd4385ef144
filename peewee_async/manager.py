"""Manager: all async calls and transactions of one database in one object."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar, Unpack, overload

import peewee

from peewee_async import blocks
from peewee_async.blocks import TransactionKeywords
from peewee_async.core import finding, operations, plans, prefetching
from peewee_async.core.dialect import TransactionOptions
from peewee_async.core.execution import Work
from peewee_async.core.lookups import (
    query_of,
    require_instance,
    require_model,
    require_query,
)
from peewee_async.database import BATCH_SIZE, AioDatabase, aio_database
from peewee_async.io.sessions import Sessions
from peewee_async.preparing import Filled

M = TypeVar("M", bound=peewee.Model)
T = TypeVar("T")


class NoDatabase(AssertionError):
    """A Manager was made without a database."""


class Manager:
    """Runs queries of peewee asynchronously, on the database that it is given.

    database: one of the database classes of this package, or a proxy for one. It may
        be an attribute of a subclass instead.
    loop: the event loop that all calls must come from; without it, each event loop
        has connections of its own. Nothing is connected before the first call.

    Models need not be bound to the database: the Manager runs all queries on its own.

    >>> import asyncio, peewee
    >>> from peewee_async import Manager, SqliteDatabase
    >>> class User(peewee.Model):
    ...     name = peewee.CharField(unique=True)
    >>> database = SqliteDatabase(":memory:")
    >>> objects = Manager(database)
    >>> async def main():
    ...     with objects.allow_sync(), database.bind_ctx([User]):
    ...         User.create_table()
    ...     user = await objects.create(User, name="ada")
    ...     print((await objects.get(User, name="ada")).id)
    ...     await objects.close()
    >>> asyncio.run(main())
    1
    """

    database: Any = None

    def __init__(
        self, database: Any = None, *, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        if database is not None:
            self.database = database
        if self.database is None:
            raise NoDatabase(
                "A Manager needs a database: give it one, or make it an attribute of "
                "your subclass."
            )
        self.loop = loop

    @property
    def _database(self) -> AioDatabase:
        return aio_database(self.database)

    def _checked(self) -> AioDatabase:
        if self.loop is not None and self.loop is not asyncio.get_running_loop():
            raise RuntimeError(
                "This Manager belongs to another event loop: call it from the loop it "
                "was made with, or make it without `loop`."
            )
        return self._database

    def _run(
        self, plan: Callable[..., Work[T]], *args: Any, **options: Any
    ) -> Awaitable[T]:
        return self._checked().run_plan(plan, *args, **options)

    def _transact(self, plan: Callable[..., Work[T]], *args: Any) -> Awaitable[T]:
        return self._checked().run_in_transaction(plan, *args)

    @property
    def is_connected(self) -> bool:
        """Whether the running event loop has open connections to the database."""
        return self._database.is_connected

    async def connect(self) -> None:
        """Connect, unless connected already; queries do it by themselves.

        Raises peewee.OperationalError if the server cannot be reached.
        """
        await self._checked().aio_connect()

    async def close(self) -> None:
        """Close the connections of the running event loop, if there are any.

        Connections in use are waited for, and aborted after `close_timeout` seconds.
        Inside a block, the block keeps its own until it ends. The next query connects
        again.
        """
        await self._checked().aio_close()

    def allow_sync(self) -> AbstractContextManager[None]:
        """Allow the current task sync queries in a `with` block.

        A sync connection that the block opens is closed at its end.
        """
        return self._database.allow_sync()

    @overload
    async def get(self, source: type[M], /, *args: Any, **kwargs: Any) -> M: ...
    @overload
    async def get(self, source: Any, /, *args: Any, **kwargs: Any) -> Any: ...
    async def get(self, source: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Get one object.

        source: a model, an alias of one, or a query, prepared or not.
        args: expressions that it must meet, such as `User.name == "ada"`.
        kwargs: the same in the words of `Model.filter`: `name="ada"`, `age__gt=3`.

        Raises the model's DoesNotExist if there is no such object.
        """
        if isinstance(source, Filled) and not (args or kwargs):
            return await self._run(source.work, prefetching.get)
        return await self._run(finding.get, source, args, kwargs)

    @overload
    async def get_or_none(
        self, source: type[M], /, *args: Any, **kwargs: Any
    ) -> M | None: ...
    @overload
    async def get_or_none(self, source: Any, /, *args: Any, **kwargs: Any) -> Any: ...
    async def get_or_none(self, source: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Get one object as `get` does, or None if there is no such object."""
        try:
            return await self.get(source, *args, **kwargs)
        except peewee.DoesNotExist:
            return None

    async def create(self, model: type[M], /, **data: Any) -> M:
        """Make an object and insert it into the database.

        Methods that the model has overridden, such as `save`, are not called.

        Raises peewee.IntegrityError if it breaks a constraint.
        """
        return await self._run(operations.create, require_model(model), data)

    async def update(self, obj: peewee.Model, only: Iterable[Any] | None = None) -> int:
        """Write an object to its row; the number of rows written, 1 or 0.

        only: fields, or names of fields or columns, to write instead of all.

        Raises ValueError if the object has no primary key, or a name is unknown.
        """
        return await self._run(operations.update, require_instance(obj), only)

    async def delete(
        self, obj: peewee.Model, recursive: bool = False, delete_nullable: bool = False
    ) -> int:
        """Delete an object's row; the number of rows deleted, 1 or 0.

        recursive: delete what refers to the object first, in the same transaction.
        delete_nullable: delete it also where the reference could be set to NULL.
        """
        return await self._transact(
            operations.delete, require_instance(obj), recursive, delete_nullable
        )

    async def get_or_create(
        self,
        model: type[M],
        /,
        defaults: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> tuple[M, bool]:
        """Get the object that has these values, or create it with them.

        defaults: more values for an object that is created.

        The object, and whether it was created. If another task or process creates it
        at the same moment, theirs is got.
        """
        return await self._transact(
            operations.get_or_create, require_model(model), kwargs, defaults
        )

    async def create_or_get(self, model: type[M], /, **kwargs: Any) -> tuple[M, bool]:
        """Create an object, or get the one whose unique values it would have taken.

        The object, and whether it was created. Raises peewee.IntegrityError for any
        other broken constraint, and if the values belong to several objects.
        """
        return await self._transact(
            operations.create_or_get, require_model(model), kwargs
        )

    async def execute(self, query: Any) -> Any:
        """Run a query; the value is what `query.execute()` gives in peewee.

        Rows come as a list.
        """
        if isinstance(query, Filled):
            return await self._run(query.work, prefetching.execute)
        return await self._run(prefetching.execute, require_query(query))

    def iterator(
        self, query: Any, batch_size: int = BATCH_SIZE
    ) -> AsyncGenerator[Any, None]:
        """Give the rows of a query one by one, for `async for`, few in memory.

        query: a query, a model or an alias. batch_size: the number of rows to fetch at
            a time.

        As `AioDatabase.aio_iterator`.
        """
        return self._checked().aio_iterator(query_of(query), batch_size)

    async def prefetch(
        self,
        query: Any,
        *subqueries: Any,
        prefetch_type: int = peewee.PREFETCH_TYPE.JOIN,
    ) -> list[Any]:
        """Run a query and fetch related objects with one query for each subquery.

        subqueries: models, queries, or tuples of one and the model it belongs to.
        prefetch_type: PREFETCH_TYPE.JOIN or PREFETCH_TYPE.WHERE.
        """
        return await self._run(
            prefetching.prefetch,
            query_of(query),
            *subqueries,
            prefetch_type=prefetch_type,
        )

    async def count(self, query: Any, clear_limit: bool = False) -> int:
        """Count the rows that a query gives.

        clear_limit: count them as if the query had no LIMIT and OFFSET.
        """
        if isinstance(query, Filled):
            return await self._run(query.work, plans.count, clear_limit)
        return await self._run(plans.count, query_of(query), clear_limit)

    async def scalar(
        self, query: Any, as_tuple: bool = False, as_dict: bool = False
    ) -> Any:
        """Get the first column of a query's first row; None if there is no row.

        as_tuple, as_dict: get the whole row.
        """
        if isinstance(query, Filled):
            return await self._run(query.work, plans.scalar, as_tuple, as_dict)
        return await self._run(plans.scalar, query_of(query), as_tuple, as_dict)

    def atomic(self, **options: Unpack[TransactionKeywords]) -> blocks.BlockContext:
        """Make a transaction, or a savepoint inside one: `async with` or decorator.

        If an error leaves the block, what was done in it is undone.
        options: those of `AioDatabase.aio_atomic`, for the outermost block only.
        """
        return blocks.atomic(self._sessions, TransactionOptions(**options))

    def transaction(
        self, **options: Unpack[TransactionKeywords]
    ) -> blocks.BlockContext:
        """Make a transaction, or a part of the one around it, for `async with`.

        A part that fails keeps the whole from being committed.
        options: those of `AioDatabase.aio_atomic`, for the outermost block only.
        """
        return blocks.transaction(self._sessions, TransactionOptions(**options))

    def savepoint(self, sid: str | None = None) -> blocks.SavepointContext:
        """Make a savepoint inside a transaction: `async with`, decorator or `await`.

        sid: its name; one is made if none is given.

        Entering it outside a transaction raises RuntimeError.
        """
        return blocks.savepoint(self._sessions, sid)

    def _sessions(self) -> Sessions:
        return self._checked().ready_sessions()

    def __repr__(self) -> str:
        return f"<Manager of {self.database!r}>"
