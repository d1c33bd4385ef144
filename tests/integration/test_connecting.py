"""Servers that are not there, refuse or say nothing; event loops that come and go."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_async import AioDatabase, Manager
from tests.integration.backends import Backend, run_alone
from tests.integration.checks import both_kinds, only, quiet, run_python, statistics
from tests.integration.conftest import MakeDatabase
from tests.integration.models import User, people

HOST = "127.0.0.1"
SECRET = "s3cret-passw0rd"

servers_only = only("postgres", "mysql")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


async def refused(database: AioDatabase, target: str) -> peewee.OperationalError:
    """Check that connecting fails as it should, in each way to connect."""
    objects = Manager(database)
    started = asyncio.get_running_loop().time()
    with pytest.raises(peewee.OperationalError) as caught:
        await objects.connect()
    with pytest.raises(peewee.OperationalError):
        await objects.connect()
    assert not objects.is_connected
    with pytest.raises(peewee.OperationalError):
        await objects.get(User)
    with pytest.raises(peewee.OperationalError):
        async with objects.atomic():
            pass
    results = await asyncio.gather(
        *(objects.count(User) for _ in range(7)), return_exceptions=True
    )
    assert {type(result) for result in results} == {peewee.OperationalError}
    assert asyncio.get_running_loop().time() - started < 60
    error = caught.value
    assert str(error).startswith("Cannot connect to ")
    assert target in str(error)
    assert error.__cause__ is not None
    chain: BaseException | None = error
    while chain is not None:
        assert SECRET not in repr(chain)
        chain = chain.__cause__
    count = statistics(database)
    assert (count.busy, count.waiting) == (0, 0)
    return error


def is_of_driver(error: BaseException, backend: Backend) -> bool:
    kinds = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
    return {"postgres": "psycopg2", "mysql": "pymysql"}[backend.name] in kinds


# Refusals


@servers_only
@both_kinds
async def test_a_port_where_nobody_listens(
    make_database: MakeDatabase, backend: Backend, pooled: bool
) -> None:
    port = free_port()
    database = make_database(pooled=pooled, host=HOST, port=port, password=SECRET)
    error = await refused(database, str(port))
    assert error.__cause__ is not None
    assert is_of_driver(error.__cause__, backend)


@servers_only
async def test_a_host_that_has_no_address(make_database: MakeDatabase) -> None:
    host = "no-such-host.invalid"
    await refused(make_database(host=host, password=SECRET), host)


@servers_only
async def test_a_wrong_user(make_database: MakeDatabase, backend: Backend) -> None:
    user = f"nobody_{secrets.token_hex(4)}"
    error = await refused(make_database(user=user, password=SECRET), user)
    assert error.__cause__ is not None
    assert is_of_driver(error.__cause__, backend)


@servers_only
async def test_a_wrong_password(make_database: MakeDatabase, backend: Backend) -> None:
    assert backend.server is not None
    error = await refused(make_database(password=SECRET), backend.server.user)
    assert error.__cause__ is not None
    assert is_of_driver(error.__cause__, backend)


@servers_only
async def test_a_wrong_name_of_the_database(
    make_database: MakeDatabase, backend: Backend
) -> None:
    name = f"nowhere_{secrets.token_hex(4)}"
    error = await refused(make_database(name=name), name)
    assert error.__cause__ is not None
    assert is_of_driver(error.__cause__, backend)


@only("sqlite")
@both_kinds
async def test_a_file_that_cannot_be(
    make_database: MakeDatabase, tmp_path: Path, pooled: bool
) -> None:
    name = str(tmp_path / "missing" / "test.db")
    await refused(make_database(pooled=pooled, name=name), name)


# Silence


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """Accept connections and say nothing."""
    writers: list[asyncio.StreamWriter] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(accept, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


@servers_only
@both_kinds
async def test_a_server_that_says_nothing(
    make_database: MakeDatabase, pooled: bool
) -> None:
    async with silent_server() as port:
        database = make_database(
            pooled=pooled, host=HOST, port=port, password=SECRET, connect_timeout=0.1
        )
        error = await refused(database, str(port))
    assert "connect_timeout" in str(error)


@servers_only
async def test_one_who_waits_for_a_silent_server_can_be_cancelled(
    make_database: MakeDatabase,
) -> None:
    async with silent_server() as port:
        objects = Manager(make_database(host=HOST, port=port, connect_timeout=60))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await objects.connect()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await objects.count(User)
        await objects.close()


# Once the cause is gone


class Relay:
    """Passes bytes on to a server, from a port of our own."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._busy: list[asyncio.Future[Any]] = []

    async def __call__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there = await asyncio.open_connection(*self._target)
        both = asyncio.gather(
            self._pass_on(reader, there[1]), self._pass_on(there[0], writer)
        )
        self._busy.append(both)
        await both

    async def ended(self) -> None:
        """Wait for the end of its connections, as servers do only since Python 3.12."""
        await asyncio.gather(*self._busy)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@servers_only
