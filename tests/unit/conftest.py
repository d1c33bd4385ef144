"""What the tests of the asyncio layer and of the API share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.unit.fakes import FakeDatabase, FakeServer, MemoryDatabase


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    assert server.violations == []


@pytest.fixture
async def database(server: FakeServer) -> AsyncIterator[FakeDatabase]:
    """A database of at most two connections; in the end, none may be left."""
    database = FakeDatabase(server, max_connections=2)
    yield database
    await database.aio_close()
    assert server.alive == []


@pytest.fixture
async def memory() -> AsyncIterator[MemoryDatabase]:
    database = MemoryDatabase()
    yield database
    await database.aio_close()
    assert database.server.violations == []
    assert database.server.alive == []
    database.close()
    database.init(None)  # the memory goes with it
