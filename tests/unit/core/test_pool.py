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
    Check,
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
    return filled(pool, *connections)


def filled(pool: Pool[str, str], *connections: str) -> Pool[str, str]:
    """Fill a pool with idle connections, given back in this order at time 0."""
    for number in range(len(connections)):
        pool.wanted(f"filler{number}", 0)
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
    assert Pool(1, 1).statistics() == Statistics()


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
    assert pool.statistics() == Statistics(size=2, opening=2, waiting=3, waits=3)


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
    assert pool.failed(DOWN, 0) == [Refuse("ada", DOWN), Refuse("bob", DOWN)]
    assert pool.statistics() == Statistics(waits=2)


def test_a_failure_refuses_nobody_while_a_connection_is_in_use() -> None:
    pool = pool_of("c1", maximum=2)
    pool.take(0)
    pool.wanted("ada", 0)
    assert pool.failed(DOWN, 0) == [Retry(0.1)]
    assert pool.given_back("c1", 0) == [HandOver("ada", "c1")]
    assert pool.retry(0) == []


def test_attempts_are_repeated_for_those_who_wait_less_and_less_often() -> None:
    pool = pool_of("c1", maximum=2)
    pool.take(0)
    pool.wanted("ada", 0)
    waits = []
    for _ in range(8):
        (again,) = pool.failed(DOWN, 0)
        assert isinstance(again, Retry)
        waits.append(again.seconds)
        assert pool.retry(0) == [Open()]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert pool.opened("c2", 0) == [HandOver("ada", "c2")]
    pool.wanted("bob", 0)
    pool.lost("c2", 0)
    assert pool.failed(DOWN, 0) == [Retry(0.1)]


def test_a_failure_refuses_nobody_while_another_connection_is_being_opened() -> None:
    pool: Pool[str, str] = Pool(0, 2)
    pool.wanted("ada", 0)
    pool.wanted("bob", 0)
    assert pool.failed(DOWN, 0) == []
    assert pool.failed(DOWN, 0) == [Refuse("ada", DOWN), Refuse("bob", DOWN)]


def test_a_success_after_a_failure_opens_for_those_who_still_wait() -> None:
    pool: Pool[str, str] = Pool(0, 2)
    pool.wanted("ada", 0)
    pool.wanted("bob", 0)
    pool.failed(DOWN, 0)
    assert pool.opened("c1", 0) == [HandOver("ada", "c1"), Open()]
    assert pool.opened("c2", 0) == [HandOver("bob", "c2")]


def test_a_later_waiter_makes_the_pool_try_again_after_a_failure() -> None:
    pool: Pool[str, str] = Pool(0, 1)
    pool.wanted("ada", 0)
    pool.failed(DOWN, 0)
    assert pool.wanted("bob", 0) == [Open()]


def test_a_waiter_that_waited_too_long_is_told_how_the_pool_stands() -> None:
    pool = pool_of("c1", maximum=2)
    pool.take(0)
    for waiter in ("ada", "bob"):
        pool.wanted(waiter, 0)
    assert refusals(pool.expired("ada", 2.5, 0)) == {
        "ada": "No connection became free within 2.5 s (acquire_timeout): 1 of 2 are "
        "in use, 1 are being opened, 1 more callers wait."
    }


def test_a_waiter_that_waited_too_long_is_told_why_connecting_failed() -> None:
    pool = pool_of("c1", maximum=2)
    pool.take(0)
    pool.wanted("ada", 0)
    pool.failed(DOWN, 0)
    (text,) = refusals(pool.expired("ada", 1, 0)).values()
    assert text.endswith("The last attempt to connect failed: the server is down")


def test_an_old_failure_is_forgotten_once_connecting_succeeds() -> None:
    pool: Pool[str, str] = Pool(0, 1)
    pool.wanted("ada", 0)
    pool.failed(DOWN, 0)
    pool.wanted("ada", 0)
    pool.opened("c1", 0)
    pool.wanted("bob", 0)
    (text,) = refusals(pool.expired("bob", 1, 0)).values()
    assert "the server is down" not in text


def test_time_is_not_up_for_a_waiter_that_was_served() -> None:
    pool = pool_of("c1")
    pool.wanted("ada", 0)
    assert pool.expired("ada", 1, 0) == []


