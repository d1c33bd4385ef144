"""Sync queries are refused in a running event loop, with the advice what to do."""

# ruff: noqa: PT012 - that an error leaves a block is what is tested

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import peewee
import pytest

from peewee_async import AioModel, Manager, SyncNotAllowed
from peewee_async.guard import TWINS
from tests.unit.fakes import FakeDatabase, FakeServer, MemoryDatabase, Oops, sync


class Socketless(FakeDatabase):
    """Takes note of what would have opened a socket."""

    def __init__(self, server: FakeServer) -> None:
        self.opened = 0
        super().__init__(server)

    def _connect(self) -> Any:
        self.opened += 1
        raise peewee.OperationalError("connects")


postgres = Socketless(FakeServer())


class User(AioModel):
    id: Any = peewee.AutoField()
    name: Any = peewee.CharField(default="")

    class Meta:
        database = postgres


class Post(AioModel):
    author: Any = peewee.ForeignKeyField(User, backref="posts")

    class Meta:
        database = postgres


CALLS: list[tuple[Callable[[], Any], str]] = [
    (lambda: User.get(User.id == 1), "aio_get"),
    (lambda: User.get_or_none(User.id == 1), "aio_get_or_none"),
    (lambda: User.create(name="ada"), "aio_create"),
    (lambda: User.get_or_create(name="ada"), "aio_get_or_create"),  # type: ignore[no-untyped-call]
    (lambda: User(name="ada").save(), "aio_save"),
    (lambda: User(id=1).delete_instance(), "aio_delete_instance"),
    (lambda: User.select().count(), "aio_count"),
    (lambda: User.select().exists(), "aio_exists"),
    (lambda: User.select().first(), "aio_first"),
    (lambda: User.select().get(), "aio_get"),
    (lambda: User.select().scalar(), "aio_scalar"),
    (lambda: User.select().prefetch(Post), "aio_prefetch"),
    (lambda: User.update(name="bob").execute(), "aio_execute"),
    (lambda: list(User.select()), "aio_execute"),
    (lambda: [user for user in User.select()], "aio_execute"),  # noqa: C416
    (lambda: User.select()[0], "aio_execute"),
    (lambda: len(User.select()), "aio_execute"),
]


@pytest.mark.parametrize(("call", "twin"), CALLS)
async def test_names_the_async_call(call: Callable[[], Any], twin: str) -> None:
    with pytest.raises(SyncNotAllowed) as caught:
        call()
    assert f"`await ...{twin}(...)`" in str(caught.value)
    assert "allow_sync()" in str(caught.value)
    assert postgres.opened == 0


async def test_names_the_field_of_a_lazy_foreign_key() -> None:
    post = Post(author=1)
    with pytest.raises(SyncNotAllowed) as caught:
        post.author  # noqa: B018
    text = str(caught.value)
    assert "Post.author is not loaded" in text
    assert "`await manager.get(User, ...)`" in text


async def test_advises_the_manager_where_there_is_no_twin() -> None:
    for call in (User.create_table, postgres.begin, lambda: sync(postgres, "")):
        with pytest.raises(
            SyncNotAllowed, match="Use a method of the Manager, or one that is called"
        ):
            call()


async def test_connecting_is_a_sync_call_too() -> None:
    with pytest.raises(SyncNotAllowed, match=r"aio_connect\("):
        postgres.connect()
    with pytest.raises(SyncNotAllowed, match=r"aio_atomic\("), postgres.atomic():
        pass
    assert postgres.opened == 0
    assert postgres.is_closed()


def test_every_twin_exists() -> None:
    queries: tuple[Any, ...] = (User.select(), User.update(name=""), User(name=""))
    queries += (postgres, postgres.atomic())
    for name, twin in TWINS.items():
        owners = [each for each in queries if hasattr(each, name)]
        assert owners or hasattr(User, name), name
        assert any(hasattr(each, twin) for each in (*owners, User, postgres)), twin


def test_the_refusal_is_an_assertion_error() -> None:
    assert issubclass(SyncNotAllowed, AssertionError)


