"""Values and query shapes: async gives what peewee gives on the same database."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest
from peewee import JOIN, fn

from peewee_async import Manager
from tests.integration.checks import both_kinds, only, seen
from tests.integration.conftest import CreateTables
from tests.integration.models import (
    CORE,
    EVERYTHING,
    Category,
    Comment,
    Everything,
    Post,
    Token,
    User,
    people,
)

Shape = Callable[[], Any]

# Field types


def plain(value: Any) -> Any:
    """Take a value apart; psycopg2 gives binary values as memoryview, sync too."""
    if isinstance(value, dict):
        value = {name: plain_bytes(item) for name, item in value.items()}
    return seen(plain_bytes(value))


def plain_bytes(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


@both_kinds
async def test_each_type_comes_back(objects: Manager, tables: CreateTables) -> None:
    tables(Everything)
    made = await objects.create(Everything, **EVERYTHING)
    found = await objects.get(Everything, id=made.id)
    assert plain(found.__data__) == seen({"id": made.id, **EVERYTHING})
    with objects.allow_sync():
        assert seen(found) == seen(Everything.get_by_id(made.id))


async def test_each_type_is_written_as_sync_writes_it(
    objects: Manager, tables: CreateTables
) -> None:
    tables(Everything)
    await objects.create(Everything, **EVERYTHING)
    with objects.allow_sync():
        Everything.create(**EVERYTHING)
    query = Everything.select().order_by(Everything.id)
    one, two = await objects.execute(query)
    assert plain(one.__data__ | {"id": 0}) == plain(two.__data__ | {"id": 0})


async def test_nulls_come_back(objects: Manager, tables: CreateTables) -> None:
    tables(Everything)
    made = await objects.create(Everything)
    found = await objects.get(Everything, id=made.id)
    assert found.__data__ == {"id": made.id} | dict.fromkeys(EVERYTHING)


EDGES: list[tuple[str, Any]] = [
    ("text", ""),
    ("text", "\x01\t\r\n%%s"),
    ("char", "'; DROP TABLE everything; --"),
    ("integer", 0),
    ("integer", 2**31 - 1),
    ("bigint", -(2**63)),
    ("real", -1.5e300),
    ("real", 5e-324),
    ("decimal", decimal.Decimal("-0.00001")),
    ("decimal", decimal.Decimal(0)),
    ("boolean", False),
    ("date", datetime.date(1000, 1, 1)),
    ("date", datetime.date(9999, 12, 31)),
    ("time", datetime.time(0, 0)),
    ("datetime", datetime.datetime(2000, 1, 1)),
    ("uuid", uuid.UUID(int=0)),
    ("blob", b""),
    ("blob", b"\x00'\\\"%s\xff" * 1000),
    ("json", []),
    ("json", "text"),
    ("json", 0),
    ("json", False),
    ("json", {"deep": [{"er": [None, {}]}]}),
]


async def test_values_at_the_edges(objects: Manager, tables: CreateTables) -> None:
    tables(Everything)
    stored = []
    for name, value in EDGES:
        made = await objects.create(Everything, **{name: value})
        found = getattr(await objects.get(Everything, id=made.id), name)
        stored.append((made.id, name, seen(found)))
        assert plain(found) == plain(value)
        if name != "json":
            query = Everything.select().where(getattr(Everything, name) == value)
            assert made in await objects.execute(query)
    with objects.allow_sync():
        for key, name, found in stored:
            assert seen(getattr(Everything.get_by_id(key), name)) == found


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_every_kind_of_bytes(
    objects: Manager, tables: CreateTables, kind: Any
) -> None:
    tables(Everything)
    data = bytes(range(256))
    made = await objects.create(Everything, blob=kind(data))
    assert bytes((await objects.get(Everything, id=made.id)).blob) == data
    await objects.execute(Everything.update(blob=kind(data * 2)))
    assert bytes((await objects.get(Everything, id=made.id)).blob) == data * 2


@only("postgres", "sqlite")
async def test_microseconds(objects: Manager, tables: CreateTables) -> None:
    tables(Everything)
    moment = datetime.datetime(2024, 2, 29, 1, 2, 3, 456789)
    made = await objects.create(Everything, datetime=moment, time=moment.time())
    found = await objects.get(Everything, id=made.id)
    assert (found.datetime, found.time) == (moment, moment.time())


@only("postgres", "mysql")
async def test_a_value_that_the_server_refuses(
    objects: Manager, tables: CreateTables
) -> None:
    tables(Everything)
    with pytest.raises(peewee.DataError, match="an apple"):
        await objects.create(Everything, integer="an apple")
    assert await objects.count(Everything) == 0


@only("postgres", "sqlite")
async def test_a_value_that_the_driver_refuses(objects: Manager) -> None:
    query = User.select(peewee.Value(object()).alias("odd"))
    with pytest.raises(Exception, match="object") as caught:
        await objects.execute(query)
    with pytest.raises(Exception, match="object") as wanted, objects.allow_sync():
        query.clone().execute()
    assert caught.type is wanted.type
    await objects.create(User, name="ada")


# Query shapes


def newest() -> Any:
    """The title of each user's last post, as a subquery."""
    return (
        Post.select(Post.title).where(Post.author == User.id).order_by(Post.id.desc())
    )


