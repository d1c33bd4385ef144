"""The connection and the open block of the current task, for each database."""

from __future__ import annotations

import asyncio
import atexit
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import Lock
from typing import TypeVar

import peewee

from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Work
from peewee_async.core.streaming import Stream
from peewee_async.core.transactions import Block, Transactions, lost
from peewee_async.io.pool import Pool
from peewee_async.io.protocols import Connection
from peewee_async.io.session import BlockEnded, Make, Session, run_limited

T = TypeVar("T")

# What the current task, or one that it was started by, has open: by `Sessions`.
_frames: ContextVar[dict[Sessions, Frame]] = ContextVar("peewee_async_frames")
_sync_allowed: ContextVar[frozenset[Permit]] = ContextVar(
    "peewee_async_sync_allowed", default=frozenset()
)


class Frame:
    """A block that a task is in, with the session that it is open on.

    outer: what the task was in when it was opened. is_held: it lasts until it is ended
    by hand.
    """

    __slots__ = ("block", "is_held", "outer", "session")

    def __init__(
        self, session: Session, block: Block, outer: Frame | None = None
    ) -> None:
        self.session = session
        self.block = block
        self.outer = outer
        self.is_held = False

    @property
    def is_elsewhere(self) -> bool:
        """Whether the block is of another event loop or process, and no business here.

        A context goes along into threads and forked processes.
        """
        return not self.session.pool.is_here

    @property
    def held(self) -> set[Connection]:
        """The connections that this and what is around it still keep from others."""
        around = set() if self.outer is None else self.outer.held
        if self.session.released or self.is_elsewhere:
            return around
        return around | {self.session.connection}

    @property
    def open_block(self) -> Block | None:
        """The block, or the innermost one around it that has not ended."""
        block: Block | None = self.block
        while block is not None and block.ended:
            block = block.outer
        return block

    @property
    def lasts(self) -> bool:
        """Whether the task is still in the block or one around it, open or not."""
        return self.open_block is not None or not self.block.left

    def current(self) -> Frame | None:
        """Give the frame of the open block; None if all of them have ended.

        Raises peewee.OperationalError if the task is still in a block that was lost:
        what it does there must not be done outside.
        """
        block: Block | None = self.block
        while block is not None and block.ended:
            if not block.left and not block.is_over:
                raise lost(block)
            block = block.outer
        if block is self.block:
            return self
        return None if block is None else Frame(self.session, block, self.outer)


def inner_block(block: Block) -> Block | None:
    """Give the outermost block inside this one that the current task is in, if any."""
    for frame in _frames.get({}).values():
        if frame.block is block:
            continue  # as it is nearly always
        inner: Block | None = None
        outer = frame.open_block
        while outer is not None and outer is not block:
            inner, outer = outer, outer.outer
        if outer is block and inner is not None:
            return inner
    return None


class Permit:
    """The permission of a task to run sync queries, while a block lasts."""

    __slots__ = ("database", "holds")

    def __init__(self, database: object) -> None:
        self.database = database
        self.holds = True


def is_sync_allowed(database: object) -> bool:
    """Whether the current task has allowed itself sync queries of a database."""
    return any(
        permit.database is database and permit.holds for permit in _sync_allowed.get()
    )


@contextmanager
def allowing_sync(database: object) -> Iterator[None]:
    """Allow the current task, and those it starts, sync queries of a database."""
    permit = Permit(database)
    _sync_allowed.set(_permits_that_hold() | {permit})
    try:
        yield
    finally:
        # For the tasks that were started meanwhile, too; and a generator may end in
        # another task, which has permits of its own.
        permit.holds = False
        _sync_allowed.set(_permits_that_hold())


def _permits_that_hold() -> frozenset[Permit]:
    return frozenset(permit for permit in _sync_allowed.get() if permit.holds)


