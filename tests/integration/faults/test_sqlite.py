"""Faults of SQLite: locks, a full disk, and files that are not what they should be."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_async import Manager, PooledSqliteDatabase, SqliteDatabase
from tests.integration.backends import Backend
from tests.integration.checks import only
from tests.integration.conftest import MakeDatabase
from tests.integration.faults.common import (
    Oops,
    recovered,
    require_driver,
    write,
)
from tests.integration.models import Line

pytestmark = [only("sqlite"), pytest.mark.usefixtures("backend")]

journals = pytest.mark.parametrize("journal", ["wal", "delete"])
kinds = pytest.mark.parametrize("kind", [SqliteDatabase, PooledSqliteDatabase])


@pytest.fixture
def open_database(path: Path, make_database: MakeDatabase) -> Any:
    """A function that makes a Manager of a database file with a table of lines."""

    def make(**options: Any) -> Manager:
        pragmas = {"journal_mode": "wal", "synchronous": 0}
        pragmas |= options.pop("pragmas", {})
        database = make_database(pragmas=pragmas, **options)
        with database.allow_sync(), database.bind_ctx([Line], False, False):
            database.create_tables([Line])
        return Manager(database)

    return make


def lines(path: Path) -> list[str]:
    """Read what was written, on a connection that sets nothing."""
    other = sqlite3.connect(path)
    rows = other.execute("SELECT text FROM line ORDER BY text").fetchall()
    other.close()
    return [text for (text,) in rows]


async def failing(work: Any, backend: Backend) -> str:
    with pytest.raises(peewee.OperationalError) as caught:
        await work
    require_driver(caught.value, backend)
    return str(caught.value)


# Locks


@journals
async def test_ten_writers_at_once(
    open_database: Any, path: Path, journal: str
) -> None:
    """On a connection each, some in blocks that read before they write."""
    pragmas = {"journal_mode": journal}
    writers = [
        open_database(pragmas=pragmas, pooled=False, timeout=30) for _ in range(10)
    ]

    async def work(objects: Manager, name: int) -> None:
        for number in range(5):
            if number % 2:
                await write(objects, f"{name}.{number}")
                continue
            async with objects.atomic():
                await objects.count(Line)
                await asyncio.sleep(0)
                await write(objects, f"{name}.{number}")

    await asyncio.gather(*(work(objects, n) for n, objects in enumerate(writers)))
    assert lines(path) == sorted(f"{n}.{m}" for n in range(10) for m in range(5))
    for objects in writers:
        assert objects.database.pool_statistics().discarded == 0


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock the file, as another process does."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@journals
async def test_locked_for_longer_than_the_timeout(
    open_database: Any, path: Path, backend: Backend, journal: str
) -> None:
    objects = open_database(pragmas={"journal_mode": journal}, timeout=0.05)
    await recovered(objects)
    with locked(path):
        assert "locked" in await failing(write(objects, "one"), backend)

        async def block() -> None:
            async with objects.atomic():
                raise AssertionError  # it does not even begin

        assert "locked" in await failing(block(), backend)
        count = objects.database.pool_statistics()
        assert (count.busy, count.waiting) == (0, 0)
    await write(objects, "two")
    assert lines(path) == ["two"]
    await recovered(objects)


async def test_locked_at_the_commit(
    open_database: Any, path: Path, backend: Backend
) -> None:
    """By a reader, in a database without WAL: nothing is committed."""
    objects = open_database(pragmas={"journal_mode": "delete"}, timeout=0.05)
    await objects.connect()
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM line").fetchall()

    async def block() -> None:
        async with objects.atomic():
            await write(objects, "one")

    assert "locked" in await failing(block(), backend)
    reader.execute("COMMIT")
    reader.close()
    assert lines(path) == []
    await write(objects, "two")
    assert lines(path) == ["two"]
    await recovered(objects)


LOCKER = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN EXCLUSIVE")
other.execute("INSERT INTO line VALUES ('other')")
print("locked", flush=True)
sys.stdin.readline()
"""


