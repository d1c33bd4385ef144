"""Rulings 4 to 8: limits, options of the driver, names and URLs, extensions."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import peewee
import pytest
from playhouse.db_url import connect
from playhouse.postgres_ext import BinaryJSONField, HStoreField

import peewee_async
import peewee_asyncext
from peewee_async import AioDatabase, AioModel, Manager
from tests.integration.backends import POOLED, SINGLE, Backend
from tests.integration.checks import (
    both_kinds,
    limit,
    only,
    quiet,
    run_python,
    statistics,
)
from tests.integration.conftest import CreateTables, MakeDatabase
from tests.integration.models import User
from tests.integration.rulings.common import (
    SEVEN,
    add,
    blocks_open,
    connection_number,
    connections,
    is_full_at,
    sleep,
    until,
)
from tests.integration.test_connecting import Relay, silent_server

servers_only = only("postgres", "mysql")

# 4. Pools and limits


@servers_only
async def test_ruling_04_a_single_connection_is_queued_for(
    make_database: MakeDatabase, backend: Backend, sync: Any
) -> None:
    objects = Manager(make_database(pooled=False))
    numbers = await asyncio.gather(
        *(connection_number(objects, backend) for _ in range(20))
    )
    assert len(set(numbers)) == 1
    assert connections(backend, sync) == 1


async def test_ruling_04_a_single_class_has_one_connection(
    make_database: MakeDatabase,
) -> None:
    assert await is_full_at(make_database(pooled=False), 1)


@servers_only
async def test_ruling_04_the_sizes_of_pools(backend: Backend, path: Path) -> None:
    name, options = backend.options(path)
    database = POOLED[backend.name](name, **options)
    await database.aio_connect()
    assert statistics(database).size == 1
    assert await is_full_at(database, {"postgres": 20, "mysql": 10}[backend.name])
    await database.aio_close()


@only("postgres")
async def test_ruling_04_the_sizes_of_databases_with_extensions(
    backend: Backend, path: Path
) -> None:
    name, options = backend.options(path)
    for kind, size in (
        (peewee_async.PostgresqlExtDatabase, 1),
        (peewee_async.PooledPostgresqlExtDatabase, 20),
    ):
        database = kind(name, **options)
        assert await is_full_at(database, size)
        await database.aio_close()


SIZES: list[dict[str, Any]] = [
    {"min_connections": 2, "max_connections": 2},
    {"minsize": 2, "maxsize": 2},
    {"min_size": 2, "max_size": 2},
    {"pool_params": {"minsize": 2, "maxsize": 2}},
]


@pytest.mark.parametrize("kinds", [SINGLE, POOLED], ids=["single", "pooled"])
async def test_ruling_04_every_class_accepts_sizes(
    backend: Backend, path: Path, kinds: Any
) -> None:
    name, own = backend.options(path)
    for options in SIZES:
        database = kinds[backend.name](name, **own, **options)
        assert await is_full_at(database, 2), options
        await database.aio_close()


@servers_only
async def test_ruling_04_connections_are_held_ready(
    make_database: MakeDatabase, backend: Backend, sync: Any
) -> None:
    database = make_database(min_connections=3, max_connections=4)
    await database.aio_connect()
    await until(lambda: statistics(database).idle == 3)
    assert connections(backend, sync) == 3


@servers_only
async def test_ruling_04_the_limit_of_connecting(make_database: MakeDatabase) -> None:
    async with silent_server() as port:
        database = make_database(host="127.0.0.1", port=port, connect_timeout=0.1)
        with pytest.raises(peewee.OperationalError, match="connect_timeout"):
            await database.aio_connect()


async def test_ruling_04_the_limit_of_acquiring(make_database: MakeDatabase) -> None:
    database = make_database(pooled=False)
    await database.aio_connect()
    limit(database, acquire_timeout=0.1)
    async with blocks_open(database, 1):
        with pytest.raises(peewee.OperationalError, match="acquire_timeout"):
            await database.aio_execute(SEVEN)
    assert await database.aio_execute(SEVEN)


@servers_only
async def test_ruling_04_the_limit_of_a_query(
    make_database: MakeDatabase, backend: Backend
) -> None:
    database = make_database(query_timeout=0.1)
    with pytest.raises(peewee.OperationalError, match="query_timeout"):
        await database.aio_execute(sleep(backend, 60))
    limit(database, query_timeout=None)
    assert await database.aio_execute(SEVEN)


@servers_only
async def test_ruling_04_the_limits_are_separate(
    make_database: MakeDatabase, backend: Backend
) -> None:
    """A query may take longer than one may wait for a connection."""
    database = make_database()
    await database.aio_connect()
    limit(database, acquire_timeout=0.1)
    assert len(await database.aio_execute(sleep(backend, 0.3))) == 1


@both_kinds
async def test_ruling_04_pool_options_never_reach_the_sync_driver(
    make_database: MakeDatabase, pooled: bool
) -> None:
    database: Any = make_database(
        pooled=pooled,
        min_connections=1,
        max_connections=2,
        connect_timeout=10,
        acquire_timeout=10,
        query_timeout=10,
        max_lifetime=10,
        pool_params={"minsize": 1},
    )
    with database.allow_sync():
        database.connect()
        assert database.execute_sql("SELECT 7").fetchone() == (7,)
    assert await database.aio_execute(SEVEN)


# 5. What the driver is given


@only("postgres")
def test_ruling_05_the_environment_of_the_client_library(backend: Backend) -> None:
    assert backend.server is not None
    program = f"""
