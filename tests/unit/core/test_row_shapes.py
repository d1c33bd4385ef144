"""Queries of one shape have one key, and queries of two shapes never."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import peewee
import pytest
from peewee import JOIN, SQL, Entity, Value, fn

from peewee_async.core.row_shapes import Shape, Unfit, argument_of, shape_of
from tests.unit.library import AUTHORS, SHAPES, Author, Book, Review

Make = Callable[[], Any]

TABLE: Any = Book._meta.table


def shape(query: Any) -> Shape:
    return shape_of(query._get_cursor_wrapper(None))


def editor_joined(name: str | None = None) -> Any:
    editor = Author.alias(name)
    return Book.select(Book, editor).join(editor, on=Book.editor)


def two_editors(swapped: bool) -> Any:
    one, two = Author.alias(), Author.alias()
    first, second = (two, one) if swapped else (one, two)
    return (
        Book.select(Book.id, first.name, second.name)
        .join(one, on=(Book.editor == one.id))
        .switch(Book)
        .join(two, JOIN.LEFT_OUTER, on=(Book.author == two.id), attr="writer")
    )


def totals(name: str) -> Any:
    count = fn.COUNT(Book.id).alias("books")
    return Book.select(Book.author, count).group_by(Book.author).alias(name)


def with_totals(name: str = "totals") -> Any:
    sums = totals(name)
    return Author.select(Author.id, sums.c.books).join(
        sums, on=(Author.id == sums.c.author_id)
    )


# Each is made anew with each call.
DIFFERENT: dict[str, Make] = {
    "model": Author.select,
    "another model": Book.select,
    "some columns": lambda: Author.select(Author.id, Author.name),
    "other columns": lambda: Author.select(Author.id, Author.born),
    "another order": lambda: Author.select(Author.name, Author.id),
    "not coerced": lambda: Author.select(Author.id.coerce(False), Author.name),
    "another not coerced": lambda: Author.select(Author.id, Author.name.coerce(False)),
    "named": lambda: Author.select(Author.id, Author.name.alias("label")),
    "named, not coerced": lambda: Author.select(
        Author.id, Author.name.alias("label").coerce(False)
    ),
    "dicts": lambda: Author.select().dicts(),
    "tuples": lambda: Author.select().tuples(),
    "named tuples": lambda: Author.select().namedtuples(),
    "objects": lambda: Author.select().objects(dict),
    "models as objects": lambda: Author.select().objects(Book),
    "alias": lambda: Author.alias().select(),
    "computed": lambda: Book.select(Book.id + 1),
    "literal": lambda: Book.select(Value(1)),
    "computed, not coerced": lambda: Book.select((Book.id + 1).coerce(False)),
    "computed, named": lambda: Book.select((Book.id + 1).alias("next")),
    "converted": lambda: Book.select((Book.id + 1).converter(str)),
    "own column": lambda: Book.select(peewee.Column(TABLE, "id")),
    "foreign column": lambda: Book.select(AUTHORS.id),
    "function": lambda: Book.select(fn.RANDOM()),
    "function of a field": lambda: Book.select(fn.MAX(Book.id)),
    "function of another field": lambda: Book.select(fn.MAX(Book.price)),
    "function of a name": lambda: Book.select(fn.MAX(Entity("id"))),
    "function of another name": lambda: Book.select(fn.MAX(Entity("price"))),
    "function, named, not coerced": lambda: Book.select(
        fn.MAX(Book.id).alias("n").coerce(False)
    ),
    "function not coerced": lambda: Book.select(fn.MAX(Book.id, coerce=False)),
    "inner join": lambda: Book.select(Book, Author).join(Author, on=Book.author),
    "outer join": lambda: Book.select(Book, Author).join(
        Author, JOIN.LEFT_OUTER, on=Book.author
    ),
    "join of another key": lambda: Book.select(Book, Author).join(
        Author, on=Book.editor
    ),
    "join by another name": lambda: Book.select(Book, Author).join(
        Author, on=Book.author, attr="writer"
    ),
    "join of the other side": lambda: Author.select(Book, Author).join(
        Book, on=Book.author
    ),
    "join of two": lambda: (
        Book.select(Book, Author).join(Author, on=Book.author).switch(Book).join(Review)
    ),
    "join of an alias": editor_joined,
    "join of two aliases": lambda: two_editors(False),
    "join of two aliases, swapped": lambda: two_editors(True),
    "join of a subquery": with_totals,
    "column given to a joined model": lambda: Book.select(
        Book.id, fn.UPPER(Author.name).alias("up").bind_to(Author)
    ).join(Author, on=Book.author),
    "column given to nothing": lambda: Book.select(
        Book.id, fn.UPPER(Author.name).alias("up")
    ).join(Author, on=Book.author),
    "raw": lambda: Author.raw("SELECT 1"),
    "raw as dicts": lambda: Author.raw("SELECT 1").dicts(),
    "table": AUTHORS.select,
    "table as tuples": lambda: AUTHORS.select().tuples(),
    "table as named tuples": lambda: AUTHORS.select().namedtuples(),
    "table as objects": lambda: AUTHORS.select().objects(dict),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_is_made_anew_has_the_same_key(name: str) -> None:
    one, other = shape(DIFFERENT[name]()), shape(DIFFERENT[name]())
    assert one.key == other.key
    assert hash(one.key) == hash(other.key)


def test_no_two_shapes_have_the_same_key() -> None:
    shapes = {name: shape(make()) for name, make in DIFFERENT.items()}
    same = {
        (one, other)
        for one, other in combinations(shapes, 2)
        if shapes[one].key == shapes[other].key
    }
    assert same == {
        # They are read alike.
        ("computed", "literal"),
        ("computed", "foreign column"),
        ("literal", "foreign column"),
        ("computed, not coerced", "function not coerced"),
    }


SAME: dict[str, tuple[Make, Make]] = {
    "conditions": (
        lambda: Author.select().where(Author.id == 1).limit(1),
        lambda: Author.select().where(Author.name == "ada").order_by(Author.id),
    ),
    "names of aliases": (lambda: editor_joined("a"), lambda: editor_joined("b")),
    "names of subqueries": (lambda: with_totals("a"), lambda: with_totals("b")),
    "values in columns": (
        lambda: Book.select((Book.id + 1).alias("n")),
        lambda: Book.select((Book.id + 2).alias("n")),
    ),
    "a union and its left side": (
        lambda: Author.select() | Author.select().where(Author.alive),
        Author.select,
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_what_makes_no_difference_to_the_rows_is_not_in_the_key(name: str) -> None:
    one, other = (make() for make in SAME[name])
    assert shape(one).key == shape(other).key


def test_converters_and_constructors_come_beside_the_key() -> None:
    def select(name: Any, length: Any, make: Any) -> Any:
        return Author.select(
            Author.name.alias("n").converter(name),
            Author.born.alias("b"),
            fn.LENGTH(Author.name).python_value(length),
        ).objects(make)

    one, other = shape(select(str, int, dict)), shape(select(repr, float, list))
    assert one.key == other.key
    # A field's own converter is the one that counts.
    assert (one.extras, other.extras) == ((int, dict), (float, list))


def test_an_alias_that_is_joined_is_told_from_one_that_is_not() -> None:
    one, other = Author.alias("x"), Author.alias("x")
    joined = Book.select(one.name, one.born).join(one, on=Book.editor)
    apart = Book.select(one.name, other.born).join(one, on=Book.editor)
    assert shape(joined).key != shape(apart).key


def test_tables_that_are_equal_to_peewee_are_one() -> None:
    def select(other: str) -> Any:
        one, two = peewee.Table("author").alias("a"), peewee.Table(other).alias("a")
        query = Book.select(Book.id, one.c.name, two.c.born)
        return query.join(Author, on=Book.author)

    assert shape(select("author")).key != shape(select("genre")).key


def test_what_the_key_refers_to_is_kept() -> None:
    kept = shape(SHAPES["two keys to one model"]()).kept
    assert {id(Book), id(Author), id(Book.title), id(Author.name)} <= set(map(id, kept))


def test_a_join_that_becomes_a_dict_is_unfit() -> None:
    with pytest.raises(Unfit):
        shape(SHAPES["cte"]())


def test_a_wrapper_of_the_program_is_unfit() -> None:
    class Wrapper(peewee.DictCursorWrapper):
        pass

    with pytest.raises(Unfit):
        shape_of(Wrapper(None))


def test_the_wrappers_of_a_peewee_that_is_not_known_are_unfit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    query = Author.select()
    assert shape(query).kept
    monkeypatch.setattr(peewee, "__version__", "4.60.0")
    with pytest.raises(Unfit):
        shape(query)


def test_an_alias_that_converts_in_its_own_way_is_unfit() -> None:
    editor = Author.alias()
    editor.name.python_value = _Bound().upper
    with pytest.raises(Unfit):
        shape(Book.select(editor.name).join(editor, on=Book.editor))
    query = Book.select(editor.name.alias("n").coerce(False))
    assert shape(query.join(editor, on=Book.editor)).extras == ()


class _Bound:
    def upper(self, value: str) -> str:
        return value.upper()


def test_a_field_that_its_model_has_lost_is_known_by_itself() -> None:
    class Lost(peewee.Model):
        name: Any = peewee.CharField()

    name = Lost.name
    Lost._meta.remove_field("name")
    query = Lost.select(name.coerce(False))
    assert shape(query).key == shape(query).key


def test_the_argument_of_a_function() -> None:
    assert argument_of(fn.MAX(Author.id.alias("x"))) is Author.id
    assert argument_of(fn.MAX(1)) is None
    assert argument_of(fn.RANDOM()) is None
    assert isinstance(argument_of(fn.MAX(SQL("x"))), SQL)
