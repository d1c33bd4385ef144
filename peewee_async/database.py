"""What all async databases have in common: pools beside peewee's sync connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from importlib import import_module
from threading import RLock
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar, Unpack

import peewee

from peewee_async import blocks
from peewee_async.blocks import (
    BlockContext,
    ConnectionContext,
    HeldBlock,
    SavepointContext,
    TransactionKeywords,
)
from peewee_async.core import plans, prefetching
from peewee_async.core.dialect import Dialect, TransactionOptions
from peewee_async.core.execution import Work
from peewee_async.core.lookups import require_query
from peewee_async.core.plans import require_rows
from peewee_async.core.pool import Statistics
from peewee_async.core.redaction import is_connection_string, redaction_of
from peewee_async.core.streaming import Stream, require_portions
from peewee_async.cursor import AioCursor
from peewee_async.io.errors import missing_driver
from peewee_async.io.pool import Pool
from peewee_async.io.protocols import Connection
from peewee_async.io.sessions import Sessions, in_event_loop
from peewee_async.options import split
from peewee_async.sync_side import SyncSide
from peewee_async.tables import AioTables

T = TypeVar("T")

# The number of rows that a stream fetches at a time.
BATCH_SIZE = 1000

# Several threads may render queries of one model, whose fields serve one at a time.
_fields = RLock()


class AioDatabase(AioTables, SyncSide):
    """What all async databases have in common; the classes are in `databases`.

    Options of all of them, besides the driver's: `min_connections` and
    `max_connections` of the pool; `connect_timeout` (10), `acquire_timeout` (30) and
    `query_timeout` (none), in seconds, None for no limit; `max_lifetime` (none), the
    age from which an idle connection is replaced; `max_idle` (600), how long one above
    `min_connections` may be idle; `ping_idle` (30), after how long an idle one is
    checked before it is used; `close_timeout` (5), how long `aio_close` waits for
    connections in use: all in seconds, None for never. The names `minsize`, `maxsize`,
    `min_size`, `max_size` and a dict `pool_params` are understood as well.
    """

    _driver = ""
    _extra = ""
    _max_connections = 1
    _sessions: Sessions
    _state: Any
    _set_server_version: Callable[[Any], None]

    def init(self, database: str | None, *args: Any, **options: Any) -> None:
        """Name the database and its options, now or again, as peewee does.

        Connections that are open, sync or async, are closed.
        """
        if hasattr(self, "_sessions"):
            self._sessions.forget_all()
        self._pool_options, others = split(options, self._max_connections)
        super().init(database, *args, **self._sync_options(options, others))
        self._dialect = Dialect(self, _fields)
        self._sessions = Sessions(self._dialect, self._make_pool)

    def _sync_options(
        self, given: dict[str, Any], others: dict[str, Any]
    ) -> dict[str, Any]:
        """Give the options of the sync driver, which may share some of the pool's."""
        return others

    # How the pools of this database connect.

    def _make_pool(self) -> Pool:
        driver, params = self._import_driver(), self._aio_params()
        return Pool(
            lambda: driver.connect(**params),  # a partial has the password in its repr
            self._target(),
            self._pool_options,
            self._learn,
            redaction_of(self.database, self.connect_params, self._secrets()),
            self._dialect.end_session,
        )

    def _secrets(self) -> list[str]:
        """Give what no message may repeat, beside the options."""
        return []

    def _import_driver(self) -> ModuleType:
        try:
            return import_module(f"peewee_async.io.{self._driver}")
        except ModuleNotFoundError as error:
            raise missing_driver(self._driver, self._extra) from error

    def _aio_params(self) -> dict[str, Any]:
        """Give the options of a connection, in the words of the async driver."""
        return dict(self.connect_params)

    def _target(self) -> str:
        family, params = self._dialect.family.value, self.connect_params
        host = params.get("host") or "the default host"
        port = f":{params['port']}" if params.get("port") else ""
        if is_connection_string(self.database):
            return family  # it may hold a password
        return f"{family} at {host}{port}, database {self.database!r}"

    def _learn(self, connection: Connection) -> None:
        """Tell peewee the version of the server, which decides on some of its SQL."""
        if self.server_version is None:
            version = connection.server_version
            self._set_server_version(SimpleNamespace(server_version=version))

    # How work gets done.

    def ready_sessions(self) -> Sessions:
        """Give what runs work; peewee.InterfaceError before the database is named."""
        if self.deferred:
            raise peewee.InterfaceError(
                "The database is not initialized: call init(name, ...) first."
            )
        return self._sessions

    async def _learn_version(self) -> None:
        if self.server_version is None:
            await self.ready_sessions().pool.warm()

    def run_plan(
        self, plan: Callable[..., Work[T]], *args: Any, **options: Any
    ) -> Coroutine[Any, Any, T]:
        """Do what a planner of the core, called with the dialect first, plans."""
        sessions = self.ready_sessions() if self.deferred else self._sessions
        if self.server_version is None:
            return self._run_first(plan, *args, **options)
        return sessions.run(plan(self._dialect, *args, **options))

    async def _run_first(
        self, plan: Callable[..., Work[T]], *args: Any, **options: Any
    ) -> T:
        await self._learn_version()
        return await self._sessions.run(plan(self._dialect, *args, **options))

    async def run_in_transaction(self, plan: Callable[..., Work[T]], *args: Any) -> T:
        """Do the same for a planner that takes the open transactions as well."""
        sessions = self.ready_sessions()
        if self.server_version is None:
            await self._learn_version()
        return await sessions.transact(
            lambda transactions: plan(self._dialect, transactions, *args)
        )

    async def aio_connect(self, timeout: float | None = None) -> None:
        """Open the pool of the running event loop, if it is not open.

        timeout: the seconds that this call may take at most, beside the limits of the
            pool.

        Raises peewee.OperationalError if the server cannot be reached.
        """
        pool = self.ready_sessions().pool
        if not pool.connected:
            await pool.warm(timeout)

    async def aio_close(self) -> None:
        """Close the pool of the running event loop; the next query opens a new one.

        Who waits for a connection gets peewee.InterfaceError. Connections in use are
        closed when they are free, or aborted after `close_timeout` seconds: their
        transactions are rolled back. Inside a block, the block keeps its connection
        and ends as usual; it is closed then.
        """
        await self._sessions.close()

    def pool_statistics(self) -> Statistics:
        """Count the connections of the running event loop, and the waits for them.

        The named tuple has `size`, `idle`, `busy`, `opening` and `waiting` for what is
        now, and `opened`, `discarded`, `waits` and `wait_seconds` for all that was
        since the pool was opened. Everything is 0 if no pool is open.
        """
        pool = self._sessions.open_pool if in_event_loop() else None
        return Statistics() if pool is None else pool.statistics()

    @property
    def is_connected(self) -> bool:
        """Whether the running event loop has open connections to this database."""
        pool = self._sessions.open_pool if in_event_loop() else None
        return pool is not None and pool.connected

    # The names of an older generation of this API.

    async def connect_async(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        timeout: float | None = None,
    ) -> None:
        """Do what `aio_connect` does.

        loop: the running event loop or None; RuntimeError for another one.
        timeout: the seconds that this call may take at most, beside the limits of the
            pool; peewee.OperationalError if it takes longer.
        """
        if loop is not None and loop is not asyncio.get_running_loop():
            raise RuntimeError(
                "connect_async() opens connections on the event loop that it is called "
                "from: call it from the loop that you give, or give none."
            )
        await self.aio_connect(timeout)

    async def close_async(self) -> None:
        """Do what `aio_close` does."""
        await self.aio_close()

    def atomic_async(self, **options: Unpack[TransactionKeywords]) -> BlockContext:
        """Make what `aio_atomic` makes."""
        return self.aio_atomic(**options)

    def transaction_async(self, **options: Unpack[TransactionKeywords]) -> BlockContext:
        """Make what `aio_transaction` makes."""
        return self.aio_transaction(**options)

    def savepoint_async(self, sid: str | None = None) -> BlockContext:
        """Make what `aio_savepoint` makes."""
        return self.aio_savepoint(sid)

    def transaction_depth_async(self) -> int:
        """Count the transactions that the current task is in; 0 outside.

        As `transaction_depth` of peewee has it: one inside another counts, and
        savepoints do not, nor does a nested `atomic`, which is one.

        Raises peewee.OperationalError in a block that was lost.
        """
        frame = self._sessions.frame if in_event_loop() else None
        return 0 if frame is None else frame.block.depth

    async def aio_execute(self, query: Any) -> Any:
        """Run a query; the value is what `query.execute()` gives in peewee."""
        return await self.run_plan(prefetching.execute, require_query(query))

    async def aio_execute_sql(
        self,
        sql: str,
        params: Any = None,
        fetch_results: Callable[[Any, AioCursor], Awaitable[Any]] | None = None,
    ) -> Any:
        """Run SQL: a list of tuples if it gives rows, else the number of rows written.

        sql: with the placeholders of the driver. A percent sign in it is written `%%`
            on PostgreSQL and MySQL, with parameters or without, as in `execute_sql`.
        params: the values for them, in order.
        fetch_results: is awaited with the database and a cursor over the rows, and
            gives the value instead. By then the connection is free again.
        """
        if fetch_results is None:
            return await self.run_plan(plans.raw, sql, params)
        cursor = await self.run_plan(plans.raw, sql, params, AioCursor)
        return await fetch_results(self, cursor)

    def aio_atomic(self, **options: Unpack[TransactionKeywords]) -> BlockContext:
        """Make a transaction, or a savepoint inside one: `async with` or decorator.

        isolation_level: "SERIALIZABLE" and so on (PostgreSQL, MySQL).
        read_only: whether the transaction only reads. deferrable: PostgreSQL's.
        lock_type: "DEFERRED", "IMMEDIATE" (the default) or "EXCLUSIVE" (SQLite).
        """
        return blocks.atomic(self.ready_sessions, TransactionOptions(**options))

    def aio_transaction(self, **options: Unpack[TransactionKeywords]) -> BlockContext:
        """Make a transaction, or a part of the one around it, for `async with`.

        An inner one that fails keeps the outer one from being committed.
        The options are those of `aio_atomic`.
        """
        return blocks.transaction(self.ready_sessions, TransactionOptions(**options))

    def aio_savepoint(self, sid: str | None = None) -> SavepointContext:
        """Make a savepoint inside a transaction: `async with`, decorator or `await`.

        sid: its name, any text that is not empty and has no NUL in it.

        `await` gives an object with `commit()` and `rollback()`, which end it.
        """
        return blocks.savepoint(self.ready_sessions, sid)

    async def aio_begin(self, **options: Unpack[TransactionKeywords]) -> HeldBlock:
        """Begin a transaction, or a part of the one around it, to be ended by hand.

        The options are those of `aio_atomic`.

        The object that comes back has `commit()` and `rollback()`: the current task,
        and those that it starts, are in the transaction until one of them is called.
        If neither is, the transaction is rolled back when the task has ended.
        """
        chosen = TransactionOptions(**options)
        return await blocks.begin_transaction(self.ready_sessions(), chosen)

    def aio_connection(self) -> ConnectionContext:
        """Keep one connection for the current task, in an `async with`.

        All that the task does inside is done on it, in turn with the tasks that it
        starts; inside a block it is the block's connection. `as` gives the connection
        of the driver, for what peewee has no words for: what is done with it directly
        is not known to transactions, time limits and turns.
        """
        return blocks.connection(self.ready_sessions)

    def detached(self) -> ConnectionContext:
        """Leave the open block for the length of an `async with`.

        What is done inside is done on another connection: it stays when the block
        around it is rolled back, and does not see what that has not committed. If the
        database has a single connection, another one is opened for as long.

        Raises peewee.InterfaceError inside for a ":memory:" database, which cannot have
        another one.
        """
        return blocks.detached(self.ready_sessions)

    def aio_iterator(
        self, query: Any, batch_size: int = BATCH_SIZE
    ) -> AsyncGenerator[Any, None]:
        """Give the rows of a query one by one, and keep few of them in memory.

        batch_size: the number of rows to fetch at a time.

        Inside a block the rows come in its transaction; on PostgreSQL they end with the
        transaction or savepoint that the stream was opened in. Outside they come on a
        connection of their own, in a transaction of its own on PostgreSQL; leaving the
        loop early frees it. `query_timeout` is for each batch. A query that writes, and
        a ":memory:" database, give all rows at once.

        Raises TypeError for a query that gives no rows, ValueError for one that has
        `with_related()`.
        """
        require_portions(query, batch_size)
        return self.stream(query, batch_size)

    def stream(
        self, query: Any, batch_size: int = BATCH_SIZE
    ) -> AsyncGenerator[Any, None]:
        """Give rows as `aio_iterator` does, all at once if they have relations."""
        require_rows(require_query(query))
        size = batch_size if self._pool_options.own_connections else None

        async def make() -> Stream[Any]:
            await self._learn_version()
            return Stream(self._dialect, query, size)

        return self.ready_sessions().stream(make)

    def after_commit(self, fn: Callable[[], Any]) -> Callable[[], Any]:
        """Have a function called after the COMMIT of the open block.

        Inside an async transaction that is its outermost COMMIT, and `fn` may be
        `async def`; elsewhere this is peewee's own method, which calls it at once.
        """
        # A sync transaction may also be that of another task of this thread.
        is_async = in_event_loop() and not (
            self._is_sync_allowed() and self.in_transaction()
        )
        frame = self._sessions.frame if is_async else None
        if frame is not None and frame.block.depth:
            frame.block.callbacks.append(fn)
            return fn
        raw: Any = super()
        if not hasattr(raw, "after_commit"):
            raise peewee.NotSupportedError(
                "This version of peewee has no after_commit() for sync transactions."
            )
        called: Callable[[], Any] = raw.after_commit(fn)
        return called


def aio_database(database: Any) -> AioDatabase:
    """Give the async database behind a database or `Proxy`.

    Raises peewee.InterfaceError for a proxy that is not initialized and for None, which
    is what an unbound model has, and TypeError for a database that is not one of this
    package.
    """
    if database is None:
        raise peewee.InterfaceError(
            "The model is bound to no database: name one in its Meta class, or use a "
            "Manager."
        )
    behind = database
    while isinstance(behind, peewee.Proxy):
        behind = behind.obj
        if behind is None:
            raise peewee.InterfaceError(
                "The database proxy is not initialized: call its initialize() first."
            )
    if not isinstance(behind, AioDatabase):
        raise TypeError(
            f"{behind!r} cannot run async queries: use one of the database classes of "
            "peewee_async."
        )
    return behind
