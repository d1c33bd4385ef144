"""The database classes, one single and one pooled for each kind of server."""

from __future__ import annotations

import math
import os
import sqlite3
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from threading import Lock
from typing import Any

import peewee
from playhouse.db_url import register_database
from playhouse.postgres_ext import PostgresqlExtDatabase as _PostgresqlExtDatabase

from peewee_async.database import AioDatabase

# Its stubs leave out what is not documented.
_peewee: Any = peewee


def _strict(sql_mode: str | None) -> str | None:
    return sql_mode and f"{sql_mode},STRICT_TRANS_TABLES"


class _ServerDatabase(AioDatabase):
    def _sync_options(
        self, given: dict[str, Any], others: dict[str, Any]
    ) -> dict[str, Any]:
        # The sync drivers have an option of this name too, in whole seconds.
        limit = given.get("connect_timeout")
        if limit is None:
            return others
        return others | {"connect_timeout": math.ceil(limit)}

    def _driver_params(self) -> dict[str, Any]:
        params = dict(self.connect_params)
        params.pop("connect_timeout", None)
        return params


class PostgresqlDatabase(_ServerDatabase, peewee.PostgresqlDatabase):
    """PostgreSQL, with one sync connection and one async connection.

    database: the name, or a URL `postgresql://...`; the options are those of
    `psycopg2.connect`, and those of AioDatabase. What is not given is up to the
    client library: `PG*` environment variables, a unix socket.

    >>> from peewee_async import PostgresqlDatabase
    >>> database = PostgresqlDatabase("test")
    """

    _driver = "aiopg"
    _extra = "postgresql"
    _encoding: str | None

    def _aio_params(self) -> dict[str, Any]:
        params = self._driver_params() | {"enable_hstore": False}
        if self._encoding:
            params["client_encoding"] = self._encoding
        if self.database.startswith("postgresql://"):
            params.setdefault("dsn", self.database)
        else:
            params.setdefault("dbname", self.database)
        return params

    def _secrets(self) -> list[str]:
        return [os.environ.get("PGPASSWORD", "")]

    def _set_server_version(self, conn: Any) -> None:
        self.server_version = conn.server_version


class PooledPostgresqlDatabase(PostgresqlDatabase):
    """PostgreSQL, with one sync connection and a pool of async ones.

    max_connections: the size of the pool, 20 if it is not given.

    >>> from peewee_async import PooledPostgresqlDatabase
    >>> database = PooledPostgresqlDatabase("test", max_connections=20)
    """

    _max_connections = 20


