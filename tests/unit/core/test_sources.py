"""Which models a query is about, and their fields as a database wants them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee
import pytest

from peewee_async.core.sources import (
    Adaptation,
    Sources,
    database_of,
    model_of,
    models_of,
    unwrap,
)
from tests.unit.models import MYSQL, POSTGRES, SQLITE, Post, User, with_drivers


def test_a_proxy_stands_for_its_database() -> None:
    proxy = peewee.DatabaseProxy()
    proxy.initialize(SQLITE.database)
    assert unwrap(proxy) is SQLITE.database


def test_a_proxy_may_stand_for_another_proxy() -> None:
    inner, outer = peewee.Proxy(), peewee.DatabaseProxy()
    outer.initialize(inner)
    inner.initialize(MYSQL.database)
    assert unwrap(outer) is MYSQL.database


@pytest.mark.parametrize("kind", [peewee.Proxy, peewee.DatabaseProxy])
def test_a_proxy_may_stand_for_nothing_yet(kind: Callable[[], Any]) -> None:
    assert unwrap(kind()) is None


@pytest.mark.parametrize("database", [POSTGRES.database, None])
def test_a_proxy_is_not_needed(database: Any) -> None:
    assert unwrap(database) is database


def test_the_model_of_what_a_query_reads_from() -> None:
    assert model_of(User) is User
    assert model_of(User.alias()) is User
    assert model_of(User._meta.table) is User
    assert model_of(peewee.Table("user")) is None
    assert model_of(User.select()) is None


def test_the_database_of_what_a_query_reads_from() -> None:
    database = SQLITE.database
    assert database_of(User) is None
    assert database_of(peewee.Table("t", _database=database)) is database
    assert database_of(User.select().bind(database)) is database
    assert database_of(peewee.SQL("1")) is None


def test_a_database_that_a_model_was_given_later_counts_at_once() -> None:
    class Late(peewee.Model): ...

    table, alias = Late._meta.table, Late.alias()
    Late._meta.database = SQLITE.database
    assert database_of(table) is database_of(alias) is SQLITE.database


def test_sources_are_named_as_peewee_names_them() -> None:
    met: list[Any] = []
    sources = Sources(met.append)
    assert [sources[User], sources[Post], sources[User]] == ["t1", "t2", "t1"]
    assert met == [User, Post]


@pytest.mark.parametrize(
    ("query", "models"),
    [
        (User.select(), [User]),
        (User.alias().select(), [User]),
        (Post.select(Post, User).join(User, on=Post.author), [Post, User]),
        (User.select() | Post.select(), [User, Post]),
        (User.select().alias("q").select_from(peewee.SQL("*")), [User]),
        (User.select().cte("q").select_from(peewee.SQL("*")), [User]),
        (User.raw("SELECT 1"), [User]),
        (peewee.RawQuery("SELECT 1"), []),
        (peewee.Select(columns=[peewee.SQL("1")]), []),
        (User.insert(age=1), [User]),
        (User.update(age=1), [User]),
        (User.delete(), [User]),
        (peewee.SQL("1"), []),
    ],
)
def test_the_models_whose_rows_a_query_gives(query: Any, models: list[Any]) -> None:
    assert list(models_of(query)) == models


@with_drivers
def test_fields_are_adapted_and_given_back() -> None:
    class Document(peewee.Model):
        blob: Any = peewee.BlobField()

    def constructor() -> Any:
        return vars(Document.blob)["_constructor"]

    adaptation = Adaptation(POSTGRES.database)
    for _ in range(2):
        adaptation.adapt(Document)
        adaptation.adapt(User)
        assert constructor() is POSTGRES.database.get_binary_type()  # type: ignore[attr-defined]
    adaptation.undo()
    assert constructor() is bytearray
    Document._meta.set_database(MYSQL.database)
    adaptation.adapt(Document)
    adaptation.undo()
    adaptation.undo()
    assert constructor() is MYSQL.database.get_binary_type()  # type: ignore[attr-defined]
