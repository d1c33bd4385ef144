"""Tortoise ORM."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, ClassVar

from tortoise import Tortoise, fields
from tortoise.functions import Max
from tortoise.models import Model
from tortoise.transactions import in_transaction

from benchmarks.competitors.base import BULK, POOL, Values, in_tasks
from benchmarks.competitors.base import Competitor as Base

DRIVERS = {"postgres": "asyncpg", "mysql": "aiomysql", "sqlite": "aiosqlite"}


class Person(Model):
    id = fields.IntField(primary_key=True)
    name = fields.CharField(100)
    email = fields.CharField(100)
    age = fields.IntField()
    score = fields.FloatField()
    active = fields.BooleanField()


class Author(Model):
    id = fields.IntField(primary_key=True)
    name = fields.CharField(100)
    age = fields.IntField()
    books: fields.ReverseRelation[Book]


class Book(Model):
    id = fields.IntField(primary_key=True)
    author: Any = fields.ForeignKeyField("models.Author", related_name="books")
    title = fields.CharField(200)
    pages = fields.IntField()
    reviews: fields.ReverseRelation[Review]


class Review(Model):
    id = fields.IntField(primary_key=True)
    book: Any = fields.ForeignKeyField("models.Book", related_name="reviews")
    text = fields.CharField(200)
    stars = fields.IntField()


class Entry(Model):
    id = fields.IntField(primary_key=True)
    name = fields.CharField(100)
    value = fields.IntField()
    note = fields.TextField()
    active = fields.BooleanField()


class Competitor(Base):
    lacks: ClassVar[dict[str, str]] = {
        "get_held": "it holds a connection in transactions only",
        "stream": "it reads all rows at once",
    }

    async def open(self) -> None:
        driver = DRIVERS[self.family]
        packages = ("tortoise-orm", driver)
        self.about = ", ".join(f"{name} {version(name)}" for name in packages)
        if self.family == "sqlite":
            credentials = {"file_path": self.place["database"]}
        else:
            credentials = {**self.place, "minsize": 1, "maxsize": POOL}
        engine = driver if self.family == "postgres" else self.family
        connection = {
            "engine": f"tortoise.backends.{engine}",
            "credentials": credentials,
        }
        app = {"models": [__name__], "default_connection": "default"}
        await Tortoise.init(
            {"connections": {"default": connection}, "apps": {"models": app}}
        )

    async def close(self) -> None:
        await Tortoise.close_connections()

    def instance(self, values: Values) -> Any:
        return Entry(**values)

    async def load(self, number: int) -> list[Any]:
        return list(await Entry.filter(id__lte=number))

    async def get_pooled(self, keys: list[int]) -> list[Any]:
        return [await Person.get(id=key) for key in keys]

    async def get_tasks(self, keys: list[int]) -> list[Any]:
        return await in_tasks(keys, self.get_pooled)

    async def select(self, size: int) -> Any:
        return await Person.filter(id__lte=size)

    async def join(self, size: int) -> Any:
        return await Review.filter(id__lte=size).select_related("book")

    async def prefetch(self, _size: int) -> Any:
        return await Author.all().prefetch_related("books__reviews")

    async def create(self, rows: list[Values]) -> Any:
        return [await Entry.create(**row) for row in rows]

    async def bulk(self, instances: list[Any]) -> None:
        await Entry.bulk_create(instances, batch_size=BULK)

    async def update(self, instances: list[Any]) -> None:
        for entry in instances:
            entry.value += 1
            await entry.save()

    async def blocks(self, keys: range) -> None:
        for key in keys:
            async with in_transaction():
                entry = await Entry.get(id=key)
                entry.value += 1
                await entry.save()

    async def facts(self, questions: list[tuple[int, int]]) -> Any:
        found = []
        for age, key in questions:
            count = await Author.filter(age__gt=age).count()
            highest = Author.filter(age__lt=age).annotate(highest=Max("age"))
            scalar = (await highest.values_list("highest", flat=True))[0]
            exists = await Author.filter(id=key).exists()
            found.append((count, scalar, exists))
        return found


competitor = Competitor
