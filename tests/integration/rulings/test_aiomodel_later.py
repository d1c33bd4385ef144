"""Ruling 25: the rest of the set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import peewee
import pytest

from peewee_async import Manager, SyncNotAllowed
from tests.integration.backends import Backend
from tests.integration.checks import seen, statistics
from tests.integration.conftest import CreateTables
from tests.integration.models import Country, Line, Membership, Slot, people
from tests.integration.models import Post as _Post
from tests.integration.models import User as _User
from tests.integration.rulings.common import Oops
from tests.integration.rulings.conftest import Names, Sent

# Their methods are not all known to the type checker.
User: Any = _User
Post: Any = _Post

pytestmark = pytest.mark.usefixtures("objects")


@pytest.fixture
async def users(objects: Manager) -> list[Any]:
    """Three users, aged 0 to 2, each with a post."""
    await User.insert_many(people(3)).aio_execute()
    found: list[Any] = await User.select().order_by(User.id).aio_execute()
    for user in found:
        await Post.aio_create(author=user, title=f"by {user.age}")
    return found


# By key


async def test_ruling_25_aio_get_by_id(users: list[Any], tables: CreateTables) -> None:
    assert await User.aio_get_by_id(users[1].id) == users[1]
    with pytest.raises(User.DoesNotExist):
        await User.aio_get_by_id(0)
    tables(Country, Membership)
    country: Any = Country
    await Country.aio_create(code="nl")
    assert (await country.aio_get_by_id("nl")).code == "nl"
    membership: Any = Membership
    await Membership.aio_create(user=1, club="chess")
    assert (await membership.aio_get_by_id((1, "chess"))).club == "chess"


async def test_ruling_25_aio_set_by_id(users: list[Any]) -> None:
    assert await User.aio_set_by_id(users[1].id, {"age": 70, User.email: "x"}) == 1
    found = await User.aio_get(User.id == users[1].id)
    assert (found.name, found.age, found.email) == ("user1", 70, "x")
    assert await User.aio_set_by_id(0, {"age": 1}) == 0


async def test_ruling_25_aio_delete_by_id(users: list[Any], names: Names) -> None:
    await Post.delete().aio_execute()
    assert await User.aio_delete_by_id(users[1].id) == 1
    assert await User.aio_delete_by_id(users[1].id) == 0
    assert names() == {"user0", "user2"}


# In bulk


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


async def test_ruling_25_aio_bulk_update(users: list[Any]) -> None:
    for user in users:
        user.age, user.email = user.age + 50, "not written"
    assert await User.aio_bulk_update(users, [User.age], batch_size=2) == 3
    rows = User.select(User.age, User.email).order_by(User.age).tuples()
    found = await rows.aio_execute()
    assert [age for age, _ in found] == [50, 51, 52]
    assert "not written" not in {email for _, email in found}
    assert await User.aio_bulk_update(users, fields=["age", "email"]) == 3
    assert await User.select().where(User.email == "not written").aio_count() == 3


# Foreign keys


async def test_ruling_25_aio_fetch(users: list[Any], sent: Sent) -> None:
    post = await Post.aio_get(title="by 1")
    with pytest.raises(SyncNotAllowed):
        _ = post.author
    sent()
    assert await post.aio_fetch(Post.author) == users[1]
    assert post.author.name == "user1"
    assert len(sent()) == 1


async def test_ruling_25_aio_fetch_of_nothing(users: list[Any]) -> None:
    post = await Post.aio_get(title="by 1")
    assert await post.aio_fetch(Post.reviewer) is None
    assert post.reviewer is None


# Tables


@pytest.fixture
def table(backend: Backend, sync: Any) -> Any:
    """A model whose table a test makes."""
    yield Line
    if backend.server is not None:
        sync.execute_sql("DROP TABLE IF EXISTS line, slot")


async def test_ruling_25_tables_of_a_model(table: Any, sync: Any) -> None:
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


async def test_ruling_25_safe_is_the_first_positional(table: Any) -> None:
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
    slot: Any = Slot
    await slot.aio_create_table()
    unique = [index.columns for index in sync.get_indexes("slot") if index.unique]
    assert ["name"] in unique
    assert ["room", "hour"] in unique
    await Slot.aio_create(name="a", room=1, hour=1)
    with pytest.raises(peewee.IntegrityError):
        await Slot.aio_create(name="b", room=1, hour=1)


# Queries of each kind


def raw_users() -> Any:
    opening, closing = User._meta.database.quote
    return User.raw(f"SELECT * FROM {opening}user{closing} ORDER BY age")


OF_USERS: dict[str, Callable[[], Any]] = {
    "select": lambda: User.select().order_by(User.age),
    "alias": lambda: User.alias("u").select().order_by(peewee.SQL("age")),
    "compound": lambda: (User.select() | User.select().where(User.age > 1)).order_by(
        peewee.SQL("age")
    ),
    "raw": raw_users,
}


NO_USERS: dict[str, Callable[[], Any]] = {"noop": lambda: User.noop()}


async def test_ruling_25_streams_of_each_kind_of_query(users: list[Any]) -> None:
    for kind, query in OF_USERS.items():
        assert [user async for user in query()] == users, kind
        assert [user async for user in query().aio_iterator()] == users, kind


async def test_ruling_25_streams_of_no_rows() -> None:
    for kind, query in (OF_USERS | NO_USERS).items():
        assert [user async for user in query()] == [], kind
        assert [user async for user in query().aio_iterator()] == [], kind


async def test_ruling_25_rows_of_each_kind_of_query(users: list[Any]) -> None:
    for kind, query in OF_USERS.items():
        assert await query().aio_get_or_none() == users[0], kind
        assert await query().aio_peek() == users[0], kind
        assert await query().aio_peek(2) == users[:2], kind
        assert await query().aio_scalars() == [user.id for user in users], kind


async def test_ruling_25_no_rows_of_each_kind_of_query() -> None:
    for kind, query in (OF_USERS | NO_USERS).items():
        assert await query().aio_get_or_none() is None, kind
        assert await query().aio_peek() is None, kind
        assert await query().aio_scalars() == [], kind


async def test_ruling_25_streamed_rows_are_those_of_execute(users: list[Any]) -> None:
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


async def test_ruling_25_several_streams_at_once(users: list[Any]) -> None:
    async def count() -> int:
        return len([user async for user in User.select()])

    assert await asyncio.gather(*(count() for _ in range(10))) == [3] * 10
