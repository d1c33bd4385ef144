"""The machine that runs steps: whoever drives it, it is never in two minds."""

import doctest
from collections.abc import Iterator
from typing import Any

import peewee
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from peewee_async.core import execution as module
from peewee_async.core.boundary import Pause, Reply, Request, Statement
from peewee_async.core.execution import (
    PORTION,
    Execution,
    Plan,
    State,
    Steps,
    finished,
    then,
)
from tests.unit.script import Script

ONE = Reply([(1,)], ("n",), 1)
TAKEN = peewee.IntegrityError("taken")


def first_value(reply: Reply) -> Any:
    return reply.rows[0][0]


def plan(sql: str) -> Plan[Any]:
    return Plan(Statement(sql), first_value)


def both() -> Steps[int]:
    one: int = yield from plan("SELECT 1")
    two: int = yield from plan("SELECT 2")
    return one + two


def second_if_first_fails() -> Steps[int]:
    try:
        value: int = yield from plan("SELECT 1")
    except peewee.IntegrityError:
        value = yield from plan("SELECT 2")
    return value


def test_a_plan_is_one_statement_and_what_its_reply_means() -> None:
    assert Script(plan("SELECT 1")).sends("SELECT 1").gets((7,)).result == 7


def test_a_plan_can_be_run_again() -> None:
    again = plan("SELECT 1")
    assert Script(again).gets((1,)).result == 1
    assert Script(again).gets((2,)).result == 2


def test_steps_go_on_with_what_plans_give() -> None:
    script = Script(both())
    script.sends("SELECT 1").gets((3,))
    script.sends("SELECT 2").gets((4,))
    assert script.result == 7


def test_steps_may_have_nothing_to_send() -> None:
    assert Script(finished("value")).result == "value"


def test_an_error_is_raised_where_the_statement_was_sent() -> None:
    script = Script(second_if_first_fails())
    script.sends("SELECT 1").breaks(TAKEN)
    script.sends("SELECT 2").gets((2,))
    assert script.result == 2


def test_an_error_that_nobody_catches_is_the_result() -> None:
    script = Script(both()).breaks(TAKEN)
    assert script.execution.state is State.FAILED
    with pytest.raises(peewee.IntegrityError) as caught:
        _ = script.result
    assert caught.value is TAKEN


def test_the_error_comes_out_as_often_as_it_is_asked_for() -> None:
    script = Script(both()).breaks(TAKEN)
    for _ in range(2):
        with pytest.raises(peewee.IntegrityError, match="taken"):
            _ = script.execution.result


@pytest.mark.parametrize("error", [KeyError("gone"), KeyboardInterrupt()])
def test_an_error_of_the_steps_themselves_is_the_result(error: BaseException) -> None:
    def steps() -> Steps[None]:
        yield Statement("SELECT 1")
        raise error

    script = Script(steps()).gets((1,))
    with pytest.raises(type(error)) as caught:
        _ = script.result
    assert caught.value is error


def test_steps_that_fail_at_once_send_nothing() -> None:
    def steps() -> Steps[None]:
        raise ValueError("no data")
        yield Statement("SELECT 1")

    execution = Execution(steps())
    assert execution.start() is None
    with pytest.raises(ValueError, match="no data"):
        _ = execution.result


def test_a_reply_that_cannot_be_read_is_an_error_of_the_steps() -> None:
    script = Script(both()).gets()
    assert script.execution.state is State.FAILED
    with pytest.raises(IndexError):
        _ = script.result


def test_aborted_steps_clean_up_and_send_nothing_more() -> None:
    events = []

    def steps() -> Steps[None]:
        try:
            yield Statement("SELECT 1")
        except Exception:
            events.append("an error")
        finally:
            events.append("cleaned up")

    Script(steps()).sends("SELECT 1").is_interrupted()
    assert events == ["cleaned up"]


def test_steps_that_never_began_have_nothing_to_clean_up() -> None:
    events = []

    def steps() -> Steps[None]:
        events.append("began")
        yield Statement("SELECT 1")

    execution = Execution(steps())
    execution.abort()
    assert events == []
    assert execution.state is State.ABORTED


