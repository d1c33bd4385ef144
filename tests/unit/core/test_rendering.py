"""Subqueries are rendered once, to the SQL that peewee renders."""

from __future__ import annotations

from typing import Any

import peewee
import pytest
from peewee import Case, EnclosedNodeList, fn

from peewee_async.core.rendering import Rendering, is_argument, look_once
from tests.unit.models import POSTGRES, Comment, Post, User

_peewee: Any = peewee


def nested() -> Any:
    users = User.select(User.id).where(User.age > 3)
    posts = Post.select().where(Post.author << users)
    return Comment.select().where(Comment.post << posts)


class OwnSelect(_peewee.ModelSelect):  # type: ignore[misc]
    def __sql__(self, ctx: Any) -> Any:
        return ctx.literal("()")


QUERIES: dict[str, Any] = {
    "nested": nested,
    "not in": lambda: User.select().where(User.id.not_in(Post.select(Post.author))),
    "union": lambda: User.select().where(
        User.id << (Post.select(Post.author) | Post.select(Post.editor))
    ),
    "list": lambda: User.select().where(User.id << [1, 2]),
    "empty list": lambda: User.select().where(User.id << []),
    "empty nodes": lambda: User.select().where(User.id << EnclosedNodeList(())),
    "a select of the program": lambda: User.select().where(
        User.id << OwnSelect(User, [User.id])
    ),
}


@pytest.mark.parametrize("name", QUERIES)
def test_the_sql_is_peewees(name: str) -> None:
    query = QUERIES[name]()
    theirs = POSTGRES.database.get_sql_context()
    ours = look_once(POSTGRES.database.get_sql_context())
    assert ours.parse(query) == theirs.parse(query)
    assert (
        POSTGRES.compile(query)[0]
        == POSTGRES.database.get_sql_context().parse(query)[0]
    )


class Seen(_peewee.Node):  # type: ignore[misc]
    """A node that notes whether it was told to be an argument of a function."""

    is_argument: Any = None

    def __sql__(self, ctx: Any) -> Any:
        self.is_argument = is_argument(ctx)
        return ctx.literal("NULL")


@pytest.mark.parametrize(
    ("build", "is_given"),
    [
        (lambda node: User.age == node, False),
        (lambda node: User.age == fn.ABS(node), True),
        (lambda node: User.age == fn.ABS(User.age + node), False),
        (lambda node: fn.MAX(User.age << [node]), False),
        (lambda node: fn.ABS(fn.COALESCE(User.age, node)), True),
        (lambda node: User.age == Case(None, [(User.id == 1, node)]), False),
        (lambda node: fn.EXISTS(User.select().where(User.age == node)), False),
    ],
)
@pytest.mark.parametrize("slots", [None, {}])
def test_slots_know_what_they_are_given_to(
    build: Any, is_given: bool, slots: Any
) -> None:
    node = Seen()
    context = look_once(POSTGRES.database.get_sql_context(slots=slots))
    context.parse(User.select().where(build(node)))
    assert node.is_argument is (is_given and slots is not None)


def test_a_subquery_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[Any] = []
    render = _peewee.Select.__sql_selection__

    def counted(self: Any, *args: Any) -> Any:
        rendered.append(self.model)
        return render(self, *args)

    monkeypatch.setattr(_peewee.ModelSelect, "__sql_selection__", counted)
    POSTGRES.compile(nested())
    assert rendered == [Comment, Post, User]


def test_a_context_of_the_program_stays() -> None:
    class Context(_peewee.Context):  # type: ignore[misc]
        pass

    context = Context()
    assert look_once(context) is context
    assert type(context) is Context
    assert type(look_once(_peewee.Context())) is Rendering
