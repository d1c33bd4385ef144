"""The second module names the classes of the first."""

from __future__ import annotations

import peewee_async
import peewee_asyncext


def test_the_names_are_the_same_classes() -> None:
    assert peewee_asyncext.__all__ == [
        "PooledPostgresqlExtDatabase",
        "PostgresqlExtDatabase",
    ]
    for name in peewee_asyncext.__all__:
        assert getattr(peewee_asyncext, name) is getattr(peewee_async, name)


def test_hstore_is_on_unless_it_is_turned_off() -> None:
    database = peewee_asyncext.PooledPostgresqlExtDatabase("unit", max_connections=2)
    assert database._register_hstore
    off = peewee_asyncext.PostgresqlExtDatabase("unit", register_hstore=False)
    assert not off._register_hstore
