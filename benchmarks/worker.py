"""A competitor's process: it takes orders as lines of JSON and answers each with one.

It is run by the Python of the competitor's environment, as
`python -m benchmarks.worker NAME`.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from benchmarks import data
from benchmarks.competitors.base import Missing
from benchmarks.data import Sum
from benchmarks.workloads import WORKLOADS, Workload

Answer = dict[str, Any]


def calibrate() -> float:
    """Time a fixed piece of pure Python: how fast this machine is now, in seconds."""
    return min(_calibrate_once() for _ in range(3))


def _calibrate_once() -> float:
    begin = time.perf_counter()
    total, numbers = 0, {}
    for number in range(20_000):
        total += number * number % 7
        numbers[number % 100] = total
    return time.perf_counter() - begin


async def _given(competitor: Any, work: Workload, size: int, people: int) -> Any:
    """Make what the timed method gets."""
    makers: dict[str, Callable[[], Any]] = {
        "keys": lambda: data.keys(size, people),
        "questions": lambda: [data.fact_of(key) for key in data.keys(size, people)],
        "numbers": lambda: range(1, size + 1),
        "size": lambda: size,
        "rows": lambda: _new(competitor, size),
        "instances": lambda: [competitor.instance(v) for v in _new(competitor, size)],
    }
    if work.given == "loaded":
        return await competitor.load(size)
    return makers[work.given]()


def _new(competitor: Any, size: int) -> list[Any]:
    return [competitor.row(data.entry(key)) for key in range(1, size + 1)]


def _sum(competitor: Any, work: Workload, result: Any) -> Sum | None:
    if work.result is None:
        return None  # the harness looks at the table
    if work.result == "streamed":
        number, kept = result
        return Sum(number, data.sum_of(competitor.people(kept)).checksum)
    if work.result == "facts":
        return data.sum_of(result)
    return data.sum_of(getattr(competitor, work.result)(result))


class Worker:
    """The orders; each answers with a dictionary."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.competitor: Any = None

    async def open(self, family: str, place: dict[str, Any]) -> Answer:
        module = importlib.import_module(f"benchmarks.competitors.{self.name}")
        self.competitor = module.competitor(family, place)
        await self.competitor.open()
        return {"about": self.competitor.about}

    async def close(self) -> Answer:
        await self.competitor.close()
        return {}

    async def run(self, workload: str, size: int, people: int) -> Answer:
        """Do one repetition."""
        work = WORKLOADS[workload]
        method = self.competitor.method(work.method)
        given = await _given(self.competitor, work, size, people)
        await self.competitor.load(1)  # nothing of a long idle time is timed
        gc.collect()
        before = calibrate()
        cpu, wall = time.process_time(), time.perf_counter()
        result = await method(given)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        after = calibrate()
        done = _sum(self.competitor, work, result)
        times = {"wall": wall, "cpu": cpu, "before": before, "after": after}
        return {**times, "sum": done and asdict(done)}

    # Of the bare driver, for the harness

    async def make(self, people: int) -> Answer:
        await self.competitor.make(people)
        return {}

    async def reset(self, number: int) -> Answer:
        await self.competitor.reset(number)
        return {}

    async def audit(self) -> Answer:
        return {"sum": asdict(await self.competitor.audit())}

    async def answer(self, order: dict[str, Any]) -> Answer:
        try:
            method = getattr(self, order.pop("do"))
            answer: Answer = await method(**order)
        except Missing as reason:
            return {"missing": str(reason)}
        except Exception as error:
            traceback.print_exc()
            first, *_ = str(error).splitlines() or [""]  # the rest is on stderr
            return {"error": f"{type(error).__name__}: {first}"}
        return answer


async def main(name: str) -> None:
    # What a competitor prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(name)
    # Reading blocks the loop: a competitor does nothing while it is not its turn.
    for line in sys.stdin:
        print(json.dumps(await worker.answer(json.loads(line))), file=answers)
        answers.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
