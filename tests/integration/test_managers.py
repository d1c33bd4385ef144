"""Several Managers and databases for one model, and models that are bound elsewhere.

A Manager runs everything on its own database; models stay bound as they were.
"""

from __future__ import annotations

import asyncio
import datetime
import decimal
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peewee
import pytest
from peewee import fn

from peewee_async import AioDatabase, Manager
from tests.integration.backends import POOLED, SINGLE, Backend
from tests.integration.checks import dirty, only, seen
from tests.integration.conftest import CreateTables, MakeDatabase
from tests.integration.models import people

FOREIGN = {"postgres": "mysql", "mysql": "sqlite", "sqlite": "postgres"}


class Author(peewee.Model):
    """Bound to no database, like the others; tests bind them elsewhere."""

    id: Any
    DoesNotExist: Any
    name: Any = peewee.CharField(unique=True)
    age: Any = peewee.IntegerField(default=36)


class Book(peewee.Model):
    id: Any
    author: Any = peewee.ForeignKeyField(Author, backref="books")
    title: Any = peewee.CharField()


class Stamped(peewee.Model):
    """A key that the program gives."""

    key: Any = peewee.UUIDField(primary_key=True, default=uuid.uuid4)
    note: Any = peewee.CharField(default="")


class Values(peewee.Model):
    """Fields whose values depend on the database."""

    id: Any
    char: Any = peewee.CharField(null=True)
    boolean: Any = peewee.BooleanField(null=True)
    date: Any = peewee.DateField(null=True)
    time: Any = peewee.TimeField(null=True)
    datetime: Any = peewee.DateTimeField(null=True)
    decimal: Any = peewee.DecimalField(20, 5, null=True)
    uuid: Any = peewee.UUIDField(null=True)
    binary_uuid: Any = peewee.BinaryUUIDField(null=True)
    blob: Any = peewee.BlobField(null=True)
    bits: Any = peewee.BigBitField()
    stamp: Any = peewee.TimestampField(null=True, utc=True)
    json: Any = peewee.JSONField(null=True)


author: Any = Author
MODELS = (Author, Book, Stamped, Values)
EVERYTHING: dict[str, Any] = {
    "char": "%s ? € 𝄞",
    "boolean": True,
    "date": datetime.date(2024, 2, 29),
    "time": datetime.time(23, 59, 58),
    "datetime": datetime.datetime(1999, 12, 31, 23, 59, 58),
    "decimal": decimal.Decimal("1234567890.12345"),
    "uuid": uuid.UUID("12345678-1234-5678-1234-567812345678"),
    "binary_uuid": uuid.UUID("12345678-1234-5678-1234-567812345678"),
    "blob": bytes(range(256)),
    "bits": b"\x01\x80",
    "stamp": datetime.datetime(2001, 2, 3, 4, 5, 6),
    "json": {"list": [1, 2.5, None, True], "text": "€ ' \" \\ %s", "none": None},
}


def unbound(backend: Backend, path: Path) -> Any:
    return None


def same_server(backend: Backend, path: Path) -> Any:
    """Another object for the very same database, never to be connected."""
    return backend.make(path, pooled=False)


def same_family(backend: Backend, path: Path) -> Any:
    """A database of another server, which there is not."""
    return SINGLE[backend.name](
        "elsewhere", **({} if backend.name == "sqlite" else {"port": 1})
    )


def plain_peewee(backend: Backend, path: Path) -> Any:
    return backend.make_sync(path)


def empty_proxy(backend: Backend, path: Path) -> Any:
    return peewee.DatabaseProxy()


@contextmanager
def bound(database: Any) -> Iterator[None]:
    """Bind the models; nothing that is done meanwhile may change that, or connect."""
    states = {model: model._meta.database for model in MODELS}
    for model in MODELS:
        # peewee 4.3 cannot bind to an empty proxy once the class is made.
        model._meta.set_database(getattr(database, "obj", database))
        model._meta.database = vars(model)["_schema"].database = database
    fields = state()
    try:
        yield
        for model in MODELS:
            assert model._meta.database is database
            assert vars(model)["_schema"]._database is database
        assert state() == fields
        behind = getattr(database, "obj", database)
        assert behind is None or behind.is_closed()
    finally:
        for model, before in states.items():
            model._meta.set_database(before)


