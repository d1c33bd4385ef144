"""The helpers of playhouse that take a database: with ours as with peewee's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import peewee
import pytest
from playhouse import (
    dataset,
    hybrid,
    kv,
    migrate,
    pool,
    postgres_ext,
    reflection,
    shortcuts,
    signals,
    sqlite_ext,
)

from peewee_async import AioDatabase, Manager, PostgresqlExtDatabase
from tests.integration.backends import Backend
from tests.integration.checks import only
from tests.integration.conftest import CreateTables, MakeDatabase
from tests.integration.models import Post, User, people


@pytest.fixture
def full(database: AioDatabase, tables: CreateTables) -> Iterator[AioDatabase]:
    tables(User, Post)
    User.insert_many(people(3)).execute()
    Post.create(author=User.get(), title="one")
    yield database
    database.close()


def test_migrate(full: AioDatabase) -> None:
    migrator: Any = migrate.SchemaMigrator.from_database(full)
    with full.atomic():
        migrate.migrate(
            migrator.add_column("post", "note", peewee.CharField(default="")),
            migrator.rename_column("post", "title", "headline"),
            migrator.add_index("post", ("headline",), True),
        )
    names = [column.name for column in full.get_columns("post")]
    assert names[-1] == "note"
    assert "headline" in names

    class Migrated(peewee.Model):
        headline: Any = peewee.CharField()
        note: Any = peewee.CharField()

        class Meta:
            table_name = "post"

    async def main() -> Any:
        found = await Manager(full).get(Migrated)
        return found.headline, found.note

    assert asyncio.run(main()) == ("one", "")


async def test_migrate_in_an_event_loop(objects: Manager) -> None:
    await objects.create(User, name="ada")
    with objects.allow_sync():
        migrator: Any = migrate.SchemaMigrator.from_database(objects.database)
        migrate.migrate(
            migrator.add_column("user", "note", peewee.CharField(default="new"))
        )
    quote = objects.database.quote
    raw = User.raw(f"SELECT note FROM {quote[0]}user{quote[1]}").dicts()
    assert await objects.execute(raw) == [{"note": "new"}]


def test_reflection(full: AioDatabase) -> None:
    models = reflection.Introspector.from_database(full).generate_models()
    post = models["post"]
    assert post._meta.database is full
    assert post.author.rel_model is models["user"]
    assert post.get().author.name == "user0"

    async def main() -> int:
        return await Manager(full).count(models["user"])

    assert asyncio.run(main()) == 3


def test_dataset(full: AioDatabase) -> None:
    data: Any = dataset.DataSet(full)
    assert {"user", "post"} <= set(data.tables)
    assert data["post"].find_one(title="one")["title"] == "one"
    data.close()


def test_key_value(full: AioDatabase) -> None:
    store: Any = kv.KeyValue(database=full, table_name="kv")
    try:
        store["a"] = 1
        store.update(a=2, b=[3])
        assert dict(store.items()) == {"a": 2, "b": [3]}
    finally:
        full.drop_tables([store.model])


def test_signals(full: AioDatabase) -> None:
    heard: list[Any] = []

    class Loud(signals.Model):  # type: ignore[misc]
        name: Any = peewee.CharField()

        class Meta:
            database = full
            table_name = "user"

    @signals.post_save(sender=Loud)  # type: ignore[untyped-decorator]
    def listen(sender: Any, instance: Any, created: bool) -> None:
        heard.append((instance.name, created))

    loud = Loud.get(Loud.name == "user1")
    loud.name = "other"
    loud.save()
    assert heard == [("other", False)]


def test_shortcuts(full: AioDatabase) -> None:
    post = Post.get()
    found = shortcuts.model_to_dict(post)
    assert found["author"]["name"] == "user0"
    assert shortcuts.model_to_dict(post, recurse=False)["author"] == post.author_id
    again = shortcuts.dict_to_model(Post, found)
    assert again == post
    assert again.author == post.author

    async def main() -> Any:
        query = Post.select(Post, User).join(User, on=Post.author)
        return shortcuts.model_to_dict(await Manager(full).get(query))

    assert asyncio.run(main()) == found


async def test_hybrid_properties(objects: Manager, database: AioDatabase) -> None:
    class Person(peewee.Model):
        name: Any = peewee.CharField()
        age: Any = peewee.IntegerField()

        @hybrid.hybrid_property  # type: ignore[untyped-decorator]
        def doubled(self) -> Any:
            return self.age * 2

        class Meta:
            table_name = "user"

    await objects.execute(User.insert_many(people(3)))
    person: Any = Person
    found = await objects.get(Person.select().where(person.doubled == 4))
    assert (found.name, found.doubled) == ("user2", 4)


@only("sqlite")
def test_full_text_search(full: AioDatabase) -> None:
    class Text(sqlite_ext.FTS5Model):  # type: ignore[misc]
        body: Any = sqlite_ext.SearchField()

        class Meta:
            database = full

    full.create_tables([Text])
    Text.create(body="the quick brown fox")
    Text.create(body="a lazy dog")
    assert [row.body for row in Text.search("quick")] == ["the quick brown fox"]

    async def main() -> Any:
        objects = Manager(full)
        await objects.create(Text, body="a quick dog")
        rows = await objects.execute(Text.search("dog", with_score=True))
        return sorted(row.body for row in rows)

    assert asyncio.run(main()) == ["a lazy dog", "a quick dog"]


@only("postgres")
def test_fields_of_postgres(
    backend: Backend, tables: CreateTables, database: AioDatabase
) -> None:
    name, options = backend.database, backend.server.options if backend.server else {}
    ext = PostgresqlExtDatabase(name, register_hstore=False, **options)

    class Extended(peewee.Model):
        tags: Any = postgres_ext.ArrayField(peewee.CharField)
        data: Any = postgres_ext.BinaryJSONField()
        search: Any = postgres_ext.TSVectorField(null=True)

        class Meta:
            database = ext

    tables(Extended)
    words = peewee.fn.to_tsvector("the quick fox")
    Extended.create(tags=["a", "b"], data={"n": [1]}, search=words)
    extended: Any = Extended
    query = extended.select().where(
        extended.tags.contains("a")
        & extended.data.contains({"n": [1]})
        & extended.search.match("fox")
    )
    assert query.get().tags == ["a", "b"]

    async def main() -> Any:
        objects = Manager(ext)
        found = await objects.get(query)
        await objects.create(Extended, tags=found.tags, data=found.data)
        assert await objects.count(Extended) == 2
        return found.tags, found.data

    assert asyncio.run(main()) == (["a", "b"], {"n": [1]})
    ext.close()


async def test_a_pool_of_playhouse_beside_ours(
    objects: Manager, make_database: MakeDatabase
) -> None:
    """A model may move between databases of one family, ours or not."""
    database = objects.database
    kinds: Any = {
        peewee.PostgresqlDatabase: pool.PooledPostgresqlDatabase,
        peewee.MySQLDatabase: pool.PooledMySQLDatabase,
        peewee.SqliteDatabase: pool.PooledSqliteDatabase,
    }
    (kind,) = (theirs for ours, theirs in kinds.items() if isinstance(database, ours))
    other = kind(database.database, **database.connect_params)
    with other.bind_ctx([User], False, False):
        await objects.create(User, name="ada")
        assert User.get().name == "ada"
    other.close_all()
