"""The main job, told step by step: python examples/demo.py [sqlite|postgres|mysql]."""

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import peewee

from peewee_async import (
    AioDatabase,
    AioModel,
    Manager,
    PooledMySQLDatabase,
    PooledPostgresqlDatabase,
    PooledSqliteDatabase,
)
from tests import servers

proxy = peewee.DatabaseProxy()


class Author(AioModel):
    id: Any = peewee.AutoField()
    name: Any = peewee.CharField(max_length=80, unique=True)

    class Meta:
        database = proxy
        table_name = "peewee_async_demo_author"


class Book(AioModel):
    author: Any = peewee.ForeignKeyField(Author, backref="books")
    title: Any = peewee.CharField(max_length=200)
    copies: Any = peewee.IntegerField(default=0)

    class Meta:
        database = proxy
        table_name = "peewee_async_demo_book"


@contextmanager
def database_on(kind: str) -> Iterator[AioDatabase]:
    """Start the server that is asked for, and name a database on it."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield PooledSqliteDatabase(f"{folder}/demo.db", max_connections=5)
    elif kind == "postgres":
        with servers.postgres() as server:
            print(f"Server: {server.description}")
            yield PooledPostgresqlDatabase(
                server.database, max_connections=5, **server.options
            )
    elif kind == "mysql":
        with servers.mysql() as server:
            print(f"Server: {server.description}")
            yield PooledMySQLDatabase(
                server.database, max_connections=5, **server.options
            )
    else:
        raise SystemExit(f"{kind!r} is no database: sqlite, postgres or mysql.")


async def tell(objects: Manager) -> None:
    ada = await objects.create(Author, name="Ada Lovelace")
    await Book.aio_create(author=ada, title="Notes on the Analytical Engine", copies=3)
    print(f"Created {ada.name} with key {ada.id}, and a book of hers.")

    book = await Book.aio_get(Book.author == ada)
    book.copies += 2
    await objects.update(book, only=["copies"])
    again = await objects.get(Book, title__startswith="Notes")
    print(f"Fetched the book, added 2 copies: there are {again.copies} now.")

    results = await asyncio.gather(
        *(objects.get_or_create(Author, name="Mary Somerville") for _ in range(20))
    )
    created = sum(is_new for _, is_new in results)
    print(f"20 tasks wanted the same new author at once: {created} created her.")

    async def add(number: int) -> None:
        async with objects.atomic():
            await objects.create(Book, author=ada, title=f"Volume {number}")

    await asyncio.gather(*(add(number) for number in range(10)))
    print(f"10 tasks added a book each: {await objects.count(Book)} books.")

    try:
        async with objects.atomic():
            await Book.delete().aio_execute()
            print(f"Deleted all books in a block: {await objects.count(Book)} left.")
            raise RuntimeError("changed my mind")
    except RuntimeError as error:
        print(f"The block failed ({error}): {await objects.count(Book)} books again.")

    authors = await objects.prefetch(Author.select().order_by(Author.id), Book)
    for author in authors:
        print(f"  {author.name}: {len(author.books)} books")
    total = await Book.select(peewee.fn.SUM(Book.copies)).aio_scalar()
    print(f"There are {total} copies in all.")
    await objects.close()
    print("Closed the connections. That is all.")


def main() -> None:
    kind = sys.argv[1] if len(sys.argv) > 1 else "sqlite"
    try:
        with database_on(kind) as database:
            proxy.initialize(database)
            objects = Manager(database)
            # Tables are made before the event loop runs, by plain peewee.
            database.create_tables([Author, Book])
            database.close()
            asyncio.run(tell(objects))
            database.drop_tables([Author, Book])
            database.close()
    except servers.Unavailable as reason:
        raise SystemExit(f"There is no server to run the demo on: {reason}") from None


if __name__ == "__main__":
    main()