def test_a_waiter_that_withdrew_is_passed_over() -> None:
    pool = pool_of("c1", maximum=1)
    pool.take(0)
    pool.wanted("ada", 0)
    pool.wanted("bob", 0)
    pool.withdrawn("ada", 0)
    assert pool.given_back("c1", 0) == [HandOver("bob", "c1")]


def test_withdrawing_does_nothing_to_a_waiter_that_was_served() -> None:
    pool = pool_of("c1")
    pool.wanted("ada", 0)
    pool.withdrawn("ada", 0)
    assert pool.statistics()[:5] == (1, 0, 1, 0, 0)


def test_a_lost_connection_is_replaced_for_one_who_waits() -> None:
    pool = pool_of("c1", maximum=1)
    pool.take(0)
    pool.wanted("ada", 0)
    assert pool.lost("c1", 0) == [Close("c1"), Open()]
    assert pool.opened("c2", 0) == [HandOver("ada", "c2")]


def test_a_lost_connection_is_not_replaced_for_nobody() -> None:
    pool = pool_of("c1")
    pool.take(0)
    assert pool.lost("c1", 0) == [Close("c1")]
    assert pool.statistics().size == 0


def test_opens_the_minimum() -> None:
    pool: Pool[str, str] = Pool(2, 3)
    assert pool.warm(0) == [Open(), Open()]
    assert pool.warm(0) == []


def test_keeps_the_minimum_when_a_connection_is_lost() -> None:
    pool = pool_of("c1", minimum=1)
    pool.take(0)
    assert pool.lost("c1", 0) == [Close("c1"), Open()]


def test_the_first_waiter_brings_the_minimum_along() -> None:
    pool: Pool[str, str] = Pool(2, 3)
    assert pool.wanted("ada", 0) == [Open(), Open()]


def aging(*born: float) -> Pool[str, str]:
    """Make a pool of connections c0, c1 and so on that live for 10 seconds."""
    pool: Pool[str, str] = Pool(0, 3, max_lifetime=10)
    for index in range(len(born)):
        pool.wanted(f"filler{index}", 0)
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
    assert pool.close(0) == [Close("c1")]
    pool = pool_of("c1", maximum=1)
    pool.take(0)
    pool.wanted("ada", 0)
    assert "was closed" in refusals(pool.close(0))["ada"]


def test_a_closed_pool_refuses() -> None:
    pool = pool_of("c1")
    pool.close(0)
    assert pool.take(0) is None
    assert "was closed" in refusals(pool.wanted("ada", 0))["ada"]
    assert pool.warm(0) == []


def test_a_busy_connection_is_closed_when_it_comes_back_to_a_closed_pool() -> None:
    pool = pool_of("c1", minimum=1)
    pool.take(0)
    assert pool.close(0) == []
    assert pool.given_back("c1", 0) == [Close("c1")]
    assert pool.statistics()[:5] == (0, 0, 0, 0, 0)


def test_a_connection_that_was_opened_too_late_is_closed() -> None:
    pool: Pool[str, str] = Pool(0, 2)
    pool.wanted("ada", 0)
    pool.close(0)
    assert pool.opened("c1", 0) == [Close("c1")]


def test_counts_what_there_is_and_what_there_was() -> None:
    pool: Pool[str, str] = Pool(0, 2)
    for waiter, now in (("ada", 1), ("bob", 2), ("eve", 3), ("sue", 4), ("tim", 5)):
        pool.wanted(waiter, now)
    pool.opened("c1", 6)
    pool.opened("c2", 7)
    pool.withdrawn("eve", 8)
    pool.expired("sue", 1, 9)
    pool.lost("c2", 10)
    pool.failed(DOWN, 11)
    pool.given_back("c1", 12)
    pool.given_back("c1", 13)
    # Served without a wait, by either way.
    pool.take(14)
    pool.given_back("c1", 14)
    pool.wanted("zoe", 15)
    assert pool.statistics() == Statistics(
        size=1,
        idle=0,
        busy=1,
        opening=0,
        waiting=0,
        opened=2,
        discarded=1,
        waits=5,
        wait_seconds=(6 - 1) + (7 - 2) + (8 - 3) + (9 - 4) + (12 - 5),
    )


