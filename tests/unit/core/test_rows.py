"""One INSERT of many rows: the text and the parameters of peewee, for any number."""

from __future__ import annotations

import datetime
import decimal
import gc
import weakref
from typing import Any

import peewee
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peewee_async.core import rows
from peewee_async.core.boundary import Reply, Statement
from peewee_async.core.execution import Plan
from tests.unit.models import with_drivers
from tests.unit.templates import (
    FAMILIES,
    CountingDialect,
    database_of,
    outcome,
    sent,
    thing,
    typed,
)

pytestmark = with_drivers

every_family = pytest.mark.parametrize("family", FAMILIES)


class Parent(peewee.Model):
    code: Any = peewee.CharField(primary_key=True)


def wide(database: Any) -> Any:
    class Wide(peewee.Model):
        number: Any = peewee.IntegerField(null=True)
        text: Any = peewee.CharField(column_name="label")
        when: Any = peewee.DateTimeField(default=datetime.datetime.now)
        price: Any = peewee.DecimalField(null=True)
        data: Any = peewee.BlobField(null=True)
        parent: Any = peewee.ForeignKeyField(Parent, null=True)
        tags: Any = peewee.JSONField(null=True)

    Wide._meta.set_database(database)
    return Wide


def of_peewee(model: Any, fields: Any, batch: Any) -> Any:
    values = [[getattr(each, field.safe_name) for field in fields] for each in batch]
    sql, params = model.insert_many(values, fields=fields).sql()
    return sql, tuple(params)


class Name(str):
    pass


simple: Any = st.none() | st.integers() | st.booleans() | st.text(max_size=3)
unusual: Any = (
    simple
    | st.binary(max_size=3)
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.sampled_from([Name("ada"), [1], {"a": 1}, peewee.SQL("1"), Parent(code="a")])
)


def any_rows(values: Any) -> Any:
    return st.lists(st.tuples(*[values] * 7), min_size=1, max_size=12)


@every_family
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_rows(family: str, data: Any) -> None:
    dialect = CountingDialect(database_of(family))
    model = wide(dialect.database)
    fields = model._meta.sorted_fields[1:]
    for kind in (simple, unusual):
        batch = []
        for values in data.draw(any_rows(kind)):
            instance = model()
            names = [field.name for field in fields]
            instance.__data__.update(zip(names, values, strict=True))
            batch.append(instance)
        got = outcome(lambda: sent(rows.insert(dialect, model, fields, batch)))  # noqa: B023
        assert got == outcome(lambda: of_peewee(model, fields, batch))  # noqa: B023


@every_family
@pytest.mark.parametrize("returning", [False, True])
def test_any_number_of_rows(family: str, returning: bool) -> None:
    dialect = CountingDialect(database_of(family))
    if family == "sqlite":
        dialect.database.returning_clause = returning
    model = thing(dialect.database, peewee.IntegerField(null=True))
    fields = model._meta.sorted_fields[1:]
    for count in (1, 2, 3, 4, 5, 17, 1000):
        batch = [model(name=str(number), value=number) for number in range(count)]
        before = dialect.compiled
        statement = sent(rows.insert(dialect, model, fields, batch))
        sql, params = of_peewee(model, fields, batch)
        assert statement.sql == sql
        assert typed(statement.params) == typed(params)
        if count > 4:
            assert dialect.compiled == before


def test_keys_come_back_as_from_peewee() -> None:
    dialect = CountingDialect(database_of("postgres"))
    model = thing(dialect.database, peewee.IntegerField())
    fields = model._meta.sorted_fields[1:]
    batch = [model(name="ada", value=number) for number in range(9)]
    for _ in range(2):
        plan: Any = rows.insert(dialect, model, fields, batch)
        assert isinstance(plan, Plan)
        made = plan.read(Reply([(number,) for number in range(9)], ("id",), 9))
        assert made == [(number,) for number in range(9)]


def test_changes_are_seen_at_once() -> None:
    dialect = CountingDialect(database_of("postgres"))
    model = thing(dialect.database, peewee.IntegerField())
    fields = model._meta.sorted_fields[1:]
    batch = [model(name="ada", value=number) for number in range(9)]
    for name in ("one", "two", "three"):
        model._meta.set_table_name(name)
        for _ in range(2):
            statement = sent(rows.insert(dialect, model, fields, batch))
            assert statement.sql == of_peewee(model, fields, batch)[0]


