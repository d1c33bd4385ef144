"""For every kind of row there is a function that gives what peewee's wrapper gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from peewee import SQL, fn

from peewee_async.core.row_shapes import Unfit
from tests.unit.library import AUTHORS, SHAPES, Author, Book, library
from tests.unit.rows import by_wrapper, reply, same, source

# What only the wrapper can read: a join that becomes a dict.
UNFIT = {"cte"}


@pytest.fixture(scope="module", autouse=True)
def shelves() -> Iterator[None]:
    with library():
        yield


def rows_of(query: Any) -> tuple[list[tuple[Any, ...]], list[str]]:
    cursor = query._database.execute(query)
    rows = cursor.fetchall()
    return rows, [column[0] for column in cursor.description]


@pytest.mark.parametrize("shape", SHAPES.keys() - UNFIT - {"noop"})
def test_rows_are_what_peewee_makes_of_them(shape: str) -> None:
    rows, columns = rows_of(SHAPES[shape]())
    same(SHAPES[shape](), *rows, columns=columns)


class Special(Author):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.greeting = f"Hello {self.__data__.get('name')}"


KINDS: dict[str, Callable[[Any], Any]] = {
    "dicts": lambda query: query.dicts(),
    "tuples": lambda query: query.tuples(),
    "named tuples": lambda query: query.namedtuples(),
    "objects": lambda query: query.objects(SimpleNamespace),
    "models as objects": lambda query: query.objects(Author),
    "special models": lambda query: query.objects(Special),
    "models": lambda query: query,
}
QUERIES: dict[str, Callable[[], Any]] = {
    "converted last": lambda: Author.select(
        SQL("1").alias("one"), Author.name, SQL("2").alias("two"), Author.alive
    ),
    "names that meet": lambda: Author.select(
        Author.name, Author.name, Author.name.alias("name_2"), Author.id
    ),
    "no names at all": lambda: Author.select(
        fn.COUNT(Author.id), fn.COUNT(Author.id), SQL("1"), SQL("'a b'")
    ),
    "joined": lambda: Author.select(Author.name, Book.id).join(Book, on=Book.author),
    "raw": lambda: Author.raw("SELECT 1"),
    "alias": lambda: Author.alias().select(),
}
COLUMNS = {
    "converted last": ("one", "name", "two", "alive"),
    "names that meet": ("name", "name", "name_2", "id"),
    "no names at all": ('COUNT("t1"."id")', 'COUNT("t1"."id")', "1", "'a b'"),
    "joined": ("name", "id"),
    "raw": ("id", "t.name", "x", "x"),
    "alias": ("id", "name", "born", "alive"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", QUERIES)
def test_every_kind_of_row_of_every_kind_of_query(name: str, kind: str) -> None:
    query = KINDS[kind](QUERIES[name]())
    width = len(COLUMNS[name])
    same(query, (1,) * width, (None,) * width, columns=COLUMNS[name])


@pytest.mark.parametrize("kind", ["dicts", "tuples", "named tuples", "objects"])
def test_every_kind_of_row_of_a_table(kind: str) -> None:
    query = KINDS[kind](AUTHORS.select())
    same(query, (1, "a"), (None, None), columns=("id", "max(x.name)"))


def test_what_becomes_a_dict_is_left_to_peewee() -> None:
    with pytest.raises(Unfit):
        source(KINDS["tuples"](Author.select()), ())


@pytest.mark.parametrize("name", ["self", "__no_default__"])
def test_columns_that_no_model_can_be_called_with(name: str) -> None:
    query = Author.select(Author.name.alias(name))
    with pytest.raises(TypeError, match="multiple values"):
        by_wrapper(query, reply(("ada",), columns=[name]))
    with pytest.raises(Unfit):
        source(query, [name])


def test_no_rows_are_no_objects() -> None:
    assert same(Author.select(), columns=COLUMNS["alias"]) == []
    assert reply(columns=()).rows == ()
