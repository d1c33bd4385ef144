"""Ruling 8: an HStore that is younger than the pool."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import peewee_asyncext
from peewee_async import Manager
from tests.integration.backends import Backend
from tests.integration.checks import only
from tests.integration.models import User
from tests.integration.rulings.common import SEVEN


@pytest.fixture
def no_hstore_left(sync: Any) -> Iterator[None]:
    yield
    sync.execute_sql("DROP EXTENSION IF EXISTS hstore CASCADE")


@only("postgres")
@pytest.mark.usefixtures("no_hstore_left")
@pytest.mark.parametrize(
    "kind",
    [
        peewee_asyncext.PostgresqlExtDatabase,
        peewee_asyncext.PooledPostgresqlExtDatabase,
    ],
)
async def test_ruling_08_the_extension_is_created_after_the_pool_opened(
    kind: Any, backend: Backend, path: Path, sync: Any
) -> None:
    name, options = backend.options(path)
    objects = Manager(kind(name, **options))
    assert await objects.scalar(SEVEN) == 7
    sync.execute_sql("CREATE EXTENSION hstore")
    query = User.raw("SELECT 'a=>1, b=>NULL'::hstore").tuples()
    assert await objects.execute(query.clone()) == [({"a": "1", "b": None},)]
    async with objects.atomic():
        assert await objects.execute(query.clone()) == [({"a": "1", "b": None},)]
    await objects.close()
