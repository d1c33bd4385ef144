"""atomic, transaction and savepoint: `async with` blocks, and decorators."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypedDict, TypeVar

from peewee_async.core.dialect import TransactionOptions
from peewee_async.core.execution import Work
from peewee_async.core.transactions import Block, Callback, Transactions, lost
from peewee_async.io.session import BlockEnded, Session
from peewee_async.io.sessions import Frame, Sessions, inner_block

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callback)

Opening = Callable[[Transactions], Work[Block]]
Begin = Callable[[Sessions], Awaitable[Frame]]


class TransactionKeywords(TypedDict, total=False):
    """The keywords of a transaction: see `core.dialect.TransactionOptions`."""

    isolation_level: str | None
    read_only: bool | None
    deferrable: bool | None
    lock_type: str | None


# The number of seconds that cleaning up after an interrupted block may take before
# its connection is given up.
CLEAN_UP_LIMIT = 5.0

logger = logging.getLogger("peewee.async")


class OpenBlock:
    """What `async with ... as tx` gives: the block, to end and open it by hand."""

    __slots__ = ("_frame",)

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def commit(self, begin: bool = True) -> None:
        """Commit what was done so far in the block.

        begin: go on in a new transaction or savepoint; otherwise the block has ended,
        and what follows in it is outside.

        Raises the server's refusal, after everything in the block was rolled back.
        """
        session, block = self._frame.session, self._frame.block
        _require_innermost(block, "commit")
        try:
            callbacks = await session.commit(block, begin)
        except BaseException:
            if due := block.take_due():
                # It was committed; what came after that was interrupted.
                session.pool.background(_call_anyway(due))
            raise
        finally:
            _end_if_ended(session, block)
        await _call_all(session, callbacks)

    async def rollback(self, begin: bool = True) -> None:
        """Undo what was done so far in the block.

        begin: go on in a new transaction or savepoint; otherwise the block has ended,
        and what follows in it is outside.
        """
        session, block = self._frame.session, self._frame.block
        _require_innermost(block, "roll back")
        try:
            await session.rollback(block, begin)
        finally:
            _end_if_ended(session, block)

    def after_commit(self, function: F) -> F:
        """Have a function called after the outermost COMMIT, and not on a rollback.

        function: takes no argument; if it is `async def`, it is awaited. An error of
        its own comes out of the block, which is committed all the same.

        Raises RuntimeError if the block has ended.
        """
        if self._frame.block.ended:
            raise BlockEnded(self._frame.block)
        self._frame.block.callbacks.append(function)
        return function

    def __repr__(self) -> str:
        return f"<OpenBlock {self._frame.block!r}>"


class BlockContext:
    """A block to be opened: `async with` it once, or decorate `async def` with it."""

    __slots__ = ("_begin", "_entered", "_frame", "_sessions")

    def __init__(self, sessions: Callable[[], Sessions], begin: Begin) -> None:
        self._sessions = sessions
        self._begin = begin
        self._entered: Sessions | None = None
        self._frame: Frame | None = None

    async def __aenter__(self) -> OpenBlock:
        if self._entered is not None:
            raise RuntimeError("This block is open already: make a new one to nest it.")
        self._entered = sessions = self._sessions()
        try:
            self._frame = frame = await self._begin(sessions)
        except BaseException:
            self._entered = None
            raise
        sessions.enter(frame)
        return OpenBlock(frame)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        sessions, self._entered = self._entered, None
        frame, self._frame = self._frame, None
        if sessions is None or frame is None:
            return
        try:
            if error is None or isinstance(error, Exception):
                callbacks = await _end(frame, error)
            elif frame.session.pool.loop.is_closed():
                # The coroutine is collected, and nothing can be waited for any more.
                frame.session.connection.abort()
                return
            else:
                # The task is to stop, and may be stopped again while it cleans up.
                _cut_off(frame)
                task = frame.session.pool.background(_clean_up(frame, error))
                await asyncio.shield(task)
                callbacks = []
        finally:
            sessions.leave(frame)
        if callbacks:
            await _call_all(frame.session, callbacks)

    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, T]]
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        """Make a function run in such a block, a new one for each call."""
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is no `async def` function to decorate.")

        @wraps(function)
        async def inner(*args: P.args, **kwargs: P.kwargs) -> T:
            async with type(self)(self._sessions, self._begin):
                return await function(*args, **kwargs)

        return inner


class HeldBlock(OpenBlock):
    """A block that was opened by `await`: it lasts until `commit` or `rollback`.

    If the task ends before that, the block is rolled back.
    """

    __slots__ = ("_sessions",)

    def __init__(self, frame: Frame, sessions: Sessions) -> None:
        super().__init__(frame)
        self._sessions = sessions

    async def commit(self, begin: bool = False) -> None:
        """Commit the block, as `OpenBlock.commit` does, and end it unless `begin`."""
        try:
            await super().commit(begin)
        finally:
            self._leave_if_ended()

    async def rollback(self, begin: bool = False) -> None:
        """Undo what was done in the block, and end it unless `begin`.

        Does nothing if it has ended, as after a commit that failed.
        """
        block = self._frame.block
        try:
            if begin or not (block.ended or block.loss):
                await super().rollback(begin)
        finally:
            self._leave_if_ended()

    def _leave_if_ended(self) -> None:
        block = self._frame.block
        if block.loss is not None:
            self._frame.session.end(block)
        if block.ended:
            self._sessions.leave(self._frame)


async def open_block(sessions: Sessions, begin: Begin) -> HeldBlock:
    """Open a block that the current task is in until it is committed or rolled back."""
    frame = await begin(sessions)
    frame.is_held = True
    sessions.enter(frame)
    return HeldBlock(frame, sessions)


async def begin_transaction(
    sessions: Sessions, options: TransactionOptions
) -> HeldBlock:
    """Open a transaction, or a part of the one around it."""
    return await open_block(
        sessions, _begin(lambda blocks: blocks.transaction(options))
    )


class SavepointContext(BlockContext):
    """A savepoint: `async with` or decorator, or `await` it and end it by hand."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, HeldBlock]:
        return open_block(self._sessions(), self._begin).__await__()


