"""What a call is given stays as it was: queries and all they hold, dicts and lists.

However the call ends: with a value, with an error of the server, or cancelled.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from functools import partial
from typing import Any

import peewee
import pytest
from peewee import JOIN, fn

from peewee_async import AioModel, Manager
from tests.unit.fakes import MemoryDatabase
from tests.unit.library import frozen


class Author(AioModel):
    id: Any = peewee.AutoField()
    name: Any = peewee.CharField(unique=True)
    age: Any = peewee.IntegerField(default=36)
    books: Any


class Book(AioModel):
    id: Any = peewee.AutoField()
    author: Any = peewee.ForeignKeyField(Author, backref="books")
    title: Any = peewee.CharField()
    labels: Any = peewee.JSONField(null=True)


MODELS = [Author, Book]
PREFETCH_TYPES = (peewee.PREFETCH_TYPE.WHERE, peewee.PREFETCH_TYPE.JOIN)


@pytest.fixture(autouse=True)
def tables(memory: MemoryDatabase) -> Iterator[None]:
    memory.set_allow_sync(True)
    with memory.bind_ctx(MODELS):
        memory.create_tables(MODELS)
        for name in ("ada", "bob", "cat"):
            Author.create(name=name)
        Book.create(author=1, title="Notes")
        memory.close()
        memory.set_allow_sync(False)
        yield


# How calls end.

Call = Callable[[], Any]


async def finish(call: Call) -> None:
    result = call()
    if isinstance(result, AsyncIterable):
        async for _ in result:
            pass
    elif inspect.isawaitable(result):
        await result


async def good(memory: MemoryDatabase, call: Call) -> None:
    with suppress(TypeError, ValueError, peewee.DoesNotExist, peewee.PeeweeException):
        await finish(call)


async def refused(memory: MemoryDatabase, call: Call) -> None:
    memory.server.fail("", peewee.OperationalError("refused"))
    await good(memory, call)


async def cancelled(memory: MemoryDatabase, call: Call) -> None:
    hold = memory.server.hold("")
    task = asyncio.create_task(finish(call))
    sent = asyncio.create_task(hold.reached.wait())
    await asyncio.wait({task, sent}, return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    sent.cancel()
    hold.release()
    await asyncio.gather(task, sent, return_exceptions=True)


every_end = pytest.mark.parametrize("end", [good, refused, cancelled])
End = Callable[[MemoryDatabase, Call], Awaitable[None]]


# Queries that give rows.


def _with_cte() -> Any:
    old = Author.select(Author.id).where(Author.age > 3).cte("old")
    return Author.select().join(old, on=(old.c.id == Author.id)).with_cte(old)


def _with_window() -> Any:
    window = peewee.Window(partition_by=[Author.age], order_by=[Author.id])
    return Author.select(Author.name, fn.RANK().over(window)).window(window)


def _joined() -> Any:
    writer = Author.alias("writer")
    return (
        Book.select(Book, writer)
        .join(writer, JOIN.LEFT_OUTER, on=(Book.author == writer.id))
        .where(writer.name.in_(["ada", "bob"]))
        .order_by(Book.id)
        .limit(5)
        .offset(0)
    )


SELECTS: dict[str, Callable[[], Any]] = {
    "all": Author.select,
    "narrowed": lambda: (
        Author.select().where(Author.age > 3).order_by(Author.id).limit(7).offset(0)
    ),
    "joined": _joined,
    "of an object": lambda: Book.select().where(Book.author == Author(id=1)),
    "grouped": lambda: (
        Author.select(Author.age, fn.COUNT(Author.id).alias("number"))
        .group_by(Author.age)
        .having(fn.COUNT(Author.id) > 0)
    ),
    "distinct": lambda: Author.select(Author.age).distinct().order_by(Author.age),
    "aggregate": lambda: Author.select(fn.MAX(Author.age), fn.MIN(Author.age)),
    "with a subquery": lambda: Author.select(
        Author, Book.select(fn.COUNT(Book.id)).where(Book.author == Author.id)
    ),
    "with a CTE": _with_cte,
    "with a window": _with_window,
    "alias": lambda: Author.alias("x").select(),
    "union": lambda: Author.select() | Author.select().where(Author.id == 1),
    "union of unions": lambda: (Author.select() + Author.select()) + Author.select(),
    "raw": lambda: Author.raw("SELECT * FROM author WHERE id > ?", 0),
    "noop": Author.noop,
    "dicts": lambda: Author.select().dicts(),
    "tuples": lambda: Author.select().tuples(),
    "namedtuples": lambda: Author.select().namedtuples(),
    "objects": lambda: Author.select().objects(dict),
    "executed in peewee": lambda: executed(Author.select().order_by(Author.id)),
    "update returning": lambda: Author.update(age=4).returning(Author),
}

if hasattr(peewee, "Load"):
    SELECTS["with related"] = lambda: Author.select().with_related(Author.books)


def executed(query: Any) -> Any:
    database = query._database
    database.set_allow_sync(True)
    list(query)
    database.close()
    database.set_allow_sync(False)
    return query


def manager_calls(objects: Manager, query: Any) -> Iterator[Call]:
    for call in (
        objects.execute,
        objects.get,
        objects.get_or_none,
        objects.count,
        objects.scalar,
        objects.prefetch,
        objects.iterator,
        objects.database.aio_execute,
    ):
        yield partial(call, query)
    yield lambda: objects.get(query, Author.id == 1, age=36)
    yield lambda: objects.count(query, clear_limit=True)
    yield lambda: objects.scalar(query, as_tuple=True)
    yield lambda: objects.scalar(query, as_dict=True)


def own_calls(query: Any, database: Any) -> Iterator[Call]:
    """Call all that the query itself has, whatever is added to it."""
    for name in dir(query):
        if name.startswith("aio_"):
            yield getattr(query, name)
    # Some queries have not all of these.
    yield lambda: query.aio_execute(database)
    yield lambda: query.aio_first(2)
    yield lambda: query.aio_count(clear_limit=True)
    yield lambda: query.aio_scalar(as_tuple=True)
    yield lambda: query.aio_scalar(as_dict=True)


@every_end
@pytest.mark.parametrize("shape", SELECTS)
async def test_a_query_that_gives_rows(
    shape: str, end: End, memory: MemoryDatabase
) -> None:
    query = SELECTS[shape]()
    before = frozen(query)
    calls = [*manager_calls(Manager(memory), query), *own_calls(query, memory)]
    assert len(calls) > 16
    for call in calls:
        with suppress(AttributeError):
            await end(memory, call)
        assert frozen(query) == before, call


@every_end
@pytest.mark.parametrize("prefetch_type", PREFETCH_TYPES)
async def test_queries_that_are_prefetched(
    prefetch_type: int, end: End, memory: MemoryDatabase
) -> None:
    query = Author.select().where(Author.age > 3).order_by(Author.id)
    books = Book.select().where(Book.title != "").order_by(Book.title)
    given = [query, books]
    before = frozen(given)
    for call in (partial(Manager(memory).prefetch, query), query.aio_prefetch):
        for subquery in (books, (books, Author), Book):
            await end(memory, partial(call, subquery, prefetch_type=prefetch_type))
            assert frozen(given) == before


# Queries that write.

ROWS: list[dict[str, Any]] = [{"name": "eve", "age": 1}, {"name": "fay", "age": 2}]

WRITES: dict[str, Callable[[], Any]] = {
    "insert": lambda: Author.insert(dict(ROWS[0])),
    "insert of nothing": lambda: Author.insert({}),
    "insert with a list": lambda: Book.insert(
        {"author": 1, "title": "x", "labels": {"a": [1, {"b": 2}]}}
    ),
    "insert_many": lambda: Author.insert_many(deepcopy(ROWS)),
    "insert_many with defaults": lambda: Author.insert_many([{"name": "eve"}]),
    "insert_many of tuples": lambda: Author.insert_many(
        [["eve", 1], ("fay", 2)], fields=[Author.name, "age"]
    ),
    "insert_many of nothing": lambda: Author.insert_many([]),
    "insert_many into some": lambda: Author.insert_many([("eve",)], [Author.name]),
    "insert_from": lambda: Author.insert_from(
        Book.select(Book.title, Book.id), [Author.name, "age"]
    ),
    "insert as a number": lambda: Author.insert(name="eve").as_rowcount(),
    "insert or ignore": lambda: Author.insert(name="ada").on_conflict_ignore(),
    "insert or update": lambda: Author.insert(name="ada").on_conflict(
        conflict_target=[Author.name], update={Author.age: 7}, where=(Author.age > 0)
    ),
    "insert returning": lambda: Author.insert(name="eve").returning(Author.id).tuples(),
    "insert twice the same": lambda: Author.insert(name="ada"),
    "update": lambda: Author.update({Author.age: Author.age + 1}).where(Author.id == 1),
    "update returning": lambda: Author.update(age=3).returning(Author.name).dicts(),
    "delete": lambda: Book.delete().where(Book.author.in_(Author.select(Author.id))),
    "raw": lambda: Author.raw("UPDATE author SET age = ?", 7),
}


@every_end
@pytest.mark.parametrize("returning", [False, True])
@pytest.mark.parametrize("shape", WRITES)
async def test_a_query_that_writes(
    shape: str, returning: bool, end: End, memory: MemoryDatabase
) -> None:
    memory.returning_clause = returning
    query = WRITES[shape]()
    before = frozen(query)
    for call in (Manager(memory).execute, memory.aio_execute):
        await end(memory, partial(call, query))
        assert frozen(query) == before
    await end(memory, query.aio_execute)
    assert frozen(query) == before


# Dicts and lists.

Given = Callable[[Manager, dict[str, Any]], Any]


def _update(objects: Manager, data: dict[str, Any]) -> Any:
    return objects.update(Author(id=1, name="eve"), data["only"])


def _save(objects: Manager, data: dict[str, Any]) -> Any:
    return Author(id=1, name="eve").aio_save(only=data["only"])


GIVEN: dict[str, tuple[dict[str, Any], Given]] = {
    "get_or_create": (
        {"age": 3, "name": "eve"},
        lambda objects, data: objects.get_or_create(Author, defaults=data, name="eve"),
    ),
    "get_or_create, found": (
        {"age": 3},
        lambda objects, data: objects.get_or_create(Author, defaults=data, name="ada"),
    ),
    "get_or_create, taken": (
        {"name": "ada"},
        lambda objects, data: objects.get_or_create(Author, defaults=data, age=99),
    ),
    "aio_get_or_create": (
        {"labels": {"a": [1]}, "author": 1},
        lambda objects, data: Book.aio_get_or_create(defaults=data, title="x"),
    ),
    "create": (
        {"author": 1, "title": "x", "labels": {"a": [1, {}]}},
        lambda objects, data: objects.create(Book, **data),
    ),
    "create_or_get": (
        {"name": "ada", "age": 4},
        lambda objects, data: objects.create_or_get(Author, **data),
    ),
    "aio_create": (
        {"author": 1, "title": "x", "labels": {"a": [1, {}]}},
        lambda objects, data: Book.aio_create(**data),
    ),
    "get by keywords": (
        {"name__in": ["ada", "bob"]},
        lambda objects, data: objects.get(Author, **data),
    ),
    "insert": (
        {"name": "eve"},
        lambda objects, data: objects.execute(Author.insert(data)),
    ),
    "insert_many": (
        {"rows": [{"name": "eve"}, {"name": "fay"}]},
        lambda objects, data: objects.execute(Author.insert_many(data["rows"])),
    ),
    "insert_many with fields": (
        {"rows": [["eve"], ["fay"]], "fields": ["name"]},
        lambda objects, data: objects.execute(Author.insert_many(**data)),
    ),
    "update query": (
        {"name": "eve"},
        lambda objects, data: objects.execute(Author.update(data)),
    ),
    "update": ({"only": ["name", Author.age]}, _update),
    "aio_save": ({"only": ["name"]}, _save),
}


@every_end
@pytest.mark.parametrize("name", GIVEN)
async def test_dicts_and_lists(name: str, end: End, memory: MemoryDatabase) -> None:
    given, call = GIVEN[name]
    data = dict(given) if "only" in given else deepcopy(given)
    before = frozen(data), repr(data)
    await end(memory, lambda: call(Manager(memory), data))
    assert (frozen(data), repr(data)) == before