def state() -> list[Any]:
    """What adapting a field to a database changes in it, for a while."""
    json, blob = vars(Values.json), vars(Values.blob)
    helper = json["_helper"]
    return [helper and helper.database, json["_wrap"] is None, blob["_constructor"]]


@pytest.fixture(params=[unbound, same_server, same_family, plain_peewee, empty_proxy])
def elsewhere(
    request: pytest.FixtureRequest, backend: Backend, path: Path
) -> Iterator[None]:
    """Have the models bound to no database, or to another than the Manager's."""
    with bound(request.param(backend, path)):
        try:
            Author.insert(name="")
        except AttributeError:
            pytest.skip("This peewee makes no INSERT of a model with an empty proxy.")
        yield


@pytest.fixture
def objects(make_database: MakeDatabase, tables: CreateTables) -> Manager:
    # The fixture binds the models to create their tables, and then back.
    tables(*MODELS)
    return Manager(make_database())


# Each method, wherever the models are bound to


async def test_objects(objects: Manager, elsewhere: None) -> None:
    ada = await objects.create(Author, name="ada", age=1)
    assert isinstance(ada.id, int)
    assert dirty(ada) == []
    assert (await objects.get(Author, name="ada")).id == ada.id
    assert (await objects.get(Author.select().where(Author.age == 1))).id == ada.id
    assert await objects.get_or_none(Author, name="bob") is None
    with pytest.raises(Author.DoesNotExist):
        await objects.get(Author, name="bob")
    ada.age = 2
    assert await objects.update(ada) == 1
    ada.name = "eve"
    assert await objects.update(ada, only=[Author.name]) == 1
    assert await objects.get_or_create(Author, name="eve") == (ada, False)
    bob, created = await objects.get_or_create(Author, {"age": 9}, name="bob")
    assert (bob.age, created) == (9, True)
    assert await objects.create_or_get(Author, name="bob") == (bob, False)
    assert (await objects.create_or_get(Author, name="cyd"))[1] is True
    stamped = await objects.create(Stamped, note="n")
    assert (await objects.get(Stamped, key=stamped.key)).note == "n"
    assert await objects.delete(bob) == 1
    await objects.create(Book, author=ada, title="Notes")
    assert await objects.delete(ada, recursive=True) == 1
    assert [await objects.count(model) for model in (Author, Book)] == [1, 0]


async def test_queries(objects: Manager, elsewhere: None) -> None:
    key = await objects.execute(Author.insert(name="ada", age=1))
    assert (await objects.get(Author)).id == key
    many = Author.insert_many(people_of(3))
    assert await objects.execute(many.as_rowcount()) == 3
    assert await objects.execute(Author.update(age=Author.age + 1)) == 4
    query = Author.select().order_by(Author.id)
    assert [row.age for row in await objects.execute(query)] == [2, 1, 2, 3]
    assert await objects.count(query.limit(3)) == 3
    assert await objects.count(Author.select(Author.age).distinct()) == 3
    assert await objects.scalar(Author.select(fn.MAX(Author.age))) == 3
    pair = query.select(Author.name, Author.age)
    assert await objects.scalar(pair, as_tuple=True) == ("ada", 2)
    assert await objects.scalar(pair, as_dict=True) == {"name": "ada", "age": 2}
    both = Author.select(Author.age).where(Author.age < 2) | Author.select(Author.age)
    assert await objects.count(both) == 3
    assert await objects.execute(Author.noop()) == []
    older = Author.alias()
    above = older.select(fn.AVG(older.age))
    assert await objects.count(Author.select().where(Author.age > above)) == 1
    cte = Author.select(Author.id, Author.age).where(Author.age > 1).cte("older")
    joined = (
        Author.select(Author.name, cte.c.age)
        .join(cte, on=(cte.c.id == Author.id))
        .with_cte(cte)
        .order_by(Author.id)
    )
    names = [row["name"] for row in await objects.execute(joined.dicts())]
    assert names == ["ada", "user1", "user2"]
    copied = Book.insert_from(
        Author.select(Author.id, Author.name), [Book.author, Book.title]
    )
    await objects.execute(copied)
    assert await objects.count(Book) == 4
    assert await objects.execute(Book.delete()) == 4
    quote = objects.database.quote
    raw = Author.raw(f"SELECT name FROM {quote[0]}author{quote[1]} WHERE age = 3")
    assert [row.name for row in await objects.execute(raw)] == ["user2"]
    assert await objects.count(raw) == 1


