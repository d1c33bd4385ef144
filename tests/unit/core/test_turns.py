"""Whose turn it is on a connection that several tasks share."""

from __future__ import annotations

from typing import Any

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

from peewee_async.core.boundary import Reply
from peewee_async.core.execution import Execution, Work
from peewee_async.core.transactions import Block, Transactions
from peewee_async.core.turns import Turns
from tests.unit.models import SQLITE


def done(work: Work[Any]) -> Any:
    """Do work on a server where everything succeeds."""
    execution = Execution(work)
    waiting = execution.start()
    while waiting is not None:
        waiting = execution.feed(Reply())
    return execution.result


@pytest.fixture
def transactions() -> Transactions:
    return Transactions(SQLITE)


@pytest.fixture
def turns(transactions: Transactions) -> Turns[str]:
    return Turns(transactions)


@pytest.fixture
def block(transactions: Transactions) -> Block:
    opened: Block = done(transactions.transaction())
    return opened


def test_a_free_turn_is_taken_at_once(turns: Turns[str], block: Block) -> None:
    assert turns.take(block)


def test_a_turn_is_held_by_one_only(turns: Turns[str], block: Block) -> None:
    turns.take(block)
    assert not turns.take(block)


def test_a_turn_given_back_can_be_taken_again(turns: Turns[str], block: Block) -> None:
    turns.take(block)
    assert turns.give() == (None, [])
    assert turns.take(block)


def test_waiters_get_their_turn_in_the_order_of_coming(
    turns: Turns[str], block: Block
) -> None:
    turns.take(block)
    assert not turns.waiting
    for waiter in "abc":
        turns.wait(waiter, block)
    assert turns.waiting
    assert [turns.give()[0] for _ in range(4)] == ["a", "b", "c", None]


def test_a_turn_handed_to_a_waiter_is_not_free(turns: Turns[str], block: Block) -> None:
    turns.take(block)
    turns.wait("a", block)
    turns.give()
    assert not turns.take(block)


def test_a_waiter_that_withdrew_is_passed_over(turns: Turns[str], block: Block) -> None:
    turns.take(block)
    for waiter in "abc":
        turns.wait(waiter, block)
    turns.withdraw("a")
    turns.withdraw("c")
    assert turns.give() == ("b", [])
    turns.withdraw("b")  # too late: it has its turn
    assert turns.give() == (None, [])


def test_a_waiter_in_an_outer_block_withdraws(
    transactions: Transactions, turns: Turns[str], block: Block
) -> None:
    nested = done(transactions.savepoint())
    turns.take(nested)
    turns.wait("inside", nested)
    turns.wait("outside", block)
    turns.withdraw("outside")
    assert turns.give() == ("inside", [])
    done(transactions.commit(nested))
    assert turns.give() == (None, [])


def test_many_waiters_take_no_longer_each_than_a_few() -> None:
    class Waiter:
        compared = 0

        def __eq__(self, other: object) -> bool:
            Waiter.compared += 1
            return self is other

        __hash__ = object.__hash__

    transactions = Transactions(SQLITE)
    outer = done(transactions.transaction())
    turns: Turns[Waiter] = Turns(transactions)
    turns.take(outer)
    waiters = [Waiter() for _ in range(100)]
    for waiter in waiters:
        turns.wait(waiter, outer)
    for waiter in waiters[50:]:
        turns.withdraw(waiter)
    assert [turns.give()[0] for _ in range(51)] == [*waiters[:50], None]
    assert Waiter.compared < len(waiters)


def test_the_outer_block_waits_while_a_nested_one_is_open(
    transactions: Transactions, turns: Turns[str], block: Block
) -> None:
    nested = done(transactions.savepoint())
    assert not turns.take(block)
    assert turns.take(nested)


def test_those_in_a_nested_block_go_before_those_outside(
    transactions: Transactions, turns: Turns[str], block: Block
) -> None:
    turns.take(block)
    nested = done(transactions.savepoint())
    turns.wait("outside", block)
    turns.wait("inside", nested)
    assert turns.give() == ("inside", [])
    assert turns.give() == (None, [])


def test_the_outer_block_goes_on_when_the_nested_one_has_ended(
    transactions: Transactions, turns: Turns[str], block: Block
) -> None:
    nested = done(transactions.savepoint())
    turns.take(nested)
    turns.wait("outside", block)
    done(transactions.commit(nested))
    assert turns.give() == ("outside", [])


