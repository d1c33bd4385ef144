"""What every competitor has: the methods that are timed, and those that check them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, ClassVar

from benchmarks.data import COLUMNS, Row
from benchmarks.workloads import KEPT

TASKS, POOL = 32, 10
BULK = 1000  # rows of one INSERT
PORTION = 1000  # rows of one FETCH of a stream

Values = dict[str, Any]

_person = attrgetter(*COLUMNS["person"])
_author = attrgetter(*COLUMNS["author"])
_book = attrgetter(*COLUMNS["book"])
_review = attrgetter(*COLUMNS["review"])


class Missing(Exception):
    """A competitor cannot do a workload; the text says why."""


class Competitor:
    """One competitor with models, on one database.

    It has a method for each workload in `benchmarks.workloads`, which takes what
    `prepared` makes and gives what `values` makes rows of. A workload that it has no
    method for is missing; `lacks` says why.
    """

    lacks: ClassVar[dict[str, str]] = {}
    about = ""

    def __init__(self, family: str, place: dict[str, Any]) -> None:
        """Know the place: host, port, user, password, database; or only database."""
        self.family = family
        self.place = place

    async def open(self) -> None:
        """Connect, and set `about` to the drivers' names and versions."""
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    def method(self, name: str) -> Callable[[Any], Awaitable[Any]]:
        method: Callable[[Any], Awaitable[Any]] | None = getattr(self, name, None)
        if method is None or name in self.lacks:
            raise Missing(self.lacks.get(name, "it has no such feature"))
        return method

    # What a timed method gets

    def row(self, row: Row) -> Any:
        """Make of a row of `entry` what `create` takes."""
        return dict(zip(COLUMNS["entry"][1:], row[1:], strict=True))

    def instance(self, values: Values) -> Any:
        """Make what `bulk` takes many of."""
        raise NotImplementedError

    async def load(self, number: int) -> list[Any]:
        """Load the first entries, for `update`."""
        raise NotImplementedError

    # What it gave, as rows

    def people(self, result: Iterable[Any]) -> Iterator[Row]:
        return map(_person, result)

    def joined(self, result: Iterable[Any]) -> Iterator[Row]:
        for review in result:
            yield (*_review(review), *_book(review.book))

    def tree(self, result: Iterable[Any]) -> Iterator[Row]:
        for author in result:
            for book in author.books:
                for review in book.reviews:
                    yield (
                        *_author(author),
                        *(book.id, book.title, book.pages),
                        *(review.id, review.text, review.stars),
                    )


async def in_tasks(
    keys: list[int], get_some: Callable[[list[int]], Awaitable[list[Any]]]
) -> list[Any]:
    """Share keys out among the tasks."""
    parts = await asyncio.gather(*(get_some(keys[i::TASKS]) for i in range(TASKS)))
    return [found for part in parts for found in part]


async def streamed(rows: Any) -> tuple[int, list[Any]]:
    """Go through a stream: count the rows, and keep every hundredth."""
    number, kept = 0, []
    async for row in rows:
        number += 1
        if number % KEPT == 0:
            kept.append(row)
    return number, kept
