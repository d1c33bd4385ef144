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
untyped: Any = postgres


class User(AioModel):
    id: Any = peewee.AutoField()
    name: Any = peewee.CharField(default="")

    class Meta:
        database = postgres


class Post(AioModel):
    author: Any = peewee.ForeignKeyField(User, backref="posts")

    class Meta:
        database = postgres


class Tag(AioModel):
    users: Any = peewee.ManyToManyField(User, backref="tags")

    class Meta:
        database = postgres


class PlainPost(peewee.Model):
    author: Any = peewee.ForeignKeyField(User, backref="+")

    class Meta:
        database = postgres


def users() -> Any:
    return Tag(id=1).users


def set_users() -> None:
    tag: Any = Tag(id=1)
    tag.users = [1]


def set_item() -> None:
    model: Any = User
    model[1] = {"name": "ada"}


def delete_item() -> None:
    model: Any = User
    del model[1]


ANY_USER: Any = User

CALLS: list[tuple[Callable[[], Any], str]] = [
    (lambda: User.get(User.id == 1), "aio_get"),
    (lambda: User.get_or_none(User.id == 1), "aio_get_or_none"),
    (lambda: User.create(name="ada"), "aio_create"),
    (lambda: User.get_or_create(name="ada"), "aio_get_or_create"),  # type: ignore[no-untyped-call]
    (lambda: User(name="ada").save(), "aio_save"),
    (lambda: User(id=1).delete_instance(), "aio_delete_instance"),
    (lambda: User.get_by_id(1), "aio_get_by_id"),
    (lambda: ANY_USER.set_by_id(1, {"name": "ada"}), "aio_set_by_id"),
    (lambda: ANY_USER.delete_by_id(1), "aio_delete_by_id"),
    (lambda: ANY_USER.bulk_create([User(name="ada")]), "aio_bulk_create"),
    (lambda: ANY_USER.bulk_update([User(id=1)], ["name"]), "aio_bulk_update"),
    (lambda: ANY_USER[1], "aio_get_by_id"),
    (set_item, "aio_set_by_id"),
    (delete_item, "aio_delete_by_id"),
    (lambda: 1 in ANY_USER, "aio_get_or_none"),
    (lambda: len(ANY_USER), "aio_count"),
    (lambda: list(ANY_USER), "aio_execute"),
    (lambda: User.select().get_or_none(), "aio_get_or_none"),
    (lambda: User.select().peek(), "aio_peek"),
    (lambda: list(User.select().scalars()), "aio_scalars"),
    (lambda: users().add(1), "aio_add"),
    (lambda: users().add([1], clear_existing=True), "aio_add"),
    (lambda: users().remove(User.select()), "aio_remove"),
    (lambda: users().clear(), "aio_clear"),
    (set_users, "aio_set"),
    (lambda: list(users()), "aio_execute"),
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


TABLE_CALLS: list[tuple[Callable[[], Any], str]] = [
    (lambda: User.create_table(), "aio_create_table"),
    (lambda: User.drop_table(), "aio_drop_table"),
    (lambda: User.truncate_table(), "aio_truncate_table"),
    (lambda: User.table_exists(), "aio_table_exists"),  # type: ignore[no-untyped-call]
    (lambda: postgres.create_tables([User, Post]), "aio_create_tables"),
    (lambda: postgres.drop_tables([User, Post]), "aio_drop_tables"),
    (lambda: postgres.table_exists(User), "aio_table_exists"),
    (lambda: postgres.get_tables(), "aio_get_tables"),
    (lambda: postgres.get_views(), "aio_get_views"),
    (lambda: postgres.get_indexes("user"), "aio_get_indexes"),
    (lambda: postgres.get_columns("user"), "aio_get_columns"),
    (lambda: postgres.get_primary_keys("user"), "aio_get_primary_keys"),
    (lambda: postgres.get_foreign_keys("user"), "aio_get_foreign_keys"),
    (lambda: postgres.sequence_exists("s"), "aio_sequence_exists"),
    (lambda: untyped.execute_sql("SELECT 1"), "aio_execute_sql"),
]


@pytest.mark.parametrize(("call", "twin"), TABLE_CALLS)
async def test_names_the_async_call_that_managers_have_not(
    call: Callable[[], Any], twin: str
) -> None:
    with pytest.raises(SyncNotAllowed) as caught:
        call()
    assert f"Use `await ...{twin}(...)` instead of" in str(caught.value)
    assert postgres.opened == 0


async def test_names_the_field_of_a_lazy_foreign_key() -> None:
    post = Post(author=1)
    with pytest.raises(SyncNotAllowed) as caught:
        post.author  # noqa: B018
    text = str(caught.value)
    assert "Post.author is not loaded" in text
    assert "`await instance.aio_fetch(Post.author)`" in text


async def test_advises_the_manager_for_a_foreign_key_of_a_plain_model() -> None:
    post = PlainPost(author=1)
    with pytest.raises(
        SyncNotAllowed, match=r"PlainPost\.author is not loaded"
    ) as caught:
        post.author  # noqa: B018
    assert "`await manager.get(User, ...)`" in str(caught.value)


class Plain(peewee.Model):
    """A model without async methods."""

    id: Any = peewee.AutoField()
    name: Any = peewee.CharField(default="")
    parent: Any = peewee.ForeignKeyField("self", null=True)

    class Meta:
        database = postgres


PLAIN_CALLS: list[tuple[Callable[[], Any], str]] = [
    (lambda: Plain.get(Plain.id == 1), "get"),
    (lambda: Plain.get_or_none(Plain.id == 1), "get_or_none"),
    (lambda: Plain.get_by_id(1), "get"),
    (lambda: Plain.create(), "create"),
    (lambda: Plain(id=1, name="a").save(), "update"),
    (lambda: Plain(id=1).delete_instance(), "delete"),
    (lambda: Plain.select().count(), "count"),
    (lambda: Plain.select().first(), "get_or_none"),
    (lambda: Plain.select().scalar(), "scalar"),
    (lambda: Plain.delete().execute(), "execute"),
    (lambda: list(Plain.select()), "execute"),
    (lambda: Plain.select()[0], "execute"),
    (lambda: len(Plain.select()), "execute"),
    (lambda: peewee.prefetch(Plain.select(), Plain.alias()), "prefetch"),
]


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        (User, "Use `async for row in ...aio_iterator(...)`, or the Manager,"),
        (Plain, "Use `async for row in manager.iterator(...)` instead"),
    ],
)
async def test_names_the_async_loop(model: Any, advice: str) -> None:
    with pytest.raises(SyncNotAllowed) as caught:
        list(model.select().iterator())
    assert advice in str(caught.value)


