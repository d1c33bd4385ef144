"""What is to be done on a connection, and the machine that does it step by step."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from enum import Enum
from typing import Any, Generic, TypeVar

from peewee_async.core.boundary import Pause, Reply, Request, Statement

T = TypeVar("T")
U = TypeVar("U")

Steps = Generator[Request, Reply, T]

# The number of rows after which others get a turn. What takes the longest, wide rows
# with joins that only peewee's wrapper can read, takes some 20 ms for so many.
PORTION = 1000


class Plan(Generic[T]):
    """One statement, and how its reply becomes the caller's value.

    `value = yield from plan` inside steps sends the statement and reads the reply.

    read: makes the value of the reply. If it makes a list, item by item of the rows, it
        may have a method `portions`, which makes that list piece by piece.
    """

    __slots__ = ("read", "statement")

    def __init__(self, statement: Statement, read: Callable[[Reply], T]) -> None:
        self.statement = statement
        self.read = read

    def __iter__(self) -> Steps[T]:
        reply = yield self.statement
        if len(reply.rows) <= PORTION:
            return self.read(reply)
        return (yield from reading(self.read, reply))

    def __repr__(self) -> str:
        return f"<Plan {_short(self.statement.sql)!r}>"


def reading(read: Callable[[Reply], T], reply: Reply) -> Steps[T]:
    """Read a reply, with a pause after each portion of many rows."""
    portions = getattr(read, "portions", None)
    if portions is None:
        return read(reply)
    value: T = yield from _joined(portions(reply))
    return value


def _joined(portions: Iterator[list[Any]]) -> Steps[Any]:
    rows: list[Any] = []
    for portion in portions:
        rows += portion
        yield Pause()
    return rows


Work = Plan[T] | Steps[T]


def finished(value: T) -> Steps[T]:
    """Make steps that need no statement at all."""
    return value
    yield  # pragma: no cover - what makes this function a generator


def then(work: Work[T], change: Callable[[T], U]) -> Work[U]:
    """Do work, and make another value of its value: one statement stays one."""
    if isinstance(work, Plan):
        read = work.read
        return Plan(work.statement, lambda reply: change(read(reply)))
    return _changed(work, change)


def _changed(work: Steps[T], change: Callable[[T], U]) -> Steps[U]:
    return change((yield from work))


class State(Enum):
    """Where an execution is."""

    READY = "ready"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    ABORTED = "aborted"


class Execution(Generic[T]):
    """Runs steps, one statement at a time, for somebody who does the sending.

    Call `start`; as long as a statement comes back, send it and call `feed` with the
    reply or `fail` with the error. Then read `result`. `abort` may be called at any
    time, and is a must when a reply will never come.

    >>> from peewee_async.core.boundary import Reply, Statement
    >>> plan = Plan(Statement("SELECT 1"), lambda reply: reply.rows[0][0])
    >>> execution = Execution(plan)
    >>> execution.start().sql
    'SELECT 1'
    >>> execution.feed(Reply(rows=[(1,)], columns=("1",)))
    >>> execution.result
    1
    """

    __slots__ = ("_error", "_sent", "_steps", "_value", "state")

    def __init__(self, work: Work[T]) -> None:
        self._steps: Steps[T] = iter(work)
        self.state = State.READY
        self._sent: Request | None = None
        self._value: T | None = None
        self._error: BaseException | None = None

    def start(self) -> Request | None:
        """Run up to the first statement; None says that there is none to send."""
        if self.state is not State.READY:
            raise self._misused("start")
        return self._advance(next, self._steps)

    def feed(self, reply: Reply) -> Request | None:
        """Go on with the reply to the last statement; the next one, or None."""
        if self.state is not State.WAITING:
            raise self._misused("feed")
        return self._advance(self._steps.send, reply)

    def fail(self, error: Exception) -> Request | None:
        """Go on with the error of the last statement; the next one, or None.

        The error is one of peewee's; the steps may catch it. A cancellation is no
        error: `abort` is for that.
        """
        if self.state is not State.WAITING:
            raise self._misused("fail")
        return self._advance(self._steps.throw, error)

    def abort(self) -> None:
        """Give up: nothing more is sent. Does nothing once the execution has ended."""
        if self.state is State.READY or self.state is State.WAITING:
            self.state = State.ABORTED
            self._steps.close()

    @property
    def result(self) -> T:
        """The value that the steps returned; the error that they raised is raised."""
        if self.state is State.FAILED and self._error is not None:
            raise self._error
        if self.state is not State.DONE:
            raise RuntimeError(f"cannot read the result of {self!r}")
        return self._value  # type: ignore[return-value]

    def _advance(
        self, go_on: Callable[[Any], Request], argument: Any
    ) -> Request | None:
        try:
            self._sent = go_on(argument)
        except StopIteration as stop:
            self.state, self._value = State.DONE, stop.value
            return None
        except BaseException as error:
            self.state, self._error = State.FAILED, error
            return None
        self.state = State.WAITING
        return self._sent

    def _misused(self, verb: str) -> RuntimeError:
        return RuntimeError(f"cannot {verb} {self!r}")

    def __repr__(self) -> str:
        if self.state is State.WAITING and self._sent is not None:
            return f"<Execution waiting for {_short(self._sent.sql)!r}>"
        return f"<Execution {self.state.value}>"


def _short(sql: str) -> str:
    return sql if len(sql) <= 60 else sql[:57] + "..."
