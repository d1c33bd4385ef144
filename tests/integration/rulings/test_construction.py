"""Rulings 1 to 3: construction, event loops, connecting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import peewee_async
from peewee_async import Manager
from tests.integration.backends import Backend
from tests.integration.checks import both_kinds, only, quiet, run_python
from tests.integration.conftest import MakeDatabase
from tests.integration.models import User
from tests.integration.rulings.common import (
    add,
    connections,
)

servers_only = only("postgres", "mysql")

# 1. Event loops


@both_kinds
def test_ruling_01_construction_touches_no_event_loop(
    make_database: MakeDatabase, pooled: bool
) -> None:
    async def make() -> None:
        """Where there is no event loop to be found: in another thread."""
        await asyncio.to_thread(lambda: Manager(make_database(pooled=pooled)))

    asyncio.run(make())
    loop = asyncio.new_event_loop()
    objects = Manager(make_database(pooled=pooled), loop=loop)
    assert objects.loop is loop
    assert not objects.is_connected
    loop.close()


def test_ruling_01_loop_is_a_keyword(make_database: MakeDatabase) -> None:
    construct: Any = Manager
    with pytest.raises(TypeError):
        construct(make_database(), None)
    assert construct(database=make_database(), loop=None).loop is None


async def test_ruling_01_a_call_from_another_loop_names_the_remedy(
    objects: Manager,
) -> None:
    ada = await objects.create(User, name="ada")
    loop = asyncio.new_event_loop()
    foreign = Manager(objects.database, loop=loop)
    calls: list[Callable[[], Awaitable[Any]]] = [
        foreign.connect,
        foreign.close,
        lambda: foreign.get(User),
        lambda: foreign.create(User, name="bob"),
        lambda: foreign.update(ada),
        lambda: foreign.delete(ada),
        lambda: foreign.get_or_create(User, name="bob"),
        lambda: foreign.create_or_get(User, name="bob"),
        lambda: foreign.execute(User.select()),
        lambda: foreign.prefetch(User.select()),
        lambda: foreign.count(User),
        lambda: foreign.scalar(User.select()),
        lambda: foreign.atomic().__aenter__(),
        lambda: foreign.transaction().__aenter__(),
        lambda: foreign.savepoint().__aenter__(),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match="without `loop`"):
            await call()
    loop.close()
    assert await objects.count(User) == 1


async def test_ruling_01_a_call_from_the_given_loop_works(objects: Manager) -> None:
    own = Manager(objects.database, loop=asyncio.get_running_loop())
    await add(own, "ada")
    assert await own.count(User) == 1


async def test_ruling_01_each_event_loop_gets_its_own_pool(objects: Manager) -> None:
    await objects.connect()

    async def elsewhere() -> tuple[bool, bool, bool]:
        before = objects.is_connected
        await objects.count(User)
        between = objects.is_connected
        await objects.close()
        return before, between, objects.is_connected

    seen = await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
    assert seen == (False, True, False)
    assert objects.is_connected


PROGRAM = """
import asyncio
import peewee
import peewee_async
from peewee_async import Manager

database = {database}
{objects}

class PageBlock(peewee_async.AioModel):
    key = peewee.CharField(max_length=40, unique=True)
    text = peewee.TextField(default='')

    class Meta:
        database = database

PageBlock.create_table(True)

async def my_async_func():
    await PageBlock.aio_create(key='title', text="Peewee is AWESOME with async!")
    title = await PageBlock.aio_get(PageBlock, key='title')
    print("Was:", title.text)
    title.text = "Peewee is SUPER awesome with async!"
    await objects.update(title)
    print("New:", title.text)
    await objects.delete(title)
