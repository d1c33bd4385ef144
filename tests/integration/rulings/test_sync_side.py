"""Ruling 9: sync queries where no event loop runs, and where they are allowed.

Clause by clause: each test is named after the ruling.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import peewee
import pytest
from playhouse import dataset, kv, migrate, reflection, shortcuts, signals

from peewee_async import AioDatabase, AioModel, Manager, SyncNotAllowed
from tests.integration.backends import Backend
from tests.integration.checks import both_kinds, quiet, run_python
from tests.integration.conftest import CreateTables, MakeDatabase
from tests.integration.models import Comment, Post, User

plain: Any = User


class Student(AioModel):
    name: Any = peewee.CharField()


class Course(AioModel):
    name: Any = peewee.CharField()
    students: Any = peewee.ManyToManyField(Student, backref="courses")


class Signalled(signals.Model):  # type: ignore[misc]
    name: Any = peewee.CharField()


MODELS = (User, Post, Comment, Student, Course, Signalled)

# What is called, and what the refusal must name instead.
ENTRIES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "get": (lambda db: User.get(User.name == "a"), "aio_get("),
    "get_or_none": (lambda db: User.get_or_none(name="a"), "aio_get_or_none("),
    "create": (lambda db: User.create(name="a"), "aio_create("),
    "save": (lambda db: User(name="a").save(), "aio_save("),
    "save again": (lambda db: User(id=1, name="a").save(), "aio_save("),
    "delete_instance": (
        lambda db: User(id=1).delete_instance(),
        "aio_delete_instance(",
    ),
    "delete_instance, recursive": (
        lambda db: User(id=1).delete_instance(recursive=True),
        "aio_delete_instance(",
    ),
    "get_or_create": (
        lambda db: plain.get_or_create(name="a"),
        "aio_get_or_create(",
    ),
    "execute": (lambda db: User.select().execute(), "aio_execute("),
    "insert": (lambda db: User.insert(name="a").execute(), "aio_execute("),
    "insert_many": (
        lambda db: User.insert_many([{"name": "a"}]).execute(),
        "aio_execute(",
    ),
    "update": (lambda db: User.update(age=1).execute(), "aio_execute("),
    "delete": (lambda db: User.delete().execute(), "aio_execute("),
    "raw": (lambda db: User.raw("SELECT 1").execute(), "aio_execute("),
    "compound": (lambda db: list(User.select() | User.select()), "aio_execute("),
    "noop": (lambda db: list(User.noop()), "aio_execute("),
    "iteration": (lambda db: list(User.select()), "aio_execute("),
    "for": (lambda db: [each for each in User.select()], "aio_execute("),  # noqa: C416
    "iteration of a model": (lambda db: list(plain), "execute("),
    "backref": (lambda db: list(User(id=1).posts), "aio_execute("),
    "len": (lambda db: len(User.select()), "aio_execute("),
    "index": (lambda db: User.select()[0], "aio_execute("),
    "slice": (lambda db: User.select()[:2], "aio_execute("),
    "count": (lambda db: User.select().count(), "aio_count("),
    "exists": (lambda db: User.select().exists(), "aio_exists("),
    "first": (lambda db: User.select().first(), "aio_first("),
    "get of a query": (lambda db: User.select().get(), "aio_get("),
    "scalar": (lambda db: User.select(User.name).scalar(), "aio_scalar("),
    "prefetch": (lambda db: User.select().prefetch(Post), "aio_prefetch("),
    "peewee.prefetch": (
        lambda db: peewee.prefetch(User.select(), Post),
        "aio_prefetch(",
    ),
    "lazy foreign key": (lambda db: Post(id=1, author=1).author, "Post.author is not"),
    "lazy, in a chain": (
        lambda db: Comment(post=Post(id=1, author=1)).post.author,
        "Post.author is not",
    ),
    "lazy, through playhouse": (
        lambda db: shortcuts.model_to_dict(Post(id=1, author=1, title="")),
        "Post.author is not",
    ),
    "many-to-many": (lambda db: list(Course(id=1).students), "execute("),
    "connect": (lambda db: db.connect(), "aio_connect("),
    "atomic": (lambda db: db.atomic().__enter__(), "aio_atomic("),
    "transaction": (lambda db: db.transaction().__enter__(), "aio_transaction("),
    "savepoint": (lambda db: db.savepoint().__enter__(), "aio_savepoint("),
    "with database": (lambda db: db.__enter__(), "aio_atomic("),
}
# These may get async calls of their own; until then the refusal names none.
OTHERS: dict[str, Callable[[Any], Any]] = {
    "connection_context": lambda db: db.connection_context().__enter__(),
    "connection": lambda db: db.connection(),
    "cursor": lambda db: db.cursor(),
    "execute_sql": lambda db: db.execute_sql("SELECT 1"),
    "begin": lambda db: db.begin(),
    "session_start": lambda db: db.session_start(),
    "get_tables": lambda db: db.get_tables(),
    "get_columns": lambda db: db.get_columns("user"),
    "create_tables": lambda db: db.create_tables([User]),
    "drop_tables": lambda db: db.drop_tables([User]),
    "create_table": lambda db: plain.create_table(),
    "drop_table": lambda db: plain.drop_table(),
    "truncate_table": lambda db: plain.truncate_table(),
    "table_exists": lambda db: plain.table_exists(),
    "get_by_id": lambda db: plain.get_by_id(1),
    "set_by_id": lambda db: plain.set_by_id(1, {"age": 2}),
    "delete_by_id": lambda db: plain.delete_by_id(1),
    "bulk_create": lambda db: plain.bulk_create([User(name="a")]),
    "bulk_update": lambda db: plain.bulk_update([User(id=1, age=2)], ["age"]),
    "peek": lambda db: User.select().peek(),
    "scalars": lambda db: list(User.select(User.name).scalars()),
    "iterator": lambda db: list(User.select().iterator()),
    "many-to-many, add": lambda db: Course(id=1).students.add(Student(id=1)),
    "many-to-many, remove": lambda db: Course(id=1).students.remove(Student(id=1)),
    "many-to-many, clear": lambda db: Course(id=1).students.clear(),
    "many-to-many, set": lambda db: setattr(Course(id=1), "students", [Student(id=1)]),
    "migrate": lambda db: migrate.migrate(
        migrate.SchemaMigrator.from_database(db).drop_table("user")
        if hasattr(migrate.SchemaMigrator, "drop_table")
        else migrate.SchemaMigrator.from_database(db).rename_table("a", "b")
    ),
    "introspection": lambda db: reflection.Introspector.from_database(
        db
    ).generate_models(),
    "DataSet": lambda db: dataset.DataSet(db),
    "KeyValue": lambda db: kv.KeyValue(database=db),
    "signals": lambda db: Signalled(name="a").save(),
}


@pytest.fixture
def nowhere(
    backend: Backend, make_database: MakeDatabase, tmp_path: Path
) -> Iterator[AioDatabase]:
    """A database that cannot be connected to: an attempt would be another error."""
    if backend.server is None:
        database = make_database(name=str(tmp_path / "missing" / "test.db"))
    else:
        database = make_database(port=1)
    with (
        database.bind_ctx(MODELS, False, False),
        database.bind_ctx([plain_through()], False, False),
    ):
        yield database


def plain_through() -> Any:
    return Course.students.get_through_model()


def test_ruling_09_an_attempt_to_connect_nowhere_fails(nowhere: AioDatabase) -> None:
    """What the tests below rely on."""
    with pytest.raises(peewee.OperationalError):
        nowhere.connect()


@pytest.mark.parametrize("entry", ENTRIES)
async def test_ruling_09_the_refusal_names_the_async_call(
    nowhere: AioDatabase, entry: str
) -> None:
    call, advice = ENTRIES[entry]
    with pytest.raises(SyncNotAllowed) as caught:
        call(nowhere)
    assert advice in str(caught.value)
    assert "allow_sync()" in str(caught.value)
    assert nowhere.is_closed()
    assert not nowhere.in_transaction()


@pytest.mark.parametrize("entry", OTHERS)
async def test_ruling_09_every_sync_call_is_refused(
    nowhere: AioDatabase, entry: str
) -> None:
    with pytest.raises(SyncNotAllowed, match=r"(?s)event loop.*allow_sync\(\)"):
        OTHERS[entry](nowhere)
    assert nowhere.is_closed()
    assert not nowhere.in_transaction()


async def test_ruling_09_the_refusal_goes_through_generators_and_callbacks(
    nowhere: AioDatabase,
) -> None:
    def users() -> Iterator[Any]:
        yield from User.select()

    with pytest.raises(SyncNotAllowed):
        next(users())
    with pytest.raises(SyncNotAllowed):
        [user.name for user in users()]
    failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    def callback() -> None:
        try:
            User.get()
        except Exception as error:
            failed.set_result(error)

    asyncio.get_running_loop().call_soon(callback)
    assert isinstance(await failed, SyncNotAllowed)


async def test_ruling_09_a_database_without_autoconnect_is_refused_alike(
    make_database: MakeDatabase,
) -> None:
    database = make_database(autoconnect=False)
    with pytest.raises(SyncNotAllowed):
        database.execute_sql("SELECT 1")  # type: ignore[no-untyped-call]


# Where no event loop runs


@both_kinds
def test_ruling_09_sync_queries_run_where_no_loop_does(
    database: AioDatabase, tables: CreateTables
) -> None:
    tables()
    plain.create_table(True)
    try:
        User.create(name="ada")
        assert [user.name for user in User.select()] == ["ada"]
    finally:
        plain.drop_table(True)
    database.close()


def test_ruling_09_before_between_and_after_event_loops(
    database: AioDatabase, tables: CreateTables
) -> None:
    tables(User)
    objects = Manager(database)

    async def main(name: str) -> int:
        with pytest.raises(SyncNotAllowed):
            User.select().count()
        await objects.create(User, name=name)
        return await objects.count(User)

    assert User.select().count() == 0
    assert asyncio.run(main("one")) == 1
    assert User.select().count() == 1
    assert asyncio.run(main("two")) == 2
    assert User.select().count() == 2
    database.close()


# In threads


async def test_ruling_09_a_thread_without_a_loop_is_free(
    objects: Manager, database: AioDatabase
) -> None:
    """It blocks no event loop, whether the task allowed itself anything or not."""

    def work(name: str) -> int:
        with database.connection_context():
            User.create(name=name)
            return User.select().count()

    loop = asyncio.get_running_loop()
    assert await asyncio.to_thread(work, "one") == 1
    assert await loop.run_in_executor(None, work, "two") == 2
    with database.allow_sync():
        assert await asyncio.to_thread(work, "three") == 3
        assert database.is_closed(), "that was the thread's connection"
    with pytest.raises(SyncNotAllowed):
        User.select().count()


async def test_ruling_09_a_thread_with_a_loop_of_its_own_is_not(
    objects: Manager, database: AioDatabase
) -> None:
    async def inside() -> None:
        with pytest.raises(SyncNotAllowed):
            User.select().count()
        with database.allow_sync():
            assert User.select().count() == 0
        assert database.is_closed()

    await asyncio.to_thread(asyncio.run, inside())


async def test_ruling_09_threads_with_a_sync_connection_each(
    objects: Manager, database: AioDatabase
) -> None:
    together = threading.Barrier(3, timeout=30)

    def work(number: int) -> int:
        with database.connection_context():
            connection = id(database.connection())
            together.wait()
            if number == 0:
                with database.atomic():
                    User.create(name="ada")
                    assert database.in_transaction()
            else:
                assert not database.in_transaction()
            return connection

    connections = await asyncio.gather(
        *(asyncio.to_thread(work, number) for number in range(3))
    )
    assert len(set(connections)) == 3
    assert await objects.count(User) == 1


# set_allow_sync


async def test_ruling_09_set_allow_sync_true_overrides_the_refusal(
    objects: Manager, database: AioDatabase
) -> None:
    database.set_allow_sync(True)
    User.create(name="ada")
    assert not database.is_closed()
    with database.allow_sync():
        assert User.select().count() == 1
    assert not database.is_closed(), "it was open before the block"
    database.set_allow_sync(False)
    with pytest.raises(SyncNotAllowed):
        User.select().count()


def test_ruling_09_set_allow_sync_false_overrides_the_permission(
    database: AioDatabase, tables: CreateTables
) -> None:
    tables(User)
    database.set_allow_sync(False)
    with pytest.raises(SyncNotAllowed):
        User.select().count()
    with database.allow_sync():
        assert User.select().count() == 0
    database.set_allow_sync(True)
    assert User.select().count() == 0
    database.close()


# allow_sync


async def test_ruling_09_allow_sync_is_per_task(objects: Manager) -> None:
    one_inside, other_refused = asyncio.Event(), asyncio.Event()

    async def one() -> int:
        with objects.allow_sync():
            one_inside.set()
            await other_refused.wait()
            return User.select().count()

    async def other() -> None:
        await one_inside.wait()
        with pytest.raises(SyncNotAllowed):
            User.select().count()
        other_refused.set()

    results = await asyncio.gather(one(), other())
    assert results[0] == 0


async def test_ruling_09_tasks_started_inside_are_allowed_while_it_lasts(
    objects: Manager,
) -> None:
    over = asyncio.Event()

    async def child() -> int:
        return User.select().count()

    async def late() -> None:
        await over.wait()
        with pytest.raises(SyncNotAllowed):
            User.select().count()

    with objects.allow_sync():
        assert list(await asyncio.gather(child(), child())) == [0, 0]
        task = asyncio.create_task(late())
        await asyncio.sleep(0)
    over.set()
    await task


async def test_ruling_09_restored_after_an_error(objects: Manager) -> None:
    with pytest.raises(peewee.IntegrityError), objects.allow_sync():
        User.create(name="ada")
        User.create(name="ada")
    assert objects.database.is_closed()
    with pytest.raises(SyncNotAllowed):
        User.select().count()


async def test_ruling_09_restored_after_a_cancellation(objects: Manager) -> None:
    database, inside = objects.database, asyncio.Event()
    refused: list[bool] = []

    async def work() -> None:
        try:
            with objects.allow_sync(), database.atomic():
                User.create(name="ada")
                inside.set()
                await asyncio.Event().wait()
        finally:
            with suppress(SyncNotAllowed):
                User.select().count()
                refused.append(False)
            refused.append(True)

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert refused == [True]
    assert database.is_closed()
    assert await objects.count(User) == 0, "the sync transaction was rolled back"


@both_kinds
async def test_ruling_09_closes_what_the_block_opened(objects: Manager) -> None:
    database = objects.database
    with objects.allow_sync():
        assert database.is_closed()
        User.create(name="ada")
        assert not database.is_closed()
    assert database.is_closed()
    with database.allow_sync(), database.connection_context():
        assert User.select().count() == 1
    assert database.is_closed()


def test_ruling_09_leaves_open_what_was_open_before(
    database: AioDatabase, tables: CreateTables
) -> None:
    tables(User)
    database.connect()
    before = database.connection()

    async def main() -> None:
        with database.allow_sync():
            assert User.select().count() == 0
        with pytest.raises(SyncNotAllowed):
            User.select().count()

    asyncio.run(main())
    assert not database.is_closed()
    assert database.connection() is before
    database.close()


async def test_ruling_09_nested_blocks_close_at_the_outermost(objects: Manager) -> None:
    database = objects.database
    with objects.allow_sync():
        with objects.allow_sync():
            User.create(name="ada")
        assert not database.is_closed()
        with pytest.raises(ZeroDivisionError), database.allow_sync():
            raise ZeroDivisionError
        assert User.select().count() == 1
    assert database.is_closed()


async def test_ruling_09_the_last_of_overlapping_tasks_closes(objects: Manager) -> None:
    database = objects.database
    second_is_in, first_is_out = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        with database.allow_sync():
            User.create(name="ada")
            await second_is_in.wait()
        with pytest.raises(SyncNotAllowed):
            User.select().count()
        first_is_out.set()

    async def second() -> None:
        with database.allow_sync():
            with database.atomic():
                User.create(name="bob")
                second_is_in.set()
                await first_is_out.wait()
                assert not database.is_closed()
            assert User.select().count() == 2

    await asyncio.gather(first(), second())
    assert database.is_closed()


async def test_ruling_09_a_transaction_left_open_is_undone(objects: Manager) -> None:
    database = objects.database
    with pytest.raises(peewee.OperationalError), objects.allow_sync():
        database.session_start()
        User.create(name="ada")
    assert database.is_closed()
    assert await objects.count(User) == 0
    await objects.create(User, name="ada")


async def test_ruling_09_is_for_one_database(
    objects: Manager, make_database: MakeDatabase
) -> None:
    with make_database().allow_sync(), pytest.raises(SyncNotAllowed):
        User.select().count()


# Survives `python -O`

PROGRAM = """
import asyncio, peewee_async
database = {source}
print(__debug__)
async def main():
    asyncio.get_running_loop().slow_callback_duration = 60
    try:
        database.execute_sql("SELECT 1")
    except peewee_async.SyncNotAllowed as error:
        print(type(error).__name__, database.is_closed())
    with database.allow_sync():
        print(database.execute_sql("SELECT 1").fetchone()[0])
    print(database.is_closed())
asyncio.run(main())
"""


@pytest.mark.parametrize("level", ["1", "2"])
def test_ruling_09_survives_optimisation(
    backend: Backend, path: Path, level: str
) -> None:
    program = PROGRAM.format(source=backend.source(path))
    done = quiet(run_python(program, PYTHONOPTIMIZE=level))
    assert done == "False\nSyncNotAllowed True\n1\nTrue\n"
