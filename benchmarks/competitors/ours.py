"""peewee_async, by its public names."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import peewee

import peewee_async
from benchmarks.competitors.base import BULK, POOL, Values, in_tasks, streamed
from benchmarks.competitors.base import Competitor as Base
from benchmarks.competitors.models import models

DATABASES = {
    "postgres": (peewee_async.PooledPostgresqlDatabase, "aiopg"),
    "mysql": (peewee_async.PooledMySQLDatabase, "aiomysql"),
    "sqlite": (peewee_async.PooledSqliteDatabase, "aiosqlite"),
}


class Competitor(Base):
    async def open(self) -> None:
        kind, driver = DATABASES[self.family]
        packages = ("peewee-async", "peewee", driver)
        self.about = ", ".join(f"{name} {version(name)}" for name in packages)
        self.database: Any = kind(**self.place, max_connections=POOL)
        self.models = models(self.database, peewee_async.AioModel)
        await self.database.aio_connect()

    async def close(self) -> None:
        await self.database.aio_close()

    def instance(self, values: Values) -> Any:
        return self.models.Entry(**values)

    async def load(self, number: int) -> list[Any]:
        entry = self.models.Entry
        return list(await entry.select().where(entry.id <= number).aio_execute())

    async def get_held(self, keys: list[int]) -> list[Any]:
        async with self.database.aio_connection():
            return await self.get_pooled(keys)

    async def get_pooled(self, keys: list[int]) -> list[Any]:
        person = self.models.Person
        return [await person.aio_get(person.id == key) for key in keys]

    async def get_tasks(self, keys: list[int]) -> list[Any]:
        return await in_tasks(keys, self.get_pooled)

    async def select(self, size: int) -> Any:
        person = self.models.Person
        return await person.select().where(person.id <= size).aio_execute()

    async def join(self, size: int) -> Any:
        review, book = self.models.Review, self.models.Book
        query = review.select(review, book).join(book).where(review.id <= size)
        return await query.aio_execute()

    async def prefetch(self, _size: int) -> Any:
        book, review = self.models.Book, self.models.Review
        return await self.models.Author.select().aio_prefetch(book, review)

    async def create(self, rows: list[Values]) -> Any:
        async with self.database.aio_connection():
            return [await self.models.Entry.aio_create(**row) for row in rows]

    async def bulk(self, instances: list[Any]) -> None:
        async with self.database.aio_connection():
            await self.models.Entry.aio_bulk_create(instances, batch_size=BULK)

    async def update(self, instances: list[Any]) -> None:
        async with self.database.aio_connection():
            for entry in instances:
                entry.value += 1
                await entry.aio_save()

    async def blocks(self, keys: range) -> None:
        model = self.models.Entry
        async with self.database.aio_connection():
            for key in keys:
                async with self.database.aio_atomic():
                    entry = await model.aio_get(model.id == key)
                    entry.value += 1
                    await entry.aio_save()

    async def facts(self, questions: list[tuple[int, int]]) -> Any:
        author, found = self.models.Author, []
        async with self.database.aio_connection():
            for age, key in questions:
                count = await author.select().where(author.age > age).aio_count()
                highest = author.select(peewee.fn.MAX(author.age))
                scalar = await highest.where(author.age < age).aio_scalar()
                exists = await author.select().where(author.id == key).aio_exists()
                found.append((count, scalar, exists))
        return found

    async def stream(self, _size: int) -> tuple[int, list[Any]]:
        return await streamed(self.models.Person.select().aio_iterator())


competitor = Competitor
