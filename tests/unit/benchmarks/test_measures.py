"""The figures of the benchmarks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measures import Repetition, figures, quantile, rotated

TIMES = st.lists(st.floats(1e-6, 10), min_size=1)


def repetition(wall: float, before: float = 1.0, after: float = 1.0) -> Repetition:
    return Repetition(wall=wall, cpu=wall / 2, before=before, after=after)


def test_a_quantile_is_between_its_neighbours() -> None:
    assert quantile([4, 1, 3, 2], 0.5) == 2.5
    assert quantile([5, 1, 2, 4, 3, 6], 0.2) == 2
    assert quantile([7], 0.2) == 7


@given(TIMES)
def test_quantiles_are_in_order(times: list[float]) -> None:
    parts = [quantile(times, part) for part in (0, 0.2, 0.5, 1)]
    assert parts == sorted(parts)
    assert (parts[0], parts[-1]) == (min(times), max(times))


@pytest.mark.parametrize(
    ("before", "after", "steady"),
    [
        (1.0, 1.0, True),
        (1.0, 1.09, True),
        (1.09, 1.0, True),
        (1.0, 1.11, False),
        (1.11, 1.0, False),
    ],
)
def test_a_repetition_is_steady_if_the_speed_was_the_same(
    before: float, after: float, steady: bool
) -> None:
    assert repetition(1, before, after).steady is steady


def test_figures_are_for_one_unit() -> None:
    found = figures([repetition(wall) for wall in (10, 30, 20)], units=10)
    assert (found.median, found.cpu, found.number) == (2, 1, 3)
    assert found.low == pytest.approx(1.4)


def test_figures_count_what_was_disturbed() -> None:
    found = figures([repetition(1), repetition(1, after=2)], units=1)
    assert (found.number, found.unsteady) == (2, 1)


def test_another_one_begins_in_each_round() -> None:
    rounds = [rotated("abc", turn) for turn in range(4)]
    assert ["".join(one) for one in rounds] == ["abc", "bca", "cab", "abc"]
    assert rotated([], 3) == []
