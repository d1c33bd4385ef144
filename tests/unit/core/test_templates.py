"""Kept plans: the SQL and the parameters of peewee, to the letter, for all values."""

from __future__ import annotations

import datetime
import decimal
import enum
import gc
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import peewee
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peewee_async.core import finding, operations, plans, prefetching, templates
from peewee_async.core.boundary import Reply
from tests.unit.library import Author, Book
from tests.unit.models import with_drivers
from tests.unit.templates import (
    FAMILIES,
    CountingDialect,
    database_of,
    is_kept,
    outcome,
    sent,
    thing,
    typed,
)

pytestmark = with_drivers


class Parent(peewee.Model):
    code: Any = peewee.CharField(primary_key=True)


class Person(peewee.Model):
    key: Any = peewee.UUIDField(primary_key=True)


class Shouting(peewee.Field):
    """A user's own conversion."""

    def db_value(self, value: Any) -> Any:
        return f"{value}!"


class Lower(peewee.Field):
    """A user's own conversion, into SQL."""

    def db_value(self, value: Any) -> Any:
        return peewee.fn.LOWER(value)


FIELDS: dict[str, Callable[[], Any]] = {
    "integer": peewee.IntegerField,
    "bigint": peewee.BigIntegerField,
    "smallint": peewee.SmallIntegerField,
    "float": peewee.FloatField,
    "double": peewee.DoubleField,
    "decimal": peewee.DecimalField,
    "rounded": lambda: peewee.DecimalField(decimal_places=1, auto_round=True),
    "char": peewee.CharField,
    "fixed": lambda: peewee.FixedCharField(3),
    "text": peewee.TextField,
    "bare": peewee.BareField,
    "boolean": peewee.BooleanField,
    "datetime": peewee.DateTimeField,
    "date": peewee.DateField,
    "time": peewee.TimeField,
    "timestamp": peewee.TimestampField,
    "uuid": peewee.UUIDField,
    "binary uuid": peewee.BinaryUUIDField,
    "blob": peewee.BlobField,
    "bits": peewee.BitField,
    "many bits": peewee.BigBitField,
    "ip": peewee.IPField,
    "json": peewee.JSONField,
    "own": Shouting,
    "own SQL": Lower,
    "key to text": lambda: peewee.ForeignKeyField(Parent),
    "key to uuid": lambda: peewee.ForeignKeyField(Person),
    "key to itself": lambda: peewee.ForeignKeyField("self", null=True),
}


class Name(str):
    pass


class Level(enum.IntEnum):
    HIGH = 3


UTC = datetime.UTC
KEY = uuid.UUID(int=7)
VALUES: list[Any] = [
    *(0, 1, -7, 2**40, True, False, 2.5, "", "ada", "12", "x" * 32, "10.0.0.1"),
    *("2020-01-02", "2020-01-02 03:04:05", b"", b"0123456789abcdef"),
    datetime.datetime(2020, 1, 2, 3, 4, 5, 6),
    datetime.datetime(2020, 1, 2, tzinfo=UTC),
    datetime.date(2020, 1, 2),
    datetime.time(3, 4),
    datetime.timedelta(seconds=3),
    decimal.Decimal("1.25"),
    KEY,
    KEY.hex,
]
UNUSUAL: list[Any] = [
    None,
    Name("ada"),
    Level.HIGH,
    [1, 2],
    {"a": 1},
    peewee.SQL("1"),
    peewee.fn.NOW(),
    Parent(code="a"),
]

every_family = pytest.mark.parametrize("family", FAMILIES)
every_field = pytest.mark.parametrize("kind", FIELDS)


@pytest.fixture
def dialect() -> CountingDialect:
    return CountingDialect(database_of("postgres"))


@pytest.fixture
def model(dialect: CountingDialect) -> Any:
    return thing(dialect.database, peewee.IntegerField(null=True))


# Every template, with every type of field and value, on every family.