def posts_of_users() -> Any:
    return Post.select(Post, User).join(User, on=Post.author)


def all_three() -> Any:
    return (
        Comment.select(Comment, Post, User)
        .join(Post)
        .join(User, on=Post.author)
        .order_by(Comment.id)
    )


def two_joins_to_one_table() -> Any:
    reviewer = User.alias("reviewer")
    return (
        Post.select(Post, User, reviewer)
        .join(User, on=Post.author)
        .switch(Post)
        .join(reviewer, JOIN.LEFT_OUTER, on=Post.reviewer, attr="by")
        .order_by(Post.id)
    )


def with_a_cte() -> Any:
    busy = (
        Post.select(Post.author, fn.COUNT(Post.id).alias("posts"))
        .group_by(Post.author)
        .cte("busy", columns=("author_id", "posts"))
    )
    return (
        User.select(User.name, busy.c.posts)
        .join(busy, on=(User.id == busy.c.author_id))
        .with_cte(busy)
        .order_by(User.name)
    )


def recursive() -> Any:
    base = (
        Category.select(Category.id, Category.name, Category.parent)
        .where(Category.parent.is_null())
        .cte("tree", recursive=True)
    )
    child = Category.alias("child")
    tree = base.union_all(
        child.select(child.id, child.name, child.parent).join(
            base, on=(child.parent == base.c.id)
        )
    )
    return tree.select_from(tree.c.id, tree.c.name).order_by(tree.c.id)


