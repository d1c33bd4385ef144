"""How many Python functions each operation calls: one more, and a test fails.

A clock would tell more of speed, and something else each time. Counted are the calls of
functions of this package, and those that they make; coroutines count again whenever
they go on after a wait, of which each statement here has one. What peewee calls in
itself is told apart: it differs from version to version.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import peewee
import pytest

import peewee_async
from peewee_async import AioModel, Manager
from peewee_async.core.boundary import Reply, Statement
from peewee_async.io import runner
from tests.unit.fakes import FakeDatabase, FakeServer

PACKAGE = str(Path(peewee_async.__file__).parent)
PEEWEE = str(Path(peewee.__file__))

# They are frames of their own in some versions of Python only.
INLINED = ("<listcomp>", "<dictcomp>", "<setcomp>")

# More than any cache waits for before it works.
WARM = 5

ROW = (1, "ada", 36)


class Author(AioModel):
    name: Any = peewee.CharField()
    age: Any = peewee.IntegerField(default=36)


class Calls:
    """The calls between `start` and `stop`: of ours, and of peewee's in itself."""

    def __init__(self) -> None:
        self.ours = self.peewees = 0

    def start(self) -> None:
        sys.setprofile(self._note)

    def stop(self) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        if event != "call" or frame.f_code.co_name in INLINED:
            return
        if frame.f_code.co_filename == PEEWEE:
            self.peewees += 1
        elif _is_ours(frame) or _is_ours(frame.f_back):
            self.ours += 1


def _is_ours(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_code.co_filename.startswith(PACKAGE)


class Program:
    """What the operations are done with."""

    def __init__(self, server: FakeServer, database: FakeDatabase) -> None:
        self.rows = 1
        self.database = database
        self.objects = Manager(database)
        self.author = Author(id=1, name="ada")
        server.answer = self._answer

    def _answer(self, statement: Statement) -> Reply:
        if "COUNT" in statement.sql:
            return Reply([(7,)], ("count",), 1)
        if statement.sql.startswith("SELECT"):
            return Reply([ROW] * self.rows, ("id", "name", "age"), self.rows)
        if "RETURNING" in statement.sql:
            return Reply([(1,)], ("id",), 1)
        return Reply((), None, 1)


Operation = Callable[[Program], Awaitable[Any]]
OPERATIONS: dict[str, tuple[Operation, int, int]] = {}


def calls(*, ours: int, peewees: int) -> Callable[[Operation], Operation]:
    """Pin the calls of an operation: exactly those of ours, at most those of peewee."""

    def pin(function: Operation) -> Operation:
        OPERATIONS[getattr(function, "__name__", "")] = function, ours, peewees
        return function

    return pin


@pytest.fixture
async def program(server: FakeServer, database: FakeDatabase) -> AsyncIterator[Program]:
    with database.bind_ctx([Author]):
        yield Program(server, database)


async def count(operation: Operation, program: Program) -> tuple[int, int]:
    """Count the calls of one operation.

    The least of some: objects of other tests may be collected meanwhile.
    """
    for _ in range(WARM):
        await operation(program)
    counts = []
    for _ in range(3):
        calls = Calls()
        runner._sent.count = 0  # no turn for others in the middle of it
        calls.start()
        try:
            await operation(program)
        finally:
            calls.stop()
        counts.append((calls.ours, calls.peewees))
    return min(counts)


@calls(ours=32, peewees=0)
async def sql(program: Program) -> None:
    await program.database.send("SELECT 1")


@calls(ours=49, peewees=0)
async def get_by_key(program: Program) -> None:
    await program.objects.get(Author, id=1)


@calls(ours=50, peewees=6)
async def get_by_expression(program: Program) -> None:
    await program.objects.get(Author, Author.name == "ada")


@calls(ours=47, peewees=0)
async def aio_get(program: Program) -> None:
    await Author.aio_get(id=1)


@calls(ours=64, peewees=9)
async def create(program: Program) -> None:
    await program.objects.create(Author, name="ada", age=36)


@calls(ours=59, peewees=6)
async def update(program: Program) -> None:
    await program.objects.update(program.author)


@calls(ours=54, peewees=7)
async def save(program: Program) -> None:
    program.author.age = 37
    await program.author.aio_save()


@calls(ours=58, peewees=3)
async def delete(program: Program) -> None:
    await program.objects.delete(program.author)


@calls(ours=71, peewees=6)
async def get_or_create(program: Program) -> None:
    await program.objects.get_or_create(Author, name="ada")


@calls(ours=54, peewees=13)
async def select_1(program: Program) -> None:
    await program.objects.execute(Author.select())


@calls(ours=54, peewees=13)
async def select_100(program: Program) -> None:
    program.rows = 100
    await program.objects.execute(Author.select())


@calls(ours=51, peewees=13)
async def count_rows(program: Program) -> None:
    await program.objects.count(Author.select())


@calls(ours=57, peewees=14)
async def scalar(program: Program) -> None:
    await program.objects.scalar(Author.select(Author.name))


@calls(ours=105, peewees=0)
async def block(program: Program) -> None:
    async with program.objects.atomic():
        pass


@calls(ours=147, peewees=0)
async def block_of_two(program: Program) -> None:
    async with program.objects.atomic():
        await program.database.send("SELECT 1")
        await program.database.send("SELECT 1")


@calls(ours=209, peewees=0)
async def nested_block(program: Program) -> None:
    async with program.objects.atomic(), program.objects.atomic():
        pass


@pytest.mark.parametrize("name", OPERATIONS)
async def test_calls(name: str, program: Program) -> None:
    operation, ours, peewees = OPERATIONS[name]
    counted = await count(operation, program)
    assert counted[0] == ours
    assert counted[1] <= peewees


async def test_one_more_is_counted(program: Program) -> None:
    async def twice(program: Program) -> None:
        await sql(program)
        await sql(program)

    once = OPERATIONS["sql"][1]
    assert await count(sql, program) == (once, 0)
    assert await count(twice, program) == (2 * once, 0)
