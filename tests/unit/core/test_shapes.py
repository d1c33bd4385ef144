"""The shape of a query: the same for queries that differ in values alone."""

from __future__ import annotations

from typing import Any

import peewee
import pytest
from peewee import JOIN, fn

from peewee_async.core import shapes
from tests.unit.library import Author, Book, Review, frozen
from tests.unit.models import User

Editor: Any = Author.alias()


def written(n: int) -> Any:
    return Book.select(Book.author).where(Book.id == n)


def fans(n: int) -> Any:
    return Author.select(Author.id).where(Author.born > n)


SHAPED: list[Any] = [
    lambda n: Author.select(),
    lambda n: Author.select(Author.name),
    lambda n: Author.select(Author.born),
    lambda n: Author.select(Author.name.alias("called")),
    lambda n: Author.select(fn.MAX(Author.born)),
    lambda n: Author.select(fn.MIN(Author.born)),
    lambda n: Author.select(fn.MAX(Author.id)),
    lambda n: Author.select(fn.MAX(Author.born, coerce=False)),
    lambda n: Author.select(fn.MAX(Author.born).alias("last")).where(Author.id != n),
    lambda n: Author.select(fn.MAX(Author.born).alias("most")).where(Author.id != n),
    lambda n: Author.select(fn.NOW()),
    lambda n: Author.select(fn.COUNT(Author.id)).group_by(Author.name),
    lambda n: Author.select(fn.COUNT(Author.id)).group_by(Author.name, Author.born),
    lambda n: Author.select(Author.name).group_by(Author.name).where(Author.id < n),
    lambda n: Author.select().tuples(),
    lambda n: Author.select().dicts(),
    lambda n: Author.select().distinct(),
    lambda n: Author.select().where(Author.id == n),
    lambda n: Author.select().where(Author.id != n),
    lambda n: Author.select().where(Author.name == str(n)),
    lambda n: Author.select().where(Author.id == n, Author.name != str(n)),
    lambda n: Author.select().where((Author.id == n) | (Author.name != str(n))),
    lambda n: Author.select().where(Author.id == Author.name),
    lambda n: Author.select().where(Author.born.is_null()),
    lambda n: Author.select().where(Author.born.is_null(False)),
    lambda n: Author.select().where(Author.born.is_null(), Author.id == n),
    lambda n: Author.select().where(Author.name.is_null(), Author.id == n),
    lambda n: Author.select().where(Author.id << written(n)),
    lambda n: Author.select().where(Author.id.not_in(written(n))),
    lambda n: Author.select().where(Author.born << written(n)),
    lambda n: Author.select().where(Author.id << written(n).limit(n)),
    lambda n: Author.select().where(Author.id << written(n), Author.name != str(n)),
    lambda n: Author.select().where((Author.id << written(n)) | (Author.born == n)),
    lambda n: Author.select().where(
        Author.id << Book.select(Book.author).where(Book.author << fans(n))
    ),
    lambda n: Author.select().where(Author.id << fans(n)),
    lambda n: Author.select().where(Author.id << fans(n).from_(Book)),
    lambda n: Author.select().where(Author.id == n).order_by(Author.name),
    lambda n: Author.select().order_by(Author.name),
    lambda n: Author.select().order_by(Author.name.desc()),
    lambda n: Author.select().order_by(Author.name.desc(), Author.id),
    lambda n: Author.select().limit(n),
    lambda n: Author.select().offset(n),
    lambda n: Author.select().limit(n).offset(n + 1),
    lambda n: Book.select().where(Book.author == n),
    lambda n: Book.select().join(Author),
    lambda n: Book.select().join(Author, JOIN.LEFT_OUTER),
    lambda n: Book.select().join(Author, attr="writer"),
    lambda n: Book.select(Book, Author).join(Author),
    lambda n: Book.select().join(Author, on=(Book.editor == Author.id)),
    lambda n: Book.select().join(
        Author, on=((Book.editor == Author.id) & (Author.name == str(n)))
    ),
    lambda n: Review.select().join(Book).join(Author).where(Author.id == n),
    lambda n: Review.select().join(Book).switch(Review).where(Review.id == n),
]