def test_the_time_of_those_who_are_refused_counts_as_well() -> None:
    pool: Pool[str, str] = Pool(0, 1)
    pool.wanted("ada", 1)
    pool.failed(DOWN, 4)
    pool.wanted("bob", 5)
    pool.close(7)
    pool.wanted("eve", 9)
    count = pool.statistics()
    assert (count.waits, count.wait_seconds) == (2, 3 + 2)


def test_shows_how_it_stands() -> None:
    pool = pool_of("c1", "c2", maximum=5)
    pool.take(0)
    assert repr(pool) == "<Pool 2 of 5 connections, 1 busy, 0 waiting>"
    pool.close(0)
    assert repr(pool) == "<Pool 1 of 5 connections, 1 busy, 0 waiting, closed>"


def test_one_retry_is_enough_for_all_who_wait() -> None:
    pool = pool_of("c1", maximum=9)
    pool.take(0)
    assert pool.wanted("ada", 0) == [Open()]
    assert pool.failed(DOWN, 0) == [Retry(0.1)]
    assert pool.wanted("bob", 0) == []
    assert pool.retry(0) == [Open(), Open()]
    assert pool.failed(DOWN, 0) == []
    assert pool.failed(DOWN, 0) == [Retry(0.2)]
    assert pool.lost("c1", 0) == [Close("c1"), Open(), Open()]


# Old, idle, dead


def test_an_old_connection_that_is_idle_is_closed_in_time() -> None:
    pool = aging(0, 5)
    assert pool.tick(9.9) == []
    assert pool.tick(10) == [Close("c0")]
    assert pool.idle == ["c1"]


def test_the_minimum_is_restored_when_a_connection_was_too_old() -> None:
    pool = filled(Pool(2, 3, max_lifetime=10), "c1", "c2", "c3")
    closed = [Close("c1"), Close("c2"), Close("c3")]
    assert pool.tick(10) == [*closed, Open(), Open()]


def idling(minimum: int, *connections: str) -> Pool[str, str]:
    """Make a pool whose connections above the minimum may be idle for 10 seconds."""
    pool: Pool[str, str] = Pool(minimum, 4, max_idle=10)
    return filled(pool, *connections)


def test_what_is_idle_for_too_long_is_closed_down_to_the_minimum() -> None:
    pool = idling(1, "c1", "c2", "c3")
    assert pool.tick(9.9) == []
    assert pool.tick(10) == [Close("c1"), Close("c2")]
    assert pool.tick(99) == []
    assert pool.idle == ["c3"]


def test_what_was_used_meanwhile_is_not_idle_for_too_long() -> None:
    pool = idling(0, "c1", "c2")
    assert pool.take(8) == "c2"
    pool.given_back("c2", 9)
    assert pool.tick(10) == [Close("c1")]
    assert pool.tick(18.9) == []
    assert pool.tick(19) == [Close("c2")]


def test_what_is_in_use_counts_for_the_minimum() -> None:
    pool = idling(1, "c1", "c2")
    pool.take(0)
    assert pool.tick(10) == [Close("c1")]


def test_without_a_limit_connections_may_be_idle_for_ever() -> None:
    assert pool_of("c1", "c2").tick(1e9) == []


def test_a_dead_idle_connection_is_dropped_and_the_minimum_restored() -> None:
    pool = pool_of("c1", "c2", minimum=2)
    assert pool.lost("c1", 1) == [Close("c1"), Open()]
    assert pool.idle == ["c2"]
    assert pool.opened("c3", 2) == []
    assert pool.idle == ["c2", "c3"]


def test_attempts_to_restore_the_minimum_become_rarer() -> None:
    pool = pool_of("c1", minimum=1)
    assert pool.lost("c1", 0) == [Close("c1"), Open()]
    now = 0.0
    for seconds in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60, 60):
        assert pool.failed(DOWN, now) == []
        assert pool.tick(now + seconds - 0.01) == []
        now += seconds + 0.01
        assert pool.tick(now) == [Open()]
    assert pool.opened("c2", now) == []
    assert pool.lost("c2", now) == [Close("c2"), Open()]


def test_a_caller_does_not_wait_until_the_minimum_is_tried_again() -> None:
    pool = pool_of("c1", minimum=1)
    pool.lost("c1", 0)
    pool.failed(DOWN, 0)
    assert pool.wanted("ada", 0) == [Open()]
    assert pool.failed(DOWN, 0) == [Refuse("ada", DOWN)]


