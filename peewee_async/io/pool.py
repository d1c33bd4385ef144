"""The asyncio shell of a pool: futures, timers and tasks around `core.pool`."""

from __future__ import annotations

import asyncio
import logging
import os
import weakref
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import peewee

from peewee_async.core import pool as policy
from peewee_async.core.boundary import Status
from peewee_async.core.redaction import Redaction
from peewee_async.io.abandoned import Abandoned, EndSession
from peewee_async.io.background import Background
from peewee_async.io.connecting import answers, open_connection, say_goodbye
from peewee_async.io.errors import NOTHING_SECRET, cannot_connect
from peewee_async.io.protocols import Connect, Connection

Waiter = asyncio.Future[Connection]

# The seconds between two looks at what is idle, and how long the end of an event loop
# waits for connections in use: its tasks were cancelled before.
TICK, LAST_MOMENT = 1.0, 1.0

logger = logging.getLogger("peewee.async")


@dataclass(frozen=True)
class PoolOptions:
    """How many connections a pool has, and how long things may take, in seconds.

    A time limit of None is none. max_lifetime: the age from which a connection is
    replaced when it is idle. max_idle: how long one above the minimum may be idle.
    ping_idle: after how long an idle one is checked before it is used. close_timeout:
    how long closing the pool waits for connections in use. own_connections: whether a
    pool of one may open more, each for one stream or one detached block.
    """

    min_connections: int = 1
    max_connections: int = 1
    connect_timeout: float | None = 10.0
    acquire_timeout: float | None = 30.0
    query_timeout: float | None = None
    max_lifetime: float | None = None
    max_idle: float | None = 600.0
    ping_idle: float | None = 30.0
    close_timeout: float | None = 5.0
    own_connections: bool = True


