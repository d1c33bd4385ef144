"""The tables of the benchmarks."""

from __future__ import annotations

import json

import pytest

from benchmarks.measures import Repetition
from benchmarks.report import aligned, as_json, lines
from benchmarks.running import Outcome, Task
from benchmarks.workloads import WORKLOADS

TASK = Task(
    workloads=("A", "B"),
    competitors=("ours", "driver", "sync_peewee"),
    rounds=2,
    quick=True,
    people=10_000,
)


def taken(wall: float, cpu: float) -> Repetition:
    """Make a repetition of A; times are microseconds for one unit."""
    units = WORKLOADS["A"].quick * 1e-6
    return Repetition(wall * units, cpu * units, before=1, after=1)


def outcome() -> Outcome:
    found = Outcome("postgres", "a server")
    found.about["ours"] = "peewee-async 1"
    found.repetitions = {
        ("A", "ours"): [taken(100, 50), taken(200, 50)],
        ("A", "driver"): [taken(100, 50), taken(100, 50)],
        ("A", "sync_peewee"): [taken(100, 100), taken(100, 100)],
    }
    found.missing = {
        ("B", "ours"): "too tired",
        ("B", "driver"): "too tired",
        ("B", "sync_peewee"): "it has no tasks",
    }
    return found


def test_columns_are_aligned() -> None:
    rows = iter([["name", "x", ""], ["a", "1.25", "10"]])
    assert list(aligned(rows)) == ["name     x", "a     1.25  10"]


def test_ratios_stand_beside_the_target() -> None:
    rows = [line.split("  ") for line in lines(outcome(), TASK)]
    row = next(row for row in rows if row[0].startswith("A get by key"))
    assert [cell.strip() for cell in row[1:] if cell] == [
        *("1.4", "1.50", "1.20", "1.00"),
        *("1.00", "2.00"),
    ]


def test_times_are_in_microseconds_for_one_unit() -> None:
    text = "\n".join(lines(outcome(), TASK))
    assert "A per get 120 150 50 100 100 50 100 100 100" in " ".join(text.split())


def test_nothing_is_dropped_in_silence() -> None:
    text = list(lines(outcome(), TASK))
    assert "missing: peewee_async on B: too tired" in text
    assert "missing: sync peewee on B: it has no tasks" in text


def test_the_verdict() -> None:
    text = list(lines(outcome(), TASK))
    assert "over target by the clock: A 1.50 > 1.4" in text
    assert "over target by CPU: none" in text
    assert "slower than sync peewee: A x1.50; by CPU: nowhere" in text


def test_json_has_everything() -> None:
    found = json.loads(json.dumps(as_json([outcome()], TASK)))
    backend = found["backends"]["postgres"]
    ours = backend["results"][0]
    assert ours["over_driver"] == pytest.approx({"median": 1.5, "low": 1.2, "cpu": 1})
    assert [one["wall"] for one in ours["repetitions"]] == [
        one.wall for one in outcome().repetitions["A", "ours"]
    ]
    assert len(backend["missing"]) == 3
    assert found["task"]["rounds"] == 2
