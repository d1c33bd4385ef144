"""The module-level functions, on a database in memory that needs no driver."""

# ruff: noqa: PT012 - that an error leaves a block is what is tested

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest

import peewee_async
from peewee_async import AioModel
from tests.unit.fakes import MemoryDatabase, Oops


class Author(peewee.Model):
    """A plain model of peewee."""

    id: Any = peewee.AutoField()
    name: Any = peewee.CharField(unique=True)
    age: Any = peewee.IntegerField(default=36)


class Book(AioModel):
    author: Any = peewee.ForeignKeyField(Author, backref="books")
    title: Any = peewee.CharField()


MODELS = [Author, Book]

QUERIES: dict[str, Callable[[], Any]] = {
    "select": Author.select,
    "insert": lambda: Author.insert(name="dan"),
    "update": lambda: Author.update(age=1),
    "delete": Author.delete,
    "raw_query": lambda: Author.raw("SELECT * FROM author"),
}


@pytest.fixture(params=[None, peewee.Proxy, peewee.DatabaseProxy])
def database(request: pytest.FixtureRequest, memory: MemoryDatabase) -> Iterator[Any]:
    """Three authors, of whom ada has two books; bound directly or through a proxy."""
    memory.set_allow_sync(True)
    with memory.bind_ctx(MODELS):
        memory.create_tables(MODELS)
        for name in ("ada", "bob", "cat"):
            Author.create(name=name)
        for title in ("Notes", "Letters"):
            Book.create(author=1, title=title)
        memory.close()
        memory.set_allow_sync(False)
        bound: Any = memory
        if request.param is not None:
            bound = request.param()
            bound.initialize(memory)
            for model in MODELS:
                model._meta.database = bound
        yield bound


def names(rows: Any) -> list[str]:
    return [row.name for row in rows]


async def test_execute(database: Any) -> None:
    query = Author.select().order_by(Author.id)
    assert names(await peewee_async.execute(query)) == ["ada", "bob", "cat"]
    assert await peewee_async.execute(Author.insert(name="dan")) == 4
    assert await peewee_async.execute(Author.update(age=1)) == 4
    assert await peewee_async.execute(Author.delete().where(Author.id == 4)) == 1
    assert [row.title for row in await peewee_async.execute(Book.select())] == [
        "Notes",
        "Letters",
    ]


@pytest.mark.usefixtures("database")
async def test_each_kind_of_query() -> None:
    query = Author.select().order_by(Author.id)
    assert names(await peewee_async.select(query)) == ["ada", "bob", "cat"]
    both = Author.select().where(Author.id == 1) | Author.select().where(Author.id == 1)
    assert names(await peewee_async.select(both)) == ["ada"]
    assert await peewee_async.insert(Author.insert(name="dan")) == 4
    many = Author.insert_many([{"name": "eve"}, {"name": "fay"}])
    assert await peewee_async.insert(many.as_rowcount()) == 2
    assert await peewee_async.update(Author.update(age=1)) == 6
    assert await peewee_async.delete(Author.delete().where(Author.id > 3)) == 3
    raw = Author.raw("SELECT * FROM author WHERE id = ?", 2)
    assert names(await peewee_async.raw_query(raw)) == ["bob"]


@pytest.mark.parametrize("kind", QUERIES)
@pytest.mark.parametrize("other", [*QUERIES, ""])
async def test_another_kind_of_query_is_refused(
    memory: MemoryDatabase, kind: str, other: str
) -> None:
    if kind == other:
        return
    query = QUERIES[other]() if other else "SELECT 1"
    word = "raw query" if kind == "raw_query" else kind.upper()
    with pytest.raises(
        TypeError, match=rf" is no {word}: use execute\(\), which .*\.$"
    ):
        await getattr(peewee_async, kind)(query)
    assert memory.server.sent == []


@pytest.mark.usefixtures("database")
async def test_count() -> None:
    assert await peewee_async.count(Author) == 3
    query = Author.select().limit(2)
    assert await peewee_async.count(query) == 2
    assert await peewee_async.count(query, True) == 3
    assert await peewee_async.count(query, clear_limit=True) == 3


