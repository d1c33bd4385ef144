"""Fixtures: a proxy before the server, and a Manager whose connections go through."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from peewee_async import Manager
from tests.integration.backends import Backend
from tests.integration.conftest import CreateTables, MakeDatabase
from tests.integration.faults.common import LongQuery
from tests.integration.models import Line
from tests.integration.proxy import HOST, Proxy

MakeManager = Callable[..., Manager]


@pytest.fixture(autouse=True)
async def quiet_loop() -> AsyncIterator[None]:
    """Fail if anything was left for an event loop to complain of."""
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    yield
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


@pytest.fixture
async def proxy(backend: Backend) -> AsyncIterator[Proxy]:
    """A proxy that leads to the server."""
    assert backend.server is not None
    async with Proxy(backend.server.host, backend.server.port) as proxy:
        yield proxy


@pytest.fixture
def make_through(
    proxy: Proxy, make_database: MakeDatabase, tables: CreateTables
) -> MakeManager:
    """A function that makes Managers whose connections go through the proxy."""
    tables(Line)

    def make(**options: Any) -> Manager:
        return Manager(make_database(host=HOST, port=proxy.port, **options))

    return make


@pytest.fixture
def through(make_through: MakeManager, pooled: bool) -> Manager:
    """One of them."""
    return make_through(pooled=pooled)


@pytest.fixture
def long(backend: Backend, sync: Any) -> LongQuery:
    return LongQuery(backend, sync)
