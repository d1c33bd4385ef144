"""Cancels a task at a chosen one of its awaits."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Generator
from typing import Any

LASTING = sys.maxsize


class Cancelling:
    """Work whose task is cancelled when it waits for the nth time, and so many more.

    `await` gives whether it was cancelled before it came to its end.
    """

    def __init__(self, work: Coroutine[Any, Any, Any], at: int, times: int) -> None:
        self._work = work
        self._at = at
        self._times = times

    async def run(self) -> bool:
        """Give the same, as a coroutine for a task."""
        return await self

    def __await__(self) -> Generator[Any, Any, bool]:
        task = asyncio.current_task()
        assert task is not None
        waits, answer, error = 0, None, None
        while True:
            try:
                if error is not None:
                    waited_for = self._work.throw(error)
                else:
                    waited_for = self._work.send(answer)
            except StopIteration:
                return False
            except asyncio.CancelledError:
                return True
            if self._at <= waits < self._at + self._times:
                task.cancel()
            waits += 1
            answer = error = None
            try:
                answer = yield waited_for
            except BaseException as interruption:
                error = interruption


async def cancelled(work: Coroutine[Any, Any, Any], at: int, times: int) -> bool:
    """Do work in a task of its own that is cancelled; False if it was done before."""

    return await asyncio.create_task(Cancelling(work, at, times).run())
