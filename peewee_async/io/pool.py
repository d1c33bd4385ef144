"""The asyncio shell of a pool: futures, timers and tasks around `core.pool`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import peewee

from peewee_async.core import pool as policy
from peewee_async.core.boundary import Status
from peewee_async.io.errors import cannot_connect
from peewee_async.io.protocols import Connect, Connection

Waiter = asyncio.Future[Connection]


@dataclass(frozen=True)
class PoolOptions:
    """How many connections a pool has, and how long things may take, in seconds.

    A time limit of None is none. max_lifetime: the age from which a connection is
    replaced when it is idle. own_connections: whether a pool of one may open more, each
    for one stream or one detached block.
    """

    min_connections: int = 1
    max_connections: int = 1
    connect_timeout: float | None = 10.0
    acquire_timeout: float | None = 30.0
    query_timeout: float | None = None
    max_lifetime: float | None = None
    own_connections: bool = True


class Pool:
    """Connections of one event loop. Use them by `take` or `wait`, then `give_back`.

    target: where connections go, for error messages; it holds no password.
    learn: is shown every connection that was opened.
    secret: what no error message may repeat.
    """

    def __init__(
        self,
        connect: Connect,
        target: str,
        options: PoolOptions,
        learn: Callable[[Connection], None],
        secret: str = "",
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._connect = connect
        self._target = target
        self._learn = learn
        self._secret = secret
        self.options = options
        self._policy: policy.Pool[Connection, Waiter] = policy.Pool(
            options.min_connections, options.max_connections, options.max_lifetime
        )
        self._connections: set[Connection] = set()
        self._own: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._openings: set[asyncio.Task[None]] = set()
        self._guard: AsyncGenerator[None, None] | None = None
        self._process = os.getpid()

    @property
    def inherited(self) -> bool:
        """Whether the pool is that of a process that this one was forked from."""
        return self._process != os.getpid()

    @property
    def closed(self) -> bool:
        """Whether the pool was closed; it cannot be used again."""
        return self._policy.closed

    @property
    def connected(self) -> bool:
        """Whether there is any connection."""
        return bool(self._connections)

    def statistics(self) -> policy.Statistics:
        """Count the connections, and the callers that wait for one."""
        return self._policy.statistics()

    def take(self) -> Connection | None:
        """Give an idle connection at once, or None if there is none."""
        while True:
            connection = self._policy.take(self.loop.time())
            if connection is None or not connection.closed:
                return connection
            self._carry_out(self._policy.lost(connection))

    async def wait(self) -> Connection:
        """Wait for a connection.

        Raises peewee.OperationalError if none is free within `acquire_timeout`, or if
        the server cannot be reached.
        """
        await self._close_with_loop()
        waiter: Waiter = self.loop.create_future()
        self._carry_out(self._policy.wanted(waiter, self.loop.time()))
        timer = self._start_timer(waiter)
        try:
            connection = await waiter
        except asyncio.CancelledError:
            self._policy.withdrawn(waiter)
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                self.give_back(waiter.result())
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if connection.closed:
            self.give_back(connection)
            return await self.wait()
        return connection

    async def wait_for_own(self) -> Connection:
        """Give a connection to somebody who keeps it while others go on.

        If there is one connection for all, that is another one, for this use alone.
        """
        if self.options.max_connections > 1:
            return self.take() or await self.wait()
        if not self.options.own_connections:
            raise peewee.InterfaceError(
                f"There is one connection to {self._target}, and this needs another "
                "while that one is in use."
            )
        await self._close_with_loop()
        try:
            connection = await self._connected()
        except Exception as error:
            raise cannot_connect(self._target, error, self._secret) from error
        self._own.add(connection)
        return connection

    def _start_timer(self, waiter: Waiter) -> asyncio.TimerHandle | None:
        seconds = self.options.acquire_timeout
        if seconds is None or waiter.done():
            return None
        return self.loop.call_later(seconds, self._expire, waiter, seconds)

    def _expire(self, waiter: Waiter, seconds: float) -> None:
        self._carry_out(self._policy.expired(waiter, seconds))

    def give_back(self, connection: Connection) -> None:
        """Take a connection back; one that is closed or in a transaction is dropped."""
        if connection in self._own:
            self._own.remove(connection)
            self._close_connection(connection)
        elif connection.closed or connection.status is not Status.IDLE:
            self._carry_out(self._policy.lost(connection))
        else:
            now = self.loop.time()
            self._carry_out(self._policy.given_back(connection, now))

    async def warm(self, timeout: float | None = None) -> None:
        """Open the pool: connect at least once, to learn the server's version.

        timeout: seconds; the attempt goes on in the background when they are over.
        """
        try:
            async with asyncio.timeout(timeout):
                connection = self.take() or await self.wait()
        except TimeoutError as error:
            raise peewee.OperationalError(
                f"Not connected to {self._target} within {timeout:g} s (timeout)."
            ) from error
        self.give_back(connection)
        self._carry_out(self._policy.warm())

    async def close(self) -> None:
        """Close what is idle, and wait until that is done.

        Those who wait for a connection are refused; a connection in use is closed
        when it is given back.
        """
        self._carry_out(self._policy.close())
        guard, self._guard = self._guard, None
        if guard is not None:
            await guard.aclose()
        for task in self._openings:
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def forget(self) -> None:
        """Drop all connections without an await: the event loop may be closed."""
        if self.inherited:
            return
        for action in self._policy.close():
            if isinstance(action, policy.Refuse) and not self.loop.is_closed():
                _refuse(action.waiter, action.error)
        for connection in self._connections | self._own:
            connection.abort()
        self._connections.clear()
        if not self.loop.is_running():
            for task in self._tasks:
                _silence(task)

    def background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have something done that outlives its caller; `close` waits for it."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _carry_out(self, actions: list[policy.Action]) -> None:
        for action in actions:
            if isinstance(action, policy.HandOver):
                self._hand_over(action.waiter, action.connection)
            elif isinstance(action, policy.Refuse):
                _refuse(action.waiter, action.error)
            elif isinstance(action, policy.Open):
                task = self.background(self._open())
                self._openings.add(task)
                task.add_done_callback(self._openings.discard)
            elif isinstance(action, policy.Retry):
                self.loop.call_later(action.seconds, self._retry)
            else:
                self._close_connection(action.connection)

    def _retry(self) -> None:
        self._carry_out(self._policy.retry())

    def _hand_over(self, waiter: Waiter, connection: Connection) -> None:
        if waiter.done():
            # It was cancelled in this very turn of the loop.
            self.give_back(connection)
        else:
            waiter.set_result(connection)

    async def _open(self) -> None:
        try:
            connection = await self._connected()
        except Exception as error:
            self._failed(error)
        except BaseException:
            self._failed(ConnectionError("the attempt was cancelled"))
            raise
        else:
            self._connections.add(connection)
            self._carry_out(self._policy.opened(connection, self.loop.time()))

    def _failed(self, error: Exception) -> None:
        reason = cannot_connect(self._target, error, self._secret)
        self._carry_out(self._policy.failed(reason))

    async def _connected(self) -> Connection:
        limit = self.options.connect_timeout
        try:
            async with asyncio.timeout(limit):
                connection = await self._connect()
        except TimeoutError as error:
            text = f"no answer within {limit:g} s (connect_timeout)"
            raise peewee.OperationalError(text) from error
        try:
            self._learn(connection)
        except BaseException:
            connection.abort()
            raise
        return connection

    def _close_connection(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if connection.closed or connection.status is not Status.IDLE:
            connection.abort()
        else:
            self.background(_say_goodbye(connection))

    async def _close_with_loop(self) -> None:
        """Arrange for the pool to be closed before its event loop is.

        `asyncio.run` closes the asynchronous generators that are still open, while
        the loop still runs: that is the only notice a loop gives of its end.
        """
        if self._guard is None and not self.closed:
            self._guard = self._until_loop_ends()
            await anext(self._guard)

    async def _until_loop_ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            if not self.closed:
                self._guard = None
                await self.close()


def _silence(task: asyncio.Task[None]) -> None:
    """End a task whose event loop will not: it was stopped in the middle."""
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    work = task.get_coro()
    with suppress(Exception):
        if work is not None:
            work.close()


async def _say_goodbye(connection: Connection) -> None:
    try:
        async with asyncio.timeout(1.0):
            await connection.close()
    except Exception:
        connection.abort()
    except BaseException:
        connection.abort()
        raise


def _refuse(waiter: Waiter, error: peewee.PeeweeException) -> None:
    if waiter.done():
        return
    # One error for several waiters would gather the tracebacks of all of them.
    own = type(error)(*error.args)
    own.__cause__ = error.__cause__
    waiter.set_exception(own)