def people_of(count: int) -> list[dict[str, Any]]:
    return [{"name": each["name"], "age": each["age"]} for each in people(count)]


async def test_inserts_by_the_means_of_the_managers_database(
    backend: Backend, objects: Manager, elsewhere: None
) -> None:
    await objects.create(Author, name="ada", age=1)
    again = Author.insert(name="ada", age=2)
    await objects.execute(again.on_conflict_ignore())
    assert await objects.scalar(Author.select(Author.age)) == 1
    if backend.name == "mysql":
        upsert = again.on_conflict(preserve=[Author.age])
    else:
        upsert = again.on_conflict(conflict_target=[Author.name], preserve=[Author.age])
    await objects.execute(upsert)
    assert await objects.scalar(Author.select(Author.age)) == 2
    if backend.name != "postgres":
        await objects.execute(author.replace(name="ada", age=3))
        assert await objects.scalar(Author.select(Author.age)) == 3
    if backend.name != "mysql":
        rows = Author.update(age=4).returning(Author.name, Author.age).tuples()
        assert await objects.execute(rows) == [("ada", 4)]
    keys = await objects.execute(Author.insert_many(people_of(2)))
    if backend.name == "postgres":
        assert [len(key) for key in keys] == [1, 1]
    else:
        assert isinstance(keys, int)


@only("postgres", "mysql")
async def test_locks_rows(objects: Manager, elsewhere: None) -> None:
    await objects.create(Author, name="ada")
    async with objects.atomic():
        query = Author.select().where(Author.name == "ada").for_update()
        assert (await objects.get(query)).name == "ada"


async def test_related_rows(objects: Manager, elsewhere: None) -> None:
    ada = await objects.create(Author, name="ada")
    await objects.create(Book, author=ada, title="Notes")
    authors = Author.select().order_by(Author.id)
    for kind in (peewee.PREFETCH_TYPE.JOIN, peewee.PREFETCH_TYPE.WHERE):
        (row,) = await objects.prefetch(authors, Book, prefetch_type=kind)
        assert [book.title for book in row.books] == ["Notes"]
    (book,) = await objects.execute(
        Book.select(Book, Author).join(Author, on=Book.author)
    )
    assert book.author.name == "ada"
    if hasattr(peewee, "Load"):
        related: Any = Author.select()
        query = related.with_related(peewee.Load(author.books))
        (row,) = await objects.execute(query)
        assert [book.title for book in row.books] == ["Notes"]


async def test_values_of_all_types(objects: Manager, elsewhere: None) -> None:
    made = await objects.create(Values, **EVERYTHING)
    await objects.execute(Values.insert_many([EVERYTHING]))
    for row in await objects.execute(Values.select().order_by(Values.id)):
        got = row.__data__ | {"blob": bytes(row.blob), "bits": bytes(row.bits)}
        got.pop("id")
        assert seen(got) == seen(EVERYTHING)
    value: Any
    for value in ([1, {"a": None}], "text", 7, False, 2.5, {}, ""):
        made.json = value
        assert await objects.update(made, only=["json"]) == 1
        assert (await objects.get(Values, id=made.id)).json == value
        query = Values.select(Values.json).where(Values.id == made.id)
        assert await objects.scalar(query) == value
        assert await objects.execute(query.dicts()) == [{"json": value}]
    empty = await objects.create(Values, stamp=None)
    found = await objects.get(Values, id=empty.id)
    nothing = dict.fromkeys(EVERYTHING) | {"id": empty.id, "bits": b""}
    assert found.__data__ | {"bits": bytes(found.bits)} == nothing
    for name in ("uuid", "binary_uuid", "blob", "datetime", "boolean"):
        wanted = Values.select().where(getattr(Values, name) == EVERYTHING[name])
        assert await objects.count(wanted) == 2
    await objects.execute(Values.update(json=[1], blob=b"\0"))
    union = Values.select(Values.json) | Values.select(Values.json)
    assert [row.json for row in await objects.execute(union)] == [[1]]