class Sessions:
    """The pools of one database, a pool per event loop, and what tasks have open."""

    def __init__(self, dialect: Dialect, make_pool: Callable[[], Pool]) -> None:
        self.dialect = dialect
        self._make_pool = make_pool
        # Each thread may have an event loop of its own: they are replaced all at once.
        self._lock = Lock()
        self._pools: tuple[Pool, ...] = ()
        _living.add(self)

    @property
    def frame(self) -> Frame | None:
        """The innermost open block that the current task is in.

        Raises peewee.OperationalError if that task is in a block that was lost.
        """
        frames = _frames.get(None)
        if not frames:
            return None
        frame = frames.get(self)
        if frame is None or not frame.session.pool.is_here:
            return None
        return frame.current() if frame.block.ended else frame

    def enter(self, frame: Frame | None) -> None:
        """Make a block, or none, the one that the current task is in."""
        around = _frames.get(None)
        frames: dict[Sessions, Frame] = {}
        if around and not (len(around) == 1 and self in around):
            frames = {
                key: each
                for key, each in around.items()
                if key is not self and each.lasts
            }
        if frame is not None:
            frames[self] = frame
        _frames.set(frames)

    def leave(self, frame: Frame) -> None:
        """Go back to what was around a block, if the current task is still in it.

        It is not if the block belongs to an asynchronous generator that another task
        has closed.
        """
        frame.block.left = True
        frames = _frames.get(None)
        current = frames.get(self) if frames else None
        while current is not None and current.is_held and current.block.ended:
            # The end of a block around it was its own.
            current.block.left = True
            current = current.outer
        if current is not None and current.block is frame.block:
            self.enter(frame.outer)

    @property
    def open_pool(self) -> Pool | None:
        """The pool of the running event loop, if there is one."""
        loop = asyncio.get_running_loop()
        for pool in self._pools:
            if pool.loop is loop and pool.usable:
                return pool
        return None

    @property
    def _pools_here(self) -> list[Pool]:
        loop = asyncio.get_running_loop()
        here = [pool for pool in self._pools if pool.loop is loop]
        return [pool for pool in here if not pool.inherited]

    @property
    def pool(self) -> Pool:
        """The pool of the running event loop, made if there is none."""
        pool = self.open_pool
        if pool is None:
            self.forget_dead()
            pool = self._make_pool()
            with self._lock:
                self._pools += (pool,)
        return pool

    def forget_dead(self) -> None:
        """Drop the pools that are closed altogether, and those whose event loop is.

        A pool that this process was forked with stays: its sessions are the parent's.
        """
        with self._lock:
            dead = [pool for pool in self._pools if _is_dead(pool)]
            self._pools = tuple(pool for pool in self._pools if pool not in dead)
        for pool in dead:
            if pool.loop.is_closed():
                pool.forget()

    async def run(self, work: Work[T]) -> T:
        """Do the work, in the block of the current task or on a free connection."""
        while (frame := self.frame) is not None:
            try:
                return await frame.session.run(frame.block, work)
            except BlockEnded:
                pass
        pool = self.pool
        connection = pool.take() or await pool.wait()
        try:
            return await run_limited(work, connection, pool)
        finally:
            pool.give_back(connection)

    async def transact(self, make: Make[T]) -> T:
        """Do work that has to know which transaction it is in."""
        while (frame := self.frame) is not None:
            try:
                return await frame.session.run(frame.block, make)
            except BlockEnded:
                pass
        return await self.run(make(Transactions(self.dialect)))

    async def begin(self, opening: Make[Block]) -> Frame:
        """Open a block inside the one of the current task, or on a connection."""
        outer = frame = self.frame
        while frame is not None:
            session = frame.session
            try:
                return Frame(session, await session.run(frame.block, opening), outer)
            except BlockEnded:
                frame = self.frame
        pool = self.pool
        connection = pool.take() or await pool.wait()
        return await self._begin_on(pool, connection, opening, outer)

    async def begin_apart(self, opening: Make[Block]) -> Frame:
        """Open a block on a connection of its own, whatever else the task is in."""
        outer, pool = self.frame, self.pool
        return await self._begin_on(pool, await pool.wait_for_own(), opening, outer)

    async def _begin_on(
        self,
        pool: Pool,
        connection: Connection,
        opening: Make[Block],
        outer: Frame | None,
    ) -> Frame:
        session = Session(pool, connection, self.dialect)
        try:
            return Frame(session, await session.run(None, opening), outer)
        except BaseException:
            session.release()
            raise

    async def stream(
        self, make: Callable[[], Awaitable[Stream[T]]]
    ) -> AsyncGenerator[T, None]:
        """Give the rows of a query, in the block of the current task or outside.

        Outside they come on a connection of their own, which goes back with the last
        portion, and is dropped if nobody wants the rest.
        """
        stream = await make()
        session, frame, rows = await self._opened(stream)
        try:
            while True:
                if frame is None and stream.done:
                    session.release()
                for row in rows:
                    yield row
                if stream.done:
                    return
                await asyncio.sleep(0)  # a driver may have the next rows at hand
                rows = await self._run_in(session, frame, stream.more)
        except asyncio.CancelledError:
            stream.done = True  # what is left is given up at the end of the block
            raise
        finally:
            if frame is None:
                session.release()
            elif not stream.done:
                with suppress(BlockEnded, peewee.PeeweeException):
                    await self._run_in(session, frame, stream.close)

    async def _opened(
        self, stream: Stream[T]
    ) -> tuple[Session, Frame | None, Iterable[T]]:
        while (frame := self.frame) is not None:
            session = frame.session
            try:
                return session, frame, await session.run(frame.block, stream.open)
            except BlockEnded:
                pass
        pool = self.pool
        if pool.options.own_connections:
            connection = await pool.wait_for_own()
        else:
            connection = pool.take() or await pool.wait()  # all rows come at once
        session = Session(pool, connection, self.dialect)
        try:
            return session, None, await session.run(None, stream.open)
        except BaseException:
            session.release()
            raise

    async def _run_in(self, session: Session, frame: Frame | None, make: Make[T]) -> T:
        """Do work on a session, in the innermost block on it that the task is in."""
        if frame is None:
            return await session.run(None, make)
        current = self.frame
        if current is not None and current.session is session:
            frame = current
        return await session.run(frame.block, make)

    async def close(self) -> None:
        """Close the pool of the running event loop, and forget those of dead loops.

        The connections of the blocks that the current task is in stay with them: to
        wait for their end would be to wait for oneself.
        """
        frame = _frames.get({}).get(self)
        own = set() if frame is None else frame.held
        for pool in self._pools_here:  # one may be closing already
            await pool.close(own)
        self.forget_dead()

    def forget_all(self) -> None:
        """Drop every connection at once: the program ends."""
        for pool in self._pools:
            pool.forget()


def _is_dead(pool: Pool) -> bool:
    return not pool.inherited and (pool.finished or pool.loop.is_closed())


def in_event_loop() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


_living: weakref.WeakSet[Sessions] = weakref.WeakSet()


@atexit.register
def _forget_all() -> None:
    for sessions in list(_living):
        sessions.forget_all()