async def test_the_process_that_holds_the_lock_dies(
    open_database: Any, path: Path
) -> None:
    objects = open_database(timeout=30)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        LOCKER,
        str(path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"locked\n"
    writing = [asyncio.create_task(write(objects, str(n))) for n in range(5)]
    done, _ = await asyncio.wait(writing, timeout=0.05)
    assert not done
    process.kill()
    await process.wait()
    await asyncio.gather(*writing)
    assert lines(path) == ["0", "1", "2", "3", "4"]
    await recovered(objects)


# A disk that is full


async def fill(objects: Manager) -> None:
    for number in range(1000):
        await write(objects, f"{number}" * 1000)


def full(page_count: int = 20) -> dict[str, Any]:
    return {"page_size": 4096, "max_page_count": page_count}


@journals
async def test_the_disk_is_full(
    open_database: Any, backend: Backend, path: Path, journal: str
) -> None:
    objects = open_database(pragmas={"journal_mode": journal} | full())
    assert "full" in await failing(fill(objects), backend)
    written = len(lines(path))
    assert written
    assert await objects.count(Line) == written

    async def block() -> None:
        async with objects.atomic():
            await fill(objects)

    assert "full" in await failing(block(), backend)
    assert len(lines(path)) == written
    assert await objects.execute(Line.delete()) == written
    await write(objects, "again")
    assert lines(path) == ["again"]
    await recovered(objects)


async def test_the_disk_is_full_and_the_error_is_swallowed(
    open_database: Any, path: Path
) -> None:
    """SQLite may roll back by itself then: no commit is reported that was none."""
    objects = open_database(pragmas=full())
    committed = False
    with suppress(peewee.PeeweeException):
        async with objects.atomic():
            await write(objects, "first")
            with pytest.raises(peewee.OperationalError, match="full"):
                await fill(objects)
        committed = True
    assert ("first" in lines(path)) == committed
    await recovered(objects)


async def test_a_statement_that_rolls_back_by_itself(
    open_database: Any, path: Path
) -> None:
    objects = open_database()
    await objects.execute(Line.raw("CREATE UNIQUE INDEX once ON line (text)"))
    with pytest.raises(peewee.OperationalError, match="lost"):
        async with objects.atomic():
            await write(objects, "one")
            again = "INSERT OR ROLLBACK INTO line VALUES ('one')"
            with pytest.raises(peewee.IntegrityError):
                await objects.execute(Line.raw(again))
            with pytest.raises(peewee.OperationalError, match="lost"):
                await write(objects, "two")
    assert lines(path) == []
    await recovered(objects)


# Files


@kinds
async def test_a_file_that_is_no_database(
    tmp_path: Path, backend: Backend, kind: Any
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are my notes.\n" * 1000)
    objects = Manager(kind(str(path)))
    for _ in range(2):
        with pytest.raises(peewee.DatabaseError, match="not a database") as caught:
            await objects.count(Line)
        require_driver(caught.value, backend)
    count = objects.database.pool_statistics()
    assert (count.busy, count.waiting) == (0, 0)
    path.unlink()
    await objects.close()
    await objects.execute(Line.raw("CREATE TABLE line (text TEXT)"))
    await recovered(objects)
    await objects.close()


@kinds
async def test_a_directory_that_is_missing(
    tmp_path: Path, backend: Backend, kind: Any
) -> None:
    path = tmp_path / "missing" / "test.db"
    objects = Manager(kind(str(path)))
    results = await asyncio.gather(
        *(objects.count(Line) for _ in range(10)), return_exceptions=True
    )
    for result in results:
        assert isinstance(result, peewee.OperationalError)
        assert "unable to open" in str(result)
        require_driver(result, backend)
    assert objects.database.pool_statistics()[:5] == (0, 0, 0, 0, 0)
    path.parent.mkdir()
    await recovered(objects)
    await objects.close()


async def test_a_file_that_can_only_be_read(
    open_database: Any, path: Path, backend: Backend
) -> None:
    objects = open_database(pragmas={"journal_mode": "delete"})
    await write(objects, "one")
    await objects.close()
    read_only = Manager(PooledSqliteDatabase(f"file:{path}?mode=ro", uri=True))
    assert "readonly" in await failing(write(read_only, "two"), backend)
    assert await read_only.count(Line) == 1
    await recovered(read_only)
    await read_only.close()


# What holds on every connection


def configured(path: Path, other: Path, **options: Any) -> Any:
    database: Any = PooledSqliteDatabase(
        str(path),
        pragmas={"cache_size": -1234, "foreign_keys": 1, "journal_mode": "wal"},
        max_connections=3,
        **options,
    )
    database.register_function(lambda value: 2 * value, "twice", 1)
    database.register_collation(lambda one, two: (one < two) - (one > two), "backwards")
    with sqlite3.connect(other) as raw:
        raw.execute("CREATE TABLE IF NOT EXISTS far (text TEXT)")
    raw.close()
    database.attach(str(other), "elsewhere")
    return database


async def holds(objects: Manager) -> None:
    raw = Line.raw(
        "SELECT twice(21), (SELECT COUNT(*) FROM elsewhere.far), "
        "'a' < 'b' COLLATE backwards"
    ).tuples()
    assert list(await objects.execute(raw)) == [(42, 0, 0)]
    for pragma, value in (("cache_size", -1234), ("foreign_keys", 1)):
        query = Line.raw(f"PRAGMA {pragma}").tuples()
        assert list(await objects.execute(query)) == [(value,)]


async def test_what_was_set_up_holds_after_a_loss(path: Path, tmp_path: Path) -> None:
    database = configured(path, tmp_path / "other.db")
    objects = Manager(database)

    async def hold_all() -> None:
        together = asyncio.Barrier(3)

        async def check() -> None:
            async with objects.atomic(lock_type="DEFERRED"):
                await holds(objects)
                await together.wait()  # else one connection may do it all

        await asyncio.gather(*(check() for _ in range(3)))

    await hold_all()
    assert database.pool_statistics().size == 3
    for connection in list(database.ready_sessions().pool._connections):
        connection.abort()
    await hold_all()
    assert database.pool_statistics().discarded == 3
    with pytest.raises(Oops):
        async with objects.atomic():
            raise Oops
    await hold_all()
    await objects.close()
    await hold_all()
    await objects.close()
    database.close()


def memory() -> Manager:
    database: Any = SqliteDatabase(":memory:", pragmas={"cache_size": -1234})
    database.register_function(lambda value: 2 * value, "twice", 1)
    with database.allow_sync(), database.bind_ctx([Line], False, False):
        database.create_tables([Line])
    return Manager(database)


async def test_memory_keeps_its_tables_after_a_loss() -> None:
    objects = memory()
    await write(objects, "one")
    for number in range(3):
        with pytest.raises(peewee.PeeweeException):
            async with objects.atomic():
                await write(objects, "never")
                (connection,) = objects.database.ready_sessions().pool._connections
                connection.abort()
                await write(objects, "neither")
        await write(objects, f"after {number}")
        twice = Line.raw("SELECT twice(21), COUNT(*) FROM line").tuples()
        assert list(await objects.execute(twice)) == [(42, number + 2)]
    await objects.close()
    assert await objects.count(Line) == 4
    await objects.close()


async def test_memory_is_full() -> None:
    objects = memory()
    await objects.execute(Line.raw("PRAGMA max_page_count = 20"))
    with pytest.raises(peewee.OperationalError, match="full"):
        await fill(objects)
    await objects.execute(Line.delete())
    await write(objects, "again")
    assert await objects.count(Line) == 1
    await recovered(objects)
    await objects.close()