def test_steps_that_send_while_they_are_closed_are_refused() -> None:
    def steps() -> Steps[None]:
        try:
            yield Statement("SELECT 1")
        finally:
            yield Statement("ROLLBACK")

    execution = Execution(steps())
    execution.start()
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        execution.abort()
    assert execution.state is State.ABORTED


def test_abort_leaves_a_value_alone() -> None:
    script = Script(plan("SELECT 1")).gets((1,)).is_interrupted()
    assert script.execution.state is State.DONE
    assert script.result == 1


def test_abort_leaves_an_error_alone() -> None:
    script = Script(plan("SELECT 1")).breaks(TAKEN).is_interrupted()
    with pytest.raises(peewee.IntegrityError, match="taken"):
        _ = script.result


def test_the_repr_of_an_execution_says_what_it_waits_for() -> None:
    execution = Execution(both())
    assert repr(execution) == "<Execution ready>"
    execution.start()
    assert repr(execution) == "<Execution waiting for 'SELECT 1'>"
    execution.feed(ONE)
    assert repr(execution) == "<Execution waiting for 'SELECT 2'>"
    execution.feed(ONE)
    assert repr(execution) == "<Execution done>"


@pytest.mark.parametrize("length", [60, 61])
def test_a_long_statement_is_cut_in_a_repr(length: int) -> None:
    sql = "x" * length
    shown = sql if length == 60 else "x" * 57 + "..."
    assert repr(plan(sql)) == f"<Plan '{shown}'>"


def test_misuse_is_answered_in_a_sentence() -> None:
    execution = Execution(both())
    execution.start()
    with pytest.raises(
        RuntimeError, match=r"^cannot start <Execution waiting for 'SELECT 1'>$"
    ):
        execution.start()


def test_the_example_in_the_documentation_is_true() -> None:
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0
    assert outcome.failed == 0


class Halves:
    """Makes a list of all rows, or of some of them at a time."""

    def __call__(self, reply: Reply) -> list[Any]:
        return [row[0] / 2 for row in reply.rows]

    def portions(self, reply: Reply) -> Iterator[list[Any]]:
        for start in range(0, len(reply.rows), PORTION):
            yield self(reply._replace(rows=reply.rows[start : start + PORTION]))


def numbers(count: int) -> Reply:
    return Reply([(number,) for number in range(count)], ("n",), count)


@pytest.mark.parametrize(
    ("rows", "pauses"),
    [(0, 0), (1, 0), (PORTION, 0), (PORTION + 1, 2), (3 * PORTION, 3)],
)
def test_many_rows_are_read_with_pauses(rows: int, pauses: int) -> None:
    execution: Execution[Any] = Execution(Plan(Statement("SELECT n"), Halves()))
    assert execution.start() == Statement("SELECT n")
    request = execution.feed(numbers(rows))
    for _ in range(pauses):
        assert isinstance(request, Pause)
        assert (request.sql, request.params) == ("", ())
        request = execution.feed(Reply())
    assert request is None
    assert execution.result == [number / 2 for number in range(rows)]


def test_another_value_is_made_of_that_of_a_plan_which_stays_one() -> None:
    plan = Plan(Statement("SELECT n"), first_value)
    doubled = then(plan, lambda number: number * 2)
    assert isinstance(doubled, Plan)
    assert Script(doubled).sends("SELECT n").gets((3,), columns=("n",)).result == 6


def test_another_value_is_made_of_that_of_steps() -> None:
    assert Script(then(finished(3), lambda number: number * 2)).result == 6


def test_what_cannot_be_read_in_portions_is_read_at_once() -> None:
    execution = Execution(Plan(Statement("SELECT n"), lambda reply: len(reply.rows)))
    execution.start()
    assert execution.feed(numbers(3 * PORTION)) is None
    assert execution.result == 3 * PORTION


def test_interrupted_in_a_pause_nothing_comes_of_it() -> None:
    execution = Execution(Plan(Statement("SELECT n"), Halves()))
    execution.start()
    execution.feed(numbers(3 * PORTION))
    execution.abort()
    assert execution.state is State.ABORTED


