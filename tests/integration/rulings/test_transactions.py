"""Rulings 22 to 24: transactions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import peewee
import pytest

from peewee_async import Manager
from tests.integration.backends import Backend
from tests.integration.checks import both_kinds, only, statistics
from tests.integration.conftest import MakeDatabase
from tests.integration.models import User
from tests.integration.rulings.common import (
    Oops,
    add,
    connection_number,
    end_connection,
)
from tests.integration.rulings.conftest import Names, Sent

servers_only = only("postgres", "mysql")


def showing(setting: str) -> Any:
    """Make a query for a setting of PostgreSQL."""
    return peewee.Select(columns=[peewee.fn.current_setting(setting)])


# 22. Blocks


async def test_ruling_22_atomic_is_a_transaction(
    objects: Manager, names: Names
) -> None:
    async with objects.atomic():
        await add(objects, "one", "two")
        assert names() == set()
    assert names() == {"one", "two"}
    with pytest.raises(Oops):
        async with objects.atomic():
            await add(objects, "three")
            raise Oops
    assert names() == {"one", "two"}


@both_kinds
async def test_ruling_22_atomic_nested_is_a_savepoint(
    objects: Manager, names: Names
) -> None:
    async with objects.atomic():
        await add(objects, "one")
        with suppress(Oops):
            async with objects.atomic():
                await add(objects, "two")
                raise Oops
        async with objects.atomic():
            await add(objects, "three")
        assert names() == set()
    assert names() == {"one", "three"}


async def test_ruling_22_transaction_nested_joins_the_outer_one(
    objects: Manager, names: Names, sent: Sent
) -> None:
    async with objects.transaction():
        await add(objects, "one")
        sent()
        async with objects.transaction():
            await add(objects, "two")
        assert [sql.split()[0] for sql in sent()] == ["INSERT"]
        assert names() == set()
    assert names() == {"one", "two"}


async def test_ruling_22_a_failing_inner_one_makes_the_outer_rollback_only(
    objects: Manager, names: Names
) -> None:
    with pytest.raises(peewee.PeeweeException, match="cannot be committed"):
        async with objects.transaction():
            await add(objects, "one")
            with suppress(Oops):
                async with objects.transaction():
                    await add(objects, "two")
                    raise Oops
    assert names() == set()
    await add(objects, "three")
    assert names() == {"three"}


async def test_ruling_22_a_later_commit_by_hand_raises(
    objects: Manager, names: Names
) -> None:
    async with objects.transaction() as tx:
        await add(objects, "one")
        with suppress(Oops):
            async with objects.transaction():
                raise Oops
        with pytest.raises(peewee.PeeweeException, match="cannot be committed"):
            await tx.commit()
        await add(objects, "two")  # in a new transaction
    assert names() == {"two"}


async def test_ruling_22_a_rollback_by_hand_makes_it_good_again(
    objects: Manager, names: Names
) -> None:
    async with objects.transaction() as tx:
        await add(objects, "one")
        with suppress(Oops):
            async with objects.transaction():
                raise Oops
        await tx.rollback()
        await add(objects, "two")
    assert names() == {"two"}


async def test_ruling_22_the_error_of_the_inner_one_comes_out(
    objects: Manager, names: Names
) -> None:
    with pytest.raises(Oops):
        async with objects.transaction(), objects.transaction():
            await add(objects, "one")
            raise Oops
    assert names() == set()


async def test_ruling_22_a_savepoint_undoes_its_own(
    objects: Manager, names: Names
) -> None:
    async with objects.transaction():
        await add(objects, "one")
        with suppress(Oops):
            async with objects.savepoint():
                await add(objects, "two")
                raise Oops
        async with objects.savepoint("mine"):
            await add(objects, "three")
    assert names() == {"one", "three"}


NAMES = [
    "select",
    "two words",
    "a\"b'c`d",
    '"; DELETE FROM "user"; --',
    "%s %(a)s",
    "ü",
]


async def test_ruling_22_the_name_of_a_savepoint_is_quoted(
    objects: Manager, names: Names
) -> None:
    async with objects.atomic():
        for number, sid in enumerate(NAMES):
            async with objects.savepoint(sid=sid):
                await add(objects, f"kept{number}")
            with suppress(Oops):
                async with objects.savepoint(sid=sid):
                    await add(objects, "undone")
                    raise Oops
    assert names() == {f"kept{number}" for number in range(len(NAMES))}


@pytest.mark.parametrize("sid", ["", "nul\0"])
async def test_ruling_22_empty_names_and_nul_are_refused(
    objects: Manager, names: Names, sid: str
) -> None:
    async with objects.atomic():
        with pytest.raises(ValueError, match="savepoint"):
            async with objects.savepoint(sid):
                pass
        await add(objects, "one")
    assert names() == {"one"}


async def test_ruling_22_a_savepoint_outside_a_transaction(objects: Manager) -> None:
    with pytest.raises(RuntimeError, match="needs a transaction"):
        async with objects.savepoint():
            pass
    assert await objects.count(User) == 0


KINDS = pytest.mark.parametrize("kind", ["atomic", "transaction"])


@KINDS
async def test_ruling_22_commit_and_rollback_go_on(
    objects: Manager, names: Names, kind: str
) -> None:
    async with getattr(objects, kind)() as tx:
        await add(objects, "one")
        await tx.commit()
        assert names() == {"one"}
        await add(objects, "two")
        await tx.rollback()
        await add(objects, "three")
        await tx.commit(begin=True)
        await add(objects, "four")
        await tx.rollback(begin=True)
        await add(objects, "five")
        assert names() == {"one", "three"}
    assert names() == {"one", "three", "five"}


@KINDS
async def test_ruling_22_commit_without_going_on(
    objects: Manager, names: Names, kind: str
) -> None:
    with suppress(Oops):
        async with getattr(objects, kind)() as tx:
            await add(objects, "one")
            await tx.commit(begin=False)
            await add(objects, "outside")
            assert names() == {"one", "outside"}
            raise Oops
    assert names() == {"one", "outside"}


@KINDS
async def test_ruling_22_rollback_without_going_on(
    objects: Manager, names: Names, kind: str
) -> None:
    async with getattr(objects, kind)() as tx:
        await add(objects, "one")
        await tx.rollback(begin=False)
        await add(objects, "outside")
        assert names() == {"outside"}
        with pytest.raises(RuntimeError, match="ended"):
            await tx.commit()
    assert names() == {"outside"}


async def test_ruling_22_savepoints_by_hand(objects: Manager, names: Names) -> None:
    async with objects.atomic():
        async with objects.savepoint() as sp:
            await add(objects, "one")
            await sp.commit()
            await add(objects, "two")
            await sp.rollback()
            await add(objects, "three")
            await sp.rollback(begin=False)
        async with objects.atomic() as sp:
            await add(objects, "four")
            await sp.commit(begin=False)
        assert names() == set()
    assert names() == {"one", "four"}


@pytest.mark.parametrize("kind", ["atomic", "transaction", "savepoint"])
async def test_ruling_22_each_is_a_decorator(
    objects: Manager, names: Names, kind: str
) -> None:
    block: Any = getattr(objects, kind)()

    @block  # type: ignore[untyped-decorator]
    async def save(name: str, *, fail: bool = False) -> str:
        """Save one."""
        await add(objects, name)
        if fail:
            raise Oops
        return name

    @objects.atomic()
    async def save_both() -> None:
        assert await save("one") == "one"
        assert await save("two", fail=False) == "two"
        assert names() == set()

    assert (save.__name__, save.__doc__) == ("save", "Save one.")
    await save_both()
    with suppress(Oops):
        async with objects.atomic():
            await save("never", fail=True)
    assert names() == {"one", "two"}


async def test_ruling_22_a_decorated_function_may_run_at_once(
    objects: Manager, names: Names
) -> None:
    @objects.atomic()
    async def save(name: str) -> None:
        await add(objects, name)
        if name == "2":
            raise Oops

    results = await asyncio.gather(
        *(save(str(number)) for number in range(5)), return_exceptions=True
    )
    assert [type(result) for result in results].count(Oops) == 1
    assert names() == {"0", "1", "3", "4"}


# 22. Options


@only("postgres")
@KINDS
async def test_ruling_22_isolation_levels_of_postgres(
    objects: Manager, kind: str
) -> None:
    for level in ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"):
        async with getattr(objects, kind)(isolation_level=level):
            shown = await objects.scalar(showing("transaction_isolation"))
        assert shown == level.lower()
    async with objects.atomic():  # and it was for those transactions only
        shown = await objects.scalar(showing("transaction_isolation"))
    assert shown == "read committed"


@servers_only
async def test_ruling_22_what_isolation_levels_do(
    objects: Manager, make_database: MakeDatabase
) -> None:
    other = Manager(make_database())
    for level, sees_it in (("REPEATABLE READ", False), ("READ COMMITTED", True)):
        async with objects.atomic(isolation_level=level):
            before = await objects.count(User)
            await asyncio.create_task(add(other, level))
            assert await objects.count(User) == before + sees_it


@only("mysql")
async def test_ruling_22_mysql_reads_what_is_not_committed(
    objects: Manager, make_database: MakeDatabase
) -> None:
    other = Manager(make_database())
    async with other.atomic():
        await add(other, "ada")
        async with objects.atomic(isolation_level="READ UNCOMMITTED"):
            assert await objects.count(User) == 1
        async with objects.atomic():
            assert await objects.count(User) == 0


@only("sqlite")
@pytest.mark.parametrize(
    "option", [{"isolation_level": "SERIALIZABLE"}, {"deferrable": True}]
)
async def test_ruling_22_sqlite_has_no_such_option(
    objects: Manager, option: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        async with objects.atomic(**option):
            pass
    assert await objects.count(User) == 0


@servers_only
async def test_ruling_22_lock_type_is_sqlites(objects: Manager) -> None:
    with pytest.raises(ValueError, match="lock_type"):
        async with objects.atomic(lock_type="IMMEDIATE"):
            pass
    assert await objects.count(User) == 0


@servers_only
@KINDS
async def test_ruling_22_read_only(objects: Manager, names: Names, kind: str) -> None:
    with pytest.raises(peewee.PeeweeException, match=r"(?i)read.only"):
        async with getattr(objects, kind)(read_only=True):
            assert await objects.count(User) == 0
            await add(objects, "never")
    async with getattr(objects, kind)(read_only=False):
        await add(objects, "one")
    assert names() == {"one"}


@only("sqlite")
async def test_ruling_22_read_only_blocks_of_sqlite_run_beside_a_writer(
    objects: Manager, make_database: MakeDatabase
) -> None:
    other = Manager(make_database())
    async with objects.atomic():
        await add(objects, "one")
        async with other.atomic(read_only=True):
            assert await other.count(User) == 0


@only("postgres")
async def test_ruling_22_deferrable(objects: Manager) -> None:
    options: Any = {"isolation_level": "SERIALIZABLE", "read_only": True}
    for deferrable, shown in ((True, "on"), (False, "off")):
        async with objects.atomic(**options, deferrable=deferrable):
            found = await objects.scalar(showing("transaction_deferrable"))
        assert found == shown


@only("sqlite")
async def test_ruling_22_lock_types(objects: Manager, sync: Any) -> None:
    """What another connection may do meanwhile."""
    sync.execute_sql("PRAGMA busy_timeout = 0")
    async with objects.atomic(lock_type="DEFERRED"):
        with sync.atomic("IMMEDIATE"):
            pass
    for lock_type in ("IMMEDIATE", "EXCLUSIVE"):
        async with objects.atomic(lock_type=lock_type):
            with pytest.raises(peewee.OperationalError, match="locked"):
                sync.execute_sql("BEGIN IMMEDIATE")


async def test_ruling_22_nobody_knows_that_value(objects: Manager) -> None:
    begin: Any = objects.atomic
    for option in ("isolation_level", "lock_type"):
        with pytest.raises(ValueError, match=option):
            async with begin(**{option: "X; DROP TABLE user"}):
                pass
    assert await objects.count(User) == 0


# 22. after_commit


async def test_ruling_22_after_commit_takes_plain_and_async(
    objects: Manager, names: Names
) -> None:
    calls: list[Any] = []

    async def later() -> None:
        calls.append(await objects.count(User))

    async with objects.atomic() as tx:
        tx.after_commit(lambda: calls.append(names()))
        tx.after_commit(later)
        await add(objects, "ada")
        assert calls == []
    assert calls == [{"ada"}, 1]


async def test_ruling_22_after_commit_as_a_decorator(objects: Manager) -> None:
    calls: list[str] = []
    async with objects.transaction() as tx:

        @tx.after_commit
        async def one() -> None:
            calls.append("one")

        @tx.after_commit
        def two() -> None:
            calls.append("two")

    assert calls == ["one", "two"]


async def test_ruling_22_a_callback_that_fails_leaves_the_rest(
    objects: Manager, names: Names
) -> None:
    calls: list[str] = []

    def fail() -> None:
        raise Oops

    with pytest.raises(Oops):
        async with objects.atomic() as tx:
            tx.after_commit(fail)
            tx.after_commit(lambda: calls.append("called all the same"))
            await add(objects, "ada")
    assert calls == ["called all the same"]
    assert names() == {"ada"}


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
    limited = Manager(make_database(acquire_timeout=0.1))
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with limited.savepoint("the_holder"):
            inside.set()
            await go_on.wait()

    async with limited.atomic():
        task = asyncio.create_task(hold())
        await inside.wait()
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
