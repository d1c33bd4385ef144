"""A function that uses a database is called again and again, a reply more each time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import peewee
import pytest

from peewee_async.core.replay import OUT_OF_PLACE, replay
from tests.unit.fakes import Oops
from tests.unit.script import Script

DATABASE: Any = peewee.PostgresqlDatabase("unit")
FIRST, SECOND = "SELECT 1", "SELECT 2"


def script(function: Callable[[Any], Any], database: Any = DATABASE) -> Script:
    return Script(replay(database, function))


def two(database: Any) -> list[Any]:
    rows = database.execute_sql(FIRST, [7]).fetchall()
    return [rows, list(database.execute_sql(SECOND))]


def test_each_statement_is_sent_once_in_order() -> None:
    played = script(two)
    played.sends(FIRST, 7).gets((1,), (2,))
    played.sends(SECOND).gets((3,))
    assert played.result == [[(1,), (2,)], [(3,)]]


def test_what_is_sent_may_depend_on_replies() -> None:
    def choose(database: Any) -> Any:
        found = database.execute_sql(FIRST).fetchone()
        return database.execute_sql(SECOND).rowcount if found is None else found

    played = script(choose).sends(FIRST).gets((1,))
    assert played.result == (1,)
    played = script(choose).sends(FIRST).gets().sends(SECOND).writes(5)
    assert played.result == 5


def test_a_function_that_asks_nothing_sends_nothing() -> None:
    assert script(lambda database: database.param).result == "%s"


def test_an_error_is_raised_where_the_statement_was() -> None:
    def insist(database: Any) -> Any:
        try:
            database.execute_sql(FIRST)
        except peewee.ProgrammingError as error:
            return str(error), database.execute_sql(SECOND).fetchone()

    played = script(insist).sends(FIRST).breaks(peewee.ProgrammingError("no"))
    assert played.sends(SECOND).gets((2,)).result == ("no", (2,))


def test_an_error_that_is_not_caught_comes_out() -> None:
    error = peewee.ProgrammingError("no")
    played = script(two).sends(FIRST, 7).gets().sends(SECOND).breaks(error)
    with pytest.raises(peewee.ProgrammingError) as caught:
        assert played.result
    assert caught.value is error


def test_an_error_of_the_function_itself_comes_out() -> None:
    def fail(database: Any) -> None:
        database.execute_sql(FIRST)
        raise Oops

    with pytest.raises(Oops):
        assert script(fail).sends(FIRST).writes().result


def test_a_statement_that_is_under_way_cannot_be_overlooked() -> None:
    """Whatever the function does when it is stopped, the statement is sent."""

    def deaf(database: Any) -> str:
        try:
            database.execute_sql(FIRST)
        except BaseException:
            return "stopped"
        finally:
            database.execute_sql(SECOND)
        return "done"

    played = script(deaf).sends(FIRST).writes().sends(SECOND).writes()
    assert played.result == "done"

    def confused(database: Any) -> None:
        try:
            database.execute_sql(FIRST)
        except BaseException:
            raise Oops from None

    assert script(confused).sends(FIRST).writes().result is None


def test_a_stop_is_no_error() -> None:
    handled = []

    def careful(database: Any) -> None:
        try:
            database.execute_sql(FIRST)
        except Exception as error:
            handled.append(error)

    assert script(careful).sends(FIRST).writes().result is None
    assert handled == []
    error = peewee.ProgrammingError("no")
    assert script(careful).sends(FIRST).breaks(error).result is None
    assert handled == [error]


def test_an_interrupt_is_no_stop() -> None:
    def interrupted(database: Any) -> None:
        try:
            database.execute_sql(FIRST)
        finally:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assert script(interrupted).result


def test_nothing_is_asked_after_an_interruption() -> None:
    calls = []

    def count(database: Any) -> None:
        calls.append(1)
        two(database)

    played = script(count).sends(FIRST, 7)
    assert played.is_interrupted().execution.state.value == "aborted"
    assert len(calls) == 1


@pytest.mark.parametrize(
    "changed",
    [
        lambda database, turn: database.execute_sql(FIRST, [turn]),
        lambda database, turn: database.execute_sql(f"SELECT {turn}"),
        lambda database, turn: turn or database.execute_sql(FIRST),
    ],
    ids=["parameters", "sql", "nothing"],
)
def test_what_does_not_repeat_itself_is_refused(changed: Any) -> None:
    turns = iter(range(3))
    played = script(lambda database: changed(database, next(turns)))
    with pytest.raises(RuntimeError, match=r"SELECT .* not asked for again"):
        assert played.writes().result


def test_what_does_not_repeat_itself_cannot_go_on() -> None:
    turns = iter([0, 8, 9, 1, 0])

    def deaf(database: Any) -> str:
        for _ in range(3):
            with suppress(BaseException):
                database.execute_sql(f"SELECT {next(turns)}")
                return "done"
        return "stopped"

    played = script(deaf).sends("SELECT 0")
    with pytest.raises(RuntimeError, match=r"SELECT 0.* not asked for again"):
        assert played.writes().result


class Odd(peewee.SqliteDatabase):
    """Has a method and an attribute of its own."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.label = "odd"

    def told(self) -> Any:
        own: Any = self
        return self.label, own.execute_sql(FIRST).fetchone()


def test_the_function_gets_a_database_of_the_same_class_and_state() -> None:
    database = Odd()

    def use(stand_in: Any) -> Any:
        assert type(stand_in) is Odd
        assert stand_in is not database
        return stand_in.told()

    assert script(use, database).sends(FIRST).gets((1,)).result == ("odd", (1,))


def test_the_connection_of_the_database_is_out_of_sight() -> None:
    database: Any = Odd()
    with database.connection_context(), database.atomic():
        before = dict(vars(database))

        def look(stand_in: Any) -> Any:
            stand_in.label = "even"
            return stand_in.is_closed(), stand_in.transaction_depth()

        assert script(look, database).result == (True, 0)
        assert vars(database) == before
        assert not database.is_closed()
        assert database.transaction_depth() == 1


@pytest.mark.parametrize("name", OUT_OF_PLACE)
def test_transactions_and_connections_are_refused(name: str) -> None:
    with pytest.raises(peewee.NotSupportedError, match=rf"{name}\(\)"):
        assert script(lambda database: getattr(database, name)()).result


def test_a_with_block_on_the_database_is_refused() -> None:
    def enter(database: Any) -> None:
        with database:
            pass

    with pytest.raises(peewee.NotSupportedError, match=r"connect\(\)"):
        assert script(enter).result


def test_options_for_the_sync_driver_change_nothing() -> None:
    def named(database: Any) -> Any:
        return database.execute_sql(FIRST, None, named_cursor=True).fetchone()

    assert script(named).sends(FIRST).gets((1,)).result == (1,)
