"""Running work on a connection: replies and errors go in, an interruption aborts."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterator

import peewee
import pytest

from peewee_async.core.boundary import Reply, Statement
from peewee_async.core.execution import PORTION, Plan, Steps, finished
from peewee_async.io.runner import PACE, run
from tests.unit.fakes import FakeConnection, FakeServer


def echo(statement: Statement) -> Reply:
    return Reply([(statement.sql,)], ("sql",))


def plan(sql: str) -> Plan[str]:
    return Plan(Statement(sql, (1,)), lambda reply: str(reply.rows[0][0]))


@pytest.fixture
def connection(server: FakeServer) -> FakeConnection:
    server.answer = echo
    return FakeConnection(server)


async def test_a_plan_is_sent_and_read(connection: FakeConnection) -> None:
    assert await run(plan("SELECT 1"), connection) == "SELECT 1"
    assert connection.statements == ["SELECT 1"]


async def test_steps_get_each_reply(connection: FakeConnection) -> None:
    def steps() -> Steps[list[str]]:
        first = yield from plan("SELECT 1")
        second = yield from plan("SELECT 2")
        return [second, first]

    assert await run(steps(), connection) == ["SELECT 2", "SELECT 1"]


async def test_steps_without_statements_send_nothing(
    connection: FakeConnection,
) -> None:
    assert await run(finished(3), connection) == 3
    assert connection.statements == []


async def test_steps_may_catch_an_error_and_go_on(
    server: FakeServer, connection: FakeConnection
) -> None:
    def steps() -> Steps[str]:
        try:
            return (yield from plan("SELECT 1"))
        except peewee.IntegrityError as error:
            caught = str(error)
        return caught + (yield from plan("SELECT 2"))

    server.fail("SELECT 1", peewee.IntegrityError("taken "))
    assert await run(steps(), connection) == "taken SELECT 2"
    assert not connection.closed


async def test_an_error_of_a_plan_comes_out_and_aborts_nothing(
    server: FakeServer, connection: FakeConnection
) -> None:
    server.fail("SELECT", peewee.DataError("too long"))
    with pytest.raises(peewee.DataError):
        await run(plan("SELECT 1"), connection)
    assert not connection.closed


async def test_an_error_in_reading_comes_out_and_aborts_nothing(
    connection: FakeConnection,
) -> None:
    broken: Plan[float] = Plan(Statement("SELECT 1"), lambda reply: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await run(broken, connection)
    assert not connection.closed


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_cancelled_at_each_statement(
    server: FakeServer, connection: FakeConnection, number: int
) -> None:
    ended: list[type[BaseException]] = []

    def steps() -> Steps[None]:
        try:
            for each in range(3):
                yield from plan(f"SELECT {each}")
        except BaseException as error:
            ended.append(type(error))
            raise

    hold = server.hold(f"SELECT {number}")
    task = asyncio.create_task(run(steps(), connection))
    await hold.reached.wait()
    assert not connection.closed
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert connection.closed
    assert not connection.said_goodbye
    assert ended == [GeneratorExit]
    assert connection.statements == [f"SELECT {each}" for each in range(number + 1)]


async def test_cancelled_in_a_plan(
    server: FakeServer, connection: FakeConnection
) -> None:
    hold = server.hold("SELECT")
    task = asyncio.create_task(run(plan("SELECT 1"), connection))
    await hold.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert connection.closed


async def test_statements_are_logged_for_debugging(
    server: FakeServer,
    connection: FakeConnection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.fail("SELECT 2", peewee.DataError("no"))
    with caplog.at_level(logging.DEBUG, "peewee.async"):
        await run(plan("SELECT 1"), connection)
        with pytest.raises(peewee.DataError):
            await run(plan("SELECT 2"), connection)
    records = [(each.name, each.levelno, each.msg) for each in caplog.records]
    assert records == [
        ("peewee.async", logging.DEBUG, ("SELECT 1", (1,))),
        ("peewee.async", logging.DEBUG, ("SELECT 2", (1,))),
    ]


async def test_nothing_is_logged_above_debug(
    connection: FakeConnection, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "peewee.async"):
        await run(plan("SELECT 1"), connection)
    assert caplog.records == []


class PromptConnection(FakeConnection):
    """A connection whose answers are there at once, so that nothing waits."""

    async def execute(self, statement: Statement) -> Reply:
        self.statements.append(statement.sql)
        return self.server.answer(statement)


@pytest.mark.parametrize("as_steps", [False, True])
async def test_a_tight_loop_lets_other_tasks_run(
    server: FakeServer, as_steps: bool
) -> None:
    server.answer = echo
    connection = PromptConnection(server)
    turns: list[int] = []

    async def other() -> None:
        while True:
            turns.append(len(connection.statements))
            await asyncio.sleep(0)

    def steps() -> Steps[None]:
        for _ in range(1000):
            yield from plan("SELECT 1")

    task = asyncio.create_task(other())
    await asyncio.sleep(0)
    if as_steps:
        await run(steps(), connection)
    else:
        for _ in range(1000):
            await run(plan("SELECT 1"), connection)
    task.cancel()
    gaps = [after - before for before, after in itertools.pairwise([*turns, 1000])]
    assert max(gaps) <= PACE == 50
    assert len(gaps) < 50, "and not much more often"


async def test_cancelled_between_two_statements_the_connection_stays(
    server: FakeServer,
) -> None:
    server.answer = echo
    connection = PromptConnection(server)

    async def work() -> None:
        while True:
            await run(plan("SELECT 1"), connection)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not connection.closed


class Portions:
    """Reads rows some at a time, and counts how often it was called."""

    def __init__(self) -> None:
        self.read = 0

    def __call__(self, reply: Reply) -> list[int]:
        return [row[0] for row in reply.rows]

    def portions(self, reply: Reply) -> Iterator[list[int]]:
        for start in range(0, len(reply.rows), PORTION):
            self.read += 1
            yield self(reply._replace(rows=reply.rows[start : start + PORTION]))


async def many(connection: FakeConnection, read: Portions) -> list[int]:
    connection.server.answer = lambda statement: Reply(
        [(number,) for number in range(10 * PORTION)], ("n",)
    )
    return await run(Plan(Statement("SELECT n"), read), connection)


async def test_others_get_a_turn_while_many_rows_are_read(
    connection: FakeConnection,
) -> None:
    read, seen = Portions(), []

    async def other() -> None:
        while True:
            seen.append(read.read)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert await many(connection, read) == list(range(10 * PORTION))
    task.cancel()
    assert set(seen) >= set(range(1, 11)), "a turn after each portion"


async def test_cancelled_while_rows_are_read_the_connection_stays(
    connection: FakeConnection,
) -> None:
    read = Portions()
    task = asyncio.create_task(many(connection, read))
    while not read.read:  # noqa: ASYNC110
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert 0 < read.read < 10
    assert not connection.closed
    assert await run(plan("SELECT 1"), connection) is not None