@both_kinds
async def test_a_server_that_comes_up_later(
    make_database: MakeDatabase, backend: Backend, objects: Manager, pooled: bool
) -> None:
    assert backend.server is not None
    await objects.create(User, name="ada")
    port = free_port()
    database = make_database(pooled=pooled, host=HOST, port=port)
    through = Manager(database)
    with pytest.raises(peewee.OperationalError, match=str(port)):
        await through.get(User)
    relay = Relay(backend.server.host, backend.server.port)
    server = await asyncio.start_server(relay, HOST, port)
    assert (await through.get(User)).name == "ada"
    assert through.is_connected
    await through.close()
    server.close()
    await server.wait_closed()
    with pytest.raises(peewee.OperationalError, match=str(port)):
        await through.get(User)


@servers_only
async def test_a_database_that_is_created_later(
    make_database: MakeDatabase, sync: Any
) -> None:
    name = f"late_{secrets.token_hex(4)}"
    objects = Manager(make_database(name=name))
    query = peewee.Select(columns=[peewee.Value(7)])
    with pytest.raises(peewee.OperationalError, match=name):
        await objects.scalar(query)
    run_alone(sync, f"CREATE DATABASE {name}")
    assert await objects.scalar(query) == 7
    await objects.close()
    run_alone(sync, f"DROP DATABASE {name}")


