"""Errors: the class, the text and the driver's error below are those of sync."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import peewee
import pytest

from tests.integration.differential.models import Matrix
from tests.integration.differential.sides import Sides, in_one_loop

pytestmark = in_one_loop

Call = Callable[[Any, Any], Any]


class Odd:
    """What no driver knows."""

    def __repr__(self) -> str:
        return "odd"


# What sync peewee has of its own is in none of the drivers.
DATABASE_ERRORS: dict[str, Call] = {
    "no such table": lambda do, m: do.execute(missing(m).select()),
    "no such table, insert": lambda do, m: do.create(missing(m), name="a"),
    "no such column": lambda do, m: do.execute(m.Author.select(peewee.SQL("nothing"))),
    "syntax": lambda do, m: do.execute(m.Author.raw("SELEC 1")),
    "syntax of SQL": lambda do, m: do.execute_sql("SELECT FROM WHERE"),
    "no such function": lambda do, m: do.execute(
        m.Author.select(peewee.fn.NO_SUCH_FUNCTION(1))
    ),
    "unique": lambda do, m: do.create(m.Author, name="ada"),
    "unique, many": lambda do, m: do.execute(
        m.Author.insert_many([{"name": "fay"}, {"name": "ada"}])
    ),
    "unique, two columns": lambda do, m: do.create(m.Slot, room=1, hour=8),
    "unique, update": lambda do, m: do.execute(m.Author.update(name="same")),
    "primary key": lambda do, m: do.create(m.Tag, label="old"),
    "primary key, composite": lambda do, m: do.create(m.Shelf, room="attic", number=1),
    "foreign key": lambda do, m: do.create(m.Book, author=99, title="nobody's"),
    "foreign key, delete": lambda do, m: do.execute(m.Author.delete()),
    "not null": lambda do, m: do.create(m.Author, name=None),
    "check": lambda do, m: do.create(m.Slot, room=5, hour=5, seats=0),
    "too many columns": lambda do, m: do.execute(
        m.Author.select(m.Author.name) | m.Author.select(m.Author.name, m.Author.born)
    ),
}
# Of these a backend may know nothing: an answer will do, if it is the same.
PERHAPS: dict[str, Call] = {
    "not a number": lambda do, m: do.execute(
        m.Review.update(stars=peewee.Value("an apple", converter=False))
    ),
    "not a number, asked for": lambda do, m: do.execute(
        m.Author.select().where(m.Author.id == peewee.Value("x", converter=False))
    ),
    "not a date": lambda do, m: do.create(m.Author, name="fay", born="yesterday"),
    "too long": lambda do, m: do.create(m.Country, code="abc"),
    "division by zero": lambda do, m: do.execute(
        m.Author.select(peewee.SQL("1 / 0")).limit(1)
    ),
    "too large": lambda do, m: do.create(m.Review, book=1, stars=2**31),
    "larger still": lambda do, m: do.create(m.Review, book=1, stars=2**63),
    "a decimal too large": lambda do, m: do.create(
        m.Book, author=1, title="dear", price=10**12
    ),
    "an object": lambda do, m: do.execute(
        m.Author.select(peewee.Value(Odd()).alias("odd"))
    ),
    "a dict": lambda do, m: do.execute(m.Author.select(peewee.Value({}).alias("odd"))),
    "NUL in text": lambda do, m: do.create(m.Tag, label="nul\0nul"),
    "half a character": lambda do, m: do.create(m.Tag, label="\ud800"),
    "a date out of range": lambda do, m: do.create(
        m.Author, name="fay", born=datetime.date(1, 1, 1)
    ),
    "ambiguous column": lambda do, m: do.execute(
        m.Book.select(peewee.SQL("id")).join(m.Author, on=m.Book.author)
    ),
    "too few parameters": lambda do, m: do.execute_sql(marked(m, 2), (1,)),
    "too many parameters": lambda do, m: do.execute_sql(marked(m, 1), (1, 2)),
    "no parameters": lambda do, m: do.execute_sql(marked(m, 1)),
    "a percent sign": lambda do, m: do.execute_sql("SELECT '100%'"),
    "a percent sign, and parameters": lambda do, m: do.execute_sql(
        f"SELECT '100%' WHERE 1 = {mark(m)}", (1,)
    ),
    "two statements": lambda do, m: do.execute_sql("SELECT 1; SELECT 2"),
    "no such field": lambda do, m: do.create(m.Author, nothing=1, name="fay"),
    "not a mood": lambda do, m: do.create(m.Draft, mood=7),
    "no key to delete by": lambda do, m: do.delete_instance(m.Line(text="x")),
    "not a uuid": lambda do, m: do.create(m.Token, id="not a uuid"),
    "stars that are no number": lambda do, m: do.create(m.Review, book=1, stars="many"),
    "not a decimal": lambda do, m: do.create(m.Book, author=1, title="t", price="dear"),
    "a list": lambda do, m: do.execute(
        m.Author.select().where(m.Author.name == ["ada"])
    ),
}
# What never comes to the database.
OTHER: dict[str, Call] = {
    "does not exist": lambda do, m: do.get(m.Author, name="zoe"),
    "does not exist, by expression": lambda do, m: do.get(
        m.Author, m.Author.name == "zoe"
    ),
    "does not exist, query": lambda do, m: do.get(m.Author.select().where(False)),
    "no such keyword": lambda do, m: do.get(m.Author, nothing=1),
    "not an address": lambda do, m: do.create(m.Everything, ip="somewhere"),
    "nothing to save": lambda do, m: do.save(m.Tag(label="old")),
}
MODELS = ("Author", "Slot", "Tag", "Shelf", "Country", "Draft", "Line", "Token")


def missing(m: Matrix) -> Any:
    """Make a model that has no table."""

    class Missing(m.Author.__base__):  # type: ignore[misc, name-defined]
        name = peewee.CharField()

        class Meta:
            database = m.database or m.Everything._meta.database

    return Missing


def mark(m: Matrix) -> str:
    return "?" if m.family == "sqlite" else "%s"


def marked(m: Matrix, number: int) -> str:
    return "SELECT " + ", ".join([mark(m)] * number)


@pytest.mark.parametrize("name", DATABASE_ERRORS)
async def test_error_of_the_database(sides: Sides, name: str) -> None:
    kind, error, _, driver, *_ = await sides.compare_writing(
        DATABASE_ERRORS[name], *MODELS
    )
    assert kind == "raises"
    assert issubclass(getattr(peewee, error), peewee.DatabaseError)
    assert issubclass(driver, Exception)


@pytest.mark.parametrize("name", PERHAPS)
async def test_error_of_some_databases(sides: Sides, name: str) -> None:
    await sides.compare_writing(PERHAPS[name], *MODELS)


@pytest.mark.parametrize("name", OTHER)
async def test_other_error(sides: Sides, name: str) -> None:
    kind, _, _, driver, *_ = await sides.compare_writing(OTHER[name], *MODELS)
    assert kind == "raises"
    assert driver is type(None)


async def test_a_connection_is_good_after_each_error(sides: Sides) -> None:
    async def case(do: Any, m: Matrix) -> Any:
        answers: list[Any] = []
        for call in (*DATABASE_ERRORS.values(), *PERHAPS.values()):
            try:
                await call(do, m)
            except Exception as error:
                answers.append(type(error))
            answers.append(await do.scalar(m.Tag.select(peewee.fn.MIN(m.Tag.label))))
        return answers

    await sides.compare_writing(case, *MODELS)
