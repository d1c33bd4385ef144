"""Figures of repetitions: quantiles, ratios, and whether one has to be taken again."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

LOW = 0.2
STEADY = 0.1  # a machine whose speed changed by more was disturbed
RETAKES, QUICK_RETAKES = 3, 1  # at most, of one repetition

T = TypeVar("T")


@dataclass(frozen=True)
class Repetition:
    """One timed run of a workload; times in seconds.

    wall, cpu: by the clock, and of the process with all its threads. before, after:
    what a fixed piece of pure Python took, for the machine's speed.
    """

    wall: float
    cpu: float
    before: float
    after: float

    @property
    def steady(self) -> bool:
        """Whether the machine was about as fast afterwards as before."""
        slow, fast = max(self.before, self.after), min(self.before, self.after)
        return slow <= fast * (1 + STEADY)


@dataclass(frozen=True)
class Figures:
    """What many repetitions come to, in seconds for one unit."""

    low: float
    median: float
    cpu: float
    number: int
    unsteady: int


def quantile(values: Sequence[float], part: float) -> float:
    """Give the value below which a part of the values is, between neighbours."""
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    below, above = math.floor(place), math.ceil(place)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def figures(repetitions: Sequence[Repetition], units: int) -> Figures:
    walls = [repetition.wall / units for repetition in repetitions]
    return Figures(
        low=quantile(walls, LOW),
        median=quantile(walls, 0.5),
        cpu=quantile([repetition.cpu / units for repetition in repetitions], 0.5),
        number=len(repetitions),
        unsteady=sum(not repetition.steady for repetition in repetitions),
    )


def rotated(things: Sequence[T], turns: int) -> list[T]:
    """Let another one begin in each round."""
    start = turns % len(things) if things else 0
    return [*things[start:], *things[:start]]
