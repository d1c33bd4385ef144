"""Every method of AioModel and of its queries, on each backend."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import peewee
import pytest
from peewee import fn

from peewee_async import AioDatabase, AioModel, Manager
from tests.integration.checks import both_kinds, dirty, only, seen
from tests.integration.conftest import CreateTables, MakeDatabase
from tests.integration.models import (
    Category,
    Comment,
    Country,
    Line,
    Membership,
    PlainUser,
    Post,
    Token,
    User,
    people,
)

pytestmark = pytest.mark.usefixtures("objects")


async def fill(users: int = 3) -> list[User]:
    await User.insert_many(people(users)).aio_execute()
    made: list[User] = await User.select().order_by(User.id).aio_execute()
    for user in made:
        await Post.aio_create(author=user, title=f"{user.name}'s", views=user.age)
    return made


@both_kinds
async def test_the_example_of_the_reference() -> None:
    await User.aio_create(name="title", email="awesome")
    title = await User.aio_get(User, name="title")
    title.email = "super awesome"
    assert await title.aio_save() == 1
    assert (await User.aio_get(User.name == "title")).email == "super awesome"


# Methods of the model


async def test_aio_get() -> None:
    ada = await User.aio_create(name="ada", age=36)
    await User.aio_create(name="bob", age=40)
    found = [
        await User.aio_get(User.id == ada.id),
        await User.aio_get(ada.id),
        await User.aio_get(id=ada.id),
        await User.aio_get(User.name == "ada", User.age == 36),
        await User.aio_get(User.name == "ada", age__lt=40),
        await User.aio_get(User, age=36),
    ]
    assert [user.name for user in found] == ["ada"] * len(found)
    with pytest.raises(User.DoesNotExist):
        await User.aio_get(name="nobody")
    with pytest.raises(TypeError, match="Post"):
        await User.aio_get(Post)


async def test_aio_get_or_none() -> None:
    assert await User.aio_get_or_none(name="ada") is None
    await User.aio_create(name="ada")
    found = await User.aio_get_or_none(User, User.name == "ada")
    assert found is not None


async def test_aio_create(tables: CreateTables) -> None:
    tables(Token, Country, Membership, Line)
    ada = await User.aio_create(name="ada")
    assert (type(ada), ada.name, ada.age) == (User, "ada", 0)
    assert (await Token.aio_create()).id is not None
    assert (await Country.aio_create(code="nl")).code == "nl"
    member: Any = await Membership.aio_create(user=1, club="c")
    assert member.get_id() == (1, "c")
    await Line.aio_create(text="text")
    assert await Line.select().aio_count() == 1
    with pytest.raises(peewee.IntegrityError):
        await User.aio_create(name="ada")


async def test_aio_save(tables: CreateTables) -> None:
    tables(Country)
    ada = User(name="ada")
    assert await ada.aio_save() == 1
    assert ada.id is not None
    assert not ada.dirty_fields
    ada.age, ada.email = 5, "ada@example.com"
    assert await ada.aio_save(only=[User.age]) == 1
    assert dirty(ada) == ["email"]
    assert (await User.aio_get(ada.id)).email is None
    country = Country(code="nl", label="Holland")
    assert await country.aio_save(force_insert=True) == 1
    assert await country.aio_save() is False


async def test_aio_save_leaves_what_sync_save_leaves() -> None:
    database = User._meta.database
    one, two = User(name="one"), User(name="two")
    await one.aio_save()
    with database.allow_sync():
        two.save()
    assert dirty(one) == dirty(two)
    assert set(one.__data__) == set(two.__data__)
    one.age = two.age = 9
    await one.aio_save()
    with database.allow_sync():
        two.save()
    assert dirty(one) == dirty(two)


async def test_aio_save_of_an_object_with_an_unsaved_relation() -> None:
    ada = User(name="ada")
    post = Post(author=ada, title="first")
    await ada.aio_save()
    await post.aio_save()
    assert (await Post.aio_get()).author_id == ada.id


async def test_aio_delete_instance() -> None:
    one, two, _ = await fill()
    with pytest.raises(peewee.IntegrityError):
        await one.aio_delete_instance()
    assert await one.aio_delete_instance(recursive=True) == 1
    assert await one.aio_delete_instance() == 0
    await Post.aio_create(author=two, reviewer=two, title="own")
    assert await two.aio_delete_instance(True, delete_nullable=True) == 1
    assert await Post.select().aio_count() == 1


async def test_aio_get_or_create() -> None:
    ada, created = await User.aio_get_or_create(name="ada", defaults={"age": 36})
    assert (ada.age, created) == (36, True)
    again, created = await User.aio_get_or_create(name="ada", defaults={"age": 1})
    assert (again.id, again.age, created) == (ada.id, 36, False)


async def test_by_id(tables: CreateTables) -> None:
    tables(Membership, Country)
    ada = await User.aio_create(name="ada")
    database = User._meta.database
    with database.allow_sync():
        assert seen(await User.aio_get_by_id(ada.id)) == seen(User.get_by_id(ada.id))
    for key in (ada.id + 1, None):
        with pytest.raises(User.DoesNotExist):
            await User.aio_get_by_id(key)
    assert await User.aio_set_by_id(ada.id, {"age": 3, User.email: "@"}) == 1
    assert await User.aio_set_by_id(ada.id + 1, {"age": 3}) == 0
    found = await User.aio_get_by_id(ada.id)
    assert (found.age, found.email) == (3, "@")
    made = await User.aio_set_by_id(None, {"name": "bob"})
    assert (await User.aio_get_by_id(made)).name == "bob"
    assert await User.aio_delete_by_id(made) == 1
    assert await User.aio_delete_by_id(made) == 0
    assert await User.aio_delete_by_id(None) == 0
    await Membership.aio_create(user=1, club="c")
    assert await Membership.aio_set_by_id((1, "c"), {"since": 1999}) == 1
    assert (await Membership.aio_get_by_id((1, "c"))).since == 1999
    assert await Membership.aio_delete_by_id((1, "c")) == 1
    await Country.aio_create(code="nl")
    assert await Country.aio_set_by_id("nl", {"label": "Holland"}) == 1
    assert (await Country.aio_get_by_id("nl")).label == "Holland"


BULK: list[Callable[[int], Any]] = [
    lambda n: User(name=f"n{n}", age=n),
    lambda n: Token(id=uuid.UUID(int=n), label=str(n)),
    lambda n: Country(code=f"c{n}", label=str(n)),
    lambda n: Membership(user=n, club="c"),
    lambda n: Line(text=str(n)),
]


@pytest.mark.parametrize("batch", [None, 2, 10])
@pytest.mark.parametrize("make", BULK)
async def test_aio_bulk_create(
    make: Callable[[int], Any], batch: int | None, tables: CreateTables
) -> None:
    tables(Token, Country, Membership, Line)
    model: Any = type(make(0))
    ours, theirs = ([make(n) for n in range(5)] for _ in range(2))
    columns = [each for each in model._meta.sorted_fields if not each.auto_increment]
    rows = model.select(*columns).tuples()
    with model._meta.database.allow_sync():
        assert model.bulk_create(theirs, batch) is None
        wanted = sorted(rows.execute())
        model.delete().execute()
    assert await model.aio_bulk_create(ours, batch) is None
    assert sorted(await rows.aio_execute()) == wanted
    assert [dirty(each) for each in ours] == [dirty(each) for each in theirs]
    if model is not User:
        assert seen(ours) == seen(theirs)
    elif model._meta.database.returning_clause:
        for each in ours:
            assert (await User.aio_get_by_id(each.id)).name == each.name
    else:
        assert {each.id for each in ours} == {None}


async def test_aio_bulk_create_of_a_generator_and_of_nothing() -> None:
    await User.aio_bulk_create(User(name=str(n)) for n in range(5))
    await User.aio_bulk_create((User(name=str(n)) for n in range(5, 10)), batch_size=2)
    assert await User.select().aio_count() == 10
    await User.aio_bulk_create([])
    await User.aio_bulk_create([], batch_size=2)
    with pytest.raises(ValueError, match="batch_size=0"):
        await User.aio_bulk_create([User(name="x")], batch_size=0)
    assert await User.select().aio_count() == 10


async def test_what_comes_before_a_bad_batch_stays_unless_in_a_block(
    database: AioDatabase,
) -> None:
    def people() -> list[User]:
        return [User(name=name) for name in ("a", "b", "a", "c")]

    with pytest.raises(peewee.IntegrityError):
        await User.aio_bulk_create(people(), batch_size=1)
    assert sorted(await User.select(User.name).aio_scalars()) == ["a", "b"]
    await User.delete().aio_execute()
    with pytest.raises(peewee.IntegrityError):
        async with database.aio_atomic():
            await User.aio_bulk_create(people(), batch_size=1)
    assert not await User.select().aio_exists()


@pytest.mark.parametrize("batch", [None, 2, 10])
async def test_aio_bulk_update(batch: int | None) -> None:
    one, two, _ = users = await fill()
    posts = await Post.select().order_by(Post.id).aio_execute()
    for number, post in enumerate(posts):
        post.title, post.views, post.reviewer = f"t{number}", Post.views + 5, two
    state = [dirty(post) for post in posts]
    fields = ["title", Post.views, "reviewer"]
    wanted: list[Any] = []
    sync: Any = Post
    database = Post._meta.database
    with database.allow_sync(), database.atomic() as block:
        wanted.append(sync.bulk_update(posts, fields, batch))
        wanted.append(sorted(Post.select().tuples()))
        block.rollback()
    rows = await Post.aio_bulk_update(posts, fields, batch)
    assert [rows, sorted(await Post.select().tuples().aio_execute())] == wanted
    assert [dirty(post) for post in posts] == state
    assert fields == ["title", Post.views, "reviewer"]
    for user in users:
        user.age += 5  # MySQL counts only rows that change
    assert await User.aio_bulk_update((each for each in users), ["age"], batch) == 3
    assert await User.aio_bulk_update([], ["age"], batch) == 0
    with pytest.raises(ValueError, match="has no field 'nick'"):
        await User.aio_bulk_update([one], ["nick"])


async def test_aio_bulk_update_of_what_saves_only_what_is_dirty(
    tables: CreateTables,
) -> None:
    tables(Country, Membership)
    countries = [Country(code="it", label="Italy"), Country(code="fr", label="France")]
    await Country.aio_bulk_create(countries)
    found = await Country.select().order_by(Country.code).aio_execute()
    found[0].label, found[1].label = "Gallia", "Italia"
    assert await Country.aio_bulk_update(found, [Country.label]) == 2
    labels = Country.select(Country.label).order_by(Country.code)
    assert await labels.aio_scalars() == ["Gallia", "Italia"]
    with pytest.raises(ValueError, match="is not one column"):
        await Membership.aio_bulk_update([Membership(user=1, club="c")], ["since"])


# Methods of queries


async def test_aio_get_or_none_of_a_query() -> None:
    query = User.select().order_by(User.age)
    assert await query.aio_get_or_none() is None
    await fill()
    with User._meta.database.allow_sync():
        assert seen(await query.aio_get_or_none()) == seen(query.get_or_none())
    other = User.raw("SELECT * FROM nothing_at_all")
    with pytest.raises(peewee.PeeweeException):
        await other.aio_get_or_none()


async def test_aio_peek() -> None:
    query = User.select().order_by(User.age)
    assert await query.aio_peek() is None
    await fill()
    for n in (-1, 0, 1, 2, 5):
        with User._meta.database.allow_sync():
            wanted = query.clone().peek(n=n)
        assert seen(await query.aio_peek(n)) == seen(wanted)
    assert len(await query.aio_execute()) == 3


async def test_aio_scalars() -> None:
    query = User.select(User.age, User.name).order_by(User.age)
    assert await query.aio_scalars() == []
    await fill()
    assert await query.aio_scalars() == [0, 1, 2]
    assert await User.alias().select(fn.COUNT("*")).aio_scalars() == [3]
    both = User.select(User.age) | User.select(User.age + 1)
    with User._meta.database.allow_sync():
        assert sorted(await both.aio_scalars()) == sorted(both.scalars())
    assert await User.noop().aio_scalars() == []


async def test_aio_execute() -> None:
    assert await User.insert_many(people(3)).as_rowcount().aio_execute() == 3
    key = await User.insert(name="ada", age=1).aio_execute()
    assert (await User.aio_get(name="ada")).id == key
    assert await User.update(age=0).where(User.name == "ada").aio_execute() == 1
    assert await User.update({User.age: 5}).aio_execute() == 4
    assert await User.delete().where(User.name == "ada").aio_execute() == 1
    users = await User.select().order_by(User.id).aio_execute()
    assert [user.name for user in users] == ["user0", "user1", "user2"]
    assert await User.noop().aio_execute() == []
    names = User.insert_from(
        User.select(fn.CONCAT(User.name, "+"), User.age), [User.name, "age"]
    )
    if not isinstance(User._meta.database, peewee.SqliteDatabase):
        await names.aio_execute()
        assert await User.select().aio_count() == 6


@only("postgres", "sqlite")
async def test_aio_execute_with_returning() -> None:
    (row,) = await User.insert(name="ada").returning(User).aio_execute()
    assert (type(row), row.name) == (User, "ada")
    (row,) = await User.update(age=3).returning(User.age).tuples().aio_execute()
    assert row == (3,)
    (row,) = await User.delete().returning(User.name).dicts().aio_execute()
    assert row == {"name": "ada"}


async def test_aio_get_of_a_query() -> None:
    await fill()
    assert (await User.select().order_by(User.age.desc()).aio_get()).age == 2
    with pytest.raises(User.DoesNotExist):
        await User.select().where(User.age > 9).aio_get()
    joined = Post.select(Post, User).join(User, on=Post.author).where(User.age == 1)
    assert (await joined.aio_get()).author.name == "user1"


async def test_aio_first() -> None:
    query = User.select().order_by(User.age)
    assert await query.aio_first() is None
    await fill()
    assert (await query.aio_first()).age == 0
    assert [user.age for user in await query.aio_first(2)] == [0, 1]
    assert len(await query.aio_execute()) == 3


async def test_aio_count() -> None:
    await fill()
    assert await User.select().aio_count() == 3
    assert await User.select().limit(2).aio_count() == 2
    assert await User.select().limit(2).aio_count(clear_limit=True) == 3
    assert await Post.select().join(User, on=Post.author).aio_count() == 3


async def test_aio_scalar() -> None:
    query = User.select(fn.SUM(User.age), fn.COUNT(User.id).alias("n"))
    assert await query.aio_scalar() is None
    await fill()
    assert await query.aio_scalar() == 3
    assert await query.aio_scalar(as_tuple=True) == (3, 3)
    assert (await query.aio_scalar(as_dict=True))["n"] == 3


async def test_aio_exists() -> None:
    assert await User.select().aio_exists() is False
    await fill()
    assert await User.select().aio_exists() is True
    assert await User.select().where(User.age == 1).aio_exists() is True
    assert await User.select().where(User.age == 9).aio_exists() is False
    assert await User.select().order_by(User.id).limit(1).aio_exists() is True


@pytest.mark.parametrize(
    "kind", [peewee.PREFETCH_TYPE.WHERE, peewee.PREFETCH_TYPE.JOIN]
)
async def test_aio_prefetch(kind: int) -> None:
    one, *_ = await fill()
    await Comment.aio_create(post=await Post.aio_get(author=one), text="nice")
    users = User.select().order_by(User.id)
    got = await users.aio_prefetch(Post, Comment, prefetch_type=kind)
    with User._meta.database.allow_sync():
        wanted = list(peewee.prefetch(users, Post, Comment, prefetch_type=kind))
    assert seen(got) == seen(wanted)
    assert got[0].posts[0].comments[0].text == "nice"
    assert seen(await users.aio_prefetch()) == seen(await users.aio_execute())


async def test_prefetch_takes_where_by_default() -> None:
    await fill()
    users = User.select().order_by(User.id)
    with User._meta.database.allow_sync():
        wanted = list(peewee.prefetch(users, Post))
    assert seen(await users.aio_prefetch(Post)) == seen(wanted)


# Other kinds of queries


async def test_an_alias() -> None:
    await fill()
    other = User.alias("other")
    query = other.select().where(other.age > 0).order_by(other.age)
    assert [user.age for user in await query.aio_execute()] == [1, 2]
    assert (await query.aio_get()).age == 1
    assert (await query.aio_first()).age == 1
    assert await query.aio_count() == 2
    assert await query.aio_exists()
    assert await other.select(fn.MAX(other.age)).aio_scalar() == 2


@pytest.mark.parametrize(
    ("operation", "ages"),
    [("|", [0, 1, 2]), ("+", [0, 1, 1, 2]), ("&", [1]), ("-", [0])],
)
async def test_a_compound(operation: str, ages: list[int]) -> None:
    await fill()
    low = User.select(User.age).where(User.age < 2)
    high = User.select(User.age).where(User.age > 0)
    query = {
        "|": lambda: low | high,
        "+": lambda: low + high,
        "&": lambda: low & high,
        "-": lambda: low - high,
    }[operation]().order_by(peewee.SQL("age"))
    assert [user.age for user in await query.aio_execute()] == ages
    assert await query.aio_count() == len(ages)
    assert (await query.aio_get()).age == ages[0]
    assert (await query.aio_first()).age == ages[0]
    assert await query.aio_scalar() == ages[0]
    assert await query.aio_exists()


async def test_a_compound_of_three() -> None:
    await fill()
    parts = [User.select(User.age).where(User.age == age) for age in range(3)]
    query = ((parts[0] | parts[1]) | parts[2]).order_by(peewee.SQL("age"))
    assert [user.age for user in await query.aio_execute()] == [0, 1, 2]


async def test_raw() -> None:
    await fill()
    opening, closing = User._meta.database.quote
    sql = (
        f"SELECT * FROM {opening}user{closing} WHERE age >= {User._meta.database.param}"
    )
    assert {user.age for user in await User.raw(sql, 1).aio_execute()} == {1, 2}
    assert type(await User.raw(sql, 2).aio_get()) is User
    with pytest.raises(User.DoesNotExist):
        await User.raw(sql, 9).aio_get()
    rows = await User.raw(sql, 2).tuples().aio_execute()
    assert rows[0][1] == "user2"


async def test_a_backref() -> None:
    one, *_ = await fill()
    assert [post.title for post in await one.posts.aio_execute()] == ["user0's"]
    assert await one.posts.aio_count() == 1
    assert await one.reviews.aio_first() is None


async def test_a_model_that_refers_to_itself(tables: CreateTables) -> None:
    tables(Category)
    root = await Category.aio_create(name="root")
    await Category.aio_create(name="leaf", parent=root)
    assert [leaf.name for leaf in await root.children.aio_execute()] == ["leaf"]
    leaf = await Category.aio_get(parent=root)
    assert leaf.name == "leaf"


# Databases


async def test_another_database_for_one_query(make_database: MakeDatabase) -> None:
    other = make_database(pooled=False)
    await User.insert(name="ada").aio_execute(other)
    query = User.select()
    assert (await query.aio_get(database=other)).name == "ada"
    assert await query.aio_count(database=other) == 1
    assert other.is_connected
    assert not User._meta.database.is_connected


async def test_a_change_of_the_database_takes_effect_at_once(
    make_database: MakeDatabase, database: AioDatabase
) -> None:
    await User.aio_create(name="ada")
    other = make_database(pooled=False)
    User._meta.database = other
    assert (await User.aio_get(name="ada")).age == 0
    assert other.is_connected
    User._meta.database = database


async def test_a_model_without_a_database() -> None:
    class Nowhere(AioModel):
        name: Any = peewee.CharField()

    with pytest.raises(peewee.InterfaceError, match="no database"):
        await Nowhere.aio_create(name="x")
    with pytest.raises(peewee.InterfaceError, match="no database"):
        await Nowhere.select().aio_execute()


async def test_a_model_on_a_database_of_peewee(sync: Any) -> None:
    with User.bind_ctx(sync, False, False), pytest.raises(TypeError, match="async"):
        await User.aio_get(name="ada")


async def test_a_plain_model_beside(objects: Manager) -> None:
    await User.aio_create(name="ada")
    assert (await objects.get(PlainUser, name="ada")).name == "ada"


# In blocks


@both_kinds
async def test_models_take_part_in_blocks(database: AioDatabase) -> None:
    with pytest.raises(KeyError):
        async with database.aio_atomic():
            await User.aio_create(name="ada")
            assert await User.select().aio_exists()
            raise KeyError
    assert not await User.select().aio_exists()
    async with database.aio_transaction():
        ada = await User.aio_create(name="ada")
        async with database.aio_savepoint():
            ada.age = 3
            await ada.aio_save()
    assert (await User.aio_get(name="ada")).age == 3
