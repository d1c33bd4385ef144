"""The sync side of the same object: peewee's own, and refused in an event loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, cast

import peewee
import pytest

from peewee_async import AioDatabase, Manager, SyncNotAllowed
from tests.integration.checks import both_kinds, quiet, run_python
from tests.integration.conftest import CreateTables, MakeDatabase
from tests.integration.models import Line, Post, User, people

# Where no event loop runs


@both_kinds
def test_everything_works_as_in_peewee(
    database: AioDatabase, tables: CreateTables
) -> None:
    tables(User, Post)
    ada = User.create(name="ada", age=36)
    with database.atomic():
        Post.create(author=ada, title="one")
        with suppress(ZeroDivisionError), database.atomic():
            Post.create(author=ada, title="two")
            raise ZeroDivisionError
    with suppress(ZeroDivisionError), database.transaction():
        User.insert_many(people(3)).execute()
        raise ZeroDivisionError
    assert [post.title for post in ada.posts] == ["one"]
    assert Post.get().author == ada
    assert User.select().count() == 1
    assert not database.is_closed()
    assert not database.is_connected
    database.close()


def test_tables(database: AioDatabase) -> None:
    line: Any = Line
    line.create_table(True)
    line.create_table(True)
    assert line.table_exists()
    assert "line" in database.get_tables()
    database.drop_tables([Line])
    assert not line.table_exists()


def test_sync_first_and_async_later(
    database: AioDatabase, tables: CreateTables
) -> None:
    tables(User)
    objects = Manager(database)
    User.create(name="ada")

    async def main() -> list[str]:
        await objects.create(User, name="bob")
        users = await objects.execute(User.select().order_by(User.id))
        return [user.name for user in users]

    assert asyncio.run(main()) == ["ada", "bob"]
    assert User.select().count() == 2


# In an event loop


@both_kinds
async def test_sync_queries_are_refused(objects: Manager) -> None:
    database, plain = objects.database, cast(Any, User)
    attempts: list[Any] = [
        lambda: User.get(User.name == "ada"),
        lambda: User.get_or_none(name="ada"),
        lambda: User.create(name="ada"),
        lambda: User(name="ada").save(),
        lambda: User(id=1).delete_instance(),
        lambda: list(User.select()),
        lambda: User.select().count(),
        lambda: User.select().exists(),
        lambda: User.select().first(),
        lambda: User.select().scalar(),
        lambda: User.select()[0],
        lambda: len(User.select()),
        lambda: User.insert(name="ada").execute(),
        lambda: User.update(age=1).execute(),
        lambda: User.delete().execute(),
        lambda: User.create_table(),
        lambda: plain.get_or_create(name="ada"),
        lambda: database.connect(),
        lambda: database.execute_sql("SELECT 1"),
        lambda: database.get_tables(),
        lambda: database.atomic().__enter__(),
    ]
    for attempt in attempts:
        with pytest.raises(SyncNotAllowed, match="event loop"):
            attempt()
        assert database.is_closed()
    assert await objects.count(User) == 0


@pytest.mark.parametrize(
    ("attempt", "advice"),
    [
        (lambda: User.get(User.name == "ada"), "aio_get"),
        (lambda: User.create(name="ada"), "aio_create"),
        (lambda: User(name="ada").save(), "aio_save"),
        (lambda: User.select().count(), "aio_count"),
        (lambda: list(User.select()), "aio_execute"),
        (lambda: User.update(age=1).execute(), "aio_execute"),
        (lambda: Post(id=1, author=1).author, r"Post\.author"),
    ],
)
async def test_the_refusal_names_what_to_use(
    objects: Manager, attempt: Any, advice: str
) -> None:
    with pytest.raises(SyncNotAllowed, match=advice):
        attempt()


async def test_a_relation_that_is_not_loaded(objects: Manager) -> None:
    ada = await objects.create(User, name="ada")
    await objects.create(Post, author=ada, title="one")
    post = await objects.get(Post)
    with pytest.raises(SyncNotAllowed, match=r"Post\.author .*User"):
        _ = post.author
    assert post.author_id == ada.id
    query = Post.select(Post, User).join(User, on=Post.author)
    assert (await objects.get(query)).author.name == "ada"


# allow_sync


@both_kinds
async def test_allow_sync_closes_what_it_opened(objects: Manager) -> None:
    database = objects.database
    with objects.allow_sync():
        User.create(name="ada")
        with database.atomic():
            User.create(name="bob")
        with suppress(ZeroDivisionError), database.atomic():
            User.create(name="eve")
            raise ZeroDivisionError
        assert not database.is_closed()
        with database.allow_sync():
            assert User.select().count() == 2
        assert not database.is_closed()
    assert database.is_closed()
    with pytest.raises(SyncNotAllowed):
        User.select().count()
    assert await objects.count(User) == 2


async def test_allow_sync_without_a_query_opens_nothing(objects: Manager) -> None:
    with objects.allow_sync():
        assert objects.database.is_closed()
    assert objects.database.is_closed()


async def test_allow_sync_after_an_error(objects: Manager) -> None:
    with pytest.raises(peewee.IntegrityError), objects.allow_sync():
        User.create(name="ada")
        User.create(name="ada")
    assert objects.database.is_closed()
    with pytest.raises(SyncNotAllowed):
        User.select().count()


def test_allow_sync_leaves_open_what_was(
    database: AioDatabase, tables: CreateTables
) -> None:
    tables(User)
    database.connect()
    with database.allow_sync():
        assert User.select().count() == 0
    assert not database.is_closed()
    database.close()


async def test_allow_sync_is_for_one_task(objects: Manager) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def holder() -> int:
        with objects.allow_sync():
            inside.set()
            await go_on.wait()
            return User.select().count()

    task = asyncio.create_task(holder())
    await inside.wait()
    with pytest.raises(SyncNotAllowed):
        User.select().count()
    go_on.set()
    assert await task == 0


async def test_allow_sync_is_for_one_database(
    objects: Manager, make_database: MakeDatabase
) -> None:
    other = make_database()
    with other.allow_sync(), pytest.raises(SyncNotAllowed):
        User.select().count()


async def test_set_allow_sync(objects: Manager, database: AioDatabase) -> None:
    database.set_allow_sync(True)
    assert User.select().count() == 0
    database.set_allow_sync(False)
    with pytest.raises(SyncNotAllowed):
        User.select().count()
    with database.allow_sync():
        assert User.select().count() == 0


def test_set_allow_sync_holds_outside_too(
    database: AioDatabase, tables: CreateTables
) -> None:
    tables(User)
    database.set_allow_sync(False)
    with pytest.raises(SyncNotAllowed):
        User.select().count()
    with database.allow_sync():
        assert User.select().count() == 0


async def test_sync_in_a_thread(objects: Manager, database: AioDatabase) -> None:
    """No event loop runs in that thread, so nothing is blocked."""
    await objects.create(User, name="ada")

    def count() -> int:
        with database.connection_context():
            return User.select().count()

    assert await asyncio.to_thread(count) == 1


def test_the_refusal_survives_optimisation() -> None:
    program = """
import asyncio, peewee_async
database = peewee_async.SqliteDatabase(":memory:")
async def main():
    try:
        database.execute_sql("SELECT 1")
    except peewee_async.SyncNotAllowed:
        print("refused")
asyncio.run(main())
"""
    assert quiet(run_python(program, PYTHONOPTIMIZE="2")) == "refused\n"
