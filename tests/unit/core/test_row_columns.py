"""Each column of a row is converted by what peewee has chosen for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee
import pytest
from peewee import SQL, Entity, fn

from peewee_async.core.boundary import Reply
from peewee_async.core.decoding import ReplyCursor
from peewee_async.core.row_columns import Column, Source, columns_of
from tests.unit.library import Author, Book

AS_IS, FIELD = Source.AS_IS, Source.FIELD
ARGUMENT, EXTRA = Source.ARGUMENT, Source.EXTRA


def columns(query: Any, *names: str) -> list[Column]:
    wrapper = query._get_cursor_wrapper(ReplyCursor(Reply((), names)))
    wrapper.initialize()
    return columns_of(wrapper)


def column(node: Any, name: str = "n") -> Column:
    (found,) = columns(Author.select(node).tuples(), name)
    return found


def test_all_columns_of_a_raw_query_are_known_by_name() -> None:
    found = columns(Author.raw("SELECT 1"), "id", "t.name", '"born"', "x", "(alive)")
    assert [it.by_name for it in found] == ["id", "name", "born", "x", "alive"]
    assert [it.source for it in found] == [FIELD, FIELD, FIELD, AS_IS, FIELD]
    assert found[1].field is Author.name
    assert found[3].field is None


def test_each_column_knows_the_type_that_is_vouched_for() -> None:
    query: Any = Author.select(Author.id, (Author.id + 1).converter(str), SQL("x"))
    wrapper = query._get_cursor_wrapper(ReplyCursor(Reply((), ("id", "a", "x"))))
    wrapper.initialize()
    found = columns_of(wrapper, (int, None, str))
    assert [(it.source, it.made) for it in found] == [
        (FIELD, int),
        (EXTRA, None),
        (AS_IS, str),
    ]
    assert [it.made for it in columns_of(wrapper)] == [None, None, None]


CASES: dict[str, tuple[Callable[[], Any], Source, Any, str | None]] = {
    "field": (lambda: Author.born, FIELD, Author.born, None),
    "named": (lambda: Author.born.alias("x"), FIELD, Author.born, None),
    "of an alias": (lambda: Author.alias().born, FIELD, Author.born, None),
    "not coerced": (lambda: Author.born.coerce(False), AS_IS, ..., None),
    "converter": (lambda: (Author.id + 1).converter(str), EXTRA, None, None),
    "computed": (lambda: Author.id + 1, AS_IS, None, "n"),
    "computed, named as a field": (
        lambda: (Author.id + 1).alias("born"),
        FIELD,
        Author.born,
        "born",
    ),
    "not coerced, named as a field": (
        lambda: SQL("x").coerce(False).alias("born"),
        AS_IS,
        Author.born,
        "born",
    ),
    "function": (lambda: fn.RANDOM(), AS_IS, None, None),
    "of a field": (lambda: fn.MAX(Author.born), ARGUMENT, Author.born, None),
    "of an alias's field": (
        lambda: fn.MAX(Author.alias().born),
        ARGUMENT,
        Author.born,
        None,
    ),
    "of a name": (lambda: fn.MAX(Entity("born")), ARGUMENT, Author.born, "born"),
    "of a name unknown": (lambda: fn.MAX(Entity("x")), AS_IS, None, "x"),
    "of a field, by choice": (
        lambda: fn.MAX(Author.born).python_value(str),
        EXTRA,
        None,
        None,
    ),
    "of a field, not at all": (
        lambda: fn.MAX(Author.born).alias("x").coerce(False),
        AS_IS,
        None,
        None,
    ),
    "count": (lambda: fn.COUNT(Author.id), AS_IS, None, "n"),
}


@pytest.mark.parametrize("name", CASES)
def test_where_values_come_from(name: str) -> None:
    make, source, field, by_name = CASES[name]
    found = column(make(), "born" if by_name == "born" else "n")
    assert (found.source, found.by_name) == (source, by_name)
    assert found.model is Author
    if field is not ...:
        assert found.field is field


@pytest.mark.parametrize("name", CASES)
def test_whatever_converts_is_there(name: str) -> None:
    make, source, _, by_name = CASES[name]
    found = column(make(), "born" if by_name == "born" else "n")
    assert (found.converter is None) is (source is AS_IS)


def test_a_choice_for_a_function_that_is_not_to_be_coerced_does_not_count() -> None:
    node = fn.MAX(Author.born).python_value(str).alias("x").coerce(False)
    assert column(node).source is AS_IS


def test_the_extras_are_counted() -> None:
    query = Book.select(
        Book.id,
        (Book.id + 1).converter(str),
        Book.title,
        (Book.id + 2).converter(repr),
    ).dicts()
    found = columns(query, "id", "a", "headline", "b")
    assert [it.extra for it in found if it.source is EXTRA] == [0, 1]
    assert [it.converter for it in found if it.source is EXTRA] == [str, repr]


def test_a_column_of_the_own_table_is_its_field() -> None:
    table: Any = Author._meta.table
    (found,) = columns(Author.select(peewee.Column(table, "born")).dicts(), "born")
    assert (found.source, found.field is Author.born) == (FIELD, True)
