"""Rulings 23 and 24: tasks, and transactions that are lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import peewee
import pytest

from peewee_async import Manager
from tests.integration.backends import Backend
from tests.integration.checks import both_kinds, limit, only, statistics
from tests.integration.conftest import MakeDatabase
from tests.integration.models import User
from tests.integration.rulings.common import (
    Oops,
    add,
    connection_number,
    end_connection,
)
from tests.integration.rulings.conftest import Names

servers_only = only("postgres", "mysql")


# 23. Tasks


async def test_ruling_23_state_is_per_task(objects: Manager, names: Names) -> None:
    """A task that was started before the block knows nothing of it."""
    opened = asyncio.Event()

    async def beside() -> int:
        await opened.wait()
        return await objects.count(User)

    task = asyncio.create_task(beside())
    async with objects.atomic():
        await add(objects, "ada")
        opened.set()
        assert await task == 0
        assert await objects.count(User) == 1
    assert names() == {"ada"}


@both_kinds
async def test_ruling_23_gather_runs_in_the_block(
    objects: Manager, names: Names
) -> None:
    with suppress(Oops):
        async with objects.atomic():
            await asyncio.gather(*(add(objects, f"user{n}") for n in range(20)))
            assert statistics(objects.database).busy == 1
            assert await objects.count(User) == 20
            raise Oops
    assert names() == set()


async def test_ruling_23_a_task_group_runs_in_the_block(
    objects: Manager, names: Names
) -> None:
    with suppress(Oops):
        async with objects.atomic():
            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(add(objects, f"user{number}"))
            assert names() == set()
            assert await objects.count(User) == 20
            raise Oops
    assert names() == set()


async def test_ruling_23_shield_and_wait_for_run_in_the_block(
    objects: Manager, names: Names
) -> None:
    with suppress(Oops):
        async with objects.atomic():
            await asyncio.shield(add(objects, "one"))
            await asyncio.wait_for(add(objects, "two"), 30)
            async with asyncio.timeout(30):
                await add(objects, "three")
            assert await objects.count(User) == 3
            raise Oops
    assert names() == set()


async def test_ruling_23_a_failing_child_undoes_only_its_own(
    objects: Manager, names: Names
) -> None:
    async def child(number: int) -> None:
        async with objects.atomic():
            await add(objects, f"{number}a")
            await asyncio.sleep(0)
            await add(objects, f"{number}b")
            if number == 3:
                raise Oops
            async with objects.atomic():
                await add(objects, f"{number}c")

    async with objects.atomic():
        results = await asyncio.gather(
            *(child(number) for number in range(6)), return_exceptions=True
        )
        await add(objects, "last")
    assert [type(result) for result in results].count(Oops) == 1
    good = {f"{number}{letter}" for number in (0, 1, 2, 4, 5) for letter in "abc"}
    assert names() == good | {"last"}


async def test_ruling_23_others_wait_for_the_end_of_a_nested_block(
    objects: Manager, names: Names
) -> None:
    inside, order = asyncio.Event(), []

    async def nested() -> None:
        async with objects.atomic():
            await add(objects, "nested one")
            inside.set()
            for _ in range(20):
                await asyncio.sleep(0)
            await add(objects, "nested two")
            order.append("nested")
            raise Oops

    async def sibling() -> None:
        await inside.wait()
        await add(objects, "sibling")
        order.append("sibling")

    async with objects.atomic():
        await asyncio.gather(nested(), sibling(), return_exceptions=True)
    assert order == ["nested", "sibling"]
    assert names() == {"sibling"}


async def test_ruling_23_the_wait_is_bounded_and_names_the_holder(
    make_database: MakeDatabase, objects: Manager, names: Names
) -> None:
    limited = Manager(make_database())
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with limited.savepoint("the_holder"):
            inside.set()
            await go_on.wait()

    async with limited.atomic():
        task = asyncio.create_task(hold())
        await inside.wait()
        limit(limited.database, acquire_timeout=0.1)
        with pytest.raises(peewee.OperationalError, match="the_holder") as caught:
            await add(limited, "never")
        assert "acquire_timeout" in str(caught.value)
        go_on.set()
        await task
        await add(limited, "one")
    assert names() == {"one"}


async def test_ruling_23_the_end_waits_for_a_statement(
    objects: Manager, names: Names
) -> None:
    for undone in (True, False):
        with suppress(Oops):
            async with objects.atomic():
                tasks = [asyncio.create_task(add(objects, name)) for name in "abc"]
                await asyncio.sleep(0)  # all of them have asked for their turn
                if undone:
                    raise Oops
        await asyncio.gather(*tasks)
        assert names() == (set() if undone else {"a", "b", "c"})


async def test_ruling_23_the_end_waits_for_a_nested_block(
    objects: Manager, names: Names
) -> None:
    inside = asyncio.Event()

    async def nested() -> None:
        async with objects.atomic():
            await add(objects, "two")
            inside.set()
            for _ in range(20):
                await asyncio.sleep(0)
            await add(objects, "three")

    with suppress(Oops):
        async with objects.atomic():
            task = asyncio.create_task(nested())
            await inside.wait()
            raise Oops
    await task
    assert names() == set()


@both_kinds
async def test_ruling_23_a_task_that_outlives_the_block(
    objects: Manager, names: Names
) -> None:
    """What it does is its own: it is there at once, and for good."""
    go_on = asyncio.Event()

    async def late() -> None:
        await go_on.wait()
        await add(objects, "late")
        async with objects.atomic():
            await add(objects, "in a block of its own")

    for failing in (False, True):
        go_on.clear()
        await objects.execute(User.delete())
        with suppress(Oops):
            async with objects.atomic():
                await add(objects, "one")
                task = asyncio.create_task(late())
                if failing:
                    raise Oops
        go_on.set()
        await task
        left = set() if failing else {"one"}
        assert names() == left | {"late", "in a block of its own"}


@servers_only
async def test_ruling_23_it_never_gets_the_returned_connection(
    objects: Manager, backend: Backend, names: Names
) -> None:
    """Somebody else has that connection now, in a transaction."""
    go_on = asyncio.Event()

    async def late() -> int:
        await go_on.wait()
        number = await connection_number(objects, backend)
        await add(objects, "late")
        return number

    async with objects.atomic():
        task = asyncio.create_task(late())
    with suppress(Oops):
        async with objects.atomic():
            number = await connection_number(objects, backend)
            await add(objects, "undone")
            go_on.set()
            assert await task != number
            raise Oops
    assert names() == {"late"}


async def test_ruling_23_detached_sees_nothing_of_the_block(objects: Manager) -> None:
    async with objects.atomic():
        await add(objects, "ada")
        async with objects.database.detached():
            assert await objects.count(User) == 0
            assert await User.select().aio_count() == 0
        assert await objects.count(User) == 1
    assert statistics(objects.database).busy == 0


@servers_only
async def test_ruling_23_detached_writes_for_good(
    objects: Manager, names: Names
) -> None:
    with suppress(Oops):
        async with objects.atomic():
            await add(objects, "undone")
            async with objects.database.detached():
                await add(objects, "kept")
                async with objects.atomic():
                    await add(objects, "kept too")
                assert names() == {"kept", "kept too"}
            await add(objects, "undone as well")
            raise Oops
    assert names() == {"kept", "kept too"}


@servers_only
async def test_ruling_23_detached_has_a_connection_of_its_own(
    objects: Manager, backend: Backend
) -> None:
    async with objects.atomic():
        inside = await connection_number(objects, backend)
        async with objects.database.detached():
            outside = await connection_number(objects, backend)
            child = await asyncio.create_task(connection_number(objects, backend))
        assert inside not in (outside, child)
        assert await connection_number(objects, backend) == inside


@servers_only
async def test_ruling_23_an_error_in_a_detached_block(
    objects: Manager, names: Names
) -> None:
    """It undoes what it has to, and the block around goes on."""
    async with objects.atomic():
        await add(objects, "one")
        with suppress(Oops):
            async with objects.database.detached(), objects.atomic():
                await add(objects, "undone")
                raise Oops
        with suppress(Oops):
            async with objects.database.detached():
                await add(objects, "kept")
                raise Oops
        await add(objects, "two")
    assert names() == {"one", "two", "kept"}


async def test_ruling_23_detached_outside_of_a_block(
    objects: Manager, names: Names
) -> None:
    async with objects.database.detached():
        await add(objects, "one")
        async with objects.atomic():
            await add(objects, "two")
    assert names() == {"one", "two"}


async def test_ruling_23_two_databases_nested_in_any_order(
    objects: Manager, make_database: MakeDatabase, backend: Backend, names: Names
) -> None:
    other = Manager(make_database(pooled=False))
    # SQLite has one writer at a time: there the inner one reads.
    lazy: Any = {"lock_type": "DEFERRED"} if backend.server is None else {}

    async def write(manager: Manager, name: str) -> None:
        if not lazy or manager is objects:
            await add(manager, name)

    for outer, inner in ((objects, other), (other, objects)):
        await objects.execute(User.delete())
        with suppress(Oops):
            async with outer.atomic(**lazy), inner.atomic(**lazy):
                assert await inner.count(User) == 0
                await write(inner, "inner")
                await write(outer, "outer")
                seen = await outer.count(User), await inner.count(User)
                expected = ((outer is objects) + 0, (inner is objects) + 0)
                assert seen == (expected if lazy else (1, 1))
                raise Oops
        assert names() == set()


async def test_ruling_23_the_end_of_one_is_not_that_of_the_other(
    objects: Manager, make_database: MakeDatabase, backend: Backend, names: Names
) -> None:
    other = Manager(make_database())
    lazy: Any = {"lock_type": "DEFERRED"} if backend.server is None else {}
    with suppress(Oops):
        async with other.atomic(**lazy):
            async with objects.atomic():
                await add(objects, "kept")
            assert names() == {"kept"}
            await other.execute(User.delete())
            raise Oops
    assert names() == {"kept"}
    async with other.atomic(**lazy):
        with suppress(Oops):
            async with objects.atomic():
                await add(objects, "undone")
                raise Oops
        await add(other, "also kept")
    assert names() == {"kept", "also kept"}


@servers_only
async def test_ruling_23_two_objects_woven_together(
    objects: Manager, make_database: MakeDatabase, names: Names
) -> None:
    """An inner block of one is not inside the block of the other."""
    other = Manager(make_database())
    async with objects.atomic():
        await add(objects, "a1")
        with suppress(Oops):
            async with other.atomic():
                await add(other, "b1")
                async with objects.atomic():
                    await add(objects, "a2")
                async with other.atomic():
                    await add(other, "b2")
                raise Oops
        assert names() == set()
    assert names() == {"a1", "a2"}


async def test_ruling_23_a_generator_closed_by_another_task(
    objects: Manager, names: Names
) -> None:
    async def rows() -> AsyncIterator[int]:
        async with objects.atomic():
            await add(objects, "ada")
            async with objects.atomic():
                yield 1

    generator: Any = rows()
    assert await asyncio.create_task(anext(generator)) == 1
    assert statistics(objects.database).busy == 1
    await asyncio.create_task(generator.aclose())
    assert statistics(objects.database).busy == 0
    assert names() == set()
    await add(objects, "bob")
    assert names() == {"bob"}


async def test_ruling_23_a_generator_that_is_not_closed_at_once(
    objects: Manager, names: Names
) -> None:
    """The task that began it goes on outside its block when another has closed it."""

    async def rows() -> AsyncIterator[int]:
        async with objects.atomic():
            await add(objects, "ada")
            yield 1

    generator: Any = rows()
    await anext(generator)
    await asyncio.create_task(generator.aclose())
    async with objects.atomic():
        await add(objects, "bob")
    assert names() == {"bob"}


# 24. Lost transactions


@servers_only
@both_kinds
async def test_ruling_24_every_statement_of_a_lost_block_fails(
    objects: Manager, names: Names, backend: Backend, sync: Any
) -> None:
    with pytest.raises(peewee.OperationalError):
        async with objects.atomic():
            await add(objects, "one")
            end_connection(backend, sync, await connection_number(objects, backend))
            for name in ("two", "three"):
                with pytest.raises(peewee.PeeweeException):
                    await add(objects, name)
            with pytest.raises(peewee.PeeweeException):
                async with objects.atomic():
                    pass
            with pytest.raises(peewee.PeeweeException):
                await asyncio.create_task(add(objects, "four"))
    assert names() == set()
    await add(objects, "five")
    assert names() == {"five"}


@servers_only
async def test_ruling_24_from_within_a_nested_block(
    objects: Manager, names: Names, backend: Backend, sync: Any
) -> None:
    with pytest.raises(peewee.OperationalError):
        async with objects.atomic():
            await add(objects, "one")
            with suppress(peewee.OperationalError):
                async with objects.atomic():
                    number = await connection_number(objects, backend)
                    end_connection(backend, sync, number)
                    await add(objects, "two")
            with pytest.raises(peewee.OperationalError, match="lost"):
                await add(objects, "three")
    assert names() == set()


@servers_only
async def test_ruling_24_commit_and_rollback_by_hand_do_not_revive_it(
    objects: Manager, names: Names, backend: Backend, sync: Any
) -> None:
    with pytest.raises(peewee.OperationalError):
        async with objects.atomic() as tx:
            await add(objects, "one")
            end_connection(backend, sync, await connection_number(objects, backend))
            with pytest.raises(peewee.OperationalError):
                await tx.commit()
            for again in (tx.commit, tx.rollback):
                with pytest.raises((peewee.OperationalError, RuntimeError)):
                    await again()
            with pytest.raises(peewee.OperationalError):
                await add(objects, "two")
    assert names() == set()


@servers_only
async def test_ruling_24_a_task_that_outlives_a_lost_block(
    objects: Manager, names: Names, backend: Backend, sync: Any
) -> None:
    """It is outside, like one that outlives any other block."""
    go_on = asyncio.Event()

    async def late() -> None:
        await go_on.wait()
        await add(objects, "late")

    with pytest.raises(peewee.OperationalError):
        async with objects.atomic():
            task = asyncio.create_task(late())
            end_connection(backend, sync, await connection_number(objects, backend))
            await add(objects, "never")
    go_on.set()
    await task
    assert names() == {"late"}


@only("mysql")
async def test_ruling_24_a_deadlock_takes_the_transaction_with_it(
    objects: Manager, names: Names
) -> None:
    await add(objects, "a", "b")
    both = asyncio.Barrier(2)

    async def swap(first: str, second: str) -> None:
        async with objects.atomic():
            await objects.execute(User.update(age=1).where(User.name == first))
            await both.wait()
            try:
                await objects.execute(User.update(age=2).where(User.name == second))
            except peewee.OperationalError:
                with pytest.raises(peewee.OperationalError, match="lost"):
                    await add(objects, "never")
                raise

    results = await asyncio.gather(
        swap("a", "b"), swap("b", "a"), return_exceptions=True
    )
    assert [type(result) for result in results].count(peewee.OperationalError) == 1
    assert names() == {"a", "b"}