async def test_paths_into_json(objects: Manager, elsewhere: None) -> None:
    await objects.create(Values, json={"a": [1, {"b": "x"}]})
    path = Values.json["a"][1]["b"]
    query = Values.select(path)
    assert await objects.execute(query.tuples()) == [("x",)]
    assert [row async for row in objects.iterator(query.tuples())] == [("x",)]
    assert await objects.scalar(query) == "x"
    assert await objects.count(query) == 1
    assert await objects.scalar(Values.select(peewee.fn.COUNT(path))) == 1
    assert await objects.count(query.group_by(path)) == 1


# Later, and at once


async def test_a_later_database_of_the_model_takes_effect_at_once(
    backend: Backend, path: Path, objects: Manager
) -> None:
    await objects.create(Author, name="ada")
    try:
        Author._meta.database = backend.make_sync(path)
        with Author._meta.database.connection_context():
            assert Author.get().name == "ada"
        await objects.create(Author, name="bob")
        Author._meta.database = SINGLE[FOREIGN[backend.name]](None)
        with pytest.raises(peewee.InterfaceError, match="bound to a"):
            await objects.create(Author, name="eve")
    finally:
        Author._meta.database = None
    assert await objects.count(Author) == 2


# Another family

REFUSED: dict[str, Callable[[Manager], Any]] = {
    "get": lambda objects: objects.get(Author, name="a"),
    "get_or_none": lambda objects: objects.get_or_none(Author, name="a"),
    "get of an alias": lambda objects: objects.get(Author.alias(), name="a"),
    "create": lambda objects: objects.create(Author, name="a"),
    "update": lambda objects: objects.update(Author(id=1, name="a")),
    "delete": lambda objects: objects.delete(Author(id=1)),
    "delete recursively": lambda objects: objects.delete(Author(id=1), recursive=True),
    "get_or_create": lambda objects: objects.get_or_create(Author, name="a"),
    "create_or_get": lambda objects: objects.create_or_get(Author, name="a"),
    "select": lambda objects: objects.execute(Author.select()),
    "insert": lambda objects: objects.execute(Author.insert(name="a")),
    "insert many": lambda objects: objects.execute(Author.insert_many(people_of(2))),
    "insert of defaults": lambda objects: objects.execute(Stamped.insert()),
    "upsert": lambda objects: objects.execute(
        Author.insert(name="a").on_conflict_ignore()
    ),
    "update query": lambda objects: objects.execute(Author.update(age=1)),
    "delete query": lambda objects: objects.execute(Author.delete()),
    "raw": lambda objects: objects.execute(Author.raw("SELECT 1")),
    "noop": lambda objects: objects.execute(Author.noop()),
    "compound": lambda objects: objects.execute(Author.select() | Author.select()),
    "for update": lambda objects: objects.execute(Author.select().for_update()),
    "prefetch": lambda objects: objects.prefetch(Author, Book),
    "prefetch of one": lambda objects: objects.prefetch(Author),
    "count": lambda objects: objects.count(Author),
    "count of raw": lambda objects: objects.count(Author.raw("SELECT 1")),
    "scalar": lambda objects: objects.scalar(Author.select(Author.age)),
}
# Only a part of these is bound to another family.
PARTS: dict[str, Callable[[Manager], Any]] = {
    "subquery": lambda objects: objects.execute(
        Book.select().where(Book.author.in_(Author.select(Author.id)))
    ),
    "column": lambda objects: objects.scalar(
        Book.select(Author.select(fn.MAX(Author.age)))
    ),
    "join": lambda objects: objects.execute(Book.select().join(Author)),
    "keyword": lambda objects: objects.get(Book, author__name="a"),
    "count": lambda objects: objects.count(Book.select().join(Author)),
    "union": lambda objects: objects.execute(
        Book.select(Book.id) | Author.select(Author.id)
    ),
    "cte": lambda objects: objects.execute(with_authors()),
    "insert from": lambda objects: objects.execute(
        Book.insert_from(Author.select(Author.id, Author.name), [Book.author, "title"])
    ),
    "update": lambda objects: objects.execute(
        Book.update(title=Author.select(fn.MAX(Author.name)))
    ),
    "delete": lambda objects: objects.execute(
        Book.delete().where(Book.author << Author.select(Author.id))
    ),
    "prefetch": lambda objects: objects.prefetch(Book, Author),
}


