"""A function that uses a database of peewee, as steps.

The function cannot wait for a reply in the middle, so it is called anew for each: what
it asked for before is answered from a list, and the first statement that has no answer
yet stops it and is sent. Its value counts when nothing stops it any more.

So the function is called once for each statement and once more. It has to send the
same statements each time, which SQL that depends on the model, the options and the
replies alone does; whatever else it does is done each time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn, TypeVar

import peewee

from peewee_async.core.boundary import Reply, Statement
from peewee_async.core.decoding import ReplyCursor
from peewee_async.core.execution import Steps
from peewee_async.core.plans import raw_statement

T = TypeVar("T")

# Its stubs leave out what is not documented.
_peewee: Any = peewee

# What would use the sync connection. A transaction is the caller's to open: its end
# would have to be known to the blocks around it.
OUT_OF_PLACE = (
    "atomic",
    "begin",
    "commit",
    "connect",
    "connection",
    "cursor",
    "manual_commit",
    "rollback",
    "savepoint",
    "transaction",
)


def replay(database: Any, function: Callable[[Any], T]) -> Steps[T]:
    """Do what a function does with a database that it is given.

    An error of a statement is raised inside the function, where the statement was.
    Raises RuntimeError for a function that does not repeat itself.
    """
    heard: list[tuple[Statement, Reply | Exception]] = []
    while True:
        hearing = _Hearing(heard)
        try:
            value = function(_stand_in(database, hearing))
        except (Exception, _Stop):
            # Once it was stopped, an error of its own is but a consequence.
            if not hearing.stopped:
                raise
        hearing.require_repetition()
        if hearing.asked is None:
            return value
        try:
            heard.append((hearing.asked, (yield hearing.asked)))
        except Exception as error:
            heard.append((hearing.asked, error))


class _Stop(BaseException):
    """Leaves a function that asked for what is not known; nothing may catch it."""


class _Hearing:
    """What the database of a function tells it: all that is known, and then a stop.

    asked: the statement that there is no answer to yet.
    stopped: whether the function was told to stop, which it may not have heeded.
    """

    __slots__ = ("_ahead", "asked", "stopped")

    def __init__(self, heard: list[tuple[Statement, Reply | Exception]]) -> None:
        self._ahead = heard[::-1]
        self.asked: Statement | None = None
        self.stopped = False

    def execute_sql(self, sql: str, params: Any = None, **options: Any) -> ReplyCursor:
        """Stand in for a database's method of this name.

        options: how the sync driver is to fetch.
        """
        statement = raw_statement(sql, params)
        if not self.stopped and self._ahead and self._ahead[-1][0] == statement:
            _, answer = self._ahead.pop()
            if isinstance(answer, Exception):
                raise answer
            return ReplyCursor(answer)
        if not self.stopped and not self._ahead:
            self.asked = statement
        self.stopped = True
        raise _Stop

    def require_repetition(self) -> None:
        """Raise RuntimeError if something was sent that is not asked for any more."""
        if self._ahead:
            raise RuntimeError(
                f"{self._ahead[-1][0].sql!r} was sent, and then not asked for again: "
                "what a schema manager sends must follow from the model, the options "
                "and the replies alone."
            )


def _stand_in(database: Any, hearing: _Hearing) -> Any:
    """Make a copy of a database that has no connection and hears the replies."""
    copy = object.__new__(type(database))
    vars(copy).update(vars(database))
    vars(copy).update({name: partial(_refuse, name) for name in OUT_OF_PLACE})
    copy._state = _peewee._ConnectionState()
    copy.execute_sql = hearing.execute_sql
    return copy


def _refuse(name: str, *args: Any, **options: Any) -> NoReturn:
    raise peewee.NotSupportedError(
        f"A schema manager cannot use {name}() of an async database: let it execute "
        "its SQL, and put `async with database.aio_atomic():` around the call."
    )
