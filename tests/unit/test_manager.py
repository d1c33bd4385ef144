"""Every method of the Manager, on a database in memory that needs no driver."""

# ruff: noqa: PT012 - that an error leaves a block is what is tested

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import peewee
import pytest

from peewee_async import Manager, NoDatabase
from peewee_async.core.boundary import Reply, Statement
from tests.unit.fakes import FakeDatabase, FakeServer, MemoryDatabase, Oops, turns
from tests.unit.models import with_drivers


class Author(peewee.Model):
    """Bound to no database, like the others."""

    id: Any = peewee.AutoField()
    name: Any = peewee.CharField(unique=True)
    age: Any = peewee.IntegerField(default=36)


class Book(peewee.Model):
    id: Any = peewee.AutoField()
    author: Any = peewee.ForeignKeyField(Author, backref="books")
    editor: Any = peewee.ForeignKeyField(Author, backref="edited", null=True)
    title: Any = peewee.CharField(column_name="headline")


class Tricky(peewee.Model):
    """Fields named like arguments."""

    model: Any = peewee.CharField(default="")
    source: Any = peewee.CharField(default="")
    query: Any = peewee.CharField(default="")
    obj: Any = peewee.CharField(default="")


class Token(peewee.Model):
    key: Any = peewee.UUIDField(primary_key=True)


class Frugal(peewee.Model):
    name: Any = peewee.CharField(default="")
    note: Any = peewee.CharField(default="")

    class Meta:
        only_save_dirty = True


MODELS = [Author, Book, Tricky, Token, Frugal]


@pytest.fixture
def objects(memory: MemoryDatabase) -> Iterator[Manager]:
    objects = Manager(memory)
    memory.set_allow_sync(True)
    with memory.bind_ctx(MODELS):
        memory.create_tables(MODELS)
    memory.close()
    memory.set_allow_sync(False)
    yield objects
    assert all(model._meta.database is None for model in MODELS)


@pytest.fixture
async def ada(objects: Manager) -> Author:
    return await objects.create(Author, name="ada")


def test_a_manager_needs_a_database() -> None:
    with pytest.raises(NoDatabase, match="needs a database"):
        Manager()
    assert issubclass(NoDatabase, AssertionError)


async def test_the_database_of_the_class(memory: MemoryDatabase) -> None:
    class Mine(Manager):
        database: Any = memory

    objects = Mine()
    assert await objects.scalar(peewee.Select(columns=[peewee.SQL("1")])) == 1
    other = FakeDatabase(FakeServer())
    assert Mine(other).database is other
    assert repr(Mine(other)) == f"<Manager of {other!r}>"


async def test_the_loop_of_the_manager(memory: MemoryDatabase) -> None:
    other = asyncio.new_event_loop()
    objects = Manager(memory, loop=other)
    calls = (
        objects.connect,
        objects.close,
        lambda: objects.get(Author),
        lambda: objects.get_or_create(Author, name="ada"),
        objects.atomic().__aenter__,
    )
    for call in calls:
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            await call()
    other.close()
    own = Manager(memory, loop=asyncio.get_running_loop())
    await own.connect()


async def test_connects_and_closes_as_often_as_one_likes(
    memory: MemoryDatabase, objects: Manager
) -> None:
    assert not objects.is_connected
    for _ in range(2):
        await objects.connect()
        assert objects.is_connected
    for _ in range(2):
        await objects.close()
        assert not objects.is_connected
    await objects.create(Author, name="ada")
    assert objects.is_connected
    assert memory.server.attempts == 2


async def test_get(objects: Manager, ada: Author) -> None:
    sources = (
        objects.get(Author, id=ada.id),
        objects.get(Author, Author.id == ada.id),
        objects.get(Author, ada.id),
        objects.get(Author, Author, name="ada"),
        objects.get(Author.select().where(Author.name == "ada")),
        objects.get(Author.alias(), name="ada"),
        objects.get(Author.raw("SELECT * FROM author")),
        objects.get(Author.select() | Author.select()),
        objects.get(Author.select(), Author.age > 30, age__lt=40),
    )
    for source in sources:
        found = await source
        assert (type(found), found.id, found.name) == (Author, ada.id, "ada")


async def test_get_asks_for_one_row(
    memory: MemoryDatabase, objects: Manager, ada: Author
) -> None:
    await objects.get(Author, name="ada")
    assert "LIMIT" in memory.server.sent[-1]


async def test_get_follows_foreign_keys(objects: Manager, ada: Author) -> None:
    book = await objects.create(Book, author=ada, title="Notes")
    assert await objects.get(Book, author__name="ada") == book
    assert await objects.get(Book, author=ada) == book


