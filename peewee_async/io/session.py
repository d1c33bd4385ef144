"""One connection, for as long as a block lasts, and the tasks that share it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import peewee

from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Work
from peewee_async.core.transactions import Block, Callback, Transactions
from peewee_async.core.turns import Turns
from peewee_async.io.connecting import PING, PING_LIMIT
from peewee_async.io.pool import Pool
from peewee_async.io.protocols import Connection
from peewee_async.io.runner import run

T = TypeVar("T")
Make = Callable[[Transactions], Work[T]]
Turn = asyncio.Future[bool]

BROKEN = "its connection broke or was given up"


class Session:
    """A connection that is kept for a block, and shared by the tasks inside it."""

    __slots__ = (
        "__weakref__",
        "connection",
        "pool",
        "released",
        "transactions",
        "turns",
    )

    def __init__(self, pool: Pool, connection: Connection, dialect: Dialect) -> None:
        self.pool = pool
        self.connection = connection
        self.transactions = Transactions(dialect)
        self.turns: Turns[Turn] = Turns(self.transactions)
        self.released = False

    def __del__(self) -> None:
        """Give the connection back if the task that had it went away without a word."""
        if self.released or self.pool.inherited:
            return
        if self.pool.loop.is_closed():
            self.connection.abort()
        else:
            with suppress(RuntimeError):  # the loop was closed by another thread
                self.pool.loop.call_soon_threadsafe(self.release)

    async def run(self, block: Block | None, work: Work[T] | Make[T]) -> T:
        """Do work for a task inside the block, when it is that task's turn.

        block: None if nobody else can get in the way of the task.
        work: or what gives it once the transactions will not change any more.
        """
        if block is not None and not self.turns.take(block):
            await self._turn(block)
        # All in one coroutine: a reply goes through each one between it and the task.
        transactions, connection = self.transactions, self.connection
        try:
            if connection.closed or transactions.loss is not None:
                await self._require_alive()
            try:
                if callable(work):
                    work = work(transactions)
                if self.pool.options.query_timeout is None:
                    return await run(work, connection)
                return await run_limited(work, connection, self.pool)
            except BaseException as error:
                self._note(error)
                raise
        finally:
            if block is not None:
                next_one, stranded = self.turns.give()
                if next_one is not None or stranded:
                    self._tell(next_one, stranded)

    async def _require_alive(self) -> None:
        transactions, connection = self.transactions, self.connection
        if connection.closed and transactions.loss is None:
            transactions.lose(BROKEN, cause=await why_closed(connection))
        transactions.require_alive()

    def _note(self, error: BaseException) -> None:
        """Take note of what an error means for the transactions."""
        connection = self.connection
        cause = error.__cause__  # of the error itself, the frames refer to this
        if connection.closed:
            self.pool.aborted(connection)
            self.transactions.lose(BROKEN, cause=cause)
        else:
            refused = isinstance(error, peewee.DatabaseError)
            self.transactions.observe(connection.status, refused, cause)

    def commit(
        self, block: Block, begin: bool = False
    ) -> Coroutine[Any, Any, list[Callback]]:
        """Commit a block; what it asked to be called after the commit comes back."""
        return self.run(block, lambda open_blocks: self._commit(block, begin))

    def _commit(self, block: Block, begin: bool) -> Work[list[Callback]]:
        self.transactions.observe(self.connection.status)
        return self.transactions.commit(block, begin)

    def rollback(self, block: Block, begin: bool = False) -> Coroutine[Any, Any, None]:
        """Undo what was done in a block."""
        return self.run(block, lambda open_blocks: open_blocks.rollback(block, begin))

    def end(self, block: Block) -> None:
        """End a block whatever has become of it; the connection goes with the last."""
        self.transactions.end(block)
        if self.turns.waiting:
            self._tell(*self.turns.next_one())
        if not self.transactions.blocks:
            self.release()

    def release(self) -> None:
        """Give the connection back; later calls do nothing."""
        if not self.released:
            self.released = True
            if self.turns.busy:
                self.connection.abort()  # another task is in the middle of a statement
            self.pool.give_back(self.connection)

    async def _turn(self, block: Block) -> None:
        if block.ended:
            raise BlockEnded(block)
        turn: Turn = asyncio.get_running_loop().create_future()
        self.turns.wait(turn, block)
        try:
            async with asyncio.timeout(self.pool.options.acquire_timeout):
                granted = await turn
        except TimeoutError:
            self._withdraw(turn)
            raise peewee.OperationalError(
                "No turn on the connection of the transaction within "
                f"{self.pool.options.acquire_timeout:g} s (acquire_timeout): "
                f"{self.transactions.top!r} is open in another task."
            ) from None
        except BaseException:
            self._withdraw(turn)
            raise
        if not granted:
            raise BlockEnded(block)

    def _withdraw(self, turn: Turn) -> None:
        self.turns.withdraw(turn)
        if turn.done() and not turn.cancelled() and turn.result():
            self._give_turn()

    def _give_turn(self) -> None:
        self._tell(*self.turns.give())

    def _tell(self, next_one: Turn | None, stranded: list[Turn]) -> None:
        if next_one is not None and self.pool.loop.is_closed():
            return  # nobody can be told anything
        while next_one is not None and next_one.done():
            # It was cancelled in this very turn of the loop; there may be many.
            next_one, more = self.turns.give()
            stranded += more
        for turn in stranded:
            if not turn.done():
                turn.set_result(False)
        if next_one is not None:
            next_one.set_result(True)


async def why_closed(connection: Connection) -> BaseException | None:
    """Have a connection that is closed refuse a statement, and tell why."""
    try:
        async with asyncio.timeout(PING_LIMIT):
            await connection.execute(PING)
    except Exception as error:
        return error.__cause__
    finally:
        connection.abort()  # it may have begun to say why, and never end
    return None


class BlockEnded(RuntimeError):
    """Something was to be done in a block that has ended, perhaps in another task."""

    def __init__(self, block: Block) -> None:
        super().__init__(f"{block!r} has ended: nothing can be done in it any more.")


def run_limited(
    work: Work[T], connection: Connection, pool: Pool
) -> Coroutine[Any, Any, T]:
    """Do the work, within the `query_timeout` of the pool if it has one."""
    limit = pool.options.query_timeout
    if limit is None:
        return run(work, connection)
    return _run_within(limit, work, connection)


async def _run_within(limit: float, work: Work[T], connection: Connection) -> T:
    try:
        async with asyncio.timeout(limit) as deadline:
            return await run(work, connection)
    except TimeoutError as error:
        if not deadline.expired():
            raise
        what_of_it = "; its connection is closed" if connection.closed else ""
        raise peewee.OperationalError(
            f"The query took longer than {limit:g} s (query_timeout) and was given up"
            f"{what_of_it}."
        ) from error