SHAPES: dict[str, Shape] = {
    "all": lambda: User.select().order_by(User.id),
    "some columns": lambda: User.select(User.name, User.age).order_by(User.id),
    "one column": lambda: User.select(User.email).order_by(User.id),
    "nothing found": lambda: User.select().where(User.age > 99),
    "where": lambda: User.select().where((User.age > 0) & (User.email.is_null())),
    "where in": lambda: User.select().where(User.age << [1, 2]).order_by(User.id),
    "where in nothing": lambda: User.select().where(User.age << []),
    "where in a subquery": lambda: (
        User.select()
        .where(User.id << Post.select(Post.author).where(Post.views > 1))
        .order_by(User.id)
    ),
    "exists": lambda: (
        User.select()
        .where(fn.EXISTS(Post.select().where(Post.author == User.id)))
        .order_by(User.id)
    ),
    "like": lambda: User.select().where(User.name.contains("1%")),
    "contains": lambda: User.select().where(User.name.contains("ser1")),
    "startswith": lambda: User.select().where(User.name.startswith("user")).limit(1),
    "between": lambda: User.select().where(User.age.between(1, 2)).order_by(User.id),
    "not": lambda: User.select().where(~(User.age == 1)).order_by(User.id),
    "limit": lambda: User.select().order_by(User.age.desc()).limit(2),
    "limit and offset": lambda: User.select().order_by(User.id).limit(2).offset(1),
    "page": lambda: User.select().order_by(User.id).paginate(2, 2),
    "distinct": lambda: Post.select(Post.author).distinct().order_by(Post.author),
    "group by": lambda: (
        Post.select(Post.author, fn.COUNT(Post.id).alias("n"), fn.SUM(Post.views))
        .group_by(Post.author)
        .order_by(Post.author)
    ),
    "having": lambda: (
        Post.select(Post.author, fn.MAX(Post.views).alias("most"))
        .group_by(Post.author)
        .having(fn.COUNT(Post.id) > 1)
        .order_by(Post.author)
    ),
    "aggregate": lambda: User.select(fn.COUNT(User.id).alias("n"), fn.MIN(User.age)),
    "alias of a column": lambda: User.select(User.name.alias("called")).order_by(
        User.id
    ),
    "expression": lambda: User.select(User, (User.age * 2 + 1).alias("odd")).order_by(
        User.id
    ),
    "function": lambda: User.select(fn.UPPER(User.name).alias("loud")).order_by(
        User.id
    ),
    "case": lambda: User.select(
        User.name, peewee.Case(None, [(User.age > 1, "old")], "young").alias("kind")
    ).order_by(User.id),
    "cast": lambda: User.select(User.age.cast("char(9)").alias("text")).order_by(
        User.id
    ),
    "subquery as a column": lambda: User.select(
        User.name, newest().limit(1).alias("newest")
    ).order_by(User.id),
    "window": lambda: Post.select(
        Post.id,
        fn.RANK()
        .over(partition_by=[Post.author], order_by=[Post.views])
        .alias("place"),
    ).order_by(Post.id),
    "join": lambda: posts_of_users().order_by(Post.id),
    "join, some columns": lambda: (
        Post.select(Post.title, User.name).join(User, on=Post.author).order_by(Post.id)
    ),
    "join, not selected": lambda: (
        Post.select().join(User, on=Post.author).where(User.age == 1).order_by(Post.id)
    ),
    "join from the other side": lambda: (
        User.select(User, Post)
        .join(Post, JOIN.LEFT_OUTER, on=Post.author)
        .order_by(User.id, Post.id)
    ),
    "left join with nulls": lambda: (
        Post.select(Post, User)
        .join(User, JOIN.LEFT_OUTER, on=Post.reviewer)
        .order_by(Post.id)
    ),
    "three tables": all_three,
    "three tables, flat": lambda: all_three().objects(),
    "two joins to one table": two_joins_to_one_table,
    "join under a name": lambda: (
        Post.select(Post, User)
        .join(User, on=(Post.author == User.id).alias("writer"))
        .order_by(Post.id)
    ),
    "join of a subquery": lambda: (
        User.select(User, peewee.SQL("t.view_count"))
        .join(
            Post.select().where(Post.views > 1).alias("t"),
            on=peewee.SQL("t.author_id = t1.id"),
        )
        .order_by(User.id, peewee.SQL("t.view_count"))
    ),
    "self join": lambda: (
        Category.select(Category, Category.alias("up"))
        .join(Category.alias("up"), JOIN.LEFT_OUTER)
        .order_by(Category.id)
    ),
    "alias": lambda: User.alias("u").select().order_by(peewee.SQL("id")),
    "from a subquery": lambda: (
        User.select(peewee.SQL("name"))
        .from_(User.select().where(User.age > 0).alias("grown"))
        .order_by(peewee.SQL("name"))
    ),
    "cte": with_a_cte,
    "recursive cte": recursive,
    "union": lambda: (
        User.select(User.name, User.age).where(User.age < 2)
        | User.select(User.name, User.age).where(User.age > 0)
    ).order_by(peewee.SQL("2")),
    "union all": lambda: (User.select(User.age) + User.select(User.age)).order_by(
        peewee.SQL("1")
    ),
    "dicts": lambda: User.select().order_by(User.id).dicts(),
    "dicts of a join": lambda: posts_of_users().order_by(Post.id).dicts(),
    "dicts with a backref name": lambda: (
        Post.select(Post.title, User.name.alias("author_name"))
        .join(User, on=Post.author)
        .order_by(Post.id)
        .dicts()
    ),
    "tuples": lambda: User.select().order_by(User.id).tuples(),
    "tuples of a join": lambda: posts_of_users().order_by(Post.id).tuples(),
    "tuples with a function": lambda: Token.select(
        Token.id, fn.LOWER(Token.label)
    ).tuples(),
    "named tuples": lambda: (
        User.select(User.id, User.name).order_by(User.id).namedtuples()
    ),
    "objects by a function": lambda: (
        User.select(User.id, User.name).order_by(User.id).objects(lambda **row: row)
    ),
    "raw": lambda: User.raw("SELECT id, name, age, 7 AS extra FROM person ORDER BY id"),
    "raw with parameters": lambda: User.raw(
        f"SELECT * FROM person WHERE age > {User._meta.database.param}", 0
    ),
    "raw dicts": lambda: User.raw("SELECT name FROM person ORDER BY id").dicts(),
    "raw tuples": lambda: User.raw("SELECT name FROM person ORDER BY id").tuples(),
    "a table without a model": lambda: (
        peewee.Table("user", ("id", "name"), _database=User._meta.database)
        .select()
        .order_by(peewee.SQL("name"))
    ),
    "values": lambda: User.select(
        peewee.Value(7).alias("seven"), peewee.Value("%s %%").alias("text")
    ).limit(1),
    "types": lambda: Token.select(),
    "noop": lambda: User.noop(),
    "loading a foreign key's id": lambda: Post.select(Post.author_id).order_by(Post.id),
    "excluded columns": lambda: (
        User.select_excluding(User.email).order_by(User.id)
        if hasattr(User, "select_excluding")
        else User.select(User.id, User.name, User.age).order_by(User.id)
    ),
}


