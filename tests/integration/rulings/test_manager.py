"""Rulings 10 to 17: rows of the Manager, one at a time."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest
from peewee import fn

from peewee_async import AioModel, Manager
from tests.integration.backends import SINGLE, Backend
from tests.integration.checks import both_kinds, dirty, only
from tests.integration.conftest import CreateTables, MakeDatabase
from tests.integration.models import (
    Comment,
    Country,
    Line,
    Membership,
    PlainPost,
    PlainUser,
    Post,
    Slot,
    Token,
    User,
)
from tests.integration.rulings.common import add, ages, from_users
from tests.integration.rulings.conftest import Names, Sent, Served

# 10. Names of fields


class Odd(AioModel):
    id: Any
    model: Any = peewee.CharField()
    source: Any = peewee.CharField()
    query: Any = peewee.CharField()


@pytest.fixture
def odd(objects: Manager, tables: CreateTables) -> Iterator[dict[str, Any]]:
    tables(Odd)
    with objects.database.bind_ctx([Odd], False, False):
        yield {"model": "m", "source": "s", "query": "q"}


async def test_ruling_10_fields_named_like_arguments(
    objects: Manager, odd: dict[str, Any]
) -> None:
    made = await objects.create(Odd, **odd)
    assert await objects.get(Odd, **odd) == made
    assert await objects.get_or_none(Odd, **odd) == made
    assert await objects.get_or_create(Odd, **odd) == (made, False)
    assert await Odd.aio_get(**odd) == made
    assert await Odd.aio_get_or_none(**odd) == made
    assert await Odd.aio_get_or_create(**odd) == (made, False)
    assert (await objects.create_or_get(Odd, **odd))[1]
    assert (await Odd.aio_create(**odd)).query == "q"


async def test_ruling_10_first_arguments_have_no_names(objects: Manager) -> None:
    loose: Any = objects
    with pytest.raises(TypeError):
        await loose.get(source=User)
    with pytest.raises(TypeError):
        await loose.create(model=User, name="ada")


# 11. get

SOURCES: dict[str, Callable[[Manager], Any]] = {
    "model": lambda objects: User,
    "alias": lambda objects: User.alias("u"),
    "select": lambda objects: User.select(),
    "compound": lambda objects: User.select() | User.select(),
    "raw": lambda objects: User.raw(from_users(objects)),
}


async def test_ruling_11_what_one_can_get_from(objects: Manager) -> None:
    for source in SOURCES.values():
        with pytest.raises(User.DoesNotExist):
            await objects.get(source(objects))
        assert await objects.get_or_none(source(objects)) is None
    await add(objects, "ada")
    for kind, source in SOURCES.items():
        found = await objects.get(source(objects))
        assert (type(found), found.name) == (User, "ada"), kind


async def test_ruling_11_the_three_forms_of_the_text(filled: Manager) -> None:
    key = (await filled.get(User, name="user1")).id
    found = [
        await filled.get(User, id=key),
        await filled.get(User, User.id == key),
        await filled.get(User.select().where(User.id == key)),
    ]
    assert [user.name for user in found] == ["user1"] * 3


async def test_ruling_11_the_class_itself_is_ignored(filled: Manager) -> None:
    found = [
        await filled.get(User, User, name="user1"),
        await filled.get(User.select(), User, User.name == "user1"),
        await filled.get_or_none(User, User, name="user1"),
        await User.aio_get(User, name="user1"),
        await User.aio_get_or_none(User, name="user1"),
    ]
    assert [user and user.name for user in found] == ["user1"] * 5


async def test_ruling_11_another_class_is_refused_with_a_hint(objects: Manager) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: objects.get(User, Post),
        lambda: objects.get_or_none(User, Post),
        lambda: User.aio_get(Post, name="ada"),
        lambda: User.aio_get_or_none(Post),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"Post\.id == 1"):
            await call()


async def test_ruling_11_keywords_follow_the_rules_of_filter(filled: Manager) -> None:
    assert (await filled.get(User, age__gt=1)).name == "user2"
    assert (await filled.get(User, age__in=[1, 7])).name == "user1"
    assert (await filled.get(Post, author__name="user1", views=1)).title == "1a"
    assert (await filled.get(Post, title__startswith="2", author__age__gte=2)).id
    assert (await Post.aio_get(author__name="user1", views=1)).title == "1a"
    mixed = await filled.get(User.select().where(User.age < 2), User.age > 0, age=1)
    assert mixed.name == "user1"


async def test_ruling_11_the_sql_has_limit_1(filled: Manager, sent: Sent) -> None:
    for kind in ("model", "alias", "select", "compound"):
        sent()
        await filled.get(SOURCES[kind](filled))
        (sql,) = sent()
        assert sql.count("LIMIT") == 1, kind


async def test_ruling_11_a_missing_row_is_the_error_of_its_model(
    filled: Manager,
) -> None:
    for model in (User, Post, Comment):
        with pytest.raises(model.DoesNotExist) as caught:
            await filled.get(model, id=0)
        assert type(caught.value) is model.DoesNotExist


# 12. Models without a database


async def test_ruling_12_a_model_without_a_database(objects: Manager) -> None:
    ada = await objects.create(PlainUser, name="ada")
    assert ada.id == (await objects.get(PlainUser, name="ada")).id
    ada.age = 5
    assert await objects.update(ada) == 1
    key = await objects.execute(PlainUser.insert(name="bob"))
    assert key == (await objects.get(PlainUser, name="bob")).id
    await objects.create(PlainPost, author=ada, title="first")
    (_, user) = await objects.prefetch(
        PlainUser.select().order_by(PlainUser.age), PlainPost
    )
    assert [post.title for post in user.posts] == ["first"]
    assert (await objects.get_or_create(PlainUser, name="ada"))[1] is False
    assert (await objects.create_or_get(PlainUser, name="ada"))[1] is False
    assert await objects.scalar(PlainUser.select(fn.MAX(PlainUser.age))) == 5
    assert await objects.delete(ada, recursive=True) == 1
    assert await objects.count(PlainUser) == 1
    assert PlainUser._meta.database is None
    assert PlainPost._meta.database is None


@only("postgres", "sqlite")
async def test_ruling_12_returning_without_a_database(objects: Manager) -> None:
    query = PlainUser.insert(name="ada").returning(PlainUser.name)
    assert [user.name for user in await objects.execute(query)] == ["ada"]


async def test_ruling_12_a_query_of_the_same_family_runs_on_the_managers(
    objects: Manager, make_database: MakeDatabase
) -> None:
    await add(objects, "ada")
    nowhere = make_database(name="there_is_no_such_place")
    with User.bind_ctx(nowhere, False, False):
        assert (await objects.get(User, name="ada")).name == "ada"
        assert await objects.count(User.select()) == 1
        await objects.create(User, name="bob")
    assert not nowhere.is_connected
    assert await objects.count(User) == 2


async def test_ruling_12_a_query_of_another_family_is_refused(
    objects: Manager, backend: Backend
) -> None:
    family = "mysql" if backend.name == "postgres" else "postgres"
    with (
        User.bind_ctx(SINGLE[family]("elsewhere"), False, False),
        pytest.raises(peewee.InterfaceError, match=r"bound to a \w+ database"),
    ):
        await objects.execute(User.select())


# 13. create


KEYS: dict[str, tuple[type[AioModel], dict[str, Any]]] = {
    "auto": (User, {"name": "ada", "age": 3}),
    "auto, given": (User, {"id": 77, "name": "ada"}),
    "char": (Country, {"code": "nl", "label": "Netherlands"}),
    "uuid": (Token, {"id": uuid.UUID(int=7), "label": "t"}),
    "composite": (Membership, {"user": 1, "club": "chess"}),
    "none": (Line, {"text": "no key"}),
}


def state(instance: Any) -> tuple[Any, ...]:
    """Give what an object holds, but for a key that is a different one each time."""
    data = dict(instance.__data__)
    if type(instance) is User and data["id"] != 77:
        assert isinstance(data.pop("id"), int)
    return type(instance), data, dirty(instance)


async def test_ruling_13_create_is_as_in_sync(
    objects: Manager, tables: CreateTables
) -> None:
    tables(Token, Country, Membership, Line)
    for kind, (table, data) in KEYS.items():
        model: Any = table
        made = await objects.create(model, **data)
        row = await objects.get(model.select().dicts())
        await objects.execute(model.delete())
        with objects.allow_sync():
            wanted = model.create(**data)
            wanted_row = model.select().dicts().get()
            model.delete().execute()
        assert state(made) == state(wanted), kind
        assert row | {"id": 0} == wanted_row | {"id": 0}, kind


async def test_ruling_13_a_default_makes_the_key(
    objects: Manager, tables: CreateTables
) -> None:
    tables(Token)
    one, two = await objects.create(Token), await objects.create(Token)
    assert one.id != two.id
    assert await objects.get(Token, id=two.id) == two


@only("postgres")
@pytest.mark.usefixtures("served")
async def test_ruling_13_a_key_made_by_the_server(objects: Manager) -> None:
    made: Any = await objects.create(Served, label="a")
    assert uuid.UUID(made.id).version == 4
    assert (await objects.get(Served, id=made.id)).label == "a"


@pytest.mark.usefixtures("served")
async def test_ruling_13_a_key_made_by_the_server_is_as_in_sync(
    objects: Manager,
) -> None:
    made: Any = await objects.create(Served, label="a")
    with objects.allow_sync():
        wanted: Any = Served.create(label="a")
    assert type(made.id) is type(wanted.id)
    assert dirty(made) == dirty(wanted)
    assert await objects.count(Served) == 2


# 14. update


async def test_ruling_14_all_columns_but_the_key(filled: Manager, sent: Sent) -> None:
    ada = await filled.get(User, name="user1")
    ada.name, ada.age, ada.email = "ada", 36, None
    sent()
    assert await filled.update(ada) == 1
    (sql,) = sent()
    assert "name" in sql
    assert "age" in sql
    assert "email" in sql
    row = await filled.get(User.select().where(User.id == ada.id).dicts())
    assert row == {"id": ada.id, "name": "ada", "age": 36, "email": None}


async def test_ruling_14_dirty_columns_only(
    objects: Manager, tables: CreateTables
) -> None:
    tables(Country)
    country = await objects.create(Country, code="nl", label="Holland")
    await objects.execute(Country.update(label="changed elsewhere"))
    assert await objects.update(country) == 0
    assert (await objects.get(Country)).label == "changed elsewhere"
    country.label = "Netherlands"
    assert await objects.update(country) == 1
    assert (await objects.get(Country)).label == "Netherlands"


ONLY: dict[str, Callable[[], Any]] = {
    "a list of names": lambda: ["views"],
    "a column": lambda: ["view_count"],
    "a field": lambda: (Post.views,),
    "a set": lambda: {"views"},
    "an iterator": lambda: iter(["views"]),
    "keys": lambda: {"views": 0}.keys(),
    "twice": lambda: [Post.views, "views", "view_count"],
}


async def test_ruling_14_only_takes_names(filled: Manager) -> None:
    post = await filled.get(Post, title="1a")
    for views, (kind, wanted) in enumerate(ONLY.items(), start=70):
        post.views, post.title = views, "not written"
        assert await filled.update(post, only=wanted()) == 1, kind
        found = await filled.get(Post, id=post.id)
        assert (found.views, found.title) == (views, "1a"), kind


async def test_ruling_14_only_takes_foreign_keys(filled: Manager) -> None:
    post = await filled.get(Post, title="1a")
    (first, *_, last) = await filled.execute(User.select().order_by(User.id))
    for only_one, user in (("author", first), ("author_id", last)):
        post.author = user
        assert await filled.update(post, only=[only_one]) == 1
        assert (await filled.get(Post, id=post.id)).author_id == user.id


async def test_ruling_14_an_unknown_name_is_named(filled: Manager, sent: Sent) -> None:
    user = await filled.get(User, name="user1")
    sent()
    with pytest.raises(ValueError, match="'nose'"):
        await filled.update(user, only=["age", "nose"])
    with pytest.raises(ValueError, match="title"):
        await filled.update(user, only=[Post.title])
    assert sent() == []


async def test_ruling_14_nothing_to_write_sends_nothing(
    filled: Manager, sent: Sent, tables: CreateTables
) -> None:
    tables(Membership)
    user = await filled.get(User, name="user1")
    member = await filled.create(Membership, user=1, club="chess")
    sent()
    assert await filled.update(user, only=[]) == 0
    assert await filled.update(user, only=["id"]) == 0
    assert await filled.update(member, only=["user", "club"]) == 0
    assert sent() == []


async def test_ruling_14_a_missing_key_points_to_create(objects: Manager) -> None:
    with pytest.raises(ValueError, match="create"):
        await objects.update(User(name="ada"))
    with pytest.raises(ValueError, match="create"):
        await objects.update(User(name="ada"), only=["name"])
    assert await objects.count(User) == 0


async def test_ruling_14_the_number_of_rows(filled: Manager) -> None:
    user = await filled.get(User, name="user1")
    user.age = 70
    assert await filled.update(user) == 1
    await filled.delete(user, recursive=True)
    assert await filled.update(user) == 0


# 15. delete


async def test_ruling_15_delete_returns_its_own_rows(filled: Manager) -> None:
    comment = await filled.get(Comment)
    assert await filled.delete(comment) == 1
    assert await filled.delete(comment) == 0
    assert await filled.count(Comment) == 2


async def test_ruling_15_nullable_keys_are_set_to_null(filled: Manager) -> None:
    user = await filled.get(User, name="user1")
    assert await filled.delete(user, recursive=True) == 1
    left = Post.select(Post.title, Post.reviewer).order_by(Post.title).tuples()
    rows = dict(await filled.execute(left))
    # 0b was reviewed by user1, and 2b by user0.
    assert set(rows) == {"0a", "0b", "2a", "2b"}
    assert rows["0b"] is None
    assert rows["2b"] is not None
    assert await filled.count(Comment) == 2


async def test_ruling_15_delete_nullable_deletes_them(filled: Manager) -> None:
    await filled.execute(Comment.delete())
    user = await filled.get(User, name="user1")
    assert await filled.delete(user, recursive=True, delete_nullable=True) == 1
    titles = Post.select(Post.title).order_by(Post.title).tuples()
    assert await filled.execute(titles) == [("0a",), ("2a",), ("2b",)]


async def test_ruling_15_delete_is_one_atomic_block(
    filled: Manager, sent: Sent
) -> None:
    user = await filled.get(User, name="user1")
    sent()
    with pytest.raises(peewee.IntegrityError):  # comments on posts it reviewed
        await filled.delete(user, recursive=True, delete_nullable=True)
    assert [sql.split()[0] for sql in sent()][-1] == "ROLLBACK"
    assert await filled.count(Post) == 6
    assert await filled.count(Comment) == 3
    async with filled.atomic():
        with pytest.raises(peewee.IntegrityError):
            await filled.delete(user, recursive=True, delete_nullable=True)
        await add(filled, "ada")
    assert await filled.count(Post) == 6
    assert await filled.count(User) == 4


# 16. get_or_create

FIFTY = 50


async def test_ruling_16_defaults_are_not_changed(objects: Manager) -> None:
    defaults = {"age": 36}
    for created in (True, False):
        ada, was_created = await objects.get_or_create(User, defaults, name="ada")
        assert (ada.age, was_created) == (36, created)
    assert (await User.aio_get_or_create(name="bob", defaults=defaults))[1]
    assert defaults == {"age": 36}


def one_of_fifty(results: list[tuple[User, bool]]) -> User:
    assert len(results) == FIFTY
    assert sum(created for _, created in results) == 1
    assert len({user.id for user, _ in results}) == 1
    return results[0][0]


@both_kinds
async def test_ruling_16_fifty_concurrent_calls(objects: Manager) -> None:
    ada = one_of_fifty(
        await asyncio.gather(
            *(
                objects.get_or_create(User, {"age": age}, name="ada")
                for age in range(FIFTY)
            )
        )
    )
    assert await ages(objects) == [ada.age]


async def test_ruling_16_fifty_concurrent_calls_of_the_model(objects: Manager) -> None:
    one_of_fifty(
        await asyncio.gather(
            *(User.aio_get_or_create(name="ada") for _ in range(FIFTY))
        )
    )
    assert await objects.count(User) == 1


async def test_ruling_16_fifty_calls_inside_a_transaction(
    objects: Manager, names: Names
) -> None:
    async with objects.atomic():
        one_of_fifty(
            await asyncio.gather(
                *(objects.get_or_create(User, name="ada") for _ in range(FIFTY))
            )
        )
        assert names() == set()
    assert names() == {"ada"}


async def test_ruling_16_a_collision_leaves_the_transaction_usable(
    objects: Manager, names: Names
) -> None:
    async with objects.atomic():
        await add(objects, "ada")
        with pytest.raises(peewee.IntegrityError):
            await objects.get_or_create(User, name="ada", age=99)
        await add(objects, "bob")
    assert names() == {"ada", "bob"}


# 17. create_or_get


@pytest.fixture
async def slot(objects: Manager, tables: CreateTables) -> Slot:
    """A row with a unique name, and a room and an hour that are unique together."""
    tables(Slot)
    return await objects.create(Slot, id=7, name="a", room=1, hour=1)


TAKEN: dict[str, dict[str, Any]] = {
    "primary key": {"id": 7, "room": 2, "hour": 2},
    "unique field": {"name": "a", "room": 2, "hour": 2},
    "unique index": {"room": 1, "hour": 1},
    "all": {"id": 7, "name": "a", "room": 1, "hour": 1},
}


async def test_ruling_17_where_the_existing_row_is_looked_for(
    objects: Manager, slot: Slot
) -> None:
    for kind, taken in TAKEN.items():
        found, created = await objects.create_or_get(Slot, **taken)
        assert (found.id, found.name, created) == (7, "a", False), kind
    assert await objects.count(Slot) == 1


async def test_ruling_17_inside_a_transaction_it_is_a_savepoint(
    objects: Manager, slot: Slot
) -> None:
    async with objects.atomic():
        for kind, taken in TAKEN.items():
            found, created = await objects.create_or_get(Slot, **taken)
            assert (found.id, found.name, created) == (7, "a", False), kind
        await objects.create(Slot, room=9, hour=9)
    assert await objects.count(Slot) == 2


async def test_ruling_17_a_new_row(objects: Manager, slot: Slot) -> None:
    for hour in (2, 3):  # half of a unique index is no reason to find anything
        made, created = await objects.create_or_get(Slot, room=1, hour=hour)
        assert created
        assert (await objects.get(Slot, id=made.id)).hour == hour


async def test_ruling_17_several_candidates(objects: Manager, slot: Slot) -> None:
    await objects.create(Slot, name="b", room=2, hour=2)
    with pytest.raises(peewee.IntegrityError):
        await objects.create_or_get(Slot, name="b", room=1, hour=1)
    assert await objects.count(Slot) == 2


async def test_ruling_17_no_candidate(objects: Manager, slot: Slot, sync: Any) -> None:
    """What is unique in the table, and the model does not know it."""
    sync.execute_sql("CREATE UNIQUE INDEX one_of_each ON slot (seats)")
    with pytest.raises(peewee.IntegrityError):
        await objects.create_or_get(Slot, name="b", room=2, hour=2)
    assert await objects.count(Slot) == 1


async def test_ruling_17_not_about_uniqueness(objects: Manager, slot: Slot) -> None:
    with pytest.raises((peewee.IntegrityError, peewee.OperationalError)):
        await objects.create_or_get(Slot, name="a", room=1, hour=1, seats=0)
    with pytest.raises(peewee.IntegrityError):
        await objects.create_or_get(Post, author=404, title="nobody's")


async def test_ruling_17_one_of_many_callers_creates(objects: Manager) -> None:
    one_of_fifty(
        await asyncio.gather(
            *(objects.create_or_get(User, name="ada") for _ in range(FIFTY))
        )
    )
    assert await objects.count(User) == 1
