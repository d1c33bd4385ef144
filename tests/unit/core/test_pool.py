"""The policy of the pool: events go in, actions come out."""

from __future__ import annotations

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

from peewee_async.core.pool import (
    Action,
    Close,
    HandOver,
    Open,
    Pool,
    Refuse,
    Retry,
    Statistics,
)

DOWN = peewee.OperationalError("the server is down")


def pool_of(*connections: str, minimum: int = 0, maximum: int = 3) -> Pool[str, str]:
    """Make a pool with idle connections, given back in this order."""
    pool: Pool[str, str] = Pool(minimum, maximum)
    for _ in connections:
        pool.wanted("filler", 0)
    for connection in connections:
        pool.opened(connection, 0)
    for connection in connections:
        pool.given_back(connection, 0)
    return pool


def refusals(actions: list[Action]) -> dict[Any, str]:
    """Give the messages of refusals, by waiter; nothing else may be among them."""
    assert all(isinstance(action, Refuse) for action in actions)
    return {
        action.waiter: str(action.error)
        for action in actions
        if isinstance(action, Refuse)
    }


@pytest.mark.parametrize(("minimum", "maximum"), [(-1, 3), (0, 0), (4, 3), (-2, -1)])
def test_refuses_sizes_that_cannot_be(minimum: int, maximum: int) -> None:
    with pytest.raises(ValueError, match="max_connections must be 1 or more"):
        Pool(minimum, maximum)


def test_a_pool_of_one_is_possible() -> None:
    assert Pool(1, 1).statistics() == Statistics(0, 0, 0, 0, 0)


def test_opens_a_connection_for_the_first_waiter_and_hands_it_over() -> None:
    pool: Pool[str, str] = Pool(0, 2)
    assert pool.wanted("ada", 0) == [Open()]
    assert pool.opened("c1", 0) == [HandOver("ada", "c1")]


def test_gives_an_idle_connection_at_once() -> None:
    pool = pool_of("c1")
    assert pool.take(0) == "c1"
    assert pool.take(0) is None


def test_hands_an_idle_connection_to_one_who_would_wait() -> None:
    pool = pool_of("c1")
    assert pool.wanted("ada", 0) == [HandOver("ada", "c1")]
    assert pool.statistics().waiting == 0


def test_uses_the_connection_first_that_was_used_last() -> None:
    pool = pool_of("c1", "c2", "c3")
    assert [pool.take(0), pool.take(0), pool.take(0)] == ["c3", "c2", "c1"]


def test_serves_waiters_in_the_order_of_coming() -> None:
    pool = pool_of("c1", maximum=1)
    pool.take(0)
    for waiter in ("ada", "bob", "eve"):
        assert pool.wanted(waiter, 0) == []
    served = [pool.given_back("c1", 0) for _ in range(4)]
    assert served == [
        [HandOver("ada", "c1")],
        [HandOver("bob", "c1")],
        [HandOver("eve", "c1")],
        [],
    ]


def test_opens_one_connection_per_waiter_up_to_the_maximum() -> None:
    pool: Pool[str, str] = Pool(0, 2)
    assert pool.wanted("ada", 0) == [Open()]
    assert pool.wanted("bob", 0) == [Open()]
    assert pool.wanted("eve", 0) == []
    assert pool.statistics() == Statistics(2, 0, 0, 2, 3)


def test_connections_go_to_waiters_in_the_order_of_opening() -> None:
    pool: Pool[str, str] = Pool(0, 2)
    pool.wanted("ada", 0)
    pool.wanted("bob", 0)
    assert pool.opened("c1", 0) == [HandOver("ada", "c1")]
    assert pool.opened("c2", 0) == [HandOver("bob", "c2")]


def test_a_returned_connection_does_not_wait_for_one_that_is_being_opened() -> None:
    pool = pool_of("c1", maximum=2)
    pool.take(0)
    assert pool.wanted("ada", 0) == [Open()]
    assert pool.given_back("c1", 0) == [HandOver("ada", "c1")]
    assert pool.opened("c2", 0) == []
    assert pool.take(0) == "c2"


def test_nobody_overtakes_a_waiter() -> None:
    pool = pool_of("c1", maximum=2)
    pool.take(0)
    pool.wanted("ada", 0)
    pool.given_back("c1", 0)
    pool.wanted("bob", 0)
    assert pool.take(0) is None
    assert pool.opened("c2", 0) == [HandOver("bob", "c2")]


