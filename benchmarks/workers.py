"""The worker processes, driven by lines of JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.competing import ROOT, Environment

ANSWER_LIMIT = 120.0  # seconds


class WorkerFailed(Exception):
    """A worker could not do what it was told; the text is its error."""


class NotDone(Exception):
    """A competitor lacks a feature; the text says what of it."""


class Worker:
    """One process; whoever holds it tells it one thing at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def tell(self, order: str, **arguments: Any) -> dict[str, Any]:
        """Send an order and wait for the answer.

        Raises NotDone, and WorkerFailed, also if there is no answer in time.
        """
        line = json.dumps({"do": order, **arguments}) + "\n"
        answer = await asyncio.wait_for(self._exchange(line), ANSWER_LIMIT)
        if "missing" in answer:
            raise NotDone(answer["missing"])
        if "error" in answer:
            raise WorkerFailed(answer["error"])
        return answer

    async def _exchange(self, line: str) -> dict[str, Any]:
        to, by = self._process.stdin, self._process.stdout
        if to is None or by is None:
            raise WorkerFailed("it has no pipes")
        try:
            to.write(line.encode())
            await to.drain()
        except ConnectionError:
            raise WorkerFailed("its process has ended") from None
        answer = await by.readline()
        if not answer:
            raise WorkerFailed("its process has ended")
        done: dict[str, Any] = json.loads(answer)
        return done


@asynccontextmanager
async def worker(module: str, environment: Environment) -> AsyncIterator[Worker]:
    """Start a worker, and end it afterwards."""
    process = await asyncio.create_subprocess_exec(
        environment.python,
        *("-m", "benchmarks.worker", module),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Worker(process)
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()  # it ends at the end of its input
    try:
        await asyncio.wait_for(process.wait(), 10)
    except TimeoutError:
        process.kill()
        await process.wait()
