"""atomic, transaction and savepoint: what is sent, and what is left of it."""

# ruff: noqa: PT012 - that an error leaves a block is what is tested

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import peewee
import pytest

from peewee_async import Manager
from peewee_async.blocks import BlockContext
from peewee_async.core.boundary import Reply, Statement, Status
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import PORTION, Plan
from peewee_async.core.transactions import Callback
from tests.unit.fakes import FakeDatabase, FakeServer, Oops, turns


@pytest.fixture
def objects(database: FakeDatabase) -> Manager:
    return Manager(database)


async def test_a_block_is_committed(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    for block in (objects.atomic(), objects.transaction()):
        async with block:
            await database.send("INSERT 1")
    assert server.sent == ["BEGIN", "INSERT 1", "COMMIT"] * 2
    assert database.statistics.idle == 1


async def test_an_error_rolls_it_back(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    for block in (objects.atomic(), objects.transaction()):
        with pytest.raises(ValueError, match="mine"):
            async with block:
                await database.send("INSERT 1")
                raise ValueError("mine")
    assert server.sent == ["BEGIN", "INSERT 1", "ROLLBACK"] * 2
    assert server.committed == []
    assert database.statistics.idle == 1


async def test_an_inner_atomic_is_a_savepoint(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    async with objects.atomic():
        await database.send("INSERT 1")
        async with objects.atomic():
            await database.send("INSERT 2")
        with pytest.raises(Oops):
            async with objects.atomic():
                await database.send("INSERT 3")
                raise Oops
    assert server.sent == [
        "BEGIN",
        "INSERT 1",
        'SAVEPOINT "s1"',
        "INSERT 2",
        'RELEASE SAVEPOINT "s1"',
        'SAVEPOINT "s2"',
        "INSERT 3",
        'ROLLBACK TO SAVEPOINT "s2"',
        "COMMIT",
    ]
    assert server.committed == ["INSERT 1", "INSERT 2"]


async def test_an_inner_transaction_joins_the_outer_one(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    async with objects.transaction(), objects.transaction():
        await database.send("INSERT 1")
    assert server.sent == ["BEGIN", "INSERT 1", "COMMIT"]


async def test_an_inner_transaction_that_fails_keeps_the_outer_from_committing(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    with pytest.raises(peewee.InternalError, match="cannot be committed"):
        async with objects.transaction():
            await database.send("INSERT 1")
            with pytest.raises(Oops):
                async with objects.transaction():
                    raise Oops
    assert server.sent == ["BEGIN", "INSERT 1", "ROLLBACK"]


async def test_the_name_of_a_savepoint_is_quoted(
    server: FakeServer, objects: Manager
) -> None:
    async with objects.atomic(), objects.savepoint('a"; DROP TABLE b'):
        pass
    assert server.sent[1] == 'SAVEPOINT "a""; DROP TABLE b"'


async def test_a_savepoint_needs_a_transaction(
    database: FakeDatabase, objects: Manager
) -> None:
    with pytest.raises(RuntimeError, match="needs a transaction around it"):
        async with objects.savepoint():
            pass
    assert database.statistics.busy == 0


async def test_the_options_of_a_transaction(
    server: FakeServer, objects: Manager
) -> None:
    async with objects.atomic(isolation_level="serializable", read_only=True):
        with pytest.raises(ValueError, match="Only the outermost block"):
            async with objects.atomic(read_only=True):
                pass
    assert server.sent == ["BEGIN READ ONLY ISOLATION LEVEL SERIALIZABLE", "COMMIT"]


async def test_an_unknown_option_costs_no_connection(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    with pytest.raises(ValueError, match="no lock_type"):
        async with objects.atomic(lock_type="IMMEDIATE"):
            pass
    assert server.sent == []
    assert database.statistics.busy == 0


async def test_commits_by_hand_and_goes_on(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    async with objects.atomic() as tx:
        await database.send("INSERT 1")
        await tx.commit()
        await database.send("INSERT 2")
        await tx.rollback()
        await database.send("INSERT 3")
    assert server.sent == [
        "BEGIN",
        "INSERT 1",
        "COMMIT",
        "BEGIN",
        "INSERT 2",
        "ROLLBACK",
        "BEGIN",
        "INSERT 3",
        "COMMIT",
    ]
    assert server.committed == ["INSERT 1", "INSERT 3"]


async def test_a_savepoint_by_hand(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    async with objects.atomic(), objects.savepoint("mine") as inner:
        await database.send("INSERT 1")
        await inner.rollback()
        await database.send("INSERT 2")
    assert server.sent == [
        "BEGIN",
        'SAVEPOINT "mine"',
        "INSERT 1",
        'ROLLBACK TO SAVEPOINT "mine"',
        'SAVEPOINT "mine"',
        "INSERT 2",
        'RELEASE SAVEPOINT "mine"',
        "COMMIT",
    ]
    assert server.committed == ["INSERT 2"]


@pytest.mark.parametrize("verb", ["COMMIT", "ROLLBACK"])
async def test_ends_by_hand_and_is_outside(
    server: FakeServer, database: FakeDatabase, objects: Manager, verb: str
) -> None:
    async with objects.atomic() as tx:
        await database.send("INSERT 1")
        end = tx.commit if verb == "COMMIT" else tx.rollback
        await end(begin=False)
        assert database.statistics.idle == 1
        await database.send("INSERT 2")
        async with objects.atomic():
            await database.send("INSERT 3")
    assert server.sent == [
        "BEGIN",
        "INSERT 1",
        verb,
        "INSERT 2",
        "BEGIN",
        "INSERT 3",
        "COMMIT",
    ]
    assert ("INSERT 1" in server.committed) is (verb == "COMMIT")


async def test_an_inner_block_ended_by_hand_leaves_the_outer_one_around(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    async with objects.atomic():
        async with objects.atomic() as inner:
            await inner.commit(begin=False)
            await database.send("INSERT 1")
            async with objects.atomic():
                await database.send("INSERT 2")
        await database.send("INSERT 3")
        assert server.committed == []
    assert server.committed == ["INSERT 1", "INSERT 2", "INSERT 3"]
    assert server.attempts == 1


@pytest.mark.parametrize("verb", ["commit", "rollback"])
async def test_a_block_that_has_ended_cannot_be_ended(
    server: FakeServer, objects: Manager, verb: str
) -> None:
    async with objects.atomic() as tx:
        await tx.commit(begin=False)
        with pytest.raises(RuntimeError, match="ended"):
            await getattr(tx, verb)()
    with pytest.raises(RuntimeError, match="ended"):
        await getattr(tx, verb)()
    with pytest.raises(RuntimeError, match="ended"):
        tx.after_commit(lambda: None)
    assert server.sent == ["BEGIN", "COMMIT"]


@pytest.mark.parametrize("verb", ["commit", "rollback"])
async def test_an_outer_block_cannot_be_ended_inside_an_inner_one(
    server: FakeServer, objects: Manager, verb: str
) -> None:
    async with objects.atomic() as outer, objects.atomic():
        with pytest.raises(RuntimeError, match="is open inside it"):
            await getattr(outer, verb)()
    assert server.sent[1:] == ['SAVEPOINT "s1"', 'RELEASE SAVEPOINT "s1"', "COMMIT"]


async def test_a_refused_commit_is_rolled_back_and_raised(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    server.fail("COMMIT", peewee.IntegrityError("deferred constraint"))
    with pytest.raises(peewee.IntegrityError, match="deferred constraint"):
        async with objects.atomic():
            await database.send("INSERT 1")
    assert server.sent == ["BEGIN", "INSERT 1", "COMMIT", "ROLLBACK"]
    assert database.statistics.idle == 1
    assert server.committed == []


async def test_an_aborted_transaction_is_not_committed(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    server.fail("INSERT", peewee.IntegrityError("taken"))
    with pytest.raises(peewee.InternalError, match="cannot be committed"):
        async with objects.atomic():
            with pytest.raises(peewee.IntegrityError):
                await database.send("INSERT 1")
    assert server.sent == ["BEGIN", "INSERT 1", "ROLLBACK"]


async def test_a_savepoint_contains_what_fails_in_it(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    server.fail("INSERT 2", peewee.IntegrityError("taken"))
    async with objects.atomic():
        await database.send("INSERT 1")
        with pytest.raises(peewee.IntegrityError, match="taken"):
            async with objects.atomic():
                await database.send("INSERT 2")
    assert server.sent[-2:] == ['ROLLBACK TO SAVEPOINT "s1"', "COMMIT"]
    assert server.committed == ["INSERT 1"]


async def test_a_failed_begin_gives_the_connection_back(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    server.fail("BEGIN", peewee.OperationalError("read-only standby"))
    with pytest.raises(peewee.OperationalError, match="standby"):
        async with objects.atomic():
            pytest.fail("the block was entered")
    assert database.statistics.idle == 1
    await database.send("INSERT 1")
    assert server.committed == ["INSERT 1"]


async def test_a_savepoint_that_cannot_be_undone_is_never_committed(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    server.fail("ROLLBACK TO", peewee.OperationalError("no such savepoint"))
    with pytest.raises(peewee.PeeweeException):
        async with objects.atomic():
            with pytest.raises(Oops):
                async with objects.atomic():
                    await database.send("INSERT 1")
                    raise Oops
            server.connections[0].status = Status.OPEN  # as in MySQL
    assert server.committed == []


async def test_an_inner_block_that_gets_no_turn_to_roll_back_is_never_committed(
    server: FakeServer,
) -> None:
    database = FakeDatabase(server, acquire_timeout=0)
    with pytest.raises(peewee.OperationalError):
        await database.aio_connect()
    await turns()
    with pytest.raises(peewee.PeeweeException):
        async with database.aio_atomic():
            hold = server.hold("INSERT child")
            with pytest.raises(Oops):
                async with database.aio_atomic():
                    await database.send("INSERT 1")
                    child = asyncio.create_task(database.send("INSERT child"))
                    await hold.reached.wait()
                    raise Oops
            hold.release()
            await asyncio.gather(child, return_exceptions=True)
    assert server.committed == []
    await database.aio_close()


async def test_an_inner_block_cancelled_as_it_ends_is_never_committed(
    server: FakeServer, database: FakeDatabase
) -> None:
    with pytest.raises(peewee.PeeweeException):
        async with database.aio_atomic():
            hold = server.hold("INSERT child")
            task = asyncio.current_task()
            assert task is not None
            with pytest.raises(asyncio.CancelledError):
                async with database.aio_atomic():
                    await database.send("INSERT 1")
                    child = asyncio.create_task(database.send("INSERT child"))
                    await hold.reached.wait()
                    # The commit of the inner block waits for its turn by then.
                    asyncio.get_running_loop().call_soon(task.cancel)
            task.uncancel()
            hold.release()
            await asyncio.gather(child, return_exceptions=True)
    assert server.committed == []


@pytest.mark.parametrize("kind", ["atomic", "transaction", "savepoint"])
async def test_decorates_a_function(
    server: FakeServer, database: FakeDatabase, objects: Manager, kind: str
) -> None:
    block: BlockContext = getattr(objects, kind)()

    @block
    async def twice(number: int, fail: bool = False) -> int:
        """Say what it does."""
        await database.send(f"INSERT {number}")
        if fail:
            raise Oops
        return number * 2

    assert twice.__name__ == "twice"
    assert twice.__doc__ == "Say what it does."
    async with objects.atomic():
        assert [*await asyncio.gather(twice(1), twice(2))] == [2, 4]
    assert server.committed == ["INSERT 1", "INSERT 2"]
    if kind != "savepoint":
        with pytest.raises(Oops):
            await twice(3, fail=True)
        assert server.sent[-1] == "ROLLBACK"


def test_decorates_nothing_but_async_functions(database: FakeDatabase) -> None:
    with pytest.raises(TypeError, match="no `async def` function"):
        Manager(database).atomic()(lambda: None)  # type: ignore[arg-type, return-value]


async def test_one_block_cannot_be_open_twice(
    server: FakeServer, objects: Manager
) -> None:
    block = objects.atomic()
    async with block:
        with pytest.raises(RuntimeError, match="is open already"):
            async with block:
                pass
    assert server.sent == ["BEGIN", "COMMIT"]


async def test_one_block_cannot_be_opened_by_two_tasks(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    block = objects.atomic()

    async def use() -> None:
        async with block:
            await database.send("INSERT 1")

    errors = await asyncio.gather(use(), use(), return_exceptions=True)
    assert [type(error) for error in errors] == [type(None), RuntimeError]
    assert database.statistics.busy == 0
    assert server.committed == ["INSERT 1"]


async def test_calls_come_after_the_outermost_commit(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    seen: list[tuple[str, str]] = []

    async def slow() -> None:
        await turns(2)
        seen.append(("slow", server.sent[-1]))

    async with objects.atomic() as outer:
        outer.after_commit(slow)
        async with objects.atomic() as inner:

            @inner.after_commit
            def quick() -> None:
                seen.append(("quick", server.sent[-1]))

        with pytest.raises(Oops):
            async with objects.atomic() as failing:
                failing.after_commit(lambda: seen.append(("never", "")))
                raise Oops
        assert seen == []
    assert seen == [("slow", "COMMIT"), ("quick", "COMMIT")]


async def test_calls_come_though_what_follows_the_commit_is_interrupted(
    server: FakeServer, objects: Manager
) -> None:
    seen: list[str] = []

    async def fail() -> None:
        await turns(2)
        seen.append("slow")
        raise Oops

    async def block() -> None:
        async with objects.atomic() as tx:
            tx.after_commit(lambda: seen.append("quick"))
            tx.after_commit(fail)
            holds.append(server.hold("BEGIN"))
            await tx.commit()

    holds: list[Any] = []
    task = asyncio.create_task(block())
    while not holds:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await holds[0].reached.wait()
    assert seen == []
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await turns(20)
    assert seen == ["quick", "slow"]


class Noted(peewee.IntegerField):
    """Counts the values that it has converted."""

    converted = 0

    def python_value(self, value: Any) -> Any:
        self.converted += 1
        return value


class Number(peewee.Model):
    n: Any = Noted(primary_key=True)


def numbers(statement: Statement) -> Reply:
    if not statement.sql.startswith("SELECT"):
        return Reply((), None, 1)
    return Reply([(number,) for number in range(20 * PORTION)], ("n",))


async def cancelled_amid_rows(objects: Manager) -> None:
    """Cancel a task whose rows have come and are being read."""
    Number.n.converted = 0
    task = asyncio.create_task(objects.execute(Number.select()))
    while not Number.n.converted:  # noqa: ASYNC110
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert Number.n.converted < 20 * PORTION


async def test_cancelled_while_rows_are_read_a_block_goes_on(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    server.answer = numbers
    async with objects.atomic():
        await database.send("INSERT 1")
        await cancelled_amid_rows(objects)
        await database.send("INSERT 2")
    assert server.committed == ["INSERT 1", "INSERT 2"]
    assert len(server.connections) == 1
    assert database.statistics.idle == 1


async def test_cancelled_while_rows_are_read_the_connection_goes_back(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    server.answer = numbers
    for _ in range(3):
        await cancelled_amid_rows(objects)
        assert database.statistics.idle == 1
    assert len(server.connections) == 1


async def test_calls_in_the_background_have_nothing_in_common(
    server: FakeServer, objects: Manager
) -> None:
    in_block = asyncio.Event()

    async def fail() -> None:
        async with objects.atomic():
            in_block.set()
            await turns(20)
            raise Oops

    async def write() -> None:
        await in_block.wait()
        await objects.database.aio_execute_sql("INSERT 1")

    async def block(call: Callback) -> None:
        async with objects.atomic() as tx:
            tx.after_commit(call)
            holds.append(server.hold("BEGIN"))
            await tx.commit()

    for call in (fail, write):
        holds: list[Any] = []
        task = asyncio.create_task(block(call))
        while not holds:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await holds[0].reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await objects.close()
    assert server.committed == ["INSERT 1"]


async def test_a_held_block_is_nobodys_once_its_task_was_cancelled(
    server: FakeServer, database: FakeDatabase
) -> None:
    """What goes on in the background keeps nothing of it."""
    server.numbers_sessions = True

    async def begin() -> None:
        await database.aio_begin()
        await database.send("SLOW")

    hold = server.hold("SLOW")
    task = asyncio.create_task(begin())
    await hold.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    await turns(20)
    gc.collect()
    await turns(20)
    assert database.statistics.busy == 0


async def test_calls_come_though_one_of_them_is_interrupted(
    server: FakeServer, objects: Manager
) -> None:
    """In the background, where they may close the pool that waits for them."""
    in_call = asyncio.Event()
    seen: list[str] = []

    async def wait() -> None:
        in_call.set()
        await asyncio.Event().wait()

    async def close() -> None:
        await objects.close()
        seen.append("closed")

    async def block(by_hand: bool) -> None:
        async with objects.atomic() as tx:
            tx.after_commit(wait)
            tx.after_commit(close)
            tx.after_commit(lambda: seen.append("last"))
            if by_hand:
                await tx.commit(begin=False)

    for by_hand in (False, True):
        task = asyncio.create_task(block(by_hand))
        await in_call.wait()
        in_call.clear()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await turns(40)
    assert seen == ["closed", "last"] * 2
    assert server.alive == []


async def test_a_call_that_never_ends_is_cancelled_when_the_pool_has_been_closed(
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("peewee_async.io.pool.LAST_MOMENT", 0.01)
    objects = Manager(FakeDatabase(server, close_timeout=0))
    reached, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def block() -> None:
        async with objects.atomic() as tx:
            tx.after_commit(lambda: asyncio.Event().wait())
            tx.after_commit(hang)

    task = asyncio.create_task(block())
    await turns(20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await reached.wait()
    await objects.close()
    await ended.wait()
    assert "called after a commit: 1." in caplog.text
    assert server.alive == []


async def test_calls_are_dropped_with_a_rollback(objects: Manager) -> None:
    seen: list[str] = []
    with pytest.raises(Oops):
        async with objects.atomic() as tx:
            tx.after_commit(lambda: seen.append("error"))
            raise Oops
    async with objects.atomic() as tx:
        tx.after_commit(lambda: seen.append("by hand"))
        await tx.rollback()
        tx.after_commit(lambda: seen.append("after it"))
    assert seen == ["after it"]


async def test_a_call_may_use_the_database(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    async with objects.atomic() as tx:
        tx.after_commit(lambda: database.send("INSERT 1"))
        await tx.commit()
        assert server.sent == ["BEGIN", "COMMIT", "BEGIN", "INSERT 1"]
        tx.after_commit(lambda: database.send("INSERT 2"))
    assert server.sent[-2:] == ["COMMIT", "INSERT 2"]
    assert server.committed == ["INSERT 1", "INSERT 2"]


async def test_cancelled_between_statements(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with objects.atomic():
            await database.send("INSERT 1")
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.sent == ["BEGIN", "INSERT 1", "ROLLBACK"]
    assert database.statistics.idle == 1
    assert not server.connections[0].closed


async def test_cancelled_again_while_rolling_back(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with objects.atomic():
            inside.set()
            await asyncio.Event().wait()

    hold = server.hold("ROLLBACK")
    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    await hold.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert database.statistics.busy == 1
    hold.release()
    await turns()
    assert database.statistics.idle == 1
    assert not server.connections[0].closed


async def test_a_rollback_that_takes_too_long_costs_the_connection(
    server: FakeServer,
    database: FakeDatabase,
    objects: Manager,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("peewee_async.blocks.CLEAN_UP_LIMIT", 0)
    server.hold("ROLLBACK")

    async def work() -> None:
        async with objects.atomic():
            asyncio.current_task().cancel()  # type: ignore[union-attr]
            await turns()

    task = asyncio.create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.connections[0].closed
    assert database.statistics.busy == 0


async def test_the_error_in_the_block_wins_over_a_failing_rollback(
    server: FakeServer,
    database: FakeDatabase,
    objects: Manager,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.fail("ROLLBACK", peewee.OperationalError("server died"), breaks=True)
    with pytest.raises(ValueError, match="mine") as caught:
        async with objects.atomic():
            raise ValueError("mine")
    assert "server died" in caught.value.__notes__[0]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert database.statistics.busy == 0


async def test_the_error_in_the_block_wins_over_the_loss(
    server: FakeServer,
    database: FakeDatabase,
    objects: Manager,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.fail("INSERT", peewee.OperationalError("server died"), breaks=True)
    with pytest.raises(ValueError, match="mine"):
        async with objects.atomic():
            with pytest.raises(peewee.OperationalError):
                await database.send("INSERT 1")
            raise ValueError("mine")
    assert "is lost" in caplog.text
    assert {record.name for record in caplog.records} == {"peewee.async"}


async def test_a_generator_closed_by_another_task_rolls_back(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    async def numbers() -> AsyncGenerator[int, None]:
        async with objects.atomic():
            for number in range(9):
                await database.send(f"INSERT {number}")
                yield number

    generator = numbers()
    assert await anext(generator) == 0
    await asyncio.create_task(generator.aclose())
    assert server.sent == ["BEGIN", "INSERT 0", "ROLLBACK"]
    assert database.statistics.idle == 1
    # The block is not the current one of this task any more.
    await database.send("INSERT after")
    assert server.committed == ["INSERT after"]


async def test_closing_a_generator_elsewhere_spares_the_block_that_is_open_there(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    async def numbers() -> AsyncGenerator[int, None]:
        async with objects.atomic():
            yield 0

    async def elsewhere() -> None:
        async with objects.atomic():
            await database.send("INSERT 1")
            await generator.aclose()
            await database.send("INSERT 2")

    async def begin() -> None:
        await anext(generator)

    generator = numbers()
    await asyncio.create_task(begin())
    await asyncio.create_task(elsewhere())
    assert server.committed == ["INSERT 1", "INSERT 2"]
    assert server.connections[1].statements == [
        "BEGIN",
        "INSERT 1",
        "INSERT 2",
        "COMMIT",
    ]


def test_a_generator_left_open_at_the_end_of_the_loop_is_rolled_back(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    database = FakeDatabase(server)

    async def numbers() -> AsyncGenerator[int, None]:
        async with database.aio_atomic():
            await database.send("INSERT 1")
            yield 0

    async def main() -> None:
        generator = numbers()
        left.append(generator)
        await anext(generator)

    left: list[AsyncGenerator[int, None]] = []
    asyncio.run(main())
    assert server.sent == ["BEGIN", "INSERT 1", "ROLLBACK"]
    assert server.alive == []
    assert caplog.records == []


@pytest.mark.parametrize("in_statement", [False, True])
def test_blocks_in_a_loop_that_was_closed_end_without_a_word(
    server: FakeServer, database: FakeDatabase, in_statement: bool
) -> None:
    tasks: list[Any] = []
    if in_statement:
        server.hold("SLOW")

    async def child() -> None:
        await database.send("SLOW")
        await asyncio.Event().wait()

    async def wait() -> None:
        async with database.aio_atomic():
            tasks.extend(asyncio.create_task(child()) for _ in range(2))
            await asyncio.wait(tasks)

    async def start() -> None:
        task = asyncio.create_task(wait())
        await turns()
        tasks.append(task)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(start())
    loop.close()
    while tasks:
        task = tasks.pop(0)
        task._log_destroy_pending = False  # asyncio has something to say of each
        task.get_coro().close()
    del task
    gc.collect()
    asyncio.run(database.aio_connect())
    assert (server.alive, server.committed) == ([], [])


async def test_a_generator_that_is_run_to_its_end_commits(
    server: FakeServer, database: FakeDatabase, objects: Manager
) -> None:
    async def numbers() -> AsyncGenerator[int, None]:
        async with objects.atomic():
            await database.send("INSERT 1")
            yield 1

    async with aclosing(numbers()) as generator:
        assert [number async for number in generator] == [1]
    assert server.committed == ["INSERT 1"]


async def scenario(database: FakeDatabase) -> None:
    """Every kind of block and ending, one after another and within one another."""
    async with database.aio_transaction():
        await database.send("INSERT 1")
        async with database.aio_atomic() as inner:
            await database.send("INSERT 2")
            await inner.rollback()
            await inner.commit()
        try:
            async with database.aio_savepoint("mine"):
                await database.send("INSERT 3")
                raise Oops
        except Oops:
            pass
        async with database.aio_transaction():
            await asyncio.gather(*(database.send(f"INSERT {n}") for n in (4, 5)))
    async with database.aio_atomic() as tx:
        await database.send("INSERT 6")
        await tx.rollback(begin=False)
        await database.send("INSERT 7")
    await database.send("INSERT 8")


async def count_statements(server: FakeServer, database: FakeDatabase) -> int:
    await scenario(database)
    count = len(server.sent)
    server.sent.clear()
    server.committed.clear()
    return count


async def test_interrupted_at_every_statement(
    server: FakeServer, database: FakeDatabase
) -> None:
    count = await count_statements(server, database)
    assert count == 20
    for number in range(1, count + 1):
        task = asyncio.create_task(scenario(database))

        def cancel(sent: int, last: int = number, task: Any = task) -> None:
            if sent == last:
                task.cancel()

        server.on_statement = cancel
        with pytest.raises(asyncio.CancelledError):
            await task
        await turns()
        assert_clean(server, database)


async def test_interrupted_at_every_turn_of_the_loop(
    server: FakeServer, database: FakeDatabase
) -> None:
    for number in range(1000):
        task = asyncio.create_task(scenario(database))
        await turns(number)
        task.cancel()
        await asyncio.wait([task])
        await turns()
        assert_clean(server, database)
        if not task.cancelled():
            break
    assert number > 20


async def test_broken_at_every_statement(
    server: FakeServer, database: FakeDatabase
) -> None:
    count = await count_statements(server, database)
    for number in range(1, count + 1):

        def break_off(sent: int, last: int = number) -> None:
            if sent == last:
                for connection in server.alive:
                    connection.break_off()

        server.on_statement = break_off
        with pytest.raises(peewee.OperationalError):
            await asyncio.create_task(scenario(database))
        await turns()
        assert_clean(server, database)


def assert_clean(server: FakeServer, database: FakeDatabase) -> None:
    """Nothing is left open, and a transaction was committed as a whole or not."""
    assert database.statistics.busy == 0
    assert database.statistics.waiting == 0
    assert all(each.status is Status.IDLE for each in server.alive)
    committed = set(server.committed)
    assert not committed & {"INSERT 2", "INSERT 3", "INSERT 6"}
    assert len(committed & {"INSERT 1", "INSERT 4", "INSERT 5"}) in (0, 3)
    server.sent.clear()
    server.committed.clear()
    server.on_statement = lambda number: None


async def test_a_block_of_another_database_keeps_this_one_open(
    server: FakeServer, database: FakeDatabase
) -> None:
    other = FakeDatabase(FakeServer())
    async with database.aio_atomic():
        async with database.aio_atomic() as inner:
            await inner.rollback(begin=False)
            async with other.aio_atomic():
                await database.send("INSERT 1")
        assert server.committed == []
    assert server.committed == ["INSERT 1"]
    await other.aio_close()


async def test_a_child_of_an_ended_inner_block_goes_on_in_the_outer_one(
    server: FakeServer, database: FakeDatabase
) -> None:
    async with database.aio_atomic():
        hold = server.hold("RELEASE")
        async with database.aio_atomic():

            async def late() -> None:
                await hold.reached.wait()
                await database.send("INSERT late")

            child = asyncio.create_task(late())
            asyncio.get_running_loop().call_later(0, hold.release)
        await child
        assert server.committed == []
    assert server.committed == ["INSERT late"]
    assert server.attempts == 1


async def test_nothing_goes_on_outside_after_a_commit_that_failed(
    server: FakeServer, database: FakeDatabase
) -> None:
    with pytest.raises(peewee.OperationalError, match="transaction is lost"):
        async with database.aio_atomic() as tx:
            await database.send("INSERT 1")
            server.fail("COMMIT", peewee.OperationalError("gone"), breaks=True)
            with pytest.raises(peewee.OperationalError, match="gone"):
                await tx.commit()
            with pytest.raises(peewee.OperationalError, match="transaction is lost"):
                await database.send("INSERT 2")
            with pytest.raises(peewee.OperationalError, match="transaction is lost"):
                async with database.aio_atomic():
                    pass
    assert server.committed == []
    await database.send("INSERT 3")
    assert server.committed == ["INSERT 3"]


async def test_an_error_of_ones_own_leaves_a_block_that_failed_before(
    server: FakeServer, database: FakeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Oops):
        async with database.aio_atomic() as tx:
            server.fail("ROLLBACK", peewee.OperationalError("gone"), breaks=True)
            with pytest.raises(peewee.OperationalError, match="gone"):
                await tx.rollback()
            raise Oops
    assert "is lost" in caplog.text
    assert server.committed == []


async def test_a_child_whose_block_is_cut_off_is_told(server: FakeServer) -> None:
    database = FakeDatabase(server, acquire_timeout=0.05)
    inside, cut_off = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with database.aio_atomic():
            await database.send("INSERT 1")
            inside.set()
            await cut_off.wait()
            with pytest.raises(peewee.OperationalError, match="cut off"):
                await database.send("INSERT 2")

    with pytest.raises(peewee.OperationalError, match="No turn on the connection"):
        async with database.aio_atomic():
            child = asyncio.create_task(work())
            await inside.wait()
    cut_off.set()
    with pytest.raises(peewee.OperationalError, match="cut off"):
        await child
    assert server.committed == []
    await database.aio_close()


async def test_a_statement_under_way_keeps_a_connection_from_the_pool(
    server: FakeServer,
) -> None:
    database = FakeDatabase(server, acquire_timeout=0.05)
    hold = server.hold("SELECT")
    with pytest.raises(peewee.OperationalError, match="No turn on the connection"):
        async with database.aio_atomic():
            child = asyncio.create_task(database.send("SELECT 1"))
            await hold.reached.wait()
            # As in MySQL, where DDL has ended the transaction.
            server.connections[0].status = Status.IDLE
    assert server.connections[0].closed
    with pytest.raises(peewee.OperationalError):
        await child
    await database.aio_close()


async def test_an_error_that_is_not_the_servers_loses_nothing(
    server: FakeServer, database: FakeDatabase
) -> None:
    def plan(dialect: Dialect) -> Plan[None]:
        def read(reply: Reply) -> None:
            raise Oops

        return Plan(Statement("SELECT 1"), read)

    async with database.aio_atomic():
        # As in MySQL, where DDL has ended the transaction.
        server.connections[0].status = Status.IDLE
        with pytest.raises(Oops):
            await database.run_plan(plan)
        await database.send("INSERT 1")
    assert server.sent == ["BEGIN", "SELECT 1", "INSERT 1", "COMMIT"]


async def test_a_generator_that_is_left_open_cannot_be_committed(
    server: FakeServer, database: FakeDatabase
) -> None:
    async def rows() -> AsyncGenerator[int, None]:
        async with database.aio_atomic():
            yield 1

    generator = rows()
    with pytest.raises(peewee.InternalError, match="cannot be committed"):
        async with database.aio_atomic():
            await anext(generator)
    await generator.aclose()
    assert server.sent == ["BEGIN", 'SAVEPOINT "s1"', "ROLLBACK"]


async def test_callbacks_are_all_called_and_an_error_comes_out(
    server: FakeServer, database: FakeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[str] = []

    def fails() -> None:
        raise Oops("callback")

    with pytest.raises(Oops, match="callback"):
        async with database.aio_atomic() as tx:
            tx.after_commit(fails)
            database.after_commit(lambda: called.append("plain"))

            @database.after_commit
            async def awaited() -> None:
                called.append("awaited")

            assert called == []
    assert server.sent == ["BEGIN", "COMMIT"]
    assert called == ["plain", "awaited"]
    assert "failed after the commit" in caplog.text


async def test_the_databases_callbacks_are_dropped_with_a_rollback(
    database: FakeDatabase,
) -> None:
    called: list[str] = []
    with pytest.raises(Oops):
        async with database.aio_atomic():
            database.after_commit(lambda: called.append("called"))
            raise Oops
    assert called == []


async def test_a_sync_transaction_keeps_its_callbacks(
    server: FakeServer, database: FakeDatabase
) -> None:
    called: list[str] = []
    with pytest.raises(Oops):
        async with database.aio_atomic():
            database.push_transaction(object())  # as peewee's own atomic() does
            with suppress(peewee.NotSupportedError):  # by peewee 4.3
                database.after_commit(lambda: called.append("called"))
            raw: Any = database
            raw.pop_transaction()
            raise Oops
    assert called == []
