"""What PostgreSQL alone has: several addresses of a host, JSON and HStore."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import Any

import peewee
import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playhouse.postgres_ext import BinaryJSONField, HStoreField
from psycopg2 import extensions

import peewee_asyncext
from peewee_async import Manager, PooledPostgresqlDatabase
from peewee_async.io.aiopg_driver import Driver
from peewee_async.io.aiopg_hstore import HStore
from peewee_async.io.aiopg_values import with_plain_values
from tests.integration.backends import Backend
from tests.integration.checks import only

pytestmark = only("postgres")

CLASSES = [
    peewee_asyncext.PostgresqlExtDatabase,
    peewee_asyncext.PooledPostgresqlExtDatabase,
]


class Thing(peewee.Model):
    id: Any = peewee.AutoField()
    data: Any = BinaryJSONField(null=True, index=False)


class Labelled(peewee.Model):
    id: Any = peewee.AutoField()
    labels: Any = HStoreField(index=False)


@pytest.fixture
def hstore(sync: Any) -> Iterator[None]:
    sync.execute_sql("CREATE EXTENSION hstore")
    yield
    sync.execute_sql("DROP EXTENSION hstore CASCADE")


async def test_an_address_that_does_not_answer_is_passed_over(
    backend: Backend, path: Path
) -> None:
    name, options = backend.options(path)
    address = socket.gethostbyname(options["host"])
    database = PooledPostgresqlDatabase(
        name, **options | {"host": "no,yes", "hostaddr": f"127.0.0.9,{address}"}
    )
    query: Any = peewee.RawQuery("SELECT 1").tuples()
    assert await database.aio_execute(query) == [(1,)]
    await database.aio_close()


@pytest.mark.parametrize("kind", CLASSES)
async def test_json_without_the_extension(
    kind: Any, backend: Backend, path: Path, tables: Any
) -> None:
    tables(Thing)
    name, options = backend.options(path)
    for more in ({}, {"register_hstore": False}):
        database = kind(name, **options, **more)
        objects = Manager(database)
        data = {"list": [1, None, "two"], "percent": "%s"}
        made = await objects.create(Thing, data=data)
        assert (await objects.get(Thing, id=made.id)).data == data
        with database.allow_sync(), database.bind_ctx([Thing], False, False):
            assert Thing.get_by_id(made.id).data == data
        await objects.close()


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.usefixtures("hstore")
async def test_hstore_gives_dicts(
    kind: Any, backend: Backend, path: Path, tables: Any
) -> None:
    tables(Labelled)
    name, options = backend.options(path)
    database = kind(name, **options)
    objects = Manager(database)
    labels = {"a": "1", "quoted": 'x "y"', "none": None}
    made = await objects.create(Labelled, labels=labels)
    assert (await objects.get(Labelled, id=made.id)).labels == labels
    with database.allow_sync(), database.bind_ctx([Labelled], False, False):
        assert Labelled.get_by_id(made.id).labels == labels
    await objects.close()


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The numbers of types that connections have asked their server about."""
    asked: list[list[int]] = []
    names = HStore._names

    async def recorded(self: HStore, types: list[int]) -> list[tuple[int, str]]:
        asked.append(types)
        return await names(self, types)

    monkeypatch.setattr(HStore, "_names", recorded)
    return asked


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("schema", ["public", "Own Types"])
async def test_hstore_that_comes_later_gives_dicts(
    kind: Any,
    schema: str,
    backend: Backend,
    path: Path,
    sync: Any,
    lookups: list[list[int]],
) -> None:
    name, options = backend.options(path)
    database = kind(name, **options)
    await database.aio_connect()
    sync.execute_sql(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    try:
        for _ in range(2):  # the second time it is another type of the same name
            sync.execute_sql(f'CREATE EXTENSION hstore SCHEMA "{schema}"')
            kind_of_value = f'"{schema}".hstore'
            query: Any = peewee.RawQuery(
                f"SELECT n, v, ARRAY[v, NULL], NULL::{kind_of_value} FROM (VALUES "
                f"(1, 'a=>1, b=>NULL'::{kind_of_value}), (2, NULL), (3, '')) AS t(n, v)"
            ).tuples()
            for _ in range(3):
                assert await database.aio_execute(query) == [
                    (1, {"a": "1", "b": None}, [{"a": "1", "b": None}, None], None),
                    (2, None, [None, None], None),
                    (3, {}, [{}, None], None),
                ]
            sync.execute_sql("DROP EXTENSION hstore")
        assert [len(types) for types in lookups] == [2, 2]
    finally:
        sync.execute_sql("DROP EXTENSION IF EXISTS hstore")
        if schema != "public":
            sync.execute_sql(f'DROP SCHEMA "{schema}"')
        await database.aio_close()


async def test_hstore_that_comes_later_within_a_transaction(
    backend: Backend, path: Path, request: pytest.FixtureRequest
) -> None:
    """A snapshot is too old for the rows of pg_type, but not for the type."""
    name, options = backend.options(path)
    database = CLASSES[0](name, **options)
    one: Any = peewee.RawQuery("SELECT 1").tuples()
    async with database.aio_atomic(isolation_level="SERIALIZABLE"):
        assert await database.aio_execute(one) == [(1,)]
        request.getfixturevalue("hstore")
        query: Any = peewee.RawQuery("SELECT 'a=>1'::hstore").tuples()
        assert await database.aio_execute(query) == [({"a": "1"},)]
    await database.aio_close()


async def test_a_dict_is_written_to_hstore_that_comes_later(
    backend: Backend,
    path: Path,
    tables: Any,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    # psycopg2 keeps this for the process: another test may have registered it.
    key = (dict, extensions.ISQLQuote)
    monkeypatch.delitem(extensions.adapters, key, raising=False)
    name, options = backend.options(path)
    objects = Manager(CLASSES[1](name, **options))
    await objects.connect()
    request.getfixturevalue("hstore")
    tables(Labelled)
    made = await objects.create(Labelled, labels={"a": "1"})
    assert (await objects.get(Labelled, id=made.id)).labels == {"a": "1"}
    assert await objects.scalar(Labelled.select(Labelled.labels["a"])) == "1"
    await objects.close()


async def test_other_types_are_asked_about_once(
    backend: Backend, path: Path, sync: Any, lookups: list[list[int]]
) -> None:
    name, options = backend.options(path)
    sync.execute_sql("CREATE TYPE color AS ENUM ('red')")
    enum: Any = peewee.RawQuery("SELECT 'red'::color, ARRAY['red'::color]").tuples()
    usual: Any = peewee.RawQuery("SELECT 1, 'a', NULL, ARRAY[1], '{}'::json").tuples()
    for more, count in (({}, 1), ({"register_hstore": False}, 0)):
        lookups.clear()
        database = CLASSES[0](name, **options, **more)
        for _ in range(3):
            assert await database.aio_execute(usual) == [(1, "a", None, [1], {})]
            assert await database.aio_execute(enum) == [("red", "{red}")]
        assert len(lookups) == count
        await database.aio_close()
    sync.execute_sql("DROP TYPE color")


async def test_hstore_that_is_registered_for_all_connections_is_left_alone(
    backend: Backend,
    path: Path,
    sync: Any,
    lookups: list[list[int]],
) -> None:
    name, options = backend.options(path)
    database = CLASSES[0](name, **options)
    await database.aio_connect()
    sync.execute_sql("CREATE EXTENSION hstore")
    kinds: tuple[int, ...] = ()
    try:
        kinds = sync.execute_sql("SELECT 'hstore'::regtype::oid").fetchall()[0]
        cast = extensions.new_type(kinds, "OURS", lambda value, _: f"ours: {value}")
        extensions.register_type(cast)
        query: Any = peewee.RawQuery("SELECT 'a=>1'::hstore").tuples()
        assert await database.aio_execute(query) == [('ours: "a"=>"1"',)]
        assert lookups == []
    finally:
        for kind in kinds:
            extensions.string_types.pop(kind, None)
        sync.execute_sql("DROP EXTENSION hstore")
        await database.aio_close()


@pytest.mark.usefixtures("hstore")
async def test_hstore_that_was_there_is_not_asked_about(
    backend: Backend, path: Path, lookups: list[list[int]]
) -> None:
    name, options = backend.options(path)
    database = CLASSES[0](name, **options)
    query: Any = peewee.RawQuery("SELECT 'a=>1'::hstore").tuples()
    assert await database.aio_execute(query) == [({"a": "1"},)]
    assert lookups == []
    await database.aio_close()


@pytest.mark.parametrize("error", [psycopg2.Error, asyncio.CancelledError])
async def test_a_connection_that_cannot_ask_for_hstore_is_closed(
    backend: Backend, path: Path, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    drivers: list[Any] = []

    async def fail(self: Any) -> Any:
        drivers.append(self)
        raise error

    monkeypatch.setattr(Driver, "_get_oids", fail)
    name, options = backend.options(path)
    database = CLASSES[0](name, **options)
    with pytest.raises(peewee.OperationalError):
        await database.aio_connect()
    assert [driver.closed for driver in drivers] == [1]
    await database.aio_close()


async def test_asking_for_a_type_can_be_cancelled(
    backend: Backend,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    name, options = backend.options(path)
    database = CLASSES[0](name, **options)
    await database.aio_connect()
    request.getfixturevalue("hstore")
    asked, never = asyncio.Event(), asyncio.Event()

    async def hang(self: HStore, types: list[int]) -> list[tuple[int, str]]:
        asked.set()
        await never.wait()
        return []

    query: Any = peewee.RawQuery("SELECT 'a=>1'::hstore").tuples()
    with monkeypatch.context() as patch:
        patch.setattr(HStore, "_names", hang)
        task = asyncio.create_task(database.aio_execute(query))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await database.aio_execute(query) == [({"a": "1"},)]
    await database.aio_close()


@pytest.mark.usefixtures("hstore")
async def test_hstore_can_be_turned_off(backend: Backend, path: Path) -> None:
    name, options = backend.options(path)
    database = CLASSES[0](name, **options, register_hstore=False)
    query: Any = peewee.RawQuery("SELECT 'a=>1'::hstore").tuples()
    assert await database.aio_execute(query) == [('"a"=>"1"',)]
    await database.aio_close()


class Word(str):
    pass


class Grade(IntEnum):
    GOOD = 2


PLAIN = ["", "ada", "-- x", 'a "b"', "a; b", 0, 7, -7, 10**30, True, False, None]
OTHERS = [
    *("it's", "a\\b", "%s", "%", "a\nb", "\x7f", "h\xe9", "\u2028", Word("ada")),
    *(Grade.GOOD, 1.5, b"%s", [1, "a"], Decimal("1.50"), datetime(2026, 1, 2)),
]
SEVERAL = ["SELECT %s, %s, -%s", "SELECT %s%s %s"]


@pytest.mark.parametrize("value", [*PLAIN, *OTHERS])
def test_plain_values_are_written_as_psycopg2_writes_them(
    value: Any, sync: Any
) -> None:
    write = sync.connection().cursor().mogrify
    for sql in SEVERAL:
        for params in ((value, 1, "a"), ("b", value, value)):
            ours = with_plain_values(sql, params)
            assert write(*ours) == write(sql, params)
            left = any(each is value for each in ours[1])
            assert left == any(each is value for each in OTHERS)


# psycopg2 refuses a NUL, and text that the charset does not have.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
ANYTHING = st.one_of(
    TEXTS,
    st.text(st.characters(max_codepoint=0x7F, exclude_characters="\0")),
    *(st.integers(), st.booleans(), st.none(), st.binary(), st.floats()),
)


def test_any_values_are_written_as_psycopg2_writes_them(sync: Any) -> None:
    write = sync.connection().cursor().mogrify

    @settings(deadline=None)
    @given(st.lists(ANYTHING, min_size=1), st.sampled_from([", ", " - ", "-"]))
    def is_the_same(values: list[Any], between: str) -> None:
        sql, params = "SELECT " + between.join(["%s"] * len(values)), tuple(values)
        assert write(*with_plain_values(sql, params)) == write(sql, params)

    is_the_same()


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT 1", ()),
        ("SELECT '%%'", ()),
        ("SELECT '%%', %s", (1,)),
        ("SELECT %s, '%%s'", (1,)),
        ("SELECT %s", (1, 2)),
        ("SELECT %s, %s", (1,)),
        ("SELECT %(a)s", (1,)),
        (b"SELECT %s", (1,)),
    ],
)
@pytest.mark.usefixtures("backend")
def test_other_statements_are_left_as_they_are(sql: Any, params: Any) -> None:
    assert with_plain_values(sql, params) == (sql, params)


async def test_a_program_may_register_how_values_are_written(database: Any) -> None:
    params = ("ada", 1)
    extensions.register_adapter(str, lambda text: extensions.AsIs("'changed'"))
    try:
        assert with_plain_values("SELECT %s, %s", params)[1] == params
        rows = await database.aio_execute_sql("SELECT %s, %s", params)
    finally:
        extensions.register_adapter(str, extensions.QuotedString)
    assert rows == [("changed", 1)]
