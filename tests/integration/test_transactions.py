"""Blocks: what is committed, what is undone, and what is refused."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import peewee
import pytest

from peewee_async import AioDatabase, AioModel, Manager
from tests.integration.backends import Backend
from tests.integration.checks import both_kinds, only, statistics
from tests.integration.conftest import CreateTables
from tests.integration.models import User


async def add(objects: Manager, *names: str) -> None:
    for name in names:
        await objects.create(User, name=name)


@pytest.fixture
def names(sync: Any) -> Any:
    """A function that tells who is in the table, as somebody else sees it."""

    def look() -> set[str]:
        with User.bind_ctx(sync, False, False):
            return {user.name for user in User.select()}

    return look


class Oops(Exception):
    pass


# Commit and rollback


@both_kinds
@pytest.mark.parametrize("kind", ["atomic", "transaction"])
async def test_commit_at_the_end(objects: Manager, names: Any, kind: str) -> None:
    async with getattr(objects, kind)():
        await add(objects, "ada")
        assert names() == set()
        await add(objects, "bob")
        assert await objects.count(User) == 2
    assert names() == {"ada", "bob"}


@both_kinds
@pytest.mark.parametrize("kind", ["atomic", "transaction"])
async def test_rollback_on_an_error(objects: Manager, names: Any, kind: str) -> None:
    await add(objects, "old")
    with pytest.raises(Oops):
        async with getattr(objects, kind)():
            await add(objects, "ada")
            await objects.execute(User.delete().where(User.name == "old"))
            raise Oops
    assert names() == {"old"}
    await add(objects, "next")
    assert names() == {"old", "next"}


async def test_rollback_on_an_error_of_the_server(objects: Manager, names: Any) -> None:
    with pytest.raises(peewee.IntegrityError):
        async with objects.atomic():
            await add(objects, "ada", "bob", "ada")
    assert names() == set()


async def test_nothing_is_asked_of_a_block_without_statements(
    objects: Manager, names: Any
) -> None:
    async with objects.atomic(), objects.atomic(), objects.transaction():
        pass
    assert names() == set()


async def test_a_block_can_be_left_by_return_and_break(
    objects: Manager, names: Any
) -> None:
    async def leave() -> str:
        for name in ("ada", "bob"):
            async with objects.atomic():
                await add(objects, name)
                if name == "ada":
                    continue
                return name
        return ""

    assert await leave() == "bob"
    assert names() == {"ada", "bob"}


async def test_one_block_is_open_once(objects: Manager, names: Any) -> None:
    block = objects.atomic()
    async with block:
        await add(objects, "ada")
        with pytest.raises(RuntimeError, match="open already"):
            async with block:
                pass
    async with block:
        await add(objects, "bob")
    assert names() == {"ada", "bob"}


# Nesting


@both_kinds
async def test_nested_blocks_commit_with_the_outermost(
    objects: Manager, names: Any
) -> None:
    async with objects.atomic():
        await add(objects, "one")
        async with objects.atomic():
            await add(objects, "two")
            async with objects.atomic():
                await add(objects, "three")
        assert names() == set()
    assert names() == {"one", "two", "three"}


@both_kinds
async def test_an_inner_block_that_fails_undoes_itself(
    objects: Manager, names: Any
) -> None:
    async with objects.atomic():
        await add(objects, "one")
        with suppress(Oops):
            async with objects.atomic():
                await add(objects, "two")
                async with objects.atomic():
                    await add(objects, "three")
                raise Oops
        with suppress(peewee.IntegrityError):
            async with objects.savepoint():
                await add(objects, "four", "one")
        async with objects.atomic():
            await add(objects, "five")
    assert names() == {"one", "five"}


async def test_an_outer_block_that_fails_undoes_inner_ones(
    objects: Manager, names: Any
) -> None:
    with pytest.raises(Oops):
        async with objects.atomic():
            async with objects.atomic():
                await add(objects, "one")
            async with objects.savepoint():
                await add(objects, "two")
            raise Oops
    assert names() == set()


@both_kinds
async def test_a_transaction_joins_the_outer_one(objects: Manager, names: Any) -> None:
    async with objects.transaction():
        await add(objects, "one")
        async with objects.transaction():
            await add(objects, "two")
        assert names() == set()
    assert names() == {"one", "two"}


@both_kinds
async def test_a_joined_transaction_that_fails_dooms_the_outer_one(
    objects: Manager, names: Any
) -> None:
    with pytest.raises(peewee.PeeweeException, match="cannot be committed"):
        async with objects.transaction():
            await add(objects, "one")
            with suppress(Oops):
                async with objects.transaction():
                    await add(objects, "two")
                    raise Oops
            await add(objects, "three")
    assert names() == set()
    await add(objects, "four")
    assert names() == {"four"}


async def test_a_joined_transaction_dooms_only_up_to_the_savepoint(
    objects: Manager, names: Any
) -> None:
    async with objects.atomic():
        await add(objects, "one")
        with pytest.raises(peewee.PeeweeException, match="cannot be committed"):
            async with objects.atomic():
                await add(objects, "two")
                with suppress(Oops):
                    async with objects.transaction():
                        raise Oops
    assert names() == {"one"}


async def test_a_savepoint_outside_a_transaction(objects: Manager) -> None:
    with pytest.raises(RuntimeError, match="needs a transaction"):
        async with objects.savepoint():
            pass
    await add(objects, "ada")


# By hand


@both_kinds
async def test_commit_and_rollback_by_hand(objects: Manager, names: Any) -> None:
    async with objects.atomic() as tx:
        await add(objects, "one")
        await tx.commit()
        assert names() == {"one"}
        await add(objects, "two")
        await tx.rollback()
        await add(objects, "three")
    assert names() == {"one", "three"}


async def test_commit_by_hand_without_going_on(objects: Manager, names: Any) -> None:
    async with objects.atomic() as tx:
        await add(objects, "one")
        await tx.commit(begin=False)
        await add(objects, "two")  # outside: on its own
        assert names() == {"one", "two"}
        with pytest.raises(RuntimeError, match="ended"):
            await tx.commit()
    assert names() == {"one", "two"}


async def test_rollback_by_hand_without_going_on(objects: Manager, names: Any) -> None:
    with pytest.raises(Oops):
        async with objects.atomic() as tx:
            await add(objects, "one")
            await tx.rollback(begin=False)
            await add(objects, "two")
            raise Oops
    assert names() == {"two"}


async def test_savepoints_by_hand(objects: Manager, names: Any) -> None:
    async with objects.atomic():
        async with objects.savepoint() as sp:
            await add(objects, "one")
            await sp.commit()
            await add(objects, "two")
            await sp.rollback()
            await add(objects, "three")
            await sp.rollback(begin=False)
        await add(objects, "four")
    assert names() == {"one", "four"}


async def test_an_outer_block_cannot_end_before_an_inner_one(objects: Manager) -> None:
    async with objects.atomic() as outer, objects.atomic():
        with pytest.raises(RuntimeError, match="is open inside it"):
            await outer.commit()
        with pytest.raises(RuntimeError, match="is open inside it"):
            await outer.rollback()


# Decorators


@both_kinds
async def test_decorators(objects: Manager, names: Any) -> None:
    @objects.atomic()
    async def save(name: str, *, fail: bool = False) -> str:
        """Save one."""
        await add(objects, name)
        if fail:
            raise Oops
        return name

    @objects.transaction()
    async def save_two() -> None:
        await save("two")
        with suppress(Oops):
            await save("three", fail=True)

    assert await save("one") == "one"
    assert (save.__name__, save.__doc__) == ("save", "Save one.")
    with pytest.raises(Oops):
        await save("four", fail=True)
    await save_two()
    await asyncio.gather(*(save(f"n{number}") for number in range(5)))
    assert names() == {"one", "two"} | {f"n{number}" for number in range(5)}


async def test_only_coroutine_functions_are_decorated(objects: Manager) -> None:
    def plain() -> None: ...

    with pytest.raises(TypeError, match="async def"):
        objects.atomic()(plain)  # type: ignore[arg-type]


# Names of savepoints


@pytest.mark.parametrize(
    "sid",
    [
        "plain",
        "two words",
        "select",
        'double"quote',
        "single'quote",
        "back`tick",
        "a; DROP TABLE user; --",
        'x"; DELETE FROM "user"; --',
        "x`; DELETE FROM `user`; --",
        "100% %s %(name)s %%",
        "?:1",
        "Ünï€",
    ],
)
async def test_the_name_of_a_savepoint_is_only_a_name(
    objects: Manager, names: Any, sid: str
) -> None:
    async with objects.atomic():
        await add(objects, "one")
        async with objects.savepoint(sid):
            await add(objects, "two")
        with suppress(Oops):
            async with objects.savepoint(sid):
                await add(objects, "three")
                raise Oops
    assert names() == {"one", "two"}


@pytest.mark.parametrize("sid", ["", "nul\0"])
async def test_what_cannot_be_a_name(objects: Manager, names: Any, sid: str) -> None:
    async with objects.atomic():
        with pytest.raises(ValueError, match="savepoint"):
            async with objects.savepoint(sid):
                pass
        await add(objects, "one")
    assert names() == {"one"}


# Options


LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE", "read_committed"]


@only("postgres")
@pytest.mark.parametrize("level", LEVELS)
async def test_isolation_levels_of_postgres(
    objects: Manager, database: AioDatabase, level: str
) -> None:
    show = peewee.Select(columns=[peewee.fn.current_setting("transaction_isolation")])
    async with objects.atomic(isolation_level=level):
        shown = await objects.scalar(show)
    assert shown == level.replace("_", " ").lower()
    async with objects.atomic():
        assert await objects.scalar(show) == "read committed"


@only("postgres", "mysql")
async def test_a_repeatable_read_repeats(objects: Manager, sync: Any) -> None:
    async with objects.atomic(isolation_level="REPEATABLE READ"):
        assert await objects.count(User) == 0
        with User.bind_ctx(sync, False, False):
            User.create(name="ada")
        assert await objects.count(User) == 0
    async with objects.atomic(isolation_level="READ COMMITTED"):
        assert await objects.count(User) == 1
        with User.bind_ctx(sync, False, False):
            User.create(name="bob")
        assert await objects.count(User) == 2


@only("sqlite")
async def test_isolation_levels_are_refused_by_sqlite(objects: Manager) -> None:
    with pytest.raises(ValueError, match="isolation_level"):
        async with objects.atomic(isolation_level="SERIALIZABLE"):
            pass
    await add(objects, "ada")


async def test_a_level_that_nobody_knows(objects: Manager) -> None:
    with pytest.raises(ValueError, match="isolation_level"):
        async with objects.atomic(isolation_level="SERIALIZABLE; DROP TABLE x"):
            pass


@only("postgres", "mysql")
async def test_read_only(objects: Manager, names: Any) -> None:
    with pytest.raises(peewee.PeeweeException, match=r"(?i)read.only"):
        async with objects.atomic(read_only=True):
            assert await objects.count(User) == 0
            await add(objects, "ada")
    assert names() == set()
    async with objects.atomic(read_only=False):
        await add(objects, "bob")
    assert names() == {"bob"}


@only("postgres")
async def test_all_options_of_postgres(objects: Manager, database: AioDatabase) -> None:
    show = peewee.Select(columns=[peewee.fn.current_setting("transaction_deferrable")])
    options: Any = {"isolation_level": "SERIALIZABLE", "read_only": True}
    async with objects.transaction(**options, deferrable=True):
        assert await objects.scalar(show) == "on"
    with pytest.raises(ValueError, match="lock_type"):
        async with objects.atomic(lock_type="IMMEDIATE"):
            pass


@only("sqlite")
@pytest.mark.parametrize("lock_type", ["DEFERRED", "IMMEDIATE", "EXCLUSIVE"])
async def test_lock_types_of_sqlite(
    objects: Manager, names: Any, lock_type: str
) -> None:
    async with objects.atomic(lock_type=lock_type):
        await add(objects, "ada")
    assert names() == {"ada"}
    with pytest.raises(ValueError, match="lock_type"):
        async with objects.atomic(lock_type="WHATEVER"):
            pass


async def test_options_are_for_the_outermost_block(objects: Manager) -> None:
    async with objects.atomic():
        with pytest.raises(ValueError, match="outermost"):
            async with objects.atomic(read_only=True):
                pass


# Errors in a block


@only("postgres")
@both_kinds
async def test_a_failed_statement_that_is_swallowed_is_no_commit(
    objects: Manager, names: Any
) -> None:
    with pytest.raises(peewee.InternalError, match="cannot be committed"):
        async with objects.atomic():
            await add(objects, "ada")
            with suppress(peewee.IntegrityError):
                await add(objects, "ada")
    assert names() == set()
    await add(objects, "bob")
    assert names() == {"bob"}


@only("postgres")
async def test_a_failed_statement_of_raw_sql_is_no_commit_either(
    objects: Manager, names: Any
) -> None:
    with pytest.raises(peewee.InternalError, match="cannot be committed"):
        async with objects.atomic() as tx:
            await add(objects, "ada")
            with suppress(peewee.ProgrammingError):
                await objects.execute(User.raw("SELECT * FROM nowhere"))
            await tx.commit()
    assert names() == set()


@only("mysql", "sqlite")
async def test_a_failed_statement_elsewhere_undoes_only_itself(
    objects: Manager, names: Any
) -> None:
    async with objects.atomic():
        await add(objects, "ada")
        with suppress(peewee.IntegrityError):
            await add(objects, "ada")
        await add(objects, "bob")
    assert names() == {"ada", "bob"}


class Parent(AioModel):
    id: Any


class Child(AioModel):
    id: Any
    parent: Any = peewee.ForeignKeyField(
        Parent, deferrable="INITIALLY DEFERRED", backref="children"
    )


@only("postgres", "sqlite")
@both_kinds
async def test_a_deferred_constraint_fails_at_the_commit(
    objects: Manager, tables: CreateTables
) -> None:
    tables(Parent, Child)
    with pytest.raises(peewee.IntegrityError) as caught:
        async with objects.atomic():
            await objects.create(Child, parent=404)
            assert await objects.count(Child) == 1
    assert caught.value.__cause__ is not None
    assert await objects.count(Child) == 0
    async with objects.atomic():
        await objects.create(Child, id=1, parent=1)
        await objects.create(Parent, id=1)
    assert await objects.count(Child) == 1


@only("postgres", "sqlite")
async def test_a_deferred_constraint_fails_at_a_commit_by_hand(
    objects: Manager, tables: CreateTables
) -> None:
    tables(Parent, Child)
    async with objects.atomic() as tx:
        await objects.create(Child, parent=404)
        with pytest.raises(peewee.IntegrityError):
            await tx.commit()
        await objects.create(Parent, id=1)
    assert await objects.count(Child) == 0
    assert await objects.count(Parent) == 1


@only("postgres", "mysql")
async def test_a_connection_that_breaks_takes_the_transaction_with_it(
    objects: Manager, names: Any, backend: Backend, sync: Any
) -> None:
    me = "pg_backend_pid" if backend.name == "postgres" else "connection_id"
    kill = "SELECT pg_terminate_backend(%s)" if "pg" in me else "KILL %s"
    with pytest.raises(peewee.PeeweeException):
        async with objects.atomic():
            await add(objects, "one")
            number = await objects.scalar(
                peewee.Select(columns=[getattr(peewee.fn, me)()])
            )
            sync.execute_sql(kill, (number,))
            for name in ("two", "three"):
                with pytest.raises((peewee.OperationalError, peewee.InterfaceError)):
                    await add(objects, name)
    assert names() == set()
    await add(objects, "four")
    assert names() == {"four"}


# After the commit


@both_kinds
async def test_after_commit(objects: Manager, names: Any) -> None:
    calls: list[Any] = []

    async def later() -> None:
        calls.append(await objects.count(User))

    async with objects.atomic() as tx:
        tx.after_commit(lambda: calls.append(names()))
        tx.after_commit(later)
        async with objects.atomic() as inner:
            inner.after_commit(lambda: calls.append("inner"))
        with suppress(Oops):
            async with objects.atomic() as failing:
                failing.after_commit(lambda: calls.append("never"))
                raise Oops
        await add(objects, "ada")
        assert calls == []
    assert calls == [{"ada"}, 1, "inner"]


async def test_after_commit_is_dropped_with_a_rollback(objects: Manager) -> None:
    calls: list[str] = []
    with suppress(Oops):
        async with objects.atomic() as tx:
            tx.after_commit(lambda: calls.append("never"))
            raise Oops
    async with objects.atomic() as tx:
        tx.after_commit(lambda: calls.append("never"))
        await tx.rollback()
        tx.after_commit(lambda: calls.append("once"))
        await tx.commit()
        assert calls == ["once"]
    assert calls == ["once"]


# get_or_create inside


async def test_a_unique_violation_inside_get_or_create(
    objects: Manager, names: Any
) -> None:
    async with objects.atomic():
        await add(objects, "ada")
        with pytest.raises(peewee.IntegrityError):
            await objects.get_or_create(User, name="ada", age=99)
        with pytest.raises(peewee.IntegrityError):
            await User.aio_get_or_create(name="ada", age=99)
        found, created = await objects.create_or_get(User, name="ada", age=99)
        assert (found.age, created) == (0, False)
        await add(objects, "bob")
    assert names() == {"ada", "bob"}


# Tasks inside a block


@both_kinds
async def test_many_queries_at_once_in_a_block(objects: Manager, names: Any) -> None:
    async with objects.atomic():
        await asyncio.gather(*(add(objects, f"user{n}") for n in range(20)))
        counts = await asyncio.gather(*(objects.count(User) for _ in range(20)))
        assert counts == [20] * 20
        assert names() == set()
        assert statistics(objects.database).busy == 1
    assert len(names()) == 20


@both_kinds
async def test_children_with_nested_blocks(objects: Manager, names: Any) -> None:
    async def child(number: int) -> None:
        with suppress(Oops):
            async with objects.atomic():
                await add(objects, f"{number}a", f"{number}b")
                async with objects.atomic():
                    await add(objects, f"{number}c")
                if number % 2:
                    raise Oops

    async with objects.atomic():
        await add(objects, "first")
        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(child(number))
        await add(objects, "last")
    even = {f"{number}{letter}" for number in range(0, 10, 2) for letter in "abc"}
    assert names() == {"first", "last"} | even


async def test_children_are_undone_with_their_block(
    objects: Manager, names: Any
) -> None:
    with pytest.raises(Oops):
        async with objects.atomic():
            await asyncio.gather(*(add(objects, f"user{n}") for n in range(5)))
            raise Oops
    assert names() == set()


async def test_wait_for_and_shield_stay_in_the_block(
    objects: Manager, names: Any
) -> None:
    async with objects.atomic():
        await asyncio.wait_for(add(objects, "one"), 30)
        await asyncio.shield(add(objects, "two"))
        async with asyncio.timeout(30):
            await add(objects, "three")
        assert names() == set()
    assert names() == {"one", "two", "three"}


@pytest.mark.parametrize("ends", ["in", "after"])
async def test_a_task_that_outlives_its_block(
    objects: Manager, names: Any, ends: str
) -> None:
    go_on = asyncio.Event()

    async def late() -> None:
        await go_on.wait()
        await add(objects, "late")

    with suppress(Oops):
        async with objects.atomic():
            await add(objects, "one")
            task = asyncio.create_task(late())
            if ends == "in":
                go_on.set()
                await task
            raise Oops
    go_on.set()
    await task
    assert names() == (set() if ends == "in" else {"late"})


async def test_a_task_beside_is_in_no_block(objects: Manager, names: Any) -> None:
    opened, done = asyncio.Event(), asyncio.Event()

    async def beside() -> int:
        await opened.wait()
        count = await objects.count(User)
        done.set()
        return count

    task = asyncio.create_task(beside())
    async with objects.atomic():
        await add(objects, "ada")
        opened.set()
        await done.wait()
    assert await task == 0
    assert names() == {"ada"}


async def test_two_database_objects_do_not_mix(
    objects: Manager, make_database: Any, names: Any, backend: Backend
) -> None:
    other = Manager(make_database())
    with pytest.raises(Oops):
        async with objects.atomic():
            assert await objects.count(User) == 0
            if backend.name == "sqlite":  # one writer at a time
                assert await other.count(User) == 0
            else:
                await objects.create(User, name="one")
                async with other.atomic():
                    await other.create(User, name="two")
                    assert await objects.count(User) == 1
            raise Oops
    assert names() == (set() if backend.name == "sqlite" else {"two"})


async def test_a_generator_with_a_block_that_is_closed(
    objects: Manager, names: Any
) -> None:
    async def rows() -> Any:
        async with objects.atomic():
            await add(objects, "ada")
            yield 1
            yield 2

    generator = rows()
    assert await anext(generator) == 1
    await asyncio.create_task(generator.aclose())
    assert names() == set()
    await add(objects, "bob")
    assert names() == {"bob"}
