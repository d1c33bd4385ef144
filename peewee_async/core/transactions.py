"""The transaction of one connection, as a stack of blocks.

Strategy: be pessimistic. A block is FAILED before its command is sent; only a good
reply makes it ACTIVE, COMMITTED or ROLLED_BACK. So whatever interrupts a command,
nobody believes in a transaction that may not be there. Once the connection is lost,
every block of the stack is LOST, and no statement of theirs is sent again. A block that
only keeps the connection is at the bottom of the stack, and outlives its transactions.

The outermost transaction is not even on the stack before the reply to its BEGIN. If
that is interrupted, the session tells that the connection is lost, as it does of any
other statement.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

import peewee

from peewee_async.core.boundary import Fetch, Request, Statement, Status
from peewee_async.core.dialect import PLAIN, Dialect, Family, TransactionOptions
from peewee_async.core.execution import Plan, Steps, Work

T = TypeVar("T")

Callback = Callable[[], Any]

_COMMIT, _ROLLBACK = Statement("COMMIT"), Statement("ROLLBACK")


class Kind(Enum):
    """What a block is to its server."""

    TRANSACTION = "transaction"
    SAVEPOINT = "savepoint"
    JOINED = "transaction inside another"
    CONNECTION = "connection"


class State(Enum):
    """How a block stands."""

    FAILED = "failed"
    ACTIVE = "active"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    LOST = "lost"


class Block:
    """One block of a stack: a transaction, a savepoint, a part, or a kept connection.

    ended: it is off the stack. left: so is the task that opened it. doomed: it can only
    be rolled back. loss: half a sentence on how it was lost. cause: what the driver
    said of that, if anything.
    """

    __slots__ = (
        "callbacks",
        "cause",
        "doomed",
        "due",
        "ended",
        "kind",
        "left",
        "loss",
        "name",
        "options",
        "outer",
        "state",
    )

    def __init__(
        self,
        kind: Kind,
        name: str = "",
        options: TransactionOptions = PLAIN,
        outer: Block | None = None,
    ) -> None:
        self.kind = kind
        self.name = name
        self.options = options
        self.outer = outer
        self.state = State.FAILED
        self.ended = False
        self.left = False
        self.doomed = False
        self.loss: str | None = None
        self.cause: BaseException | None = None
        self.callbacks: list[Callback] = []
        self.due: list[Callback] = []

    def take_due(self) -> list[Callback]:
        """Give what is to be called after a commit that was, once.

        There is something left if what followed the commit was interrupted.
        """
        due, self.due = self.due, []
        return due

    @property
    def is_over(self) -> bool:
        """Whether the block was committed or rolled back, as it should."""
        return self.ended and self.state in (State.COMMITTED, State.ROLLED_BACK)

    @property
    def depth(self) -> int:
        """The number of transactions here, one inside another; nothing else counts."""
        around = 0 if self.outer is None else self.outer.depth
        return around + (self.kind in (Kind.TRANSACTION, Kind.JOINED))

    def __repr__(self) -> str:
        return f"<Block {self.name or self.kind.value}, {self.state.value}>"


class Transactions:
    """The blocks that are open on one connection, the outermost first.

    top: the innermost one.
    endings: the number of rollbacks and of commits that were, each of which may have
    ended cursors of PostgreSQL. cursors: the open ones that only end when they are
    given up, which the outermost block does for who forgets it.
    """

    __slots__ = (
        "_aborted",
        "_dialect",
        "_named_cursors",
        "_savepoints",
        "blocks",
        "cursors",
        "endings",
        "loss",
        "top",
    )

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._savepoints = 0
        self._named_cursors = 0
        self._aborted = False
        self.endings = 0
        self.cursors: list[str] = []
        self.blocks: list[Block] = []
        self.top: Block | None = None
        self.loss: str | None = None

    @property
    def depth(self) -> int:
        """The number of open blocks that commit something."""
        return len([each for each in self.blocks if each.kind is not Kind.CONNECTION])

    def connection(self) -> Steps[Block]:
        """Open a block that keeps the connection, and is no transaction."""
        return self._open(Block(Kind.CONNECTION))

    def open_cursor(self) -> str:
        """Make a name for a cursor that no other one of this connection has."""
        self._named_cursors += 1
        name = f"peewee_async_{self._named_cursors}"
        if self._dialect.family is not Family.POSTGRES or not self.depth:
            self.cursors.append(name)
        return name

    def may_have_ended(self, cursor: str, endings: int) -> bool:
        """Whether PostgreSQL may have closed a cursor by itself.

        It spoils the transaction of whoever closes what is closed already.

        endings: how many there were when the cursor was opened.
        """
        return cursor not in self.cursors and endings != self.endings

    def forget_cursor(self, cursor: str) -> None:
        """Take note that a cursor is given up."""
        if cursor in self.cursors:
            self.cursors.remove(cursor)

    def transaction(self, options: TransactionOptions = PLAIN) -> Work[Block]:
        """Open a transaction, or a part of the one that is open."""
        if not self.depth:
            return self._open_outermost(options)
        self._require_plain(options)
        return self._open(Block(Kind.JOINED, outer=self.top))

    def _open_outermost(self, options: TransactionOptions) -> Work[Block]:
        block = Block(Kind.TRANSACTION, options=options, outer=self.top)
        commands = self._dialect.begin(options)
        if len(commands) > 1:
            return self._open(block)
        if self.loss is not None:
            self.require_alive()
        return Plan(commands[0], lambda reply: self._begun(block))

    def _begun(self, block: Block) -> Block:
        self.blocks.append(block)
        self.top = block
        block.state = State.ACTIVE
        return block

    def savepoint(self, name: str | None = None) -> Steps[Block]:
        """Open a savepoint, called `s1`, `s2` and so on if it is given no name.

        Raises RuntimeError outside a transaction, and ValueError for a name that
        cannot be one.
        """
        if not self.depth:
            raise RuntimeError(
                "A savepoint needs a transaction around it: use atomic() or "
                "transaction() for the outer block."
            )
        if name is None:
            self._savepoints += 1
            name = f"s{self._savepoints}"
        else:
            self._dialect.quote(name)
        return self._open(Block(Kind.SAVEPOINT, name, outer=self.top))

    def atomic(self, options: TransactionOptions = PLAIN) -> Work[Block]:
        """Open a transaction, or a savepoint inside the one that is open."""
        if not self.depth:
            return self._open_outermost(options)
        self._require_plain(options)
        return self.savepoint()

    def _require_plain(self, options: TransactionOptions) -> None:
        if options != PLAIN:
            raise ValueError(
                "Only the outermost block can choose isolation level, access mode or "
                "lock type: give them there."
            )

    def _open(self, block: Block) -> Steps[Block]:
        if self.loss is not None:
            self.require_alive()
        begin = self._begin(block)
        self.blocks.append(block)
        self.top = block
        try:
            yield from self._start(block, begin)
        except Exception:
            self._end(block)
            raise
        block.state = State.ACTIVE
        return block

    def _start(self, block: Block, commands: list[Request]) -> Steps[None]:
        if len(commands) > 1:
            return self._start_by_several(block, commands)
        return self._send(block, commands)

    def _start_by_several(self, block: Block, commands: list[Request]) -> Steps[None]:
        try:
            yield from self._send(block, commands)
        except Exception as error:
            # MySQL keeps the isolation level for the next transaction that begins,
            # which is somebody else's, unless it is told that one has ended.
            yield from self._send_after(block, _ROLLBACK, error)
            raise

    def _send_after(
        self, block: Block, command: Statement, error: Exception
    ) -> Steps[None]:
        try:
            yield from self._send(block, [command])
        except Exception as failure:
            error.add_note(f"The {command.sql} failed as well: {failure}")

    def _send(self, block: Block, commands: list[Request]) -> Steps[None]:
        """Send commands; once they are interrupted, their effect is not known."""
        try:
            for command in commands:
                yield command
        except GeneratorExit:
            self.abandon(block)
            raise

    def _begin(self, block: Block) -> list[Request]:
        if block.kind is Kind.TRANSACTION:
            return [*self._dialect.begin(block.options)]
        if block.kind is Kind.SAVEPOINT:
            return [self._savepoint_command("SAVEPOINT", block)]
        return []

    def _savepoint_command(self, verb: str, block: Block) -> Statement:
        return Statement(f"{verb} {self._dialect.quote(block.name)}")

    def commit(self, block: Block, begin: bool = False) -> Steps[list[Callback]]:
        """Commit a block; what it asked to be called after the commit comes back.

        begin: open the block anew instead of ending it.

        If the server refuses, the block is rolled back and the refusal is raised.
        """
        self._require(block, "commit", begin)
        if self._is_spoilt(block):
            yield from self._refuse(block, begin)
        block.state = State.FAILED
        self.endings += block.kind is Kind.TRANSACTION
        try:
            commands = self._commands(_COMMIT, "RELEASE", block)
            yield from self._send(block, self._left_over(block, begin) + commands)
        except Exception as error:
            yield from self.rollback_after(block, error, begin)
            raise
        block.state = State.COMMITTED
        block.due = self._due(block)
        if begin:
            yield from self._again(block)
        else:
            self._end(block)
        return block.take_due()

    def _is_spoilt(self, block: Block) -> bool:
        aborted = self._aborted and block.kind is Kind.TRANSACTION
        return aborted or block.doomed or block.state is not State.ACTIVE

    def _left_over(self, block: Block, begin: bool) -> list[Request]:
        """Give up the cursors that are open at the end of the outermost block."""
        if begin or block.outer is not None:
            return []
        names, self.cursors = self.cursors, []
        return [Fetch(name, 0) for name in names]

    def _commands(
        self, command: Statement, inner_verb: str, block: Block
    ) -> list[Request]:
        if block.kind is Kind.TRANSACTION:
            return [command]
        if block.kind is Kind.SAVEPOINT:
            return [self._savepoint_command(f"{inner_verb} SAVEPOINT", block)]
        return []

    def _refuse(self, block: Block, begin: bool) -> Steps[None]:
        error = peewee.InternalError(
            "The transaction cannot be committed and was rolled back: a statement or a "
            "block inside it failed. Let the error leave the block, or use a "
            "savepoint for what may fail."
        )
        yield from self.rollback_after(block, error, begin)
        raise error

    def rollback(self, block: Block, begin: bool = False) -> Steps[None]:
        """Undo what was done in a block.

        begin: open the block anew instead of ending it.
        """
        self._require(block, "roll back", begin)
        block.state = State.FAILED
        self.endings += 1
        block.callbacks.clear()
        if block.kind is Kind.JOINED and block.outer is not None:
            block.outer.doomed = True
        try:
            commands = self._commands(_ROLLBACK, "ROLLBACK TO", block)
            yield from self._send(block, self._left_over(block, begin) + commands)
        except Exception as failure:
            self.end(block, failure.__cause__)
            raise
        block.state = State.ROLLED_BACK
        block.doomed = False
        if begin:
            yield from self._again(block)
        else:
            self._end(block)

    def rollback_after(
        self, block: Block, error: BaseException, begin: bool = False
    ) -> Steps[None]:
        """Roll back because of an error, which a failing ROLLBACK does not replace."""
        try:
            yield from self.rollback(block, begin)
        except Exception as failure:
            error.add_note(f"The ROLLBACK failed as well: {failure}")
            self.end(block, failure.__cause__)

    def _again(self, block: Block) -> Steps[None]:
        block.state = State.FAILED
        try:
            yield from self._start(block, self._begin(block))
        except Exception as error:
            # What was asked for has been done; it is what follows that cannot be.
            self.lose(f"it could not begin anew ({error})", True, error.__cause__)
        else:
            block.state = State.ACTIVE

    def _due(self, block: Block) -> list[Callback]:
        due, block.callbacks = block.callbacks, []
        if block.kind is Kind.TRANSACTION or block.outer is None:
            return due
        block.outer.callbacks += due
        return []

    def _require(self, block: Block, verb: str, begin: bool) -> None:
        if self.loss is not None:
            self.require_alive()
        reason = None
        if block.ended:
            reason = "it has ended"
        elif block is not self.top:
            reason = "another block is open inside it"
        elif begin and block.kind is Kind.JOINED:
            reason = "only the outermost transaction can go on afterwards"
        if reason is not None:
            raise RuntimeError(f"cannot {verb} {block!r}: {reason}")

    def require_alive(self) -> None:
        """Raise peewee.OperationalError if the innermost block is lost."""
        if self.top is not None and self.top.loss is not None:
            raise lost(self.top)

    def observe(
        self, status: Status, failed: bool = False, cause: BaseException | None = None
    ) -> None:
        """Take note of how the connection stands.

        failed: a statement has just failed; a connection without a transaction then
        means that the server has ended it. cause: what the driver said of that.
        """
        for block in self.blocks:
            if block.kind is Kind.TRANSACTION:
                break
        else:
            return
        if block.state is not State.ACTIVE:
            return
        self._aborted = status is Status.ABORTED
        if failed and status in (Status.IDLE, Status.BUSY):
            self.lose("the server rolled it back because of an error", True, cause)

    def lose(
        self,
        reason: str,
        is_connected: bool = False,
        cause: BaseException | None = None,
    ) -> None:
        """Declare the transaction lost, for the connection is, or the server says so.

        reason: half a sentence that says how. is_connected: it is the transaction only.
        cause: what the driver said, which comes with every error that tells of it.
        """
        if self.loss is None:
            self.loss = reason
        for block in self.blocks:
            if not (is_connected and block.kind is Kind.CONNECTION):
                self._mark_lost(block, reason, cause)

    def _mark_lost(
        self, block: Block, reason: str, cause: BaseException | None = None
    ) -> None:
        block.state = State.LOST
        if block.loss is None:
            block.loss, block.cause = reason, cause
        block.callbacks.clear()

    def abandon(self, block: Block) -> None:
        """End a block whose command was interrupted, so that nobody knows its fate."""
        self.lose("its connection was given up in the middle of a command")
        self.end(block)

    def end(self, block: Block, cause: BaseException | None = None) -> None:
        """Take a block off the stack with whatever is still open inside it.

        Nothing of it was undone on the server, so nothing around it can be committed.
        cause: what the driver said, if that is why.
        """
        while block in self.blocks:
            inner = self.blocks[-1]
            if inner.outer is not None and inner.kind is not Kind.TRANSACTION:
                inner.outer.doomed = True
            self._mark_lost(inner, "it was cut off before it was committed", cause)
            self._end(inner)

    def _end(self, block: Block) -> None:
        block.ended = True
        self.blocks.remove(block)
        self.top = self.blocks[-1] if self.blocks else None
        if self.top is not None:
            self.loss = self.top.loss


def lost(block: Block) -> peewee.OperationalError:
    """Make the error for whoever goes on in a block that is lost."""
    what = "connection" if block.kind is Kind.CONNECTION else "transaction"
    error = peewee.OperationalError(
        f"The {what} is lost: {block.loss}. Leave the block and start again."
    )
    error.__cause__ = block.cause
    return error


def atomic(transactions: Transactions, work: Work[T]) -> Steps[T]:
    """Run work in a block of its own: all of it is done, or nothing.

    Inside a transaction the block is a savepoint.
    """
    block = yield from transactions.atomic()
    try:
        value = yield from work
    except GeneratorExit:
        transactions.abandon(block)
        raise
    except Exception as error:
        yield from transactions.rollback_after(block, error)
        raise
    yield from transactions.commit(block)
    return value
