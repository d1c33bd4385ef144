"""What PostgreSQL alone has: several addresses of a host, JSON and HStore."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest
from playhouse.postgres_ext import BinaryJSONField, HStoreField

import peewee_asyncext
from peewee_async import Manager, PooledPostgresqlDatabase
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


@pytest.mark.usefixtures("hstore")
async def test_hstore_can_be_turned_off(backend: Backend, path: Path) -> None:
    name, options = backend.options(path)
    database = CLASSES[0](name, **options, register_hstore=False)
    query: Any = peewee.RawQuery("SELECT 'a=>1'::hstore").tuples()
    assert await database.aio_execute(query) == [('"a"=>"1"',)]
    await database.aio_close()
