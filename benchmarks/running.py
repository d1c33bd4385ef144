"""Rounds of repetitions on one backend, the competitors in turning order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from benchmarks.competing import DRIVER, environment
from benchmarks.data import Sum
from benchmarks.measures import QUICK_RETAKES, RETAKES, Repetition, rotated
from benchmarks.workers import NotDone, Worker, WorkerFailed, worker
from benchmarks.workloads import WORKLOADS, Workload


@dataclass(frozen=True)
class Task:
    """What is to be run: names of workloads and competitors, and how much."""

    workloads: tuple[str, ...]
    competitors: tuple[str, ...]
    rounds: int
    quick: bool
    people: int

    def size(self, work: Workload) -> int:
        return work.quick if self.quick else work.size

    @property
    def retakes(self) -> int:
        return QUICK_RETAKES if self.quick else RETAKES


@dataclass
class Outcome:
    """All repetitions on one backend; what is missing, with the reasons."""

    family: str
    server: str
    about: dict[str, str] = field(default_factory=dict)
    repetitions: dict[tuple[str, str], list[Repetition]] = field(default_factory=dict)
    missing: dict[tuple[str, str], str] = field(default_factory=dict)
    retaken: int = 0


class Course:
    """One backend: the workers, and the rounds that they run."""

    def __init__(self, task: Task, outcome: Outcome, place: dict[str, Any]) -> None:
        self.task = task
        self.outcome = outcome
        self.place = place
        self.workers: dict[str, Worker] = {}
        self.keeper: Worker

    async def run(self) -> None:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            for turn in range(self.task.rounds + 1):  # the first is for warming up
                await self.round(turn, counts=turn > 0)
            for one in (*self.workers.values(), self.keeper):
                with suppress(WorkerFailed, TimeoutError):  # it has said so on stderr
                    await one.tell("close")

    async def _start(self, stack: AsyncExitStack) -> None:
        # The keeper makes the tables and looks after them: nobody checks himself.
        self.keeper = await stack.enter_async_context(
            worker(DRIVER, environment(DRIVER))
        )
        await self._open(self.keeper)
        await self.keeper.tell("make", people=self.task.people)
        for name in self.task.competitors:
            where = environment(name)
            if where.reason is not None:
                self._drop(name, where.reason)
                continue
            one = await stack.enter_async_context(worker(name, where))
            try:
                self.outcome.about[name] = (await self._open(one))["about"]
            except (WorkerFailed, NotDone, TimeoutError) as reason:
                self._drop(name, str(reason) or "it gave no answer in time")
            else:
                self.workers[name] = one

    async def _open(self, one: Worker) -> dict[str, Any]:
        return await one.tell("open", family=self.outcome.family, place=self.place)

    async def round(self, turn: int, counts: bool) -> None:
        """Let every competitor do every workload once; counts: whether it is kept."""
        for name in self.task.workloads:
            for competitor in rotated(list(self.workers), turn):
                if (name, competitor) in self.outcome.missing:
                    continue
                await self._attempt(WORKLOADS[name], competitor, counts)

    async def _attempt(self, work: Workload, competitor: str, counts: bool) -> None:
        try:
            taken = await self._take(work, competitor, self.task.retakes * counts)
        except (WorkerFailed, NotDone) as reason:
            self._drop(competitor, str(reason), work.name)
        except TimeoutError:
            # Whatever it still answers would be taken for something else.
            self.workers.pop(competitor)
            self._drop(competitor, "it gave no answer in time")
        else:
            if counts:
                key = (work.name, competitor)
                self.outcome.repetitions.setdefault(key, []).append(taken)

    def _drop(self, competitor: str, reason: str, workload: str | None = None) -> None:
        """Take a competitor out, of all workloads if none is named."""
        for name in (workload,) if workload else self.task.workloads:
            self.outcome.repetitions.pop((name, competitor), None)
            self.outcome.missing.setdefault((name, competitor), reason)

    async def _take(self, work: Workload, competitor: str, retakes: int) -> Repetition:
        """Take a repetition, again if the machine was disturbed, but not for ever."""
        taken = await self._repetition(work, competitor)
        for _ in range(retakes):
            if taken.steady:
                break
            self.outcome.retaken += 1
            taken = await self._repetition(work, competitor)
        return taken

    async def _repetition(self, work: Workload, competitor: str) -> Repetition:
        size, people = self.task.size(work), self.task.people
        if work.result is None:
            await self.keeper.tell("reset", number=size if work.fill else 0)
        answer = await self.workers[competitor].tell(
            "run", workload=work.name, size=size, people=people
        )
        done = answer.pop("sum")
        if work.result is None:
            done = (await self.keeper.tell("audit"))["sum"]
        expected = work.expected(size, people)
        if Sum(**done) != expected:
            raise WorkerFailed(f"wrong result: {Sum(**done)} instead of {expected}")
        return Repetition(**answer)


def run(task: Task, outcome: Outcome, place: dict[str, Any]) -> None:
    """Run a task on a backend, and put what it gives in the outcome."""
    asyncio.run(Course(task, outcome, place).run())