async def test_get_of_what_is_not_there(objects: Manager) -> None:
    with pytest.raises(peewee.DoesNotExist, match="query does not exist") as caught:
        await objects.get(Author, name="bob")
    assert type(caught.value).__name__ == "AuthorDoesNotExist"
    assert await objects.get_or_none(Author, name="bob") is None
    assert await objects.get_or_none(Author.select()) is None


async def test_get_of_what_cannot_be(objects: Manager) -> None:
    with pytest.raises(TypeError, match="Book is a model, not a condition"):
        await objects.get(Author, Book)
    with pytest.raises(TypeError, match="nothing to select from"):
        await objects.get("author")


async def test_fields_named_like_arguments(objects: Manager) -> None:
    words: dict[str, Any] = {"model": "a", "source": "b", "query": "c", "obj": "d"}
    made = await objects.create(Tricky, **words)
    assert await objects.get(Tricky, **words) == made
    assert await objects.get_or_none(Tricky, **words) == made
    assert await objects.get_or_create(Tricky, **words) == (made, False)
    assert (await objects.create_or_get(Tricky, **words))[1]


async def test_create(objects: Manager) -> None:
    made = [await objects.create(Author, name=name) for name in ("ada", "bob")]
    assert [each.id for each in made] == [1, 2]
    assert made[0].age == 36
    assert not made[0].dirty_fields
    key = uuid.uuid4()
    assert (await objects.create(Token, key=key)).key == key
    assert (await objects.get(Token)).key == key


async def test_create_of_what_is_there(
    memory: MemoryDatabase, objects: Manager, ada: Author
) -> None:
    with pytest.raises(peewee.IntegrityError) as caught:
        await objects.create(Author, name="ada")
    assert caught.value.__cause__ is not None
    assert len(memory.server.alive) == 1


async def test_update(objects: Manager, ada: Author) -> None:
    ada.name, ada.age = "lady", 37
    assert await objects.update(ada, only=["age"]) == 1
    found = await objects.get(Author)
    assert (found.name, found.age) == ("ada", 37)
    assert await objects.update(ada) == 1
    assert (await objects.get(Author)).name == "lady"


async def test_update_of_a_column_or_field(objects: Manager, ada: Author) -> None:
    book = await objects.create(Book, author=ada, title="a")
    for only in (["headline"], ("title",), {Book.title}, iter([Book.title])):
        book.title += "b"
        assert await objects.update(book, only=only) == 1
        assert (await objects.get(Book)).title == book.title


async def test_update_of_nothing(
    memory: MemoryDatabase, objects: Manager, ada: Author
) -> None:
    sent = len(memory.server.sent)
    assert await objects.update(ada, only=[]) == 0
    assert await objects.update(ada, only=["id"]) == 0
    with pytest.raises(ValueError, match="no field 'color'"):
        await objects.update(ada, only=["color"])
    with pytest.raises(ValueError, match=r"use create\(\)"):
        await objects.update(Author(name="bob"))
    assert len(memory.server.sent) == sent


async def test_update_of_what_has_changed(
    memory: MemoryDatabase, objects: Manager
) -> None:
    frugal = await objects.create(Frugal, name="a", note="b")
    assert await objects.update(frugal) == 0
    frugal.note = "c"
    assert await objects.update(frugal) == 1
    assert memory.server.sent[-1].startswith('UPDATE "frugal" SET "note" = ? WHERE')


async def test_update_of_what_is_gone(objects: Manager, ada: Author) -> None:
    await objects.delete(ada)
    assert await objects.update(ada) == 0


async def test_delete(objects: Manager, ada: Author) -> None:
    assert await objects.delete(ada) == 1
    assert await objects.delete(ada) == 0
    assert await objects.count(Author) == 0


async def test_delete_with_what_refers_to_it(
    memory: MemoryDatabase, objects: Manager, ada: Author
) -> None:
    bob = await objects.create(Author, name="bob")
    await objects.create(Book, author=ada, title="mine")
    edited = await objects.create(Book, author=bob, editor=ada, title="edited")
    with pytest.raises(peewee.IntegrityError):
        await objects.delete(ada)
    memory.server.sent.clear()
    assert await objects.delete(ada, recursive=True) == 1
    assert memory.server.sent[0].startswith("BEGIN")
    assert memory.server.sent[-1] == "COMMIT"
    left = await objects.execute(Book.select())
    assert left == [edited]
    assert left[0].editor_id is None
    edited.editor = bob
    await objects.update(edited)
    assert await objects.delete(bob, recursive=True, delete_nullable=True) == 1
    assert await objects.count(Book) == 0


