"""What all async databases have in common: pools beside peewee's sync connection."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar, Unpack

import peewee

from peewee_async import blocks
from peewee_async.blocks import BlockContext, TransactionKeywords
from peewee_async.core import prefetching
from peewee_async.core.dialect import Dialect, TransactionOptions
from peewee_async.core.execution import Work
from peewee_async.core.lookups import require_query
from peewee_async.guard import refusal
from peewee_async.io.errors import missing_driver
from peewee_async.io.pool import Pool
from peewee_async.io.protocols import Connection
from peewee_async.io.sessions import Sessions, in_event_loop
from peewee_async.options import is_connection_string, password_in, split

T = TypeVar("T")


class AioDatabase(peewee.Database):
    """What all async databases have in common; the classes are in `databases`.

    Options of all of them, besides the driver's: `min_connections` and
    `max_connections` of the pool; `connect_timeout` (10), `acquire_timeout` (30) and
    `query_timeout` (none), in seconds, None for no limit; `max_lifetime`, the age in
    seconds from which an idle connection is replaced. The names `minsize`, `maxsize`,
    `min_size`, `max_size` and a dict `pool_params` are understood as well.
    """

    _driver = ""
    _extra = ""
    _max_connections = 1
    _allow_sync: bool | None = None
    _sessions: Sessions
    _state: Any
    _set_server_version: Callable[[Any], None]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # A sync connection that a program leaves open is no reason to complain.
        weakref.finalize(self, _close_sync, self._state, os.getpid())

    def init(self, database: str | None, *args: Any, **options: Any) -> None:
        """Name the database and its options, now or again, as peewee does.

        Connections that are open, sync or async, are closed.
        """
        if hasattr(self, "_sessions"):
            self._sessions.forget_all()
        self._pool_options, others = split(options, self._max_connections)
        super().init(database, *args, **self._sync_options(options, others))
        self._dialect = Dialect(self)
        self._sessions = Sessions(self._dialect, self._make_pool)

    def _sync_options(
        self, given: dict[str, Any], others: dict[str, Any]
    ) -> dict[str, Any]:
        """Give the options of the sync driver, which may share some of the pool's."""
        return others

    # How the pools of this database connect.

    def _make_pool(self) -> Pool:
        connect = partial(self._import_driver().connect, **self._aio_params())
        secret = password_in(self.database)
        return Pool(connect, self._target(), self._pool_options, self._learn, secret)

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

    async def _prepare(self) -> Sessions:
        sessions = self.ready_sessions()
        if self.server_version is None:
            await sessions.pool.warm()
        return sessions

    async def run_plan(
        self, plan: Callable[..., Work[T]], *args: Any, **options: Any
    ) -> T:
        """Do what a planner of the core, called with the dialect first, plans."""
        sessions = await self._prepare()
        return await sessions.run(plan(self._dialect, *args, **options))

    async def run_in_transaction(self, plan: Callable[..., Work[T]], *args: Any) -> T:
        """Do the same for a planner that takes the open transactions as well."""
        sessions = await self._prepare()
        return await sessions.transact(
            lambda transactions: plan(self._dialect, transactions, *args)
        )

    async def aio_connect(self) -> None:
        """Open the pool of the running event loop, if it is not open.

        Raises peewee.OperationalError if the server cannot be reached.
        """
        pool = self.ready_sessions().pool
        if not pool.connected:
            await pool.warm()

    async def aio_close(self) -> None:
        """Close the pool of the running event loop; the next query opens a new one."""
        await self._sessions.close()

    @property
    def is_connected(self) -> bool:
        """Whether the running event loop has open connections to this database."""
        pool = self._sessions.open_pool if in_event_loop() else None
        return pool is not None and pool.connected

    async def aio_execute(self, query: Any) -> Any:
        """Run a query; the value is what `query.execute()` gives in peewee."""
        return await self.run_plan(prefetching.execute, require_query(query))

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

    def aio_savepoint(self, sid: str | None = None) -> BlockContext:
        """Make a savepoint inside a transaction, for `async with`.

        sid: its name, any text that is not empty and has no NUL in it.
        """
        return blocks.savepoint(self.ready_sessions, sid)

    # The sync side.

    @contextmanager
    def allow_sync(self) -> Iterator[None]:
        """Allow the current task sync queries; close what they opened in the end.

        Where several tasks of a thread are in such blocks, the last one closes.
        """
        users: SyncUsers = self._state.__dict__.setdefault("aio_users", SyncUsers())
        users.enter(not self.is_closed())
        try:
            with self._sessions.allowing_sync():
                yield
        finally:
            if users.leave() and not self.is_closed():
                self.close()

    def after_commit(self, fn: Callable[[], Any]) -> Callable[[], Any]:
        """Have a function called after the COMMIT of the open block.

        Inside an async block that is the outermost COMMIT of the block, and `fn` may
        be `async def`; elsewhere this is peewee's own method.
        """
        is_async = in_event_loop() and not self.in_transaction()
        frame = self._sessions.frame if is_async else None
        if frame is not None:
            frame.block.callbacks.append(fn)
            return fn
        raw: Any = super()
        if not hasattr(raw, "after_commit"):
            raise peewee.NotSupportedError(
                "This version of peewee has no after_commit() for sync transactions."
            )
        called: Callable[[], Any] = raw.after_commit(fn)
        return called

    def set_allow_sync(self, value: bool) -> None:
        """Allow sync queries everywhere, or nowhere but in `allow_sync`."""
        self._allow_sync = value

    def _require_sync(self, called: str) -> None:
        allowed = self._allow_sync
        if allowed is None:
            allowed = not in_event_loop()
        if not allowed and not self._sessions.is_sync_allowed():
            raise refusal(called)

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Open the sync connection, as in peewee.

        Raises SyncNotAllowed in a running event loop, unless `allow_sync` allows it.
        """
        self._require_sync("connect")
        return super().connect(reuse_if_open)

    def cursor(self, *args: Any, **options: Any) -> Any:
        """Make a sync cursor, as in peewee, under the same guard as `connect`."""
        self._require_sync("execute")
        raw: Any = super()
        return raw.cursor(*args, **options)


class SyncUsers:
    """The `allow_sync` blocks of one thread, and whether they find a connection."""

    def __init__(self) -> None:
        self._count = 0
        self._found_open = False

    def enter(self, is_open: bool) -> None:
        """Count a block; the first one finds the connection open or not."""
        if not self._count:
            self._found_open = is_open
        self._count += 1

    def leave(self) -> bool:
        """Tell whether this was the last one, and the connection was opened inside."""
        self._count -= 1
        return not self._count and not self._found_open


def _close_sync(state: Any, process: int) -> None:
    # In a process that was forked it is still its parent's connection.
    if not state.closed and process == os.getpid():
        with suppress(Exception):
            state.conn.close()


def aio_database(database: Any) -> AioDatabase:
    """Give the async database behind a database or `Proxy`.

    Raises peewee.InterfaceError for a proxy that is not initialized, and TypeError
    for a database that is not one of this package.
    """
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
