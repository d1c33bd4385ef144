"""Rounds of the benchmarks: who is asked when, what is taken again, what is dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from benchmarks.data import Sum
from benchmarks.running import Course, Outcome, Task
from benchmarks.workers import NotDone, Worker, WorkerFailed
from benchmarks.workloads import WORKLOADS

PEOPLE = 10_000
RIGHT = {
    name: asdict(work.expected(work.quick, PEOPLE)) for name, work in WORKLOADS.items()
}
Answers = Callable[[str, dict[str, Any]], dict[str, Any]]


class FakeWorker(Worker):
    """Answers without a process; `orders` is what all fakes were told."""

    def __init__(self, name: str, orders: list[str], answers: Answers) -> None:
        self.name, self.orders, self.answers = name, orders, answers

    async def tell(self, order: str, **arguments: Any) -> dict[str, Any]:
        self.orders.append(
            f"{self.name} {order} {arguments.get('workload', '')}".strip()
        )
        return self.answers(order, arguments)


def timed(total: Any, after: float = 1.0) -> dict[str, Any]:
    return {"wall": 1.0, "cpu": 0.5, "before": 1.0, "after": after, "sum": total}


def well(_order: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return timed(RIGHT[arguments["workload"]])


def course(*workloads: str, quick: bool = False, **answers: Answers) -> Course:
    task = Task(workloads, tuple(answers), rounds=1, quick=quick, people=PEOPLE)
    made = Course(task, Outcome("sqlite", "no server"), {})
    orders: list[str] = []
    made.workers = {name: FakeWorker(name, orders, a) for name, a in answers.items()}
    return made


def orders_of(made: Course) -> list[str]:
    first = next(iter(made.workers.values()))
    assert isinstance(first, FakeWorker)
    return first.orders


async def test_another_one_begins_in_each_round() -> None:
    made = course("A", "J", quick=True, ours=well, driver=well)
    await made.round(0, counts=False)
    await made.round(1, counts=True)
    assert orders_of(made) == [
        *("ours run A", "driver run A", "ours run J", "driver run J"),
        *("driver run A", "ours run A", "driver run J", "ours run J"),
    ]


async def test_only_rounds_that_count_are_kept() -> None:
    made = course("A", quick=True, ours=well)
    await made.round(0, counts=False)
    assert not made.outcome.repetitions
    await made.round(1, counts=True)
    assert len(made.outcome.repetitions["A", "ours"]) == 1


async def test_a_disturbed_repetition_is_taken_again() -> None:
    after = iter([2.0, 1.0])

    def disturbed(_order: str, _arguments: dict[str, Any]) -> dict[str, Any]:
        return timed(RIGHT["A"], next(after))

    made = course("A", quick=True, ours=disturbed)
    await made.round(0, counts=True)
    assert [one.steady for one in made.outcome.repetitions["A", "ours"]] == [True]
    assert made.outcome.retaken == 1


async def test_it_is_not_taken_again_for_ever() -> None:
    def disturbed(_order: str, arguments: dict[str, Any]) -> dict[str, Any]:
        work = WORKLOADS["A"]
        return timed(asdict(work.expected(arguments["size"], PEOPLE)), 2.0)

    made = course("A", ours=disturbed)
    await made.round(0, counts=True)
    assert orders_of(made) == ["ours run A"] * 4
    assert [one.steady for one in made.outcome.repetitions["A", "ours"]] == [False]


async def test_nothing_is_taken_again_to_warm_up() -> None:
    made = course("A", quick=True, ours=lambda *_: timed(RIGHT["A"], 2.0))
    await made.round(0, counts=False)
    assert orders_of(made) == ["ours run A"]


async def test_who_did_nothing_is_found_out() -> None:
    made = course("A", quick=True, ours=lambda *_: timed(asdict(Sum(0, 0))))
    await made.round(0, counts=True)
    assert not made.outcome.repetitions
    assert made.outcome.missing["A", "ours"].startswith("wrong result: Sum(rows=0")


async def test_what_is_written_is_checked_by_the_keeper() -> None:
    written = {"sum": RIGHT["F"]}
    made = course("F", quick=True, ours=lambda *_: timed(None))
    keeper = FakeWorker("keeper", orders_of(made), lambda *_: dict(written))
    made.keeper = keeper
    await made.round(0, counts=True)
    assert keeper.orders == ["keeper reset", "ours run F", "keeper audit"]
    assert ("F", "ours") in made.outcome.repetitions
    written["sum"] = RIGHT["A"]
    await made.round(0, counts=True)
    assert ("F", "ours") in made.outcome.missing
    assert ("F", "ours") not in made.outcome.repetitions


async def test_what_fails_is_missing_with_the_reason_and_not_asked_again() -> None:
    def fails(_order: str, _arguments: dict[str, Any]) -> dict[str, Any]:
        raise WorkerFailed("ValueError: no")

    def cannot(_order: str, _arguments: dict[str, Any]) -> dict[str, Any]:
        raise NotDone("it has no such feature")

    made = course("A", quick=True, ours=fails, driver=cannot)
    await made.round(0, counts=True)
    await made.round(0, counts=True)
    assert orders_of(made) == ["ours run A", "driver run A"]
    assert made.outcome.missing == {
        ("A", "ours"): "ValueError: no",
        ("A", "driver"): "it has no such feature",
    }


async def test_who_gives_no_answer_is_out() -> None:
    def hangs(_order: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if arguments["workload"] == "J":
            raise TimeoutError
        return well(_order, arguments)

    made = course("A", "J", quick=True, ours=hangs, driver=well)
    await made.round(0, counts=True)
    assert list(made.workers) == ["driver"]
    assert set(made.outcome.missing) == {("A", "ours"), ("J", "ours")}
    assert set(made.outcome.repetitions) == {("A", "driver"), ("J", "driver")}