def test_a_pool_that_never_had_a_connection_asks_for_none_by_itself() -> None:
    pool: Pool[str, str] = Pool(2, 3)
    assert pool.wanted("ada", 0) == [Open(), Open()]
    assert pool.failed(DOWN, 0) == []
    assert pool.failed(DOWN, 0) == [Refuse("ada", DOWN)]
    assert pool.tick(1e9) == []
    assert pool.wanted("bob", 1e9) == [Open()]
    assert pool.opened("c1", 1e9) == [HandOver("bob", "c1"), Open()]


def test_nobody_is_tried_for_while_another_attempt_is_under_way() -> None:
    pool = pool_of("c1", minimum=1, maximum=3)
    pool.take(0)
    pool.wanted("ada", 0)
    pool.wanted("bob", 0)
    assert pool.failed(DOWN, 0) == []
    assert pool.failed(DOWN, 0) == [Retry(0.1)]


def test_a_failure_that_nobody_waits_for_is_not_repeated_soon() -> None:
    pool = pool_of("c1", maximum=2)
    pool.take(0)
    pool.wanted("ada", 0)
    pool.withdrawn("ada", 0)
    assert pool.failed(DOWN, 0) == []


# Checked before use


def pinging(*connections: str, maximum: int = 3) -> Pool[str, str]:
    """Make a pool that checks what was idle for 10 seconds."""
    return filled(Pool(0, maximum, ping_idle=10), *connections)


def test_a_connection_that_was_used_lately_is_not_checked() -> None:
    assert pinging("c1").take(9.9) == "c1"
    assert pinging("c1").wanted("ada", 9.9) == [HandOver("ada", "c1")]


def test_a_connection_is_checked_before_it_is_handed_over() -> None:
    pool = pinging("c1")
    assert pool.take(10) is None
    assert pool.idle == ["c1"]
    assert pool.wanted("ada", 10) == [Check("c1")]
    assert pool.statistics()[:5] == (1, 0, 1, 0, 1)
    assert pool.checked("c1", 11) == [HandOver("ada", "c1")]
    assert pool.given_back("c1", 12) == []
    assert pool.take(21) == "c1"


def test_a_dead_connection_is_replaced_for_one_who_waits() -> None:
    pool = pinging("c1")
    pool.wanted("ada", 10)
    assert pool.dead("c1", 15) == [Close("c1"), Open()]
    assert pool.opened("c2", 16) == [HandOver("ada", "c2")]


def test_each_waiter_has_a_connection_checked_or_opened() -> None:
    pool = pinging("c1", "c2")
    assert pool.wanted("ada", 10) == [Check("c2")]
    assert pool.wanted("bob", 10) == [Check("c1")]
    assert pool.wanted("eve", 10) == [Open()]
    assert pool.checked("c1", 10) == [HandOver("ada", "c1")]


def test_a_check_holds_nobody_up() -> None:
    pool = pinging("c1", "c2")
    assert pool.take(1) == "c2"
    assert pool.wanted("ada", 10) == [Check("c1")]
    assert pool.given_back("c2", 10) == [HandOver("ada", "c2")]
    assert pool.checked("c1", 11) == []
    assert pool.take(12) == "c1"


def test_what_was_idle_for_longer_than_a_dead_connection_is_dead_too() -> None:
    pool = pinging("c1", "c2", "c3", maximum=4)
    pool.take(1)
    assert pool.wanted("ada", 10) == [Check("c2")]
    pool.given_back("c3", 10)
    assert pool.statistics().waiting == 0
    assert pool.dead("c2", 15) == [Close("c1"), Close("c2")]
    pool.given_back("c3", 15)
    assert pool.idle == ["c3"]


def test_what_was_used_since_a_dead_connection_is_kept() -> None:
    pool = pinging("c1", "c2", "c3", maximum=4)
    assert pool.take(1) == "c3"
    assert pool.take(1) == "c2"
    pool.wanted("ada", 10)
    pool.withdrawn("ada", 10)
    pool.given_back("c2", 11)
    assert pool.dead("c1", 15) == [Close("c1")]
    assert pool.idle == ["c2"]


def test_an_old_connection_is_not_worth_a_check() -> None:
    pool = filled(Pool(0, 3, ping_idle=5, max_lifetime=10), "c1", "c2")
    assert pool.wanted("ada", 10) == [Close("c2"), Close("c1"), Open()]