@pytest.mark.usefixtures("database")
async def test_scalar() -> None:
    query = Author.select(peewee.fn.MAX(Author.name), peewee.fn.SUM(Author.age))
    assert await peewee_async.scalar(query) == "cat"
    assert await peewee_async.scalar(query, True) == ("cat", 108)
    assert await peewee_async.scalar(query, as_tuple=True) == ("cat", 108)
    assert await peewee_async.scalar(Author.select().where(Author.id == 9)) is None


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("name", ["prefetch", "aio_prefetch"])
async def test_prefetch(memory: MemoryDatabase, name: str) -> None:
    prefetch = getattr(peewee_async, name)
    query = Author.select().order_by(Author.id)
    memory.server.sent.clear()
    ada, bob, _ = await prefetch(query, Book)
    assert [book.title for book in ada.books] == ["Notes", "Letters"]
    assert bob.books == []
    assert len(memory.server.sent) == 2
    assert not any("JOIN" in sql for sql in memory.server.sent)
    await prefetch(query, Book, prefetch_type=peewee.PREFETCH_TYPE.JOIN)
    assert "JOIN" in memory.server.sent[-1] + memory.server.sent[-2]
    assert names(await prefetch(Author)) == ["ada", "bob", "cat"]


async def test_blocks(database: Any, memory: MemoryDatabase) -> None:
    async with peewee_async.atomic(database) as block:
        await peewee_async.execute(Author.insert(name="dan"))
        with pytest.raises(Oops):
            async with peewee_async.savepoint(database, sid="mine"):
                await peewee_async.execute(Author.insert(name="eve"))
                raise Oops
        async with peewee_async.savepoint(database):
            await peewee_async.execute(Author.insert(name="fay"))
        async with peewee_async.transaction(database):
            await peewee_async.execute(Author.insert(name="gus"))
        await block.commit(begin=True)
    with pytest.raises(Oops):
        async with peewee_async.transaction(database):
            await peewee_async.execute(Author.delete().where(Author.id > 3))
            raise Oops
    rows = await peewee_async.select(Author.select().where(Author.id > 3))
    assert sorted(names(rows)) == ["dan", "fay", "gus"]
    made = [sql for sql in memory.server.sent if sql.startswith("SAVEPOINT")]
    assert made == ['SAVEPOINT "mine"', 'SAVEPOINT "s1"']


async def test_options_of_blocks(memory: MemoryDatabase) -> None:
    async with peewee_async.atomic(memory, lock_type="EXCLUSIVE"):
        pass
    async with peewee_async.transaction(memory, read_only=True):
        pass
    assert memory.server.sent[::2] == ["BEGIN EXCLUSIVE", "BEGIN DEFERRED"]


async def test_a_block_of_a_proxy_may_be_made_before_it_is_initialized(
    memory: MemoryDatabase,
) -> None:
    proxy = peewee.DatabaseProxy()

    @peewee_async.atomic(proxy)
    async def one() -> Any:
        return await memory.aio_execute(peewee.RawQuery("SELECT 1").tuples())

    with pytest.raises(peewee.InterfaceError, match="proxy is not initialized"):
        await one()
    proxy.initialize(memory)
    assert await one() == [(1,)]
    assert memory.server.sent == ["BEGIN IMMEDIATE", "SELECT 1", "COMMIT"]


async def test_an_unbound_model_names_the_remedy() -> None:
    calls: tuple[Callable[[], Any], ...] = (
        lambda: peewee_async.execute(Author.select()),
        lambda: peewee_async.insert(Author.insert(name="x")),
        lambda: peewee_async.count(Author),
        lambda: peewee_async.scalar(Author.select()),
        lambda: peewee_async.prefetch(Author, Book),
        lambda: peewee_async.atomic(None).__aenter__(),
    )
    for call in calls:
        with pytest.raises(
            peewee.InterfaceError, match=r"Meta class, or use a Manager"
        ):
            await call()


async def test_what_is_no_query() -> None:
    with pytest.raises(TypeError, match="is no query to execute"):
        await peewee_async.execute("SELECT 1")
    with pytest.raises(TypeError, match="is nothing to select from"):
        await peewee_async.count("author")


async def test_a_database_of_peewee_is_refused() -> None:
    with peewee.SqliteDatabase(":memory:").bind_ctx([Author]):
        with pytest.raises(TypeError, match="cannot run async queries"):
            await peewee_async.execute(Author.select())
        with pytest.raises(TypeError, match="cannot run async queries"):
            await peewee_async.atomic(Author._meta.database).__aenter__()
