"""peewee's own extension for asyncio, by what its documentation says."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import peewee
from playhouse import pwasyncio

from benchmarks.competitors.base import BULK, POOL, Values, in_tasks, streamed
from benchmarks.competitors.base import Competitor as Base
from benchmarks.competitors.models import models

DATABASES = {
    "postgres": (pwasyncio.AsyncPostgresqlDatabase, "asyncpg"),
    "mysql": (pwasyncio.AsyncMySQLDatabase, "aiomysql"),
    "sqlite": (pwasyncio.AsyncSqliteDatabase, "aiosqlite"),
}


class Competitor(Base):
    async def open(self) -> None:
        kind, driver = DATABASES[self.family]
        packages = ("peewee", driver)
        self.about = ", ".join(f"{name} {version(name)}" for name in packages)
        # Acquired for the whole task, unless a method gives it back.
        self.database: Any = kind(**self.place, pool_size=POOL)
        self.models = models(self.database)
        await self.database.aconnect()

    async def close(self) -> None:
        await self.database.aclose()
        await self.database.close_pool()

    def instance(self, values: Values) -> Any:
        return self.models.Entry(**values)

    async def load(self, number: int) -> list[Any]:
        entry = self.models.Entry
        found = await self.database.list(entry.select().where(entry.id <= number))
        return list(found)

    async def get_held(self, keys: list[int]) -> list[Any]:
        person, get = self.models.Person, self.database.get
        return [await get(person.select().where(person.id == key)) for key in keys]

    async def get_pooled(self, keys: list[int]) -> list[Any]:
        await self.database.aclose()
        found = await self._get_pooled(keys)
        await self.database.aconnect()
        return found

    async def _get_pooled(self, keys: list[int]) -> list[Any]:
        person, get, found = self.models.Person, self.database.get, []
        for key in keys:
            async with self.database:
                found.append(await get(person.select().where(person.id == key)))
        return found

    async def get_tasks(self, keys: list[int]) -> list[Any]:
        await self.database.aclose()
        found = await in_tasks(keys, self._get_pooled)
        await self.database.aconnect()
        return found

    async def select(self, size: int) -> Any:
        person = self.models.Person
        return await self.database.list(person.select().where(person.id <= size))

    async def join(self, size: int) -> Any:
        review, book = self.models.Review, self.models.Book
        query = review.select(review, book).join(book).where(review.id <= size)
        return await self.database.list(query)

    async def prefetch(self, _size: int) -> Any:
        book, review = self.models.Book, self.models.Review
        query = self.models.Author.select()
        return await self.database.run(peewee.prefetch, query, book, review)

    async def create(self, rows: list[Values]) -> Any:
        create, run = self.models.Entry.create, self.database.run
        return [await run(create, **row) for row in rows]

    async def bulk(self, instances: list[Any]) -> None:
        await self.database.run(self.models.Entry.bulk_create, instances, BULK)

    async def update(self, instances: list[Any]) -> None:
        for entry in instances:
            entry.value += 1
            await self.database.run(entry.save)

    async def blocks(self, keys: range) -> None:
        model = self.models.Entry
        for key in keys:
            async with self.database.atomic():
                query = model.select().where(model.id == key)
                entry = await self.database.get(query)
                entry.value += 1
                await self.database.run(entry.save)

    async def facts(self, questions: list[tuple[int, int]]) -> Any:
        author, run, found = self.models.Author, self.database.run, []
        for age, key in questions:
            count = await run(author.select().where(author.age > age).count)
            highest = author.select(peewee.fn.MAX(author.age))
            scalar = await self.database.scalar(highest.where(author.age < age))
            exists = await run(author.select().where(author.id == key).exists)
            found.append((count, scalar, exists))
        return found

    async def stream(self, _size: int) -> tuple[int, list[Any]]:
        return await streamed(self.database.iterate(self.models.Person.select()))


competitor = Competitor