class Pool:
    """Connections of one event loop. Use them by `take` or `wait`, then `give_back`.

    target: where connections go, for error messages; it holds no password.
    learn: is shown every connection that was opened.
    redact: hides what no error message may repeat.
    end_session: gives the statement that ends a session: see `Dialect.end_session`.
    """

    def __init__(
        self,
        connect: Connect,
        target: str,
        options: PoolOptions,
        learn: Callable[[Connection], None],
        redact: Redaction = NOTHING_SECRET,
        end_session: EndSession = lambda session, own, seconds: None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._connect = connect
        self._target = target
        self._learn = learn
        self._redact = redact
        self.options = options
        self._policy: policy.Pool[Connection, Waiter] = policy.Pool(
            options.min_connections,
            options.max_connections,
            max_lifetime=options.max_lifetime,
            max_idle=options.max_idle,
            ping_idle=options.ping_idle,
        )
        self._connections: set[Connection] = set()
        self._own: set[Connection] = set()
        self._background = Background(self.loop)
        # Without the pool itself, which is to be collected as soon as nobody has it.
        limit = options.connect_timeout
        self._reach = partial(_reach, connect, limit, learn, target, redact)
        self._abandoned = Abandoned(self._reach, end_session)
        self._ending: asyncio.Task[None] | None = None
        self._spared: set[Connection] = set()
        self._returned = asyncio.Event()
        self._guard: AsyncGenerator[None, None] | None = None
        self._process = os.getpid()
        # The loop's end closes a pool that is in use; this is for one that is not.
        weakref.finalize(
            self, _abandon, self._connections, self.loop, self._process
        ).atexit = False

    @property
    def inherited(self) -> bool:
        """Whether the pool is that of a process that this one was forked from."""
        return self._process != os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether the pool is that of this process and of the running event loop."""
        here = self.loop is asyncio.get_running_loop()
        return here and self._process == os.getpid()

    @property
    def closed(self) -> bool:
        """Whether the pool was closed; it cannot be used again."""
        return self._policy.closed

    @property
    def usable(self) -> bool:
        """Whether the pool was not closed, and is that of this process."""
        return not self._policy.closed and self._process == os.getpid()

    @property
    def finished(self) -> bool:
        """Whether the pool was closed, and nothing of it is left."""
        return self.closed and not self._connections and not self._background.busy

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
            if connection is None or connection.alive:
                return connection
            self._lost(connection)

    async def wait(self) -> Connection:
        """Wait for a connection.

        Raises peewee.OperationalError if none is free within `acquire_timeout`, or if
        the server cannot be reached.
        """
        await self._close_with_loop()
        limit = self.options.acquire_timeout
        ends = None if limit is None else self.loop.time() + limit
        while True:
            self._drop_dead()
            connection = await self._wait_until(ends)
            if not connection.closed:
                return connection
            self.give_back(connection)  # it broke in the turn of its hand-over

    async def _wait_until(self, ends: float | None) -> Connection:
        waiter: Waiter = self.loop.create_future()
        self._carry_out(self._policy.wanted(waiter, self.loop.time()))
        timer = None
        if ends is not None and not waiter.done():
            timer = self.loop.call_at(ends, self._expire, waiter)
        try:
            return await waiter
        except BaseException:
            self._policy.withdrawn(waiter, self.loop.time())
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                self.give_back(waiter.result())
            raise
        finally:
            if timer is not None:
                timer.cancel()

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
        connection = await self._reach()
        self._own.add(connection)
        self._connections.add(connection)
        return connection

    def aborted(self, connection: Connection) -> None:
        """Have the server stop the statement that a connection was aborted in."""
        if self.inherited or not self.loop.is_running():
            return
        self._abandoned.add(connection, self.loop.time())
        self._end_abandoned()

    def _end_abandoned(self) -> None:
        if self._abandoned and (self._ending is None or self._ending.done()):
            self._ending = self.background(self._abandoned.end())

    def _expire(self, waiter: Waiter) -> None:
        seconds = self.options.acquire_timeout or 0.0
        actions = self._policy.expired(waiter, seconds, self.loop.time())
        self._carry_out(actions)

    def give_back(self, connection: Connection) -> None:
        """Take a connection back; one that is closed or in a transaction is dropped."""
        if connection in self._own:
            self._own.remove(connection)
            self._close_connection(connection)
        elif actions := self._given_back(connection):
            self._carry_out(actions)

    def _given_back(self, connection: Connection) -> list[policy.Action]:
        fit = not connection.closed and connection.status is Status.IDLE
        event = self._policy.given_back if fit else self._policy.lost
        return event(connection, self.loop.time())

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
        self._carry_out(self._policy.warm(self.loop.time()))

    async def close(
        self, spared: Collection[Connection] = (), limit: float | None = None
    ) -> None:
        """Close all connections, and wait until that is done.

        Those who wait for a connection are refused. A connection in use is closed when
        it is given back; those that are not within the limit are aborted.

        spared: those that nobody waits for and that are not aborted: the caller's own.
        limit: in seconds; `close_timeout` unless it is given.
        """
        self._carry_out(self._policy.close(self.loop.time()))
        self._background.stop()
        self._spared.update(spared)
        self._note_return()
        guard, self._guard = self._guard, None
        if guard is not None:
            await guard.aclose()
        limit = self.options.close_timeout if limit is None else limit
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._returned.wait()
        self._abort_busy()
        self._end_abandoned()  # an end of the loop may have interrupted it
        if self._ending is not None:
            await asyncio.wait({self._ending}, timeout=LAST_MOMENT)
            self._ending.cancel()
        longest = None if limit is None else max(limit, LAST_MOMENT)
        if left := await self._background.wait(longest):
            logger.warning(
                "Closing the pool cancelled what was still under way in the background "
                "(close_timeout), such as functions to be called after a commit: %d.",
                left,
            )

    def _abort_busy(self) -> None:
        busy = self._connections - self._spared
        if busy:
            logger.warning(
                "The pool was closed with %d of its connections still in use "
                "(close_timeout): they were aborted.",
                len(busy),
            )
        for connection in busy:
            connection.abort()
            self.aborted(connection)
        self._connections -= busy
        self._note_return()

    def _note_return(self) -> None:
        if self.closed and self._connections <= self._spared:
            self._returned.set()

    def forget(self) -> None:
        """Drop all connections without an await: the event loop may be closed."""
        if self.inherited:
            return
        for action in self._policy.close(self.loop.time()):
            if isinstance(action, policy.Refuse) and not self.loop.is_closed():
                _refuse(action.waiter, action.error)
        self._background.stop_timers()
        for connection in self._connections:
            connection.abort()
        self._connections.clear()
        if self.loop.is_running():
            self._note_return()
        else:
            self._background.silence()

    def background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have something done that outlives its caller; `close` waits for it."""
        return self._background.start(work)

    def _carry_out(self, actions: list[policy.Action]) -> None:
        if actions and self.loop.is_closed():
            self.forget()
            return
        for action in actions:
            if isinstance(action, policy.HandOver):
                # What follows comes last, not inside: there may be many of these.
                actions += self._hand_over(action.waiter, action.connection)
            elif isinstance(action, policy.Refuse):
                _refuse(action.waiter, action.error)
            elif isinstance(action, policy.Open):
                self._background.start_arrival(self._open(), self._not_opened)
            elif isinstance(action, policy.Check):
                self._check(action.connection)
            elif isinstance(action, policy.Retry):
                self._background.call_later(action.seconds, Pool._retry, self)
            else:
                self._close_connection(action.connection)

    def _lost(self, connection: Connection) -> None:
        self._carry_out(self._policy.lost(connection, self.loop.time()))

    def _drop_dead(self) -> None:
        for connection in self._policy.idle:
            if not connection.alive:
                self._lost(connection)

    def _retry(self) -> None:
        self._carry_out(self._policy.retry(self.loop.time()))

    def _tick(self) -> None:
        self._drop_dead()
        self._carry_out(self._policy.tick(self.loop.time()))
        self._background.call_later(TICK, Pool._tick, self)

    def _hand_over(self, waiter: Waiter, connection: Connection) -> list[policy.Action]:
        if waiter.done():
            # It was cancelled in this very turn of the loop.
            return self._given_back(connection)
        waiter.set_result(connection)
        return []

    async def _open(self) -> None:
        try:
            connection = await self._connected()
        except Exception as error:
            self._failed(error)
        else:
            self._connections.add(connection)
            self._carry_out(self._policy.opened(connection, self.loop.time()))

    async def _connected(self) -> Connection:
        limit = self.options.connect_timeout
        return await open_connection(self._connect, limit, self._learn)

    def _failed(self, error: Exception) -> None:
        reason = cannot_connect(self._target, error, self._redact)
        self._carry_out(self._policy.failed(reason, self.loop.time()))

    def _not_opened(self) -> None:
        self._failed(ConnectionError("the attempt was cancelled"))

    def _check(self, connection: Connection) -> None:
        not_checked = partial(self._checked, connection, False)
        self._background.start_arrival(self._ping(connection), not_checked)

    async def _ping(self, connection: Connection) -> None:
        self._checked(connection, await answers(connection))

    def _checked(self, connection: Connection, works: bool) -> None:
        event = self._policy.checked if works else self._policy.dead
        self._carry_out(event(connection, self.loop.time()))

    def _close_connection(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._note_return()
        if connection.closed or connection.status is not Status.IDLE:
            connection.abort()
            self.aborted(connection)
        else:
            self.background(say_goodbye(connection))

    async def _close_with_loop(self) -> None:
        """Arrange for the pool to be closed before its event loop is.

        `asyncio.run` closes the asynchronous generators that are still open, while
        the loop still runs: that is the only notice a loop gives of its end.
        """
        if self._guard is None and not self.closed:
            self._background.call_later(TICK, Pool._tick, self)
            self._guard = self._until_loop_ends()
            await anext(self._guard)

    async def _until_loop_ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            if not self.closed:
                self._guard = None
                limit = self.options.close_timeout
                last = LAST_MOMENT if limit is None else min(limit, LAST_MOMENT)
                await self.close(limit=last)


def _abandon(
    connections: set[Connection], loop: asyncio.AbstractEventLoop, process: int
) -> None:
    """Abort what a pool has left that was collected; it may be of another process."""
    if process == os.getpid() and not loop.is_running():
        for connection in connections:
            connection.abort()


async def _reach(
    connect: Connect,
    limit: float | None,
    learn: Callable[[Connection], None],
    target: str,
    redact: Redaction,
) -> Connection:
    failure: peewee.PeeweeException
    try:
        return await open_connection(connect, limit, learn)
    except Exception as error:
        failure = cannot_connect(target, error, redact)
    raise failure  # not while `error`, which may hold a secret, is handled


def _refuse(waiter: Waiter, error: peewee.PeeweeException) -> None:
    if waiter.done():
        return
    # One error for several waiters would gather the tracebacks of all of them.
    own = type(error)(*error.args)
    own.__cause__ = error.__cause__
    waiter.set_exception(own)
