"""The matrix of models, made anew for each way of asking.

Sync peewee has models that are plain `peewee.Model`, and the async side has its own:
a mistake in what AioModel overrides would otherwise be made by both.
"""

# The base class is a parameter, which no type checker can look into.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

import datetime
import enum
import uuid
from decimal import ROUND_UP
from typing import Any

import peewee

Models = list[Any]


class Matrix:
    """All models over one base class, as attributes; `models` has them in order.

    schema: the name of a second schema, with `Elsewhere` in it.
    """

    def __init__(self, base: Any, family: str, schema: str) -> None:
        self.family = family
        self.schema = schema
        self.database: Any = None
        self.models: Models = [
            *library(base),
            *keys(base, family),
            *manners(base),
            *names(base, family, schema),
            *types(base, family),
        ]
        vars(self).update({model.__name__: model for model in self.models})

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"There is no model {name}.")

    def bind(self, database: Any) -> None:
        """Bind all models, or none of them to any with None."""
        self.database = database
        for model in self.models:
            model._meta.set_database(database)


def library(base: Any) -> Models:
    """Models that refer to one another."""

    class Author(base):
        name = peewee.CharField(unique=True)
        born = peewee.DateField(null=True)
        alive = peewee.BooleanField(default=True)

    class Book(base):
        author = peewee.ForeignKeyField(Author, backref="books")
        editor = peewee.ForeignKeyField(Author, backref="edited", null=True)
        title = peewee.CharField(column_name="headline")
        price = peewee.DecimalField(10, 2, null=True)

    class Review(base):
        book = peewee.ForeignKeyField(Book, backref="reviews", on_delete="CASCADE")
        text = peewee.TextField(null=True)
        stars = peewee.IntegerField(default=3)

    class Category(base):
        name = peewee.CharField()
        parent = peewee.ForeignKeyField("self", backref="children", null=True)

    class Nickname(base):
        """Refers to a field that is no primary key."""

        author = peewee.ForeignKeyField(
            Author, field="name", backref="nicknames", column_name="real_name"
        )
        nickname = peewee.CharField()

    class Tag(base):
        label = peewee.CharField(primary_key=True, max_length=40)

    class BookTag(base):
        """A composite key, of two keys of others."""

        book = peewee.ForeignKeyField(Book, backref="book_tags")
        tag = peewee.ForeignKeyField(Tag, backref="book_tags")
        weight = peewee.IntegerField(default=1)

        class Meta:
            primary_key = peewee.CompositeKey("book", "tag")

    class Club(base):
        name = peewee.CharField()
        books = peewee.ManyToManyField(Book, backref="clubs")

    through: Any = Club.books  # type: ignore[has-type, unused-ignore]
    chosen = through.get_through_model()
    return [Author, Book, Review, Category, Nickname, Tag, BookTag, Club, chosen]


def keys(base: Any, family: str) -> Models:
    """Models with each kind of primary key."""

    class Big(base):
        id = peewee.BigAutoField()
        label = peewee.CharField(default="")

    class Country(base):
        code = peewee.CharField(primary_key=True, max_length=2)
        label = peewee.CharField(default="")

        class Meta:
            only_save_dirty = True

    class Token(base):
        id = peewee.UUIDField(primary_key=True, default=lambda: uuid.UUID(int=77))
        label = peewee.CharField(null=True)

    class Packed(base):
        id = peewee.BinaryUUIDField(primary_key=True)
        token = peewee.ForeignKeyField(Token, null=True, backref="packed")

    class Shelf(base):
        """A composite key of values."""

        room = peewee.CharField(max_length=40)
        number = peewee.IntegerField()
        label = peewee.CharField(default="new")

        class Meta:
            primary_key = peewee.CompositeKey("room", "number")

    class Line(base):
        """No key at all."""

        text = peewee.TextField()
        number = peewee.IntegerField(default=1)

        class Meta:
            primary_key = False

    class Stamped(base):
        """A key that the server makes."""

        code = peewee.CharField(
            primary_key=True,
            max_length=40,
            constraints=[peewee.SQL("DEFAULT 'made by the server'")],
        )
        label = peewee.CharField(default="")

    class Passport(base):
        """A key that is another's key."""

        country = peewee.ForeignKeyField(Country, primary_key=True, backref="passport")
        number = peewee.IntegerField(default=0)

    found: Models = [Big, Country, Token, Packed, Shelf, Line, Stamped, Passport]
    if family == "postgres":

        class Identity(base):
            id = peewee.IdentityField()
            label = peewee.CharField()

        class Always(base):
            id = peewee.IdentityField(generate_always=True)
            label = peewee.CharField()

        found += [Identity, Always]
    return found


class Mood(enum.Enum):
    """Values that a field of one's own converts."""

    GOOD = "good"
    BAD = "bad"


class MoodField(peewee.CharField):
    """A field with converters of its own, and a second one in what it gives."""

    def db_value(self, value: Any) -> Any:
        return value.value if isinstance(value, Mood) else value

    def python_value(self, value: Any) -> Any:
        return None if value is None else Mood(value)


class ListField(peewee.TextField):
    """Text in the database, a list in the program."""

    def db_value(self, value: Any) -> Any:
        return None if value is None else ",".join(value)

    def python_value(self, value: Any) -> Any:
        return None if value is None else value.split(",")


