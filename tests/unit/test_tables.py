"""Tables through AioModel and through a database, and SQL as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import peewee
import pytest

from peewee_async import AioModel
from peewee_async.cursor import AioCursor
from tests.unit.fakes import FakeDatabase, FakeServer, MemoryDatabase


class Author(AioModel):
    name: Any = peewee.CharField(unique=True)


class Book(peewee.Model):
    """Bound to no database, and no model of ours."""

    author: Any = peewee.ForeignKeyField(Author)
    title: Any = peewee.CharField(column_name="100%", index=True)


def meta_of(model: Any) -> Any:
    return model._meta


def fake(model: Any = Author, **options: Any) -> FakeDatabase:
    database = FakeDatabase(FakeServer(), **options)
    model._meta.set_database(database)
    return database


@pytest.fixture(autouse=True)
def unbound() -> Iterator[None]:
    yield
    meta_of(Author).set_database(None)


async def test_a_model_has_its_table(memory: MemoryDatabase) -> None:
    with memory.bind_ctx([Author], False, False):
        assert not await Author.aio_table_exists()
        await Author.aio_create_table(True)
        await Author.aio_create_table()
        assert await Author.aio_table_exists()
        with pytest.raises(peewee.OperationalError, match="already exists"):
            await Author.aio_create_table(False)
        await Author.aio_create(name="ada")
        await Author.aio_truncate_table()
        assert await Author.select().aio_count() == 0
        await Author.aio_drop_table()
        await Author.aio_drop_table(True, True)
        assert not await Author.aio_table_exists()
        with pytest.raises(peewee.OperationalError, match="no such table"):
            await Author.aio_drop_table(safe=False)


async def test_options_of_a_model_s_table() -> None:
    database = fake()
    await Author.aio_create_table(False, temporary=True, tablespace="t")
    await Author.aio_drop_table(False, drop_sequences=False, cascade=True)
    await Author.aio_truncate_table(restart_identity=True, cascade=True)
    create, index, drop, truncate = database.server.sent
    assert create.startswith('CREATE TEMPORARY TABLE "author"')
    assert create.endswith(", tablespace=t)")
    assert index == 'CREATE UNIQUE INDEX "author_name" ON "author" ("name")'
    assert drop == 'DROP TABLE "author" CASCADE'
    assert truncate == 'TRUNCATE TABLE "author" RESTART IDENTITY CASCADE'
    await database.aio_close()


async def test_a_model_without_a_database_says_so() -> None:
    for call in (
        Author.aio_create_table,
        Author.aio_drop_table,
        Author.aio_truncate_table,
        Author.aio_table_exists,
    ):
        with pytest.raises(peewee.InterfaceError, match="bound to no database"):
            await call()


async def test_a_database_takes_models_that_are_bound_to_none(
    memory: MemoryDatabase,
) -> None:
    await memory.aio_create_tables([Book, Author])
    await memory.aio_create_tables(iter([Book, Author]))
    assert await memory.aio_get_tables() == ["author", "book"]
    assert await memory.aio_table_exists(Book)
    assert await memory.aio_table_exists("author")
    assert not await memory.aio_table_exists("nobody")
    assert not await memory.aio_table_exists("author", "temp")
    assert meta_of(Book).database is None
    await memory.aio_drop_tables([Author, Book])
    await memory.aio_drop_tables([Author, Book])
    assert await memory.aio_get_tables("main") == []
    with pytest.raises(peewee.OperationalError, match="no such table"):
        await memory.aio_drop_tables([Author, Book], safe=False)


async def test_a_database_takes_models_of_another_one(memory: MemoryDatabase) -> None:
    other = fake()
    await memory.aio_create_tables([Author])
    assert await memory.aio_table_exists(Author)
    assert other.server.sent == []
    assert meta_of(Author).database is other


async def test_the_catalogue(memory: MemoryDatabase) -> None:
    await memory.aio_create_tables([Author, Book])
    await memory.aio_execute_sql("CREATE VIEW names AS SELECT name FROM author")
    with memory.allow_sync():
        expected = [
            memory.get_views(),
            memory.get_indexes("book"),
            memory.get_columns("book"),
            memory.get_primary_keys("book"),
            memory.get_foreign_keys("book"),
        ]
    assert expected == [
        await memory.aio_get_views(),
        await memory.aio_get_indexes("book"),
        await memory.aio_get_columns("book"),
        await memory.aio_get_primary_keys("book"),
        await memory.aio_get_foreign_keys("book"),
    ]
    assert all(expected)
    with pytest.raises(NotImplementedError):
        await memory.aio_sequence_exists("s")


async def test_many_tables_are_made_on_one_connection() -> None:
    database = fake(max_connections=5)
    await database.aio_create_tables([Author, Book])
    (connection,) = database.server.connections
    assert len(connection.statements) == 5
    assert not any(sql.startswith("BEGIN") for sql in connection.statements)
    await database.aio_close()


# SQL as it is


async def test_rows_or_their_number(memory: MemoryDatabase) -> None:
    await memory.aio_execute_sql("CREATE TABLE t (a, b)")
    insert = "INSERT INTO t VALUES (?, ?), (3, '100%')"
    assert await memory.aio_execute_sql(insert, [1, "x"]) == 2
    assert await memory.aio_execute_sql("SELECT * FROM t ORDER BY a") == [
        (1, "x"),
        (3, "100%"),
    ]
    assert await memory.aio_execute_sql("SELECT 1 FROM t WHERE 0") == []
    like = "SELECT a FROM t WHERE b LIKE '1%%'"
    assert await memory.aio_execute_sql(like) == [(3,)]
    with pytest.raises(peewee.OperationalError, match="no such table"):
        await memory.aio_execute_sql("SELECT * FROM nowhere")
    with pytest.raises(TypeError, match="in order"):
        await memory.aio_execute_sql("SELECT :a", {"a": 1})


async def test_a_reader_of_the_program_s_own(memory: MemoryDatabase) -> None:
    async def read(database: Any, cursor: AioCursor) -> Any:
        # The connection is free: another query does not wait for this one.
        again = await database.aio_execute_sql("SELECT 7")
        return again, cursor.description, await cursor.fetchall()

    names = [("a", *[None] * 6), ("b", *[None] * 6)]
    assert await memory.aio_execute_sql("SELECT 1 AS a, 2 AS b", None, read) == (
        [(7,)],
        names,
        [(1, 2)],
    )
