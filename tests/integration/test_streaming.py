"""Rows one by one: as sync peewee gives them, and with few of them in memory."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_async import AioDatabase, Manager, SqliteDatabase
from tests.integration.backends import POOL_SIZE, Backend
from tests.integration.checks import (
    both_kinds,
    only,
    quiet,
    run_python,
    seen,
    statistics,
)
from tests.integration.conftest import CreateTables, MakeDatabase
from tests.integration.models import PlainUser, Post, User, people

# A thousand numbers, with no table behind them.
DIGITS = " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(10))
THOUSAND = (
    f"SELECT a.d + 10 * b.d + 100 * c.d AS n FROM ({DIGITS}) AS a, ({DIGITS}) AS b, "
    f"({DIGITS}) AS c ORDER BY n"
)
# What fails at row 500 when it is reached.
FAILURES = {
    "postgres": "1 / (500 - n)",
    "mysql": f"CASE n WHEN 500 THEN (SELECT q.d FROM ({DIGITS}) AS q) END",
    "sqlite": "CASE n WHEN 500 THEN abs(-9223372036854775807 - 1) END",
}
LONG_TEXT = {
    "postgres": "REPEAT('x', 10000)",
    "mysql": "REPEAT('x', 10000)",
    "sqlite": "HEX(ZEROBLOB(5000))",
}
OWN_SESSION = {"postgres": "pg_backend_pid()", "mysql": "CONNECTION_ID()"}
KILL = {"postgres": "SELECT pg_terminate_backend(%s)", "mysql": "KILL %s"}


@pytest.fixture
def users(objects: Manager, sync: Any) -> Manager:
    """A Manager with 300 users, the first two of whom have posts."""
    with sync.bind_ctx([User, Post], False, False):
        User.insert_many(people(300)).execute()
        first, second = User.select().order_by(User.id).limit(2)
        for author, title in [(first, "a"), (first, "b"), (second, "c")]:
            Post.create(author=author, title=title)
    return objects


def pool_connections(database: AioDatabase) -> set[Any]:
    pool: Any = database._sessions.pool
    connections: set[Any] = pool._connections
    return connections


def numbers(batch: int = 100) -> Any:
    return User.raw(THOUSAND).tuples().aio_iterator(batch_size=batch)


QUERIES = {
    "models": lambda: User.select().order_by(User.id),
    "joined": lambda: (
        Post.select(Post, User).join(User, on=Post.author).order_by(Post.id)
    ),
    "dicts": lambda: User.select(User.name, User.age).order_by(User.id).dicts(),
    "tuples": lambda: User.select(User.name, User.age).order_by(User.id).tuples(),
    "named tuples": lambda: User.select(User.name).order_by(User.id).namedtuples(),
    "objects": lambda: User.select(User.name).order_by(User.id).objects(),
    "a constructor": lambda: (
        User.select(User.name).order_by(User.id).objects(lambda **row: list(row))
    ),
    "an alias": lambda: User.alias("u").select().limit(7),
    "a union": lambda: (User.select(User.name) | User.select(User.email)).order_by(
        peewee.SQL("1")
    ),
    "raw": lambda: User.raw(
        f"SELECT n AS age, '%%' AS name FROM ({THOUSAND}) AS q LIMIT 9"
    ),
    "noop": lambda: User.noop(),
    "no rows": lambda: User.select().where(User.age < 0),
    "one row": lambda: User.select().where(User.age == 299),
    "parameters": lambda: User.select().where(
        User.name.contains("9%") | (User.age < 9)
    ),
    "a common table": lambda: _common_table(),
}


def _common_table() -> Any:
    young = User.select(User.id, User.name).where(User.age < 50).cte("young")
    return User.select(young.c.name).from_(young).with_cte(young).dicts()


@pytest.mark.parametrize("name", QUERIES)
async def test_every_query_streams_what_sync_gives(
    users: Manager, sync: Any, name: str
) -> None:
    make: Any = QUERIES[name]
    for size in (1, 7, 1000):
        streamed = [row async for row in make().aio_iterator(batch_size=size)]
        with sync.bind_ctx([User, Post], False, False):
            assert seen(streamed) == seen(list(make().iterator()))
    assert seen([row async for row in make()]) == seen(streamed)


async def test_a_manager_streams_models_and_queries(users: Manager) -> None:
    names = [user.name async for user in users.iterator(PlainUser, 50)]
    assert sorted(names) == sorted(row["name"] for row in people(300))
    query = PlainUser.select().where(PlainUser.age < 3)
    assert len([user async for user in users.iterator(query)]) == 3
    assert PlainUser._meta.database is None


async def test_a_stream_may_be_taken_again(users: Manager) -> None:
    query = User.select().where(User.age < 10)
    for _ in range(2):
        assert len([user async for user in query]) == 10
    assert await query.aio_count() == 10


@pytest.mark.parametrize("backend", ["postgres", "sqlite"], indirect=True)
async def test_rows_of_a_write_are_written_and_given(users: Manager) -> None:
    query = User.update(age=1000).where(User.age < 5).returning(User.name)
    async for _ in query.aio_iterator(batch_size=2):
        break
    assert await users.count(User.select().where(User.age == 1000)) == 5


async def test_relations_come_with_a_loop_over_the_query(users: Manager) -> None:
    query = User.select().where(User.age < 2).with_related(User.posts)
    posts = [len(user.posts) async for user in query.order_by(User.id)]
    assert posts == [2, 1]
    with pytest.raises(ValueError, match="all rows at once"):
        query.aio_iterator()


@both_kinds
async def test_the_loop_may_write_what_it_reads(
    users: Manager, database: AioDatabase
) -> None:
    query = User.select().where(User.age >= 0).order_by(User.id)
    async for user in query.aio_iterator(batch_size=20):
        user.age += 1000
        await user.aio_save()
    assert await users.count(User.select().where(User.age >= 1000)) == 300
    assert statistics(database).busy == 0


@both_kinds
async def test_in_a_block_it_reads_and_writes_in_the_transaction(
    users: Manager, database: AioDatabase
) -> None:
    async with users.atomic() as tx:
        await users.create(User, name="new", age=-1)
        seen_names = []
        query = User.select().order_by(User.age).limit(61)
        async for user in query.aio_iterator(batch_size=20):
            seen_names.append(user.name)
            async for other in (
                User.select().order_by(User.id).aio_iterator(batch_size=1)
            ):
                assert other.name
                break
            user.age += 1000
            await user.aio_save()
        assert (seen_names[0], len(seen_names)) == ("new", 61)
        await tx.rollback()
    assert await users.count(User.select().where(User.age >= 1000)) == 0
    assert statistics(database).busy == 0


@both_kinds
async def test_on_a_kept_connection(users: Manager, database: AioDatabase) -> None:
    async with database.aio_connection():
        count = 0
        async for user in User.select().order_by(User.id).aio_iterator(batch_size=20):
            await User.update(age=5000).where(User.id == user.id).aio_execute()
            count += 1
        async for _ in User.select().aio_iterator(batch_size=20):
            break
        assert await users.count(User.select().where(User.age == 5000)) == count == 300
    assert await users.count(User) == 300


@both_kinds
async def test_left_early_everything_goes_on(
    users: Manager, database: AioDatabase
) -> None:
    for _ in range(3 * POOL_SIZE):
        async for row in numbers(10):
            assert row == (0,)
            break
        assert await users.count(User) == 300
    async with users.atomic():
        for _ in range(3):
            async for row in numbers(10):
                assert row == (0,)
                break
            assert await users.count(User) == 300
    async with aclosing(numbers(10)) as rows:
        await anext(rows)
    assert statistics(database).busy == 0
    assert statistics(database).size <= POOL_SIZE


async def test_many_streams_share_the_pool(
    users: Manager, database: AioDatabase
) -> None:
    async def total() -> int:
        return sum([number async for (number,) in numbers()])

    totals = await asyncio.gather(*[total() for _ in range(4 * POOL_SIZE)])
    assert set(totals) == {sum(range(1000))}
    assert statistics(database).busy == 0


@pytest.mark.parametrize("kept", [False, True], ids=["transaction", "kept"])
async def test_a_connection_is_as_before_after_a_block_with_half_a_stream(
    users: Manager, database: AioDatabase, kept: bool
) -> None:
    await users.count(User)
    (connection,) = before = set(pool_connections(database))
    async with database.aio_connection() if kept else users.atomic():
        async for user in User.select().aio_iterator(batch_size=10):
            async with users.atomic():
                await user.aio_save()
            break
    assert pool_connections(database) == before
    assert not connection._cursors.busy


@only("mysql", "sqlite")
async def test_a_connection_is_as_before_after_a_stream_that_failed(
    users: Manager, backend: Backend, database: AioDatabase
) -> None:
    await users.count(User)
    (connection,) = before = set(pool_connections(database))
    sql = f"SELECT n, {FAILURES[backend.name]} FROM ({THOUSAND}) AS q"
    async with database.aio_connection():
        with pytest.raises(peewee.PeeweeException):
            [row async for row in User.raw(sql).tuples().aio_iterator(batch_size=100)]
        await users.count(User)
    assert pool_connections(database) == before
    assert not connection._cursors.busy


async def test_children_of_a_block_stream_in_turn(users: Manager) -> None:
    async def total() -> int:
        return sum([number async for (number,) in numbers()])

    async with users.atomic():
        await users.create(User, name="new")
        totals = await asyncio.gather(*[total() for _ in range(5)])
        assert set(totals) == {sum(range(1000))}
    assert await users.count(User) == 301


async def test_cancelled_in_the_loop_leaves_no_foreign_answers(
    users: Manager, database: AioDatabase
) -> None:
    reached = asyncio.Event()

    async def endless() -> None:
        async for _ in numbers(10):
            reached.set()
            await asyncio.sleep(0)

    for _ in range(10):
        reached.clear()
        task = asyncio.create_task(endless())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await users.scalar(User.select(peewee.Value(7))) == 7
    assert statistics(database).busy == 0


@pytest.mark.parametrize("in_a_block", [False, True])
async def test_an_error_in_the_middle_is_the_one_of_sync(
    users: Manager, backend: Backend, sync: Any, in_a_block: bool
) -> None:
    sql = f"SELECT n, {FAILURES[backend.name]} FROM ({THOUSAND}) AS q"
    with pytest.raises(Exception) as expected:  # noqa: PT011 - of the driver, in SQLite
        sync.execute_sql(sql).fetchall()
    kind = getattr(peewee, type(expected.value).__name__)

    async def consume() -> None:
        stream = User.raw(sql).tuples().aio_iterator(batch_size=100)
        async for number, _ in stream:
            reached["row"] = number

    reached: dict[str, int] = {}
    with pytest.raises(kind) as caught:
        if in_a_block:
            async with users.atomic():
                await consume()
        else:
            await consume()
    assert type(caught.value) is kind
    assert caught.value.__cause__ is not None
    assert reached["row"] in (399, 499)
    assert await users.count(User) == 300


@only("postgres", "mysql")
@both_kinds
async def test_a_session_that_is_killed_is_an_error(
    users: Manager, backend: Backend, sync: Any, database: AioDatabase
) -> None:
    session = OWN_SESSION[backend.name]
    sql = f"SELECT {session} AS own, REPEAT('x', 10000), n FROM ({THOUSAND}) AS q"
    with pytest.raises(peewee.OperationalError) as caught:
        async for own, *_ in User.raw(sql).tuples().aio_iterator(batch_size=10):
            if sync is not None:
                sync.execute_sql(KILL[backend.name], (own,))
                sync.close()
            sync = None
    assert caught.value.__cause__ is not None
    assert await users.count(User) == 300
    assert statistics(database).busy == 0


@only("mysql")
async def test_a_deadlock_in_the_rows_ahead_loses_the_transaction(
    users: Manager, backend: Backend
) -> None:
    text = peewee.SQL(LONG_TEXT[backend.name])
    rows = User.select(User.id, text).order_by(User.id).limit(300).for_update()
    first, last = await User.select(
        peewee.fn.MIN(User.id), peewee.fn.MAX(User.id)
    ).aio_scalar(as_tuple=True)
    locked, started = asyncio.Event(), asyncio.Event()

    async def other() -> None:
        async with users.atomic():
            # The server ends the transaction that has written less.
            await User.insert_many(
                [{"name": f"other{n}"} for n in range(400)]
            ).aio_execute()
            await User.update(age=1).where(User.id == last).aio_execute()
            locked.set()
            await started.wait()
            await User.update(age=1).where(User.id == first).aio_execute()

    async def stream() -> None:
        async with users.atomic():
            await User.aio_create(name="before", age=-1)
            async for _ in rows.aio_iterator(batch_size=1):
                started.set()
                with pytest.raises(peewee.OperationalError, match="Deadlock"):
                    await User.aio_create(name="after", age=-1)
                break

    task = asyncio.create_task(other())
    await locked.wait()
    with pytest.raises(peewee.OperationalError, match="The transaction is lost"):
        await stream()
    await task
    assert await users.count(User.select().where(User.age == -1)) == 0


@only("sqlite")
async def test_an_error_in_the_rows_ahead_loses_the_transaction(
    users: Manager, database: AioDatabase
) -> None:
    # A disk or a memory that is full ends a transaction of SQLite as well.
    sql = f"SELECT n, CASE n WHEN 500 THEN undo() END FROM ({THOUSAND}) AS q"
    with pytest.raises(peewee.OperationalError, match="The transaction is lost"):
        async with users.atomic():
            async with database.aio_connection() as driver:
                raw = driver._conn
                await driver.create_function("undo", 0, lambda: raw.rollback() or 1 / 0)
            await User.aio_create(name="before", age=-1)
            stream = User.raw(sql).tuples().aio_iterator(batch_size=10)
            await anext(stream)
            with pytest.raises(peewee.OperationalError, match="user-defined"):
                await User.aio_create(name="after", age=-1)
            await stream.aclose()
    assert await users.count(User.select().where(User.age == -1)) == 0


@only("mysql")
@pytest.mark.filterwarnings("default:Previous unbuffered")  # as an error it helps
async def test_an_old_error_of_one_stream_takes_no_rows_from_another(
    users: Manager, backend: Backend
) -> None:
    sql = f"SELECT n, {FAILURES[backend.name]} FROM ({THOUSAND}) AS q"
    async with users.atomic():
        failing, other = User.raw(sql).tuples().aio_iterator(batch_size=100), numbers()
        await anext(failing)
        found = [await anext(other)]
        with pytest.raises(peewee.OperationalError):
            [row async for row in failing]
        found += [row async for row in other]
    assert found == [(n,) for n in range(1000)]


async def test_a_killed_stream_loses_its_block(users: Manager) -> None:
    async with users.atomic() as tx:
        rows = numbers(10)
        await anext(rows)
        await tx.rollback(begin=False)
    with pytest.raises(RuntimeError, match="has ended"):
        [row async for row in rows]
    assert await users.count(User) == 300


@only("sqlite")
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("mode", ["delete", "wal"])
async def test_a_stream_keeps_nobody_from_writing(path: Path, mode: str) -> None:
    pragmas = {"journal_mode": mode, "synchronous": 0}
    database = SqliteDatabase(str(path), pragmas=pragmas, timeout=0.1)
    with database.bind_ctx([User]):
        with database.allow_sync():
            database.create_tables([User])
            User.insert_many(people(100)).execute()
        async for user in User.select().aio_iterator(batch_size=10):
            user.age = -1
            await user.aio_save()
        assert await User.select().where(User.age == -1).aio_count() == 100
    await database.aio_close()


@only("sqlite")
async def test_a_stream_that_was_given_up_locks_nothing(
    users: Manager, database: AioDatabase, path: Path, sync: Any
) -> None:
    with pytest.raises(peewee.OperationalError, match="is lost"):
        async with users.atomic():
            await User.aio_create(name="before")
            rows = numbers(10)
            await anext(rows)
            database.init(str(path))  # drops the connections, whatever they are at
    with sync.bind_ctx([User], False, False):
        assert User.insert(name="before").execute()
    await rows.aclose()


async def test_two_databases_stream_side_by_side(
    users: Manager, make_database: MakeDatabase
) -> None:
    other = Manager(make_database())
    mine, theirs = (
        User.select().order_by(User.id),
        PlainUser.select().order_by(PlainUser.id),
    )
    async with users.atomic():
        await users.create(User, name="new")
        assert len([user async for user in users.iterator(mine)]) == 301
        if other.database._dialect.family.value != "SQLite":  # of which one may write
            assert len([user async for user in other.iterator(theirs)]) == 300


MEMORY = """
import asyncio, resource
import peewee_async
from peewee_async import AioModel

class Row(AioModel):
    class Meta:
        database = {database}

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

async def count(limit):
    query = Row.raw({sql!r} + str(limit))
    return len([None async for row in query.tuples().aio_iterator(batch_size=50)])

async def main():
    asyncio.get_running_loop().slow_callback_duration = 60
    await count(200)
    before = peak()
    assert await count(10000) == 10000
    async with Row._meta.database.aio_atomic():
        assert await count(10000) == 10000
    grown = peak() - before
    assert grown < 30, f"{{grown}} MB more for 100 MB of rows"
    await Row._meta.database.aio_close()

asyncio.run(main())
"""


# Long rows: what a driver does for each row would take most of the time.
def test_memory_stays_flat(backend: Backend, path: Path, tables: CreateTables) -> None:
    sql = (
        f"SELECT {LONG_TEXT[backend.name]}, q.n, a.d FROM ({THOUSAND}) AS q, "
        f"({DIGITS}) AS a LIMIT "
    )
    quiet(run_python(MEMORY.format(database=backend.source(path), sql=sql)))
