"""One object by expressions or keywords: the plan that peewee makes, kept."""

from __future__ import annotations

from typing import Any

import peewee
import pytest

from peewee_async.core import finding
from peewee_async.core.boundary import Statement
from tests.unit.models import Post, User
from tests.unit.script import Script
from tests.unit.templates import CountingDialect, database_of, is_kept, sent

COLUMNS = 'SELECT "t1"."id", "t1"."name", "t1"."age" FROM "user" AS "t1"'
FIRST = " LIMIT %s OFFSET %s"


@pytest.fixture
def dialect() -> CountingDialect:
    return CountingDialect(database_of("postgres"))


def test_by_keywords(dialect: CountingDialect) -> None:
    where = f'{COLUMNS} WHERE (("t1"."age" > %s) AND ("t1"."name" = %s)){FIRST}'
    for age in (1, 2, 3, 4):
        work = finding.get(dialect, User, (), {"name": "ada", "age__gt": age})
        script = Script(work).sends(where, age, "ada", 1, 0, limit=1)
        script.gets((7, "ada", 36))
        assert script.result == User(id=7)
    before = dialect.compiled
    sent(finding.get(dialect, User, (), {"name": "bob", "age__gt": 9}))
    assert dialect.compiled == before


def test_by_expressions(dialect: CountingDialect) -> None:
    where = f'{COLUMNS} WHERE (("t1"."name" = %s) AND ("t1"."age" > %s)){FIRST}'
    for age in (1, 2, 3, 4):
        conditions = (User.name == "ada", User.age > age)
        script = Script(finding.get(dialect, User, conditions, {}))
        script.sends(where, "ada", age, 1, 0, limit=1)
        script.gets((7, "ada", 36))
        assert script.result == User(id=7)
    before = dialect.compiled
    sent(finding.get(dialect, User, (User.name == "bob", User.age > 9), {}))
    assert dialect.compiled == before


def test_related_models_by_keywords(dialect: CountingDialect) -> None:
    def ask(name: str) -> Any:
        return finding.get(dialect, Post, (), {"author__name": name})

    assert is_kept(dialect, lambda: ask("ada"))
    expected = Post.select().filter(author__name="bob").paginate(1, 1)
    database = dialect.database
    sql, params = expected.bind(database).sql()
    assert sent(ask("bob")) == Statement(sql, tuple(params), 1)


@pytest.mark.parametrize(
    ("conditions", "filters"),
    [
        ((), {}),
        ((7,), {}),
        ((User,), {"name": "ada"}),
        ((User.age > 3,), {"name": "ada"}),
        ((User.name.in_(["ada"]),), {}),
        ((), {"name": None}),
        ((), {"name__in": ["ada"]}),
    ],
)
def test_other_ways_to_ask(
    dialect: CountingDialect, conditions: Any, filters: Any
) -> None:
    query = User.select()
    if conditions and isinstance(conditions[0], int):
        query = query.where(User.id == 7)
    elif conditions and conditions[0] is not User:
        query = query.where(*conditions)
    if filters:
        query = query.filter(**filters)
    sql, params = query.paginate(1, 1).bind(dialect.database).sql()
    for _ in range(4):
        work = finding.get(dialect, User, conditions, filters)
        assert sent(work) == Statement(sql, tuple(params), 1)


def test_queries_and_aliases(dialect: CountingDialect) -> None:
    other: Any = User.alias()
    for source in (User.select(), other):
        work = finding.get(dialect, source, (), {"name": "ada"})
        assert sent(work).params == ("ada", 1, 0)


def test_misuse_is_answered_as_before(dialect: CountingDialect) -> None:
    with pytest.raises(TypeError, match="Post is a model, not a condition"):
        finding.get(dialect, User, (Post,), {})
    with pytest.raises(TypeError, match="nothing to select from"):
        finding.get(dialect, 7, (), {})
    with pytest.raises(AttributeError, match="colour"):
        finding.get(dialect, User, (), {"colour": "red"})


def test_a_field_that_compares_in_its_own_way(dialect: CountingDialect) -> None:
    class Folded(peewee.CharField):
        def __eq__(self, other: Any) -> Any:
            lower: Any = super().__eq__(other.lower())
            return lower

        __hash__ = peewee.CharField.__hash__

    class Page(peewee.Model):
        title: Any = Folded()

    for _ in range(4):
        work = finding.get(dialect, Page, (), {"title": "NEWS"})
        assert sent(work).params == ("news", 1, 0)


def test_a_row_that_has_exactly_these_values(dialect: CountingDialect) -> None:
    for values in (
        {"name": "ada", "age": 3},
        {"age": 3, "name": "ada"},
        {"name": "ada", "age": None},
        {},
    ):
        query = User.select()
        for name, value in values.items():
            query = query.where(getattr(User, name) == value)
        sql, params = query.paginate(1, 1).bind(dialect.database).sql()
        for _ in range(4):
            statement = sent(finding.get_exactly(dialect, User, values))
            assert statement == Statement(sql, tuple(params), 1)


def test_a_select_of_the_models_own(dialect: CountingDialect) -> None:
    class Active(User):
        @classmethod
        def select(cls, *fields: Any) -> Any:
            return super().select(*fields).where(cls.age > 17)

    for _ in range(4):
        for work in (
            finding.get_exactly(dialect, Active, {"name": "ada"}),
            finding.get(dialect, Active, (), {"name": "ada"}),
            finding.get(dialect, Active, (Active.name == "ada",), {}),
        ):
            assert sent(work).params == (17, "ada", 1, 0)
