"""The sync side of the same object: peewee's own, and refused in an event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import peewee
import pytest
from playhouse import shortcuts

from peewee_async import AioDatabase, AioModel, Manager, SyncNotAllowed
from tests.integration.backends import SINGLE, SYNC, SYNC_OPTIONS, Backend
from tests.integration.checks import both_kinds, only
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
    with pytest.raises(SyncNotAllowed, match=r"instance\.aio_fetch\(Post\.author\)"):
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


# The same object, as peewee has it


def test_is_what_peewee_has(backend: Backend, database: AioDatabase, sync: Any) -> None:
    assert isinstance(database, type(sync))
    assert issubclass(type(database), peewee.Database)
    ours, theirs = (
        {
            name: getattr(value, "__func__", value)
            for name, value in db.get_context_options().items()
        }
        for db in (cast(Any, database), sync)
    )
    assert ours == theirs
    assert vars(database)["_field_types"] == vars(sync)["_field_types"]
    for name in ("param", "quote", "returning_clause", "for_update", "json_methods"):
        assert getattr(database, name, None) == getattr(sync, name, None), name
    assert (database.database, database.deferred) == (sync.database, False)
    # Of these we know better than peewee does up to 4.4, or differ on purpose.
    ours_alone: dict[str, Any] = dict.fromkeys(
        ("connect_timeout", "charset", "sql_mode")
    )
    ours_alone |= SYNC_OPTIONS.get(backend.name, {})
    assert database.connect_params | ours_alone == sync.connect_params | ours_alone


def test_errors_are_those_of_peewee(
    backend: Backend, database: AioDatabase, sync: Any, tables: CreateTables
) -> None:
    tables(User)
    later: Any = SINGLE[backend.name](None)
    plain: Any = SYNC[backend.name](None)
    attempts: list[Any] = [
        lambda db, empty: empty.connect(),
        lambda db, empty: empty.execute_sql("SELECT 1"),
        lambda db, empty: empty.close(),
        lambda db, empty: (db.connect(True), db.connect()),
        lambda db, empty: db.execute_sql("NONSENSE"),
        lambda db, empty: db.execute_sql("SELECT * FROM nowhere"),
        lambda db, empty: (db.close(), db.rollback()),
        lambda db, empty: (db.close(), db.commit()),
        lambda db, empty: db.manual_commit()(db.atomic()(lambda: None))(),
        lambda db, empty: User.insert_many([{"name": "a"}] * 2).execute(db),
        lambda db, empty: User.get(User.name == "nobody"),
    ]
    raised = 0
    for attempt in attempts:
        errors: list[Any] = []
        for db, empty in ((database, later), (sync, plain)):
            try:
                attempt(db, empty)
            except Exception as error:
                errors.append((type(error), str(error)))
            else:
                errors.append(None)
            if not db.is_closed():
                db.close()
        assert errors[0] == errors[1]
        raised += errors[0] is not None
    assert raised >= len(attempts) - 2  # up to 4.4, peewee rolls back what is closed


@pytest.mark.parametrize("kind", [peewee.Proxy, peewee.DatabaseProxy])
def test_a_proxy(
    database: AioDatabase, tables: CreateTables, kind: type[peewee.Proxy]
) -> None:
    tables(User)
    proxy: Any = kind()

    class Through(AioModel):
        id: Any
        name: Any = peewee.CharField()

        class Meta:
            database = proxy
            table_name = "user"

    with pytest.raises(AttributeError, match="uninitialized"):
        Through.select().count()

    async def too_early() -> None:
        with pytest.raises(peewee.InterfaceError, match="not initialized"):
            await Through.select().aio_count()

    async def both() -> None:
        assert await Through.select().aio_count() == 1
        with pytest.raises(SyncNotAllowed, match=r"aio_count\("):
            Through.select().count()
        with pytest.raises(SyncNotAllowed, match=r"aio_atomic\("):
            proxy.atomic().__enter__()
        with proxy.allow_sync(), proxy.atomic():
            assert Through.select().count() == 1

    asyncio.run(too_early())
    proxy.initialize(database)
    with proxy.atomic():
        User.create(name="ada")
    with suppress(ZeroDivisionError), proxy.atomic(), proxy.savepoint():
        User.create(name="bob")
        raise ZeroDivisionError
    with proxy.connection_context() if kind is peewee.DatabaseProxy else proxy:
        assert [user.name for user in Through.select()] == ["ada"]
    database.close()
    asyncio.run(both())
    assert database.is_closed()


@both_kinds
def test_named_again_with_connections_open(
    backend: Backend,
    database: AioDatabase,
    tables: CreateTables,
    path: Path,
    tmp_path: Path,
) -> None:
    tables(User)
    name, options = backend.options(path)
    others = {"postgres": "postgres", "mysql": "information_schema"}
    other = others.get(backend.name, str(tmp_path / "other.db"))

    async def main() -> None:
        await User.aio_create(name="ada")
        with database.allow_sync():
            assert User.select().count() == 1
            assert database.is_connected
            assert not database.is_closed()
            database.init(other, **options)
            assert not database.is_connected
            assert database.is_closed()
            with pytest.raises(peewee.DatabaseError):
                User.select().count()
        assert database.is_closed()
        with pytest.raises(peewee.DatabaseError):
            await User.select().aio_count()
        database.init(name, **options)
        assert await User.select().aio_count() == 1
        with database.allow_sync():
            assert User.select().count() == 1

    User.select().count()
    asyncio.run(main())
    database.close()


# bind


async def test_bind_ctx_nested_and_with_async_calls(
    objects: Manager, database: AioDatabase, make_database: MakeDatabase
) -> None:
    other, third = make_database(), make_database(pooled=False)
    await User.aio_create(name="ada")
    with other.bind_ctx([User]):
        assert await User.select().aio_count() == 1
        assert other.is_connected
        with User.bind_ctx(third):
            assert (await User.aio_get()).name == "ada"
            assert third.is_connected
            with third.allow_sync():
                assert User.select().count() == 1
            with other.allow_sync(), pytest.raises(SyncNotAllowed):
                User.select().count()
        assert User._meta.database is other
        async with other.aio_atomic():
            await User.aio_create(name="bob")
            assert await objects.count(User) == 1
    assert User._meta.database is database
    assert await User.select().aio_count() == 2


async def test_bind_ctx_in_overlapping_tasks(
    objects: Manager, database: AioDatabase, make_database: MakeDatabase
) -> None:
    """The class is bound for all tasks: peewee keeps no state per task."""
    other = make_database()
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def binds() -> None:
        with other.bind_ctx([User], False, False):
            inside.set()
            await go_on.wait()
            assert await User.select().aio_count() == 0

    task = asyncio.create_task(binds())
    await inside.wait()
    early = User.select()
    assert await User.select().aio_count() == 0
    assert other.is_connected
    assert not database.is_connected
    go_on.set()
    await task
    assert User._meta.database is database
    assert await early.aio_count() == 0
    assert not database.is_connected, "a query keeps the database it was made for"


def test_metadata_of_each_thread(
    backend: Backend, database: AioDatabase, tables: CreateTables, path: Path
) -> None:
    class Threaded(AioModel):
        name: Any = peewee.CharField()

        class Meta:
            model_metadata_class = shortcuts.ThreadSafeDatabaseMetadata
            table_name = "user"

    threaded: Any = Threaded
    threaded._meta.database = database
    tables(User)
    User.create(name="ada")
    other = backend.make(path, pooled=False)

    async def count() -> int:
        counted: int = await Threaded.select().aio_count()
        await threaded._meta.database.aio_close()
        return counted

    def work() -> Any:
        threaded._meta.database = other
        return threaded._meta.database, asyncio.run(count())

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() == (other, 1)
    assert threaded._meta.database is database
    assert asyncio.run(count()) == 1
    database.close()


# Blocks


def test_blocks_without_a_loop(database: AioDatabase, tables: CreateTables) -> None:
    tables(User)
    with database:
        User.create(name="one")
        assert database.in_transaction()
        with database.transaction(), database.savepoint() as point:
            User.create(name="two")
            point.rollback()
    assert database.is_closed()
    with database.connection_context(), database.manual_commit():
        database.begin()
        User.create(name="three")
        database.rollback()
        with pytest.raises(ValueError, match="manual"):
            database.atomic().__enter__()

    @database.atomic()  # type: ignore[untyped-decorator]
    def fails() -> None:
        User.create(name="four")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert not database.in_transaction()
    assert [user.name for user in User.select()] == ["one"]
    database.close()


@only("postgres", "mysql")
async def test_sync_and_async_transactions_are_independent(
    objects: Manager, database: AioDatabase
) -> None:
    called: list[str] = []
    with objects.allow_sync():
        async with objects.atomic() as block:
            await objects.create(User, name="async")
            assert not database.in_transaction()
            with database.atomic() as inner:
                assert database.in_transaction()
                User.create(name="sync")
                assert await objects.count(User) == 1
                assert User.select().count() == 1
                block.after_commit(lambda: called.append("async"))
                if hasattr(peewee.Database, "after_commit"):
                    database.after_commit(lambda: called.append("sync"))
                inner.rollback()
                User.create(name="sync again")
            assert not database.in_transaction()
            assert called == []
        assert called == ["async"]
        with suppress(ZeroDivisionError), database.atomic():
            User.create(name="lost")
            await objects.create(User, name="kept")
            raise ZeroDivisionError
    names = {user.name for user in await objects.execute(User.select())}
    assert names == {"async", "sync again", "kept"}


async def test_an_async_call_in_a_sync_transaction(
    objects: Manager, database: AioDatabase
) -> None:
    await objects.create(User, name="ada")
    with database.allow_sync():
        with database.atomic():
            assert User.select().count() == 1
            assert await objects.count(User) == 1
            assert database.in_transaction()
            assert not database.is_closed()
        assert database.is_connected
    assert database.is_closed()
    assert await objects.count(User) == 1


@pytest.mark.skipif(
    not hasattr(peewee.Database, "after_commit"), reason="This peewee has none."
)
async def test_after_commit_on_either_side(
    objects: Manager, database: AioDatabase
) -> None:
    called: list[str] = []
    async with objects.atomic():
        database.after_commit(lambda: called.append("async"))
        assert called == []
    assert called == ["async"]
    with database.allow_sync():
        with database.atomic():
            database.after_commit(lambda: called.append("sync"))
            await objects.count(User)
            assert called == ["async"]
        assert called == ["async", "sync"]
        with suppress(ZeroDivisionError), database.atomic():
            database.after_commit(lambda: called.append("never"))
            raise ZeroDivisionError
    database.after_commit(lambda: called.append("at once"))
    assert called == ["async", "sync", "at once"]
