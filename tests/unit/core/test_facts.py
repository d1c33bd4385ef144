"""What SQL depends on: kept as long as that is the same, and peewee's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee
import pytest

from peewee_async.core import finding, operations, plans
from tests.unit.library import Author, Book
from tests.unit.models import User, with_drivers
from tests.unit.templates import (
    CountingDialect,
    database_of,
    is_kept,
    outcome,
    sent,
    thing,
)

pytestmark = with_drivers


@pytest.fixture
def dialect() -> CountingDialect:
    return CountingDialect(database_of("postgres"))


@pytest.fixture
def model(dialect: CountingDialect) -> Any:
    return thing(dialect.database, peewee.IntegerField(null=True))


def renamed(model: Any) -> None:
    model._meta.set_table_name("other")


def moved(model: Any) -> None:
    model._meta.schema = "other"


def extended(model: Any) -> None:
    model._meta.add_field("more", peewee.IntegerField(null=True))


def reduced(model: Any) -> None:
    model._meta.remove_field("name")


def other_column(model: Any) -> None:
    model.name.column_name = "other"


def other_quotes(model: Any) -> None:
    model._meta.database.quote = "``"


def other_server(model: Any) -> None:
    model._meta.database.server_version = (1, 2)
    model._meta.database.param = "?"


def own_select(model: Any) -> None:
    def select(cls: Any, *fields: Any) -> Any:
        return peewee.ModelSelect(cls, [cls.id], bool(fields))

    model.select = classmethod(select)


CHANGES = [renamed, moved, extended, reduced, other_column, other_quotes, other_server]


@pytest.mark.parametrize("change", [*CHANGES, own_select])
def test_a_change_is_seen_at_once(
    dialect: CountingDialect, model: Any, change: Callable[[Any], None]
) -> None:
    def ask() -> Any:
        return finding.get(dialect, model, (), {"value": 1})

    def expect() -> Any:
        return model.select().where(model.value == 1).paginate(1, 1).sql()

    assert is_kept(dialect, ask)
    before = sent(ask()).sql
    change(model)
    for _ in range(4):
        assert outcome(lambda: sent(ask())) == outcome(expect)
    assert sent(ask()).sql != before
    assert is_kept(dialect, ask)


def own_db_value(field: Any) -> None:
    field.db_value = lambda value: f"{value}!"


def own_adapt(field: Any) -> None:
    field.adapt = lambda value: f"{value}!"


def db_value_of_its_class(field: Any) -> None:
    type(field).db_value = lambda self, value: f"{value}!"


def adapt_of_its_class(field: Any) -> None:
    type(field).adapt = lambda self, value: f"{value}!"


CONVERSIONS = [own_db_value, own_adapt, db_value_of_its_class, adapt_of_its_class]


@pytest.mark.parametrize("change", CONVERSIONS)
@pytest.mark.parametrize("is_key", [False, True])
def test_another_conversion_is_seen_at_once(
    dialect: CountingDialect, change: Callable[[Any], None], is_key: bool
) -> None:
    class Own(peewee.CharField):
        pass

    class Far(peewee.Model):
        code = Own(primary_key=True)

    model = thing(dialect.database, peewee.ForeignKeyField(Far) if is_key else Own())
    stored = model(id=1, name="ada", value="x")
    asked: list[Callable[[], Any]] = [
        lambda: finding.get(dialect, model, (), {"value": "x"}),
        lambda: finding.get(dialect, model, (model.value == "x",), {}),
        lambda: operations.save(dialect, stored, True),
        lambda: operations.save(dialect, stored),
    ]
    assert all(is_kept(dialect, ask) for ask in asked)
    change(Far.code if is_key else model.value)
    for _ in range(4):
        assert all("x!" in sent(ask()).params for ask in asked)


def test_a_conversion_that_is_no_method(dialect: CountingDialect, model: Any) -> None:
    model.value.db_value = lambda value: f"{value}!"

    def ask() -> Any:
        return finding.get(dialect, model, (), {"value": 1})

    assert not is_kept(dialect, ask)
    model.value.db_value = str
    assert sent(ask()).params == ("1", 1, 0)


def test_a_select_of_the_models_own_is_called_each_time(
    dialect: CountingDialect, model: Any
) -> None:
    class Own(model):  # type: ignore[misc]
        limit = 0

        @classmethod
        def select(cls, *fields: Any) -> Any:
            cls.limit += 1
            return super().select(*fields).where(cls.id < cls.limit)

    for limit in range(1, 6):
        params = sent(finding.get(dialect, Own, (), {"value": 1})).params
        assert params == (limit, 1, 1, 0)


def test_a_model_that_is_renamed_has_a_table_only_when_it_is_asked_for(
    dialect: CountingDialect, model: Any
) -> None:
    def ask() -> Any:
        return finding.get(dialect, model, (), {"value": 1})

    assert is_kept(dialect, ask)
    del model._meta.table
    assert sent(ask()).params == (1, 1, 0)


def test_returning_is_part_of_what_is_kept() -> None:
    dialect = CountingDialect(database_of("sqlite"))
    model = thing(dialect.database, peewee.IntegerField())

    def ask() -> Any:
        return operations.save(dialect, model(name="ada", value=1), True)

    assert is_kept(dialect, ask)
    assert "RETURNING" not in sent(ask()).sql
    dialect.database.returning_clause = True
    for _ in range(3):
        assert "RETURNING" in sent(ask()).sql


def test_a_model_may_be_bound_to_no_database(dialect: CountingDialect) -> None:
    model = thing(None, peewee.IntegerField())
    assert is_kept(dialect, lambda: finding.get(dialect, model, (), {"value": 1}))


def test_a_model_may_be_bound_to_another_database(dialect: CountingDialect) -> None:
    model = thing(database_of("postgres"), peewee.IntegerField())
    assert is_kept(dialect, lambda: finding.get(dialect, model, (), {"value": 1}))


def test_a_model_may_be_bound_through_a_proxy(dialect: CountingDialect) -> None:
    proxy: Any = peewee.DatabaseProxy()
    model = thing(proxy, peewee.BlobField())
    proxy.initialize(dialect.database)
    assert is_kept(dialect, lambda: finding.get(dialect, model, (), {"value": b"a"}))


def test_fields_that_speak_the_sql_of_another_database_are_left_to_peewee(
    dialect: CountingDialect,
) -> None:
    model = thing(database_of("postgres"), peewee.BlobField())
    ask = lambda: finding.get(dialect, model, (), {"value": b"a"})  # noqa: E731
    assert not is_kept(dialect, ask)
    model._meta.set_database(dialect.database)
    # What could not be kept is tried again, but less and less often.
    assert any(is_kept(dialect, ask) for _ in range(4))
    model._meta.set_database(None)
    assert not is_kept(dialect, ask)


def test_a_database_of_another_family_is_refused(
    dialect: CountingDialect, model: Any
) -> None:
    asked: list[Any] = [
        lambda: finding.get(dialect, model, (), {"value": 1}),
        lambda: plans.select(dialect, model.select()),
        lambda: operations.delete_by_id(dialect, model, 1),
    ]
    assert all(is_kept(dialect, ask) for ask in asked)
    model._meta.set_database(database_of("mysql"))
    for ask in asked:
        with pytest.raises(peewee.InterfaceError, match="bound to a MySQL database"):
            ask()
    model._meta.set_database(dialect.database)
    query = model.select().bind(database_of("sqlite"))
    with pytest.raises(peewee.InterfaceError, match="bound to a SQLite database"):
        plans.select(dialect, query)


def test_a_model_may_be_bound_by_hand(dialect: CountingDialect, model: Any) -> None:
    def ask() -> Any:
        return finding.get(dialect, model, (), {"value": 1})

    assert is_kept(dialect, ask)
    model._meta.database = database_of("mysql")
    with pytest.raises(peewee.InterfaceError, match="bound to a MySQL database"):
        ask()
    model._meta.database = None
    assert is_kept(dialect, ask)


class Quiet(peewee.IntegerField):
    def __eq__(self, other: Any) -> Any:
        return peewee.fn.ABS(self) == other

    __hash__ = peewee.IntegerField.__hash__


class Loud(peewee.IntegerField):
    def __sql__(self, ctx: Any) -> Any:
        return super().__sql__(ctx)  # type: ignore[no-untyped-call]


class Wrapping(peewee.IntegerField):
    def to_value(self, value: Any) -> Any:
        return super().to_value(value)


@pytest.mark.parametrize("kind", [Quiet, Loud])
def test_conditions_on_fields_that_render_themselves(
    dialect: CountingDialect, kind: Any
) -> None:
    model = thing(dialect.database, kind())
    ask = lambda: finding.get(dialect, model, (), {"value": 1})  # noqa: E731
    assert not is_kept(dialect, ask)


@pytest.mark.parametrize("kind", [Loud, Wrapping])
def test_writes_of_fields_that_render_themselves(
    dialect: CountingDialect, kind: Any
) -> None:
    model = thing(dialect.database, kind())
    stored = model(id=1, name="ada", value=2)
    assert not is_kept(dialect, lambda: operations.update(dialect, stored))


def test_one_field_with_a_method_of_its_own(
    dialect: CountingDialect, model: Any
) -> None:
    model.value.to_value = peewee.Value
    stored = model(id=1, name="ada", value=2)
    assert not is_kept(dialect, lambda: operations.update(dialect, stored))


def test_a_column_that_is_no_field_of_its_model(
    dialect: CountingDialect, model: Any
) -> None:
    others = (User.name, User.name.alias("some"), peewee.fn.MAX(User.name))
    for column in (model.value.cast("text"), peewee.fn.MAX(1), *others, object):
        query = model.select(column)
        assert not is_kept(dialect, lambda: plans.select(dialect, query))  # noqa: B023


def test_a_database_with_a_context_of_its_own() -> None:
    class Own(peewee.PostgresqlDatabase):
        def get_sql_context(self, **options: Any) -> Any:
            return super().get_sql_context(**options)

    dialect = CountingDialect(Own("unit"))
    model = thing(dialect.database, peewee.IntegerField())
    assert not is_kept(dialect, lambda: finding.get(dialect, model, (), {"value": 1}))


def test_a_model_keeps_no_other_model_alive(dialect: CountingDialect) -> None:
    model, other = (thing(dialect.database, peewee.IntegerField()) for _ in range(2))
    query = model.select().join(other, on=(model.value == other.value))
    assert not is_kept(dialect, lambda: plans.select(dialect, query))


def test_models_that_know_each_other(dialect: CountingDialect) -> None:
    query = Book.select(Book, Author).join(Author)
    dialect = CountingDialect(database_of("sqlite"))
    assert is_kept(dialect, lambda: plans.select(dialect, query))
    back = Author.select().join(Book, on=(Book.editor == Author.id))
    assert is_kept(dialect, lambda: plans.select(dialect, back))
