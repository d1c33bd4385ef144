"""Fixtures: servers for the session, and for each test a database and its tables.

`backend` runs a test on each backend; `@only("postgres")` narrows that down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_async import AioDatabase, AioModel, Manager
from tests.integration import models
from tests.integration.backends import NAMES, Backend, Backends, Record, required
from tests.integration.checks import statistics
from tests.integration.edges import Twins
from tests.integration.watching import Long
from tests.servers import Unavailable

MakeDatabase = Callable[..., AioDatabase]
CreateTables = Callable[..., None]

records = {name: Record() for name in NAMES}


def pytest_configure(config: pytest.Config) -> None:
    try:
        names = required()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    for name in names:
        records[name].required = True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("backends")
    for name, record in records.items():
        terminalreporter.line(f"{name}: {record}")


@pytest.fixture(scope="session")
def backends() -> Iterator[Backends]:
    with ExitStack() as stack:
        yield Backends(stack, records)


@pytest.fixture(params=NAMES)
def backend(request: pytest.FixtureRequest, backends: Backends) -> Backend:
    """Run the test on each backend; skip it, or fail, where there is none."""
    return find_backend(backends, request.param)


def find_backend(backends: Backends, name: str) -> Backend:
    """Give a backend, or skip the test, or fail it where the backend is required."""
    try:
        return backends.get(name)
    except Unavailable as missing:
        reason = f"{name}: {missing}"
    if records[name].required:
        pytest.fail(f"This backend is required. {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a SQLite database."""
    return tmp_path / "test.db"


@pytest.fixture
def sync(backend: Backend, path: Path) -> Iterator[Any]:
    """A database of peewee itself, to prepare things and to look at them."""
    database = backend.make_sync(path)
    yield database
    database.close()


@pytest.fixture
def tables(backend: Backend, sync: Any) -> Iterator[CreateTables]:
    """A function that creates the tables of models, for as long as the test lasts."""
    created: list[type[peewee.Model]] = []

    def create(*wanted: type[peewee.Model]) -> None:
        with sync.bind_ctx(wanted, False, False):
            sync.create_tables(wanted)
        created.extend(wanted)

    yield create
    if backend.name == "sqlite":
        return
    end_other_sessions(backend, sync)
    with sync.bind_ctx(created, False, False):
        sync.drop_tables(created)


def end_other_sessions(backend: Backend, sync: Any) -> None:
    """End what a failed or cancelled test has left: nothing may block the drop."""
    if backend.name == "postgres":
        sync.execute_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return
    sessions = sync.execute_sql(
        "SELECT id FROM information_schema.processlist "
        "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    )
    for (number,) in sessions.fetchall():
        with suppress(peewee.OperationalError):  # it has ended by itself
            sync.execute_sql(f"KILL {number}")


@pytest.fixture
async def make_database(
    backend: Backend, path: Path, tables: CreateTables
) -> AsyncIterator[MakeDatabase]:
    """A function that makes database objects; afterwards none may be in use."""
    made: list[AioDatabase] = []

    def make(*, pooled: bool = True, **options: Any) -> AioDatabase:
        database = backend.make(path, pooled=pooled, **options)
        made.append(database)
        return database

    yield make
    left = [statistics(database) for database in made if database.is_connected]
    for database in made:
        await database.aio_close()
        with database.allow_sync():
            database.close()
    for count in left:
        assert (count.busy, count.waiting) == (0, 0)


@pytest.fixture(params=[True], ids=[pytest.HIDDEN_PARAM])
def pooled(request: pytest.FixtureRequest) -> bool:
    """Whether `database` has a pool: parametrise it to have both."""
    return bool(request.param)


@pytest.fixture
def database(make_database: MakeDatabase, pooled: bool) -> Iterator[AioDatabase]:
    """A fresh database object, with all models bound to it."""
    database = make_database(pooled=pooled)
    all_models = [
        model
        for model in vars(models).values()
        if isinstance(model, type)
        and issubclass(model, AioModel)
        and model is not AioModel
    ]
    with database.bind_ctx(all_models, False, False):
        yield database


@pytest.fixture
def objects(database: AioDatabase, tables: CreateTables) -> Manager:
    """A Manager of `database`, with the core tables created."""
    tables(*models.CORE)
    return Manager(database)


@pytest.fixture
def twins(sync: Any, database: AioDatabase) -> Twins:
    """The database of peewee itself, and one of the package, side by side."""
    return Twins(sync, database)


@pytest.fixture
def long(backend: Backend, sync: Any, database: AioDatabase) -> Long:
    statement = Long(backend, sync)
    statement.watch(database)
    return statement