def read(dialect: Any, model: Any, value: Any) -> Iterator[tuple[Any, Any]]:
    """Give pairs: what we send, and what peewee has for it."""
    condition: Any = peewee.Expression(model.value, peewee.OP.EQ, value)
    rows = model.select().where(condition)
    wrapped = peewee.fn.COUNT(peewee.SQL("1"))
    yield (
        lambda: finding.get(dialect, model, (), {"value__eq": value}),
        lambda: model.select().filter(value__eq=value).paginate(1, 1),
    )
    yield (
        lambda: finding.get(dialect, model, (condition,), {}),
        lambda: rows.paginate(1, 1),
    )
    yield lambda: prefetching.get(dialect, rows), lambda: rows.paginate(1, 1)
    yield lambda: prefetching.execute(dialect, rows), lambda: rows
    yield lambda: plans.first(dialect, rows, 2), lambda: rows.limit(2)
    yield lambda: plans.peek(dialect, rows, 2), lambda: rows
    yield lambda: plans.scalar(dialect, rows), lambda: rows.limit(1)
    yield lambda: plans.scalars(dialect, rows), lambda: rows
    yield (
        lambda: plans.count(dialect, rows),
        lambda: peewee.Select(
            [model.select(peewee.SQL("1")).where(condition).alias("_wrapped")],
            [wrapped],
        ).bind(model._meta.database),
    )
    yield (
        lambda: plans.exists(dialect, rows),
        lambda: peewee.Select(
            columns=[peewee.fn.EXISTS(model.select(peewee.SQL("1")).where(condition))]
        ).bind(model._meta.database),
    )


def written(dialect: Any, model: Any, value: Any) -> Iterator[tuple[Any, Any]]:
    instance = model(name="ada")
    instance.__data__["value"] = value
    yield (
        lambda: operations.save(dialect, instance, force_insert=True),
        lambda: model.insert(name="ada", value=value),
    )
    stored = model(id=3, name="ada")
    stored.__data__["value"] = value
    update: Any = model.update(name="ada", value=value).where(model.id == 3)
    yield lambda: operations.save(dialect, stored), lambda: update
    yield lambda: operations.update(dialect, stored), lambda: update


@every_family
@every_field
@pytest.mark.parametrize("way", [read, written])
def test_each_field_and_value(family: str, kind: str, way: Any) -> None:
    dialect = CountingDialect(database_of(family))
    model = thing(dialect.database, FIELDS[kind]())
    for value in [*VALUES[:3], *VALUES, *UNUSUAL]:
        for ask, expect in way(dialect, model, value):
            got = outcome(lambda ask=ask: sent(ask()))  # type: ignore[misc]
            assert got == outcome(lambda expect=expect: expect().sql()), value  # type: ignore[misc]


@every_family
def test_each_key(family: str) -> None:
    for field in (peewee.AutoField(), peewee.CharField(), peewee.UUIDField()):
        dialect = CountingDialect(database_of(family))
        field.primary_key = True

        class Thing(peewee.Model):
            key: Any = field

            class Meta:
                database = dialect.database

        for value in [*VALUES, *VALUES, *UNUSUAL]:
            expected = outcome(Thing.delete().where(Thing.key == value).sql)
            ask = lambda: sent(operations.delete_by_id(dialect, Thing, value))  # noqa: E731,B023
            assert outcome(ask) == expected


# Those are templates, and not peewee each time.

USUAL = {
    "integer": 1,
    "float": 2.5,
    "decimal": 3,
    "char": "a",
    "fixed": "a",
    "text": "a",
    "bare": 1,
    "boolean": True,
    "datetime": VALUES[16],
    "date": VALUES[18],
    "time": VALUES[19],
    "timestamp": 1,
    "uuid": KEY,
    "binary uuid": KEY,
    "blob": b"a",
    "bits": 1,
    "many bits": b"a",
    "own": "a",
    "key to text": "a",
    "key to uuid": KEY,
    "key to itself": 1,
}


@every_family
@pytest.mark.parametrize("kind", USUAL)
@pytest.mark.parametrize("way", [read, written])
def test_peewee_is_not_asked_the_third_time(family: str, kind: str, way: Any) -> None:
    dialect = CountingDialect(database_of(family))
    model = thing(dialect.database, FIELDS[kind]())
    for index, (ask, _) in enumerate(way(dialect, model, USUAL[kind])):
        assert is_kept(dialect, ask), index


@pytest.mark.parametrize("value", UNUSUAL[1:])
def test_peewee_is_asked_for_unusual_values(
    dialect: CountingDialect, model: Any, value: Any
) -> None:
    assert is_kept(dialect, lambda: finding.get(dialect, model, (), {"value": 1}))
    ask = lambda: finding.get(dialect, model, (), {"value": value})  # noqa: E731
    assert not is_kept(dialect, ask)