@pytest.mark.parametrize(("call", "method"), PLAIN_CALLS)
async def test_names_the_method_of_the_manager(
    call: Callable[[], Any], method: str
) -> None:
    with pytest.raises(SyncNotAllowed) as caught:
        call()
    assert f"`await manager.{method}(...)`" in str(caught.value)
    assert hasattr(Manager, method)
    assert postgres.opened == 0


async def test_names_no_async_call_that_does_not_exist() -> None:
    with pytest.raises(SyncNotAllowed, match="Use a method of the Manager, or one th"):
        Plain.create_table()
    with pytest.raises(
        SyncNotAllowed, match=r"`set_time_zone` can .*asyncio.to_thread"
    ):
        postgres.set_time_zone("UTC")


async def test_names_an_async_call_that_comes_with_a_class_of_the_users() -> None:
    class Mine(Plain):
        @classmethod
        async def aio_create_table(cls) -> None: ...

    with pytest.raises(SyncNotAllowed, match=r"`await ...aio_create_table\("):
        Mine.create_table()


async def test_a_decorated_function_is_told_by_what_decorates_it() -> None:
    decorate: Any = postgres.atomic()
    work = decorate(lambda: None)
    with pytest.raises(SyncNotAllowed, match=r"aio_atomic\("):
        work()