class PostgresqlExtDatabase(PostgresqlDatabase, _PostgresqlExtDatabase):  # type: ignore[misc]
    """PostgreSQL with the extensions of `playhouse.postgres_ext`.

    JSON works always. HStore works if the server has the extension, and can be turned
    off with `register_hstore=False`.

    >>> from peewee_async import PostgresqlExtDatabase
    >>> database = PostgresqlExtDatabase("test", register_hstore=False)
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("register_hstore", True)
        super().__init__(*args, **options)

    def _aio_params(self) -> dict[str, Any]:
        return super()._aio_params() | {"enable_hstore": self._register_hstore}

    def _connect(self) -> Any:
        """Open the sync connection; a server without the extension is no error."""
        try:
            return super()._connect()
        except Exception as error:
            if "hstore" not in str(error):
                raise
        return _peewee.PostgresqlDatabase._connect(self)


class PooledPostgresqlExtDatabase(PostgresqlExtDatabase):
    """The same, with a pool of async connections.

    max_connections: the size of the pool, 20 if it is not given.

    >>> from peewee_async import PooledPostgresqlExtDatabase
    >>> database = PooledPostgresqlExtDatabase("test", max_connections=20)
    """

    _max_connections = 20


class MySQLDatabase(_ServerDatabase, peewee.MySQLDatabase):
    """MySQL or MariaDB, with one sync connection and one async connection.

    The options are those of `pymysql.connect` that `aiomysql.connect` has as well, and
    those of AioDatabase. The charset is utf8mb4 unless another is given, and strict
    mode stays on, with every version of peewee.

    PyMySQL's options of TLS (`ssl`, `ssl_ca` and so on) mean the same on both sides;
    with none of them async connections use TLS if the server has it, without checking
    who it is. `local_infile=True` lets the server choose which file is sent, but only
    while a LOAD DATA LOCAL INFILE is executed.

    >>> from peewee_async import MySQLDatabase
    >>> database = MySQLDatabase("test")
    """

    _driver = "aiomysql"
    _extra = "mysql"

    # Up to 4.4 peewee leaves strict mode off, so that the server cuts values to fit.
    sql_mode = _strict(_peewee.MySQLDatabase.sql_mode)

    def init(self, database: str | None, *args: Any, **options: Any) -> None:
        """Name the database and its options, now or again, as peewee does."""
        # Up to 4.4 peewee asks for a charset that loses characters of four bytes.
        options.setdefault("charset", "utf8mb4")
        super().init(database, *args, **options)

    def _aio_params(self) -> dict[str, Any]:
        params = self._driver_params() | {"db": self.database}
        if "passwd" in params:
            params["password"] = params.pop("passwd")
        return params


class PooledMySQLDatabase(MySQLDatabase):
    """MySQL or MariaDB, with one sync connection and a pool of async ones.

    max_connections: the size of the pool, 10 if it is not given.

    >>> from peewee_async import PooledMySQLDatabase
    >>> database = PooledMySQLDatabase("test", max_connections=10)
    """

    _max_connections = 10


class SqliteDatabase(AioDatabase, peewee.SqliteDatabase):
    """SQLite, with one sync connection and one async connection.

    The options are those of `peewee.SqliteDatabase`, and those of AioDatabase.
    Pragmas, functions and the like hold for the async connection too. A ":memory:"
    database is one and the same for both, and lasts as long as this object.

    >>> from peewee_async import SqliteDatabase
    >>> database = SqliteDatabase(":memory:", pragmas={"foreign_keys": 1})
    """

    _driver = "aiosqlite"
    _extra = "sqlite"

    _memory: _SharedMemory | None = None

    def init(self, database: str | None, *args: Any, **options: Any) -> None:
        """Name the database and its options, now or again, as peewee does."""
        super().init(database, *args, **options)
        if self._memory is not None:
            self._memory.close()
        self._memory = None
        if database == ":memory:":
            self._memory = _SharedMemory(self)
            # Connections to one memory lock each other's tables without waiting.
            self._pool_options = replace(
                self._pool_options,
                min_connections=1,
                max_connections=1,
                own_connections=False,
            )

    def _aio_params(self) -> dict[str, Any]:
        memory = self._memory
        return {"opener": partial(memory.succeed, self) if memory else self._connect}

    def _target(self) -> str:
        return f"SQLite database {self.database!r}"

    def _connect(self) -> Any:
        if self._memory is None:
            return _peewee.SqliteDatabase._connect(self)
        return self._memory.connect(self)


class _Successor(sqlite3.Connection):
    when_closed: Callable[[], None] | None = None

    def close(self) -> None:
        super().close()
        told, self.when_closed = self.when_closed, None
        if told is not None:
            told()


class _SharedMemory:
    """A database in memory that several connections of one process can open.

    SQLite drops it with the last connection, so one is kept:
    https://sqlite.org/inmemorydb.html#sharedmemdb
    """

    _numbers = count(1)

    def __init__(self, database: SqliteDatabase) -> None:
        self._uri = f"file:peewee_async_{next(self._numbers)}?mode=memory&cache=shared"
        self._last_closed = Lock()
        keeper = sqlite3.connect(self._uri, uri=True, check_same_thread=False)
        self.close = weakref.finalize(database, keeper.close)

    def succeed(self, database: Any) -> sqlite3.Connection:
        """Open a connection that takes the place of one that was given up.

        That one may still hold locks, which SQLite does not wait for in shared memory:
        so this waits until it is closed, or for a second.
        """
        waited = self._last_closed.acquire(timeout=1.0)
        try:
            raw = self.connect(database, factory=_Successor)
        except BaseException:
            if waited:
                self._last_closed.release()
            raise
        if waited and isinstance(raw, _Successor):
            raw.when_closed = self._last_closed.release
        return raw

    def connect(self, database: Any, **more: Any) -> sqlite3.Connection:
        """Open a connection with all that `peewee.SqliteDatabase` gives to one."""
        params = database.connect_params | {"uri": True, "isolation_level": None} | more
        timeout = database._timeout
        raw: sqlite3.Connection = sqlite3.connect(self._uri, timeout=timeout, **params)
        try:
            database._add_conn_hooks(raw)
        except Exception:
            raw.close()
            raise
        return raw


class PooledSqliteDatabase(SqliteDatabase):
    """SQLite, with one sync connection and a pool of async ones.

    max_connections: the size of the pool, 5 if it is not given; a ":memory:" database
    has one connection whatever is given.

    >>> from peewee_async import PooledSqliteDatabase
    >>> database = PooledSqliteDatabase("app.db", max_connections=5)
    """

    _max_connections = 5


for _names, _single, _pooled in (
    (("postgres", "postgresql"), PostgresqlDatabase, PooledPostgresqlDatabase),
    (
        ("postgresext", "postgresqlext"),
        PostgresqlExtDatabase,
        PooledPostgresqlExtDatabase,
    ),
    (("mysql",), MySQLDatabase, PooledMySQLDatabase),
    (("sqlite",), SqliteDatabase, PooledSqliteDatabase),
):
    register_database(_single, *(f"{name}+async" for name in _names))
    register_database(_pooled, *(f"{name}+pool+async" for name in _names))
