"""The database classes: what they make of options, names, proxies and URLs."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import sys
from typing import Any

import peewee
import pytest
from playhouse.db_url import connect

import peewee_async
from peewee_async import (
    AioDatabase,
    Manager,
    MySQLDatabase,
    PooledMySQLDatabase,
    PooledPostgresqlDatabase,
    PooledPostgresqlExtDatabase,
    PooledSqliteDatabase,
    PostgresqlDatabase,
    PostgresqlExtDatabase,
    SqliteDatabase,
)
from tests.unit.fakes import (
    CONNECT,
    FakeDatabase,
    FakeServer,
    MemoryDatabase,
    sync,
    turns,
)

POSTGRES = (
    PostgresqlDatabase,
    PooledPostgresqlDatabase,
    PostgresqlExtDatabase,
    PooledPostgresqlExtDatabase,
)
MYSQL = (MySQLDatabase, PooledMySQLDatabase)


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        (PostgresqlDatabase, 1),
        (PooledPostgresqlDatabase, 20),
        (PostgresqlExtDatabase, 1),
        (PooledPostgresqlExtDatabase, 20),
        (MySQLDatabase, 1),
        (PooledMySQLDatabase, 10),
        (SqliteDatabase, 1),
        (PooledSqliteDatabase, 5),
    ],
)
def test_the_size_of_the_pool(kind: type[AioDatabase], most: int) -> None:
    options = kind("unit")._pool_options
    assert (options.min_connections, options.max_connections) == (1, most)
    assert kind("unit", max_connections=3)._pool_options.max_connections == 3


@pytest.mark.parametrize("kind", [*POSTGRES, *MYSQL, SqliteDatabase])
def test_options_of_the_pool_do_not_reach_the_driver(kind: type[AioDatabase]) -> None:
    plain = kind("unit").connect_params
    database = kind(
        "unit",
        min_connections=2,
        max_connections=5,
        acquire_timeout=1,
        query_timeout=2,
        max_lifetime=3,
        pool_params={"connection_timeout": 4},
    )
    assert database.connect_params == plain
    assert database._pool_options.connect_timeout == 4


@pytest.mark.parametrize("kind", [*POSTGRES, *MYSQL])
def test_a_limit_for_connecting_is_for_both_drivers(kind: type[AioDatabase]) -> None:
    database = kind("unit", host="db", connect_timeout=2.5)
    assert database._pool_options.connect_timeout == 2.5
    assert database.connect_params["connect_timeout"] == 3
    assert "connect_timeout" not in database._aio_params()


def test_what_the_async_driver_of_postgres_gets() -> None:
    database = PostgresqlDatabase(
        "unit", host="db", user="ada", password="a b'\\", encoding="latin1"
    )
    assert database._aio_params() == {
        "dbname": "unit",
        "host": "db",
        "user": "ada",
        "password": "a b'\\",
        "client_encoding": "latin1",
        "enable_hstore": False,
    }
    # Nothing is made up: the client library has its own defaults.
    bare = PostgresqlDatabase("unit")._aio_params()
    assert bare == {"dbname": "unit", "enable_hstore": False}


def test_a_url_goes_to_postgres_as_it_is() -> None:
    url = "postgresql://ada:secret@db/unit"
    params = PostgresqlDatabase(url)._aio_params()
    assert params == {"dsn": url, "enable_hstore": False}


def test_what_the_async_driver_of_mysql_gets() -> None:
    params = MySQLDatabase("unit", host="db", passwd="secret")._aio_params()
    assert (params["db"], params["host"], params["password"]) == (
        "unit",
        "db",
        "secret",
    )
    assert "passwd" not in params


def test_hstore_is_on_and_can_be_turned_off() -> None:
    for kind in (PostgresqlExtDatabase, PooledPostgresqlExtDatabase):
        assert kind("unit")._aio_params()["enable_hstore"]
        off = kind("unit", register_hstore=False)
        assert not off._aio_params()["enable_hstore"]
        assert "register_hstore" not in off.connect_params


@pytest.mark.parametrize(
    "database",
    [
        PostgresqlDatabase("unit", host="db", port=5433, password="secret"),
        PostgresqlDatabase("postgresql://ada:secret@db/unit"),
        PostgresqlDatabase("postgres://ada:secret@db/unit"),
        MySQLDatabase("unit", host="db", passwd="secret", port=3307),
    ],
)
def test_messages_hold_no_password(database: AioDatabase) -> None:
    assert "secret" not in database._target()


def test_messages_tell_where_connections_go() -> None:
    database = PostgresqlDatabase("unit", host="db", port=5433)
    assert database._target() == "PostgreSQL at db:5433, database 'unit'"
    assert "at the default host, database" in PostgresqlDatabase("unit")._target()
    assert SqliteDatabase("unit.db")._target() == "SQLite database 'unit.db'"


@pytest.mark.parametrize(
    ("database", "driver", "extra"),
    [
        (PooledPostgresqlDatabase("unit"), "aiopg", "postgresql"),
        (PooledMySQLDatabase("unit"), "aiomysql", "mysql"),
        (SqliteDatabase("unit.db"), "aiosqlite", "sqlite"),
    ],
)
async def test_a_missing_driver_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, database: AioDatabase, driver: str, extra: str
) -> None:
    # It is missing here already, unless the tests run where drivers are installed.
    monkeypatch.setitem(sys.modules, driver, None)
    for name in [name for name in sys.modules if name.startswith("peewee_async.io.a")]:
        monkeypatch.delitem(sys.modules, name)
    text = rf"{driver} is not installed: pip install 'peewee-async\[{extra}\]'"
    with pytest.raises(peewee.ImproperlyConfigured, match=text) as caught:
        await database.aio_connect()
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


async def test_a_deferred_database() -> None:
    database = PostgresqlDatabase(None)
    objects = Manager(database)
    for call in (objects.connect, objects.atomic().__aenter__):
        with pytest.raises(peewee.InterfaceError, match="call init"):
            await call()
    with pytest.raises(peewee.InterfaceError, match="call init"):
        await database.aio_execute(peewee.Select(columns=[peewee.SQL("1")]))
    await database.aio_close()
    assert not database.is_connected


async def test_a_deferred_database_works_once_it_is_named(server: FakeServer) -> None:
    database = FakeDatabase(server)
    database.init(None)
    block = database.aio_atomic
    database.init("unit", max_connections=1)
    async with block():
        await database.send("INSERT 1")
    assert server.committed == ["INSERT 1"]
    await database.aio_close()


async def test_init_again_drops_the_connections(server: FakeServer) -> None:
    database = FakeDatabase(server)
    await database.send("SELECT 1")
    database.init("other", max_connections=3)
    assert server.alive == []
    await database.send("SELECT 2")
    assert len(server.alive) == 1
    assert database.sessions.pool.options.max_connections == 3
    await database.aio_close()


@pytest.mark.parametrize("kind", [peewee.Proxy, peewee.DatabaseProxy])
async def test_a_proxy_before_and_after_it_is_initialized(
    memory: MemoryDatabase, kind: Any
) -> None:
    proxy = kind()

    class User(peewee_async.AioModel):
        name: Any = peewee.CharField()

        class Meta:
            database = proxy

    objects = Manager(proxy)
    for call in (objects.connect, User.aio_get, User.select().aio_count):
        with pytest.raises(peewee.InterfaceError, match="proxy is not initialized"):
            await call()
    proxy.initialize(memory)
    with objects.allow_sync():
        User.create_table()
    await User.aio_create(name="ada")
    assert await objects.count(User.select()) == 1
    assert await User.select().aio_count() == 1


def test_a_database_of_peewee_alone_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot run async queries"):
        Manager(peewee.SqliteDatabase(":memory:")).allow_sync()


@pytest.mark.parametrize(
    ("scheme", "kind"),
    [
        ("postgres+async", PostgresqlDatabase),
        ("postgresql+async", PostgresqlDatabase),
        ("postgres+pool+async", PooledPostgresqlDatabase),
        ("postgresql+pool+async", PooledPostgresqlDatabase),
        ("postgresext+async", PostgresqlExtDatabase),
        ("postgresqlext+async", PostgresqlExtDatabase),
        ("postgresext+pool+async", PooledPostgresqlExtDatabase),
        ("postgresqlext+pool+async", PooledPostgresqlExtDatabase),
        ("mysql+async", MySQLDatabase),
        ("mysql+pool+async", PooledMySQLDatabase),
        ("sqlite+async", SqliteDatabase),
        ("sqlite+pool+async", PooledSqliteDatabase),
    ],
)
def test_urls(scheme: str, kind: type[AioDatabase]) -> None:
    if scheme.startswith("sqlite"):
        database = connect(f"{scheme}:///unit.db?max_connections=7")
        assert database.database == "unit.db"
    else:
        url = f"{scheme}://ada:se%40cret@db:99/unit?max_connections=7"
        database = connect(url, unquote_password=True)
        assert database.database == "unit"
        params = database._aio_params()
        assert (params["user"], params["host"], params["port"]) == ("ada", "db", 99)
        assert params["password"] == "se@cret"
    assert type(database) is kind
    assert database._pool_options.max_connections == 7
    assert "max_connections" not in database.connect_params


async def test_memory_is_shared_with_the_sync_connection(
    memory: MemoryDatabase,
) -> None:
    with memory.allow_sync():
        sync(memory, "CREATE TABLE t (n)")
        sync(memory, "INSERT INTO t VALUES (1)")
    query = peewee.Table("t", ["n"]).select().tuples()
    assert await memory.aio_execute(query) == [(1,)]
    await memory.aio_close()
    assert await memory.aio_execute(query) == [(1,)]


def test_memory_is_one_for_each_database() -> None:
    one, two = SqliteDatabase(":memory:"), PooledSqliteDatabase(":memory:")
    assert two._pool_options.max_connections == 1
    sync(one, "CREATE TABLE t (n)")
    assert one.get_tables() == ["t"]
    assert two.get_tables() == []
    for database in (one, two):
        database.close()
        database.init(None)


def test_memory_is_gone_with_its_database() -> None:
    database = SqliteDatabase(":memory:")
    memory = database._memory
    assert memory is not None
    uri = memory._uri
    sync(database, "CREATE TABLE t (n)")
    database.close()
    again = sqlite3.connect(uri, uri=True)
    assert again.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]
    again.close()
    del database, memory
    gc.collect()
    fresh = sqlite3.connect(uri, uri=True)
    assert fresh.execute("SELECT name FROM sqlite_master").fetchall() == []
    fresh.close()


def test_memory_has_what_the_database_asks_for() -> None:
    database = SqliteDatabase(":memory:", pragmas={"foreign_keys": 1})
    database.func("double")(lambda value: value * 2)
    assert sync(database, "PRAGMA foreign_keys") == [(1,)]
    assert sync(database, "SELECT double(4)") == [(8,)]
    database.close()
    database.init(None)


async def test_connecting_at_once_makes_one_pool(
    server: FakeServer, database: FakeDatabase
) -> None:
    await asyncio.gather(*(database.aio_connect() for _ in range(50)))
    assert database.is_connected
    assert server.attempts <= 2
    await database.aio_connect()
    assert server.attempts <= 2


async def test_everybody_who_connects_waits_for_it(server: FakeServer) -> None:
    database = FakeDatabase(server, max_connections=1)
    hold = server.hold(CONNECT)
    tasks = [asyncio.create_task(database.aio_connect()) for _ in range(2)]
    await hold.reached.wait()
    await turns()
    assert [task.done() for task in tasks] == [False, False]
    assert not database.is_connected
    hold.release()
    await asyncio.gather(*tasks)
    assert database.is_connected
    await database.aio_close()


async def test_connecting_fails_as_often_as_it_is_tried(
    server: FakeServer, database: FakeDatabase
) -> None:
    server.refusal = OSError("refused")
    for _ in range(2):
        with pytest.raises(
            peewee.OperationalError, match=r"^Cannot connect to Postgre"
        ):
            await database.aio_connect()
        assert not database.is_connected
    server.refusal = None
    await database.aio_connect()
    assert database.is_connected


async def test_connecting_can_be_given_less_time(
    server: FakeServer, database: FakeDatabase
) -> None:
    hold = server.hold(CONNECT)
    text = r"^Not connected to PostgreSQL at .* within 0\.01 s \(timeout\)\.$"
    for call in (database.aio_connect, database.connect_async):
        with pytest.raises(peewee.OperationalError, match=text):
            await call(timeout=0.01)
    assert not database.is_connected
    hold.release()
    await database.connect_async(timeout=60)
    assert database.is_connected
    await database.connect_async(timeout=0)  # there is nothing to wait for


async def test_the_older_names(server: FakeServer, database: FakeDatabase) -> None:
    await database.connect_async()
    assert database.is_connected
    await database.connect_async(asyncio.get_running_loop(), None)
    await database.connect_async(loop=asyncio.get_running_loop(), timeout=9)
    async with database.atomic_async(read_only=True):
        async with database.savepoint_async():
            pass
        async with database.savepoint_async(sid="mine") as block:
            await block.rollback(begin=False)
    serializable = database.transaction_async(isolation_level="serializable")
    async with serializable, database.atomic_async():
        await database.send("INSERT 1")
    assert server.sent == [
        "BEGIN READ ONLY",
        'SAVEPOINT "s1"',
        'RELEASE SAVEPOINT "s1"',
        'SAVEPOINT "mine"',
        'ROLLBACK TO SAVEPOINT "mine"',
        "COMMIT",
        "BEGIN ISOLATION LEVEL SERIALIZABLE",
        'SAVEPOINT "s1"',
        "INSERT 1",
        'RELEASE SAVEPOINT "s1"',
        "COMMIT",
    ]
    await database.close_async()
    assert not database.is_connected


async def test_connecting_on_another_loop_is_refused(database: FakeDatabase) -> None:
    other = asyncio.new_event_loop()
    with pytest.raises(RuntimeError, match="call it from the loop that you give"):
        await database.connect_async(loop=other)
    other.close()
    assert not database.is_connected


async def test_the_depth_of_transactions_is_that_of_peewee(
    memory: MemoryDatabase,
) -> None:
    found: list[int] = []
    wanted: list[int] = []
    async with memory.atomic_async():
        found.append(memory.transaction_depth_async())
        async with memory.atomic_async():
            found.append(memory.transaction_depth_async())
            async with memory.transaction_async():
                found.append(memory.transaction_depth_async())
    found.append(memory.transaction_depth_async())
    with memory.allow_sync():
        with memory.atomic():
            wanted.append(memory.transaction_depth())
            with memory.atomic():
                wanted.append(memory.transaction_depth())
                with memory.transaction():
                    wanted.append(memory.transaction_depth())
        wanted.append(memory.transaction_depth())
    assert found == wanted == [1, 1, 2, 0]


async def test_the_depth_is_that_of_the_task(database: FakeDatabase) -> None:
    async def depth() -> int:
        return database.transaction_depth_async()

    async with database.atomic_async():
        assert await asyncio.create_task(depth()) == 1
        # A thread has the context, but no event loop and so no block.
        assert await asyncio.to_thread(database.transaction_depth_async) == 0
        other = FakeDatabase(FakeServer())
        assert other.transaction_depth_async() == 0
    assert await depth() == 0


def test_the_depth_where_no_event_loop_runs() -> None:
    assert PostgresqlDatabase("unit").transaction_depth_async() == 0
    assert PostgresqlDatabase(None).transaction_depth_async() == 0


async def test_the_depth_in_a_lost_block(
    server: FakeServer, database: FakeDatabase
) -> None:
    server.fail("INSERT", OSError("gone"), breaks=True)
    block = database.atomic_async()
    await block.__aenter__()
    with pytest.raises(OSError, match="gone"):
        await database.send("INSERT 1")
    assert database.transaction_depth_async() == 1
    with pytest.raises(peewee.OperationalError, match="lost"):
        await block.__aexit__(None, None, None)
    assert database.transaction_depth_async() == 0


async def test_connecting_in_a_block_waits_for_nothing(server: FakeServer) -> None:
    database = FakeDatabase(server, max_connections=1)
    async with database.aio_atomic():
        await database.aio_connect()
    assert server.sent == ["BEGIN", "COMMIT"]
    await database.aio_close()


async def test_the_version_of_the_server_is_learned(
    server: FakeServer, database: FakeDatabase
) -> None:
    assert database.server_version is None
    await database.send("SELECT 1")
    assert database.server_version == 170000


def test_mysql_loses_no_characters_and_cuts_no_values() -> None:
    params = MySQLDatabase("test").connect_params
    assert params["charset"] == "utf8mb4"
    assert "STRICT_TRANS_TABLES" in (params.get("sql_mode") or "STRICT_TRANS_TABLES")
    assert MySQLDatabase("test", charset="latin1").connect_params["charset"] == "latin1"