def test_a_failure_is_told_to_all_who_wait_if_nothing_is_left() -> None:
    pool: Pool[str, str] = Pool(0, 1)
    pool.wanted("ada", 0)
    pool.wanted("bob", 0)
    assert pool.failed(DOWN) == [Refuse("ada", DOWN), Refuse("bob", DOWN)]
    assert pool.statistics() == Statistics(0, 0, 0, 0, 0)


def test_a_failure_refuses_nobody_while_a_connection_is_in_use() -> None:
    pool = pool_of("c1", maximum=2)
    pool.take(0)
    pool.wanted("ada", 0)
    assert pool.failed(DOWN) == [Retry(0.1)]
    assert pool.given_back("c1", 0) == [HandOver("ada", "c1")]
    assert pool.retry() == []


def test_attempts_are_repeated_for_those_who_wait_less_and_less_often() -> None:
    pool = pool_of("c1", maximum=2)
    pool.take(0)
    pool.wanted("ada", 0)
    waits = []
    for _ in range(8):
        (again,) = pool.failed(DOWN)
        assert isinstance(again, Retry)
        waits.append(again.seconds)
        assert pool.retry() == [Open()]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert pool.opened("c2", 0) == [HandOver("ada", "c2")]
    pool.wanted("bob", 0)
    pool.lost("c2")
    assert pool.failed(DOWN) == [Retry(0.1)]


def test_a_failure_refuses_nobody_while_another_connection_is_being_opened() -> None:
    pool: Pool[str, str] = Pool(0, 2)
    pool.wanted("ada", 0)
    pool.wanted("bob", 0)
    assert pool.failed(DOWN) == []
    assert pool.failed(DOWN) == [Refuse("ada", DOWN), Refuse("bob", DOWN)]


def test_a_success_after_a_failure_opens_for_those_who_still_wait() -> None:
    pool: Pool[str, str] = Pool(0, 2)
    pool.wanted("ada", 0)
    pool.wanted("bob", 0)
    pool.failed(DOWN)
    assert pool.opened("c1", 0) == [HandOver("ada", "c1"), Open()]
    assert pool.opened("c2", 0) == [HandOver("bob", "c2")]


def test_a_later_waiter_makes_the_pool_try_again_after_a_failure() -> None:
    pool: Pool[str, str] = Pool(0, 1)
    pool.wanted("ada", 0)
    pool.failed(DOWN)
    assert pool.wanted("bob", 0) == [Open()]


def test_a_waiter_that_waited_too_long_is_told_how_the_pool_stands() -> None:
    pool = pool_of("c1", maximum=2)
    pool.take(0)
    for waiter in ("ada", "bob"):
        pool.wanted(waiter, 0)
    assert refusals(pool.expired("ada", 2.5)) == {
        "ada": "No connection became free within 2.5 s (acquire_timeout): 1 of 2 are "
        "in use, 1 are being opened, 1 more callers wait."
    }


def test_a_waiter_that_waited_too_long_is_told_why_connecting_failed() -> None:
    pool = pool_of("c1", maximum=2)
    pool.take(0)
    pool.wanted("ada", 0)
    pool.failed(DOWN)
    (text,) = refusals(pool.expired("ada", 1)).values()
    assert text.endswith("The last attempt to connect failed: the server is down")


def test_an_old_failure_is_forgotten_once_connecting_succeeds() -> None:
    pool: Pool[str, str] = Pool(0, 1)
    pool.wanted("ada", 0)
    pool.failed(DOWN)
    pool.wanted("ada", 0)
    pool.opened("c1", 0)
    pool.wanted("bob", 0)
    (text,) = refusals(pool.expired("bob", 1)).values()
    assert "the server is down" not in text


def test_time_is_not_up_for_a_waiter_that_was_served() -> None:
    pool = pool_of("c1")
    pool.wanted("ada", 0)
    assert pool.expired("ada", 1) == []


def test_a_waiter_that_withdrew_is_passed_over() -> None:
    pool = pool_of("c1", maximum=1)
    pool.take(0)
    pool.wanted("ada", 0)
    pool.wanted("bob", 0)
    pool.withdrawn("ada")
    assert pool.given_back("c1", 0) == [HandOver("bob", "c1")]


def test_withdrawing_does_nothing_to_a_waiter_that_was_served() -> None:
    pool = pool_of("c1")
    pool.wanted("ada", 0)
    pool.withdrawn("ada")
    assert pool.statistics() == Statistics(1, 0, 1, 0, 0)


def test_a_lost_connection_is_replaced_for_one_who_waits() -> None:
    pool = pool_of("c1", maximum=1)
    pool.take(0)
    pool.wanted("ada", 0)
    assert pool.lost("c1") == [Close("c1"), Open()]
    assert pool.opened("c2", 0) == [HandOver("ada", "c2")]


