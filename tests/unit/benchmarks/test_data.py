"""The sums by which the benchmarks check what was done."""

from __future__ import annotations

import pytest

from benchmarks import data, sql
from benchmarks.targets import TARGETS
from benchmarks.workloads import WORKLOADS

PEOPLE = 10_000


def test_a_sum_does_not_depend_on_the_order_or_on_how_true_is_spelt() -> None:
    assert data.sum_of([(1, "a", True), (2, "b", False)]) == data.sum_of(
        [[2, "b", 0], (1, "a", 1)]  # type: ignore[list-item]
    )


@pytest.mark.parametrize(
    "rows", [[], [(1, "a")], [(1, "a"), (2, "c")], [(1, "a"), (2, "b"), (2, "b")]]
)
def test_a_sum_tells_other_rows_apart(rows: list[data.Row]) -> None:
    assert data.sum_of(rows) != data.sum_of([(1, "a"), (2, "b")])


def test_the_sum_of_nothing() -> None:
    assert data.sum_of([]).rows == 0


def test_keys_are_different_and_of_people() -> None:
    keys = data.keys(600, PEOPLE)
    assert len(set(keys)) == 600
    assert min(keys) >= 1
    assert max(keys) <= PEOPLE


def test_the_rows_of_three_queries_make_the_tree() -> None:
    tables = dict(data.rows(1))
    branches = data.tree(tables["author"], tables["book"], tables["review"])
    assert data.sum_of(branches) == data.tree_sum()


def test_facts_are_right() -> None:
    ages = [data.author(key)[2] for key in range(1, data.AUTHORS + 1)]
    age, key = data.fact_of(250)
    facts = (sum(other > age for other in ages), age - 1, key <= data.AUTHORS)
    assert data.facts_sum([250]) == data.sum_of([facts])


def test_entries_change() -> None:
    rows = [data.changed(data.entry(key), 1) for key in (1, 2)]
    assert rows[0][2] == data.entry(1)[2] + 1
    assert data.sum_of(rows) == data.entries_sum(2, 1) != data.entries_sum(2)


@pytest.mark.parametrize("name", WORKLOADS)
def test_each_workload_expects_rows(name: str) -> None:
    expected = WORKLOADS[name].expected(PEOPLE, PEOPLE)
    assert expected.rows >= 5_000
    assert expected.checksum


def test_targets_are_of_workloads() -> None:
    assert {name for targets in TARGETS.values() for name in targets} <= set(WORKLOADS)


def test_sql_is_spelt_as_each_driver_wants_it() -> None:
    values = '("name", "value", "note", "active") VALUES (%s, %s, %s, %s)'
    text = f'INSERT INTO "entry" {values}'
    assert sql.insert("postgres") == f'{text} RETURNING "entry"."id"'
    assert sql.insert("mysql") == text.replace('"', "`")
    assert sql.insert("sqlite") == text.replace("%s", "?")
    assert sql.insert("mysql", 2).count("(%s, %s, %s, %s)") == 2
