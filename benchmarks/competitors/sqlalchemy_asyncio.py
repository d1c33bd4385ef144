"""SQLAlchemy's ORM with its asyncio extension.

Outside of blocks in AUTOCOMMIT, so that nothing is sent that others do not send.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from sqlalchemy import URL, ForeignKey, func, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    contains_eager,
    mapped_column,
    relationship,
    selectinload,
)

from benchmarks.competitors.base import POOL, PORTION, Values, in_tasks, streamed
from benchmarks.competitors.base import Competitor as Base

DRIVERS = {
    "postgres": ("postgresql+asyncpg", "asyncpg"),
    "mysql": ("mysql+aiomysql", "aiomysql"),
    "sqlite": ("sqlite+aiosqlite", "aiosqlite"),
}


class Table(DeclarativeBase):
    pass


class Person(Table):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    age: Mapped[int]
    score: Mapped[float]
    active: Mapped[bool]


class Author(Table):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    age: Mapped[int]
    books: Mapped[list[Book]] = relationship(back_populates="author")


class Book(Table):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    title: Mapped[str]
    pages: Mapped[int]
    author: Mapped[Author] = relationship(back_populates="books")
    reviews: Mapped[list[Review]] = relationship(back_populates="book")


class Review(Table):
    __tablename__ = "review"
    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("book.id"))
    text: Mapped[str]
    stars: Mapped[int]
    book: Mapped[Book] = relationship(back_populates="reviews")


class Entry(Table):
    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    value: Mapped[int]
    note: Mapped[str]
    active: Mapped[bool]


class Competitor(Base):
    async def open(self) -> None:
        dialect, driver = DRIVERS[self.family]
        packages = ("sqlalchemy", driver)
        self.about = ", ".join(f"{name} {version(name)}" for name in packages)
        place = dict(self.place)
        if "user" in place:
            place["username"] = place.pop("user")
        self.engine = create_async_engine(
            URL.create(dialect, **place), pool_size=POOL, max_overflow=0
        )
        plain = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self.session = async_sessionmaker(plain, expire_on_commit=False)
        self.block = async_sessionmaker(self.engine, expire_on_commit=False)

    async def close(self) -> None:
        await self.engine.dispose()

    def instance(self, values: Values) -> Any:
        return Entry(**values)

    async def load(self, number: int) -> list[Any]:
        async with self.session() as session:
            return list(await session.scalars(select(Entry).where(Entry.id <= number)))

    async def get_held(self, keys: list[int]) -> list[Any]:
        async with self.session() as session:
            return [await session.get_one(Person, key) for key in keys]

    async def get_pooled(self, keys: list[int]) -> list[Any]:
        found = []
        for key in keys:
            async with self.session() as session:
                found.append(await session.get_one(Person, key))
        return found

    async def get_tasks(self, keys: list[int]) -> list[Any]:
        return await in_tasks(keys, self.get_pooled)

    async def select(self, size: int) -> Any:
        async with self.session() as session:
            found = await session.scalars(select(Person).where(Person.id <= size))
            return found.all()

    async def join(self, size: int) -> Any:
        query = select(Review).join(Review.book).options(contains_eager(Review.book))
        async with self.session() as session:
            return (await session.scalars(query.where(Review.id <= size))).all()

    async def prefetch(self, _size: int) -> Any:
        load = selectinload(Author.books).selectinload(Book.reviews)
        async with self.session() as session:
            return (await session.scalars(select(Author).options(load))).all()

    async def create(self, rows: list[Values]) -> Any:
        found = []
        async with self.session() as session:
            for row in rows:
                found.append(Entry(**row))
                session.add(found[-1])
                await session.commit()
        return found

    async def bulk(self, instances: list[Any]) -> None:
        async with self.session() as session:
            session.add_all(instances)
            await session.commit()

    async def update(self, instances: list[Any]) -> None:
        async with self.session() as session:
            session.add_all(instances)
            for entry in instances:
                entry.value += 1
                await session.commit()

    async def blocks(self, keys: range) -> None:
        for key in keys:
            async with self.block() as session, session.begin():
                entry = await session.get_one(Entry, key)
                entry.value += 1

    async def facts(self, questions: list[tuple[int, int]]) -> Any:
        found = []
        async with self.session() as session:
            for age, key in questions:
                older = select(func.count()).select_from(Author)
                count = await session.scalar(older.where(Author.age > age))
                highest = select(func.max(Author.age)).where(Author.age < age)
                scalar = await session.scalar(highest)
                known = select(select(Author.id).where(Author.id == key).exists())
                found.append((count, scalar, bool(await session.scalar(known))))
        return found

    async def stream(self, _size: int) -> tuple[int, list[Any]]:
        query = select(Person).execution_options(yield_per=PORTION)
        async with self.block() as session:  # a cursor needs a transaction
            return await streamed(await session.stream_scalars(query))


competitor = Competitor