def test_the_plan_reads_as_the_first_one_did(
    dialect: CountingDialect, model: Any
) -> None:
    for _ in range(3):
        plan: Any = finding.get(dialect, model, (), {"value": 5})
        row = plan.read(Reply([(1, 5, "ada")], ("id", "value", "label")))
        assert type(row) is model
        assert row.__data__ == {"id": 1, "name": "ada", "value": 5}
        with pytest.raises(model.DoesNotExist) as caught:
            plan.read(Reply([], ("id", "value", "label")))
        assert str(caught.value).endswith(
            'WHERE ("t1"."value" = %s) LIMIT %s OFFSET %s\nParams: [5, 1, 0]'
        )
        assert plan.statement.limit == 1


def test_values_of_rows_may_be_null(dialect: CountingDialect, model: Any) -> None:
    def ask(value: Any) -> Any:
        return operations.save(dialect, model(name="ada", value=value), True)

    assert is_kept(dialect, lambda: ask(1))
    assert is_kept(dialect, lambda: ask(None))
    assert sent(ask(None)).params == (None, "ada")


def test_each_database_has_its_own(dialect: CountingDialect) -> None:
    other = CountingDialect(database_of("sqlite"))
    model = thing(None, peewee.IntegerField())
    for each in (dialect, other):
        assert is_kept(each, lambda: finding.get(each, model, (), {"value": 1}))  # noqa: B023
    sql = [
        sent(finding.get(each, model, (), {"value": 1})).sql
        for each in (dialect, other)
    ]
    assert "%s" in sql[0]
    assert "?" in sql[1]


def test_an_unusual_value_costs_no_template(
    dialect: CountingDialect, model: Any
) -> None:
    def ask(value: Any) -> Any:
        return operations.save(dialect, model(name="ada", value=value), True)

    assert is_kept(dialect, lambda: ask(1))
    before = dialect.compiled
    for _ in range(5):
        assert typed(sent(ask(Level.HIGH)).params) == typed((3, "ada"))
        sent(ask(4))
    assert dialect.compiled == before + 5


# What is left to peewee.


def test_a_field_that_makes_sql_of_some_values(dialect: CountingDialect) -> None:
    class Some(peewee.Field):
        def db_value(self, value: Any) -> Any:
            return peewee.fn.ABS(value) if value < 0 else value

    model = thing(dialect.database, Some())
    for value in (1, 2, 3, -4, 5):
        plan = plans.get(dialect, model.select().where(model.value == value))
        assert ("ABS(%s)" in sent(plan).sql) is (value < 0)
        assert sent(plan).params == (value, 1, 0)


def test_a_condition_on_a_field_that_is_not_converted(
    dialect: CountingDialect, model: Any
) -> None:
    condition = model.value.coerce(False) == "x"
    query = model.select().where(condition)
    assert not is_kept(dialect, lambda: plans.select(dialect, query))
    assert sent(plans.select(dialect, query)).params == ("x",)


def test_contains_is_kept_by_its_shape_only(
    dialect: CountingDialect, model: Any
) -> None:
    assert is_kept(
        dialect,
        lambda: plans.get(dialect, model.select().where(model.name.contains("a"))),
    )
    plan = finding.get(dialect, model, (), {"name__contains": "100%"})
    assert sent(plan).params == ("%100\\%%", "\\", 1, 0)


def test_null_is_no_value(dialect: CountingDialect, model: Any) -> None:
    for value in (1, None, 2, None, 3, None, None, 4):
        asked = [
            plans.get(dialect, model.select().where(model.value == value)),
            finding.get(dialect, model, (), {"value": value}),
            finding.get(dialect, model, (model.value == value,), {}),
            operations.delete_by_id(dialect, model, value),
        ]
        for work in asked:
            statement = sent(work)
            assert ("IS NULL" in statement.sql) is (value is None)
            assert (value in statement.params) is (value is not None)
    query = model.select().where(model.value.is_null(), model.name == "ada")
    assert is_kept(dialect, lambda: plans.get(dialect, query))


def test_a_table_that_was_renamed(dialect: CountingDialect, model: Any) -> None:
    query = model.select().where(model.value == 1)
    for name in ("one", "two"):
        model._meta.set_table_name(name)
        for _ in range(3):
            statement = sent(plans.select(dialect, query))
            assert statement.sql == query.sql()[0]


def test_a_conversion_that_is_no_method_of_a_field(
    dialect: CountingDialect, model: Any
) -> None:
    for offset in range(4):
        model.value.db_value = lambda value, offset=offset: value + offset
        plan = plans.select(dialect, model.select().where(model.value == 7))
        assert sent(plan).params == (7 + offset,)


