"""A network that is cut after any byte, in both directions."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import peewee
import pytest

from peewee_async import Manager
from tests.integration.backends import Backend
from tests.integration.checks import both_kinds
from tests.integration.faults.common import (
    Points,
    insertions,
    lines,
    recovered,
    require_driver,
    servers_only,
    settled,
    sweep,
    write,
)
from tests.integration.models import Line
from tests.integration.proxy import DOWN, UP, Direction, Fault, Proxy

pytestmark = servers_only

cuts = pytest.mark.parametrize("fault", [Fault.CUT, Fault.RESET])
both_ways = pytest.mark.parametrize("direction", [UP, DOWN])

BIG = {"postgres": "REPEAT('x', 300000)", "mysql": "REPEAT('x', 300000)"}


async def measure(proxy: Proxy, work: Any) -> dict[Direction, int]:
    """Count the bytes of something that goes well."""
    proxy.start_counting()
    await work
    return proxy.passed


@sweep
@both_ways
@cuts
async def test_in_the_middle_of_connecting(
    through: Manager,
    proxy: Proxy,
    backend: Backend,
    fault: Fault,
    direction: Direction,
    points: Points,
) -> None:
    total = (await measure(proxy, through.connect()))[direction]
    for after in points(total):
        await through.close()
        proxy.arm(fault, direction, after)
        (result,) = await asyncio.gather(through.connect(), return_exceptions=True)
        assert proxy.struck.is_set()
        if result is not None:  # libpq may have tried again, without TLS
            assert isinstance(result, peewee.OperationalError)
            assert str(result).startswith("Cannot connect to ")
            require_driver(result, backend)
        assert await through.count(Line) == 0
    await recovered(through)


@sweep
@both_ways
@cuts
async def test_in_the_middle_of_a_query(
    through: Manager,
    proxy: Proxy,
    backend: Backend,
    sync: Any,
    fault: Fault,
    direction: Direction,
    points: Points,
) -> None:
    await through.connect()
    total = (await measure(proxy, write(through, "well")))[direction]
    written = 1
    for after in points(total):
        await settled(through, proxy)
        proxy.arm(fault, direction, after)
        with pytest.raises(peewee.OperationalError) as caught:
            await write(through, "cuts")
        require_driver(caught.value, backend)
        assert insertions(proxy.sent) <= 1
        proxy.start_counting()
        # The server had all of it, or not; it is not sent again either way.
        written += direction is DOWN
        assert await through.count(Line) == len(lines(sync)) == written
        assert insertions(proxy.sent) == 0
    await recovered(through)


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.RESET])
async def test_in_the_middle_of_a_big_reply(
    through: Manager, proxy: Proxy, backend: Backend, fault: Fault
) -> None:
    query: Any = Line.raw(f"SELECT {BIG[backend.name]} AS text").tuples()
    await through.connect()
    total = (await measure(proxy, through.execute(query)))[DOWN]
    assert total > 300000
    for after in (total // 10000, total // 100, total // 2, total - 1):
        await settled(through, proxy)
        proxy.arm(fault, DOWN, after)
        with pytest.raises(peewee.OperationalError) as caught:
            await through.execute(query)
        require_driver(caught.value, backend)
        assert await through.count(Line) == 0
    await recovered(through)


@sweep
@both_ways
@cuts
async def test_at_the_commit(
    through: Manager,
    proxy: Proxy,
    backend: Backend,
    sync: Any,
    fault: Fault,
    direction: Direction,
    points: Points,
) -> None:
    """Whether it was committed is not known; it is not done again."""
    total = 0
    async with through.atomic():
        await write(through, "0")
        proxy.start_counting()
    total = proxy.passed[direction]
    called: list[int] = []
    kept = {"0"}
    for after in points(total):
        await settled(through, proxy)
        with pytest.raises(peewee.OperationalError) as caught:
            async with through.atomic() as tx:
                await write(through, f"cut {after}")
                tx.after_commit(lambda: called.append(1))
                proxy.arm(fault, direction, after)
        require_driver(caught.value, backend)
        if direction is DOWN:
            kept.add(f"cut {after}")
        await write(through, f"next {after}")
        kept.add(f"next {after}")
        assert lines(sync) == sorted(kept)
    assert called == []
    await recovered(through)


@both_ways
@both_kinds
async def test_in_the_middle_of_a_block(
    through: Manager,
    proxy: Proxy,
    backend: Backend,
    sync: Any,
    direction: Direction,
    pooled: bool,
) -> None:
    """At BEGIN, at a savepoint, a statement, a RELEASE and a ROLLBACK."""

    async def work() -> None:
        async with through.atomic():
            await write(through, "outer")
            async with through.atomic():
                await write(through, "inner")
            with suppress(ZeroDivisionError):
                async with through.atomic():
                    raise ZeroDivisionError

    await through.connect()
    total = (await measure(proxy, work()))[direction]
    for after in range(0, total, total // 20 + 1):
        before = lines(sync)
        await settled(through, proxy)
        proxy.arm(Fault.CUT, direction, after)
        with pytest.raises(peewee.OperationalError) as caught:
            await work()
        require_driver(caught.value, backend)
        assert proxy.struck.is_set()
        assert insertions(proxy.sent) <= 2
        proxy.start_counting()
        now = lines(sync)
        assert now in (before, sorted([*before, "inner", "outer"]))
        assert direction is DOWN or now == before
        await through.count(Line)
    await recovered(through)


@cuts
@both_kinds
async def test_idle(
    through: Manager, proxy: Proxy, backend: Backend, fault: Fault, pooled: bool
) -> None:
    """The first query afterwards succeeds."""
    for turns in (0, 1, 10):
        await recovered(through)
        proxy.strike(fault)
        await asyncio.gather(
            *(end.lost for link in proxy.links for end in link.ends.values())
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        assert await through.count(Line) == 0
    await recovered(through)


@cuts
async def test_while_many_wait(
    through: Manager, proxy: Proxy, backend: Backend, fault: Fault, long: Any
) -> None:
    size = through.database._pool_options.max_connections
    async with long.under_way(through, size) as tasks:
        waiting = [asyncio.create_task(through.count(Line)) for _ in range(20)]
        await asyncio.sleep(0)
        proxy.strike(fault)
        async with asyncio.timeout(1):
            assert await asyncio.gather(*waiting) == [0] * 20
    for task in tasks:
        require_driver(task.exception(), backend)
    await recovered(through)
