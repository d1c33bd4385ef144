"""The aio_ methods of AioModel and of its queries, beside peewee's own."""

# ruff: noqa: PT012 - that an error leaves a block is what is tested

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Callable, Iterator
from pickle import dumps, loads
from typing import Any

import peewee
import pytest

from peewee_async import AioModel, Manager, PostgresqlDatabase
from tests.unit.fakes import MemoryDatabase, Oops, sync


class Author(AioModel):
    id: Any = peewee.AutoField()
    name: Any = peewee.CharField(unique=True)
    age: Any = peewee.IntegerField(default=36)
    books: Any


class Book(AioModel):
    author: Any = peewee.ForeignKeyField(Author, backref="books")
    title: Any = peewee.CharField()


class Chapter(AioModel):
    book: Any = peewee.ForeignKeyField(Book, null=True, backref="+")
    next: Any = peewee.ForeignKeyField("self", null=True, backref="+")


class Club(AioModel):
    members: Any = peewee.ManyToManyField(Author, backref="clubs")


Membership: Any = Club.members.get_through_model()

MODELS = [Author, Book, Chapter, Club, Membership]
ANY_AUTHOR: Any = Author


@pytest.fixture(autouse=True)
def tables(memory: MemoryDatabase) -> Iterator[None]:
    """Three authors: ada, bob and cat; ada has two books."""
    memory.set_allow_sync(True)
    with memory.bind_ctx(MODELS):
        memory.create_tables(MODELS)
        for name in ("ada", "bob", "cat"):
            Author.create(name=name)
        for title in ("Notes", "Letters"):
            Book.create(author=1, title=title)
        memory.close()
        memory.set_allow_sync(False)
        yield


@pytest.mark.parametrize("remake", [copy.deepcopy, lambda it: loads(dumps(it))])
async def test_a_copy_of_what_was_read_has_all_that_belongs_to_an_object(
    remake: Callable[[Author], Author],
) -> None:
    for _ in range(3):
        (author,) = await Author.select().where(Author.id == 1).aio_execute()
    twin = remake(author)
    assert vars(twin) == {"__data__": author.__data__, "_dirty": set(), "__rel__": {}}
    twin.age = 37
    assert (twin._dirty, author._dirty) == ({"age"}, set())


@pytest.mark.parametrize("remake", [copy.copy, lambda it: it.clone()])
async def test_a_shallow_copy_shares_everything_as_in_peewee(
    remake: Callable[[Author], Author],
) -> None:
    for _ in range(3):
        (author,) = await Author.select().where(Author.id == 1).aio_execute()
    twin = remake(author)
    twin.age = 37
    assert (author.age, author.dirty_fields) == (37, [Author.age])
    assert twin.__rel__ is author.__rel__


def test_a_class_may_check_itself_when_it_is_made() -> None:
    class Checked(AioModel):
        name: Any = peewee.CharField()

        @classmethod
        def validate_model(cls) -> None:
            assert cls.name.null is False

    assert Checked(name="a").__rel__ == {}
    assert AioModel.__rel__ is Author.__rel__ is None


class Careful(AioModel):
    """Saves in a way of its own."""

    name: Any = peewee.CharField(unique=True)
    age: Any = peewee.IntegerField(default=36)

    async def aio_save(self, *args: Any, **options: Any) -> int | bool:
        self.name = self.name.upper()
        return await super().aio_save(*args, **options)


class Proud(Careful):
    """Creates in a way of its own, too."""

    @classmethod
    async def aio_create(cls, **data: Any) -> Any:
        return await super().aio_create(**data | {"age": 99})


@pytest.fixture
def own_ways(memory: MemoryDatabase) -> Iterator[None]:
    models = [Careful, Proud]
    with memory.allow_sync(), memory.bind_ctx(models, False, False):
        memory.create_tables(models)
    with memory.bind_ctx(models, False, False):
        yield