def test_an_offset_that_needs_a_limit() -> None:
    dialect = CountingDialect(database_of("sqlite"))
    model = thing(dialect.database, peewee.IntegerField())
    query = model.select().offset(3)

    def ask() -> Any:
        return plans.select(dialect, query)

    assert not is_kept(dialect, ask)
    assert sent(ask()).params == (-1, 3)


def test_a_default_is_called_once_for_each_row(dialect: CountingDialect) -> None:
    numbers = count()
    model = thing(dialect.database, peewee.IntegerField(default=lambda: next(numbers)))
    instance = model(name="ada")
    for number in range(1, 7):
        inserted = operations.save(dialect, instance, True, only=["name"])
        assert sent(inserted).params == (number, "ada")


def test_a_default_that_the_insert_adds(dialect: CountingDialect) -> None:
    model = thing(dialect.database, peewee.IntegerField(default=3))
    instance = model(name="ada")

    def ask() -> Any:
        return operations.save(dialect, instance, True, only=["name"])

    for value in (3, 4, 5, 6):
        model._meta.defaults[model.value] = value
        assert sent(ask()).params == (value, "ada")


def test_a_field_that_was_removed(dialect: CountingDialect, model: Any) -> None:
    instance = model(id=1, name="ada", value=2)
    model._meta.remove_field("value")
    for value in range(5):
        instance.value = value
        inserted = operations.save(dialect, instance, True)
        assert "value" in sent(inserted).sql
        assert value in sent(operations.save(dialect, instance)).params


# Nothing is kept alive, and not too much is kept.


def test_models_are_collected(dialect: CountingDialect) -> None:
    def use() -> Any:
        model = thing(dialect.database, peewee.IntegerField())
        assert is_kept(dialect, lambda: finding.get(dialect, model, (), {"value": 1}))
        return weakref.ref(model)

    gone = use()
    gc.collect()
    assert gone() is None


def test_databases_are_collected(model: Any) -> None:
    def use() -> Any:
        dialect = CountingDialect(database_of("postgres"))
        model._meta.set_database(dialect.database)
        for ask in (
            lambda: finding.get(dialect, model, (), {"value": 1}),
            lambda: finding.get(dialect, model, (model.value == 1,), {}),
            lambda: plans.select(dialect, model.select()),
            lambda: plans.count(dialect, model.select()),
            lambda: operations.save(dialect, model(name="ada", value=1), True),
            lambda: operations.delete_by_id(dialect, model, 1),
        ):
            assert is_kept(dialect, ask)
        model._meta.set_database(None)
        return weakref.ref(dialect.database)

    gone = use()
    gc.collect()
    assert gone() is None


def test_templates_are_not_too_many(dialect: CountingDialect, model: Any) -> None:
    for number in range(templates.MOST * 2):
        query = model.select()
        for _ in range(2):
            templates.learn(
                dialect,
                model,
                (number,),
                plans.select(dialect, query),
                lambda slots: plans.select(dialect, query),  # noqa: B023
                [],
                [model.value],
            )
        for name in (templates.KEPT, templates.SEEN):
            assert len(vars(model._meta)[name]) <= templates.MOST


@pytest.mark.parametrize(
    "columns",
    [
        lambda model: peewee.fn.MAX(model.value),
        lambda model: peewee.fn.MAX(model.value).alias("most"),
        lambda model: model.value.alias("worth"),
    ],
)
def test_columns_that_are_made_anew_are_kept(
    dialect: CountingDialect, model: Any, columns: Any
) -> None:
    def query(number: int) -> Any:
        chosen = model.select(columns(model)).where(model.id > number)
        return chosen.group_by(model.name)

    assert is_kept(dialect, lambda: plans.scalar(dialect, query(1)))
    for number in (2, 3):
        statement = sent(plans.select(dialect, query(number)))
        sql, params = query(number).sql()
        assert (statement.sql, typed(statement.params)) == (sql, typed(params))


@pytest.mark.parametrize(
    "bounds",
    [
        lambda query, number: query.limit(number),
        lambda query, number: query.offset(number),
        lambda query, number: query.limit(number).offset(number),
    ],
)
def test_a_scalar_of_a_page_is_kept(
    dialect: CountingDialect, model: Any, bounds: Any
) -> None:
    def query(number: int) -> Any:
        return bounds(model.select(model.name), number)

    assert is_kept(dialect, lambda: plans.scalar(dialect, query(1)))
    for number in (2, 3):
        statement = sent(plans.scalar(dialect, query(number)))
        sql, params = query(number).limit(1).sql()
        assert (statement.sql, typed(statement.params)) == (sql, typed(params))