def with_authors() -> Any:
    authors = Author.select(Author.id).cte("authors")
    joined = Book.select().join(authors, on=(authors.c.id == Book.author))
    return joined.with_cte(authors)


@pytest.mark.parametrize("call", REFUSED)
async def test_a_model_of_another_family_is_refused(
    backend: Backend, objects: Manager, call: str
) -> None:
    with (
        bound(SINGLE[FOREIGN[backend.name]](None)),
        pytest.raises(peewee.InterfaceError, match=r" is bound to a \w+ database and "),
    ):
        await REFUSED[call](objects)
    assert await objects.count(Author) == 0


@pytest.mark.parametrize("call", PARTS)
async def test_a_part_of_another_family_is_refused(
    backend: Backend, objects: Manager, call: str
) -> None:
    await objects.create(Author, name="ada")
    Author._meta.database = SINGLE[FOREIGN[backend.name]](None)
    try:
        with pytest.raises(peewee.InterfaceError, match=r" is bound to a \w+ database"):
            await PARTS[call](objects)
    finally:
        Author._meta.database = None
    assert await objects.count(Book) == 0


async def test_a_query_may_be_bound_here_on_purpose(
    backend: Backend, objects: Manager
) -> None:
    """As in peewee: `bind()` is the last word, for that query."""
    with bound(SINGLE[FOREIGN[backend.name]](None)):
        bind = objects.database
        await objects.execute(Values.insert(**EVERYTHING).bind(bind))
        query = Values.select().bind(bind)
        assert (await objects.get(query)).json == EVERYTHING["json"]
        assert await objects.count(query) == 1
        with pytest.raises(peewee.InterfaceError):
            await objects.count(Values)


# Several Managers


async def test_several_managers_of_one_database(objects: Manager) -> None:
    other = Manager(objects.database)
    async with objects.atomic():
        await objects.create(Author, name="ada")
        async with other.atomic():
            assert await other.count(Author) == 1
        with pytest.raises(ZeroDivisionError):
            async with other.atomic():
                await objects.create(Author, name="bob")
                raise ZeroDivisionError
    assert await other.count(Author) == 1


@pytest.fixture
async def second(
    backend: Backend, make_database: MakeDatabase, objects: Manager, tmp_path: Path
) -> Manager:
    """A Manager of another database of the same family, with no tables of ours."""
    if backend.name == "sqlite":
        return Manager(make_database(name=str(tmp_path / "second.db")))
    system = {"postgres": "postgres", "mysql": "information_schema"}[backend.name]
    return Manager(make_database(name=system))


async def test_several_databases_for_one_model(
    objects: Manager, second: Manager
) -> None:
    await objects.create(Author, name="ada")
    with pytest.raises(peewee.DatabaseError):
        await second.count(Author)
    assert await objects.count(Author) == 1


async def test_blocks_of_two_databases_do_not_mix(
    backend: Backend, objects: Manager, make_database: MakeDatabase
) -> None:
    other = Manager(make_database())  # another object for the same database
    with pytest.raises(ZeroDivisionError):
        async with objects.atomic():
            if backend.name == "sqlite":
                # It has one writer at a time.
                async with other.atomic(lock_type="DEFERRED"):
                    assert await other.count(Author) == 0
            else:
                async with other.atomic():
                    await other.create(Author, name="other")
            await objects.create(Author, name="mine")
            assert await other.count(Author.select().where(Author.name == "mine")) == 0
            raise ZeroDivisionError
    names = [row.name for row in await objects.execute(Author.select())]
    assert names == ([] if backend.name == "sqlite" else ["other"])


async def test_the_database_of_a_manager_may_be_swapped(
    objects: Manager, make_database: MakeDatabase
) -> None:
    first, other = objects.database, make_database(pooled=False)
    await objects.create(Author, name="ada")
    objects.database = other
    await objects.create(Author, name="bob")
    assert other.is_connected
    await objects.close()
    assert not other.is_connected
    assert first.is_connected
    objects.database = first
    assert await objects.count(Author) == 2


