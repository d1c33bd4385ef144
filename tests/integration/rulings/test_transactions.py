"""Ruling 22: transactions."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import peewee
import pytest

from peewee_async import Manager
from tests.integration.checks import both_kinds, only
from tests.integration.conftest import MakeDatabase
from tests.integration.models import User
from tests.integration.rulings.common import (
    Oops,
    add,
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