def test_a_lost_connection_is_not_replaced_for_nobody() -> None:
    pool = pool_of("c1")
    pool.take(0)
    assert pool.lost("c1") == [Close("c1")]
    assert pool.statistics().size == 0


def test_opens_the_minimum() -> None:
    pool: Pool[str, str] = Pool(2, 3)
    assert pool.warm() == [Open(), Open()]
    assert pool.warm() == []


def test_keeps_the_minimum_when_a_connection_is_lost() -> None:
    pool = pool_of("c1", minimum=1)
    pool.take(0)
    assert pool.lost("c1") == [Close("c1"), Open()]


def test_the_first_waiter_brings_the_minimum_along() -> None:
    pool: Pool[str, str] = Pool(2, 3)
    assert pool.wanted("ada", 0) == [Open(), Open()]


def aging(*born: float) -> Pool[str, str]:
    """Make a pool of connections c0, c1 and so on that live for 10 seconds."""
    pool: Pool[str, str] = Pool(0, 3, max_lifetime=10)
    for _ in born:
        pool.wanted("filler", 0)
    for index, now in enumerate(born):
        pool.opened(f"c{index}", now)
    for index, now in enumerate(born):
        pool.given_back(f"c{index}", now)
    return pool


def test_a_connection_is_used_until_it_is_old() -> None:
    assert aging(0).take(9.9) == "c0"
    assert aging(0).take(10) is None


def test_old_idle_connections_are_replaced_for_one_who_waits() -> None:
    pool = aging(0, 1)
    assert pool.wanted("ada", 30) == [Close("c1"), Close("c0"), Open()]


def test_a_younger_connection_serves_after_an_old_one_was_closed() -> None:
    pool = aging(8, 0)
    assert pool.wanted("ada", 12) == [Close("c1"), HandOver("ada", "c0")]


def test_an_old_connection_is_closed_when_it_comes_back() -> None:
    pool = aging(0)
    pool.take(5)
    assert pool.given_back("c0", 20) == [Close("c0")]


def test_an_old_connection_that_comes_back_is_replaced_for_one_who_waits() -> None:
    pool: Pool[str, str] = Pool(0, 1, max_lifetime=10)
    pool.wanted("ada", 0)
    pool.opened("c1", 0)
    pool.wanted("bob", 0)
    assert pool.given_back("c1", 20) == [Close("c1"), Open()]


def test_closing_closes_what_is_idle_and_refuses_who_waits() -> None:
    pool = pool_of("c1", "c2", maximum=2)
    pool.take(0)
    assert pool.close() == [Close("c1")]
    pool = pool_of("c1", maximum=1)
    pool.take(0)
    pool.wanted("ada", 0)
    assert "was closed" in refusals(pool.close())["ada"]


def test_a_closed_pool_refuses() -> None:
    pool = pool_of("c1")
    pool.close()
    assert pool.take(0) is None
    assert "was closed" in refusals(pool.wanted("ada", 0))["ada"]
    assert pool.warm() == []


def test_a_busy_connection_is_closed_when_it_comes_back_to_a_closed_pool() -> None:
    pool = pool_of("c1", minimum=1)
    pool.take(0)
    assert pool.close() == []
    assert pool.given_back("c1", 0) == [Close("c1")]
    assert pool.statistics() == Statistics(0, 0, 0, 0, 0)


def test_a_connection_that_was_opened_too_late_is_closed() -> None:
    pool: Pool[str, str] = Pool(0, 2)
    pool.wanted("ada", 0)
    pool.close()
    assert pool.opened("c1", 0) == [Close("c1")]


def test_counts_what_there_is() -> None:
    pool = pool_of("c1", "c2", maximum=3)
    pool.take(0)
    assert pool.statistics() == Statistics(size=2, idle=1, busy=1, opening=0, waiting=0)


def test_shows_how_it_stands() -> None:
    pool = pool_of("c1", "c2", maximum=5)
    pool.take(0)
    assert repr(pool) == "<Pool 2 of 5 connections, 1 busy, 0 waiting>"
    pool.close()
    assert repr(pool) == "<Pool 1 of 5 connections, 1 busy, 0 waiting, closed>"


class PoolMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order, checked against plain book-keeping."""

    @initialize(
        sizes=st.tuples(st.integers(0, 3), st.integers(1, 4)).filter(
            lambda sizes: sizes[0] <= sizes[1]
        ),
        lifetime=st.sampled_from([None, 5.0]),
    )
    def start(self, sizes: tuple[int, int], lifetime: float | None) -> None:
        self.pool: Pool[int, int] = Pool(*sizes, lifetime)
        self.now = 0.0
        self.count = 0
        self.opening = 0
        self.idle: set[int] = set()
        self.busy: set[int] = set()
        self.waiting: list[int] = []
        self.failed_last = False
        self.retries = 0

    def carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Open):
                self.opening += 1
                self.failed_last = False
            elif isinstance(action, Close):
                assert action.connection in self.idle | self.busy
                self.idle.discard(action.connection)
                self.busy.discard(action.connection)
            elif isinstance(action, HandOver):
                assert action.waiter == self.waiting.pop(0)
                assert action.connection in self.idle
                self.make_busy(action.connection)
            elif isinstance(action, Retry):
                self.retries += 1
            else:
                self.waiting.remove(action.waiter)

    def make_busy(self, connection: int) -> None:
        self.idle.remove(connection)
        self.busy.add(connection)

    def make_idle(self, connection: int) -> None:
        self.busy.remove(connection)
        self.idle.add(connection)

    def new(self) -> int:
        self.count += 1
        return self.count

    @rule(seconds=st.integers(1, 4))
    def time_goes_by(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        connection = self.pool.take(self.now)
        if connection is not None:
            assert not self.waiting
            self.make_busy(connection)

    @rule()
    def wanted(self) -> None:
        waiter = self.new()
        self.waiting.append(waiter)
        self.carry_out(self.pool.wanted(waiter, self.now))

    @precondition(lambda self: self.opening)
    @rule()
    def opened(self) -> None:
        connection = self.new()
        self.opening -= 1
        self.failed_last = False
        self.idle.add(connection)
        self.carry_out(self.pool.opened(connection, self.now))

    @precondition(lambda self: self.opening)
    @rule()
    def failed(self) -> None:
        self.opening -= 1
        self.failed_last = True
        self.carry_out(self.pool.failed(DOWN))

    @precondition(lambda self: self.retries)
    @rule()
    def retry(self) -> None:
        self.retries -= 1
        self.carry_out(self.pool.retry())

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def given_back(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(sorted(self.busy)))
        self.make_idle(connection)
        self.carry_out(self.pool.given_back(connection, self.now))

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def lost(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(sorted(self.busy)))
        actions = self.pool.lost(connection)
        assert Close(connection) in actions
        self.carry_out(actions)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), expires=st.booleans())
    def gives_up(self, data: st.DataObject, expires: bool) -> None:
        waiter = data.draw(st.sampled_from(self.waiting))
        if expires:
            self.carry_out(self.pool.expired(waiter, 1))
        else:
            self.waiting.remove(waiter)
            self.pool.withdrawn(waiter)
        assert waiter not in self.waiting

    @rule()
    def warm(self) -> None:
        self.carry_out(self.pool.warm())

    @precondition(lambda self: self.count > 8)
    @rule()
    def close(self) -> None:
        self.carry_out(self.pool.close())
        assert not self.waiting
        assert not self.idle

    @invariant()
    def no_connection_is_forgotten_or_given_twice(self) -> None:
        size = len(self.idle) + len(self.busy) + self.opening
        expected = (len(self.idle), len(self.busy), self.opening, len(self.waiting))
        assert self.pool.statistics() == (size, *expected)
        assert size <= self.pool.maximum

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        if not self.waiting:
            return
        assert not self.idle
        assert self.busy or self.opening
        full = len(self.busy) + self.opening == self.pool.maximum
        enough = self.opening >= len(self.waiting)
        # An attempt that failed is repeated after a while, or when another ends.
        assert full or enough or self.retries or (self.failed_last and self.opening)

    def teardown(self) -> None:
        """Everybody who still waits is served or refused in the end."""
        for _ in range(len(self.waiting) + self.opening + len(self.busy)):
            if self.opening:
                self.opened()
            for connection in sorted(self.busy):
                self.make_idle(connection)
                self.carry_out(self.pool.given_back(connection, self.now))
        assert not self.waiting


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, database=None
)


def test_one_retry_is_enough_for_all_who_wait() -> None:
    pool = pool_of("c1", maximum=9)
    pool.take(0)
    assert pool.wanted("ada", 0) == [Open()]
    assert pool.failed(DOWN) == [Retry(0.1)]
    assert pool.wanted("bob", 0) == []
    assert pool.retry() == [Open(), Open()]
    assert pool.failed(DOWN) == []
    assert pool.failed(DOWN) == [Retry(0.2)]
    assert pool.lost("c1") == [Close("c1"), Open(), Open()]
