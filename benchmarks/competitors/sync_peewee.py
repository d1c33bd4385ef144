"""peewee as it is, without asyncio: what the models themselves cost."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, ClassVar

import peewee
from playhouse.pool import (
    PooledMySQLDatabase,
    PooledPostgresqlDatabase,
    PooledSqliteDatabase,
)

from benchmarks.competitors.base import BULK, POOL, Values
from benchmarks.competitors.base import Competitor as Base
from benchmarks.competitors.models import models
from benchmarks.workloads import KEPT

DATABASES = {
    "postgres": (PooledPostgresqlDatabase, "psycopg2-binary"),
    "mysql": (PooledMySQLDatabase, "pymysql"),
    "sqlite": (PooledSqliteDatabase, None),
}


class Competitor(Base):
    """Its coroutines never wait."""

    lacks: ClassVar[dict[str, str]] = {"get_tasks": "it has no tasks"}

    async def open(self) -> None:
        kind, driver = DATABASES[self.family]
        packages = ("peewee", driver) if driver else ("peewee",)
        self.about = ", ".join(f"{name} {version(name)}" for name in packages)
        self.database: Any = kind(**self.place, max_connections=POOL)
        self.models = models(self.database)
        self.database.connect()

    async def close(self) -> None:
        self.database.close_all()

    def instance(self, values: Values) -> Any:
        return self.models.Entry(**values)

    async def load(self, number: int) -> list[Any]:
        entry = self.models.Entry
        return list(entry.select().where(entry.id <= number))

    async def get_held(self, keys: list[int]) -> list[Any]:
        person = self.models.Person
        return [person.get(person.id == key) for key in keys]

    async def get_pooled(self, keys: list[int]) -> list[Any]:
        person, found = self.models.Person, []
        self.database.close()
        for key in keys:
            with self.database.connection_context():
                found.append(person.get(person.id == key))
        self.database.connect()
        return found

    async def select(self, size: int) -> Any:
        person = self.models.Person
        return list(person.select().where(person.id <= size))

    async def join(self, size: int) -> Any:
        review, book = self.models.Review, self.models.Book
        query = review.select(review, book).join(book)
        return list(query.where(review.id <= size))

    async def prefetch(self, _size: int) -> Any:
        book, review = self.models.Book, self.models.Review
        return peewee.prefetch(self.models.Author.select(), book, review)

    async def create(self, rows: list[Values]) -> Any:
        return [self.models.Entry.create(**row) for row in rows]

    async def bulk(self, instances: list[Any]) -> None:
        self.models.Entry.bulk_create(instances, batch_size=BULK)

    async def update(self, instances: list[Any]) -> None:
        for entry in instances:
            entry.value += 1
            entry.save()

    async def blocks(self, keys: range) -> None:
        model = self.models.Entry
        for key in keys:
            with self.database.atomic():
                entry = model.get(model.id == key)
                entry.value += 1
                entry.save()

    async def facts(self, questions: list[tuple[int, int]]) -> Any:
        author, found = self.models.Author, []
        for age, key in questions:
            count = author.select().where(author.age > age).count()
            highest = author.select(peewee.fn.MAX(author.age))
            scalar = highest.where(author.age < age).scalar()
            exists = author.select().where(author.id == key).exists()
            found.append((count, scalar, exists))
        return found

    async def stream(self, _size: int) -> tuple[int, list[Any]]:
        # The drivers read all rows at once; models are made one by one.
        number, kept = 0, []
        for row in self.models.Person.select().iterator():
            number += 1
            if number % KEPT == 0:
                kept.append(row)
        return number, kept


competitor = Competitor