SHAPELESS: list[Any] = [
    Author.noop(),
    Author.select() | Author.select(),
    Author.select().having(Author.name == "ada"),
    Author.select().distinct(Author.name),
    Author.select().window(peewee.Window()),
    Author.select().lateral(),
    Author.select().for_update(),
    Author.select().with_cte(Author.select().cte("some")),
    Author.select().alias("some"),
    Author.select().objects(dict),
    Author.select().where(fn.LOWER(Author.name)),
    Author.select().where(~(Author.id == 1)),
    Author.select().where(peewee.Expression(Author.id, peewee.OP.ADD, None)),
    Author.select().where(Author.id.in_([1, 2])),
    Author.select().where(Author.id.in_(Author.select())),
    Author.select().where(Author.id.in_(Author.select(Author.id).for_update())),
    Author.select().where(Author.id == Author.select(Author.id)),
    Author.select().where(Author.id == Author(id=1)),
    Author.select().where(Author.id == fn.NOW()),
    Author.select().where((Author.id == 1) & (Author.name.contains("100%"))),
    Author.select().where(Author.name.contains("100%") | (Author.id == 1)),
    Author.select().order_by(Author.name.asc(nulls="LAST")),
    Author.select().order_by(Author.name.asc(collation="C")),
    Author.select().limit(True),
    Author.select().offset("1"),
    Author.select().from_(Author.select().alias("some")),
    Editor.select(),
    Book.select().join(Editor),
    Book.select().join(Editor, on=(Book.editor == Editor.id)),
    Book.select().join(Author, on=(Book.author.in_([1]))),
    Book.select().join(Author, JOIN.CROSS),
    Book.select().where(Book.id == 1).limit(fn.RANDOM()),
]


def shape(query: Any) -> tuple[list[Any], list[Any]]:
    known = shapes.of_select(query)
    assert known is not None
    return known


@pytest.mark.parametrize("make", SHAPED)
def test_queries_that_differ_in_values_alone_have_one_shape(make: Any) -> None:
    # Each call makes all nodes anew, and fields are the only ones that stay.
    (one, values), (other, others) = shape(make(1)), shape(make(5))
    assert one == other
    assert len(values) == len(others)
    assert all(value != other for value, other in zip(values, others, strict=True))


def test_other_queries_have_other_shapes() -> None:
    known = {tuple(shape(make(1))[0]) for make in SHAPED}
    assert len(known) == len(SHAPED)


@pytest.mark.parametrize("query", SHAPELESS)
def test_what_is_not_plain_has_no_shape(query: Any) -> None:
    before = frozen(query)
    assert shapes.of_select(query) is None
    assert frozen(query) == before


class Text(str):
    pass


@pytest.mark.parametrize("value", [Text("ada"), [1], (1,), None, object(), Author])
def test_values_of_other_types_have_no_shape(value: Any) -> None:
    condition = peewee.Expression(Author.name, peewee.OP.EQ, value)
    assert shapes.of_select(Author.select().where(condition)) is None


@pytest.mark.parametrize("make", SHAPED)
def test_a_copy_has_other_values_in_the_same_places(make: Any) -> None:
    query, like = make(1), make(5)
    before = frozen(query)
    _, values = shape(like)
    copy = shapes.filled(query, iter(values))
    assert copy.bind(like._database).sql() == like.sql()
    assert shape(copy) == shape(like)
    assert frozen(query) == before


def test_a_query_is_made_of_models_and_fields() -> None:
    query = (
        Book.select(Book.title, Author.name)
        .join(Author)
        .where((Author.id == 1) & (Book.editor == Author.id) & Book.price.is_null())
        .order_by(Book.price, Author.born.desc())
    )
    found = list(shapes.nodes_of(query))
    expected = [
        *(Book.title, Author.name),
        *(Book, Author, Book.author, Author.id),
        *(Book, Author, Author),
        *(Author.id, Book.editor, Author.id, Book.price),
        *(Book.price, Author.born),
    ]
    assert [*map(id, found)] == [*map(id, expected)]
    assert [*shapes.nodes_of(User.select(User.name))] == [User.name, User]


def test_a_query_is_made_of_what_a_query_inside_is_made_of() -> None:
    inner = Book.select(Book.author).from_(Review).where(Review.id == 1)
    query = Author.select(Author.id).where(Author.id << inner)
    expected = [
        *(Author.id, Author, Author.id),
        *(Book, Book.author, Review, Review.id),
    ]
    assert [*map(id, shapes.nodes_of(query))] == [*map(id, expected)]


@pytest.mark.parametrize(
    "column",
    [
        fn.MAX(Author.born).filter(Author.id > 1),
        fn.MAX(Author.born).order_by(Author.id),
        fn.MAX(Author.born).python_value(str),
        fn.MAX(Author.born).converter(str),
        fn.MAX(Author.born).converter(str).alias("most"),
        Author.born.cast("text"),
    ],
)
def test_a_column_with_more_to_it_is_known_by_itself_alone(column: Any) -> None:
    query = Author.select(column)
    one, _ = shape(query)
    other, _ = shape(Author.select(column.clone()))
    assert one != other
    assert [*map(id, shapes.nodes_of(query))] == [id(column), id(Author)]


def test_a_computed_column_is_made_of_what_it_computes_with() -> None:
    columns = (fn.MAX(Author.born), Author.name.alias("called"))
    query = Author.select(*columns).group_by(Author.id)
    expected = [Author.born, Author.name, Author, Author.id]
    assert [*map(id, shapes.nodes_of(query))] == [*map(id, expected)]
