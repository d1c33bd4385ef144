"""Queries with slots: the SQL and the parameters of peewee, for any values."""

from __future__ import annotations

import datetime
import gc
import uuid
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import peewee
import pytest
from peewee import SQL, Case, fn

from peewee_async.core import plans, prefetching
from peewee_async.core.boundary import Reply
from peewee_async.core.prepared import NamedSlot, PreparedQuery
from tests.unit.models import with_drivers
from tests.unit.templates import (
    FAMILIES,
    CountingDialect,
    database_of,
    outcome,
    sent,
    typed,
)

pytestmark = with_drivers

KEY = uuid.UUID(int=7)


class Author(peewee.Model):
    id: Any
    DoesNotExist: Any
    name: Any = peewee.CharField()
    born: Any = peewee.DateField(null=True)


class Book(peewee.Model):
    id: Any
    author: Any = peewee.ForeignKeyField(Author, backref="books")
    title: Any = peewee.TextField(column_name="headline")
    key: Any = peewee.UUIDField(null=True)
    tags: Any = peewee.JSONField(null=True)


MODELS = (Author, Book)
RAW: Any = Author.raw
every_family = pytest.mark.parametrize("family", FAMILIES)

# A query of slots or of values: `at` gives one or the other.
QUERIES: list[tuple[Callable[[Any], Any], list[dict[str, Any]]]] = [
    (
        lambda at: Author.select().where(Author.name == at("name")),
        [{"name": "ada"}, {"name": "bob"}, {"name": 7}],
    ),
    (
        lambda at: Author.select().where(
            (Author.name == at("name")) | (Author.name < at("name"))
        ),
        [{"name": "ada"}, {"name": "bob"}],
    ),
    (
        lambda at: (
            Book.select(Book, Author)
            .join(Author)
            .where(Book.key == at("key"), Author.id > 3)
            .order_by(Book.title)
            .limit(at("limit"))
        ),
        [{"key": KEY, "limit": 3}, {"key": KEY.hex, "limit": 4}],
    ),
    (
        lambda at: Author.select().where(Author.id.in_(at("ids"))),
        [{"ids": [1, 2]}, {"ids": [3]}, {"ids": []}, {"ids": (4, 5, 6)}],
    ),
    (
        lambda at: (
            Author.select(fn.COUNT(Author.id))
            .group_by(Author.name)
            .having(fn.COUNT(Author.id) > at("least"))
        ),
        [{"least": 1}, {"least": 2}],
    ),
    (
        lambda at: Author.select(
            Case(None, [(Author.id > at("id"), at("word"))], "no").alias("word")
        ),
        [{"id": 1, "word": "yes"}, {"id": 2, "word": "ja"}],
    ),
    (
        lambda at: Author.select().where(
            Author.id.in_(Book.select(Book.author).where(Book.title == at("title")))
        ),
        [{"title": "Notes"}, {"title": "Letters"}],
    ),
    (
        lambda at: (
            Author.select(Author.name).where(Author.id == at("id"))
            | Book.select(Book.title).where(Book.id == at("id"))
        ),
        [{"id": 1}, {"id": 2}],
    ),
    (
        lambda at: Book.insert(author=at("author"), title="Notes", key=at("key")),
        [{"author": 1, "key": KEY}, {"author": 2, "key": None}],
    ),
    (
        lambda at: Book.insert(author=1, title="Notes", tags=at("tags")),
        [{"tags": ["a"]}, {"tags": None}, {"tags": {"a": 1}}],
    ),
    (
        lambda at: Book.insert_many(
            [{"author": at("one"), "title": "a"}, {"author": at("two"), "title": "b"}]
        ),
        [{"one": 1, "two": 2}, {"one": 3, "two": 4}],
    ),
    (
        lambda at: Book.insert_many([(at("author"), "a")], [Book.author, "title"]),
        [{"author": 1}, {"author": 2}],
    ),
    (
        lambda at: Author.insert_many([(at("name"), at("born"))]),
        [{"name": "a", "born": "2020-01-02"}, {"name": "b", "born": None}],
    ),
    (
        lambda at: Author.insert_from(
            Author.select(Author.name).where(Author.id == at("id")), [Author.name]
        ),
        [{"id": 1}, {"id": 2}],
    ),
    (
        lambda at: Book.update(
            key=at("key"), title=Book.title.concat(at("more"))
        ).where(Book.id == at("id")),
        [{"key": KEY, "more": "!", "id": 1}, {"key": None, "more": "?", "id": 2}],
    ),
    (
        lambda at: Book.update(author=at("author")),
        [{"author": 1}, {"author": Author(id=7)}, {"author": SQL("author_id + 1")}],
    ),
    (
        lambda at: Author.delete().where(Author.born < at("day")),
        [{"day": datetime.date(2020, 1, 2)}, {"day": "2021-01-02"}],
    ),
    # Peewee leaves what a function is given as it is, and converts what stands beside.
    (
        lambda at: Author.select().where(Author.id == fn.ABS(at("id"))),
        [{"id": 2.5}, {"id": "3"}, {"id": True}],
    ),
    (
        lambda at: Author.select().where(
            Author.id == Case(None, [(Author.name == "ada", at("id"))], 0)
        ),
        [{"id": 2.5}, {"id": "3"}, {"id": True}],
    ),
    (
        lambda at: Author.select().where(
            Author.id == fn.COALESCE(fn.ABS(at("id")), Author.id == at("id"))
        ),
        [{"id": 2.5}, {"id": "3"}, {"id": True}],
    ),
]


