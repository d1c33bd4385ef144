"""For each backend three databases with the same tables: one for each way of asking."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import peewee
import pytest
import pytest_asyncio
from pymysql.constants import CLIENT

from peewee_async import AioDatabase, AioModel
from tests.integration.backends import NAMES, Backend, Backends, own_database
from tests.integration.conftest import find_backend, records
from tests.integration.differential.models import Matrix
from tests.integration.differential.sides import SCHEMA, Side, Sides
from tests.integration.differential.ways import ByManager, ByModel, Sync


@pytest.fixture(scope="package", params=NAMES)
def backend(request: pytest.FixtureRequest, backends: Backends) -> Backend:
    """Run the test on each backend, as elsewhere; all tests of one after another."""
    found = find_backend(backends, request.param)
    records[found.name].tests -= 1  # each test counts itself
    return found


@pytest.fixture(autouse=True)
def counted(backend: Backend) -> None:
    records[backend.name].tests += 1


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def sides(
    backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Sides]:
    """The three ways, each with the same rows."""
    folder = tmp_path_factory.mktemp("differential")
    with ExitStack() as stack:
        places = [
            stack.enter_context(place(backend, folder / name))
            for name in ("sync", "model", "manager")
        ]
        sync = sync_side(*places[0])
        by_model = async_side(ByModel, AioModel, *places[1])
        by_manager = async_side(ByManager, peewee.Model, *places[2])
        by_manager.models.bind(None)
        # A JSONField learns from its model's database how to read and write.
        by_manager.models.Everything._meta.set_database(by_manager.way.database)
        found = Sides(sync, [by_model, by_manager])
        try:
            yield found
            found.check()
        finally:
            for side in found.all:
                side.janitor.close()
            sync.way.database.close()
            for side in found.others:
                await side.way.database.aio_close()


@contextmanager
def place(backend: Backend, path: Path) -> Iterator[tuple[Backend, Path]]:
    """Make a database with a second schema in it, or beside it."""
    if backend.server is None:
        yield backend, path
        return
    with own_database(backend.server) as (name, _):
        here = replace(backend, database=name)
        try:
            yield here, path
        finally:
            if backend.name == "mysql":
                drop_schema(here, path)


def drop_schema(backend: Backend, path: Path) -> None:
    """Drop the schema that is a database beside the other one."""
    janitor = backend.make_sync(path)
    with janitor.connection_context():
        janitor.execute_sql(f"DROP DATABASE IF EXISTS {schema_of(backend)}")


def sync_side(backend: Backend, path: Path) -> Side:
    database = plain(backend, path)
    models = Matrix(peewee.Model, backend.name, schema_of(backend))
    models.bind(database)
    return make_side(Sync(database, models), backend, path)


def async_side(kind: Any, base: Any, backend: Backend, path: Path) -> Side:
    database: AioDatabase = backend.make(path, pooled=True)
    attach(database, path)
    models = Matrix(base, backend.name, schema_of(backend))
    models.bind(database)
    return make_side(kind(database, models), backend, path)


def make_side(way: Any, backend: Backend, path: Path) -> Side:
    janitor = plain(backend, path)
    if backend.name == "mysql":
        janitor.connect_params["client_flag"] = CLIENT.MULTI_STATEMENTS
    if backend.name != "sqlite":
        janitor.execute_sql(f"CREATE SCHEMA {way.models.schema}")
    if backend.name == "mysql":
        janitor.execute_sql("SET FOREIGN_KEY_CHECKS = 0")
    if backend.name == "postgres":
        janitor.connection().autocommit = True
    names = {way.models.schema: SCHEMA, backend.database or str(path): "the database"}
    return Side(way, janitor, names)


def plain(backend: Backend, path: Path) -> Any:
    """Make a database of peewee itself, with what ours has by default."""
    database = backend.make_sync(path)
    if backend.name == "mysql":
        # Peewee up to 4.4 has another charset, and no strict mode.
        ours = backend.make(path, pooled=False).connect_params
        database.connect_params |= {
            name: ours[name] for name in ("charset", "sql_mode") if name in ours
        }
    attach(database, path)
    return database


def attach(database: Any, path: Path) -> None:
    if isinstance(database, peewee.SqliteDatabase):
        database.attach(str(path.with_suffix(".other")), SCHEMA)


def schema_of(backend: Backend) -> str:
    # To MySQL a schema is a database, and of those there is one of each name.
    return f"{backend.database}_other" if backend.name == "mysql" else SCHEMA
