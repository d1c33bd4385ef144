"""The tables and rows that all competitors work on, and sums to check them by.

There are no dates: SQLite has none, so that its driver would give text and a model
would parse it, which says nothing of either.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

AUTHORS, BOOKS, REVIEWS = 200, 2_000, 6_000
JOINED = 5_000

Row = tuple[Any, ...]

COLUMNS = {
    "person": ("id", "name", "email", "age", "score", "active"),
    "author": ("id", "name", "age"),
    "book": ("id", "author_id", "title", "pages"),
    "review": ("id", "book_id", "text", "stars"),
    "entry": ("id", "name", "value", "note", "active"),
}

TABLES = {
    "person": "name VARCHAR(100) NOT NULL, email VARCHAR(100) NOT NULL,"
    " age INTEGER NOT NULL, score DOUBLE PRECISION NOT NULL, active BOOLEAN NOT NULL",
    "author": "name VARCHAR(100) NOT NULL, age INTEGER NOT NULL",
    "book": "author_id INTEGER NOT NULL, title VARCHAR(200) NOT NULL,"
    " pages INTEGER NOT NULL",
    "review": "book_id INTEGER NOT NULL, text VARCHAR(200) NOT NULL,"
    " stars INTEGER NOT NULL",
    "entry": "name VARCHAR(100) NOT NULL, value INTEGER NOT NULL, note TEXT NOT NULL,"
    " active BOOLEAN NOT NULL",
}

KEYS = {
    "postgres": "id SERIAL PRIMARY KEY",
    "mysql": "id INTEGER AUTO_INCREMENT PRIMARY KEY",
    "sqlite": "id INTEGER PRIMARY KEY",
}

INDEXES = {"book": "author_id", "review": "book_id"}


def definitions(family: str) -> Iterator[str]:
    """Give the statements that make the tables."""
    for table, columns in TABLES.items():
        yield f"CREATE TABLE {table} ({KEYS[family]}, {columns})"
    for table, column in INDEXES.items():
        yield f"CREATE INDEX {table}_{column} ON {table} ({column})"


def person(key: int) -> Row:
    email = f"person{key}@example.org"
    return (key, f"Person {key}", email, 18 + key % 60, key / 8, key % 3 == 0)


def author(key: int) -> Row:
    return (key, f"Author {key}", 20 + key % 70)


def book(key: int) -> Row:
    return (key, 1 + key % AUTHORS, f"The book of the number {key}", 100 + key % 400)


def review(key: int) -> Row:
    return (key, 1 + key % BOOKS, f"What is to be said of it, {key}", 1 + key % 5)


def entry(key: int) -> Row:
    return (key, f"Entry {key}", key * 7 % 1000, f"A note on entry {key}", key % 2 == 0)


def rows(people: int) -> Iterator[tuple[str, list[Row]]]:
    """Give each table's name with its rows; `entry` is filled when it is needed."""
    yield "person", [person(key) for key in range(1, people + 1)]
    yield "author", [author(key) for key in range(1, AUTHORS + 1)]
    yield "book", [book(key) for key in range(1, BOOKS + 1)]
    yield "review", [review(key) for key in range(1, REVIEWS + 1)]


def keys(number: int, people: int) -> list[int]:
    """Give some keys of people, all different, in no order."""
    return [1 + index * 37 % people for index in range(number)]


# Sums


@dataclass(frozen=True)
class Sum:
    """How many rows there are, and a checksum of their values in any order."""

    rows: int
    checksum: int


def sum_of(values: Iterable[Row]) -> Sum:
    """Sum rows up; a driver's 1 for True and a list for a tuple count as the same."""
    rows = sorted(map(tuple, values))
    # No text in the tables has these words.
    text = repr(rows).replace("True", "1").replace("False", "0")
    return Sum(len(rows), zlib.crc32(text.encode()))


def people_sum(some: Iterable[int]) -> Sum:
    return sum_of(person(key) for key in some)


def joined_sum() -> Sum:
    """Sum up reviews with their books: as `join` of the competitors gives them."""
    return sum_of((*review(key), *book(review(key)[1])) for key in range(1, JOINED + 1))


def tree_sum() -> Sum:
    """Sum up reviews with the book and the author that each was found under."""
    return sum_of(_branch(key) for key in range(1, REVIEWS + 1))


def _branch(key: int) -> Row:
    _, book_id, text, stars = review(key)
    _, author_id, title, pages = book(book_id)
    return (*author(author_id), book_id, title, pages, key, text, stars)


def tree(authors: list[Row], books: list[Row], reviews: list[Row]) -> Iterator[Row]:
    """Put rows of three queries together, in the form that `tree_sum` sums up."""
    by_author: Mapping[Any, Row] = {row[0]: row for row in authors}
    by_book: Mapping[Any, Row] = {row[0]: row for row in books}
    for key, book_id, text, stars in reviews:
        _, author_id, title, pages = by_book[book_id]
        yield (*by_author[author_id], book_id, title, pages, key, text, stars)


def entries_sum(number: int, change: int = 0) -> Sum:
    """Sum up the table `entry`, each value changed by so much."""
    return sum_of(changed(entry(key), change) for key in range(1, number + 1))


def changed(row: Row, change: int) -> Row:
    key, name, value, note, active = row
    return (key, name, value + change, note, active)


def facts_sum(some: Iterable[int]) -> Sum:
    """Sum up what `facts` of the competitors finds: count, scalar and exists."""
    ages = [author(key)[2] for key in range(1, AUTHORS + 1)]
    return sum_of(_facts(ages, fact_of(key)) for key in some)


def fact_of(key: int) -> tuple[int, int]:
    """Give the age and the author's key that a question is about."""
    return 30 + key % 50, 1 + key % (2 * AUTHORS)


def _facts(ages: list[int], question: tuple[int, int]) -> Row:
    age, key = question
    older = sum(1 for other in ages if other > age)
    return (older, max(other for other in ages if other < age), key <= AUTHORS)