def test_waiters_whose_block_has_ended_are_told(
    transactions: Transactions, turns: Turns[str], block: Block
) -> None:
    nested = done(transactions.savepoint())
    turns.take(nested)
    turns.wait("late", nested)
    turns.wait("outside", block)
    turns.wait("later", nested)
    done(transactions.rollback(nested))
    assert turns.give() == ("outside", ["late", "later"])
    assert turns.give() == (None, [])


def test_a_block_that_ends_without_a_turn_wakes_those_who_wait(
    transactions: Transactions, turns: Turns[str], block: Block
) -> None:
    nested = done(transactions.savepoint())
    turns.wait("inside", nested)
    turns.wait("outside", block)
    transactions.end(nested)
    assert turns.next_one() == ("outside", ["inside"])
    assert not turns.take(block)


def test_nobody_gets_a_turn_that_is_held(
    transactions: Transactions, turns: Turns[str], block: Block
) -> None:
    nested = done(transactions.savepoint())
    turns.take(nested)
    turns.wait("outside", block)
    transactions.end(nested)
    assert turns.next_one() == (None, [])
    assert turns.give() == ("outside", [])


def test_no_turn_for_a_block_that_has_ended(
    transactions: Transactions, turns: Turns[str], block: Block
) -> None:
    done(transactions.commit(block))
    assert not turns.take(block)


class SharedConnection(RuleBasedStateMachine):
    """Tasks that come, wait, open and end nested blocks while it is their turn."""

    @initialize()
    def start(self) -> None:
        self.transactions = Transactions(SQLITE)
        self.turns: Turns[int] = Turns(self.transactions)
        self.holder: int | None = None
        self.waiting: list[tuple[int, Block]] = []
        self.tasks = 0
        done(self.transactions.transaction())

    @precondition(lambda self: self.transactions.blocks)
    @rule(data=st.data())
    def come(self, data: st.DataObject) -> None:
        block = data.draw(st.sampled_from(self.transactions.blocks))
        self.tasks += 1
        free = self.holder is None and block is self.transactions.top
        assert self.turns.take(block) == free
        if free:
            self.holder = self.tasks
        else:
            self.turns.wait(self.tasks, block)
            self.waiting.append((self.tasks, block))

    @precondition(lambda self: self.holder is not None and self.transactions.blocks)
    @rule()
    def open_nested(self) -> None:
        done(self.transactions.savepoint())

    @precondition(lambda self: self.holder is not None and self.transactions.blocks)
    @rule()
    def end_innermost(self) -> None:
        done(self.transactions.rollback(self.transactions.blocks[-1]))

    @precondition(lambda self: not self.transactions.blocks)
    @rule()
    def begin_again(self) -> None:
        done(self.transactions.transaction())

    @precondition(lambda self: self.holder is not None)
    @rule()
    def give(self) -> None:
        self.holder = None
        self.tell(*self.turns.give())

    @precondition(lambda self: self.transactions.blocks)
    @rule(data=st.data())
    def end_without_a_turn(self, data: st.DataObject) -> None:
        self.transactions.end(data.draw(st.sampled_from(self.transactions.blocks)))
        self.tell(*self.turns.next_one())

    def tell(self, holder: int | None, stranded: list[int]) -> None:
        # Each block has a queue of its own.
        assert sorted(stranded) == [who for who, block in self.waiting if block.ended]
        self.waiting = [entry for entry in self.waiting if not entry[1].ended]
        free = [] if self.holder is not None else self.eligible()
        assert holder == (free[0] if free else None)
        if holder is not None:
            self.holder = holder
            self.waiting = [entry for entry in self.waiting if entry[0] != holder]

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(entry)
        self.turns.withdraw(entry[0])

    def eligible(self) -> list[int]:
        top = self.transactions.top
        return [who for who, block in self.waiting if block is top]

    @invariant()
    def nobody_waits_for_a_turn_that_is_free(self) -> None:
        if self.holder is None:
            assert self.eligible() == []
            assert not any(block.ended for _, block in self.waiting)

    @invariant()
    def a_turn_that_is_held_is_not_free(self) -> None:
        top = self.transactions.top
        if self.holder is not None and top is not None:
            assert not self.turns.take(top)


TestSharedConnection = SharedConnection.TestCase
TestSharedConnection.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, database=None
)


def test_tells_whether_somebody_has_the_turn() -> None:
    transactions = Transactions(SQLITE)
    block = done(transactions.transaction())
    turns: Turns[str] = Turns(transactions)
    assert not turns.busy
    turns.take(block)
    assert turns.busy
    turns.give()
    assert not turns.busy