@pytest.mark.usefixtures("own_ways")
async def test_create_saves_as_the_model_does() -> None:
    assert (await Careful.aio_create(name="ada")).name == "ADA"
    assert (await Careful.aio_get(name="ADA")).age == 36
    with pytest.raises(peewee.IntegrityError):
        await Careful.aio_create(name="ada")


@pytest.mark.usefixtures("own_ways")
@pytest.mark.parametrize(("model", "age"), [(Careful, 7), (Proud, 99)])
async def test_get_or_create_creates_as_the_model_does(model: Any, age: int) -> None:
    made, is_new = await model.aio_get_or_create(name="ADA", defaults={"age": 7})
    assert (made.name, made.age, is_new) == ("ADA", age, True)
    found, is_new = await model.aio_get_or_create(name="ADA")
    assert (found, is_new) == (made, False)
    with pytest.raises(peewee.IntegrityError) as caught:
        await model.aio_get_or_create(name="ada")
    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)
    assert await model.select().aio_count() == 1


@pytest.mark.usefixtures("own_ways")
async def test_what_somebody_else_created_meanwhile_is_got(
    memory: MemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await Careful.aio_create(name="ADA")
    run_plan, asked = memory.run_plan, []

    async def late(plan: Any, *args: Any) -> Any:
        asked.append(plan)
        if len(asked) == 1:
            raise Careful.DoesNotExist
        return await run_plan(plan, *args)

    monkeypatch.setattr(memory, "run_plan", late)
    found, is_new = await Careful.aio_get_or_create(name="ADA", defaults={"age": 7})
    assert (found, found.age, is_new) == (made, 36, False)


def names(rows: Any) -> list[str]:
    return [row.name for row in rows]


async def test_aio_get() -> None:
    ada = await Author.aio_get(Author.name == "ada")
    assert (type(ada), ada.id) == (Author, 1)
    for found in (
        await Author.aio_get(name="ada"),
        await Author.aio_get(1),
        await Author.aio_get(Author, name="ada"),
        await Author.aio_get(Author.age > 30, name__startswith="a"),
    ):
        assert found == ada
    assert (await Book.aio_get(author__name="ada")).title == "Notes"
    with pytest.raises(peewee.DoesNotExist):
        await Author.aio_get(name="dan")
    with pytest.raises(TypeError, match="Book is a model"):
        await Author.aio_get(Book)


async def test_aio_get_or_none() -> None:
    found = await Author.aio_get_or_none(Author.name == "ada")
    assert found is not None
    assert found.id == 1
    assert await Author.aio_get_or_none(name="dan") is None


async def test_aio_create() -> None:
    dan = await Author.aio_create(name="dan")
    assert (dan.id, dan.age) == (4, 36)
    with pytest.raises(peewee.IntegrityError):
        await Author.aio_create(name="dan")


async def test_aio_get_or_create() -> None:
    dan, created = await Author.aio_get_or_create(name="dan", defaults={"age": 1})
    assert (dan.age, created) == (1, True)
    assert await Author.aio_get_or_create(name="dan") == (dan, False)


async def test_aio_save() -> None:
    dan = Author(name="dan")
    assert await dan.aio_save() == 1
    assert dan.id == 4
    dan.name, dan.age = "don", 2
    assert await dan.aio_save(only=[Author.age]) == 1
    found = await Author.aio_get(4)
    assert (found.name, found.age) == ("dan", 2)
    assert await Author(id=9, name="eve").aio_save() == 0
    assert await Author(id=9, name="eve").aio_save(force_insert=True) == 1


async def test_aio_delete_instance(memory: MemoryDatabase) -> None:
    ada = await Author.aio_get(1)
    with pytest.raises(peewee.IntegrityError):
        await ada.aio_delete_instance()
    assert await ada.aio_delete_instance(recursive=True) == 1
    assert memory.server.sent[-1] == "COMMIT"
    assert await Book.select().aio_count() == 0
    assert await ada.aio_delete_instance() == 0


async def test_by_id() -> None:
    assert (await Author.aio_get_by_id(1)).name == "ada"
    assert await Author.aio_set_by_id(1, {"name": "eve", Author.age: 3}) == 1
    assert (await Author.aio_get_by_id(1)).name == "eve"
    assert await Author.aio_set_by_id(None, {"name": "dan"}) == 4
    assert await Author.aio_delete_by_id(4) == 1
    assert await Author.aio_delete_by_id(4) == 0
    with pytest.raises(Author.DoesNotExist):
        await Author.aio_get_by_id(4)


class Line(AioModel):
    text: Any = peewee.CharField()

    class Meta:
        primary_key = False


async def test_a_model_without_a_key_is_not_found_by_one(
    memory: MemoryDatabase,
) -> None:
    with memory.bind_ctx([Line]):
        for call in (Line.aio_get_by_id, Line.aio_delete_by_id):
            with pytest.raises(ValueError, match="Line has no primary key"):
                await call(0)


async def test_bulk(memory: MemoryDatabase) -> None:
    memory.server.sent.clear()
    await Author.aio_bulk_create([Author(name=name) for name in "xyz"], batch_size=2)
    assert len(memory.server.sent) == 2
    made = await Author.select().where(Author.id > 3).aio_execute()
    assert names(made) == ["x", "y", "z"]
    for author in made:
        author.name *= 2
    rows = await Author.aio_bulk_update(iter(made), ["name"], batch_size=2)
    assert (rows, len(memory.server.sent)) == (3, 5)
    assert (await Author.aio_get_by_id(6)).name == "zz"
    assert await Author.aio_bulk_update([], [Author.name]) == 0


async def test_aio_fetch(memory: MemoryDatabase) -> None:
    book: Any = await Book.aio_get(title="Notes")
    memory.server.sent.clear()
    ada = await book.aio_fetch(Book.author)
    assert (type(ada), ada.name) == (Author, "ada")
    assert book.author is ada
    assert await book.aio_fetch("author") is ada
    assert await book.aio_fetch("author_id") is ada
    assert len(memory.server.sent) == 1
    book.author = 99
    with pytest.raises(Author.DoesNotExist):
        await book.aio_fetch(Book.author)
    with pytest.raises(Author.DoesNotExist):
        await Book().aio_fetch(Book.author)
    with pytest.raises(ValueError, match="no foreign key of Book"):
        await book.aio_fetch("title")
    with pytest.raises(TypeError, match="no foreign key"):
        await book.aio_fetch(Book.title)


class Reader(peewee.Model):
    """A plain model, bound to nothing."""

    name: Any = peewee.CharField()


class Loan(AioModel):
    reader: Any = peewee.ForeignKeyField(Reader, lazy_load=False, backref="+")


async def test_aio_fetch_of_what_is_known_needs_no_database() -> None:
    book = Book(title="Notes")
    assert await Chapter(book=book).aio_fetch("book") is book
    assert await Chapter().aio_fetch(Chapter.book) is None


async def test_aio_fetch_of_a_plain_model(memory: MemoryDatabase) -> None:
    with memory.bind_ctx([Loan], False, False):
        with memory.allow_sync(), memory.bind_ctx([Reader], False, False):
            Reader.create_table()
            Reader.create(name="eve")
        loan: Any = Loan(reader=1)
        assert Reader._meta.database is None
        assert (await loan.aio_fetch(Loan.reader)).name == "eve"
        assert loan.reader.name == "eve"


async def typed() -> tuple[Author, Author | None, int, int, list[Any], Author | None]:
    """What these are to a type checker; mypy reads the tests as strictly."""
    found: Author = await Author.aio_get_by_id(1)
    none: Author | None = await Author.aio_get_or_none(id=1)
    deleted: int = await Author.aio_delete_by_id(9)
    written: int = await Author.aio_bulk_update([found], ["name"])
    values: list[Any] = await Author.select().aio_scalars()
    first: Author | None = await Author.select().aio_get_or_none()
    await Author.aio_bulk_create([Author(name="dan")])
    return found, none, deleted, written, values, first


async def test_types() -> None:
    found, none, deleted, written, values, first = await typed()
    assert found == none == first
    assert (deleted, written, values) == (0, 1, [1, 2, 3])


async def test_more_of_a_select(memory: MemoryDatabase) -> None:
    query = Author.select(Author.name).order_by(Author.name)
    found = await query.aio_get_or_none()
    assert found is not None
    assert found.name == "ada"
    assert await query.where(Author.age < 0).aio_get_or_none() is None
    memory.server.sent.clear()
    assert (await query.aio_peek()).name == "ada"
    assert names(await query.aio_peek(2)) == ["ada", "bob"]
    assert not any("LIMIT" in sql for sql in memory.server.sent)
    assert await query.where(Author.age < 0).aio_peek() is None
    assert await query.aio_scalars() == ["ada", "bob", "cat"]


QUERIES: dict[str, Callable[[], Any]] = {
    "a select": lambda: Author.select().order_by(Author.id),
    "an alias": lambda: Author.alias().select().order_by(peewee.SQL("1")),
    "a compound": lambda: (Author.select() | Author.select()).order_by(peewee.SQL("1")),
    "a select from a select": lambda: (
        Author.select().alias("some").select_from(peewee.SQL("*"))
    ).order_by(peewee.SQL("id")),
    "a select from a compound": lambda: (
        (Author.select() | Author.select()).alias("some").select_from(peewee.SQL("*"))
    ).order_by(peewee.SQL("id")),
    "a select from a CTE": lambda: (
        Author.select().cte("some").select_from(peewee.SQL("*"))
    ).order_by(peewee.SQL("id")),
    "a raw query": lambda: Author.raw("SELECT * FROM author ORDER BY id"),
    "a filter": lambda: ANY_AUTHOR.filter(age__gt=0).order_by(Author.id),
}


@pytest.mark.parametrize("name", QUERIES)
async def test_every_kind_of_query_has_every_method(
    name: str, memory: MemoryDatabase
) -> None:
    for where in ({}, {"database": memory}):
        query = QUERIES[name]
        assert names(await query().aio_execute(**where)) == ["ada", "bob", "cat"]
        assert (await query().aio_get(**where)).name == "ada"
        assert (await query().aio_get_or_none(**where)).name == "ada"
        assert (await query().aio_peek(**where)).name == "ada"
        assert names(await query().aio_peek(2, **where)) == ["ada", "bob"]
        assert (await query().aio_first(**where)).name == "ada"
        assert await query().aio_scalar(**where) == 1
        assert await query().aio_scalars(**where) == [1, 2, 3]
        assert await query().aio_count(**where) == 3
        assert await query().aio_exists(**where)


async def test_a_noop_has_every_method() -> None:
    query = Author.noop()
    assert await query.aio_get_or_none() is None
    assert await query.aio_peek() is None
    assert await query.aio_scalars() == []


async def test_a_select() -> None:
    query = Author.select().order_by(Author.name)
    assert names(await query.aio_execute()) == ["ada", "bob", "cat"]
    assert (await query.aio_get()).name == "ada"
    assert (await query.aio_first()).name == "ada"
    assert names(await query.aio_first(2)) == ["ada", "bob"]
    assert await query.aio_count() == 3
    assert await query.limit(2).aio_count() == 2
    assert await query.limit(2).aio_count(clear_limit=True) == 3
    assert await query.aio_exists()
    assert await Author.select(Author.name).order_by(-Author.id).aio_scalar() == "cat"


async def test_a_select_of_nothing() -> None:
    query = Author.select().where(Author.age < 0)
    assert await query.aio_execute() == []
    assert await query.aio_first() is None
    assert await query.aio_scalar() is None
    assert await query.aio_count() == 0
    assert not await query.aio_exists()
    with pytest.raises(peewee.DoesNotExist):
        await query.aio_get()


async def test_a_scalar_as_a_row() -> None:
    query = Author.select(peewee.fn.COUNT(Author.id).alias("n"))
    assert await query.aio_scalar(as_tuple=True) == (3,)
    assert await query.aio_scalar(as_dict=True) == {"n": 3}


async def test_aio_prefetch(memory: MemoryDatabase) -> None:
    memory.server.sent.clear()
    rows = await Author.select().order_by(Author.id).aio_prefetch(Book)
    assert [len(row.books) for row in rows] == [2, 0, 0]
    assert len(memory.server.sent) == 2
    assert not any("JOIN" in sql for sql in memory.server.sent)


OPERATIONS: list[tuple[str, Callable[[Any, Any], Any], list[str]]] = [
    ("union", lambda a, b: a | b, ["ada", "bob", "cat"]),
    ("union_all", lambda a, b: a + b, ["ada", "bob", "bob", "cat"]),
    ("intersect", lambda a, b: a & b, ["bob"]),
    ("except_", lambda a, b: a - b, ["ada"]),
]


@pytest.mark.parametrize(("name", "operator", "expected"), OPERATIONS)
async def test_a_compound(
    name: str, operator: Callable[[Any, Any], Any], expected: list[str]
) -> None:
    lower = Author.select().where(Author.id <= 2)
    upper = Author.select().where(Author.id >= 2)
    for query in (operator(lower, upper), getattr(lower, name)(upper)):
        rows = await query.aio_execute()
        assert {type(row) for row in rows} == {Author}
        assert sorted(names(rows)) == expected
        assert await query.aio_count() == len(expected)
        assert await query.aio_exists()
        assert (await query.aio_get()).name in expected
        assert (await query.aio_first()).name in expected
        assert await query.aio_scalar() in (1, 2, 3)


async def test_a_compound_of_compounds() -> None:
    one, two, three = (Author.select().where(Author.id == n) for n in (1, 2, 3))
    rows = await ((one | two) | three).order_by(peewee.SQL("name")).aio_execute()
    assert names(rows) == ["ada", "bob", "cat"]


async def test_an_alias() -> None:
    other = Author.alias("other")
    query = other.select().where(other.name == "bob")
    assert (await query.aio_get()).id == 2
    assert (type(await query.aio_get()), await query.aio_count()) == (Author, 1)
    assert await other.select(other.name).order_by(other.name).aio_scalar() == "ada"


async def test_a_raw_query() -> None:
    query = Author.raw("SELECT * FROM author WHERE id > ? ORDER BY id", 1)
    assert names(await query.aio_execute()) == ["bob", "cat"]
    assert (await query.aio_get()).name == "bob"
    with pytest.raises(peewee.DoesNotExist):
        await Author.raw("SELECT * FROM author WHERE id > 9").aio_get()


async def test_a_noop(memory: MemoryDatabase) -> None:
    query = Author.noop()
    assert await query.aio_execute() == []
    assert await query.aio_count() == 0
    assert await query.aio_first() is None
    assert not await query.aio_exists()
    with pytest.raises(peewee.DoesNotExist):
        await query.aio_get()
    assert not any('"author"' in sql for sql in memory.server.sent)


async def test_writes() -> None:
    assert await Author.insert(name="dan").aio_execute() == 4
    assert await Author.insert({Author.name: "eve"}).aio_execute() == 5
    rows = [{"name": "fay"}, {"name": "gus"}]
    assert await Author.insert_many(rows).aio_execute() == 7
    tuples = Author.insert_many([("hal", 1)], fields=[Author.name, Author.age])
    assert await tuples.aio_execute() == 8
    louder = Author.select(peewee.fn.UPPER(Author.name), 3).where(Author.id == 1)
    fields = ["name", Author.age]
    assert await Author.insert_from(louder, fields).aio_execute() == 9
    assert (await Author.aio_get(9)).name == "ADA"
    assert await Author.update(age=1).where(Author.id > 7).aio_execute() == 2
    assert await Author.update({Author.age: 2}).where(Author.id == 1).aio_execute() == 1
    assert await Author.delete().where(Author.id > 3).aio_execute() == 6
    ignored = Author.insert(name="ada").on_conflict_ignore()
    assert await ignored.aio_execute() is None


@pytest.mark.skipif(
    sqlite3.sqlite_version_info < (3, 35), reason="this SQLite has no RETURNING"
)
async def test_writes_that_return_rows() -> None:
    update = Author.update(age=7).where(Author.id == 1).returning(Author)
    (ada,) = await update.aio_execute()
    assert (ada.name, ada.age) == ("ada", 7)


async def test_a_back_reference_is_a_query() -> None:
    ada = await Author.aio_get(1)
    titles = [book.title for book in await ada.books.aio_execute()]
    assert titles == ["Notes", "Letters"]
    assert await ada.books.aio_count() == 2


async def test_many_to_many_is_a_query(memory: MemoryDatabase) -> None:
    club = await Club.aio_create()
    # The query, and the model in between, are peewee's own.
    objects = Manager(memory)
    await objects.create(Membership, club=club, author=1)
    assert names(await objects.execute(club.members)) == ["ada"]
    assert await objects.count(club.members) == 1


async def test_a_query_is_not_changed_by_a_call() -> None:
    query = Author.select().order_by(Author.name)
    sql = query.sql()
    for call in (
        query.aio_get,
        query.aio_first,
        query.aio_scalar,
        query.aio_count,
        query.aio_exists,
    ):
        await call()
        assert query.sql() == sql
    assert names(await query.aio_execute()) == ["ada", "bob", "cat"]


async def test_a_query_may_be_run_elsewhere(memory: MemoryDatabase) -> None:
    other = MemoryDatabase()
    with other.allow_sync():
        sync(other, "CREATE TABLE author (id, name, age)")
        sync(other, "INSERT INTO author VALUES (5, 'eve', 1)")
    query = Author.select()
    assert names(await query.aio_execute(other)) == ["eve"]
    assert (await query.aio_get(other)).name == "eve"
    assert (await query.aio_first(database=other)).name == "eve"
    assert await query.aio_count(database=other) == 1
    assert await query.aio_exists(other)
    assert await Author.select(Author.age).aio_scalar(database=other) == 1
    assert names(await query.aio_prefetch(database=other)) == ["eve"]
    assert await query.aio_count() == 3
    await other.aio_close()
    other.close()
    other.init(None)


async def test_the_manager_and_the_model_share_a_block(memory: MemoryDatabase) -> None:
    objects = Manager(memory)
    with pytest.raises(Oops):
        async with objects.atomic():
            await Author.aio_create(name="dan")
            assert await objects.count(Author) == 4
            raise Oops
    assert await Author.select().aio_count() == 3


async def test_a_model_without_a_database() -> None:
    class Stray(AioModel):
        name: Any = peewee.CharField()

    calls: tuple[Callable[[], Any], ...] = (
        Stray.aio_get,
        Stray.select().aio_execute,
        Stray(name="").aio_save,
        lambda: Stray.aio_create(name=""),
    )
    for call in calls:
        with pytest.raises(peewee.InterfaceError, match="bound to no database"):
            await call()


async def test_another_database_takes_effect_at_once(memory: MemoryDatabase) -> None:
    class Late(AioModel):
        id: Any = peewee.AutoField()

        class Meta:
            database = PostgresqlDatabase("unit")
            table_name = "author"

    Late._meta.database = memory
    assert await Late.select().aio_count() == 3
    assert (await Late.aio_get(Late.id == 2)).id == 2


def test_the_sync_side_is_that_of_peewee(memory: MemoryDatabase) -> None:
    memory.set_allow_sync(True)
    assert Author.get(Author.name == "ada").id == 1
    assert Author.select().count() == 3
    assert names(Author.select() | Author.select()) == ["ada", "bob", "cat"]
    assert Author.delete().where(Author.id == 3).execute() == 1
    memory.close()
