"""What a caller looks for becomes a query; the query that was given stays."""

from typing import Any

import peewee
import pytest

from peewee_async.core.lookups import (
    is_model,
    lookup,
    query_of,
    require_instance,
    require_model,
    require_query,
)
from tests.unit.library import frozen
from tests.unit.models import POSTGRES, Country, Log, Membership, Post, User

TABLE: Any = peewee.Table("user", ("id", "name"))


def same(left: Any, right: Any) -> bool:
    return POSTGRES.compile(left) == POSTGRES.compile(right)


def test_a_model_stands_for_all_its_rows() -> None:
    assert same(query_of(User), User.select())


def test_an_alias_stands_for_all_its_rows() -> None:
    writer = User.alias("writer")
    assert same(query_of(writer), writer.select())


@pytest.mark.parametrize(
    "query",
    [
        User.select(),
        User.select() | User.select(),
        User.raw("SELECT 1"),
        User.noop(),
        peewee.Table("user").select(),
        User.update(age=1),
        User.delete(),
    ],
)
def test_a_query_stands_for_itself(query: Any) -> None:
    assert query_of(query) is query
    assert lookup(query, (), {}) is query


@pytest.mark.parametrize("source", ["user", 1, None, User(), object, peewee.Model.get])
def test_anything_else_is_refused_by_name(source: Any) -> None:
    with pytest.raises(TypeError, match="nothing to select from") as caught:
        query_of(source)
    assert str(caught.value).startswith(repr(source))


def test_expressions_narrow() -> None:
    found = lookup(User, (User.name == "ada", User.age > 3), {})
    assert same(found, User.select().where(User.name == "ada", User.age > 3))


def test_expressions_narrow_what_is_narrow_already() -> None:
    young = User.select().where(User.age < 40)
    found = lookup(young, (User.name == "ada",), {})
    assert same(found, User.select().where(User.age < 40, User.name == "ada"))


def test_keywords_are_those_of_filter() -> None:
    found = lookup(Post, (), {"author__name": "ada", "title__ilike": "n%"})
    expected = Post.select().filter(author__name="ada", title__ilike="n%")
    assert same(found, expected)
    assert "INNER JOIN" in POSTGRES.compile(found)[0]


def test_expressions_and_keywords_go_together() -> None:
    found = lookup(User, (User.age > 3,), {"name": "ada"})
    assert same(found, User.select().where(User.age > 3).filter(name="ada"))


def test_an_alias_is_narrowed_by_keywords() -> None:
    writer = User.alias()
    assert same(lookup(writer, (), {"name": "ada"}), writer.select().filter(name="ada"))


def test_a_query_without_a_model_is_narrowed_by_expressions() -> None:
    found = lookup(TABLE.select(), (TABLE.name == "ada",), {})
    assert same(found, TABLE.select().where(TABLE.name == "ada"))


@pytest.mark.parametrize(
    "source",
    [User, User.select(), User.select(User.name)],
    ids=["model", "all", "some"],
)
def test_the_model_itself_says_nothing_among_the_conditions(source: Any) -> None:
    assert same(lookup(source, (User,), {}), query_of(source))
    found = lookup(source, (User,), {"name": "ada"})
    assert same(found, query_of(source).filter(name="ada"))


@pytest.mark.parametrize("source", [User.alias(), User.select(), TABLE.select()])
def test_a_source_says_nothing_among_its_own_conditions(source: Any) -> None:
    assert same(lookup(source, (source,), {}), query_of(source))


@pytest.mark.parametrize("conditions", [(Post,), (User, Post), (User.age > 3, Post)])
def test_another_model_is_refused_with_a_hint(conditions: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=r"Post is a model.*Post\.id == 1"):
        lookup(User, conditions, {})


def test_one_whole_number_is_a_key_that_the_database_makes() -> None:
    assert same(lookup(User, (7,), {}), User.select().where(User.id == 7))


def test_one_whole_number_is_the_key_of_an_alias() -> None:
    writer = User.alias()
    assert same(lookup(writer, (7,), {}), writer.select().where(writer.id == 7))


@pytest.mark.parametrize("model", [Country, Log, Membership])
def test_other_models_have_no_key_that_is_a_number(model: Any) -> None:
    # What peewee's own `Model.get` makes of it: a condition that is no column.
    assert same(lookup(model, (7,), {}), model.select().where(7))


def test_a_number_beside_other_conditions_is_no_key() -> None:
    for conditions in ((User.age > 3, 1), (1, User.age > 3)):
        assert same(lookup(User, conditions, {}), User.select().where(*conditions))


def test_a_number_is_no_key_where_there_is_no_model() -> None:
    assert same(lookup(TABLE.select(), (1,), {}), TABLE.select().where(1))


@pytest.mark.parametrize(
    "query",
    [User.select() | User.select(), User.raw("SELECT 1"), User.update(age=1)],
    ids=["ModelCompoundSelectQuery", "ModelRaw", "ModelUpdate"],
)
def test_a_query_that_cannot_be_narrowed_says_so(query: Any) -> None:
    kind = type(query).__name__
    with pytest.raises(TypeError, match=f"A {kind} cannot be narrowed"):
        lookup(query, (User.age > 3,), {})
    with pytest.raises(TypeError, match=f"A {kind} cannot be narrowed"):
        lookup(query, (), {"age": 3})


def test_keywords_need_a_model() -> None:
    with pytest.raises(TypeError, match="fields of a model"):
        lookup(TABLE.select(), (), {"name": "ada"})


def test_the_query_that_was_given_is_not_changed() -> None:
    query = Post.select().join(User, on=Post.author)
    before = frozen(query)
    lookup(query, (User.age > 3,), {"editor__name": "bob"})
    assert frozen(query) == before


def test_a_model_is_a_class_not_an_object() -> None:
    assert [is_model(thing) for thing in (User, User(), int, User.alias(), None)] == [
        True,
        False,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize("other", [None, "SELECT 1", User, User(name="ada")])
def test_only_a_query_is_a_query(other: Any) -> None:
    query = User.select()
    assert require_query(query) is query
    with pytest.raises(TypeError, match="is no query to execute"):
        require_query(other)


@pytest.mark.parametrize("other", [None, "user", User(name="ada"), User.select(), int])
def test_only_a_model_is_a_model(other: Any) -> None:
    assert require_model(User) is User
    with pytest.raises(TypeError, match="is no model: give the class"):
        require_model(other)


@pytest.mark.parametrize("other", [None, {"name": "ada"}, User, User.select()])
def test_only_an_object_is_an_object(other: Any) -> None:
    user = User(name="ada")
    assert require_instance(user) is user
    with pytest.raises(TypeError, match="is no object of a model"):
        require_instance(other)
