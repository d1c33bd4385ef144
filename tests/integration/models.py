"""The models of the suite. A fixture binds them to the database of the test."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any

import peewee

from peewee_async import AioModel


class User(AioModel):
    id: Any
    name: Any = peewee.CharField(unique=True)
    age: Any = peewee.IntegerField(default=0)
    email: Any = peewee.CharField(null=True)
    posts: Any
    reviews: Any


class Post(AioModel):
    id: Any
    author: Any = peewee.ForeignKeyField(User, backref="posts")
    author_id: Any
    reviewer: Any = peewee.ForeignKeyField(User, backref="reviews", null=True)
    reviewer_id: Any
    title: Any = peewee.CharField()
    views: Any = peewee.IntegerField(default=0, column_name="view_count")
    comments: Any


class Comment(AioModel):
    id: Any
    post: Any = peewee.ForeignKeyField(Post, backref="comments")
    text: Any = peewee.TextField()


CORE = (User, Post, Comment)


class Token(AioModel):
    id: Any = peewee.UUIDField(primary_key=True, default=uuid.uuid4)
    label: Any = peewee.CharField(null=True)


class Country(AioModel):
    code: Any = peewee.CharField(primary_key=True, max_length=2)
    label: Any = peewee.CharField(default="")

    class Meta:
        only_save_dirty = True


class Membership(AioModel):
    user: Any = peewee.IntegerField()
    club: Any = peewee.CharField(max_length=40)
    since: Any = peewee.IntegerField(null=True)

    class Meta:
        primary_key = peewee.CompositeKey("user", "club")


class Line(AioModel):
    text: Any = peewee.TextField()

    class Meta:
        primary_key = False


class Slot(AioModel):
    """Two ways to be a duplicate: the name, and room and hour together."""

    id: Any
    name: Any = peewee.CharField(unique=True, null=True)
    room: Any = peewee.IntegerField()
    hour: Any = peewee.IntegerField()
    seats: Any = peewee.IntegerField(default=1, constraints=[peewee.Check("seats > 0")])

    class Meta:
        indexes = ((("room", "hour"), True),)


class Category(AioModel):
    id: Any
    name: Any = peewee.CharField()
    parent: Any = peewee.ForeignKeyField("self", backref="children", null=True)
    children: Any


class Everything(AioModel):
    """A column of each of the core types, each of them nullable."""

    id: Any
    char: Any = peewee.CharField(null=True)
    text: Any = peewee.TextField(null=True)
    integer: Any = peewee.IntegerField(null=True)
    bigint: Any = peewee.BigIntegerField(null=True)
    real: Any = peewee.DoubleField(null=True)
    decimal: Any = peewee.DecimalField(20, 5, null=True)
    boolean: Any = peewee.BooleanField(null=True)
    date: Any = peewee.DateField(null=True)
    time: Any = peewee.TimeField(null=True)
    datetime: Any = peewee.DateTimeField(null=True)
    uuid: Any = peewee.UUIDField(null=True)
    blob: Any = peewee.BlobField(null=True)
    json: Any = peewee.JSONField(null=True)


EVERYTHING: dict[str, Any] = {
    "char": "%s ? 'quoted' \"twice\" \\ ; -- €𝄞",
    "text": "line\nline\ttab %(name)s {} 100%",
    "integer": -(2**31),
    "bigint": 2**63 - 1,
    "real": 0.1,
    "decimal": decimal.Decimal("1234567890.12345"),
    "boolean": True,
    "date": datetime.date(2024, 2, 29),
    "time": datetime.time(23, 59, 58),
    "datetime": datetime.datetime(1999, 12, 31, 23, 59, 58),
    "uuid": uuid.UUID("12345678-1234-5678-1234-567812345678"),
    "blob": bytes(range(256)),
    "json": {"list": [1, 2.5, None, True], "text": "€ ' \" \\ %s", "none": None},
}


# The same tables, for models that are bound to no database.


class PlainUser(peewee.Model):
    id: Any
    name: Any = peewee.CharField(unique=True)
    age: Any = peewee.IntegerField(default=0)
    email: Any = peewee.CharField(null=True)

    class Meta:
        table_name = "user"


class PlainPost(peewee.Model):
    id: Any
    author: Any = peewee.ForeignKeyField(PlainUser, backref="posts")
    author_id: Any
    reviewer: Any = peewee.ForeignKeyField(PlainUser, backref="reviews", null=True)
    title: Any = peewee.CharField()
    views: Any = peewee.IntegerField(default=0, column_name="view_count")

    class Meta:
        table_name = "post"


def people(count: int) -> list[dict[str, Any]]:
    """Give rows of users: user0, aged 0, and so on; every third has an address."""
    return [
        {
            "name": f"user{number}",
            "age": number,
            "email": None if number % 3 else f"user{number}@example.com",
        }
        for number in range(count)
    ]
