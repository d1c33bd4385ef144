"""The blocks of one connection: what is sent for them, and what is believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import peewee
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from peewee_async.core.boundary import Reply, Statement, Status
from peewee_async.core.dialect import Dialect, TransactionOptions
from peewee_async.core.execution import Execution, Plan, Steps, Work
from peewee_async.core.transactions import (
    Block,
    Kind,
    State,
    Transactions,
    atomic,
    lost,
)
from tests.unit.models import DIALECTS, MYSQL, POSTGRES, SQLITE
from tests.unit.script import Script

BROKEN = peewee.OperationalError("broken")
REFUSED = peewee.IntegrityError("deferred constraint")
SERIALIZABLE = TransactionOptions(isolation_level="SERIALIZABLE")


@pytest.fixture
def transactions() -> Transactions:
    return Transactions(POSTGRES)


def done(work: Work[Any]) -> Any:
    """Do work on a server where everything succeeds."""
    execution = Execution(work)
    waiting = execution.start()
    while waiting is not None:
        waiting = execution.feed(Reply())
    return execution.result


def opened(transactions: Transactions) -> Block:
    block: Block = done(transactions.transaction())
    return block


def nested(transactions: Transactions) -> Block:
    block: Block = done(transactions.savepoint())
    return block


# Opening


@pytest.mark.parametrize(
    ("dialect", "begin"),
    [(POSTGRES, "BEGIN"), (MYSQL, "BEGIN"), (SQLITE, "BEGIN IMMEDIATE")],
)
def test_a_transaction_begins_and_commits(dialect: Dialect, begin: str) -> None:
    transactions = Transactions(dialect)
    block = Script(transactions.transaction()).sends(begin).writes().result
    assert transactions.blocks == [block]
    assert (block.kind, block.state) == (Kind.TRANSACTION, State.ACTIVE)
    assert Script(transactions.commit(block)).sends("COMMIT").writes().result == []
    assert (block.state, block.ended, transactions.depth) == (State.COMMITTED, True, 0)


def kept(transactions: Transactions) -> Block:
    block: Block = Script(transactions.connection()).result
    return block


def test_a_block_that_keeps_the_connection_sends_nothing(
    transactions: Transactions,
) -> None:
    block = kept(transactions)
    assert (block.kind, block.state, repr(block)) == (
        Kind.CONNECTION,
        State.ACTIVE,
        "<Block connection, active>",
    )
    assert (transactions.top, transactions.depth) == (block, 0)
    assert Script(transactions.commit(block)).result == []
    assert (block.state, transactions.blocks) == (State.COMMITTED, [])
    block = kept(transactions)
    assert Script(transactions.rollback(block)).result is None
    assert (block.state, transactions.blocks) == (State.ROLLED_BACK, [])


def test_on_a_kept_connection_transactions_begin_as_everywhere(
    transactions: Transactions,
) -> None:
    base = kept(transactions)
    with pytest.raises(RuntimeError, match="needs a transaction"):
        transactions.savepoint()
    for opening in (transactions.atomic, transactions.transaction):
        outer = Script(opening(SERIALIZABLE))
        outer.sends("BEGIN ISOLATION LEVEL SERIALIZABLE").writes()
        block = outer.result
        assert (block.kind, block.outer) == (Kind.TRANSACTION, base)
        block.callbacks.append(print)
        inner = Script(transactions.atomic()).writes().result
        assert (inner.kind, transactions.depth) == (Kind.SAVEPOINT, 2)
        done(transactions.commit(inner))
        script = Script(transactions.commit(block)).sends("COMMIT").writes()
        assert (script.result, transactions.blocks) == ([print], [base])


def test_a_kept_connection_outlives_a_transaction_that_its_server_ended(
    transactions: Transactions,
) -> None:
    base = kept(transactions)
    transactions.observe(Status.IDLE, failed=True)
    block = opened(transactions)
    transactions.observe(Status.IDLE, failed=True)
    assert [each.state for each in (base, block)] == [State.ACTIVE, State.LOST]
    with pytest.raises(peewee.OperationalError, match="The transaction is lost: the"):
        transactions.require_alive()
    transactions.end(block)
    transactions.require_alive()
    assert (transactions.loss, base.doomed) == (None, False)
    assert opened(transactions).state is State.ACTIVE


def test_a_kept_connection_that_breaks_is_lost(transactions: Transactions) -> None:
    base, block = kept(transactions), opened(transactions)
    transactions.lose("the cable is cut")
    transactions.end(block)
    assert base.state is State.LOST
    with pytest.raises(peewee.OperationalError, match="The connection is lost: the"):
        transactions.require_alive()


def test_a_kept_connection_outlives_a_begin_that_fails(
    transactions: Transactions,
) -> None:
    base, block = kept(transactions), opened(transactions)
    script = Script(transactions.commit(block, begin=True)).sends("COMMIT").writes()
    assert script.sends("BEGIN").breaks(BROKEN).result == []
    assert [each.state for each in (base, block)] == [State.ACTIVE, State.LOST]


@pytest.mark.parametrize("status", [Status.IDLE, Status.BUSY])
def test_the_server_has_ended_it_whatever_else_goes_on(
    transactions: Transactions, status: Status
) -> None:
    block = opened(transactions)
    transactions.observe(status, failed=True)
    assert block.state is State.LOST


def test_cursors_have_names_of_their_own(transactions: Transactions) -> None:
    assert len({transactions.open_cursor() for _ in range(3)}) == 3


@pytest.mark.parametrize("dialect", [MYSQL, SQLITE])
@pytest.mark.parametrize(
    ("end", "verb"),
    [(Transactions.commit, "COMMIT"), (Transactions.rollback, "ROLLBACK")],
)
def test_cursors_left_open_are_given_up_before_the_end(
    dialect: Dialect, end: Any, verb: str
) -> None:
    transactions = Transactions(dialect)
    block = opened(transactions)
    kept, closed = transactions.open_cursor(), transactions.open_cursor()
    transactions.forget_cursor(closed)
    done(transactions.commit(nested(transactions)))
    done(end(transactions, block, begin=True))
    script = Script(end(transactions, block)).fetches(kept, 0).writes()
    script.sends(verb).writes()
    assert (block.ended, transactions.cursors) == (True, [])


def test_an_error_that_ends_the_transaction_before_its_commit_is_told() -> None:
    transactions = Transactions(MYSQL)
    block = opened(transactions)
    cursor = transactions.open_cursor()
    script = Script(transactions.commit(block)).fetches(cursor, 0).breaks(BROKEN)
    script.sends("ROLLBACK").writes()
    with pytest.raises(peewee.OperationalError, match="broken"):
        _ = script.result
    assert block.state is State.ROLLED_BACK


def test_postgres_closes_the_cursors_of_a_transaction_with_it(
    transactions: Transactions,
) -> None:
    kept = done(transactions.connection())
    held = transactions.open_cursor()
    block = opened(transactions)
    name = transactions.open_cursor()
    endings = transactions.endings
    assert not transactions.may_have_ended(name, endings)
    transactions.forget_cursor(name)
    Script(transactions.commit(block)).sends("COMMIT").writes()
    assert transactions.may_have_ended(name, endings)
    assert not transactions.may_have_ended(held, endings)
    assert transactions.cursors == [held]
    Script(transactions.commit(kept)).fetches(held, 0).writes()
    assert (kept.ended, transactions.cursors) == (True, [])


@pytest.mark.parametrize(
    ("dialect", "name"), [(POSTGRES, '"s1"'), (MYSQL, "`s1`"), (SQLITE, '"s1"')]
)
def test_a_savepoint_is_made_and_released(dialect: Dialect, name: str) -> None:
    transactions = Transactions(dialect)
    outer = opened(transactions)
    inner = Script(transactions.savepoint()).sends(f"SAVEPOINT {name}").writes().result
    assert (inner.kind, inner.outer, transactions.top) == (Kind.SAVEPOINT, outer, inner)
    Script(transactions.commit(inner)).sends(f"RELEASE SAVEPOINT {name}").writes()
    assert (inner.state, transactions.top) == (State.COMMITTED, outer)


def test_savepoints_are_counted(transactions: Transactions) -> None:
    opened(transactions)
    assert nested(transactions).name == "s1"
    done(transactions.rollback(nested(transactions)))
    assert nested(transactions).name == "s3"


def test_a_transaction_inside_another_sends_nothing(transactions: Transactions) -> None:
    outer = opened(transactions)
    inner = Script(transactions.transaction()).result
    assert (inner.kind, inner.outer) == (Kind.JOINED, outer)
    assert Script(transactions.commit(inner)).result == []
    assert (inner.state, transactions.top) == (State.COMMITTED, outer)


def test_atomic_is_a_transaction_and_inside_one_a_savepoint(
    transactions: Transactions,
) -> None:
    assert done(transactions.atomic()).kind is Kind.TRANSACTION
    assert done(transactions.atomic()).kind is Kind.SAVEPOINT
    assert transactions.depth == 2


def test_a_block_is_not_active_before_the_server_has_answered(
    transactions: Transactions,
) -> None:
    opened(transactions)
    script = Script(transactions.atomic())
    states = [transactions.blocks[1].state]
    script.writes()
    states.append(transactions.blocks[1].state)
    assert states == [State.FAILED, State.ACTIVE]


def test_the_outermost_is_not_open_before_the_server_has_answered(
    transactions: Transactions,
) -> None:
    script = Script(transactions.transaction()).sends("BEGIN")
    assert transactions.blocks == []
    block = script.writes().result
    assert (transactions.blocks, block.state) == ([block], State.ACTIVE)


def test_nothing_is_open_at_first(transactions: Transactions) -> None:
    assert (transactions.depth, transactions.top) == (0, None)


def test_the_depth_counts_transactions_as_peewee_does(
    transactions: Transactions,
) -> None:
    depths = [opened(transactions).depth, nested(transactions).depth]
    depths += [opened(transactions).depth, nested(transactions).depth]
    assert depths == [1, 1, 2, 2]


def test_options_are_for_the_outermost_block(transactions: Transactions) -> None:
    script = Script(transactions.atomic(SERIALIZABLE))
    script.sends("BEGIN ISOLATION LEVEL SERIALIZABLE").writes()
    for nest in (transactions.atomic, transactions.transaction):
        with pytest.raises(ValueError, match="Only the outermost block can choose"):
            nest(SERIALIZABLE)


def test_an_option_that_the_database_does_not_have_opens_nothing() -> None:
    transactions = Transactions(SQLITE)
    with pytest.raises(ValueError, match="no isolation_level"):
        transactions.transaction(SERIALIZABLE)
    assert transactions.depth == 0


def test_a_savepoint_needs_a_transaction(transactions: Transactions) -> None:
    with pytest.raises(RuntimeError, match="A savepoint needs a transaction around it"):
        transactions.savepoint()


@pytest.mark.parametrize(
    ("dialect", "name", "quoted"),
    [
        (POSTGRES, 'a"; DROP TABLE b; --', '"a""; DROP TABLE b; --"'),
        (MYSQL, "a`b", "`a``b`"),
        (SQLITE, 'a"b', '"a""b"'),
        (POSTGRES, "50%", '"50%%"'),
        (SQLITE, "50%", '"50%"'),
    ],
)
def test_names_of_savepoints_are_quoted(
    dialect: Dialect, name: str, quoted: str
) -> None:
    transactions = Transactions(dialect)
    opened(transactions)
    script = Script(transactions.savepoint(name)).sends(f"SAVEPOINT {quoted}")
    block = script.writes().result
    Script(transactions.rollback(block)).sends(f"ROLLBACK TO SAVEPOINT {quoted}")


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_names_that_cannot_be_are_refused(
    transactions: Transactions, name: str
) -> None:
    opened(transactions)
    with pytest.raises(ValueError, match="cannot be the name of a savepoint"):
        transactions.savepoint(name)
    assert transactions.depth == 1


def test_a_failing_begin_leaves_nothing_open(transactions: Transactions) -> None:
    script = Script(transactions.transaction()).sends("BEGIN").breaks(BROKEN)
    with pytest.raises(peewee.OperationalError, match="broken"):
        _ = script.result
    assert transactions.depth == 0


def test_a_failing_savepoint_leaves_the_outer_block_open(
    transactions: Transactions,
) -> None:
    outer = opened(transactions)
    Script(transactions.savepoint()).breaks(BROKEN)
    assert (transactions.blocks, outer.state) == ([outer], State.ACTIVE)


def test_the_isolation_level_of_mysql_is_set_before_begin() -> None:
    transactions = Transactions(MYSQL)
    script = Script(transactions.transaction(SERIALIZABLE))
    script.sends("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE").writes()
    states = [transactions.blocks[0].state]
    script.sends("BEGIN").writes()
    states.append(transactions.blocks[0].state)
    assert states == [State.FAILED, State.ACTIVE]


def test_the_isolation_level_of_mysql_does_not_outlive_a_begin_that_failed() -> None:
    transactions = Transactions(MYSQL)
    script = Script(transactions.transaction(SERIALIZABLE))
    script.sends("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE").writes()
    script.sends("BEGIN").breaks(BROKEN)
    script.sends("ROLLBACK").writes()
    with pytest.raises(peewee.OperationalError) as caught:
        _ = script.result
    assert caught.value is BROKEN
    assert transactions.blocks == []


def test_a_begin_that_failed_is_what_comes_out() -> None:
    transactions = Transactions(MYSQL)
    script = Script(transactions.transaction(SERIALIZABLE)).writes()
    error = peewee.OperationalError("read-only")
    script.breaks(error).sends("ROLLBACK").breaks(BROKEN)
    with pytest.raises(peewee.OperationalError, match="read-only") as caught:
        _ = script.result
    assert caught.value.__notes__ == ["The ROLLBACK failed as well: broken"]
    assert transactions.blocks == []


@pytest.mark.parametrize("step", [0, 1, 2])
def test_an_interrupted_beginning_leaves_no_block(step: int) -> None:
    transactions = Transactions(MYSQL)
    script = Script(transactions.transaction(SERIALIZABLE))
    if step > 0:
        script.writes()
    if step > 1:
        script.breaks(BROKEN)
    script.is_interrupted()
    assert transactions.blocks == []


# Committing


def test_a_refused_commit_is_rolled_back_and_the_refusal_comes_out(
    transactions: Transactions,
) -> None:
    block = opened(transactions)
    script = Script(transactions.commit(block)).sends("COMMIT").breaks(REFUSED)
    script.sends("ROLLBACK").writes()
    with pytest.raises(peewee.IntegrityError, match="deferred constraint"):
        _ = script.result
    assert (block.state, transactions.depth) == (State.ROLLED_BACK, 0)


def test_a_failing_release_is_rolled_back_and_the_outer_block_goes_on(
    transactions: Transactions,
) -> None:
    outer = opened(transactions)
    inner = nested(transactions)
    script = Script(transactions.commit(inner)).breaks(REFUSED)
    script.sends('ROLLBACK TO SAVEPOINT "s1"').writes()
    with pytest.raises(peewee.IntegrityError):
        _ = script.result
    assert inner.state is State.ROLLED_BACK
    Script(transactions.commit(outer)).sends("COMMIT").writes()
    assert outer.state is State.COMMITTED


def test_a_rollback_that_fails_after_a_commit_is_noted_on_its_error(
    transactions: Transactions,
) -> None:
    block = opened(transactions)
    error = peewee.IntegrityError("refused")
    script = Script(transactions.commit(block)).breaks(error).breaks(BROKEN)
    with pytest.raises(peewee.IntegrityError) as caught:
        _ = script.result
    assert caught.value.__notes__ == ["The ROLLBACK failed as well: broken"]
    assert (block.state, transactions.depth) == (State.LOST, 0)


def test_nothing_is_claimed_while_the_answer_is_not_there(
    transactions: Transactions,
) -> None:
    opened(transactions)
    for verb in (transactions.commit, transactions.rollback):
        block = nested(transactions)
        script = Script(verb(block))
        assert block.state is State.FAILED
        script.writes()
        assert block.ended


def test_a_block_that_has_not_begun_is_not_committed(
    transactions: Transactions,
) -> None:
    opened(transactions)
    opening = Script(transactions.savepoint("a")).sends('SAVEPOINT "a"')
    block = transactions.blocks[1]
    script = Script(transactions.commit(block))
    script.sends('ROLLBACK TO SAVEPOINT "a"').writes()
    with pytest.raises(peewee.InternalError):
        _ = script.result
    opening.is_interrupted()
    assert (transactions.depth, block.ended) == (1, True)


def test_an_aborted_transaction_is_not_committed(transactions: Transactions) -> None:
    block = opened(transactions)
    transactions.observe(Status.ABORTED)
    script = Script(transactions.commit(block)).sends("ROLLBACK").writes()
    with pytest.raises(peewee.InternalError, match="cannot be committed"):
        _ = script.result
    assert block.state is State.ROLLED_BACK


def test_a_transaction_that_was_repaired_is_committed(
    transactions: Transactions,
) -> None:
    block = opened(transactions)
    transactions.observe(Status.ABORTED, failed=True)
    transactions.observe(Status.OPEN)
    Script(transactions.commit(block)).sends("COMMIT").writes()
    assert block.state is State.COMMITTED


def test_an_aborted_transaction_lets_the_server_judge_its_savepoints(
    transactions: Transactions,
) -> None:
    opened(transactions)
    inner = nested(transactions)
    transactions.observe(Status.ABORTED)
    Script(transactions.commit(inner)).sends('RELEASE SAVEPOINT "s1"')


def test_observing_says_nothing_where_no_transaction_is(
    transactions: Transactions,
) -> None:
    transactions.observe(Status.IDLE, failed=True)
    assert transactions.loss is None
    script = Script(transactions.transaction()).sends("BEGIN")
    transactions.observe(Status.IDLE, failed=True)
    assert transactions.loss is None
    script.writes()


def test_an_idle_connection_alone_is_no_loss(transactions: Transactions) -> None:
    opened(transactions)
    transactions.observe(Status.IDLE)
    assert transactions.loss is None


# Rolling back


def test_a_transaction_is_rolled_back(transactions: Transactions) -> None:
    block = opened(transactions)
    Script(transactions.rollback(block)).sends("ROLLBACK").writes()
    assert (block.state, block.ended) == (State.ROLLED_BACK, True)
    assert transactions.depth == 0


def test_a_savepoint_is_rolled_back_alone(transactions: Transactions) -> None:
    outer = opened(transactions)
    inner = nested(transactions)
    Script(transactions.rollback(inner)).sends('ROLLBACK TO SAVEPOINT "s1"').writes()
    assert (inner.state, outer.state) == (State.ROLLED_BACK, State.ACTIVE)


def test_a_failing_rollback_ends_the_block_and_comes_out(
    transactions: Transactions,
) -> None:
    block = opened(transactions)
    script = Script(transactions.rollback(block)).breaks(BROKEN)
    with pytest.raises(peewee.OperationalError, match="broken"):
        _ = script.result
    assert (block.state, block.ended) == (State.LOST, True)


def test_what_a_savepoint_could_not_undo_is_never_committed(
    transactions: Transactions,
) -> None:
    outer = opened(transactions)
    Script(transactions.rollback(nested(transactions))).breaks(BROKEN)
    script = Script(transactions.commit(outer)).sends("ROLLBACK").writes()
    with pytest.raises(peewee.InternalError):
        _ = script.result


def test_a_failed_inner_transaction_dooms_the_outer_one(
    transactions: Transactions,
) -> None:
    outer = opened(transactions)
    inner = opened(transactions)
    assert Script(transactions.rollback(inner)).result is None
    script = Script(transactions.commit(outer)).sends("ROLLBACK").writes()
    with pytest.raises(peewee.InternalError, match="a block inside it failed"):
        _ = script.result
    assert (outer.state, transactions.depth) == (State.ROLLED_BACK, 0)


def test_doom_goes_outwards_as_far_as_a_savepoint(transactions: Transactions) -> None:
    outer = opened(transactions)
    savepoint = nested(transactions)
    opened(transactions)
    done(transactions.rollback(opened(transactions)))
    for block in (transactions.blocks[-1], savepoint):
        work = Execution(transactions.commit(block))
        waiting = work.start()
        while waiting is not None:
            assert waiting.sql == 'ROLLBACK TO SAVEPOINT "s1"'
            waiting = work.feed(Reply())
        with pytest.raises(peewee.InternalError):
            _ = work.result
    Script(transactions.commit(outer)).sends("COMMIT").writes()
    assert outer.state is State.COMMITTED


def test_a_doomed_transaction_that_begins_anew_can_be_committed(
    transactions: Transactions,
) -> None:
    outer = opened(transactions)
    done(transactions.rollback(opened(transactions)))
    done(transactions.rollback(outer, begin=True))
    Script(transactions.commit(outer)).sends("COMMIT").writes()
    assert outer.state is State.COMMITTED


def test_a_transaction_begun_anew_has_nothing_of_the_aborted_one(
    transactions: Transactions,
) -> None:
    block = opened(transactions)
    transactions.observe(Status.ABORTED, failed=True)
    done(transactions.rollback(block, begin=True))
    transactions.observe(Status.OPEN)
    Script(transactions.commit(block)).sends("COMMIT")


def test_rolling_back_after_an_error_that_left_a_block_open_dooms_what_is_around(
    transactions: Transactions,
) -> None:
    outer = opened(transactions)
    middle = nested(transactions)
    nested(transactions)
    error = peewee.DataError("no number")
    assert Script(transactions.rollback_after(middle, error)).result is None
    assert "another block is open inside it" in error.__notes__[0]
    assert transactions.blocks == [outer]
    Script(transactions.commit(outer)).sends("ROLLBACK")


# Going on afterwards


def test_a_transaction_is_committed_and_begun_anew(transactions: Transactions) -> None:
    block = done(transactions.transaction(SERIALIZABLE))
    script = Script(transactions.commit(block, begin=True)).sends("COMMIT").writes()
    script.sends("BEGIN ISOLATION LEVEL SERIALIZABLE")
    assert block.state is State.FAILED
    assert script.writes().result == []
    assert (transactions.blocks, block.state) == ([block], State.ACTIVE)


def test_a_transaction_is_rolled_back_and_begun_anew(
    transactions: Transactions,
) -> None:
    block = opened(transactions)
    script = Script(transactions.rollback(block, begin=True)).sends("ROLLBACK")
    script.writes().sends("BEGIN").writes()
    assert (transactions.blocks, block.state) == ([block], State.ACTIVE)


def test_a_savepoint_is_released_and_made_anew(transactions: Transactions) -> None:
    opened(transactions)
    inner = nested(transactions)
    script = Script(transactions.commit(inner, begin=True))
    script.sends('RELEASE SAVEPOINT "s1"').writes().sends('SAVEPOINT "s1"').writes()
    assert (transactions.top, inner.state) == (inner, State.ACTIVE)


def test_a_joined_transaction_cannot_go_on(transactions: Transactions) -> None:
    opened(transactions)
    inner = opened(transactions)
    for verb in (transactions.commit, transactions.rollback):
        with pytest.raises(RuntimeError, match="only the outermost transaction can"):
            done(verb(inner, begin=True))
    assert inner.state is State.ACTIVE


def test_a_refused_commit_begins_anew_after_its_rollback(
    transactions: Transactions,
) -> None:
    block = opened(transactions)
    script = Script(transactions.commit(block, begin=True)).breaks(REFUSED)
    script.sends("ROLLBACK").writes().sends("BEGIN").writes()
    with pytest.raises(peewee.IntegrityError):
        _ = script.result
    assert (transactions.blocks, block.state) == ([block], State.ACTIVE)


def test_a_doomed_transaction_begins_anew_after_its_refusal(
    transactions: Transactions,
) -> None:
    block = opened(transactions)
    done(transactions.rollback(opened(transactions)))
    with pytest.raises(peewee.InternalError):
        done(transactions.commit(block, begin=True))
    assert (transactions.blocks, block.state) == ([block], State.ACTIVE)


def test_a_commit_is_done_though_nothing_can_begin_after_it(
    transactions: Transactions,
) -> None:
    block = opened(transactions)
    block.callbacks.append(print)
    script = Script(transactions.commit(block, begin=True)).writes().breaks(BROKEN)
    assert script.result == [print]
    assert block.state is State.LOST
    with pytest.raises(peewee.OperationalError, match=r"could not begin anew \(broken"):
        transactions.require_alive()


def test_a_rollback_is_done_though_nothing_can_begin_after_it(
    transactions: Transactions,
) -> None:
    block = opened(transactions)
    Script(transactions.rollback(block, begin=True)).writes().breaks(BROKEN)
    assert (transactions.blocks, block.state) == ([block], State.LOST)


# Losing


def test_a_failed_statement_that_ended_the_transaction_loses_it(
    transactions: Transactions,
) -> None:
    blocks = [opened(transactions), nested(transactions)]
    transactions.observe(Status.IDLE, failed=True)
    assert [block.state for block in blocks] == [State.LOST, State.LOST]


SAID = ConnectionResetError("the driver's own words")


def reason(transactions: Transactions) -> BaseException | None:
    with pytest.raises(peewee.OperationalError, match="lost") as caught:
        transactions.require_alive()
    return caught.value.__cause__


def test_what_the_driver_said_comes_with_every_error(
    transactions: Transactions,
) -> None:
    opened(transactions)
    inner = nested(transactions)
    transactions.lose("the cable is cut", cause=SAID)
    transactions.lose("it is cut once more", cause=KeyError("later"))
    assert reason(transactions) is SAID
    transactions.end(inner)
    assert reason(transactions) is SAID


def test_what_the_driver_said_of_a_transaction_that_the_server_ended(
    transactions: Transactions,
) -> None:
    opened(transactions)
    transactions.observe(Status.IDLE, failed=True, cause=SAID)
    assert reason(transactions) is SAID


def broken() -> peewee.OperationalError:
    error = peewee.OperationalError("broken")
    error.__cause__ = SAID
    return error


@pytest.mark.parametrize("verb", [Transactions.commit, Transactions.rollback])
def test_what_the_driver_said_of_a_command_that_failed(
    transactions: Transactions, verb: Callable[[Transactions, Block], Steps[Any]]
) -> None:
    block = opened(transactions)
    script = Script(verb(transactions, block))
    while not block.ended:
        script.breaks(broken())
    assert lost(block).__cause__ is SAID


def test_what_the_driver_said_of_a_block_that_cannot_begin_anew(
    transactions: Transactions,
) -> None:
    block = opened(transactions)
    Script(transactions.commit(block, begin=True)).writes().breaks(broken())
    assert reason(transactions) is SAID


def test_every_verb_refuses_what_is_lost(transactions: Transactions) -> None:
    block = opened(transactions)
    transactions.lose("the cable is cut")
    verbs: list[Callable[[], Work[Any]]] = [
        transactions.atomic,
        transactions.transaction,
        transactions.savepoint,
        lambda: transactions.commit(block),
        lambda: transactions.rollback(block),
        lambda: atomic(transactions, Plan(Statement("SELECT 1"), list)),
    ]
    for verb in verbs:
        script = Script(verb())
        with pytest.raises(peewee.OperationalError, match="lost: the cable is cut"):
            _ = script.result
    assert (transactions.blocks, block.state) == ([block], State.LOST)


def test_the_first_reason_of_a_loss_is_told(transactions: Transactions) -> None:
    opened(transactions)
    transactions.lose("the cable is cut")
    transactions.lose("the server is gone")
    assert transactions.loss == "the cable is cut"


def test_a_lost_block_ends_with_everything_inside_it(
    transactions: Transactions,
) -> None:
    outer = opened(transactions)
    inner = nested(transactions)
    transactions.lose("the cable is cut")
    transactions.end(outer)
    assert (transactions.depth, outer.ended, inner.ended) == (0, True, True)
    transactions.require_alive()


def test_ending_what_has_ended_does_nothing(transactions: Transactions) -> None:
    outer = opened(transactions)
    inner = nested(transactions)
    done(transactions.commit(inner))
    transactions.end(inner)
    assert transactions.blocks == [outer]
    Script(transactions.commit(outer)).sends("COMMIT")


def test_rolling_back_what_is_lost_ends_it_without_a_statement(
    transactions: Transactions,
) -> None:
    block = opened(transactions)
    transactions.lose("the cable is cut")
    error = peewee.DataError("no number")
    assert Script(transactions.rollback_after(block, error)).result is None
    assert "the cable is cut" in error.__notes__[0]
    assert (transactions.depth, block.state) == (0, State.LOST)


Verb = Callable[[Transactions, Block], Work[Any]]


@pytest.mark.parametrize(
    ("verb", "step"),
    [
        (lambda transactions, block: transactions.commit(block), 0),
        (lambda transactions, block: transactions.rollback(block), 0),
        (lambda transactions, block: transactions.commit(block, begin=True), 0),
        (lambda transactions, block: transactions.commit(block, begin=True), 1),
        (lambda transactions, block: transactions.rollback(block, begin=True), 0),
        (lambda transactions, block: transactions.rollback(block, begin=True), 1),
    ],
)
def test_an_interrupted_command_loses_the_transaction_and_ends_its_block(
    transactions: Transactions, verb: Verb, step: int
) -> None:
    outer = opened(transactions)
    inner = nested(transactions)
    script = Script(verb(transactions, inner))
    for _ in range(step):
        script.writes()
    script.is_interrupted()
    assert (transactions.blocks, inner.ended) == ([outer], True)
    assert (outer.state, inner.state) == (State.LOST, State.LOST)
    assert str(transactions.loss).endswith("in the middle of a command")


def test_an_interrupted_opening_loses_what_is_around(
    transactions: Transactions,
) -> None:
    outer = opened(transactions)
    script = Script(transactions.atomic())
    block = transactions.blocks[-1]
    script.is_interrupted()
    assert transactions.blocks == [outer]
    assert {outer.state, block.state} == {State.LOST}


def test_no_transaction_is_opened_on_a_kept_connection_that_is_lost(
    transactions: Transactions,
) -> None:
    assert Script(transactions.connection()).result.state is State.ACTIVE
    transactions.lose("it broke")
    with pytest.raises(peewee.OperationalError, match="The connection is lost"):
        transactions.atomic()


def test_an_interrupted_opening_of_the_outermost_leaves_nothing_open(
    transactions: Transactions,
) -> None:
    Script(transactions.atomic()).sends("BEGIN").is_interrupted()
    assert transactions.blocks == []


# Callbacks


def callback(name: str) -> Callable[[], str]:
    return lambda: name


def test_callbacks_come_out_of_the_outermost_commit_in_order(
    transactions: Transactions,
) -> None:
    first, second, third, fourth = map(callback, "abcd")
    outer = opened(transactions)
    outer.callbacks.append(first)
    joined = opened(transactions)
    joined.callbacks.append(second)
    assert done(transactions.commit(joined)) == []
    inner = nested(transactions)
    inner.callbacks.append(third)
    assert done(transactions.commit(inner)) == []
    outer.callbacks.append(fourth)
    assert done(transactions.commit(outer)) == [first, second, third, fourth]


def test_callbacks_of_a_block_that_is_rolled_back_are_dropped(
    transactions: Transactions,
) -> None:
    first, second = map(callback, "ab")
    outer = opened(transactions)
    outer.callbacks.append(first)
    inner = nested(transactions)
    inner.callbacks.append(second)
    done(transactions.rollback(inner))
    assert done(transactions.commit(outer)) == [first]


def test_callbacks_that_were_merged_are_dropped_with_the_outer_block(
    transactions: Transactions,
) -> None:
    outer = opened(transactions)
    inner = nested(transactions)
    inner.callbacks.append(callback("a"))
    done(transactions.commit(inner))
    done(transactions.rollback(outer, begin=True))
    assert done(transactions.commit(outer)) == []


def test_each_commit_gives_the_callbacks_since_the_last_one(
    transactions: Transactions,
) -> None:
    first, second = map(callback, "ab")
    block = opened(transactions)
    block.callbacks.append(first)
    assert done(transactions.commit(block, begin=True)) == [first]
    block.callbacks.append(second)
    assert done(transactions.commit(block)) == [second]


def test_callbacks_wait_when_a_savepoint_goes_on(transactions: Transactions) -> None:
    first, second = map(callback, "ab")
    outer = opened(transactions)
    inner = nested(transactions)
    inner.callbacks.append(first)
    assert done(transactions.commit(inner, begin=True)) == []
    inner.callbacks.append(second)
    done(transactions.rollback(inner))
    assert done(transactions.commit(outer)) == [first]


def test_a_loss_drops_the_callbacks(transactions: Transactions) -> None:
    block = opened(transactions)
    block.callbacks.append(callback("a"))
    transactions.lose("the cable is cut")
    assert block.callbacks == []


# Misuse


def test_a_block_that_has_ended_cannot_be_used(transactions: Transactions) -> None:
    block = opened(transactions)
    done(transactions.commit(block))
    with pytest.raises(
        RuntimeError,
        match=r"^cannot commit <Block transaction, committed>: it has ended$",
    ):
        done(transactions.commit(block))
    with pytest.raises(
        RuntimeError,
        match=r"^cannot roll back <Block transaction, committed>: it has ended$",
    ):
        done(transactions.rollback(block))


def test_a_block_cannot_end_before_those_inside_it(transactions: Transactions) -> None:
    outer = opened(transactions)
    inner = nested(transactions)
    for verb in (transactions.commit, transactions.rollback):
        with pytest.raises(RuntimeError, match="another block is open inside it"):
            done(verb(outer))
    assert (transactions.blocks, outer.state) == ([outer, inner], State.ACTIVE)


def test_a_block_shows_its_name_and_state(transactions: Transactions) -> None:
    outer = opened(transactions)
    assert repr(outer) == "<Block transaction, active>"
    joined = opened(transactions)
    assert repr(joined) == "<Block transaction inside another, active>"
    inner = nested(transactions)
    assert repr(inner) == "<Block s1, active>"
    done(transactions.rollback(inner))
    assert repr(inner) == "<Block s1, rolled back>"


# Work in a block of its own

SELECT: Plan[int] = Plan(Statement("SELECT 1"), lambda reply: reply.rows[0][0])


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda it: it.family.value)
def test_work_is_done_in_a_transaction(dialect: Dialect) -> None:
    transactions = Transactions(dialect)
    script = Script(atomic(transactions, SELECT)).writes()
    script.sends("SELECT 1").gets((7,)).sends("COMMIT").writes()
    assert (script.result, transactions.depth) == (7, 0)


def test_work_inside_a_transaction_is_done_in_a_savepoint(
    transactions: Transactions,
) -> None:
    outer = opened(transactions)
    script = Script(atomic(transactions, SELECT)).sends('SAVEPOINT "s1"').writes()
    script.sends("SELECT 1").gets((7,)).sends('RELEASE SAVEPOINT "s1"').writes()
    assert (script.result, transactions.blocks) == (7, [outer])


def test_work_that_fails_is_rolled_back(transactions: Transactions) -> None:
    script = Script(atomic(transactions, SELECT)).writes().breaks(BROKEN)
    script.sends("ROLLBACK").writes()
    with pytest.raises(peewee.OperationalError, match="broken"):
        _ = script.result
    assert transactions.depth == 0


def test_work_that_cannot_read_its_reply_is_rolled_back(
    transactions: Transactions,
) -> None:
    script = Script(atomic(transactions, SELECT)).writes().gets()
    script.sends("ROLLBACK").writes()
    with pytest.raises(IndexError):
        _ = script.result


def test_work_that_is_interrupted_sends_no_rollback(transactions: Transactions) -> None:
    outer = opened(transactions)
    script = Script(atomic(transactions, SELECT)).writes().sends("SELECT 1")
    inner = transactions.blocks[-1]
    script.is_interrupted()
    assert transactions.blocks == [outer]
    assert (outer.state, inner.state) == (State.LOST, State.LOST)


def test_work_that_is_interrupted_leaves_no_block_of_its_own(
    transactions: Transactions,
) -> None:
    def careless() -> Steps[None]:
        yield from transactions.savepoint()
        yield Statement("SELECT 1")

    script = Script(atomic(transactions, careless())).writes().writes()
    script.sends("SELECT 1")
    assert transactions.depth == 2
    script.is_interrupted()
    assert transactions.depth == 0


# Pessimism


class ServerError(Exception):
    """The model server refuses a statement."""


@dataclass
class Server:
    """A server with one connection, as far as transactions go."""

    aborts: bool  # whether an error spoils the transaction, as in PostgreSQL
    alive: bool = True
    open: bool = False
    aborted: bool = False
    pending: list[int] = field(default_factory=list)
    savepoints: list[tuple[str, int]] = field(default_factory=list)
    committed: list[int] = field(default_factory=list)

    @property
    def status(self) -> Status:
        if not self.open:
            return Status.IDLE
        return Status.ABORTED if self.aborted else Status.OPEN

    def execute(self, sql: str) -> None:
        try:
            self.obey(sql)
        except ServerError:
            self.aborted = self.aborts and self.open
            raise

    def obey(self, sql: str) -> None:
        verb, _, name = sql.rpartition(" ")
        if sql == "COMMIT":
            if not self.aborted:
                self.committed += self.pending
            self.forget()
        elif sql == "ROLLBACK":
            self.forget()
        elif verb == "ROLLBACK TO SAVEPOINT":
            index = self.find(name)
            del self.pending[self.savepoints[index][1] :]
            del self.savepoints[index + 1 :]
            self.aborted = False
        elif self.aborted:
            raise ServerError(sql)
        else:
            self.go_on(verb, name)

    def go_on(self, verb: str, name: str) -> None:
        if verb == "WRITE":
            (self.pending if self.open else self.committed).append(int(name))
        elif verb == "RELEASE SAVEPOINT":
            del self.savepoints[self.find(name) :]
        elif verb != "SAVEPOINT":
            self.begin()
        elif self.open:
            self.savepoints.append((name, len(self.pending)))

    def begin(self) -> None:
        if self.open:
            raise ServerError("BEGIN")
        self.open = True

    def find(self, name: str) -> int:
        for index in reversed(range(len(self.savepoints))):
            if self.savepoints[index][0] == name:
                return index
        raise ServerError(name)

    def forget(self) -> None:
        self.open = self.aborted = False
        self.pending.clear()
        self.savepoints.clear()

    def cut(self) -> None:
        self.alive = False
        self.forget()


# What becomes of a statement. A write that fails has no effect on any server; of the
# other commands nobody can know.
FATES = st.sampled_from(
    ["done"] * 6
    + ["refused", "done and refused", "rolled back", "cut", "done and cut"]
    + ["interrupted", "done and interrupted"]
)


class Interrupted(Exception):
    """The task was cancelled while a statement was in flight."""


class Pessimism(RuleBasedStateMachine):
    """Blocks whose commands fail or are interrupted in any way and any order."""

    @initialize(aborts=st.booleans(), dialect=st.sampled_from(DIALECTS))
    def start(self, aborts: bool, dialect: Dialect) -> None:
        self.aborts = aborts
        self.dialect = dialect
        self.written = 0
        self.connect()

    def connect(self) -> None:
        self.server = Server(self.aborts)
        self.transactions = Transactions(self.dialect)
        self.kept: dict[Block, list[int]] = {}

    def do(self, make: Callable[[], Work[Any]], data: st.DataObject) -> Any:
        """Do work as a session does; the error, if it fails or is interrupted."""
        execution = Execution(make())
        try:
            waiting = execution.start()
            while waiting is not None:
                try:
                    self.send(waiting.sql, data)
                except ServerError as error:
                    waiting = execution.fail(peewee.OperationalError(str(error)))
                else:
                    waiting = execution.feed(Reply())
            return execution.result
        except (Interrupted, peewee.PeeweeException) as error:
            execution.abort()
            if self.server.alive:
                self.transactions.observe(self.server.status, failed=True)
            else:
                self.transactions.lose("cut")
            return error

    def send(self, sql: str, data: st.DataObject) -> None:
        if not self.server.alive:
            raise ServerError("there is no connection")
        fate = data.draw(FATES, label=sql)
        write = sql.startswith("WRITE")
        if "done" in fate and not (write and fate == "done and refused"):
            self.server.execute(sql)
        if fate == "rolled back":
            self.server.forget()
        if "interrupted" in fate or "cut" in fate:
            self.server.cut()
        if "interrupted" in fate:
            raise Interrupted
        if fate != "done":
            self.server.aborted = self.aborts and self.server.open
            raise ServerError(fate)

    @rule(data=st.data(), kind=st.sampled_from(["atomic", "transaction", "savepoint"]))
    def open(self, data: st.DataObject, kind: str) -> None:
        if not self.transactions.blocks:
            # The last connection went back to its pool.
            self.connect()
            kind = "transaction"
        block = self.do(getattr(self.transactions, kind), data)
        if isinstance(block, Block):
            self.kept[block] = []

    @precondition(lambda self: self.transactions.blocks and not self.transactions.loss)
    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        self.written += 1
        value = self.written
        plan = Plan(Statement(f"WRITE {value}"), lambda reply: value)
        if self.do(lambda: plan, data) == value:
            self.kept[self.transactions.blocks[-1]].append(value)

    @precondition(lambda self: self.transactions.blocks)
    @rule(data=st.data(), begin=st.booleans())
    def commit(self, data: st.DataObject, begin: bool) -> None:
        block = self.transactions.blocks[-1]
        begin = begin and block.kind is not Kind.JOINED
        if self.server.alive:
            self.transactions.observe(self.server.status)
        before = len(self.server.committed)
        outcome = self.do(lambda: self.transactions.commit(block, begin), data)
        kept = self.kept[block]
        self.kept[block] = []
        if isinstance(outcome, Exception):
            return
        if block.outer is not None:
            self.kept[block.outer] += kept
        else:
            assert self.server.committed[before:] == kept

    @precondition(lambda self: self.transactions.blocks)
    @rule(data=st.data(), begin=st.booleans())
    def rollback(self, data: st.DataObject, begin: bool) -> None:
        block = self.transactions.blocks[-1]
        begin = begin and block.kind is not Kind.JOINED
        self.do(lambda: self.transactions.rollback(block, begin), data)
        self.kept[block] = []

    @precondition(lambda self: self.transactions.loss)
    @rule()
    def leave(self) -> None:
        while self.transactions.blocks:
            self.transactions.end(self.transactions.blocks[-1])

    @invariant()
    def what_is_active_is_there(self) -> None:
        blocks = self.transactions.blocks
        savepoints = [name for name, _ in self.server.savepoints]
        for block in blocks:
            if block.state is not State.ACTIVE:
                continue
            assert self.server.open
            if block.kind is Kind.SAVEPOINT:
                assert self.dialect.quote(block.name) in savepoints

    @invariant()
    def what_is_pending_is_what_active_blocks_believe(self) -> None:
        blocks = self.transactions.blocks
        sound = all(b.state is State.ACTIVE and not b.doomed for b in blocks)
        if blocks and sound and not self.server.aborted:
            believed = [value for block in blocks for value in self.kept[block]]
            assert believed == self.server.pending


TestPessimism = Pessimism.TestCase
TestPessimism.settings = settings(
    max_examples=100, stateful_step_count=20, deadline=None, database=None
)


def test_only_what_was_ended_as_it_should_is_over(transactions: Transactions) -> None:
    committed, rolled_back = opened(transactions), None
    assert not committed.is_over
    _ = Script(transactions.commit(committed)).writes().result
    assert committed.is_over
    rolled_back = opened(transactions)
    _ = Script(transactions.rollback(rolled_back)).writes().result
    assert rolled_back.is_over
    cut_off = opened(transactions)
    transactions.end(cut_off)
    assert (cut_off.is_over, cut_off.state) == (False, State.LOST)
    assert cut_off.loss == "it was cut off before it was committed"


# What is due after a commit


def test_what_is_due_outlives_an_interrupted_beginning(
    transactions: Transactions,
) -> None:
    block = opened(transactions)
    block.callbacks.append(print)
    script = Script(transactions.commit(block, begin=True))
    script.sends("COMMIT").writes().sends("BEGIN").is_interrupted()
    assert block.take_due() == [print]
    assert block.take_due() == []


def test_nothing_is_due_of_an_interrupted_commit(transactions: Transactions) -> None:
    block = opened(transactions)
    block.callbacks.append(print)
    Script(transactions.commit(block)).sends("COMMIT").is_interrupted()
    assert block.take_due() == []