@pytest.mark.parametrize("kind", [peewee.Proxy, peewee.DatabaseProxy])
async def test_a_proxy_may_be_initialized_again(
    objects: Manager, make_database: MakeDatabase, kind: type[peewee.Proxy]
) -> None:
    proxy = kind()
    through = Manager(proxy)
    calls: list[Callable[[], Any]] = [
        lambda: through.count(Author),
        lambda: through.connect(),
        lambda: through.close(),
        lambda: through.create(Author, name="a"),
        lambda: through.get_or_create(Author, name="a"),
        lambda: through.atomic().__aenter__(),
    ]
    for call in calls:
        with pytest.raises(peewee.InterfaceError, match="not initialized"):
            await call()
    first, other = make_database(), make_database(pooled=False)
    proxy.initialize(first)
    await through.create(Author, name="ada")
    proxy.initialize(other)
    assert await through.count(Author) == 1
    assert first.is_connected
    assert other.is_connected
    assert through.is_connected


async def test_a_database_may_be_named_later_and_again(
    backend: Backend, path: Path, objects: Manager, tmp_path: Path
) -> None:
    database = POOLED[backend.name](None)
    later = Manager(database)
    for call in (later.connect, lambda: later.count(Author)):
        with pytest.raises(peewee.InterfaceError, match="init"):
            await call()
    name, options = backend.options(path)
    database.init(name, **options)
    await later.create(Author, name="ada")
    with later.allow_sync(), bound_to(database):
        assert Author.select().count() == 1
        database.init(name, **options)
        assert database.is_closed()
        assert not database.is_connected
        assert Author.select().count() == 1
    assert await later.count(Author) == 1
    await later.close()


@contextmanager
def bound_to(database: Any) -> Iterator[None]:
    with database.bind_ctx([Author], False, False):
        yield


async def test_a_subclass_with_a_database(
    objects: Manager, make_database: MakeDatabase
) -> None:
    class Mine(Manager):
        database = objects.database

    class Child(Mine):
        pass

    await Child().create(Author, name="ada")
    assert await Mine().count(Author) == 1
    own = make_database(pooled=False)
    assert await Mine(own).count(Author) == 1
    assert own.is_connected


async def test_a_manager_of_one_loop(objects: Manager, database: AioDatabase) -> None:
    mine = Manager(objects.database, loop=asyncio.get_running_loop())
    await mine.create(Author, name="ada")

    async def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            await mine.count(Author)
        with pytest.raises(RuntimeError, match="another event loop"):
            async with mine.atomic():
                raise AssertionError
        assert await objects.count(Author) == 1
        await objects.close()

    await asyncio.to_thread(asyncio.run, elsewhere())
    assert await mine.count(Author) == 1


async def test_after_close(objects: Manager, elsewhere: None) -> None:
    await objects.create(Author, name="ada")
    await objects.close()
    assert not objects.is_connected
    assert await objects.count(Author) == 1
    await objects.close()
    async with objects.atomic():
        await objects.create(Author, name="bob")
    await objects.close()
    assert (await objects.create_or_get(Author, name="bob"))[1] is False


async def test_threads_use_unbound_models_at_once(
    objects: Manager, make_database: MakeDatabase
) -> None:
    """Fields are adapted in one thread at a time, and then given back."""
    before, interval = state(), sys.getswitchinterval()

    async def work(number: int) -> list[Any]:
        own = Manager(objects.database)
        for turn in range(20):
            await own.create(Values, char=str(number), json=[number, turn])
        query = Values.select().where(Values.char == str(number)).order_by(Values.id)
        rows = [row.json for row in await own.execute(query)]
        await own.close()
        return rows

    sys.setswitchinterval(1e-6)  # so that threads meet in the middle of things
    try:
        results = await asyncio.gather(
            *(asyncio.to_thread(asyncio.run, work(number)) for number in range(3))
        )
    finally:
        sys.setswitchinterval(interval)
    for number, rows in enumerate(results):
        assert rows == [[number, turn] for turn in range(20)]
    assert state() == before