def test_a_select_inside_another_is_kept(dialect: CountingDialect, model: Any) -> None:
    def query(number: int) -> Any:
        inner = model.select(model.id).where(model.value > number).limit(number)
        return model.select().where(model.id << inner, model.value < number + 1)

    assert is_kept(dialect, lambda: plans.select(dialect, query(1)))
    for number in (2, 3):
        statement = sent(plans.select(dialect, query(number)))
        sql, params = query(number).sql()
        assert (statement.sql, typed(statement.params)) == (sql, typed(params))


def test_what_cannot_be_kept_takes_no_room(
    dialect: CountingDialect, model: Any
) -> None:
    for _ in range(9):
        sent(plans.select(dialect, model.select(model.value + model.id)))
    assert templates.SEEN not in vars(model._meta)


def test_fields_that_are_adapted_elsewhere_convert_under_the_lock() -> None:
    dialect = CountingDialect(database_of("sqlite"))
    taken = []

    class Lock:
        def __enter__(self) -> None:
            taken.append(1)

        def __exit__(self, *error: object) -> None:
            taken.append(-1)

    dialect.lock = Lock()

    class Watched(peewee.BlobField):
        def db_value(self, value: Any) -> Any:
            assert sum(taken) == 1
            return value

    model = thing(dialect.database, Watched())
    query = model.select().where(model.value == b"a")
    assert is_kept(dialect, lambda: plans.select(dialect, query))
    assert sum(taken) == 0


def test_threads(dialect: CountingDialect, model: Any) -> None:
    wrong = []

    def ask(value: int) -> None:
        for _ in range(50):
            params = sent(finding.get(dialect, model, (), {"value": value})).params
            if params != (value, 1, 0):
                wrong.append(params)

    threads = [threading.Thread(target=ask, args=(value,)) for value in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# Any conditions.

COMPARE = (
    "__eq__",
    "__ne__",
    "__lt__",
    "__le__",
    "__gt__",
    "__ge__",
    "__mod__",
    "__pow__",
)
FIELDS_OF_BOOKS = (
    Book.id,
    Book.author,
    Book.title,
    Book.price,
    Author.name,
    Author.born,
)

comparisons = st.tuples(
    st.sampled_from(FIELDS_OF_BOOKS), st.sampled_from(COMPARE), st.sampled_from(VALUES)
).map(lambda parts: getattr(parts[0], parts[1])(parts[2]))
nulls = st.tuples(st.sampled_from(FIELDS_OF_BOOKS), st.booleans()).map(
    lambda pair: pair[0].is_null(pair[1])
)
matches = st.tuples(
    st.sampled_from(FIELDS_OF_BOOKS), st.sampled_from(FIELDS_OF_BOOKS)
).map(lambda pair: pair[0] == pair[1])
conditions: Any = st.recursive(
    comparisons | matches | nulls,
    lambda inner: st.tuples(inner, st.booleans(), inner).map(
        lambda parts: parts[0] & parts[2] if parts[1] else parts[0] | parts[2]
    ),
    max_leaves=6,
)
numbers = st.none() | st.integers(0, 9)
orders = st.lists(
    st.sampled_from([*FIELDS_OF_BOOKS, *(f.desc() for f in FIELDS_OF_BOOKS)]),
    max_size=2,
)


def values_of(node: Any) -> Iterator[Any]:
    """Give the comparisons of a condition that have a value."""
    if isinstance(node.rhs, peewee.Expression):
        yield from values_of(node.lhs)
        yield from values_of(node.rhs)
    elif node.rhs is not None and not isinstance(node.rhs, peewee.Node):
        yield node


@given(conditions, conditions, orders, numbers, numbers, st.data())
@settings(max_examples=150, deadline=None)
def test_any_condition(
    one: Any, two: Any, order: Any, limit: Any, offset: Any, data: Any
) -> None:
    dialect = CountingDialect(Book._meta.database)
    query: Any = Book.select(Book, Author)
    query = query.join(Author, on=(Book.author == Author.id))
    query = query.where(one, two).order_by(*order).limit(limit).offset(offset)
    for _ in range(4):
        got = outcome(lambda: sent(plans.select(dialect, query)))
        assert got == outcome(query.sql)
        for node in [*values_of(one), *values_of(two)]:
            node.rhs = data.draw(st.sampled_from(VALUES))
        if limit is not None:
            query._limit = data.draw(st.integers(0, 9))