class ConnectionContext:
    """A connection that is kept for a task: `async with` it, and all runs on it.

    `as` gives the connection of the driver, for what peewee has no words for.
    """

    __slots__ = ("_block", "_entered", "_joins", "_sessions")

    def __init__(
        self, sessions: Callable[[], Sessions], begin: Begin, joins: bool
    ) -> None:
        self._sessions = sessions
        self._block = BlockContext(sessions, begin)
        self._joins = joins
        self._entered = False

    async def __aenter__(self) -> Any:
        if self._entered:
            # The end of the one inside would end the one around it.
            raise RuntimeError(
                "This connection is kept already: make a new one to nest it."
            )
        frame = self._sessions().frame if self._joins else None
        self._entered = True
        if frame is None:
            try:
                frame = (await self._block.__aenter__())._frame
            except BaseException:
                self._entered = False
                raise
        return frame.session.connection.driver

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered = False
        await self._block.__aexit__(kind, error, traceback)


def _require_innermost(block: Block, verb: str) -> None:
    # To wait for its turn, this task would have to wait for itself.
    inner = inner_block(block)
    if inner is not None:
        raise RuntimeError(f"cannot {verb} {block!r}: {inner!r} is open inside it")


async def _end(frame: Frame, error: Exception | None) -> list[Callback]:
    """Commit or roll back, and whatever comes of that, leave nothing open."""
    session, block = frame.session, frame.block
    cut_off = _cut_off(frame)
    callbacks: list[Callback] = []
    try:
        if error is not None:
            await _roll_back(session, block, error)
        elif not block.is_over:
            if block.ended:
                raise lost(block)
            callbacks = await session.commit(block)
            if cut_off is not None:
                raise lost(cut_off)
        return callbacks
    except BlockEnded:
        raise lost(block) from block.cause
    finally:
        session.end(block)


