"""BEGIN goes along with the first statement, and nobody can tell but by the time."""

from __future__ import annotations

import asyncio
from typing import Any

import peewee
import pytest

from peewee_async import AioDatabase, Manager
from peewee_async.io.aiopg_driver import Driver
from tests.integration.checks import only, statistics
from tests.integration.models import User

pytestmark = only("postgres")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The messages that were sent, as their SQL."""
    messages: list[str] = []
    send = Driver.send

    async def note(self: Driver, sql: str, params: Any, before: str = "") -> Any:
        messages.append(before + sql)
        return await send(self, sql, params, before)

    monkeypatch.setattr(Driver, "send", note)
    return messages


async def rows(database: AioDatabase, sql: str, *params: Any) -> Any:
    return await database.aio_execute_sql(sql, params)


async def test_one_message_less_for_each_transaction(
    database: AioDatabase, sent: list[str]
) -> None:
    await database.aio_connect()
    sent.clear()
    async with database.aio_atomic():
        assert sent == []
        await rows(database, "SELECT %s::int4", 7)
        async with database.aio_atomic():
            await rows(database, "SELECT 2")
    assert sent == [
        "BEGIN;\nSELECT %s::int4",
        'SAVEPOINT "s1"',
        "SELECT 2",
        'RELEASE SAVEPOINT "s1"',
        "COMMIT",
    ]


async def test_a_savepoint_or_a_commit_may_be_the_first(
    database: AioDatabase, sent: list[str]
) -> None:
    await database.aio_connect()
    sent.clear()
    async with database.aio_atomic(), database.aio_atomic():
        await rows(database, "SELECT 1")
    async with database.aio_atomic(isolation_level="SERIALIZABLE"):
        pass
    async with database.aio_atomic() as tx:
        await tx.commit()
        await tx.rollback(begin=False)
    assert sent == [
        'BEGIN;\nSAVEPOINT "s1"',
        "SELECT 1",
        'RELEASE SAVEPOINT "s1"',
        "COMMIT",
        "BEGIN ISOLATION LEVEL SERIALIZABLE;\nCOMMIT",
        "BEGIN;\nCOMMIT",
        "BEGIN;\nROLLBACK",
    ]
    assert statistics(database).busy == 0


BY_THEMSELVES = ["", " ", "-- nothing", "SELECT 1; SELECT 2", "/* a */ SELECT 1", ";"]


@pytest.mark.parametrize("sql", BY_THEMSELVES)
async def test_what_may_not_be_one_statement_comes_after_it(
    database: AioDatabase, sync: Any, sent: list[str], sql: str
) -> None:
    await database.aio_connect()
    sent.clear()

    async def ours() -> Any:
        try:
            async with database.aio_atomic():
                return await rows(database, sql)
        except peewee.PeeweeException as error:
            return type(error), str(error)

    def theirs() -> Any:
        try:
            with sync.atomic():
                cursor = sync.execute_sql(sql)
                return cursor.fetchall() if cursor.description else cursor.rowcount
        except peewee.PeeweeException as error:
            return type(error), str(error)

    assert await ours() == theirs()
    assert sent[:2] == ["BEGIN", sql]


FAILING = {
    "no such column": "SELECT nope",
    "on its third line": "SELECT 1,\n2,\nnope",
    "no grammar": "SELEC 1",
    "no grammar in its second line": "SELECT 1\nFROM FROM",
    "no text": "SELECT 'open",
    "no such function": "SELECT\nno_such_function(1)",
    "no such type": "SELECT 1::\nno_such_type",
    "at run time": "SELECT 1 / 0",
    "in a function": "SELECT query_to_xml('SELECT\nnope', false, false, '')",
    "in no transaction": "VACUUM",
    "prepared": "PREPARE TRANSACTION 'x'",
}


@pytest.mark.parametrize("sql", FAILING.values(), ids=FAILING)
async def test_an_error_is_that_of_the_statement(
    database: AioDatabase, sync: Any, sql: str
) -> None:
    with pytest.raises(peewee.PeeweeException) as wanted, sync.atomic():
        sync.execute_sql(sql)
    with pytest.raises(type(wanted.value)) as caught:
        async with database.aio_atomic():
            await rows(database, sql)
    assert str(caught.value) == str(wanted.value)
    assert caught.value.__cause__ is not None
    assert caught.value.__cause__.__context__ is None
    assert statistics(database).busy == 0


@pytest.mark.parametrize("sql", ["SELECT nope", "SELEC 1"])
async def test_a_failed_first_statement_spoils_the_transaction(
    database: AioDatabase, sql: str
) -> None:
    with pytest.raises(peewee.InternalError, match="cannot be committed"):
        async with database.aio_atomic():
            with pytest.raises(peewee.ProgrammingError):
                await rows(database, sql)
            with pytest.raises(peewee.InternalError, match="aborted"):
                await rows(database, "SELECT 1")
    assert await rows(database, "SELECT 1") == [(1,)]


async def test_a_failed_savepoint_that_was_the_first_is_undone_alone(
    database: AioDatabase, objects: Manager
) -> None:
    async with database.aio_atomic():
        with pytest.raises(peewee.ProgrammingError):
            async with database.aio_atomic():
                await rows(database, "SELEC 1")
        await User.aio_create(name="ada")
    assert await User.select().aio_count() == 1


async def test_values_that_cannot_be_sent_leave_it_to_the_next(
    database: AioDatabase, objects: Manager, sent: list[str]
) -> None:
    await database.aio_connect()
    sent.clear()
    async with database.aio_atomic():
        with pytest.raises(peewee.ProgrammingError, match="adapt"):
            await rows(database, "SELECT %s", object())
        with pytest.raises(IndexError):
            await rows(database, "SELECT %s, %s", 1)
        await User.aio_create(name="ada")
        await User.aio_create(name="bob")
    begun = [message for message in sent if message.startswith("BEGIN")]
    assert len(begun) == 3  # two of them did not come to be sent
    assert sent[-1] == "COMMIT"
    assert await User.select().aio_count() == 2


async def test_all_is_undone(database: AioDatabase, objects: Manager) -> None:
    with pytest.raises(RuntimeError, match="stop"):
        async with database.aio_atomic():
            await User.aio_create(name="ada")
            raise RuntimeError("stop")
    assert await User.select().aio_count() == 0


async def test_the_drivers_connection_is_inside(
    database: AioDatabase, objects: Manager, sent: list[str]
) -> None:
    async def add(raw: Any, name: str) -> None:
        async with raw.cursor() as cursor:
            sql = 'INSERT INTO "user" (name, age) VALUES (%s, 1)'
            await cursor.execute(sql, (name,))

    async with database.aio_connection() as raw, database.aio_atomic() as tx:
        await add(raw, "ada")
        await tx.rollback()
        await add(raw, "bob")
        await tx.rollback(begin=False)
    async with database.aio_atomic() as tx, database.aio_connection() as raw:
        await add(raw, "cyd")
        await tx.rollback()
        await add(raw, "dan")
        await tx.rollback(begin=False)
    async with database.aio_atomic():
        with pytest.raises(peewee.ProgrammingError):
            await rows(database, "SELECT nope")
        async with database.aio_connection() as raw:
            async with raw.cursor() as cursor:
                await cursor.execute("ROLLBACK")
                await cursor.execute("BEGIN")
            await add(raw, "eve")
    names = [user.name async for user in User.select()]
    assert names == ["eve"]


async def test_a_stream_begins_with_its_cursor(
    database: AioDatabase, sent: list[str]
) -> None:
    await database.aio_connect()
    sent.clear()
    query: Any = peewee.RawQuery("SELECT generate_series(1, 250)").bind(database)
    got = [row async for row in database.aio_iterator(query.tuples(), batch_size=100)]
    assert len(got) == 250
    assert sent[0].startswith("BEGIN;\nDECLARE")
    assert statistics(database).busy == 0


async def test_cancelled_in_the_first_statement_nothing_is_left(
    database: AioDatabase,
) -> None:
    async def block() -> None:
        async with database.aio_atomic():
            reached.set()
            await rows(database, "SELECT pg_sleep(60)")

    reached = asyncio.Event()
    task = asyncio.create_task(block())
    await reached.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await rows(database, "SELECT 1") == [(1,)]
    assert statistics(database).busy == 0


async def test_a_big_first_reply_leaves_turns_to_others(database: AioDatabase) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    async with database.aio_atomic():
        # The server sends what fills its buffer, and is at the rest for a while.
        sql = "SELECT repeat('x', 9000), pg_sleep(0.05) FROM generate_series(1, 4)"
        await rows(database, sql)
        assert turns > 10
    counting.cancel()
