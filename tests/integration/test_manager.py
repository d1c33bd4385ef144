"""Every method of Manager, on each backend."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import peewee
import pytest
from peewee import fn
from playhouse.db_url import connect

from peewee_async import AioDatabase, Manager
from tests.integration.backends import POOLED, SINGLE, Backend
from tests.integration.checks import both_kinds, dirty, only, seen
from tests.integration.conftest import CreateTables, MakeDatabase
from tests.integration.models import (
    Category,
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
    people,
)


async def fill(objects: Manager, users: int = 3, posts: int = 2) -> list[User]:
    """Make users, and for each some posts with a comment."""
    await objects.execute(User.insert_many(people(users)))
    made = list(await objects.execute(User.select().order_by(User.id)))
    for user in made:
        for number in range(posts):
            post = await objects.create(
                Post,
                author=user,
                reviewer=made[number % users] if number else None,
                title=f"{user.name}/{number}",
            )
            await objects.create(Comment, post=post, text=f"on {post.title}")
    return made


# Connecting


@both_kinds
async def test_connect_and_close_as_often_as_one_likes(objects: Manager) -> None:
    assert not objects.is_connected
    await objects.connect()
    await objects.connect()
    assert objects.is_connected
    await objects.close()
    await objects.close()
    assert not objects.is_connected
    await objects.create(User, name="ada")
    assert objects.is_connected


async def test_a_manager_class_with_a_database(objects: Manager) -> None:
    class Mine(Manager):
        database = objects.database

    await Mine().create(User, name="ada")
    assert (await objects.get(User)).name == "ada"


@pytest.mark.parametrize("kind", [peewee.Proxy, peewee.DatabaseProxy])
async def test_a_proxy(
    objects: Manager, kind: type[peewee.Proxy], database: AioDatabase
) -> None:
    proxy = kind()
    through = Manager(proxy)
    with pytest.raises(peewee.InterfaceError, match="initialize"):
        await through.get(User)
    proxy.initialize(database)
    await through.create(User, name="ada")
    assert await objects.count(User.select()) == 1


async def test_a_deferred_database(
    backend: Backend, objects: Manager, database: AioDatabase
) -> None:
    later = Manager(POOLED[backend.name](None))
    with pytest.raises(peewee.InterfaceError, match="init"):
        await later.get(User)
    later.database.init(database.database, **database.connect_params)
    await objects.create(User, name="ada")
    assert (await later.get(User)).name == "ada"
    await later.close()


async def test_the_loop_of_a_manager(database: AioDatabase, objects: Manager) -> None:
    await Manager(database, loop=asyncio.get_running_loop()).create(User, name="ada")
    other = asyncio.new_event_loop()
    with pytest.raises(RuntimeError, match="another event loop"):
        await Manager(database, loop=other).get(User)
    other.close()


@pytest.mark.parametrize("pooled", [True, False])
async def test_a_url(backend: Backend, objects: Manager, pooled: bool) -> None:
    scheme = {"postgres": "postgresql"}.get(backend.name, backend.name)
    scheme += "+pool+async" if pooled else "+async"
    if backend.server is None:
        url = f"{scheme}:///{objects.database.database}"
    else:
        server = backend.server
        url = (
            f"{scheme}://{server.user}:{server.password}"
            f"@{server.host}:{server.port}/{backend.database}"
        )
    database = connect(url)
    assert type(database) is (POOLED if pooled else SINGLE)[backend.name]
    await objects.create(User, name="ada")
    through = Manager(database)
    assert (await through.get(User)).name == "ada"
    await through.close()


# get


async def test_get_has_three_forms(objects: Manager) -> None:
    ada = await objects.create(User, name="ada", age=36)
    await objects.create(User, name="bob", age=40)
    found = [
        await objects.get(User, id=ada.id),
        await objects.get(User, User.id == ada.id),
        await objects.get(User.select().where(User.id == ada.id)),
        await objects.get(User, User, name="ada"),
        await objects.get(User, User.name == "ada", age=36),
        await objects.get(User, age__lt=40),
        await objects.get(User.alias("u"), name="ada"),
        await objects.get(
            User.select().where(User.id == ada.id) | User.select().where(User.age == 36)
        ),
        await objects.get(User.raw(f"SELECT * FROM {quoted(objects)}")),
    ]
    assert [user.id for user in found] == [ada.id] * len(found)
    assert all(type(user) is User for user in found)


def quoted(objects: Manager, name: str = "user") -> str:
    opening, closing = objects.database.quote
    return f"{opening}{name}{closing}"


async def test_get_through_a_foreign_key(objects: Manager) -> None:
    await fill(objects)
    post = await objects.get(Post, author__name="user1", title__endswith="/1")
    assert post.title == "user1/1"
    joined = await objects.get(Post.select(Post, User).join(User, on=Post.author))
    assert joined.author.name == "user0"


async def test_get_without_a_row(objects: Manager) -> None:
    with pytest.raises(User.DoesNotExist, match="SQL"):
        await objects.get(User, name="nobody")
    assert await objects.get_or_none(User, name="nobody") is None
    await objects.create(User, name="ada")
    ada = await objects.get_or_none(User, name="ada")
    assert ada is not None
    assert ada.name == "ada"


async def test_get_with_another_model_is_refused(objects: Manager) -> None:
    with pytest.raises(TypeError, match=r"Post\.id == 1"):
        await objects.get(User, Post)


async def test_get_gives_the_first_row_only(objects: Manager) -> None:
    await objects.execute(User.insert_many(people(20)))
    query = User.select().order_by(User.age.desc())
    before = query.sql()
    assert (await objects.get(query)).age == 19
    assert query.sql() == before


# create


async def test_create_with_keys_of_all_kinds(
    objects: Manager, tables: CreateTables
) -> None:
    tables(Token, Country, Membership, Line)
    user = await objects.create(User, name="ada")
    assert isinstance(user.id, int)
    token = await objects.create(Token, label="t")
    assert isinstance(token.id, uuid.UUID)
    assert (await objects.get(Token, id=token.id)).label == "t"
    country = await objects.create(Country, code="nl", label="Netherlands")
    assert country.code == "nl"
    member: Any = await objects.create(Membership, user=1, club="chess")
    assert member.get_id() == (1, "chess")
    await objects.create(Line, text="no key")
    assert (await objects.get(Line)).text == "no key"


async def test_create_gives_what_sync_create_gives(
    objects: Manager, tables: CreateTables
) -> None:
    tables(Token, Country)
    values: Any = (
        (User, {"name": "a", "age": 1}),
        (Token, {}),
        (Country, {"code": "nl"}),
    )
    for model, data in values:
        made = await objects.create(model, **data)
        await objects.delete(made)
        with objects.allow_sync():
            wanted = model.create(**data)
        assert dirty(made) == dirty(wanted)
        assert set(made.__data__) == set(wanted.__data__)


async def test_create_twice_what_is_unique(objects: Manager) -> None:
    await objects.create(User, name="ada")
    with pytest.raises(peewee.IntegrityError) as caught:
        await objects.create(User, name="ada")
    assert caught.value.__cause__ is not None
    assert await objects.count(User.select()) == 1


async def test_names_of_fields_that_are_names_of_arguments(
    objects: Manager, tables: CreateTables, database: AioDatabase
) -> None:
    class Odd(peewee.Model):
        id: Any
        model: Any = peewee.CharField()
        query: Any = peewee.CharField()
        source: Any = peewee.CharField()

    tables(Odd)
    values: dict[str, Any] = {"model": "m", "query": "q", "source": "s"}
    made = await objects.create(Odd, **values)
    assert (await objects.get(Odd, **values)).id == made.id
    assert await objects.get_or_create(Odd, **values) == (made, False)


# update


async def test_update_writes_all_columns(objects: Manager) -> None:
    ada = await objects.create(User, name="ada", age=1)
    ada.age, ada.email = 2, "ada@example.com"
    assert await objects.update(ada) == 1
    found = await objects.get(User, id=ada.id)
    assert (found.age, found.email) == (2, "ada@example.com")
    assert not ada.dirty_fields


@pytest.mark.parametrize(
    "only",
    [["age"], (User.age,), {"age": 1}, {User.age, "age"}],
    ids=["list", "fields", "dict", "set"],
)
async def test_update_only_some(objects: Manager, only: Any) -> None:
    ada = await objects.create(User, name="ada", age=1)
    ada.age, ada.name = 2, "eve"
    assert await objects.update(ada, only=only) == 1
    found = await objects.get(User, id=ada.id)
    assert (found.name, found.age) == ("ada", 2)


async def test_update_by_the_name_of_a_column(objects: Manager) -> None:
    (user,) = await fill(objects, users=1, posts=1)
    post = await objects.get(Post, author=user)
    post.views, post.title = 7, "other"
    assert await objects.update(post, only=["view_count"]) == 1
    found = await objects.get(Post, id=post.id)
    assert (found.views, found.title) == (7, "user0/0")
    bob = await objects.create(User, name="bob")
    post.author_id = bob.id
    assert await objects.update(post, only=["author_id"]) == 1


async def test_update_of_nothing(objects: Manager) -> None:
    ada = await objects.create(User, name="ada")
    assert await objects.update(ada, only=[]) == 0
    assert await objects.update(ada, only=["id"]) == 0
    with pytest.raises(ValueError, match="'nose'"):
        await objects.update(ada, only=["nose"])
    with pytest.raises(ValueError, match="create"):
        await objects.update(User(name="new"))


async def test_update_of_what_is_gone(objects: Manager) -> None:
    ada = await objects.create(User, name="ada")
    await objects.delete(ada)
    ada.age = 5
    assert await objects.update(ada) == 0


async def test_update_of_dirty_columns_only(
    objects: Manager, tables: CreateTables
) -> None:
    tables(Country)
    country = await objects.create(Country, code="nl", label="Holland")
    assert await objects.update(country) == 0
    country.label = "Netherlands"
    assert await objects.update(country) == 1
    assert (await objects.get(Country)).label == "Netherlands"


# delete


async def test_delete(objects: Manager) -> None:
    ada = await objects.create(User, name="ada")
    await objects.create(User, name="bob")
    assert await objects.delete(ada) == 1
    assert await objects.delete(ada) == 0
    assert [user.name for user in await objects.execute(User.select())] == ["bob"]


async def test_delete_what_is_referred_to(objects: Manager) -> None:
    user, *_ = await fill(objects)
    with pytest.raises(peewee.IntegrityError):
        await objects.delete(user)
    assert await objects.count(User) == 3


async def test_delete_recursively(objects: Manager) -> None:
    one, two = await fill(objects, users=2)
    reviewed = Post.select().where(Post.reviewer == two)
    assert await objects.count(reviewed) == 2
    assert await objects.delete(two, recursive=True) == 1
    left = await objects.execute(Post.select().order_by(Post.id))
    assert [(post.author_id, post.reviewer_id) for post in left] == [
        (one.id, None),
        (one.id, None),
    ]
    assert await objects.count(Comment) == 2


async def test_delete_recursively_what_may_be_null(
    objects: Manager, tables: CreateTables
) -> None:
    tables(Category)
    one = await objects.create(User, name="one")
    two = await objects.create(User, name="two")
    await objects.create(Post, author=one, reviewer=two, title="reviewed")
    kept = await objects.create(Post, author=one, title="not reviewed")
    assert await objects.delete(two, recursive=True, delete_nullable=True) == 1
    assert [post.id for post in await objects.execute(Post.select())] == [kept.id]
    root = await objects.create(Category, name="root")
    await objects.create(Category, name="leaf", parent=root)
    assert await objects.delete(root, recursive=True, delete_nullable=True) == 1
    assert await objects.count(Category) == 0


async def test_delete_recursively_is_all_or_nothing(objects: Manager) -> None:
    one, two = await fill(objects, users=2)
    # The rows that refer to a post that refers to a user by the second of two keys
    # are more than peewee follows, so this fails half way.
    with pytest.raises(peewee.IntegrityError):
        await objects.delete(two, recursive=True, delete_nullable=True)
    assert await objects.count(Comment) == 4
    assert await objects.count(Post) == 4
    assert await objects.delete(one, recursive=True) == 1


# get_or_create, create_or_get


@pytest.mark.parametrize("inside", [False, True])
async def test_get_or_create(objects: Manager, inside: bool) -> None:
    async def check() -> None:
        defaults = {"age": 36}
        ada, created = await objects.get_or_create(User, defaults, name="ada")
        assert (ada.name, ada.age, created) == ("ada", 36, True)
        assert defaults == {"age": 36}
        again, created = await objects.get_or_create(
            User, defaults={"age": 1}, name="ada"
        )
        assert (again.id, again.age, created) == (ada.id, 36, False)

    if inside:
        async with objects.atomic():
            await check()
    else:
        await check()
    assert await objects.count(User) == 1


async def test_get_or_create_that_cannot(objects: Manager) -> None:
    await objects.create(User, name="ada", age=1)
    with pytest.raises(peewee.IntegrityError):
        await objects.get_or_create(User, name="ada", age=2)


@pytest.mark.parametrize("inside", [False, True])
async def test_create_or_get(
    objects: Manager, tables: CreateTables, inside: bool
) -> None:
    tables(Slot, Membership, Country)

    async def check() -> None:
        slot, created = await objects.create_or_get(Slot, name="a", room=1, hour=1)
        assert created
        for same in ({"name": "a", "room": 2, "hour": 2}, {"room": 1, "hour": 1}):
            found, created = await objects.create_or_get(Slot, **same)
            assert (found.id, found.name, created) == (slot.id, "a", False)
        await objects.create(Slot, name="b", room=3, hour=3)
        with pytest.raises(peewee.IntegrityError):  # two candidates
            await objects.create_or_get(Slot, name="b", room=1, hour=1)
        member = {"user": 1, "club": "chess"}
        assert (await objects.create_or_get(Membership, **member))[1]
        assert not (await objects.create_or_get(Membership, since=3, **member))[1]
        assert (await objects.create_or_get(Country, code="nl"))[1]
        assert not (await objects.create_or_get(Country, code="nl"))[1]

    if inside:
        async with objects.atomic():
            await check()
    else:
        await check()
    assert await objects.count(Slot) == 2


async def test_create_or_get_with_another_error(
    objects: Manager, tables: CreateTables
) -> None:
    tables(Slot)
    await objects.create(Slot, name="a", room=1, hour=1)
    wrong = (peewee.IntegrityError, peewee.OperationalError)  # MySQL's word for CHECK
    with pytest.raises(wrong):
        await objects.create_or_get(Slot, name="a", room=1, hour=1, seats=0)
    with pytest.raises(peewee.IntegrityError):
        await objects.create_or_get(Post, author=404, title="nobody's")


# execute


async def test_execute_each_type_of_query(objects: Manager) -> None:
    first = await objects.execute(User.insert(name="ada", age=36))
    assert first == (await objects.get(User)).id
    assert await objects.execute(User.insert_many(people(3)).as_rowcount()) == 3
    assert await objects.execute(User.update(age=User.age + 1)) == 4
    assert await objects.execute(User.delete().where(User.name == "ada")) == 1
    query = User.select().order_by(User.id)
    users = await objects.execute(query)
    assert [user.age for user in users] == [1, 2, 3]
    assert (len(users), users[0].name) == (3, "user0")
    assert list(users) == list(users)
    tuples = await objects.execute(query.select(User.name, User.age).tuples())
    assert tuples == [("user0", 1), ("user1", 2), ("user2", 3)]
    dicts = await objects.execute(query.select(User.age).dicts())
    assert dicts == [{"age": 1}, {"age": 2}, {"age": 3}]
    named = await objects.execute(query.select(User.age).namedtuples())
    assert [row.age for row in named] == [1, 2, 3]
    raw = User.raw(
        f"SELECT name FROM {quoted(objects)} WHERE age > {param(objects)}", 1
    )
    assert sorted([user.name for user in await objects.execute(raw)]) == [
        "user1",
        "user2",
    ]
    both = User.select(User.age).where(User.age < 2) | User.select(User.age)
    assert len(await objects.execute(both)) == 3
    assert await objects.execute(User.noop()) == []


def param(objects: Manager) -> str:
    return str(objects.database.param)


async def test_execute_an_insert_from_a_query(
    objects: Manager, tables: CreateTables
) -> None:
    tables(Line)
    await objects.execute(User.insert_many(people(3)))
    await objects.execute(Line.insert_from(User.select(User.name), [Line.text]))
    assert await objects.count(Line) == 3


async def test_execute_inserts_in_chunks(objects: Manager) -> None:
    for batch in peewee.chunked(people(250), 100):
        await objects.execute(User.insert_many(batch))
    assert await objects.count(User) == 250


@only("postgres", "sqlite")
async def test_execute_with_returning(objects: Manager) -> None:
    inserted = User.insert_many(people(2)).returning(User.name, User.age).tuples()
    assert await objects.execute(inserted) == [("user0", 0), ("user1", 1)]
    updated = User.update(age=9).where(User.age == 1).returning(User)
    (user,) = await objects.execute(updated)
    assert (type(user), user.name, user.age) == (User, "user1", 9)
    deleted = User.delete().returning(User.name).dicts()
    assert sorted(row["name"] for row in await objects.execute(deleted)) == [
        "user0",
        "user1",
    ]


async def test_execute_an_upsert(objects: Manager) -> None:
    await objects.execute(User.insert_many(people(2)))
    again = [{"name": "user1", "age": 50}, {"name": "new", "age": 51}]
    insert = User.insert_many(again)
    if isinstance(objects.database, peewee.MySQLDatabase):
        query = insert.on_conflict(preserve=[User.age])
    else:
        query = insert.on_conflict(conflict_target=[User.name], preserve=[User.age])
    await objects.execute(query)
    ages = User.select(User.name, User.age).order_by(User.name).tuples()
    assert await objects.execute(ages) == [("new", 51), ("user0", 0), ("user1", 50)]


async def test_execute_an_insert_that_is_ignored(objects: Manager) -> None:
    await objects.create(User, name="ada", age=1)
    await objects.execute(User.insert(name="ada", age=2).on_conflict_ignore())
    assert [user.age for user in await objects.execute(User.select())] == [1]


async def test_execute_a_query_of_tables_without_models(objects: Manager) -> None:
    await objects.execute(User.insert_many(people(2)))
    table: Any = peewee.Table("user", ("id", "name", "age"))
    rows = await objects.execute(table.select(table.name).order_by(table.name))
    assert [dict(row) for row in rows] == [{"name": "user0"}, {"name": "user1"}]


async def test_no_call_changes_a_query(objects: Manager) -> None:
    await fill(objects)
    query: Any = User.select().order_by(User.name).limit(2).offset(1)
    before = query.sql()
    await objects.execute(query)
    await objects.get(query)
    await objects.count(query)
    await objects.count(query, clear_limit=True)
    await objects.scalar(query)
    await objects.prefetch(query, Post)
    assert query.sql() == before
    assert query._cursor_wrapper is None


# prefetch


@pytest.mark.parametrize(
    "kind", [peewee.PREFETCH_TYPE.WHERE, peewee.PREFETCH_TYPE.JOIN]
)
async def test_prefetch(objects: Manager, kind: int) -> None:
    await fill(objects)
    users = User.select().order_by(User.id)
    posts = Post.select().order_by(Post.id)
    got = await objects.prefetch(users, (posts, User), Comment, prefetch_type=kind)
    with objects.allow_sync():
        wanted = list(
            peewee.prefetch(users, (posts, User), Comment, prefetch_type=kind)
        )
    assert seen(got) == seen(wanted)
    texts = [comment.text for comment in got[1].posts[1].comments]
    assert texts == ["on user1/1"]


async def test_prefetch_by_either_of_two_keys_to_one_model(objects: Manager) -> None:
    await fill(objects)
    users = User.select().order_by(User.id)
    got = await objects.prefetch(users, Post)
    with objects.allow_sync():
        wanted = list(
            peewee.prefetch(users, Post, prefetch_type=peewee.PREFETCH_TYPE.JOIN)
        )
    assert seen(got) == seen(wanted)
    assert [len(user.posts) for user in got] == [2, 2, 2]


async def test_prefetch_upwards_and_of_itself(
    objects: Manager, tables: CreateTables
) -> None:
    tables(Category)
    root = await objects.create(Category, name="root")
    await objects.create(Category, name="leaf", parent=root)
    children = Category.alias()
    got = await objects.prefetch(
        Category.select().where(Category.parent.is_null()), children.select()
    )
    assert [child.name for child in got[0].children] == ["leaf"]
    await fill(objects, users=1, posts=1)
    (post,) = await objects.prefetch(Post.select(), User.select())
    assert post.author.name == "user0"


async def test_prefetch_of_nothing(objects: Manager) -> None:
    await fill(objects, users=2)
    users = await objects.prefetch(User.select().order_by(User.id))
    assert [user.name for user in users] == ["user0", "user1"]
    assert await objects.prefetch(User.select().where(User.id < 0), Post) == []


# count, scalar


async def test_count_is_the_number_of_rows(objects: Manager) -> None:
    await fill(objects)
    joined = User.select(User, Post).join(Post, on=Post.author)
    name = quoted(objects)
    queries: list[Any] = [
        User.select(),
        User.select().where(User.age > 0),
        User.select().where(User.age > 90),
        User.select().order_by(User.age).limit(2),
        User.select().limit(2).offset(2),
        User.select(fn.COUNT(User.id)),
        Post.select(Post.author).distinct(),
        Post.select(Post.author, fn.COUNT(Post.id)).group_by(Post.author),
        Post.select(Post.author).group_by(Post.author).having(fn.COUNT(Post.id) > 5),
        joined,
        joined.where(Post.title == "user0/0"),
        User.select() | User.select(),
        User.select(User.age) + User.select(User.age),
        User.raw(f"SELECT * FROM {name}"),
        User.raw(f"SELECT * FROM {name} -- all of them"),
        User.raw(f"SELECT * FROM {name};"),
        User.noop(),
        User.select(User.age).tuples(),
        User.alias().select(),
    ]
    for query in queries:
        rows = await objects.execute(query)
        assert await objects.count(query) == len(rows), query.sql()
    assert await objects.count(User) == 3
    assert await objects.count(User.select().limit(1), clear_limit=True) == 3


async def test_scalar(objects: Manager) -> None:
    assert await objects.scalar(User.select(User.name)) is None
    assert await objects.scalar(User.select(fn.MAX(User.age))) is None
    await objects.execute(User.insert_many(people(3)))
    assert await objects.scalar(User.select(fn.MAX(User.age))) == 2
    newest = User.select(User.name, User.age).order_by(User.age.desc())
    assert await objects.scalar(newest) == "user2"
    assert await objects.scalar(newest, as_tuple=True) == ("user2", 2)
    whole = await objects.scalar(newest, as_dict=True)
    assert whole == {"name": "user2", "age": 2}
    raw = User.raw(f"SELECT COUNT(*) FROM {quoted(objects)}")
    assert await objects.scalar(raw) == 3


async def test_scalar_converts_like_sync(
    objects: Manager, tables: CreateTables
) -> None:
    tables(Token)
    token = await objects.create(Token)
    assert await objects.scalar(Token.select(Token.id)) == token.id


# Models that are bound to no database


async def test_unbound_models(objects: Manager) -> None:
    ada = await objects.create(PlainUser, name="ada", age=36)
    assert ada.id is not None
    post = await objects.create(PlainPost, author=ada, title="first", views=3)
    assert (await objects.get(PlainUser, name="ada")).id == ada.id
    found = await objects.get(PlainPost, author__name="ada")
    assert (found.id, found.views) == (post.id, 3)
    ada.age = 37
    assert await objects.update(ada, only=["age"]) == 1
    assert (await objects.get_or_create(PlainUser, name="ada"))[1] is False
    assert (await objects.get_or_create(PlainUser, name="bob"))[1] is True
    assert (await objects.create_or_get(PlainUser, name="ada"))[0].id == ada.id
    rows = await objects.execute(
        PlainPost.select(PlainPost, PlainUser).join(PlainUser, on=PlainPost.author)
    )
    assert rows[0].author.name == "ada"
    (user, _) = await objects.prefetch(
        PlainUser.select().order_by(PlainUser.id), PlainPost
    )
    assert [post.title for post in user.posts] == ["first"]
    assert await objects.count(PlainUser) == 2
    assert await objects.scalar(PlainUser.select(fn.SUM(PlainUser.age))) == 37
    assert await objects.execute(PlainUser.insert(name="eve")) > ada.id
    assert await objects.execute(PlainUser.update(age=1)) == 3
    assert await objects.execute(PlainUser.delete().where(PlainUser.name == "eve")) == 1
    assert await objects.execute(PlainUser.noop()) == []
    assert await objects.delete(ada, recursive=True) == 1
    assert await objects.count(PlainPost) == 0
    assert PlainUser._meta.database is None
    assert PlainPost._meta.database is None


async def test_a_query_that_is_bound_elsewhere(
    backend: Backend, objects: Manager, make_database: MakeDatabase
) -> None:
    await objects.create(User, name="ada")
    other = Manager(make_database(pooled=False))
    assert (await other.get(User.select())).name == "ada"
    foreign = "mysql" if backend.name == "postgres" else "postgres"
    with User.bind_ctx(SINGLE[foreign]("elsewhere"), False, False):
        query = User.select()
    with pytest.raises(peewee.InterfaceError, match="bound to"):
        await objects.execute(query.bind(SINGLE[foreign]("elsewhere")))


# Blocks and sync, in short: they have modules of their own


@both_kinds
async def test_the_three_kinds_of_block(objects: Manager) -> None:
    async with objects.atomic():
        await objects.create(User, name="one")
        async with objects.transaction():
            await objects.create(User, name="two")
        async with objects.savepoint():
            await objects.create(User, name="three")
        with pytest.raises(KeyError):
            async with objects.savepoint(sid="mine"):
                await objects.create(User, name="four")
                raise KeyError
    assert await objects.count(User) == 3


async def test_allow_sync(objects: Manager) -> None:
    with objects.allow_sync():
        User.create(name="ada")
        assert not objects.database.is_closed()
    assert objects.database.is_closed()
    assert (await objects.get(User)).name == "ada"