def test_another_conversion_is_seen_at_once() -> None:
    dialect = CountingDialect(database_of("postgres"))
    model = thing(dialect.database, peewee.IntegerField())
    fields = model._meta.sorted_fields[1:]
    batch = [model(name="ada", value=number) for number in range(9)]
    for convert in (None, str, lambda value: value * 2):
        if convert is not None:
            model.value.db_value = convert
        for _ in range(3):
            statement = sent(rows.insert(dialect, model, fields, batch))
            assert statement[:2] == of_peewee(model, fields, batch)


def test_attributes_are_read_as_the_program_has_them() -> None:
    dialect = CountingDialect(database_of("postgres"))
    model: Any = thing(dialect.database, peewee.IntegerField())
    fields = model._meta.sorted_fields[1:]

    class Doubled:
        name = "ada"
        value = 7

    class Younger(model):  # type: ignore[misc]
        name = "eve"

    class Watched(model):  # type: ignore[misc]
        def __getattribute__(self, item: str) -> Any:
            found = super().__getattribute__(item)
            return "seen" if item == "name" else found

    for batch in ([Doubled()] * 5, [Younger(value=1)] * 5):
        statement = sent(rows.insert(dialect, model, fields, batch))
        assert statement == Statement(*of_peewee(model, fields, batch))
    own = Watched._meta.sorted_fields[1:]
    batch = [Watched(name="ada", value=1)] * 5
    assert "seen" in sent(rows.insert(dialect, Watched, own, batch)).params


class Loud(peewee.IntegerField):
    def __sql__(self, ctx: Any) -> Any:
        return super().__sql__(ctx)  # type: ignore[no-untyped-call]


class Counting(peewee.Field):
    """Its own SQL for each value."""

    def db_value(self, value: Any) -> Any:
        return peewee.fn.ABS(value)


def test_what_is_not_peewees_own_is_left_to_peewee() -> None:
    dialect = CountingDialect(database_of("postgres"))

    class Ignoring(peewee.Model):
        value: Any = peewee.IntegerField()

        @classmethod
        def insert_many(cls, rows: Any, fields: Any = None) -> Any:
            return super().insert_many(rows, fields).on_conflict_ignore()

    class Defaulting(peewee.Model):
        value: Any = peewee.IntegerField()
        more: Any = peewee.IntegerField(default=3)

    Ignoring._meta.set_database(dialect.database)
    Defaulting._meta.set_database(dialect.database)
    loud = thing(dialect.database, Loud())
    counting = thing(dialect.database, Counting())
    elsewhere = thing(database_of("postgres"), peewee.BlobField())
    for model, fields in (
        (Ignoring, [Ignoring.value]),
        (Defaulting, [Defaulting.value]),
        (loud, [loud.value, loud.name]),
        (counting, [counting.value, counting.name]),
        (elsewhere, [elsewhere.value, elsewhere.name]),
    ):
        batch = [model(value=3, name="ada") for _ in range(9)]
        for _ in range(3):
            before = dialect.compiled
            statement = sent(rows.insert(dialect, model, fields, batch))
            expected = of_peewee(model, fields, batch)
            assert (statement.sql, typed(statement.params)) == (
                expected[0],
                typed(expected[1]),
            )
            assert dialect.compiled > before


def test_rows_of_no_columns() -> None:
    dialect = CountingDialect(database_of("postgres"))

    class Bare(peewee.Model):
        pass

    Bare._meta.set_database(dialect.database)
    for count in (1, 5):
        batch = [Bare() for _ in range(count)]
        got = outcome(lambda: sent(rows.insert(dialect, Bare, [], batch)))  # noqa: B023
        assert got == outcome(lambda: of_peewee(Bare, [], batch))  # noqa: B023


def test_nothing_is_kept_alive() -> None:
    def use() -> list[Any]:
        database = database_of("postgres")
        model = thing(None, peewee.IntegerField())
        fields = model._meta.sorted_fields[1:]
        batch = [model(name="ada", value=number) for number in range(9)]
        sent(rows.insert(CountingDialect(database), model, fields, batch))
        alive.append(model)
        return [weakref.ref(database), weakref.ref(model)]

    alive: list[Any] = []
    database, model = use()
    gc.collect()
    assert database() is None
    alive.clear()
    gc.collect()
    assert model() is None


def test_values_that_need_no_conversion() -> None:
    assert decimal.Decimal("1.0") == 1  # a column of one kind may hold another's equal
    dialect = CountingDialect(database_of("postgres"))
    model = thing(dialect.database, peewee.IntegerField())
    batch = [model(name="ada", value=decimal.Decimal("1.0")) for _ in range(5)]
    fields = model._meta.sorted_fields[1:]
    statement = sent(rows.insert(dialect, model, fields, batch))
    assert typed(statement.params[:2]) == typed((1, "ada"))