@pytest.fixture
def filled(objects: Manager, tables: CreateTables, sync: Any) -> Iterator[Manager]:
    """Some rows of everything."""
    tables(Category, Token)
    models = (*CORE, Category, Token)
    with sync.bind_ctx(models, False, False), sync.atomic():
        User.insert_many(people(4)).execute()
        one, two, three, _ = User.select().order_by(User.id)
        for number, author in enumerate((one, one, two, three)):
            post = Post.create(
                author=author,
                reviewer=two if number % 2 else None,
                title=f"post {number}",
                views=number,
            )
            Comment.create(post=post, text=f"comment {number}")
        root = Category.create(name="root")
        Category.create(name="leaf", parent=Category.create(name="branch", parent=root))
        Token.create(label="TOKEN")
        opening, closing = sync.quote
        sync.execute_sql(f"CREATE VIEW person AS SELECT * FROM {opening}user{closing}")
    yield objects
    sync.execute_sql("DROP VIEW person")


async def test_query_shapes(filled: Manager) -> None:
    different = []
    with filled.allow_sync():
        wanted_rows = {name: list(shape()) for name, shape in SHAPES.items()}
    for name, shape in SHAPES.items():
        got, wanted = await filled.execute(shape()), wanted_rows[name]
        if seen(list(got)) != seen(wanted):
            different.append((name, seen(list(got)), seen(wanted)))
        assert isinstance(got, list)
    assert different == []


async def test_query_shapes_one_by_one(filled: Manager) -> None:
    """`get` and `first` take the same objects from a query as `execute`."""
    for shape in SHAPES.values():
        query = shape()
        if isinstance(query, peewee.RawQuery | peewee.CompoundSelectQuery):
            continue
        rows = await filled.execute(query)
        if rows and query._limit is None:
            assert seen(await filled.get(query)) == seen(rows[0])