# A list has as many placeholders as items, and JSON is cast.
SQL_OF_ITS_OWN = (3, 9)


@pytest.fixture
def dialect() -> CountingDialect:
    return CountingDialect(database_of("postgres"))


@every_family
@pytest.mark.parametrize(("build", "cases"), QUERIES)
def test_any_query(family: str, build: Any, cases: Any) -> None:
    dialect = CountingDialect(database_of(family))
    dialect.database.bind(MODELS)
    prepared = PreparedQuery(build(NamedSlot), {})
    for values in [*cases, *cases]:
        expected = build(values.get)
        if isinstance(expected, peewee.Insert):
            expected = plans._with_keys(dialect, expected)

        def ask() -> Any:
            return sent(prepared.plan(dialect, values, prefetching.execute))  # noqa: B023

        assert outcome(ask) == outcome(expected.sql)


def kept(
    dialect: CountingDialect, monkeypatch: pytest.MonkeyPatch, ask: Callable[[], Any]
) -> bool:
    """Ask four times: is the last one answered without peewee?"""
    for _ in range(3):
        ask()
    with monkeypatch.context() as patch:
        patch.setattr(CountingDialect, "compile", None)
        try:
            ask()
        except TypeError:
            return False
    return True


@pytest.mark.parametrize(
    ("number", "is_kept"),
    [(number, number not in SQL_OF_ITS_OWN) for number in range(len(QUERIES))],
)
def test_peewee_is_not_asked_again(
    dialect: CountingDialect,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    is_kept: bool,
) -> None:
    dialect.database.bind(MODELS)
    build, cases = QUERIES[number]
    prepared = PreparedQuery(build(NamedSlot), {})
    ask = lambda: prepared.plan(dialect, cases[0], prefetching.execute)  # noqa: E731
    assert kept(dialect, monkeypatch, ask) is is_kept


