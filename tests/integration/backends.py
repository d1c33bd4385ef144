"""The backends that the suite runs on, and what became of each in this run."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import peewee

from peewee_async import (
    AioDatabase,
    MySQLDatabase,
    PooledMySQLDatabase,
    PooledPostgresqlDatabase,
    PooledSqliteDatabase,
    PostgresqlDatabase,
    SqliteDatabase,
)
from tests import servers
from tests.servers import Server, Unavailable

NAMES = ("postgres", "mysql", "sqlite")
REQUIRE = "PEEWEE_ASYNC_REQUIRE"
POOL_SIZE = 5

DRIVERS = {"postgres": "aiopg", "mysql": "aiomysql", "sqlite": "aiosqlite"}
EXTRAS = {"postgres": "postgresql", "mysql": "mysql", "sqlite": "sqlite"}
SERVERS: dict[str, Callable[[], AbstractContextManager[Server]]] = {
    "postgres": servers.postgres,
    "mysql": servers.mysql,
}
SYNC: dict[str, Any] = {
    "postgres": peewee.PostgresqlDatabase,
    "mysql": peewee.MySQLDatabase,
    "sqlite": peewee.SqliteDatabase,
}
SINGLE: dict[str, type[AioDatabase]] = {
    "postgres": PostgresqlDatabase,
    "mysql": MySQLDatabase,
    "sqlite": SqliteDatabase,
}
POOLED: dict[str, type[AioDatabase]] = {
    "postgres": PooledPostgresqlDatabase,
    "mysql": PooledMySQLDatabase,
    "sqlite": PooledSqliteDatabase,
}
SCHEMES = {"postgres": "postgresql", "mysql": "mysql", "sqlite": "sqlite"}

# PyMySQL reads all certificates of the machine for each connection that may be
# encrypted, which takes longer than most tests.
SYNC_OPTIONS: dict[str, dict[str, Any]] = {"mysql": {"ssl_disabled": True}}

# SQLite waits for the disk at each commit by default, and half a second is a lot of
# commits; foreign keys are checked as the servers do.
PRAGMAS = {"foreign_keys": 1, "synchronous": 0, "journal_mode": "wal"}


@dataclass(frozen=True)
class Backend:
    """One backend that is to be had: a server with a database for this run."""

    name: str
    description: str
    server: Server | None = None
    database: str = ""

    def options(self, path: Path) -> tuple[str, dict[str, Any]]:
        """Give what a database object takes: the name and the driver's options."""
        if self.server is None:
            return str(path), {"pragmas": PRAGMAS, "timeout": 30}
        if self.name == "mysql":
            # Of which of the two it is, JSON depends, and peewee wants to be told.
            options = {"mariadb": "MariaDB" in self.description}
            return self.database, self.server.options | options
        return self.database, self.server.options

    def make(
        self, path: Path, *, pooled: bool, name: str = "", **options: Any
    ) -> AioDatabase:
        """Make a database object. path: the file, where it is one."""
        usual, own = self.options(path)
        if pooled:
            options.setdefault("max_connections", POOL_SIZE)
        kind = POOLED[self.name] if pooled else SINGLE[self.name]
        return kind(name or usual, **own | options)

    def make_sync(self, path: Path) -> Any:
        """Make an object of peewee itself, for what a test needs done beside."""
        name, own = self.options(path)
        return SYNC[self.name](name, **own, **SYNC_OPTIONS.get(self.name, {}))

    def source(self, path: Path, *, pooled: bool = False) -> str:
        """Give Python source that makes a database object, for a subprocess."""
        name, own = self.options(path)
        kind = POOLED[self.name] if pooled else SINGLE[self.name]
        return f"peewee_async.{kind.__name__}({name!r}, **{own!r})"

    def sync_source(self, path: Path) -> str:
        """Give Python source that makes an object of peewee itself."""
        name, own = self.options(path)
        return f"peewee.{SYNC[self.name].__name__}({name!r}, **{own!r})"


@dataclass
class Record:
    """What became of one backend in this run."""

    required: bool = False
    tests: int = 0
    description: str = ""
    missing: str = ""

    def __str__(self) -> str:
        if self.missing:
            fate = "required, but missing" if self.required else "skipped"
            return f"{fate}: {self.missing}"
        if not self.tests:
            return "not asked for"
        return f"{self.tests} tests on {self.description}"


@dataclass
class Backends:
    """Opens each backend once, when the first test asks for it."""

    stack: ExitStack
    records: dict[str, Record]
    opened: dict[str, Backend] = field(default_factory=dict)

    def get(self, name: str) -> Backend:
        """Give a backend; raises Unavailable with the reason if it is not to be had."""
        record = self.records[name]
        if record.missing:
            raise Unavailable(record.missing)
        if name not in self.opened:
            try:
                self.opened[name] = self.stack.enter_context(_open(name))
            except Unavailable as reason:
                record.missing = str(reason)
                raise
            record.description = self.opened[name].description
        record.tests += 1
        return self.opened[name]


def required() -> set[str]:
    """Read PEEWEE_ASYNC_REQUIRE: the backends that may not be missing."""
    text = os.environ.get(REQUIRE, "")
    names = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := names.difference(NAMES):
        raise ValueError(
            f"{REQUIRE} names {', '.join(sorted(unknown))}, which is no backend: "
            f"use {', '.join(NAMES)}."
        )
    return names


@contextmanager
def _open(name: str) -> Iterator[Backend]:
    _need_driver(name)
    if name == "sqlite":
        yield Backend(name, f"SQLite {sqlite3.sqlite_version}")
        return
    with SERVERS[name]() as server, own_database(server) as (database, version):
        description = f"{version} ({server.description})"
        yield Backend(name, description, server, database)


def _need_driver(name: str) -> None:
    driver = DRIVERS[name]
    if find_spec(driver) is None:
        raise Unavailable(
            f"The driver {driver} is not installed: "
            f"pip install 'peewee-async[{EXTRAS[name]}]' brings it."
        )
    try:
        import_module(driver)
    except ImportError as error:
        raise Unavailable(f"The driver {driver} cannot be imported: {error}.") from None


@contextmanager
def own_database(server: Server) -> Iterator[tuple[str, str]]:
    """Make a database that nobody else uses, and drop it in the end."""
    name = f"peewee_async_{secrets.token_hex(4)}"
    force = " WITH (FORCE)" if server.family == "postgres" else ""
    sync = SYNC[server.family](server.database, **server.options)
    with sync.connection_context():
        version = sync.execute_sql("SELECT VERSION()").fetchone()[0]
        run_alone(sync, f"CREATE DATABASE {name}")
    try:
        yield name, version.split(" on ")[0]
    finally:
        with sync.connection_context():
            run_alone(sync, f"DROP DATABASE {name}{force}")


def run_alone(sync: Any, sql: str) -> None:
    """Run what PostgreSQL takes outside of transactions only."""
    if isinstance(sync, peewee.PostgresqlDatabase):
        sync.connection().autocommit = True
    sync.execute_sql(sql)