@contextmanager
def new_account(backend: Backend, sync: Any, name: str) -> Iterator[None]:
    if backend.name == "postgres":
        run_alone(sync, f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
        yield
        run_alone(sync, f"DROP ROLE {name}")
    else:
        run_alone(sync, f"CREATE USER {name} IDENTIFIED BY '{SECRET}'")
        run_alone(sync, f"GRANT ALL ON {backend.database}.* TO {name}")
        yield
        run_alone(sync, f"DROP USER {name}")


@servers_only
async def test_an_account_that_is_created_later(
    make_database: MakeDatabase, backend: Backend, sync: Any
) -> None:
    name = f"late_{secrets.token_hex(4)}"
    objects = Manager(make_database(user=name, password=SECRET))
    query = peewee.Select(columns=[peewee.Value(7)])
    with pytest.raises(peewee.OperationalError, match=name):
        await objects.scalar(query)
    with new_account(backend, sync, name):
        assert await objects.scalar(query) == 7
        await objects.close()


@servers_only
async def test_a_password_of_any_characters(
    make_database: MakeDatabase, backend: Backend, sync: Any
) -> None:
    name = f"odd_{secrets.token_hex(4)}"
    password = "p w'\"\\=;%s@:/?#€ü"
    quoted = password.replace("\\", "\\\\") if backend.name == "mysql" else password
    quoted = quoted.replace("'", "''").replace("%", "%%")
    verb = "ALTER ROLE" if backend.name == "postgres" else "ALTER USER"
    how = "PASSWORD" if backend.name == "postgres" else "IDENTIFIED BY"
    with new_account(backend, sync, name):
        run_alone(sync, f"{verb} {name} {how} '{quoted}'")
        objects = Manager(make_database(user=name, password=password))
        assert await objects.scalar(peewee.Select(columns=[peewee.Value(7)])) == 7
        await objects.close()


# What is learnt


@servers_only
async def test_the_version_of_the_server(
    make_database: MakeDatabase, backend: Backend
) -> None:
    database: Any = make_database()
    assert database.server_version is None
    await database.aio_connect()
    learnt = database.server_version
    other: Any = make_database()
    with other.allow_sync():
        other.connect()
        assert other.server_version == learnt


async def test_an_upsert_as_the_first_query(
    objects: Manager, make_database: MakeDatabase, sync: Any, backend: Backend
) -> None:
    with User.bind_ctx(sync, False, False):
        User.insert_many(people(2)).execute()
    rows = [{"name": "user1", "age": 50}, {"name": "new", "age": 51}]
    target = {} if backend.name == "mysql" else {"conflict_target": [User.name]}
    query = User.insert_many(rows).on_conflict(preserve=[User.age], **target)
    await Manager(make_database()).execute(query)
    names = User.select(User.name, User.age).order_by(User.name).tuples()
    assert await objects.execute(names) == [("new", 51), ("user0", 0), ("user1", 50)]


async def test_a_nested_compound_as_the_first_query(
    objects: Manager, make_database: MakeDatabase, sync: Any
) -> None:
    with User.bind_ctx(sync, False, False):
        User.insert_many(people(4)).execute()

    def aged(age: int) -> Any:
        return User.select(User.age).where(User.age == age)

    query = ((aged(0) | aged(1)) | (aged(2) | aged(3))).order_by(peewee.SQL("1"))
    rows = await Manager(make_database()).execute(query.tuples())
    assert rows == [(0,), (1,), (2,), (3,)]


@servers_only
async def test_what_is_logged(
    objects: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "peewee.async"):
        await objects.get_or_none(User, name="ada")
    messages: list[Any] = [
        record.msg for record in caplog.records if record.name == "peewee.async"
    ]
    assert any("ada" in params for _, params in messages)


# Event loops that come and go


PROGRAM = """
import asyncio
import peewee
import peewee_async
from peewee_async import Manager

database = {database}
{objects}

class PageBlock(peewee_async.AioModel):
    key = peewee.CharField(max_length=40, unique=True)
    text = peewee.TextField(default='')

    class Meta:
        database = database

PageBlock.create_table(True)

async def my_async_func():
    await PageBlock.aio_create(key='title', text="Peewee is AWESOME with async!")
    title = await PageBlock.aio_get(PageBlock, key='title')
    print("Was:", title.text)
    title.text = "Peewee is SUPER awesome with async!"
    await objects.update(title)
    print("New:", title.text)
"""
LINES = """\
Was: Peewee is AWESOME with async!
New: Peewee is SUPER awesome with async!
"""
THREE_RUNS = """
objects = Manager(database)

async def again():
    await my_async_func()
    async with objects.atomic():
        await asyncio.gather(*(objects.count(PageBlock.select()) for _ in range(3)))
    await asyncio.gather(*(objects.count(PageBlock.select()) for _ in range(9)))
    await objects.delete(await objects.get(PageBlock, key='title'))

for _ in range(3):
    asyncio.run(again())
"""


@pytest.fixture
def without_page(backend: Backend, sync: Any) -> Iterator[None]:
    """Drop the table of the programs."""
    yield
    if backend.server is not None:
        sync.execute_sql("DROP TABLE IF EXISTS pageblock")


@both_kinds
@pytest.mark.usefixtures("without_page")
def test_three_runs_with_one_database(
    backend: Backend, path: Path, pooled: bool
) -> None:
    source = backend.source(path, pooled=pooled)
    program = PROGRAM.format(database=source, objects="") + THREE_RUNS
    assert quiet(run_python(program)) == LINES * 3


@both_kinds
@pytest.mark.usefixtures("without_page")
def test_the_example_with_a_loop_of_its_own(
    backend: Backend, path: Path, pooled: bool
) -> None:
    source = backend.source(path, pooled=pooled)
    start = "loop = asyncio.new_event_loop()\nobjects = Manager(database, loop=loop)"
    program = PROGRAM.format(database=source, objects=start)
    program += "loop.run_until_complete(my_async_func())\nloop.close()\n"
    assert quiet(run_python(program)) == LINES


@pytest.mark.usefixtures("without_page")
@pytest.mark.parametrize("turns", [1, 100])
@pytest.mark.parametrize("own_loop", [False, True])
def test_a_program_that_ends_after_a_cancelled_query(
    backend: Backend, path: Path, turns: int, own_loop: bool
) -> None:
    source = backend.source(path, pooled=True)
    program = PROGRAM.format(database=source, objects="objects = Manager(database)")
    program += f"""
async def main():
    task = asyncio.create_task(my_async_func())
    for _ in range({turns}):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    if {own_loop}:
        await objects.count(PageBlock.select())

if {own_loop}:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
else:
    asyncio.run(main())
"""
    quiet(run_python(program))


async def test_loops_in_threads(objects: Manager) -> None:
    """Each event loop has connections of its own."""
    await objects.create(User, name="ada")

    def use(number: int) -> str:
        async def main() -> str:
            user, _ = await objects.get_or_create(User, name=f"user{number}")
            assert await objects.count(User) >= 2
            name: str = user.name
            return name

        return asyncio.run(main())

    names = await asyncio.gather(*(asyncio.to_thread(use, n) for n in range(3)))
    assert names == ["user0", "user1", "user2"]
    assert await objects.count(User) == 4