def _cut_off(frame: Frame) -> Block | None:
    """End what the task has left open inside: nobody else would, to be waited for."""
    inner = inner_block(frame.block)
    if inner is not None:
        frame.session.end(inner)
    return inner


async def _roll_back(session: Session, block: Block, error: BaseException) -> None:
    loss = session.transactions.loss or block.loss
    if loss is not None:
        kind = type(error).__name__  # its text may have values in it
        logger.warning("A transaction ends with %s and is lost: %s.", kind, loss)
    if block.ended or loss is not None:
        return
    try:
        await session.rollback(block)
    except Exception as failure:
        error.add_note(f"The ROLLBACK failed as well: {failure}")
        kind = type(failure).__name__
        logger.warning("A block could not be rolled back: %s.", kind)


async def _clean_up(frame: Frame, error: BaseException) -> None:
    session, block = frame.session, frame.block
    try:
        async with asyncio.timeout(CLEAN_UP_LIMIT):
            await _roll_back(session, block, error)
    except TimeoutError:
        session.connection.abort()
        session.transactions.lose("it could not be rolled back in time")
    finally:
        session.end(block)


def _end_if_ended(session: Session, block: Block) -> None:
    if block.ended:
        session.end(block)


async def _call_all(session: Session, callbacks: list[Callback]) -> None:
    """Call all that waited for the commit, whatever happens to the task meanwhile."""
    try:
        await _call(callbacks)
    except asyncio.CancelledError:
        session.pool.background(_call_anyway(callbacks))
        raise


async def _call(callbacks: list[Callback]) -> None:
    """Call and take off the list all of them; the first error of theirs comes out."""
    failures: list[Exception] = []
    while callbacks:
        callback = callbacks.pop(0)
        try:
            result = callback()
            if inspect.isawaitable(result):
                await result
        except Exception as error:
            # Not their reprs: those have arguments and values in them.
            name = getattr(callback, "__qualname__", type(callback).__name__)
            kind = type(error).__name__
            logger.warning("%s failed after the commit: %s.", name, kind)
            failures.append(error)
    if failures:
        raise failures[0]


async def _call_anyway(callbacks: list[Callback]) -> None:
    with suppress(Exception):  # it is logged, and there is nobody to tell
        await _call(callbacks)


def atomic(
    sessions: Callable[[], Sessions], options: TransactionOptions
) -> BlockContext:
    """Make a transaction, or a savepoint inside one."""
    return BlockContext(sessions, _begin(lambda blocks: blocks.atomic(options)))


def transaction(
    sessions: Callable[[], Sessions], options: TransactionOptions
) -> BlockContext:
    """Make a transaction, or a part of the one around it."""
    return BlockContext(sessions, _begin(lambda blocks: blocks.transaction(options)))


def savepoint(sessions: Callable[[], Sessions], name: str | None) -> SavepointContext:
    """Make a savepoint."""
    return SavepointContext(sessions, _begin(lambda blocks: blocks.savepoint(name)))


def connection(sessions: Callable[[], Sessions]) -> ConnectionContext:
    """Make what keeps the connection of the open block, or else a free one."""
    return ConnectionContext(sessions, _begin(Transactions.connection), joins=True)


def detached(sessions: Callable[[], Sessions]) -> ConnectionContext:
    """Make what keeps a connection outside of all blocks."""

    def begin(own: Sessions) -> Awaitable[Frame]:
        return own.begin_apart(Transactions.connection)

    return ConnectionContext(sessions, begin, joins=False)


def _begin(opening: Opening) -> Begin:
    return lambda sessions: sessions.begin(opening)
