"""A competitor's process, without the process and with a competitor that is made up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest

from benchmarks import data
from benchmarks.competitors.base import Competitor, in_tasks, streamed
from benchmarks.data import Row
from benchmarks.worker import Worker
from benchmarks.workloads import KEPT, WORKLOADS

PEOPLE = 1_000
SIZES = {"A": 20, "C": 30, "F": 10, "G": 10, "H": 10, "J": 40, "K": PEOPLE}


class Perfect(Competitor):
    """Knows the tables by heart; `entries` is what it has written."""

    def __init__(self) -> None:
        super().__init__("sqlite", {})
        self.entries: list[Row] = []

    def row(self, row: Row) -> Row:
        return row

    def instance(self, values: Any) -> Any:
        return values

    async def load(self, number: int) -> list[Row]:
        return [data.entry(key) for key in range(1, number + 1)]

    def people(self, result: Any) -> Iterator[Row]:
        return iter(result)

    async def get_held(self, keys: list[int]) -> list[Row]:
        return [data.person(key) for key in keys]

    async def select(self, size: int) -> list[Row]:
        return await self.get_held([*range(1, size + 1)])

    async def create(self, rows: list[Row]) -> None:
        self.entries = rows

    async def bulk(self, rows: list[Row]) -> None:
        self.entries = rows

    async def update(self, rows: list[Row]) -> None:
        self.entries = [data.changed(row, 1) for row in rows]

    async def facts(self, questions: list[tuple[int, int]]) -> list[Row]:
        ages = [data.author(key)[2] for key in range(1, data.AUTHORS + 1)]
        return [
            (sum(other > age for other in ages), age - 1, key <= data.AUTHORS)
            for age, key in questions
        ]

    async def stream(self, _size: int) -> Any:
        async def rows() -> Any:
            for key in range(1, PEOPLE + 1):
                yield data.person(key)

        return await streamed(rows())


def worker() -> Worker:
    made = Worker("perfect")
    made.competitor = Perfect()
    return made


@pytest.mark.parametrize(("name", "size"), SIZES.items())
async def test_a_repetition(name: str, size: int) -> None:
    work, one = WORKLOADS[name], worker()
    order = {"do": "run", "workload": name, "size": size, "people": PEOPLE}
    answer = await one.answer(order)
    total = answer.pop("sum")
    if total is None:
        total = asdict(data.sum_of(one.competitor.entries))
    assert total == asdict(work.expected(size, PEOPLE))
    assert set(answer) == {"wall", "cpu", "before", "after"}
    assert all(time >= 0 for time in answer.values())


async def test_what_a_competitor_cannot_do() -> None:
    order = {"do": "run", "workload": "E", "size": 1, "people": PEOPLE}
    assert await worker().answer(order) == {"missing": "it has no such feature"}


async def test_an_error_is_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    answer = await worker().answer({"do": "open", "family": "x", "place": {}})
    assert answer["error"].startswith("ModuleNotFoundError")
    assert "Traceback" in capsys.readouterr().err


async def test_keys_are_shared_out_among_the_tasks() -> None:
    calls = []

    async def get_some(keys: list[int]) -> list[int]:
        calls.append(len(keys))
        return keys

    found = await in_tasks([*range(100)], get_some)
    assert sorted(found) == [*range(100)]
    assert (len(calls), max(calls)) == (32, 4)


async def test_of_a_stream_some_rows_are_kept() -> None:
    number, kept = await Perfect().stream(PEOPLE)
    assert number == PEOPLE
    assert [row[0] for row in kept] == [*range(KEPT, PEOPLE + 1, KEPT)]