async def test_get_or_create(objects: Manager) -> None:
    defaults = {"age": 40}
    made, created = await objects.get_or_create(Author, defaults, name="ada")
    assert (made.age, created) == (40, True)
    assert defaults == {"age": 40}
    again, created = await objects.get_or_create(
        Author, defaults={"age": 41}, name="ada"
    )
    assert (again, again.age, created) == (made, 40, False)


async def test_many_get_or_create_make_one(objects: Manager) -> None:
    calls = [objects.get_or_create(Author, name="ada") for _ in range(50)]
    results = await asyncio.gather(*calls)
    assert sum(created for _, created in results) == 1
    assert len({made.id for made, _ in results}) == 1


async def test_many_get_or_create_in_a_transaction_make_one(objects: Manager) -> None:
    async with objects.atomic():
        calls = [objects.get_or_create(Author, name="ada") for _ in range(10)]
        results = await asyncio.gather(*calls)
    assert sum(created for _, created in results) == 1
    assert await objects.count(Author) == 1


async def test_create_or_get(objects: Manager, ada: Author) -> None:
    assert await objects.create_or_get(Author, name="ada", age=1) == (ada, False)
    bob, created = await objects.create_or_get(Author, name="bob")
    assert created
    async with objects.atomic():
        assert await objects.create_or_get(Author, name="bob") == (bob, False)
    with pytest.raises(peewee.IntegrityError):
        await objects.create_or_get(Author, id=ada.id, name="bob")
    with pytest.raises(peewee.IntegrityError):
        await objects.create_or_get(Book, author=99, title="")


async def test_execute(objects: Manager) -> None:
    insert = Author.insert_many([{"name": "ada"}, {"name": "bob"}])
    assert await objects.execute(insert) == 2
    assert await objects.execute(Author.insert(name="cat")) == 3
    older = Author.update(age=Author.age + 1).where(Author.name != "ada")
    assert await objects.execute(older) == 2
    query = Author.select().order_by(Author.name)
    rows = await objects.execute(query)
    assert [row.name for row in rows] == ["ada", "bob", "cat"]
    assert [row.name for row in rows] == ["ada", "bob", "cat"]
    assert (len(rows), rows[1].age) == (3, 37)
    assert await objects.execute(query.tuples().limit(1)) == [(1, "ada", 36)]
    pairs = Author.select(Author.name).order_by(Author.name).dicts()
    assert list(await objects.execute(pairs.limit(1))) == [{"name": "ada"}]
    raw = Author.raw("SELECT name FROM author WHERE id = ?", 2)
    assert [row.name for row in await objects.execute(raw)] == ["bob"]
    assert await objects.execute(Author.delete()) == 3
    assert await objects.execute(Author.noop()) == []


async def test_a_join_needs_no_more_queries(
    memory: MemoryDatabase, objects: Manager, ada: Author
) -> None:
    await objects.create(Book, author=ada, title="Notes")
    query = Book.select(Book, Author).join(Author, on=Book.author)
    (book,) = await objects.execute(query)
    sent = len(memory.server.sent)
    assert book.author.name == "ada"
    assert len(memory.server.sent) == sent


@pytest.mark.parametrize(
    "kind", [peewee.PREFETCH_TYPE.WHERE, peewee.PREFETCH_TYPE.JOIN]
)
async def test_prefetch(
    memory: MemoryDatabase, objects: Manager, ada: Author, kind: int
) -> None:
    bob = await objects.create(Author, name="bob")
    await objects.create(Book, author=ada, editor=bob, title="a")
    await objects.create(Book, author=ada, title="b")
    memory.server.sent.clear()
    rows = await objects.prefetch(
        Author.select().order_by(Author.id),
        Book.select().order_by(Book.id),
        prefetch_type=kind,
    )
    assert len(memory.server.sent) == 2
    assert [[book.title for book in row.books] for row in rows] == [["a", "b"], []]
    assert [[book.title for book in row.edited] for row in rows] == [[], ["a"]]
    assert len(memory.server.sent) == 2


async def test_prefetch_joins_by_default(
    memory: MemoryDatabase, objects: Manager, ada: Author
) -> None:
    await objects.create(Book, author=ada, title="a")
    await objects.prefetch(Author.select(), Book)
    assert any("JOIN" in sql for sql in memory.server.sent)
    assert await objects.prefetch(Author) == [ada]
    with pytest.raises(ValueError, match="is no way to prefetch"):
        await objects.prefetch(Author, Book, prefetch_type=9)


