"""The bare drivers, with rows as tuples: what everything else is measured by."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from importlib.metadata import version
from itertools import chain
from typing import Any, ClassVar

from benchmarks import data, sql
from benchmarks.competitors.base import (
    BULK,
    POOL,
    PORTION,
    in_tasks,
    streamed,
)
from benchmarks.competitors.base import (
    Competitor as Base,
)
from benchmarks.data import COLUMNS, Row

NAMES = (
    *("get", "select", "join", "stream", "get_entry", "update"),
    *("count", "scalar", "exists"),
)


class _Driver(Base):
    """The SQL, and results that are tuples already."""

    def __init__(self, family: str, place: dict[str, Any]) -> None:
        super().__init__(family, place)
        self.sql = {n: sql.spelt(getattr(sql, n.upper()), family) for n in NAMES}
        self.queries = [sql.spelt(query, family) for query in sql.TREE]

    def row(self, row: Row) -> Any:
        return row[1:]

    def instance(self, values: Any) -> Any:
        return values

    def people(self, result: Iterable[Any]) -> Iterator[Row]:
        return iter(result)

    def joined(self, result: Iterable[Any]) -> Iterator[Row]:
        return iter(result)

    def tree(self, result: Any) -> Iterator[Row]:
        return data.tree(*result)

    async def load(self, number: int) -> list[Any]:
        return [data.entry(key) for key in range(1, number + 1)]

    # What the harness does to the tables

    async def run(self, statement: str, params: Iterable[Any] = ()) -> list[Row]:
        raise NotImplementedError

    async def make(self, people: int) -> None:
        for statement in data.definitions(self.family):
            await self.run(statement)
        for table, rows in data.rows(people):
            await self._fill(table, rows)
        if self.family == "postgres":
            await self.run("VACUUM ANALYZE")
        elif self.family == "sqlite":
            await self.run("ANALYZE")

    async def reset(self, number: int) -> None:
        """Empty the table `entry`, and fill in so many rows."""
        empty = {
            "postgres": "TRUNCATE entry RESTART IDENTITY",
            "mysql": "TRUNCATE entry",
            "sqlite": "DELETE FROM entry",
        }
        await self.run(empty[self.family])
        await self._fill("entry", [data.entry(key) for key in range(1, number + 1)])

    async def audit(self) -> data.Sum:
        """Sum up what is in the table `entry`."""
        return data.sum_of(await self.run(sql.spelt(sql.ENTRIES, self.family)))

    async def _fill(self, table: str, rows: list[Row]) -> None:
        places = f"({', '.join('%s' for _ in COLUMNS[table])})"
        for start in range(0, len(rows), BULK):
            some = rows[start : start + BULK]
            statement = f"INSERT INTO {table} VALUES {', '.join([places] * len(some))}"
            await self.run(sql.spelt(statement, self.family), chain(*some))


class _Server(_Driver):
    """aiopg and aiomysql, whose cursors are alike; the connection has one cursor."""

    connection: Any
    cursor: Any
    pool: Any

    async def close(self) -> None:
        self.pool.terminate()
        await self.pool.wait_closed()
        self.connection.close()

    async def run(self, statement: str, params: Iterable[Any] = ()) -> list[Row]:
        await self.cursor.execute(statement, tuple(params) or None)
        return list(await self.cursor.fetchall()) if self.cursor.description else []

    async def get_held(self, keys: list[int]) -> list[Row]:
        cursor, text, found = self.cursor, self.sql["get"], []
        for key in keys:
            await cursor.execute(text, (key, 1, 0))
            found.append(await cursor.fetchone())
        return found

    async def get_pooled(self, keys: list[int]) -> list[Row]:
        pool, text, found = self.pool, self.sql["get"], []
        for key in keys:
            async with pool.acquire() as connection, connection.cursor() as cursor:
                await cursor.execute(text, (key, 1, 0))
                found.append(await cursor.fetchone())
        return found

    async def get_tasks(self, keys: list[int]) -> list[Row]:
        return await in_tasks(keys, self.get_pooled)

    async def select(self, size: int) -> Any:
        await self.cursor.execute(self.sql["select"], (size,))
        return await self.cursor.fetchall()

    async def join(self, size: int) -> Any:
        await self.cursor.execute(self.sql["join"], (size,))
        return await self.cursor.fetchall()

    async def prefetch(self, _size: int) -> Any:
        found = []
        for query in self.queries:
            await self.cursor.execute(query)
            found.append(await self.cursor.fetchall())
        return found

    async def bulk(self, rows: list[Row]) -> list[Any]:
        keys: list[Any] = []
        for start in range(0, len(rows), BULK):
            some = rows[start : start + BULK]
            text = sql.insert(self.family, len(some))
            await self.cursor.execute(text, list(chain(*some)))
            if self.family == "postgres":
                keys += await self.cursor.fetchall()
        return keys

    async def update(self, rows: list[Row]) -> None:
        cursor, text = self.cursor, self.sql["update"]
        for key, name, value, note, active in rows:
            await cursor.execute(text, (name, value + 1, note, active, key))

    async def blocks(self, keys: range) -> None:
        cursor, get, update = self.cursor, self.sql["get_entry"], self.sql["update"]
        for number in keys:
            await cursor.execute("BEGIN")
            await cursor.execute(get, (number, 1, 0))
            key, name, value, note, active = await cursor.fetchone()
            await cursor.execute(update, (name, value + 1, note, active, key))
            await cursor.execute("COMMIT")

    async def facts(self, questions: list[tuple[int, int]]) -> list[Row]:
        cursor, text, found = self.cursor, self.sql, []
        for age, key in questions:
            await cursor.execute(text["count"], (age,))
            count = (await cursor.fetchone())[0]
            await cursor.execute(text["scalar"], (age, 1))
            scalar = (await cursor.fetchone())[0]
            await cursor.execute(text["exists"], (key, 1))
            found.append((count, scalar, bool(await cursor.fetchone())))
        return found

    async def stream(self, _size: int) -> tuple[int, list[Row]]:
        return await streamed(self._stream())

    def _stream(self) -> AsyncIterator[Row]:
        raise NotImplementedError


class _Postgres(_Server):
    async def open(self) -> None:
        import aiopg

        self.about = f"aiopg {version('aiopg')}"
        options = {**self.place, "enable_hstore": False, "timeout": None}
        self.connection = await aiopg.connect(**options)
        self.cursor = await self.connection.cursor()
        self.pool = await aiopg.create_pool(minsize=1, maxsize=POOL, **options)

    async def create(self, rows: list[Row]) -> list[Any]:
        cursor, text, keys = self.cursor, sql.insert(self.family), []
        for row in rows:
            await cursor.execute(text, row)
            keys.append((await cursor.fetchone())[0])
        return keys

    async def _stream(self) -> AsyncIterator[Row]:
        cursor = self.cursor
        await cursor.execute("BEGIN")
        await cursor.execute(f"DECLARE c NO SCROLL CURSOR FOR {self.sql['stream']}")
        while True:
            await cursor.execute(f"FETCH {PORTION} FROM c")
            for row in (rows := await cursor.fetchall()):
                yield row
            if len(rows) < PORTION:
                break
        await cursor.execute("CLOSE c")
        await cursor.execute("COMMIT")


class _MySQL(_Server):
    async def open(self) -> None:
        import aiomysql

        self.about = f"aiomysql {version('aiomysql')}"
        options = {**self.place, "autocommit": True, "charset": "utf8mb4"}
        options["db"] = options.pop("database")
        self.connection = await aiomysql.connect(**options)
        self.cursor = await self.connection.cursor()
        self.pool = await aiomysql.create_pool(minsize=1, maxsize=POOL, **options)

    async def create(self, rows: list[Row]) -> list[Any]:
        cursor, text, keys = self.cursor, sql.insert(self.family), []
        for row in rows:
            await cursor.execute(text, row)
            keys.append(cursor.lastrowid)
        return keys

    async def _stream(self) -> AsyncIterator[Row]:
        import aiomysql

        async with self.connection.cursor(aiomysql.SSCursor) as cursor:
            await cursor.execute(self.sql["stream"])
            while rows := await cursor.fetchmany(PORTION):
                for row in rows:
                    yield row


class _SQLite(_Driver):
    """aiosqlite: one hop to its thread for a query."""

    lacks: ClassVar[dict[str, str]] = {
        "get_pooled": "aiosqlite has no pool",
        "get_tasks": "aiosqlite has no pool",
    }

    async def open(self) -> None:
        import aiosqlite

        self.about = f"aiosqlite {version('aiosqlite')}"
        self.connection: Any = await aiosqlite.connect(
            self.place["database"], isolation_level=None
        )
        await self.run("PRAGMA journal_mode = wal")

    async def close(self) -> None:
        await self.connection.close()

    async def run(self, statement: str, params: Iterable[Any] = ()) -> list[Row]:
        return list(await self.connection.execute_fetchall(statement, tuple(params)))

    async def get_held(self, keys: list[int]) -> list[Row]:
        fetch, text = self.connection.execute_fetchall, self.sql["get"]
        found: list[Row] = []
        for key in keys:
            found += await fetch(text, (key, 1, 0))
        return found

    async def select(self, size: int) -> Any:
        return await self.connection.execute_fetchall(self.sql["select"], (size,))

    async def join(self, size: int) -> Any:
        return await self.connection.execute_fetchall(self.sql["join"], (size,))

    async def prefetch(self, _size: int) -> Any:
        fetch = self.connection.execute_fetchall
        return [await fetch(query) for query in self.queries]

    async def create(self, rows: list[Row]) -> list[Any]:
        insert, text = self.connection.execute_insert, sql.insert(self.family)
        return [(await insert(text, row))[0] for row in rows]

    async def bulk(self, rows: list[Row]) -> None:
        for start in range(0, len(rows), BULK):
            some = rows[start : start + BULK]
            text = sql.insert(self.family, len(some))
            await self.connection.execute_fetchall(text, list(chain(*some)))

    async def update(self, rows: list[Row]) -> None:
        fetch, text = self.connection.execute_fetchall, self.sql["update"]
        for key, name, value, note, active in rows:
            await fetch(text, (name, value + 1, note, active, key))

    async def blocks(self, keys: range) -> None:
        fetch = self.connection.execute_fetchall
        get, update = self.sql["get_entry"], self.sql["update"]
        for number in keys:
            await fetch("BEGIN IMMEDIATE")
            rows = await fetch(get, (number, 1, 0))
            key, name, value, note, active = rows[0]
            await fetch(update, (name, value + 1, note, active, key))
            await fetch("COMMIT")

    async def facts(self, questions: list[tuple[int, int]]) -> list[Row]:
        fetch, text, found = self.connection.execute_fetchall, self.sql, []
        for age, key in questions:
            count = (await fetch(text["count"], (age,)))[0][0]
            scalar = (await fetch(text["scalar"], (age, 1)))[0][0]
            found.append((count, scalar, bool(await fetch(text["exists"], (key, 1)))))
        return found

    async def stream(self, _size: int) -> tuple[int, list[Row]]:
        return await streamed(self._stream())

    async def _stream(self) -> AsyncIterator[Row]:
        async with self.connection.execute(self.sql["stream"]) as cursor:
            while rows := await cursor.fetchmany(PORTION):
                for row in rows:
                    yield row


_DRIVERS = {"postgres": _Postgres, "mysql": _MySQL, "sqlite": _SQLite}


def competitor(family: str, place: dict[str, Any]) -> _Driver:
    return _DRIVERS[family](family, place)
