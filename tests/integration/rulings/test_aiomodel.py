"""Rulings 25 and 26: AioModel, and errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, assert_type

import peewee
import pytest
from peewee import fn

from peewee_async import AioDatabase, AioModel, Manager, SyncNotAllowed
from tests.integration.backends import Backend
from tests.integration.checks import only, seen, statistics
from tests.integration.conftest import CreateTables, MakeDatabase
from tests.integration.models import (
    Category,
    Comment,
    Country,
    Line,
    Membership,
    Post,
    Slot,
    User,
    people,
)
from tests.integration.rulings.common import (
    Oops,
    add,
    blocks_open,
    connection_number,
    end_connection,
    sleep,
    until,
)
from tests.integration.rulings.conftest import Names, Sent
from tests.integration.test_connecting import free_port

pytestmark = pytest.mark.usefixtures("objects")

servers_only = only("postgres", "mysql")


@pytest.fixture
async def users(objects: Manager) -> list[User]:
    """Three users, aged 0 to 2, each with a post."""
    await User.insert_many(people(3)).aio_execute()
    found: list[User] = await User.select().order_by(User.id).aio_execute()
    for user in found:
        await Post.aio_create(author=user, title=f"by {user.age}")
    return found


# 25. Methods of the model


async def test_ruling_25_aio_get(users: list[User]) -> None:
    assert await User.aio_get(User.age == 1) == users[1]
    assert await User.aio_get(age=1, name="user1") == users[1]
    assert await User.aio_get(users[1].id) == users[1]
    with pytest.raises(User.DoesNotExist):
        await User.aio_get(age=9)


async def test_ruling_25_what_is_got_has_its_type(
    users: list[User], objects: Manager
) -> None:
    """The type checker fails on these lines if it makes something else of them."""
    name = User.name == "user1"
    got = [
        assert_type(await User.aio_get(name), User),
        assert_type(await User.aio_get_or_none(name), User | None),
        assert_type(await User.aio_get_by_id(users[1].id), User),
        assert_type(await User.select().where(name).aio_get(), User),
        assert_type(await User.aio_get_or_create(name="user1"), tuple[User, bool])[0],
        assert_type([user async for user in User.select().where(name)], list[User])[0],
        assert_type(await objects.get(User, name), User),
        assert_type(await objects.get_or_none(User, name), User | None),
        assert_type(await objects.create_or_get(User, name="user1"), tuple[User, bool])[
            0
        ],
    ]
    assert got == [users[1]] * len(got)
    assert_type(await User.aio_create(name="new"), User)
    assert_type(await objects.create(User, name="newer"), User)


async def test_ruling_25_aio_get_or_none(users: list[User]) -> None:
    assert await User.aio_get_or_none(User.age == 1) == users[1]
    assert await User.aio_get_or_none(age=9) is None


async def test_ruling_25_aio_get_or_create(users: list[User]) -> None:
    found, created = await User.aio_get_or_create(name="user1", defaults={"age": 7})
    assert (found, found.age, created) == (users[1], 1, False)
    made, created = await User.aio_get_or_create(name="ada", defaults={"age": 7})
    assert (made.age, created) == (7, True)


async def test_ruling_25_aio_create(names: Names) -> None:
    ada = await User.aio_create(name="ada")
    assert (type(ada), ada.age, ada.dirty_fields) == (User, 0, [])
    assert names() == {"ada"}
    with pytest.raises(peewee.IntegrityError):
        await User.aio_create(name="ada")


async def test_ruling_25_aio_save(tables: CreateTables, names: Names) -> None:
    tables(Country)
    ada = User(name="ada")
    assert await ada.aio_save() == 1
    ada.name, ada.age = "eve", 5
    assert await ada.aio_save(only=[User.age]) == 1
    assert names() == {"ada"}
    assert await ada.aio_save() == 1
    assert names() == {"eve"}
    country = Country(code="nl")
    assert await country.aio_save(force_insert=True) == 1
    assert not await country.aio_save()


async def test_ruling_25_aio_delete_instance(users: list[User], names: Names) -> None:
    with pytest.raises(peewee.IntegrityError):
        await users[1].aio_delete_instance()
    assert await users[1].aio_delete_instance(recursive=True) == 1
    assert await users[1].aio_delete_instance() == 0
    assert names() == {"user0", "user2"}
    assert await Post.select().aio_count() == 2


# 25. By key


async def test_ruling_25_aio_get_by_id(users: list[Any], tables: CreateTables) -> None:
    assert await User.aio_get_by_id(users[1].id) == users[1]
    with pytest.raises(User.DoesNotExist):
        await User.aio_get_by_id(0)
    tables(Country, Membership)
    await Country.aio_create(code="nl")
    assert (await Country.aio_get_by_id("nl")).code == "nl"
    await Membership.aio_create(user=1, club="chess")
    assert (await Membership.aio_get_by_id((1, "chess"))).club == "chess"


async def test_ruling_25_aio_set_by_id(users: list[User]) -> None:
    assert await User.aio_set_by_id(users[1].id, {"age": 70, User.email: "x"}) == 1
    found = await User.aio_get(User.id == users[1].id)
    assert (found.name, found.age, found.email) == ("user1", 70, "x")
    assert await User.aio_set_by_id(0, {"age": 1}) == 0


async def test_ruling_25_aio_delete_by_id(users: list[Any], names: Names) -> None:
    await Post.delete().aio_execute()
    assert await User.aio_delete_by_id(users[1].id) == 1
    assert await User.aio_delete_by_id(users[1].id) == 0
    assert names() == {"user0", "user2"}


# 25. In bulk


async def test_ruling_25_aio_bulk_create(names: Names, backend: Backend) -> None:
    made = [User(**data) for data in people(25)]
    await User.aio_bulk_create(made, batch_size=10)
    assert names() == {user.name for user in made}
    if backend.name == "postgres":
        assert await User.aio_get(name="user7") == made[7]
    await User.aio_bulk_create([])
    assert await User.select().aio_count() == 25


async def test_ruling_25_aio_bulk_create_in_a_block(
    objects: Manager, names: Names
) -> None:
    with suppress(peewee.IntegrityError):
        async with objects.atomic():
            await User.aio_bulk_create([User(name="a"), User(name="a")])
    assert names() == set()


async def test_ruling_25_aio_bulk_update(users: list[User]) -> None:
    for user in users:
        user.age, user.email = user.age + 50, "not written"
    assert await User.aio_bulk_update(users, [User.age], batch_size=2) == 3
    rows = User.select(User.age, User.email).order_by(User.age).tuples()
    found = await rows.aio_execute()
    assert [age for age, _ in found] == [50, 51, 52]
    assert "not written" not in {email for _, email in found}
    assert await User.aio_bulk_update(users, fields=["age", "email"]) == 3
    assert await User.select().where(User.email == "not written").aio_count() == 3


# 25. Foreign keys


async def test_ruling_25_aio_fetch(users: list[Any], sent: Sent) -> None:
    post = await Post.aio_get(title="by 1")
    with pytest.raises(SyncNotAllowed):
        _ = post.author
    sent()
    assert await post.aio_fetch(Post.author) == users[1]
    assert post.author.name == "user1"
    assert len(sent()) == 1


async def test_ruling_25_aio_fetch_of_nothing(users: list[User]) -> None:
    post = await Post.aio_get(title="by 1")
    assert await post.aio_fetch(Post.reviewer) is None
    assert post.reviewer is None


# 25. Tables


@pytest.fixture
def table(backend: Backend, sync: Any) -> Iterator[type[Line]]:
    """A model whose table a test makes."""
    yield Line
    if backend.server is not None:
        sync.execute_sql("DROP TABLE IF EXISTS line, slot")


async def test_ruling_25_tables_of_a_model(table: type[Line], sync: Any) -> None:
    assert await table.aio_table_exists() is False
    await table.aio_create_table()
    await table.aio_create_table(True)
    assert await table.aio_table_exists() is True
    assert sync.table_exists("line")
    await table.aio_create(text="x")
    await table.aio_truncate_table()
    assert await table.select().aio_count() == 0
    await table.aio_drop_table()
    await table.aio_drop_table(True)
    assert not sync.table_exists("line")


async def test_ruling_25_safe_is_the_first_positional(table: type[Line]) -> None:
    await table.aio_create_table(False)
    with pytest.raises(peewee.DatabaseError):
        await table.aio_create_table(False)
    await table.aio_drop_table(False)
    with pytest.raises(peewee.DatabaseError):
        await table.aio_drop_table(False)


def test_ruling_25_safe_of_the_sync_create_table(table: Any, objects: Manager) -> None:
    table.create_table(True)
    table.create_table(True)
    with pytest.raises(peewee.DatabaseError):
        table.create_table(False)
    objects.database.close()


@pytest.mark.usefixtures("table")
async def test_ruling_25_indexes_come_along(sync: Any) -> None:
    await Slot.aio_create_table()
    unique = [index.columns for index in sync.get_indexes("slot") if index.unique]
    assert ["name"] in unique
    assert ["room", "hour"] in unique
    await Slot.aio_create(name="a", room=1, hour=1)
    with pytest.raises(peewee.IntegrityError):
        await Slot.aio_create(name="b", room=1, hour=1)


# 25. Methods of queries, for each kind of them


def raw_users(what: str = "*") -> Any:
    opening, closing = User._meta.database.quote
    return User.raw(f"SELECT {what} FROM {opening}user{closing} ORDER BY age")


OF_USERS: dict[str, Callable[[], Any]] = {
    "select": lambda: User.select().order_by(User.age),
    "alias": lambda: User.alias("u").select().order_by(peewee.SQL("age")),
    "compound": lambda: (User.select() | User.select().where(User.age > 1)).order_by(
        peewee.SQL("age")
    ),
    "raw": raw_users,
}
NO_USERS = OF_USERS | {"noop": lambda: User.noop()}


async def test_ruling_25_rows_of_each_kind_of_query(users: list[User]) -> None:
    for kind, query in OF_USERS.items():
        assert await query().aio_execute() == users, kind
        assert await query().aio_get() == users[0], kind
        assert await query().aio_first() == users[0], kind
        assert await query().aio_first(2) == users[:2], kind
        assert await query().aio_get_or_none() == users[0], kind
        assert await query().aio_peek() == users[0], kind
        assert await query().aio_peek(2) == users[:2], kind
        assert await query().aio_scalars() == [user.id for user in users], kind
        assert await query().aio_count() == 3, kind
        assert await query().aio_exists() is True, kind
        assert await query().aio_scalar() == users[0].id, kind
        row = await query().aio_scalar(as_tuple=True)
        assert row[:2] == (users[0].id, "user0"), kind
        assert (await query().aio_scalar(as_dict=True))["name"] == "user0", kind


async def test_ruling_25_no_rows_of_each_kind_of_query() -> None:
    for kind, query in NO_USERS.items():
        assert await query().aio_execute() == [], kind
        assert await query().aio_first() is None, kind
        assert await query().aio_get_or_none() is None, kind
        assert await query().aio_peek() is None, kind
        assert await query().aio_scalars() == [], kind
        assert await query().aio_count() == 0, kind
        assert await query().aio_exists() is False, kind
        assert await query().aio_scalar() is None, kind
        with pytest.raises(User.DoesNotExist):
            await query().aio_get()


async def test_ruling_25_compounds_of_each_kind(users: list[User]) -> None:
    low = User.select(User.age).where(User.age < 2)
    high = User.select(User.age).where(User.age > 0)
    for query, count in (
        (low | high, 3),
        (low + high, 4),
        (low & high, 1),
        (low - high, 1),
        (low.union_all(high), 4),
    ):
        assert await query.aio_count() == len(await query.aio_execute()) == count


async def test_ruling_25_selects_of_selects(users: list[User]) -> None:
    ages = User.select(User.age).where(User.age > 0)
    cte: Any = ages.cte("ages")
    queries: list[Any] = [
        ages.alias("ages").select_from(peewee.SQL("age")),
        (ages | ages).alias("ages").select_from(peewee.SQL("age")),
        cte.select_from(cte.c.age),
    ]
    for query in queries:
        rows = query.order_by(peewee.SQL("age"))
        assert [user.age for user in await rows.aio_execute()] == [1, 2]
        assert [user.age async for user in rows] == [1, 2]
        assert await query.aio_count() == 2
        assert await rows.aio_scalar() == 1
    with pytest.raises(ValueError, match="select_from"):
        ages.select_from()


async def test_ruling_25_aio_prefetch(users: list[User], tables: CreateTables) -> None:
    await Comment.aio_create(post=await Post.aio_get(title="by 1"), text="nice")
    query = User.select().order_by(User.age)
    found = await query.aio_prefetch(Post, Comment)
    assert found[1].posts[0].comments[0].text == "nice"
    assert found[2].posts[0].comments == []
    tables(Category)
    root = await Category.aio_create(name="root")
    await Category.aio_create(name="leaf", parent=root)
    roots = Category.select().where(Category.parent.is_null())
    (found_root,) = await roots.aio_prefetch(Category.alias().select())
    assert [leaf.name for leaf in found_root.children] == ["leaf"]


async def test_ruling_25_writing_queries(users: list[User]) -> None:
    assert await User.update(age=9).where(User.age == 2).aio_execute() == 1
    assert await Post.delete().aio_execute() == 3
    assert await User.delete().where(User.age == 9).aio_execute() == 1
    key = await User.insert(name="ada").aio_execute()
    assert (await User.aio_get(name="ada")).id == key
    copied = User.insert_from(
        User.select(fn.MAX(User.email), peewee.Value(70)), ["name", User.age]
    )
    assert await copied.as_rowcount().aio_execute() == 1
    assert await User.select(fn.SUM(User.age)).aio_scalar() == 71


async def test_ruling_25_a_backref_is_a_query(users: list[User]) -> None:
    assert [post.title for post in await users[1].posts.aio_execute()] == ["by 1"]
    assert await users[1].posts.where(Post.views > 0).aio_count() == 0
    assert await users[1].reviews.aio_first() is None


# 25. Streams


async def test_ruling_25_streams_of_each_kind_of_query(users: list[User]) -> None:
    for kind, query in OF_USERS.items():
        assert [user async for user in query()] == users, kind
        assert [user async for user in query().aio_iterator()] == users, kind


async def test_ruling_25_streams_of_no_rows() -> None:
    for kind, query in NO_USERS.items():
        assert [user async for user in query()] == [], kind
        assert [user async for user in query().aio_iterator()] == [], kind


async def test_ruling_25_streamed_rows_are_those_of_execute(users: list[User]) -> None:
    joined = Post.select(Post, User).join(User, on=Post.author).order_by(Post.id)
    for query in (
        joined,
        User.select(User.name, User.age).order_by(User.age).tuples(),
        User.select(User.name, User.age).order_by(User.age).dicts(),
        User.select(User.age).order_by(User.age).namedtuples(),
    ):
        rows = [row async for row in query.clone()]
        assert seen(rows) == seen(list(await query.aio_execute()))


async def test_ruling_25_a_stream_that_is_left_early(
    users: list[Any], objects: Manager
) -> None:
    stream = User.select().order_by(User.age).aio_iterator()
    async for user in stream:
        assert user == users[0]
        break
    await stream.aclose()
    assert statistics(objects.database).busy == 0
    assert await User.select().aio_count() == 3


async def test_ruling_25_a_stream_in_a_block(
    users: list[Any], objects: Manager, names: Names
) -> None:
    with suppress(Oops):
        async with objects.atomic():
            await User.aio_create(name="new", age=9)
            streamed = [user.name async for user in User.select().order_by(User.age)]
            assert streamed == ["user0", "user1", "user2", "new"]
            await User.aio_create(name="newer")
            raise Oops
    assert names() == {"user0", "user1", "user2"}


async def test_ruling_25_several_streams_at_once(users: list[User]) -> None:
    async def count() -> int:
        return len([user async for user in User.select()])

    assert await asyncio.gather(*(count() for _ in range(10))) == [3] * 10


# 26. Errors


def is_of_driver(error: BaseException | None, backend: Backend) -> bool:
    modules = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
    return bool(modules & {"psycopg2", "pymysql", "sqlite3"})


async def test_ruling_26_the_cause_is_the_drivers(
    objects: Manager, backend: Backend
) -> None:
    await add(objects, "ada")
    attempts: list[tuple[Any, Callable[[], Any]]] = [
        (peewee.IntegrityError, lambda: objects.create(User, name="ada")),
        (peewee.IntegrityError, lambda: User.aio_create(name="ada")),
        (peewee.IntegrityError, lambda: Post.aio_create(author=404, title="x")),
        (peewee.DatabaseError, lambda: objects.execute(User.raw("SELECT FROM WHERE"))),
        (peewee.DatabaseError, lambda: User.raw("SELECT * FROM nowhere").aio_get()),
    ]
    for kind, attempt in attempts:
        with pytest.raises(kind) as caught:
            await attempt()
        assert isinstance(caught.value, peewee.PeeweeException)
        assert is_of_driver(caught.value.__cause__, backend)
    assert await objects.count(User) == 1


@servers_only
async def test_ruling_26_an_error_of_connecting(
    make_database: MakeDatabase, backend: Backend
) -> None:
    objects = Manager(make_database(host="127.0.0.1", port=free_port()))
    for attempt in (objects.connect, lambda: objects.count(User)):
        with pytest.raises(peewee.OperationalError) as caught:
            await attempt()
        assert is_of_driver(caught.value.__cause__, backend)
    with pytest.raises(peewee.OperationalError) as caught:
        async with objects.atomic():
            pass
    assert is_of_driver(caught.value.__cause__, backend)


@servers_only
async def test_ruling_26_a_time_limit(
    make_database: MakeDatabase, backend: Backend
) -> None:
    database = make_database(query_timeout=0.1)
    with pytest.raises(peewee.OperationalError) as caught:
        await database.aio_execute(sleep(backend, 60))
    assert isinstance(caught.value.__cause__, TimeoutError)


@only("sqlite")
async def test_ruling_26_an_error_of_begin(
    make_database: MakeDatabase, sync: Any, backend: Backend
) -> None:
    objects = Manager(make_database(timeout=0))
    with sync.atomic("IMMEDIATE"), pytest.raises(peewee.OperationalError) as caught:
        async with objects.atomic():
            pass
    assert is_of_driver(caught.value.__cause__, backend)
    await add(objects, "ada")


@servers_only
async def test_ruling_26_an_error_of_begin_on_a_dead_connection(
    objects: Manager, backend: Backend, sync: Any
) -> None:
    with pytest.raises(peewee.OperationalError) as caught:
        async with objects.database.aio_connection():
            number = await connection_number(objects, backend)
            end_connection(backend, sync, number)
            gone = f"SELECT COUNT(*) = 0 FROM {SESSIONS[backend.name]} = {number}"
            while not sync.execute_sql(gone).fetchone()[0]:
                pass  # the event loop shall not hear of it before BEGIN is sent
            async with objects.atomic():
                pass
    assert is_of_driver(caught.value.__cause__, backend)
    await add(objects, "ada")
    assert await objects.count(User) == 1


SESSIONS = {
    "postgres": "pg_stat_activity WHERE pid",
    "mysql": "information_schema.processlist WHERE id",
}


class Parent(AioModel):
    id: Any


class Child(AioModel):
    id: Any
    parent: Any = peewee.ForeignKeyField(Parent, deferrable="INITIALLY DEFERRED")


@only("postgres", "sqlite")
async def test_ruling_26_an_error_of_commit(
    objects: Manager, tables: CreateTables, backend: Backend
) -> None:
    tables(Parent, Child)
    with pytest.raises(peewee.IntegrityError) as caught:
        async with objects.atomic():
            await objects.create(Child, parent=404)
    assert is_of_driver(caught.value.__cause__, backend)
    async with objects.atomic() as tx:
        await objects.create(Child, parent=404)
        with pytest.raises(peewee.IntegrityError) as caught:
            await tx.commit()
        assert is_of_driver(caught.value.__cause__, backend)
    assert await objects.count(Child) == 0


@servers_only
async def test_ruling_26_an_error_of_commit_on_a_dead_connection(
    objects: Manager, backend: Backend, sync: Any, names: Names
) -> None:
    with pytest.raises(peewee.PeeweeException) as caught:
        async with objects.atomic():
            await add(objects, "never")
            end_connection(backend, sync, await connection_number(objects, backend))
    assert is_of_driver(caught.value.__cause__, backend)
    assert names() == set()


@servers_only
async def test_ruling_26_a_cancellation_stays_one(
    objects: Manager, backend: Backend, database: AioDatabase
) -> None:
    """In a query, in a block, and in the queue for a connection."""

    async def in_a_block() -> None:
        async with objects.atomic():
            await objects.execute(sleep(backend, 60))

    for work in (lambda: objects.execute(sleep(backend, 60)), in_a_block):
        task = asyncio.ensure_future(work())
        await until(lambda: statistics(database).busy)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await objects.count(User) == 0


async def test_ruling_26_a_cancelled_waiter(make_database: MakeDatabase) -> None:
    database = make_database(pooled=False)
    async with blocks_open(database, 1):
        task = asyncio.create_task(User.select().aio_execute(database))
        await until(lambda: statistics(database).waiting)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await User.select().aio_count(database=database) == 0


async def test_ruling_26_a_limit_of_the_user_is_a_timeout(objects: Manager) -> None:
    async def block() -> None:
        async with objects.atomic():
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await block()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(block(), 0.1)
    assert await objects.count(User) == 0


LIMITS = {
    "postgres": "SET statement_timeout = 100",
    "mysql": "SET max_statement_time = 0.1",
}


@servers_only
async def test_ruling_26_a_limit_of_the_server_is_no_cancellation(
    objects: Manager, backend: Backend, make_database: MakeDatabase
) -> None:
    limited = Manager(make_database(pooled=False))
    if backend.name == "mysql" and "MariaDB" not in backend.description:
        limit = "SET max_execution_time = 100"
        long = User.raw(
            "SELECT COUNT(*) FROM information_schema.columns a, "
            "information_schema.columns b, information_schema.columns c"
        )
    else:
        limit, long = LIMITS[backend.name], sleep(backend, 60)
    await limited.execute(User.raw(limit))
    with pytest.raises(peewee.PeeweeException) as caught:
        await limited.execute(long)
    assert is_of_driver(caught.value.__cause__, backend)
    with pytest.raises(peewee.PeeweeException):
        async with limited.atomic():
            await add(limited, "never")
            await limited.execute(long)
    assert await limited.count(User) == 0


@only("postgres")
async def test_ruling_26_a_query_that_the_server_stops_is_no_cancellation(
    objects: Manager, sync: Any, backend: Backend
) -> None:
    number = await connection_number(objects, backend)
    task = asyncio.create_task(objects.execute(sleep(backend, 60)))
    stop = (
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
        "WHERE pid = %s AND state = 'active' AND query LIKE 'SELECT pg_sleep%%'"
    )
    await until(lambda: sync.execute_sql(stop, (number,)).fetchall())
    with pytest.raises(peewee.OperationalError) as caught:
        await task
    assert is_of_driver(caught.value.__cause__, backend)
    assert await objects.count(User) == 0