def manners(base: Any) -> Models:
    """Models that behave in ways of their own."""

    class Draft(base):
        title = peewee.CharField(default="untitled")
        text = peewee.TextField(default="")
        mood = MoodField(null=True)

        class Meta:
            only_save_dirty = True

    class Stateful(base):
        """A constructor that does more, and an attribute that is no field."""

        name = peewee.CharField()
        size = peewee.IntegerField(default=0)

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.made_with = sorted(kwargs)

        @property
        def double(self) -> Any:
            return self.size * 2

    class Vehicle(base):
        wheels = peewee.IntegerField(default=4)
        name = peewee.CharField()

    class Truck(Vehicle):
        load = peewee.IntegerField(default=10)
        towed_by = peewee.ForeignKeyField(Vehicle, null=True, backref="tows")

    class Slot(base):
        """Two ways to be a duplicate, and a condition."""

        name = peewee.CharField(unique=True, null=True)
        room = peewee.IntegerField()
        hour = peewee.IntegerField()
        seats = peewee.IntegerField(default=1, constraints=[peewee.Check("seats > 0")])

        class Meta:
            indexes = ((("room", "hour"), True),)

    class Setting(base):
        """Defaults: a value, a function, one that the server has, and none."""

        name = peewee.CharField(default="unnamed")
        level = peewee.IntegerField(default=lambda: 6 * 7)
        made = peewee.DateField(default=datetime.date(2001, 2, 3))
        parts = ListField(default=lambda: ["a", "b"])
        note = peewee.CharField(null=True)
        rank = peewee.IntegerField(constraints=[peewee.SQL("DEFAULT 5")], null=True)

    return [Draft, Stateful, Vehicle, Truck, Slot, Setting]


def names(base: Any, family: str, other_schema: str) -> Models:
    """Models whose tables and columns have names that need care."""

    class Strange(base):
        spaced = peewee.CharField(column_name="first name")
        order = peewee.IntegerField(default=0)
        chosen = peewee.IntegerField(null=True, column_name="SELECT")
        upper = peewee.IntegerField(default=1, column_name="UPPER")
        single = peewee.CharField(null=True, column_name="it's")
        other = peewee.CharField(
            null=True, column_name='say "it"' if family == "mysql" else "say `it`"
        )
        foreign = peewee.CharField(default="ß", column_name="größe €")
        dashed = peewee.IntegerField(default=2, column_name="a-b.c;--")
        parent = peewee.ForeignKeyField(
            "self",
            null=True,
            column_name="parent of",
            object_id_name="parent_number",
            backref="kids",
        )

        class Meta:
            table_name = "Group By"

    class Percent(base):
        """Drivers take the sign for a placeholder."""

        part = peewee.IntegerField(column_name="50%")
        share = peewee.IntegerField(null=True, column_name="%s")

        class Meta:
            table_name = "per%cent"

    class Elsewhere(base):
        label = peewee.CharField(default="there")
        author = peewee.IntegerField(null=True)

        class Meta:
            table_name = "elsewhere"
            schema = other_schema

    class CamelCased(base):
        label = peewee.CharField(default="hump")

        class Meta:
            legacy_table_names = False

    class OldCamelCased(base):
        label = peewee.CharField(default="hump")

        class Meta:
            legacy_table_names = True

    class Named(base):
        label = peewee.CharField(default="")

        class Meta:
            table_function = staticmethod(lambda model: f"tf_{model.__name__.lower()}")

    return [Strange, Percent, Elsewhere, CamelCased, OldCamelCased, Named]


# What its stubs leave out are arguments of some fields.
_peewee: Any = peewee


def types(base: Any, family: str) -> Models:
    """A column of each of the core types, each of them nullable."""

    class Everything(base):
        char = peewee.CharField(null=True)
        fixed = _peewee.FixedCharField(max_length=8, null=True)
        text = peewee.TextField(null=True)
        small = peewee.SmallIntegerField(null=True)
        integer = peewee.IntegerField(null=True)
        big = peewee.BigIntegerField(null=True)
        real = peewee.FloatField(null=True)
        double = peewee.DoubleField(null=True)
        decimal = peewee.DecimalField(20, 5, null=True)
        rounded = peewee.DecimalField(
            10, 2, null=True, auto_round=True, rounding=ROUND_UP
        )
        boolean = peewee.BooleanField(null=True)
        date = peewee.DateField(null=True)
        time = peewee.TimeField(null=True)
        datetime = peewee.DateTimeField(null=True)
        stamp = peewee.TimestampField(null=True, default=None)
        fine_stamp = peewee.TimestampField(
            null=True, default=None, resolution=6, utc=True
        )
        uuid = peewee.UUIDField(null=True)
        binary_uuid = peewee.BinaryUUIDField(null=True)
        ip = peewee.IPField(null=True)
        blob = peewee.BlobField(null=True)
        flags = _peewee.BitField(null=True, default=None)
        first = flags.flag(1)
        second = flags.flag(2)
        bits = _peewee.BigBitField(null=True, default=None)
        json = peewee.JSONField(null=True)
        mood = MoodField(null=True)
        parts = ListField(null=True)

    if family != "sqlite":
        return [Everything]

    class Bare(base):
        """Columns without a type, which only SQLite has."""

        anything = peewee.BareField(null=True)
        whatever = peewee.AnyField(null=True)

    return [Everything, Bare]
