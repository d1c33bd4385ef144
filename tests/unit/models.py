"""Models and dialects for the unit tests; no database stands behind them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import peewee
import pytest

from peewee_async.core.dialect import Dialect

POSTGRES = Dialect(peewee.PostgresqlDatabase("unit"))
MYSQL = Dialect(peewee.MySQLDatabase("unit"))
SQLITE = Dialect(peewee.SqliteDatabase(":memory:"))
DIALECTS = (POSTGRES, MYSQL, SQLITE)

# Fields of peewee ask the driver of their database for the types of binary values.
with_drivers = pytest.mark.skipif(
    find_spec("psycopg2") is None or find_spec("pymysql") is None,
    reason="needs the types of both drivers",
)


class User(peewee.Model):
    """Bound to no database: the dialect decides."""

    id: Any
    DoesNotExist: Any
    name: Any = peewee.CharField(unique=True)
    age: Any = peewee.IntegerField(default=36)


class Post(peewee.Model):
    id: Any
    author: Any = peewee.ForeignKeyField(User, backref="posts")
    editor: Any = peewee.ForeignKeyField(User, backref="edited", null=True)
    title: Any = peewee.TextField(column_name="headline")


class Comment(peewee.Model):
    id: Any
    post: Any = peewee.ForeignKeyField(Post, backref="comments")
    text: Any = peewee.TextField(null=True)


class Membership(peewee.Model):
    """A composite key."""

    user: Any = peewee.ForeignKeyField(User)
    club: Any = peewee.CharField()
    since: Any = peewee.IntegerField(null=True)

    class Meta:
        primary_key = peewee.CompositeKey("user", "club")


class Log(peewee.Model):
    """No key at all."""

    line: Any = peewee.TextField()

    class Meta:
        primary_key = False


class Country(peewee.Model):
    """A key that the program gives."""

    code: Any = peewee.CharField(primary_key=True)
    label: Any = peewee.CharField(default="")

    class Meta:
        only_save_dirty = True
