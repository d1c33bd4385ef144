"""Queries that bring related rows along, beside sync peewee on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest
from peewee import PREFETCH_TYPE, Load

from peewee_async.core import prefetching
from peewee_async.core.execution import Plan
from tests.unit import twin
from tests.unit.models import POSTGRES
from tests.unit.models import Post as UnboundPost
from tests.unit.models import User as UnboundUser
from tests.unit.script import Script
from tests.unit.twin import Comment, Country, Post, User

JOIN, WHERE = PREFETCH_TYPE.JOIN, PREFETCH_TYPE.WHERE

Rows = Callable[[], Any]


@pytest.fixture(autouse=True)
def database() -> Iterator[list[twin.Sent]]:
    """Three users, posts of two authors with and without editor, comments."""
    with twin.fresh_database() as sent:
        for name in ("ada", "bob", "eve"):
            User.create(name=name)
        for author, editor, title in [
            (1, 2, "a1"),
            (1, None, "a2"),
            (2, 1, "b1"),
            (2, 2, "b2"),
            (1, 3, "a3"),
        ]:
            Post.create(author=author, editor=editor, title=title)
        for post, text in [(1, "x"), (1, None), (3, "y"), (5, "z"), (1, "w")]:
            Comment.create(post=post, text=text)
        sent.clear()
        yield sent


def graph(value: Any, seen: tuple[int, ...] = ()) -> Any:
    """Give all that hangs on an object, following neither circle nor database."""
    if isinstance(value, list):
        return [graph(item, seen) for item in value]
    if not isinstance(value, peewee.Model):
        return value
    if id(value) in seen:
        return "seen above"
    inside = (*seen, id(value))
    lists = {
        name: graph(item, inside)
        for name, item in vars(value).items()
        if not name.startswith("_")
    }
    relations = {name: graph(item, inside) for name, item in value.__rel__.items()}
    dirty = {field.name for field in value.dirty_fields}
    return type(value), dict(value.__data__), dirty, relations, lists


def same(theirs: Rows, ours: Rows, sent: list[twin.Sent]) -> Any:
    """Compare values and statements, and give the value of the core."""
    expected = graph(theirs())
    statements = sent[:]
    sent.clear()
    value = twin.finish(ours())
    assert graph(value) == expected
    assert sent == statements
    return value


def titles(user: Any) -> list[str]:
    return [post.title for post in user.posts]


CALLS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "a model": lambda: (User.select(), Post),
    "a query": lambda: (
        User.select().where(User.id < 3),
        Post.select().where(Post.title != "b1").order_by(Post.title.desc()),
    ),
    "three levels": lambda: (User.select(), Post, Comment),
    "three levels, narrowed": lambda: (
        User.select().where(User.name == "ada"),
        Post.select().order_by(Post.id.desc()),
        Comment.select().where(Comment.text.is_null(False)),
    ),
    "parents": lambda: (Post.select().order_by(Post.id), User),
    "parents of parents": lambda: (Comment.select(), Post, User),
    "a tuple with its model": lambda: (
        User.select(),
        (Post.select().where(Post.id > 1), User),
        (Comment.select(), Post),
    ),
    "an alias": lambda: (User.alias("u").select(), Post),
    "some columns": lambda: (
        User.select(User.id, User.name),
        Post.select(Post.id, Post.author, Post.editor),
    ),
    "nothing to find": lambda: (User.select().where(User.name == "zoe"), Post, Comment),
}


@pytest.mark.parametrize("kind", [WHERE, JOIN], ids=["where", "join"])
@pytest.mark.parametrize("name", CALLS)
def test_builds_the_graph_that_sync_peewee_builds(
    name: str, kind: int, database: list[twin.Sent]
) -> None:
    make = CALLS[name]
    same(
        lambda: peewee.prefetch(*make(), prefetch_type=kind),
        lambda: prefetching.prefetch(twin.DIALECT, *make(), prefetch_type=kind),
        database,
    )


def test_two_foreign_keys_to_one_model_are_kept_apart() -> None:
    work = prefetching.prefetch(twin.DIALECT, User, Post)
    ada, bob, eve = twin.finish(work)
    assert titles(ada) == ["a1", "a2", "a3"]
    assert [post.title for post in ada.edited] == ["b1"]
    assert [post.title for post in bob.edited] == ["a1", "b2"]
    assert (titles(eve), [post.title for post in eve.edited]) == ([], ["a3"])


def test_nothing_more_is_read_when_the_graph_is_walked(
    database: list[twin.Sent],
) -> None:
    users = twin.finish(prefetching.prefetch(twin.DIALECT, User, Post, Comment))
    assert len(database) == 3
    texts = [c.text for user in users for post in user.posts for c in post.comments]
    assert texts == ["x", None, "w", "z", "y"]
    assert len(database) == 3


def test_a_model_may_be_what_is_prefetched_for() -> None:
    users = twin.finish(prefetching.prefetch(twin.DIALECT, User, Post))
    assert [user.name for user in users] == ["ada", "bob", "eve"]


def test_an_executed_list_comes_back() -> None:
    value = twin.finish(prefetching.prefetch(twin.DIALECT, User.select(), Post))
    assert type(value) is list


def test_sends_one_statement_for_each_stage() -> None:
    users, posts = UnboundUser.select(), UnboundPost.select()
    script = Script(prefetching.prefetch(POSTGRES, users, posts))
    script.sends(
        'SELECT "t1"."id", "t1"."author_id", "t1"."editor_id", "t1"."headline" '
        'FROM "post" AS "t1" '
        'WHERE (("t1"."author_id" IN (SELECT "t2"."id" FROM "user" AS "t2")) '
        'OR ("t1"."editor_id" IN (SELECT "t2"."id" FROM "user" AS "t2")))'
    )
    script.gets((8, 3, None, "Notes"))
    script.sends('SELECT "t1"."id", "t1"."name", "t1"."age" FROM "user" AS "t1"')
    (user,) = script.gets((3, "ada", 36)).result
    assert titles(user) == ["Notes"]
    assert user.posts[0].author is user


def test_without_subqueries_the_query_is_executed() -> None:
    query = User.select().where(User.id > 1)
    work = prefetching.prefetch(twin.DIALECT, query, prefetch_type=JOIN)
    assert isinstance(work, Plan)
    assert [user.name for user in twin.finish(work)] == ["bob", "eve"]


@pytest.mark.parametrize("kind", [PREFETCH_TYPE.MATERIALIZE, 99])
def test_another_way_to_prefetch_is_refused(kind: int) -> None:
    with pytest.raises(ValueError, match=r"use PREFETCH_TYPE\.WHERE or"):
        prefetching.prefetch(twin.DIALECT, User.select(), Post, prefetch_type=kind)


def test_what_is_not_related_is_refused_as_in_peewee() -> None:
    with pytest.raises(AttributeError, match="unable to find foreign key"):
        prefetching.prefetch(twin.DIALECT, User.select(), Country)


def test_the_queries_stay_as_they_are() -> None:
    queries: list[Any] = [User.select(), Post.select()]
    before = [query.sql() for query in queries]
    twin.finish(prefetching.prefetch(twin.DIALECT, *queries))
    assert [query.sql() for query in queries] == before
    assert all(query._cursor_wrapper is None for query in queries)


# with_related

RELATED: dict[str, Callable[[], Any]] = {
    "a backref": lambda: User.select().with_related(User.posts),
    "both backrefs": lambda: User.select().with_related(User.posts, User.edited),
    "a foreign key": lambda: Post.select().with_related(Post.author),
    "a foreign key that is null": lambda: Post.select().with_related(Post.editor),
    "three levels": lambda: User.select().with_related(
        Load(User.posts).then(Load(Post.comments), Post.editor)
    ),
    "up two levels": lambda: Comment.select().with_related(
        Load(Comment.post).then(Post.author)
    ),
    "a query of its own": lambda: User.select().with_related(
        Load(User.posts, Post.select().order_by(Post.title.desc()))
    ),
    "a join": lambda: User.select().with_related(Load(User.posts, strategy=JOIN)),
    "keys in memory": lambda: User.select().with_related(
        Load(User.posts, strategy=PREFETCH_TYPE.MATERIALIZE).then(
            Load(Post.editor, strategy=PREFETCH_TYPE.MATERIALIZE)
        )
    ),
    "per parent": lambda: User.select().with_related(
        Load(User.posts, Post.select().order_by(Post.id.desc()), per_parent=1)
    ),
    "per parent, nested": lambda: User.select().with_related(
        Load(User.posts, per_parent=2).then(
            Load(Post.comments, Comment.select().order_by(Comment.id), per_parent=1)
        )
    ),
    "a tree inside a tree": lambda: User.select().with_related(
        Load(User.posts, Post.select().with_related(Post.comments))
    ),
    "nothing found": lambda: User.select().where(User.id > 9).with_related(User.posts),
    "a tree": lambda: User.select().order_by(User.id.desc()).with_related(User.posts),
    "dicts": lambda: User.select().with_related(User.posts).dicts(),
    "no tree": User.select,
}


@pytest.mark.parametrize("name", RELATED)
def test_loads_related_rows_as_sync_peewee_does(
    name: str, database: list[twin.Sent]
) -> None:
    make = RELATED[name]
    same(
        lambda: list(make()),
        lambda: prefetching.execute(twin.DIALECT, make()),
        database,
    )


def test_two_stages_may_each_load_related_rows(database: list[twin.Sent]) -> None:
    def make() -> tuple[Any, ...]:
        return User.select().with_related(User.edited), Post.select()

    same(
        lambda: peewee.prefetch(*make()),
        lambda: prefetching.prefetch(twin.DIALECT, *make()),
        database,
    )


FIRST: dict[str, Callable[[], Any]] = {
    name: RELATED[name]
    for name in ("a tree", "three levels", "a foreign key", "per parent", "no tree")
}


@pytest.mark.parametrize("name", FIRST)
def test_get_loads_what_is_related_to_one_row(
    name: str, database: list[twin.Sent]
) -> None:
    make = FIRST[name]
    same(lambda: make().get(), lambda: prefetching.get(twin.DIALECT, make()), database)


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("name", FIRST)
def test_first_loads_what_is_related_to_the_first_rows(
    name: str, n: int, database: list[twin.Sent]
) -> None:
    make = FIRST[name]
    same(
        lambda: make().first(n=n),
        lambda: prefetching.first(twin.DIALECT, make(), n),
        database,
    )


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("name", FIRST)
def test_peek_loads_what_is_related(
    name: str, n: int, database: list[twin.Sent]
) -> None:
    make = FIRST[name]
    same(
        lambda: make().peek(n=n),
        lambda: prefetching.peek(twin.DIALECT, make(), n),
        database,
    )


def test_get_finds_nothing_to_load_for() -> None:
    query = User.select().where(User.id > 9).with_related(User.posts)
    with pytest.raises(User.DoesNotExist):
        twin.finish(prefetching.get(twin.DIALECT, query))


def test_first_finds_nothing_to_load_for(database: list[twin.Sent]) -> None:
    query = User.select().where(User.id > 9).with_related(User.posts)
    assert twin.finish(prefetching.first(twin.DIALECT, query)) is None
    assert len(database) == 1


def test_a_query_without_a_tree_is_one_plan() -> None:
    query = User.select()
    makers: tuple[Any, ...] = (prefetching.execute, prefetching.get)
    for make in (*makers, prefetching.first, prefetching.peek):
        assert isinstance(make(twin.DIALECT, query), Plan)


def test_a_write_is_executed_as_well() -> None:
    query = User.update(age=50).where(User.id < 3)
    assert twin.finish(prefetching.execute(twin.DIALECT, query)) == 2