def test_a_connection_whose_check_ends_after_the_pool_is_closed() -> None:
    pool = pinging("c1")
    pool.wanted("ada", 10)
    assert "was closed" in refusals(pool.close(11))["ada"]
    assert pool.checked("c1", 12) == [Close("c1")]
    pool = pinging("c1")
    pool.wanted("ada", 10)
    pool.close(11)
    assert pool.dead("c1", 12) == [Close("c1")]
    assert pool.statistics().size == 0


# Whatever happens


class PoolMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order, checked against plain book-keeping."""

    @initialize(
        sizes=st.tuples(st.integers(0, 3), st.integers(1, 4)).filter(
            lambda sizes: sizes[0] <= sizes[1]
        ),
        lifetime=st.sampled_from([None, 5.0]),
        idle=st.sampled_from([None, 0.0, 3.0]),
        ping=st.sampled_from([None, 0.0, 2.0]),
    )
    def start(
        self,
        sizes: tuple[int, int],
        lifetime: float | None,
        idle: float | None,
        ping: float | None,
    ) -> None:
        self.pool: Pool[int, int] = Pool(
            *sizes, max_lifetime=lifetime, max_idle=idle, ping_idle=ping
        )
        self.now = 0.0
        self.count = 0
        self.opening = 0
        self.born: dict[int, float] = {}
        self.idle: dict[int, float] = {}
        self.checking: set[int] = set()
        self.busy: set[int] = set()
        self.waiting: dict[int, float] = {}
        self.opened_ever = self.closed_ever = self.waits = 0
        self.wait_seconds = 0.0
        self.checked_now: set[int] = set()
        self.failed_last = self.trouble = False
        self.retries = 0

    def carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Open):
                self.opening += 1
                self.failed_last = False
            elif isinstance(action, Close):
                self.forget(action.connection)
            elif isinstance(action, Check):
                assert self.needs_check(action.connection)
                del self.idle[action.connection]
                self.checking.add(action.connection)
            elif isinstance(action, HandOver):
                assert action.waiter == next(iter(self.waiting))
                self.leave(action.waiter)
                self.make_busy(action.connection)
            elif isinstance(action, Retry):
                self.retries += 1
            else:
                self.leave(action.waiter)

    def needs_check(self, connection: int) -> bool:
        limit = self.pool.ping_idle
        return limit is not None and self.now - self.idle[connection] >= limit

    def is_old(self, connection: int) -> bool:
        limit = self.pool.max_lifetime
        return limit is not None and self.now - self.born[connection] >= limit

    def make_busy(self, connection: int) -> None:
        """Nobody gets a connection that is old, or idle for long and not checked."""
        if connection in self.checked_now:
            self.checked_now.remove(connection)
        else:
            assert not self.needs_check(connection)
            assert not self.is_old(connection)
        del self.idle[connection]
        self.busy.add(connection)

    def forget(self, connection: int) -> None:
        places = [self.idle, self.busy, self.checking]
        assert sum(connection in place for place in places) == 1
        self.idle.pop(connection, None)
        self.busy.discard(connection)
        self.checking.discard(connection)
        self.closed_ever += 1

    def leave(self, waiter: int) -> None:
        self.wait_seconds += self.now - self.waiting.pop(waiter)

    def new(self) -> int:
        self.count += 1
        return self.count

    def arrives(self, connection: int) -> None:
        """A connection is at the disposal of the pool, and may be handed on."""
        self.idle[connection] = self.now
        self.checked_now = {connection}

    @rule(seconds=st.integers(1, 4))
    def time_goes_by(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        connection = self.pool.take(self.now)
        if connection is not None:
            assert not self.waiting
            assert connection == list(self.idle)[-1]
            self.checked_now = set()
            self.make_busy(connection)

    @rule()
    def wanted(self) -> None:
        waiter = self.new()
        self.waiting[waiter] = self.now
        self.checked_now = set()
        self.carry_out(self.pool.wanted(waiter, self.now))
        self.waits += waiter in self.waiting

    @precondition(lambda self: self.opening)
    @rule()
    def opened(self) -> None:
        connection = self.new()
        self.opening -= 1
        self.opened_ever += 1
        self.failed_last = self.trouble = False
        self.born[connection] = self.now
        self.arrives(connection)
        self.carry_out(self.pool.opened(connection, self.now))

    @precondition(lambda self: self.opening)
    @rule()
    def failed(self) -> None:
        self.opening -= 1
        self.failed_last = self.trouble = True
        self.carry_out(self.pool.failed(DOWN, self.now))

    @precondition(lambda self: self.retries)
    @rule()
    def retry(self) -> None:
        self.retries -= 1
        self.carry_out(self.pool.retry(self.now))

    @precondition(lambda self: self.checking)
    @rule(data=st.data(), works=st.booleans())
    def was_checked(self, data: st.DataObject, works: bool) -> None:
        connection = data.draw(st.sampled_from(sorted(self.checking)))
        if works:
            self.checking.remove(connection)
            self.arrives(connection)
            self.carry_out(self.pool.checked(connection, self.now))
        else:
            actions = self.pool.dead(connection, self.now)
            assert Close(connection) in actions
            self.carry_out(actions)

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def given_back(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(sorted(self.busy)))
        self.busy.remove(connection)
        self.arrives(connection)
        self.carry_out(self.pool.given_back(connection, self.now))

    @precondition(lambda self: self.busy or self.idle)
    @rule(data=st.data())
    def lost(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(sorted(self.busy | set(self.idle))))
        actions = self.pool.lost(connection, self.now)
        assert Close(connection) in actions
        self.carry_out(actions)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), expires=st.booleans())
    def gives_up(self, data: st.DataObject, expires: bool) -> None:
        waiter = data.draw(st.sampled_from(list(self.waiting)))
        if expires:
            self.carry_out(self.pool.expired(waiter, 1, self.now))
        else:
            self.leave(waiter)
            self.pool.withdrawn(waiter, self.now)
        assert waiter not in self.waiting

    @rule()
    def warm(self) -> None:
        self.carry_out(self.pool.warm(self.now))

    @rule()
    def tick(self) -> None:
        pool = self.pool
        alive = len(self.idle) + len(self.checking) + len(self.busy)
        old = sum(self.is_old(connection) for connection in self.idle)
        actions = pool.tick(self.now)
        closed = sum(isinstance(action, Close) for action in actions)
        assert closed <= old or alive - closed >= pool.minimum
        self.carry_out(actions)
        assert not any(self.is_old(connection) for connection in self.idle)
        alive = len(self.idle) + len(self.checking) + len(self.busy)
        if pool.max_idle is not None and alive > pool.minimum:
            ages = [self.now - since for since in self.idle.values()]
            assert all(age < pool.max_idle for age in ages)
        # After a failed attempt the next one is put off.
        if self.opened_ever and not self.trouble and not pool.closed:
            assert alive + self.opening >= pool.minimum

    @precondition(lambda self: self.count > 8)
    @rule()
    def close(self) -> None:
        self.carry_out(self.pool.close(self.now))
        assert not self.waiting
        assert not self.idle

    @invariant()
    def no_connection_is_forgotten_or_given_twice(self) -> None:
        busy = len(self.busy) + len(self.checking)
        size = len(self.idle) + busy + self.opening
        assert self.pool.statistics() == Statistics(
            size=size,
            idle=len(self.idle),
            busy=busy,
            opening=self.opening,
            waiting=len(self.waiting),
            opened=self.opened_ever,
            discarded=self.closed_ever,
            waits=self.waits,
            wait_seconds=self.wait_seconds,
        )
        assert self.opened_ever - self.closed_ever == size - self.opening
        assert self.pool.idle == list(self.idle)
        assert size <= self.pool.maximum

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        if not self.waiting:
            return
        coming = self.opening + len(self.checking)
        assert not self.idle or len(self.checking) >= len(self.waiting)
        assert self.busy or coming
        full = len(self.busy) + coming == self.pool.maximum
        enough = coming >= len(self.waiting)
        # An attempt that failed is repeated after a while, or when another ends.
        assert full or enough or self.retries or (self.failed_last and self.opening)

    def teardown(self) -> None:
        """Everybody who still waits is served or refused in the end."""
        for _ in range(len(self.waiting) + self.pool.maximum):
            if self.opening:
                self.opened()
            for connection in sorted(self.checking):
                self.carry_out(self.pool.dead(connection, self.now))
            for connection in sorted(self.busy):
                self.busy.remove(connection)
                self.arrives(connection)
                self.carry_out(self.pool.given_back(connection, self.now))
        assert not self.waiting


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, database=None
)