"""
LINES = """\
Was: Peewee is AWESOME with async!
New: Peewee is SUPER awesome with async!
"""


@pytest.fixture
def program(backend: Backend, path: Path, sync: Any) -> Iterator[Callable[..., str]]:
    """A function that runs the example of the text, and gives what it prints."""

    def run(end: str, *, start: str = "objects = Manager(database)") -> str:
        database = backend.source(path, pooled=True)
        return quiet(run_python(PROGRAM.format(database=database, objects=start) + end))

    yield run
    if backend.server is not None:
        sync.execute_sql("DROP TABLE IF EXISTS pageblock")


def test_ruling_01_three_runs_on_one_database(program: Callable[..., str]) -> None:
    many = "asyncio.gather(*(objects.count(PageBlock) for _ in range(9)))"
    end = f"""
async def main():
    await my_async_func()
    await {many}

for _ in range(3):
    asyncio.run(main())
"""
    assert program(end) == 3 * LINES


def test_ruling_01_the_example_ends_silently(program: Callable[..., str]) -> None:
    start = "loop = asyncio.new_event_loop()\nobjects = Manager(database, loop=loop)"
    end = "loop.run_until_complete(my_async_func())\nloop.close()\n"
    assert program(end, start=start) == LINES


def test_ruling_01_a_pool_whose_loop_has_closed_is_forgotten(
    program: Callable[..., str],
) -> None:
    """In the same process, with more connections than one, and none of them closed."""
    end = """
async def main():
    await asyncio.gather(*(objects.count(PageBlock) for _ in range(9)))
    await my_async_func()

for _ in range(3):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
import gc
gc.collect()
"""
    assert program(end) == 3 * LINES


# 2. No database


def test_ruling_02_no_database_is_an_error_with_a_sentence() -> None:
    with pytest.raises(AssertionError, match="A Manager needs a database: ") as caught:
        Manager()
    assert type(caught.value) is peewee_async.NoDatabase


def test_ruling_02_it_is_no_assert_statement() -> None:
    program = """
import peewee_async
try:
    peewee_async.Manager()
except AssertionError as error:
    print(error)
"""
    assert "needs a database" in quiet(run_python(program, PYTHONOPTIMIZE="2"))


async def test_ruling_02_a_class_with_a_database(objects: Manager) -> None:
    module: dict[str, Any] = {"database": objects.database, "Manager": Manager}
    exec("class MyManager(Manager):\n    database = database", module)
    mine: Manager = module["MyManager"]()
    assert mine.database is objects.database
    await add(mine, "ada")
    assert await objects.count(User) == 1


def test_ruling_02_the_argument_wins(make_database: MakeDatabase) -> None:
    class Mine(Manager):
        database = make_database()

    other = make_database()
    assert Mine(other).database is other
    assert Mine().database is Mine.database
    assert Manager.database is None


# 3. connect, close


@both_kinds
async def test_ruling_03_connect_and_close_are_idempotent(objects: Manager) -> None:
    await objects.close()
    await objects.connect()
    await objects.connect()
    assert objects.is_connected
    await objects.close()
    await objects.close()
    assert not objects.is_connected


@both_kinds
async def test_ruling_03_fifty_concurrent_connects_open_one_pool(
    make_database: MakeDatabase, pooled: bool, backend: Backend, sync: Any
) -> None:
    size = 3 if pooled else 1
    objects = Manager(make_database(pooled=pooled, max_connections=size))
    await asyncio.gather(*(objects.connect() for _ in range(50)))
    assert objects.is_connected
    if backend.server is not None:
        assert 1 <= connections(backend, sync) <= size
    await objects.close()
    assert not objects.is_connected


@both_kinds
async def test_ruling_03_a_query_after_close_opens_it_again(objects: Manager) -> None:
    await add(objects, "ada")
    await objects.close()
    assert await objects.count(User) == 1
    assert objects.is_connected
    await objects.close()
    async with objects.atomic():
        await add(objects, "bob")
    assert await objects.count(User) == 2


async def test_ruling_03_get_or_none_exists(objects: Manager) -> None:
    assert await objects.get_or_none(User, name="ada") is None
    await add(objects, "ada")
    found = await objects.get_or_none(User, name="ada")
    assert found is not None
    assert found.name == "ada"