import asyncio, peewee, peewee_async
database = peewee_async.PostgresqlDatabase({backend.database!r})
print(database.execute_sql("SHOW application_name").fetchone())
database.close()
async def main():
    query = peewee.RawQuery("SHOW application_name").tuples()
    print((await database.aio_execute(query))[0])
asyncio.run(main())
"""
    done = run_python(
        program,
        PGHOST=backend.server.host,
        PGPORT=str(backend.server.port),
        PGUSER=backend.server.user,
        PGPASSWORD=backend.server.password,
        PGAPPNAME="named by PGAPPNAME",
    )
    assert quiet(done) == "('named by PGAPPNAME',)\n" * 2


@asynccontextmanager
async def unix_socket(backend: Backend, name: str) -> AsyncIterator[Path]:
    """Have a unix socket that leads to the server."""
    assert backend.server is not None
    relay = Relay(backend.server.host, backend.server.port)
    # The path of a socket may be about 100 bytes long: pytest's folders are longer.
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder, name)
        server = await asyncio.start_unix_server(relay, socket)
        try:
            yield socket
        finally:
            server.close()
        await relay.ended()


@only("postgres")
async def test_ruling_05_a_unix_socket(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert backend.server is not None
    async with unix_socket(backend, ".s.PGSQL.5432") as socket:
        monkeypatch.setenv("PGHOST", str(socket.parent))
        monkeypatch.setenv("PGPORT", "5432")
        monkeypatch.setenv("PGUSER", backend.server.user)
        monkeypatch.setenv("PGPASSWORD", backend.server.password)
        objects = Manager(peewee_async.PostgresqlDatabase(backend.database))
        assert await objects.scalar(SEVEN) == 7
        await objects.close()


@only("mysql")
async def test_ruling_05_a_unix_socket_of_mysql(backend: Backend) -> None:
    assert backend.server is not None
    account = {"user": backend.server.user, "password": backend.server.password}
    async with unix_socket(backend, "mysql.sock") as socket:
        database = peewee_async.MySQLDatabase(
            backend.database, unix_socket=str(socket), **account
        )
        assert await Manager(database).scalar(SEVEN) == 7
        await database.aio_close()


PASSWORDS = [
    "two words",
    "'single' \"double\"",
    "back\\slash\\",
    "100%s %(name)s %%",
    "üñí€𝄞",
    "user=x;host=y&z?#@:/",
]


@contextmanager
def account(backend: Backend, sync: Any, password: str) -> Iterator[str]:
    """Have an account with this password on the server."""
    name = f"odd_{secrets.token_hex(4)}"
    if backend.name == "postgres":
        sync.execute_sql(f"CREATE ROLE {name} LOGIN PASSWORD %s", (password,))
        yield name
        sync.execute_sql(f"DROP ROLE {name}")
    else:
        sync.execute_sql(f"CREATE USER {name} IDENTIFIED BY %s", (password,))
        sync.execute_sql(f"GRANT ALL ON {backend.database}.* TO {name}")
        yield name
        sync.execute_sql(f"DROP USER {name}")


@servers_only
async def test_ruling_05_any_password(
    make_database: MakeDatabase, backend: Backend, sync: Any
) -> None:
    for password in PASSWORDS:
        with account(backend, sync, password) as user:
            given = make_database(user=user, password=password)
            assert await given.aio_execute(SEVEN), password
            await given.aio_close()


@servers_only
async def test_ruling_05_any_password_in_a_url(backend: Backend, sync: Any) -> None:
    server = backend.server
    assert server is not None
    place = f"{server.host}:{server.port}/{backend.database}"
    for password in PASSWORDS:
        with account(backend, sync, password) as user:
            secret = f"{user}:{quote(password, safe='')}"
            url = f"{backend.name}+async://{secret}@{place}"
            given = connect(url, unquote_password=True)
            assert await given.aio_execute(SEVEN), password
            await given.aio_close()


DRIVER_OPTIONS: dict[str, Any] = {
    "postgres": (
        {"application_name": "it's \\ 100%", "options": "-c work_mem=1234kB"},
        "SELECT current_setting('application_name'), current_setting('work_mem')",
        ("it's \\ 100%", "1234kB"),
    ),
    "mysql": (
        {"init_command": "SET @x = 'two \"words\"'", "charset": "latin1"},
        "SELECT @x, @@character_set_client",
        ('two "words"', "latin1"),
    ),
    "sqlite": (
        {"cached_statements": 3, "pragmas": {"cache_size": -77}},
        "SELECT cache_size, 1 FROM pragma_cache_size",
        (-77, 1),
    ),
}


async def test_ruling_05_any_driver_option(
    backend: Backend, path: Path, objects: Manager
) -> None:
    more, sql, values = DRIVER_OPTIONS[backend.name]
    name, own = backend.options(path)
    database: Any = SINGLE[backend.name](name, **own | more)
    rows = await database.aio_execute(User.raw(sql.replace("%", "%%")).tuples())
    assert list(rows) == [values]
    with database.allow_sync():
        assert database.execute_sql(sql).fetchone() == values
    await database.aio_close()


# 6. Databases that are named later


@pytest.mark.parametrize("kinds", [SINGLE, POOLED], ids=["single", "pooled"])
async def test_ruling_06_a_deferred_database(
    backend: Backend, path: Path, objects: Manager, kinds: Any
) -> None:
    await add(objects, "ada")
    database = kinds[backend.name](None)
    late = Manager(database)
    name, options = backend.options(path)
    for _ in range(2):
        assert not late.is_connected
        with pytest.raises(peewee.InterfaceError, match="init"):
            await late.get(User)
        with pytest.raises(peewee.InterfaceError, match="init"):
            await late.connect()
        with pytest.raises(peewee.InterfaceError, match="init"):
            async with late.atomic():
                pass
        database.init(name, **options)
        assert (await late.get(User)).name == "ada"
        await late.close()
        database.init(None)


PROXIES = pytest.mark.parametrize("kind", [peewee.Proxy, peewee.DatabaseProxy])


@PROXIES
async def test_ruling_06_a_manager_of_a_proxy(
    objects: Manager, kind: type[peewee.Proxy]
) -> None:
    proxy = kind()
    early = Manager(proxy)
    proxy.initialize(objects.database)
    for through in (early, Manager(proxy)):
        async with through.atomic():
            await through.get_or_create(User, name="ada")
    assert await objects.count(User) == 1
    assert early.is_connected


@PROXIES
async def test_ruling_06_a_model_of_a_proxy(
    objects: Manager, kind: type[peewee.Proxy]
) -> None:
    proxy = kind()

    class Late(AioModel):
        name: Any = peewee.CharField()

        class Meta:
            database = proxy
            table_name = "user"

    made_early = Late.select(Late.name)
    await add(objects, "ada")
    with pytest.raises(peewee.InterfaceError, match="initialize"):
        await Late.aio_get(name="ada")
    proxy.initialize(objects.database)
    assert (await Late.select(Late.name).aio_get()).name == "ada"
    assert (await made_early.aio_get()).name == "ada"


# 7. URLs

CLASSES: dict[str, type[AioDatabase]] = {
    "postgres+async": peewee_async.PostgresqlDatabase,
    "postgresql+async": peewee_async.PostgresqlDatabase,
    "postgres+pool+async": peewee_async.PooledPostgresqlDatabase,
    "postgresql+pool+async": peewee_async.PooledPostgresqlDatabase,
    "postgresext+async": peewee_async.PostgresqlExtDatabase,
    "postgresqlext+async": peewee_async.PostgresqlExtDatabase,
    "postgresext+pool+async": peewee_async.PooledPostgresqlExtDatabase,
    "postgresqlext+pool+async": peewee_async.PooledPostgresqlExtDatabase,
    "mysql+async": peewee_async.MySQLDatabase,
    "mysql+pool+async": peewee_async.PooledMySQLDatabase,
    "sqlite+async": peewee_async.SqliteDatabase,
    "sqlite+pool+async": peewee_async.PooledSqliteDatabase,
}


@pytest.mark.parametrize(("scheme", "kind"), CLASSES.items())
def test_ruling_07_the_class_of_a_scheme(scheme: str, kind: type[AioDatabase]) -> None:
    database: Any = connect(f"{scheme}://me:pass@db.example:1234/name")
    assert type(database) is kind
    if "sqlite" not in scheme:
        assert database.database == "name"
        assert database.connect_params["host"] == "db.example"
        assert database.connect_params["port"] == 1234


async def test_ruling_07_every_scheme_connects(
    backend: Backend, path: Path, objects: Manager
) -> None:
    await add(objects, "ada")
    tried = 0
    for scheme in CLASSES:
        if not scheme.startswith(backend.name):
            continue
        tried += 1
        place = f"/{path}"
        if server := backend.server:
            secret = f"{server.user}:{server.password}"
            place = f"{secret}@{server.host}:{server.port}/{backend.database}"
        through = Manager(connect(f"{scheme}://{place}"))
        assert (await through.get(User)).name == "ada"
        await through.close()
    assert tried == {"postgres": 8, "mysql": 2, "sqlite": 2}[backend.name]


async def test_ruling_07_options_in_a_url() -> None:
    database: Any = connect("sqlite+pool+async:///:memory:?cached_statements=7")
    assert database.connect_params == {"cached_statements": 7}
    assert await is_full_at(database, 1)
    await database.aio_close()


# 8. PostgreSQL with extensions

EXT = pytest.mark.parametrize(
    "kind",
    [
        peewee_asyncext.PostgresqlExtDatabase,
        peewee_asyncext.PooledPostgresqlExtDatabase,
    ],
)


def test_ruling_08_both_names_are_in_both_modules() -> None:
    for name in ("PostgresqlExtDatabase", "PooledPostgresqlExtDatabase"):
        assert getattr(peewee_asyncext, name) is getattr(peewee_async, name)


class Labelled(peewee.Model):
    id: Any = peewee.AutoField()
    data: Any = BinaryJSONField(null=True, index=False)
    labels: Any = HStoreField(index=False)


@pytest.fixture
def hstore(sync: Any) -> Iterator[None]:
    sync.execute_sql("CREATE EXTENSION hstore")
    yield
    sync.execute_sql("DROP EXTENSION hstore CASCADE")


@only("postgres")
@EXT
async def test_ruling_08_json_is_always_on(
    kind: Any, backend: Backend, path: Path
) -> None:
    name, options = backend.options(path)
    sql = """SELECT '{"a": [1, null]}'::json, '{"a": [1, null]}'::jsonb"""
    for more in ({}, {"register_hstore": False}):
        objects = Manager(kind(name, **options, **more))
        (row,) = await objects.execute(User.raw(sql).tuples())
        assert row == ({"a": [1, None]},) * 2
        await objects.close()


@only("postgres")
@EXT
@pytest.mark.usefixtures("hstore")
async def test_ruling_08_hstore_is_on_by_default(
    kind: Any, backend: Backend, path: Path, tables: CreateTables
) -> None:
    tables(Labelled)
    name, options = backend.options(path)
    objects = Manager(kind(name, **options))
    made = await objects.create(Labelled, labels={"a": "1", "b": None})
    found = await objects.get(Labelled, id=made.id)
    assert found.labels == {"a": "1", "b": None}
    has_a = Labelled.labels.contains("a")
    assert await objects.count(Labelled.select().where(has_a)) == 1
    await objects.close()


@only("postgres")
@EXT
@pytest.mark.usefixtures("hstore")
async def test_ruling_08_hstore_can_be_turned_off(
    kind: Any, backend: Backend, path: Path
) -> None:
    name, options = backend.options(path)
    objects = Manager(kind(name, **options, register_hstore=False))
    query = User.raw("SELECT 'a=>1'::hstore").tuples()
    assert await objects.execute(query) == [('"a"=>"1"',)]
    await objects.close()


@only("postgres")
@EXT
async def test_ruling_08_a_server_without_the_extension_is_no_error(
    kind: Any, backend: Backend, path: Path
) -> None:
    name, options = backend.options(path)
    objects = Manager(kind(name, **options))
    assert await objects.scalar(SEVEN) == 7
    with objects.allow_sync():
        assert objects.database.execute_sql("SELECT 7").fetchone() == (7,)
    await objects.close()


@pytest.fixture
def no_hstore_left(sync: Any) -> Iterator[None]:
    yield
    sync.execute_sql("DROP EXTENSION IF EXISTS hstore CASCADE")


@only("postgres")
@pytest.mark.usefixtures("no_hstore_left")
@EXT
async def test_ruling_08_the_extension_is_created_after_the_pool_opened(
    kind: Any, backend: Backend, path: Path, sync: Any
) -> None:
    name, options = backend.options(path)
    objects = Manager(kind(name, **options))
    assert await objects.scalar(SEVEN) == 7
    sync.execute_sql("CREATE EXTENSION hstore")
    query = User.raw("SELECT 'a=>1, b=>NULL'::hstore").tuples()
    assert await objects.execute(query.clone()) == [({"a": "1", "b": None},)]
    async with objects.atomic():
        assert await objects.execute(query.clone()) == [({"a": "1", "b": None},)]
    await objects.close()