async def test_count_and_scalar(objects: Manager) -> None:
    assert await objects.scalar(Author.select(Author.age)) is None
    for name in ("ada", "bob", "cat"):
        await objects.create(Author, name=name)
    query = Author.select().limit(2)
    assert await objects.count(Author) == 3
    assert await objects.count(query) == 2
    assert await objects.count(query, clear_limit=True) == 3
    assert await objects.count(Author.select(Author.age).distinct()) == 1
    assert await objects.count(Author.select(peewee.fn.MAX(Author.age))) == 1
    assert await objects.count(Author.noop()) == 0
    assert len(await objects.execute(query)) == 2
    total = Author.select(peewee.fn.SUM(Author.age), peewee.fn.COUNT(Author.id))
    assert await objects.scalar(total) == 108
    assert await objects.scalar(total, as_tuple=True) == (108, 3)
    named = Author.select(peewee.fn.MAX(Author.name).alias("last"))
    assert await objects.scalar(named, as_dict=True) == {"last": "cat"}


async def test_blocks(memory: MemoryDatabase, objects: Manager) -> None:
    async with objects.atomic():
        await objects.create(Author, name="ada")
        with pytest.raises(Oops):
            async with objects.savepoint("mine"):
                await objects.create(Author, name="bob")
                raise Oops
        async with objects.transaction():
            await objects.create(Author, name="cat")
    with pytest.raises(Oops):
        async with objects.transaction():
            await objects.create(Author, name="dan")
            raise Oops
    query = Author.select(Author.name).order_by(Author.name).tuples()
    assert await objects.execute(query) == [("ada",), ("cat",)]


async def test_a_model_may_be_bound_elsewhere(objects: Manager) -> None:
    other = peewee.SqliteDatabase(":memory:")
    with other.bind_ctx([Author]):
        ada = await objects.create(Author, name="ada")
        assert await objects.get(Author.select()) == ada
        assert Author._meta.database is other
    assert other.is_closed()


async def test_a_query_of_another_family_is_refused(
    server: FakeServer, memory: MemoryDatabase
) -> None:
    database = FakeDatabase(server)
    query = peewee.Table("t", ["n"]).bind(memory).select()
    with pytest.raises(peewee.InterfaceError, match="bound to a SQLite database"):
        await Manager(database).execute(query)
    assert server.sent == []
    await database.aio_close()


async def test_an_unbound_model_gets_its_key_by_returning(server: FakeServer) -> None:
    def answer(statement: Statement) -> Reply:
        return Reply([(7,)], ("id",), 1)

    server.answer = answer
    database = FakeDatabase(server)
    made = await Manager(database).create(Author, name="ada")
    assert made.id == 7
    assert server.sent == [
        'INSERT INTO "author" ("name", "age") VALUES (%s, %s) RETURNING "author"."id"'
    ]
    await database.aio_close()


async def test_a_cancelled_call_leaves_the_pool_whole(
    memory: MemoryDatabase, objects: Manager, ada: Author
) -> None:
    hold = memory.server.hold("SELECT")
    task = asyncio.create_task(objects.get(Author))
    await hold.reached.wait()
    task.cancel()
    await turns()
    assert task.cancelled()
    assert await objects.get(Author) == ada


@with_drivers
def test_fields_are_adapted_in_one_thread_at_a_time() -> None:
    """Whatever database each of the threads renders a query for."""
    waited: list[bool] = []

    def dumps(value: Any) -> str:
        if value == "outer":
            inner = threading.Thread(target=render, args=("inner",))
            inner.start()
            inner.join(0.1)
            waited.append(inner.is_alive())
            threads.append(inner)
        return json.dumps(value)

    class Document(peewee.Model):
        data: Any = peewee.JSONField(dumps=dumps)

    def render(value: str) -> None:
        dialect = vars(FakeDatabase(FakeServer()))["_dialect"]
        _, params = dialect.compile(Document.insert(data=value))
        rendered[value] = params[0].adapted

    threads: list[threading.Thread] = []
    rendered: dict[str, Any] = {}
    before = vars(Document.data).copy()
    database = MemoryDatabase()
    sql, params = vars(database)["_dialect"].compile(Document.insert(data="outer"))
    threads[0].join()
    assert waited == [True]
    assert (sql[-9:], params) == ("(json(?))", ('"outer"',))
    assert rendered == {"inner": "inner"}
    assert vars(Document.data) == before
    database.init(None)