def test_sync_queries_work_where_no_loop_runs() -> None:
    database = MemoryDatabase()
    assert sync(database, "SELECT 1") == [(1,)]
    database.close()
    database.init(None)


async def test_another_thread_is_free(memory: MemoryDatabase) -> None:
    def work() -> Any:
        with memory.connection_context():
            return sync(memory, "SELECT 1")

    assert await asyncio.to_thread(work) == [(1,)]


async def test_allow_sync_closes_what_it_opened(memory: MemoryDatabase) -> None:
    with Manager(memory).allow_sync():
        assert sync(memory, "SELECT 1") == [(1,)]
        assert not memory.is_closed()
    assert memory.is_closed()
    with pytest.raises(SyncNotAllowed):
        sync(memory, "SELECT 1")


async def test_allow_sync_leaves_open_what_was_open(memory: MemoryDatabase) -> None:
    memory.set_allow_sync(True)
    memory.connect()
    with memory.allow_sync():
        sync(memory, "SELECT 1")
    assert not memory.is_closed()


async def test_allow_sync_ends_with_an_error(memory: MemoryDatabase) -> None:
    with pytest.raises(Oops), memory.allow_sync():
        memory.connect()
        raise Oops
    assert memory.is_closed()
    with pytest.raises(SyncNotAllowed):
        memory.connect()


async def test_allow_sync_nests(memory: MemoryDatabase) -> None:
    with memory.allow_sync():
        with memory.allow_sync():
            sync(memory, "SELECT 1")
        sync(memory, "SELECT 1")


async def test_allow_sync_is_for_one_task(memory: MemoryDatabase) -> None:
    inside, tried = asyncio.Event(), asyncio.Event()

    async def allowed() -> None:
        with memory.allow_sync():
            inside.set()
            await tried.wait()

    task = asyncio.create_task(allowed())
    await inside.wait()
    with pytest.raises(SyncNotAllowed):
        sync(memory, "SELECT 1")
    tried.set()
    await task


async def test_allow_sync_is_for_one_database(memory: MemoryDatabase) -> None:
    with memory.allow_sync(), pytest.raises(SyncNotAllowed):
        postgres.connect()


async def test_set_allow_sync_allows_everywhere(memory: MemoryDatabase) -> None:
    memory.set_allow_sync(True)
    sync(memory, "SELECT 1")
    memory.set_allow_sync(False)
    with pytest.raises(SyncNotAllowed):
        sync(memory, "SELECT 1")
    with memory.allow_sync():
        sync(memory, "SELECT 1")


def test_set_allow_sync_refuses_everywhere() -> None:
    database = MemoryDatabase()
    database.set_allow_sync(False)
    with pytest.raises(SyncNotAllowed):
        sync(database, "SELECT 1")
    with database.allow_sync():
        sync(database, "SELECT 1")
    database.init(None)


PROGRAM = """
import asyncio
from peewee_async import PostgresqlDatabase, SyncNotAllowed
print(__debug__)
async def main():
    try:
        PostgresqlDatabase("test").execute_sql("SELECT 1")
    except SyncNotAllowed as error:
        print(type(error).__name__)
asyncio.run(main())
"""


def test_works_without_asserts() -> None:
    command = [sys.executable, "-O", "-W", "error", "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False\nSyncNotAllowed\n", "")


async def test_the_last_of_several_tasks_closes_what_they_opened() -> None:
    database = MemoryDatabase()
    second_is_in, first_is_out = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        with database.allow_sync():
            sync(database, "SELECT 1")
            await second_is_in.wait()
        first_is_out.set()

    async def second() -> None:
        with database.allow_sync(), database.atomic():
            second_is_in.set()
            await first_is_out.wait()
            assert sync(database, "SELECT 2") == [(2,)]

    await asyncio.gather(first(), second())
    assert database.is_closed()


async def test_a_child_that_outlives_the_permission_has_none() -> None:
    database = MemoryDatabase()
    over = asyncio.Event()

    async def child() -> None:
        await over.wait()
        sync(database, "SELECT 1")

    with database.allow_sync():
        task = asyncio.create_task(child())
        await asyncio.sleep(0)
    over.set()
    with pytest.raises(SyncNotAllowed):
        await task
