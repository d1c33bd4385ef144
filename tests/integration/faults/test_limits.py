"""What a server ends by itself: statements, waits for locks, transactions, sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import peewee
import pytest

from peewee_async import AioDatabase, AioModel, Manager
from tests.integration.backends import Backend
from tests.integration.checks import both_kinds, only
from tests.integration.conftest import CreateTables, MakeDatabase
from tests.integration.faults.common import (
    LONG,
    Oops,
    chain,
    lines,
    recovered,
    require_driver,
    servers_only,
    until,
    write,
)
from tests.integration.models import Line, User

# Options with which all sessions of a database object have these limits.
STATEMENT: dict[str, dict[str, Any]] = {
    "postgres": {"options": "-c statement_timeout=100"},
    "mysql": {"init_command": "SET SESSION max_statement_time = 0.1"},
}
LOCKS: dict[str, dict[str, Any]] = {
    "postgres": {"options": "-c lock_timeout=100 -c deadlock_timeout=10"},
    "mysql": {"init_command": "SET SESSION innodb_lock_wait_timeout = 1"},
}
IDLE: dict[str, dict[str, Any]] = {
    "postgres": {"options": "-c idle_in_transaction_session_timeout=50"},
    "mysql": {"init_command": "SET SESSION idle_transaction_timeout = 1"},
}
# A statement with something to do: MariaDB's SLEEP is only woken.
BUSY = LONG | {
    "mysql": (
        "SELECT COUNT(*) FROM information_schema.collations a, "
        "information_schema.collations b, information_schema.collations c, "
        "information_schema.collations d"
    )
}
SESSIONS = {
    "postgres": (
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    ),
    "mysql": (
        "SELECT COUNT(*) FROM information_schema.processlist "
        "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    ),
}

Limited = Callable[..., Manager]


@pytest.fixture
def limited(
    make_database: MakeDatabase, backend: Backend, tables: CreateTables, sync: Any
) -> Limited:
    """A function that makes Managers whose sessions have limits."""
    tables(Line, User)
    if backend.name == "mysql" and "MariaDB" not in backend.description:
        pytest.skip("MySQL has other names for these limits.")

    def make(options: dict[str, dict[str, Any]], **more: Any) -> Manager:
        return Manager(make_database(**options[backend.name], **more))

    return make


@servers_only
@both_kinds
async def test_statement_timeout(
    limited: Limited, backend: Backend, sync: Any, pooled: bool
) -> None:
    objects = limited(STATEMENT, pooled=pooled)
    await objects.connect()
    query = Line.raw(BUSY[backend.name]).tuples()
    task = asyncio.create_task(objects.execute(query))
    await asyncio.wait([task])
    assert isinstance(task.exception(), peewee.OperationalError)
    require_driver(task.exception(), backend)
    assert task.cancelling() == 0
    assert objects.database.pool_statistics()[:6] == (1, 1, 0, 0, 0, 1)
    async with objects.atomic():
        await write(objects, "before")
        with suppress(peewee.OperationalError):
            async with objects.atomic():
                await write(objects, "inside")
                await objects.execute(query)
        await write(objects, "after")
    assert lines(sync) == ["after", "before"]
    await recovered(objects)


@only("postgres")
async def test_statement_timeout_that_is_swallowed_is_no_commit(
    limited: Limited, backend: Backend, sync: Any
) -> None:
    objects = limited(STATEMENT)
    with pytest.raises(peewee.InternalError, match="cannot be committed"):
        async with objects.atomic():
            await write(objects, "before")
            with pytest.raises(peewee.OperationalError):
                await objects.execute(Line.raw(BUSY[backend.name]).tuples())
    assert lines(sync) == []
    await recovered(objects)


@servers_only
async def test_statement_timeout_in_a_stream(
    limited: Limited, backend: Backend
) -> None:
    objects = limited(STATEMENT)
    with pytest.raises(peewee.OperationalError) as caught:
        async for _ in (
            Line.raw(BUSY[backend.name]).tuples().bind(objects.database).aio_iterator()
        ):
            pass
    require_driver(caught.value, backend)
    await recovered(objects)


# Locks


async def two_users(objects: Manager) -> None:
    for name in ("a", "b"):
        await objects.create(User, name=name)


async def age(objects: Manager, name: str, by: int) -> None:
    query = User.update(age=User.age + by).where(User.name == name)
    await objects.execute(query)


@servers_only
async def test_lock_timeout(limited: Limited, backend: Backend, sync: Any) -> None:
    objects = limited(LOCKS)
    await two_users(objects)
    async with objects.atomic():
        await age(objects, "a", 1)
        async with objects.database.detached():
            with pytest.raises(peewee.OperationalError) as caught:
                await age(objects, "a", 10)
            require_driver(caught.value, backend)
            # In a block the loser may go on with what it has, if it used a savepoint.
            async with objects.atomic():
                await age(objects, "b", 100)
                with pytest.raises(peewee.OperationalError):
                    async with objects.atomic():
                        await age(objects, "a", 10)
    assert await ages(objects) == [1, 100]
    await recovered(objects)


async def ages(objects: Manager) -> list[int]:
    query = User.select(User.age).order_by(User.name).tuples()
    return [value for (value,) in await objects.execute(query)]


@servers_only
async def test_lock_timeout_that_is_swallowed(
    limited: Limited, backend: Backend
) -> None:
    """A commit is reported if there was one, and only then."""
    objects = limited(LOCKS)
    await two_users(objects)
    committed = False
    async with objects.atomic():
        await age(objects, "a", 1)
        async with objects.database.detached():
            with suppress(peewee.InternalError):
                async with objects.atomic():
                    await age(objects, "b", 100)
                    with pytest.raises(peewee.OperationalError):
                        await age(objects, "a", 10)
                committed = True
    # PostgreSQL has rolled back everything, MySQL the statement.
    assert committed == (backend.name == "mysql")
    assert await ages(objects) == [1, 100 if committed else 0]
    await recovered(objects)


@servers_only
@both_kinds
async def test_a_deadlock(limited: Limited, backend: Backend, pooled: bool) -> None:
    """One of two loses, tries again, and succeeds."""
    one, two = limited(LOCKS, pooled=pooled), limited(LOCKS, pooled=pooled)
    await two_users(one)
    both = asyncio.Barrier(2)
    losses: list[peewee.OperationalError] = []

    async def swap(objects: Manager, first: str, second: str) -> None:
        async with objects.atomic():
            await age(objects, first, 1)
            if not losses:
                await both.wait()
            await age(objects, second, 10)

    async def until_done(objects: Manager, first: str, second: str) -> None:
        for _ in range(5):
            try:
                await swap(objects, first, second)
                return
            except peewee.OperationalError as error:
                losses.append(error)

    await asyncio.gather(until_done(one, "a", "b"), until_done(two, "b", "a"))
    assert losses
    for error in losses:
        require_driver(error, backend)
    assert await ages(one) == [11, 11]
    await recovered(one)
    await recovered(two)


@servers_only
async def test_a_serialization_failure(limited: Limited, backend: Backend) -> None:
    """Both read what the other writes: one loses, tries again, and succeeds."""
    objects = limited(LOCKS)
    await two_users(objects)
    both = asyncio.Barrier(2)
    losses: list[peewee.OperationalError] = []

    async def move(name: str) -> None:
        async with objects.atomic(isolation_level="SERIALIZABLE"):
            total = await objects.scalar(User.select(peewee.fn.SUM(User.age)))
            if not losses:
                await both.wait()
            await objects.execute(
                User.update(age=int(total) + 1).where(User.name == name)
            )

    async def until_done(name: str) -> None:
        for _ in range(5):
            try:
                await move(name)
                return
            except peewee.OperationalError as error:
                losses.append(error)

    await asyncio.gather(until_done("a"), until_done("b"))
    assert losses
    for error in losses:
        require_driver(error, backend)
    # As if one had come after the other.
    assert sorted(await ages(objects)) == [1, 2]
    await recovered(objects)


# Sessions that do nothing in a transaction


@servers_only
@both_kinds
async def test_idle_in_transaction(
    limited: Limited, backend: Backend, sync: Any, pooled: bool
) -> None:
    objects = limited(IDLE, pooled=pooled)
    with pytest.raises(peewee.OperationalError) as caught:
        async with objects.atomic():
            await write(objects, "one")
            await until_no_session(backend, sync)
            with pytest.raises(peewee.OperationalError) as first:
                await write(objects, "two")
            require_driver(first.value, backend)
            if backend.name == "postgres":  # MariaDB gives no reason
                said = [str(error) for error in chain(first.value)]
                assert "idle-in-transaction timeout" in " ".join(said)
            with pytest.raises(peewee.OperationalError, match="lost"):
                await write(objects, "three")
    require_driver(caught.value, backend)
    assert lines(sync) == []
    await write(objects, "four")
    assert lines(sync) == ["four"]
    await recovered(objects)


async def until_no_session(backend: Backend, sync: Any) -> None:
    await until(lambda: not sync.execute_sql(SESSIONS[backend.name]).fetchone()[0])


@servers_only
async def test_the_users_own_error_after_that(
    limited: Limited, backend: Backend, sync: Any
) -> None:
    objects = limited(IDLE)
    with pytest.raises(Oops):
        async with objects.atomic():
            await write(objects, "one")
            await until_no_session(backend, sync)
            raise Oops
    assert lines(sync) == []
    await recovered(objects)


# COMMIT and ROLLBACK that fail


class Owner(AioModel):
    id: Any


class Owned(AioModel):
    id: Any
    owner: Any = peewee.ForeignKeyField(Owner, deferrable="INITIALLY DEFERRED")


@only("postgres", "sqlite")
@both_kinds
@pytest.mark.parametrize("nested", [False, True])
async def test_a_deferred_constraint(
    database: AioDatabase,
    tables: CreateTables,
    backend: Backend,
    pooled: bool,
    nested: bool,
) -> None:
    """COMMIT fails: that error comes out, nothing stays, no callback is called."""
    tables(Owner, Owned)
    objects = Manager(database)
    called: list[int] = []
    with pytest.raises(peewee.IntegrityError) as caught:
        async with objects.atomic() as tx:
            tx.after_commit(lambda: called.append(1))
            if nested:
                async with objects.atomic():
                    await objects.create(Owned, owner=404)
            else:
                await objects.create(Owned, owner=404)
    require_driver(caught.value, backend)
    assert called == []
    assert await objects.count(Owned) == 0
    assert database.pool_statistics()[:5] == (1, 1, 0, 0, 0)
    await objects.create(Owner, id=1)
    assert await objects.count(Owner) == 1