async def test_names_the_kind_of_block() -> None:
    blocks: list[tuple[Any, str]] = [
        (postgres.atomic(), "aio_atomic"),
        (postgres.transaction(), "aio_transaction"),
        (postgres.savepoint(), "aio_savepoint"),
        (postgres, "aio_atomic"),
    ]
    proxy = peewee.DatabaseProxy()
    proxy.initialize(postgres)
    blocks.append((proxy.atomic(), "aio_atomic"))
    for block, twin in blocks:
        with pytest.raises(SyncNotAllowed, match=rf"`async with ...{twin}\("):
            block.__enter__()
        assert not postgres.in_transaction()
    assert postgres.opened == 0


async def test_the_raw_connection_is_refused_too(memory: MemoryDatabase) -> None:
    with memory.allow_sync():
        memory.connect()
        assert memory.connection() is memory.connection()
        task = asyncio.create_task(refused(memory.connection))
    await task
    memory.set_allow_sync(True)
    memory.connect()
    memory.set_allow_sync(None)
    with pytest.raises(SyncNotAllowed, match=r"`async with ...aio_connection\("):
        memory.connection()
    memory.close()


async def refused(call: Callable[[], Any]) -> None:
    with pytest.raises(SyncNotAllowed):
        call()


async def test_connecting_is_a_sync_call_too() -> None:
    with pytest.raises(SyncNotAllowed, match=r"aio_connect\("):
        postgres.connect()
    with pytest.raises(SyncNotAllowed, match=r"aio_atomic\("), postgres.atomic():
        pass
    assert postgres.opened == 0
    assert postgres.is_closed()


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


async def test_a_permission_that_ends_in_another_task_takes_none_away() -> None:
    """A generator may be closed by another task than the one that opened it."""
    database, other = MemoryDatabase(), MemoryDatabase()

    def generator() -> Any:
        with database.allow_sync():
            yield

    async def start() -> Any:
        running = generator()
        next(running)
        return running

    running = await asyncio.create_task(start())
    with other.allow_sync(), database.allow_sync():
        running.close()
        sync(database, "SELECT 1")
        sync(other, "SELECT 1")
    assert database.is_closed()
    assert other.is_closed()


async def test_a_connection_that_is_opened_anew_is_closed(
    memory: MemoryDatabase,
) -> None:
    memory.set_allow_sync(True)
    memory.connect()
    with memory.allow_sync():
        memory.close()
        sync(memory, "SELECT 1")
    assert memory.is_closed()


async def test_a_transaction_that_is_left_open_is_rolled_back(
    memory: MemoryDatabase,
) -> None:
    with memory.allow_sync():
        sync(memory, "CREATE TABLE t (n)")
    with (
        pytest.raises(peewee.OperationalError, match="transaction is open"),
        memory.allow_sync(),
    ):
        memory.session_start()
        sync(memory, "INSERT INTO t VALUES (1)")
    assert memory.is_closed()
    assert not memory.in_transaction()
    with memory.allow_sync():
        assert sync(memory, "SELECT * FROM t") == []
    with pytest.raises(Oops), memory.allow_sync():
        memory.session_start()
        raise Oops
    assert memory.is_closed()


async def test_the_permission_outlasts_a_new_name_of_the_database() -> None:
    database = MemoryDatabase()
    with database.allow_sync():
        sync(database, "SELECT 1")
        database.init(":memory:")
        assert database.is_closed()
        assert sync(database, "SELECT 1") == [(1,)]
    assert database.is_closed()


async def test_a_callback_is_not_left_to_the_sync_transaction_of_another_task(
    memory: MemoryDatabase,
) -> None:
    called: list[str] = []
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def other() -> None:
        with memory.allow_sync():
            memory.connect()
            with memory.manual_commit():
                inside.set()
                await go_on.wait()

    task = asyncio.create_task(other())
    await inside.wait()
    async with memory.aio_atomic():
        memory.after_commit(lambda: called.append("async"))
        assert called == []
    assert called == ["async"]
    go_on.set()
    await task
