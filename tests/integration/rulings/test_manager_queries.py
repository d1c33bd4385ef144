"""Rulings 18 to 21: queries of the Manager, and the functions of the old API."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import peewee
import pytest
from peewee import fn

import peewee_async
from peewee_async import AioDatabase, Manager
from tests.integration.checks import only, seen
from tests.integration.conftest import CreateTables
from tests.integration.models import (
    Comment,
    Post,
    Token,
    User,
    people,
)
from tests.integration.rulings.common import Oops, from_users
from tests.integration.rulings.conftest import Names, Sent

# 18. execute

QUERIES: dict[str, Callable[[], Any]] = {
    "insert": lambda: User.insert(id=70, name="ada"),
    "insert of many": lambda: User.insert_many(
        [{"id": 70, "name": "ada"}, {"id": 71, "name": "bob"}]
    ).as_rowcount(),
    "insert from": lambda: User.insert_from(
        User.select(User.id + 70, User.email, User.age).where(User.age == 0),
        [User.id, User.name, User.age],
    ).as_rowcount(),
    "update": lambda: User.update(age=User.age + 1).where(User.age > 0),
    "update of none": lambda: User.update(age=1).where(User.age > 9),
    "delete": lambda: Comment.delete(),
    "select": lambda: User.select().order_by(User.age),
    "tuples": lambda: User.select(User.name, User.age).order_by(User.age).tuples(),
    "dicts": lambda: User.select(User.name, User.age).order_by(User.age).dicts(),
    "namedtuples": lambda: User.select(User.age).order_by(User.age).namedtuples(),
    "objects": lambda: User.select(User.age).order_by(User.age).objects(),
    "join": lambda: (
        Post.select(Post, User).join(User, on=Post.author).order_by(Post.title)
    ),
    "aggregate": lambda: (
        User.select(User.age, fn.COUNT(User.id).alias("n"))
        .group_by(User.age)
        .order_by(User.age)
    ),
    "none": lambda: User.select().where(User.age > 9),
    "compound": lambda: (User.select(User.age) | User.select(User.age)).order_by(
        peewee.SQL("1")
    ),
    "noop": lambda: User.noop(),
    "alias": lambda: User.alias("u").select().order_by(peewee.SQL("1")),
    "values": lambda: peewee.ValuesList([(1, "a")]).select(),
    "table": lambda: peewee.Table("user", ("name", "age")).select(peewee.SQL("1")),
}
RETURNING: dict[str, Callable[[], Any]] = {
    "insert": lambda: User.insert(id=70, name="ada").returning(User),
    "update": lambda: (
        User.update(age=9).where(User.age == 1).returning(User.age).tuples()
    ),
    "delete": lambda: Comment.delete().returning(Comment.text).dicts(),
}


async def in_both_ways(objects: Manager, query: Callable[[], Any]) -> tuple[Any, Any]:
    """Run a query asynchronously and synchronously, and leave no trace of it."""
    with objects.allow_sync(), objects.database.atomic() as transaction:
        wanted = query().execute(objects.database)
        wanted = list(wanted) if hasattr(wanted, "__iter__") else wanted
        transaction.rollback()
    with suppress(Oops):
        async with objects.atomic():
            got = await objects.execute(query())
            raise Oops
    return got, wanted


async def test_ruling_18_execute_gives_what_sync_gives(filled: Manager) -> None:
    for kind, query in QUERIES.items():
        got, wanted = await in_both_ways(filled, query)
        assert seen(got) == seen(wanted), kind


@only("postgres", "sqlite")
async def test_ruling_18_returning_gives_what_sync_gives(filled: Manager) -> None:
    for kind, query in RETURNING.items():
        got, wanted = await in_both_ways(filled, query)
        assert seen(got) == seen(wanted), kind


async def test_ruling_18_raw_gives_what_sync_gives(filled: Manager) -> None:
    sql = from_users(filled, "id, name, age")
    for query in (User.raw(sql), User.raw(sql).dicts(), peewee.RawQuery(sql).tuples()):
        got, wanted = await in_both_ways(filled, query.clone)
        assert seen(got) == seen(wanted)


async def test_ruling_18_rows_are_like_a_list(filled: Manager) -> None:
    users = await filled.execute(User.select().order_by(User.age))
    assert [user.age for user in users] == [user.age for user in users] == [0, 1, 2]
    assert len(users) == 3
    assert (users[1].age, users[-1].age) == (1, 2)
    assert [user.age for user in users[1:]] == [1, 2]
    assert users
    assert not await filled.execute(User.select().where(User.age > 9))


# 19. prefetch


async def test_ruling_19_join_is_the_default_of_a_manager(
    filled: Manager, sent: Sent
) -> None:
    sent()
    await filled.prefetch(User.select(), Post)
    posts, users = sent()
    assert "JOIN" not in users
    assert "JOIN" in posts
    await filled.prefetch(User.select(), Post, prefetch_type=peewee.PREFETCH_TYPE.WHERE)
    assert "JOIN" not in "".join(sent())


async def test_ruling_19_where_is_the_default_of_aio_prefetch(
    filled: Manager, sent: Sent
) -> None:
    sent()
    await User.select().aio_prefetch(Post)
    posts, users = sent()
    assert "JOIN" not in users + posts
    assert " IN (" in posts
    await User.select().aio_prefetch(Post, prefetch_type=peewee.PREFETCH_TYPE.JOIN)
    assert "JOIN" in "".join(sent())


GRAPHS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "downwards": lambda: (Post.select().order_by(Post.id), Comment),
    "a condition": lambda: (Post.select().where(Post.views > 0).order_by(Post.id),),
    "with its model": lambda: ((Post.select().order_by(Post.id), User),),
}


@pytest.mark.parametrize("kind", ["WHERE", "JOIN"])
async def test_ruling_19_prefetch_gives_the_graph_of_sync(
    filled: Manager, kind: str
) -> None:
    how: Any = {"prefetch_type": peewee.PREFETCH_TYPE[kind]}
    users = User.select().order_by(User.id)
    for name, graph in GRAPHS.items():
        got = await filled.prefetch(users, *graph(), **how)
        again = await users.aio_prefetch(*graph(), **how)
        with filled.allow_sync():
            wanted = list(peewee.prefetch(users, *graph(), **how))
        assert seen(got) == seen(again) == seen(wanted), name


async def test_ruling_19_two_keys_to_one_model(filled: Manager) -> None:
    users = await filled.prefetch(User.select().order_by(User.id), Post)
    written = [{post.title for post in user.posts} for user in users]
    assert written == [{"0a", "0b"}, {"1a", "1b"}, {"2a", "2b"}]
    reviewed = [{post.title for post in user.reviews} for user in users]
    assert reviewed == [{"2b"}, {"0b"}, {"1b"}]


async def test_ruling_19_without_subqueries_it_executes(filled: Manager) -> None:
    users = await filled.prefetch(User.select().order_by(User.id))
    assert [user.name for user in users] == ["user0", "user1", "user2"]
    assert len(await User.select().aio_prefetch()) == 3


async def test_ruling_19_the_result_is_executed(filled: Manager, sent: Sent) -> None:
    posts = Post.select().order_by(Post.title)
    users = await filled.prefetch(User.select().order_by(User.id), posts, Comment)
    sent()
    assert len(users) == 3
    assert users[2].posts[1].comments[0].text == "on 2b"
    assert [user.id for user in users] == [user.id for user in users]
    assert sent() == []


# 20. count, scalar

SHAPES: dict[str, Callable[[Manager], Any]] = {
    "all": lambda objects: User.select(),
    "where": lambda objects: User.select().where(User.age > 0),
    "distinct": lambda objects: Post.select(Post.author).distinct(),
    "group by": lambda objects: Post.select(Post.author, fn.COUNT(Post.id)).group_by(
        Post.author
    ),
    "having": lambda objects: (
        Post.select(Post.author).group_by(Post.author).having(fn.SUM(Post.views) > 1)
    ),
    "limit": lambda objects: User.select().order_by(User.age).limit(2),
    "offset": lambda objects: User.select().order_by(User.age).limit(2).offset(2),
    "join": lambda objects: User.select(User, Post).join(Post, on=Post.author),
    "compound": lambda objects: User.select(User.age) | Post.select(Post.views),
    "union all": lambda objects: User.select(User.age) + User.select(User.age),
    "raw": lambda objects: User.raw(from_users(objects)),
    "aggregate": lambda objects: User.select(fn.MAX(User.age)),
    "no rows": lambda objects: User.select().where(User.age > 9),
    "noop": lambda objects: User.noop(),
    "alias": lambda objects: User.alias("u").select(),
    "tuples": lambda objects: User.select(User.age).tuples(),
}


async def test_ruling_20_count_is_the_number_of_rows(filled: Manager) -> None:
    for name, shape in SHAPES.items():
        rows = await filled.execute(shape(filled))
        assert await filled.count(shape(filled)) == len(rows), name


async def test_ruling_20_count_without_the_limit(filled: Manager) -> None:
    query = User.select().order_by(User.age).limit(1).offset(1)
    assert await filled.count(query) == 1
    assert await filled.count(query, clear_limit=True) == 3


async def test_ruling_20_scalar_converts_like_sync(
    objects: Manager, tables: CreateTables
) -> None:
    tables(Token)
    token = await objects.create(Token, label="t")
    for field in (Token.id, Token.label, fn.COUNT(Token.id)):
        got = await objects.scalar(Token.select(field))
        with objects.allow_sync():
            wanted: Any = Token.select(field)
            assert seen(got) == seen(wanted.scalar())
    assert await objects.scalar(Token.select(Token.id)) == token.id


async def test_ruling_20_scalar_limits_a_copy(filled: Manager, sent: Sent) -> None:
    query = User.select(User.name).order_by(User.age.desc())
    before = query.sql()
    sent()
    assert await filled.scalar(query) == "user2"
    assert "LIMIT" in sent()[0]
    assert query.sql() == before


async def test_ruling_20_scalar_as_tuple_and_dict(filled: Manager) -> None:
    query = User.select(User.name, User.age).order_by(User.age.desc())
    assert await filled.scalar(query, as_tuple=True) == ("user2", 2)
    assert await filled.scalar(query, as_dict=True) == {"name": "user2", "age": 2}


async def test_ruling_20_scalar_of_nothing(objects: Manager) -> None:
    query = User.select(User.name, User.age)
    assert await objects.scalar(query) is None
    assert await objects.scalar(query, as_tuple=True) is None
    assert await objects.scalar(query, as_dict=True) is None
    assert await objects.scalar(User.select(fn.MAX(User.age))) is None


async def test_ruling_20_no_call_changes_the_query(filled: Manager) -> None:
    query: Any = User.select().order_by(User.name).limit(2).offset(1)
    state = dict(query.__dict__)
    sql = query.sql()
    await filled.execute(query)
    await filled.get(query, User.age > 0)
    await filled.get_or_none(query)
    await filled.count(query)
    await filled.count(query, clear_limit=True)
    await filled.scalar(query)
    await filled.prefetch(query, Post)
    for name in ("execute", "get", "count", "scalar", "first", "exists", "prefetch"):
        await getattr(query, f"aio_{name}")()
    assert query.sql() == sql
    assert query.__dict__ == state


# 21. Functions of the module


async def test_ruling_21_execute_and_its_kin(objects: Manager) -> None:
    key = await peewee_async.insert(User.insert(name="ada", age=36))
    assert (await peewee_async.select(User.select()))[0].id == key
    assert await peewee_async.execute(User.insert_many(people(3)).as_rowcount()) == 3
    assert await peewee_async.update(User.update(age=7).where(User.name == "ada")) == 1
    assert await peewee_async.delete(User.delete().where(User.name == "user0")) == 1
    names = User.select(User.name).order_by(User.name).tuples()
    assert await peewee_async.select(names) == [("ada",), ("user1",), ("user2",)]
    raw = User.raw(from_users(objects, "name") + " WHERE age = 7")
    assert [user.name for user in await peewee_async.raw_query(raw)] == ["ada"]


@pytest.mark.usefixtures("objects")
async def test_ruling_21_count_and_scalar() -> None:
    await peewee_async.execute(User.insert_many(people(3)))
    assert await peewee_async.count(User.select()) == 3
    assert await peewee_async.count(User.select().limit(1)) == 1
    assert await peewee_async.count(User.select().limit(1), clear_limit=True) == 3
    assert await peewee_async.scalar(User.select(fn.MAX(User.age))) == 2
    both = User.select(fn.MIN(User.age), fn.MAX(User.age))
    assert await peewee_async.scalar(both, as_tuple=True) == (0, 2)


async def test_ruling_21_prefetch(objects: Manager) -> None:
    ada = await objects.create(User, name="ada")
    await objects.create(Post, author=ada, title="one")
    users = await peewee_async.prefetch(User.select(), Post)
    assert [post.title for post in users[0].posts] == ["one"]
    with objects.allow_sync():
        assert seen(users) == seen(list(peewee.prefetch(User.select(), Post)))


@pytest.mark.usefixtures("objects")
@pytest.mark.parametrize("kind", ["atomic", "transaction"])
async def test_ruling_21_atomic_and_transaction(
    database: AioDatabase, names: Names, kind: str
) -> None:
    block: Any = getattr(peewee_async, kind)
    async with block(database) as tx:
        await peewee_async.execute(User.insert(name="one"))
        await tx.commit()
        assert names() == {"one"}
        await peewee_async.execute(User.insert(name="two"))
        await tx.rollback()
    with suppress(Oops):
        async with block(database):
            await peewee_async.execute(User.insert(name="three"))
            raise Oops
    assert names() == {"one"}


@pytest.mark.usefixtures("objects")
async def test_ruling_21_savepoint(database: AioDatabase, names: Names) -> None:
    async with peewee_async.atomic(database):
        await peewee_async.execute(User.insert(name="one"))
        with suppress(Oops):
            async with peewee_async.savepoint(database, sid="two words"):
                await peewee_async.execute(User.insert(name="two"))
                raise Oops
        async with peewee_async.savepoint(database):
            await peewee_async.execute(User.insert(name="three"))
    assert names() == {"one", "three"}
