"""The tasks and timers of a pool, which outlive whoever started them."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any

Task = asyncio.Task[None]


class Background:
    """What goes on in an event loop on behalf of a pool."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: set[Task] = set()
        self._arrivals: set[Task] = set()
        self._closers: set[asyncio.Task[Any] | None] = set()
        self._timers: dict[Callable[[Any], None], asyncio.TimerHandle] = {}

    @property
    def busy(self) -> bool:
        """Whether any task is under way."""
        return bool(self._tasks)

    def start(self, work: Coroutine[Any, Any, None]) -> Task:
        """Start a task; `wait` waits for it."""
        # That of a caller would keep the blocks alive that it is in, and one for all
        # tasks those that one of them is in.
        task = self._loop.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def start_arrival(
        self, work: Coroutine[Any, Any, None], when_cancelled: Callable[[], None]
    ) -> None:
        """Start a task that brings a connection, which `stop` cancels.

        when_cancelled: is called if the task is, even before it has begun.
        """

        def note_end(task: Task) -> None:
            self._arrivals.discard(task)
            if task.cancelled():
                when_cancelled()

        task = self.start(work)
        self._arrivals.add(task)
        task.add_done_callback(note_end)

    def call_later(
        self, seconds: float, method: Callable[[Any], None], it: Any
    ) -> None:
        """Call a method of an object once, instead of its last call if that is due.

        The object can be collected meanwhile; it is not called then.
        """
        reference = weakref.ref(it)
        timer = self._loop.call_later(
            seconds, _call, method, reference, context=Context()
        )
        self._timers[method] = timer

    def stop(self) -> None:
        """Cancel timers and arrivals; what else is under way goes on to its end."""
        self.stop_timers()
        for task in self._arrivals:
            task.cancel()

    def stop_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def wait(self, limit: float | None) -> int:
        """Wait for all tasks, those that are started meanwhile included.

        One of them may do that itself, and is not waited for.

        limit: the seconds after which those that are left are cancelled; None for
            never. Their number comes back.
        """
        own = asyncio.current_task()
        self._closers.add(own)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    while others := self._tasks - self._closers:
                        await asyncio.wait(others)
            left = self._tasks - self._closers
            for task in left:
                task.cancel()
            return len(left)
        finally:
            self._closers.remove(own)

    def silence(self) -> None:
        """End the tasks of an event loop that was stopped in the middle of them."""
        for task in self._tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            work = task.get_coro()
            with suppress(Exception):
                if work is not None:
                    work.close()


def _call(method: Callable[[Any], None], reference: weakref.ref[Any]) -> None:
    it = reference()
    if it is not None:
        method(it)