def test_an_error_in_a_later_portion_is_raised() -> None:
    execution: Execution[Any] = Execution(Plan(Statement("SELECT n"), Halves()))
    execution.start()
    rows = [*numbers(PORTION).rows, ("x",)]
    assert isinstance(execution.feed(Reply(rows, ("n",))), Pause)
    assert execution.feed(Reply()) is None
    with pytest.raises(TypeError):
        _ = execution.result


class AnyDriver(RuleBasedStateMachine):
    """Calls in any order on steps of any kind, against a model of what is right."""

    @initialize(
        catches=st.lists(st.booleans(), max_size=4),
        ending=st.one_of(st.integers(), st.builds(ValueError, st.text())),
    )
    def begin(self, catches: list[bool], ending: int | ValueError) -> None:
        self.catches, self.ending = catches, ending
        self.heard: list[Reply | Exception] = []
        self.told: list[Reply | Exception] = []
        self.execution = Execution(self.steps())
        self.state, self.error = State.READY, None

    def steps(self) -> Steps[int]:
        for index, catches in enumerate(self.catches):
            try:
                self.heard.append((yield Statement(f"S{index}")))
            except peewee.DatabaseError as error:
                self.heard.append(error)
                if not catches:
                    raise
        if isinstance(self.ending, ValueError):
            raise self.ending
        return self.ending

    def expect(self, statement: Request | None) -> None:
        """Move the model on, to the next statement or to the end."""
        position = len(self.told)
        lost = position > 0 and not self.catches[position - 1]
        if lost and isinstance(self.told[-1], Exception):
            self.state, self.error = State.FAILED, self.told[-1]
        elif position < len(self.catches):
            self.state = State.WAITING
        elif isinstance(self.ending, ValueError):
            self.state, self.error = State.FAILED, self.ending
        else:
            self.state = State.DONE
        waits = self.state is State.WAITING
        assert statement == (Statement(f"S{position}") if waits else None)

    def misuse(self, verb: str, *arguments: Any) -> None:
        with pytest.raises(RuntimeError) as caught:
            getattr(self.execution, verb)(*arguments)
        assert f"cannot {verb}" in str(caught.value)
        assert self.state.value in str(caught.value)

    error: Exception | None

    @rule()
    def start(self) -> None:
        if self.state is State.READY:
            self.expect(self.execution.start())
        else:
            self.misuse("start")

    @rule(number=st.integers())
    def feed(self, number: int) -> None:
        reply = Reply([(number,)], ("n",))
        if self.state is State.WAITING:
            self.told.append(reply)
            self.expect(self.execution.feed(reply))
        else:
            self.misuse("feed", reply)

    @rule(kind=st.sampled_from([peewee.IntegrityError, peewee.OperationalError]))
    def fail(self, kind: type[peewee.DatabaseError]) -> None:
        error = kind("broken")
        if self.state is State.WAITING:
            self.told.append(error)
            self.expect(self.execution.fail(error))
        else:
            self.misuse("fail", error)

    @rule()
    def abort(self) -> None:
        self.execution.abort()
        if self.state in (State.READY, State.WAITING):
            self.state = State.ABORTED

    @invariant()
    def it_is_where_the_model_is(self) -> None:
        assert self.execution.state is self.state
        assert self.state.value in repr(self.execution)

    @invariant()
    def the_steps_heard_what_was_told(self) -> None:
        assert self.heard == self.told

    @invariant()
    def the_result_is_the_one_of_the_steps(self) -> None:
        if self.state is State.DONE:
            assert self.execution.result == self.ending
        elif self.state is State.FAILED:
            with pytest.raises(Exception) as caught:  # noqa: PT011 - compared below
                _ = self.execution.result
            assert caught.value is self.error
        else:
            with pytest.raises(RuntimeError, match="cannot read the result"):
                _ = self.execution.result


TestAnyDriver = AnyDriver.TestCase
TestAnyDriver.settings = settings(
    max_examples=60, stateful_step_count=10, deadline=None, database=None
)
