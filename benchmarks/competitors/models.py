"""The tables as peewee models, for all that use peewee."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import peewee


def models(database: Any, base: type[peewee.Model] = peewee.Model) -> Any:
    """Give the models Person, Author, Book, Review and Entry of a database."""

    meta = type("Meta", (), {"database": database})
    root: Any = type("Table", (base,), {"Meta": meta})

    class Person(root):  # type: ignore[misc]
        name = peewee.CharField(100)
        email = peewee.CharField(100)
        age = peewee.IntegerField()
        score = peewee.DoubleField()
        active = peewee.BooleanField()

    class Author(root):  # type: ignore[misc]
        name = peewee.CharField(100)
        age = peewee.IntegerField()

    class Book(root):  # type: ignore[misc]
        author = peewee.ForeignKeyField(Author, backref="books")
        title = peewee.CharField(200)
        pages = peewee.IntegerField()

    class Review(root):  # type: ignore[misc]
        book = peewee.ForeignKeyField(Book, backref="reviews")
        text = peewee.CharField(200)
        stars = peewee.IntegerField()

    class Entry(root):  # type: ignore[misc]
        name = peewee.CharField(100)
        value = peewee.IntegerField()
        note = peewee.TextField()
        active = peewee.BooleanField()

    return SimpleNamespace(
        Person=Person, Author=Author, Book=Book, Review=Review, Entry=Entry
    )