def test_all_ways_to_run_it(
    dialect: CountingDialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect.database.bind(MODELS)
    query = Author.select().where(Author.name == NamedSlot("name"))
    like = Author.select().where(Author.name == "ada")
    prepared = PreparedQuery(query, {})
    ways: list[Any] = [
        (prefetching.execute,),
        (prefetching.get,),
        (prefetching.first, 2),
        (plans.scalar,),
        (plans.count,),
        (plans.exists,),
    ]
    for make, *args in ways:
        ask: Any = partial(prepared.plan, dialect, {"name": "ada"}, make, *args)
        assert sent(ask()) == sent(make(dialect, like, *args))
        assert kept(dialect, monkeypatch, ask), make
        assert sent(ask()) == sent(make(dialect, like, *args))


def test_rows_are_read_as_ever(dialect: CountingDialect) -> None:
    dialect.database.bind(MODELS)
    prepared = PreparedQuery(Author.select().where(Author.id == NamedSlot("id")), {})
    for key in range(5):
        plan: Any = prepared.plan(dialect, {"id": key}, prefetching.get)
        columns = ("id", "name", "born")
        assert plan.read(Reply([(key, "ada", None)], columns)) == Author(id=key)
        with pytest.raises(Author.DoesNotExist, match=rf"Params: \[{key}, 1, 0\]"):
            plan.read(Reply([], columns))


def test_a_change_is_seen_at_once(dialect: CountingDialect) -> None:
    class Page(peewee.Model):
        title: Any = peewee.CharField()

        class Meta:
            database = dialect.database

    prepared = PreparedQuery(Page.select().where(Page.title == NamedSlot("title")), {})
    for name in ("one", "two", "three"):
        Page._meta.set_table_name(name)
        for title in ("a", "b", "c"):
            statement = sent(prepared.plan(dialect, {"title": title}, plans.select))
            expected = Page.select().where(Page.title == title).sql()
            assert (statement.sql, [*statement.params]) == expected


def test_values_that_change_the_sql_go_to_peewee(dialect: CountingDialect) -> None:
    dialect.database.bind(MODELS)
    prepared = PreparedQuery(Author.select().where(Author.id == NamedSlot("id")), {})
    for value in (1, 2, 3, SQL("4"), fn.ABS(5), Author(id=6), 7, True):
        statement = sent(prepared.plan(dialect, {"id": value}, plans.select))
        sql, params = Author.select().where(Author.id == value).sql()
        assert statement.sql == sql
        assert typed(statement.params) == typed(params)


def test_constants_may_be_of_any_type(dialect: CountingDialect) -> None:
    dialect.database.bind(MODELS)

    class Name(str):
        pass

    for constant in (3, None, "ada", Name("ada")):
        query = Author.select(peewee.Value(constant)).where(
            Author.id == NamedSlot("id")
        )
        prepared = PreparedQuery(query, {})
        for key in range(4):
            statement = sent(prepared.plan(dialect, {"id": key}, plans.select))
            assert typed(statement.params) == typed((constant, key))


def test_defaults_of_a_model_are_made_for_each_row(dialect: CountingDialect) -> None:
    numbers = iter(range(100))

    class Ticket(peewee.Model):
        name: Any = peewee.CharField()
        number: Any = peewee.IntegerField(default=lambda: next(numbers))

        class Meta:
            database = dialect.database

    prepared = PreparedQuery(Ticket.insert(name=NamedSlot("name")), {})
    for number in range(5):
        statement = sent(prepared.plan(dialect, {"name": "a"}, plans.execute))
        assert statement.params == ("a", number)


def test_a_conflict_may_write_slots(dialect: CountingDialect) -> None:
    dialect.database.bind(MODELS)

    def build(at: Any) -> Any:
        return Book.insert(author=1, title="a").on_conflict(
            conflict_target=[Book.author], update={Book.key: at("key")}
        )

    prepared = PreparedQuery(build(NamedSlot), {})
    for _ in range(3):
        statement = sent(prepared.plan(dialect, {"key": KEY}, plans.execute))
        sql, params = build({"key": KEY}.get).sql()
        assert (statement.sql, [*statement.params]) == (sql, params)


def test_tables_without_models(dialect: CountingDialect) -> None:
    table: Any = peewee.Table("author", ("id", "name"))
    table.bind(dialect.database)
    builds: list[Any] = [
        lambda at: table.select(table.name).where(table.id == at("id")),
        lambda at: table.insert(name=at("id")),
        lambda at: table.insert([(at("id"),)], columns=["name"]),
        lambda at: table.update(name=at("id")),
    ]
    for build in builds:
        prepared = PreparedQuery(build(NamedSlot), {})
        for key in range(4):
            statement = sent(prepared.plan(dialect, {"id": key}, plans.execute))
            sql, params = build({"id": key}.get).sql()
            assert (statement.sql, [*statement.params]) == (sql, params)


# Misuse.


def test_a_value_that_is_missing_or_too_many() -> None:
    query = Author.select().where(
        Author.id == NamedSlot("id"), Author.name == NamedSlot("name")
    )
    prepared = PreparedQuery(query, {"name": "ada"})
    assert prepared.values({"id": 1}) == {"name": "ada", "id": 1}
    assert prepared.values({"id": 1, "name": "bob"}) == {"name": "bob", "id": 1}
    with pytest.raises(TypeError, match="needs a value for id"):
        prepared.values({})
    with pytest.raises(TypeError, match="no slot 'age': it has id, name"):
        prepared.values({"id": 1, "age": 3})
    with pytest.raises(TypeError, match="no slot 'age': it has none"):
        PreparedQuery(Author.select(), {"age": 3})


def test_none_in_a_condition(dialect: CountingDialect) -> None:
    prepared = PreparedQuery(Author.select().where(Author.id == NamedSlot("id")), {})
    for value in (1, None, 2, None):
        ask: Any = partial(prepared.plan, dialect, {"id": value}, plans.select)
        if value is None:
            with pytest.raises(TypeError, match="slot 'id' got None"):
                ask()
        else:
            ask()


def test_a_query_that_is_not_prepared(dialect: CountingDialect) -> None:
    with pytest.raises(TypeError, match="a slot 'id', which has no value"):
        plans.select(dialect, Author.select().where(Author.id == NamedSlot("id")))


@pytest.mark.parametrize(
    "query",
    [
        RAW("SELECT * FROM author WHERE id = ?", NamedSlot("id")),
        Author.select().where(SQL("id = ?", [NamedSlot("id")])),
    ],
)
def test_slots_in_sql_written_by_hand(query: Any) -> None:
    with pytest.raises(TypeError, match="slot 'id' is among the parameters of SQL"):
        PreparedQuery(query, {})


def test_sql_written_by_hand(dialect: CountingDialect) -> None:
    query = RAW("SELECT * FROM author WHERE id = ?", 3)
    statement = sent(PreparedQuery(query, {}).plan(dialect, {}, plans.select))
    assert statement.params == (3,)


def test_fields_that_make_sql_of_their_own(dialect: CountingDialect) -> None:
    class Wrapping(peewee.IntegerField):
        def to_value(self, value: Any) -> Any:
            return fn.ABS(value) if value < 0 else value

    class Page(peewee.Model):
        number: Any = Wrapping()

        class Meta:
            database = dialect.database

    prepared = PreparedQuery(Page.update(number=NamedSlot("number")), {})
    for number in (1, 2, 3, -4):
        statement = sent(prepared.plan(dialect, {"number": number}, plans.execute))
        sql, params = Page.update(number=number).sql()
        assert (statement.sql, [*statement.params]) == (sql, params)


def test_a_conversion_that_is_no_method_of_a_field(dialect: CountingDialect) -> None:
    class Page(peewee.Model):
        number: Any = peewee.IntegerField()

        class Meta:
            database = dialect.database

    prepared = PreparedQuery(
        Page.select().where(Page.number == NamedSlot("number")), {}
    )
    for offset in range(4):
        Page.number.db_value = lambda value, offset=offset: value + offset
        statement = sent(prepared.plan(dialect, {"number": 7}, plans.select))
        assert statement.params == (7 + offset,)


def test_no_database_is_kept_alive() -> None:
    meta: Any = Author._meta
    meta.set_database(None)
    prepared = PreparedQuery(Author.select().where(Author.id == NamedSlot("id")), {})

    def use() -> Any:
        dialect = CountingDialect(database_of("postgres"))
        for _ in range(3):
            sent(prepared.plan(dialect, {"id": 1}, plans.select))
        return weakref.ref(dialect.database)

    gone = use()
    gc.collect()
    assert gone() is None


def test_a_slot_shows_its_name() -> None:
    assert repr(NamedSlot("name")) == "<slot 'name'>"
