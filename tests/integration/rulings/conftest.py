"""What is in the table, and what was sent, as the tests of the rulings look at it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest

from peewee_async import AioModel, Manager
from tests.integration.backends import Backend
from tests.integration.models import Comment, Post, User, people

Names = Callable[[], set[str]]
Sent = Callable[[], list[str]]


@pytest.fixture
def names(sync: Any) -> Names:
    """A function that tells who is in the table, as somebody else sees it."""

    def look() -> set[str]:
        with User.bind_ctx(sync, False, False):
            return {user.name for user in User.select()}

    return look


@pytest.fixture
def sent(caplog: pytest.LogCaptureFixture) -> Iterator[Sent]:
    """A function that gives the SQL that was sent since it was asked last."""

    def look() -> list[str]:
        messages: list[Any] = [
            record.msg for record in caplog.records if record.name == "peewee.async"
        ]
        caplog.clear()
        return [sql for sql, _ in messages]

    with caplog.at_level(logging.DEBUG, "peewee.async"):
        yield look


@pytest.fixture
async def filled(objects: Manager) -> Manager:
    """A Manager with three users, and for each two posts; the second is reviewed."""
    await objects.execute(User.insert_many(people(3)))
    users = await objects.execute(User.select().order_by(User.id))
    for number, user in enumerate(users):
        await objects.create(Post, author=user, title=f"{number}a", views=number)
        other = users[(number + 1) % 3]
        post = await objects.create(
            Post, author=user, reviewer=other, title=f"{number}b"
        )
        await objects.create(Comment, post=post, text=f"on {number}b")
    return objects


class Served(AioModel):
    """Its key is made by the server."""

    id: Any = peewee.CharField(primary_key=True, max_length=40)
    label: Any = peewee.CharField(null=True)


SERVED = {
    "postgres": "CAST(gen_random_uuid() AS varchar)",
    "mysql": "(UUID())",
    "sqlite": "(lower(hex(randomblob(8))))",
}


@pytest.fixture
def served(objects: Manager, backend: Backend, sync: Any) -> Iterator[None]:
    """A table whose key is made by the server."""
    default = SERVED[backend.name]
    sync.execute_sql(
        f"CREATE TABLE served (id VARCHAR(40) DEFAULT {default} PRIMARY KEY, "
        "label VARCHAR(10))"
    )
    with objects.database.bind_ctx([Served], False, False):
        yield
    if backend.server is not None:
        sync.execute_sql("DROP TABLE served")
