"""Prefetch of every shape: the graphs of objects have to be the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee
import pytest
from peewee import JOIN

from tests.integration.differential.models import Matrix
from tests.integration.differential.sides import Sides, in_one_loop

pytestmark = in_one_loop

Graph = Callable[[Any], tuple[Any, ...]]


def of_an_alias(m: Matrix) -> tuple[Any, ...]:
    author = m.Author.alias("a")
    return author.select().order_by(author.id), m.Book.select().order_by(m.Book.id)


def by_target(m: Matrix) -> tuple[Any, ...]:
    books = m.Book.select().order_by(m.Book.id)
    return m.Author.select().order_by(m.Author.id), (books, m.Author)


def one_key_of_two(m: Matrix) -> tuple[Any, ...]:
    editors = m.Author.alias("e")
    joined = (
        m.Book.select(m.Book, editors)
        .join(editors, JOIN.LEFT_OUTER, on=m.Book.editor)
        .order_by(m.Book.id)
    )
    return joined, m.Review.select().order_by(m.Review.id)


def authors(m: Matrix) -> Any:
    return m.Author.select().order_by(m.Author.id)


def books(m: Matrix) -> Any:
    return m.Book.select().order_by(m.Book.id)


def reviews(m: Matrix) -> Any:
    return m.Review.select().order_by(m.Review.id)


GRAPHS: dict[str, Graph] = {
    "backrefs of two keys": lambda m: (authors(m), books(m)),
    "models": lambda m: (m.Review.select().order_by(m.Review.id), m.Book, m.Author),
    "three levels": lambda m: (authors(m), books(m), reviews(m)),
    "two branches": lambda m: (
        books(m),
        reviews(m),
        m.BookTag.select().order_by(m.BookTag.tag),
    ),
    "upwards": lambda m: (books(m), authors(m)),
    "up two levels": lambda m: (reviews(m), books(m), authors(m)),
    "up and down": lambda m: (books(m), authors(m), m.Nickname.select()),
    "conditions": lambda m: (
        authors(m).where(m.Author.alive),
        books(m).where(m.Book.price > 3),
        reviews(m).where(m.Review.text.is_null(False)),
    ),
    "a limit": lambda m: (authors(m).limit(2), books(m)),
    "orders": lambda m: (
        m.Author.select().order_by(m.Author.name.desc()),
        m.Book.select().order_by(m.Book.title.desc(), m.Book.id),
    ),
    "nothing found": lambda m: (authors(m).where(m.Author.id > 99), books(m)),
    "nothing below": lambda m: (authors(m), books(m).where(m.Book.id > 99)),
    "some columns": lambda m: (
        authors(m).select(m.Author.id, m.Author.name),
        books(m).select(m.Book.id, m.Book.author, m.Book.editor, m.Book.title),
    ),
    "key left out": lambda m: (authors(m), books(m).select(m.Book.title)),
    "a join below": lambda m: (
        authors(m),
        m.Book.select(m.Book, m.Author)
        .join(m.Author, on=m.Book.author)
        .order_by(m.Book.id),
    ),
    "one key of two joined": one_key_of_two,
    "self reference": lambda m: (
        m.Category.select().where(m.Category.parent.is_null()),
        m.Category.alias("c"),
    ),
    "composite key": lambda m: (
        m.Tag.select().order_by(m.Tag.label),
        m.BookTag.select().order_by(m.BookTag.book),
        books(m),
    ),
    "many to many": lambda m: (
        m.Club.select().order_by(m.Club.id),
        m.ClubBookThrough.select().order_by(m.ClubBookThrough.id),
        books(m),
    ),
    "key to a unique field": lambda m: (
        authors(m),
        m.Nickname.select().order_by(m.Nickname.id),
    ),
    "character keys": lambda m: (
        m.Country.select().order_by(m.Country.code),
        m.Passport.select(),
    ),
    "uuid keys": lambda m: (
        m.Token.select(),
        m.Packed.select().order_by(m.Packed.id),
    ),
    "inheritance": lambda m: (
        m.Vehicle.select().order_by(m.Vehicle.id),
        m.Truck.select().order_by(m.Truck.id),
    ),
    "strange names": lambda m: (
        m.Strange.select().where(m.Strange.parent.is_null()),
        m.Strange.alias("k"),
    ),
    "of an alias": of_an_alias,
    "by target": by_target,
    "no subquery": lambda m: (authors(m),),
    "not related": lambda m: (authors(m), m.Tag.select()),
    "dicts below": lambda m: (authors(m), books(m).dicts()),
}
WRONG = {"key left out", "not related", "dicts below"}


@pytest.mark.parametrize(
    "prefetch_type", [peewee.PREFETCH_TYPE.WHERE, peewee.PREFETCH_TYPE.JOIN]
)
@pytest.mark.parametrize("name", GRAPHS)
async def test_graph(sides: Sides, name: str, prefetch_type: int) -> None:
    async def case(do: Any, m: Matrix) -> Any:
        return await do.prefetch(*GRAPHS[name](m), prefetch_type=prefetch_type)

    kind, *answer = await sides.compare(case)
    if name not in WRONG:
        assert kind == "gives", answer


@pytest.mark.parametrize("name", ["nothing", 7, None])
async def test_no_such_type(sides: Sides, name: Any) -> None:
    async def case(do: Any, m: Matrix) -> Any:
        try:
            return await do.prefetch(authors(m), books(m), prefetch_type=name)
        except ValueError as error:
            return type(error)  # each has words of its own

    await sides.compare(case)


Load: Any = getattr(peewee, "Load", None)

RELATED: dict[str, Callable[[Any], Any]] = {
    "a backref": lambda m: authors(m).with_related(m.Author.books),
    "two": lambda m: authors(m).with_related(m.Author.books, m.Author.edited),
    "a key": lambda m: books(m).with_related(m.Book.author, m.Book.editor),
    "three levels": lambda m: authors(m).with_related(
        Load(m.Author.books).then(m.Book.reviews)
    ),
    "a query": lambda m: authors(m).with_related(
        Load(m.Author.books, m.Book.select().order_by(m.Book.title, m.Book.id))
    ),
    "per parent": lambda m: authors(m).with_related(Load(m.Author.books, per_parent=1)),
    "materialized": lambda m: authors(m).with_related(
        Load(m.Author.books, strategy=peewee.PREFETCH_TYPE.MATERIALIZE)
    ),
    "joined": lambda m: authors(m).with_related(
        Load(m.Author.books, strategy=peewee.PREFETCH_TYPE.JOIN)
    ),
    "self": lambda m: (
        m.Category.select().order_by(m.Category.id).with_related(m.Category.children)
    ),
    "dicts": lambda m: authors(m).with_related(m.Author.books).dicts(),
}


@pytest.mark.parametrize("name", RELATED if Load else [])
async def test_with_related(sides: Sides, name: str) -> None:
    for verb in ("execute", "get", "first"):

        async def case(do: Any, m: Matrix, verb: str = verb) -> Any:
            return await getattr(do, verb)(RELATED[name](m))

        kind, *answer = await sides.compare(case)
        assert kind == "gives", answer
