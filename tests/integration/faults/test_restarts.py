"""Private servers that stop, start again, are full, or have other passwords."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import peewee
import pytest

from peewee_async import Manager
from tests.integration.backends import POOLED, SYNC, Backend
from tests.integration.checks import give_up, limit
from tests.integration.faults.common import (
    LongQuery,
    lines,
    recovered,
    require_driver,
    until,
    write,
)
from tests.integration.models import Line
from tests.servers import Restartable, Unavailable, restartable

SIZE = 4
NEW_PASSWORD = "another-passw0rd"


@pytest.fixture(scope="module", params=["postgres", "mysql"])
def private(request: pytest.FixtureRequest) -> Iterator[Restartable]:
    """A server for this module alone."""
    try:
        with restartable(request.param) as server:
            yield server
    except Unavailable as missing:
        give_up(request.param, missing)


@pytest.fixture
def backend(private: Restartable) -> Backend:
    server = private.server
    return Backend(server.family, server.description, server, server.database)


@pytest.fixture
def sync(private: Restartable, backend: Backend) -> Iterator[Any]:
    """A database of peewee itself, with an empty table of lines."""
    server = private.server
    database = SYNC[server.family](server.database, **server.options)
    with database.bind_ctx([Line], False, False):
        database.drop_tables([Line])
        database.create_tables([Line])
    yield database
    database.close()


@pytest.fixture
async def objects(private: Restartable, sync: Any) -> AsyncIterator[Manager]:
    server = private.server
    database = POOLED[server.family](
        server.database, **server.options, max_connections=SIZE
    )
    yield Manager(database)
    await database.aio_close()


@pytest.fixture
def running(private: Restartable) -> Iterator[Restartable]:
    """The server, which runs again as usual afterwards."""
    yield private
    private.stop()
    private.start()


async def restart(server: Restartable, sync: Any, **settings: Any) -> None:
    sync.close()
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start, **settings)


# Restarts


async def test_while_connections_are_idle(
    objects: Manager, private: Restartable, sync: Any
) -> None:
    for _ in range(2):
        await recovered(objects)
        await restart(private, sync)
        assert await objects.count(Line) == 0
        await recovered(objects)
        await restart(private, sync)
        async with objects.atomic():
            await objects.count(Line)


async def test_in_a_query(
    objects: Manager, private: Restartable, backend: Backend, sync: Any
) -> None:
    long = LongQuery(backend, sync)
    async with long.under_way(objects, SIZE) as tasks:
        waiting = [asyncio.create_task(objects.count(Line)) for _ in range(5)]
        await asyncio.sleep(0)
        await restart(private, sync)
    for task in tasks:
        require_driver(task.exception(), backend)
        assert isinstance(task.exception(), peewee.OperationalError)
    # They wait for the server, or hear that it is away, but nobody is left waiting.
    async with asyncio.timeout(5):
        results = await asyncio.gather(*waiting, return_exceptions=True)
    for result in results:
        if result != 0:
            require_driver(result, backend)  # type: ignore[arg-type]
            assert "Cannot connect" in str(result)
    await recovered(objects)


async def test_in_a_block(
    objects: Manager, private: Restartable, backend: Backend, sync: Any
) -> None:
    with pytest.raises(peewee.OperationalError) as caught:
        async with objects.atomic():
            await write(objects, "one")
            await restart(private, sync)
            for _ in range(3):
                with pytest.raises(peewee.OperationalError):
                    await write(objects, "two")
    require_driver(caught.value, backend)
    with pytest.raises(peewee.OperationalError) as caught:
        async with objects.atomic():
            await write(objects, "three")
            await restart(private, sync)
    require_driver(caught.value, backend)
    assert lines(sync) == []
    await write(objects, "four")
    assert lines(sync) == ["four"]
    await recovered(objects)


async def test_while_it_is_down_everybody_is_told(
    objects: Manager, running: Restartable, backend: Backend, sync: Any
) -> None:
    await recovered(objects)
    sync.close()
    running.stop()
    async with asyncio.timeout(5):
        results = await asyncio.gather(
            *(objects.count(Line) for _ in range(3 * SIZE)), return_exceptions=True
        )
    for result in results:
        assert isinstance(result, peewee.OperationalError)
        assert str(result).startswith("Cannot connect to ")
        require_driver(result, backend)
    assert objects.database.pool_statistics()[:5] == (0, 0, 0, 0, 0)
    running.start()
    await recovered(objects)


async def test_no_acknowledged_write_is_lost_and_none_is_doubled(
    objects: Manager, private: Restartable, backend: Backend, sync: Any
) -> None:
    acknowledged: set[str] = set()
    tried: set[str] = set()
    enough = asyncio.Event()

    async def worker(name: int) -> None:
        number = 0
        while not enough.is_set():
            number += 1
            pair = [f"{name}.{number}.{half}" for half in "ab"]
            tried.update(pair)
            try:
                async with objects.atomic():
                    for text in pair:
                        await write(objects, text)
            except peewee.OperationalError as error:
                require_driver(error, backend)
            else:
                acknowledged.update(pair)

    tasks = [asyncio.create_task(worker(name)) for name in range(2 * SIZE)]
    for _ in range(2):
        before = len(acknowledged)
        await until(lambda: len(acknowledged) > before + 20)  # noqa: B023
        await restart(private, sync)
    before = len(acknowledged)
    await until(lambda: len(acknowledged) > before + 20)
    enough.set()
    await asyncio.gather(*tasks)
    found = lines(sync)
    assert len(found) == len(set(found))
    assert acknowledged <= set(found) <= tried
    halves = {text[:-2] for text in found}
    assert sorted(found) == sorted(f"{half}.{end}" for half in halves for end in "ab")
    await recovered(objects)


# Too many connections


SETTINGS: dict[str, dict[str, Any]] = {
    "postgres": {"max_connections": 12, "superuser_reserved_connections": 0},
    "mysql": {"max_connections": 10},  # it has no less
}
FULL = {"postgres": "too many clients", "mysql": "Too many connections"}


class Crowd:
    """Connections of somebody else, as many as the server takes."""

    def __init__(self, server: Restartable) -> None:
        self._server = server.server
        self._others: list[Any] = []

    def fill(self) -> None:
        while True:
            other = SYNC[self._server.family](
                self._server.database, **self._server.options
            )
            try:
                other.connect()
            except peewee.OperationalError:
                return
            self._others.append(other)

    def leave(self, count: int) -> None:
        for _ in range(count):
            self._others.pop().close()


@pytest.fixture
async def crowd(running: Restartable, sync: Any) -> AsyncIterator[Crowd]:
    await restart(running, sync, **SETTINGS[running.server.family])
    crowd = Crowd(running)
    yield crowd
    crowd.leave(len(crowd._others))


async def test_too_many_connections(
    objects: Manager, crowd: Crowd, backend: Backend
) -> None:
    full = FULL[backend.name]
    crowd.fill()
    async with asyncio.timeout(5):
        results = await asyncio.gather(
            *(objects.count(Line) for _ in range(10)), return_exceptions=True
        )
    for result in results:
        assert isinstance(result, peewee.OperationalError)
        assert full in str(result)
        require_driver(result, backend)
    crowd.leave(2)
    # With fewer connections than they may have, all are served in turn.
    async with asyncio.timeout(20):
        while True:
            results = await asyncio.gather(
                *(objects.count(Line) for _ in range(50)), return_exceptions=True
            )
            if results == [0] * 50:
                break
            # The server takes a while to see that somebody has left.
            assert all(full in str(result) for result in results if result != 0)
    assert 1 <= objects.database.pool_statistics().size < SIZE
    crowd.leave(SIZE)
    async with asyncio.timeout(20):
        while objects.database.pool_statistics().idle < SIZE:
            await asyncio.gather(*(objects.count(Line) for _ in range(50)))
    await recovered(objects)


# Another password


def set_password(server: Restartable, sync: Any, password: str) -> None:
    user = server.server.user
    if server.server.family == "postgres":
        sync.execute_sql(f"ALTER ROLE {user} PASSWORD '{password}'")
    else:
        sync.execute_sql(f"ALTER USER {user} IDENTIFIED BY '{password}'")


@pytest.fixture
def other_password(private: Restartable, sync: Any) -> Iterator[Any]:
    """A function that sets another password, or again the one that the pool knows."""
    own = private.server.password
    yield lambda other: set_password(private, sync, NEW_PASSWORD if other else own)
    set_password(private, sync, own)


REFUSED = {"postgres": "password authentication failed", "mysql": "Access denied"}


async def test_the_password_is_changed_while_the_pool_is_open(
    objects: Manager, backend: Backend, sync: Any, other_password: Any
) -> None:
    await objects.connect()
    inside, go_on = asyncio.Barrier(2), asyncio.Event()

    async def hold() -> None:
        async with objects.atomic():
            await objects.count(Line)
            await inside.wait()
            await go_on.wait()

    holder = asyncio.create_task(hold())
    await inside.wait()
    other_password(True)
    # What is open goes on: those who wait get it when it is free.
    waiting = [asyncio.create_task(objects.count(Line)) for _ in range(5)]
    await until(lambda: objects.database.pool_statistics().opening)
    await until(lambda: not objects.database.pool_statistics().opening)
    go_on.set()
    async with asyncio.timeout(1):
        assert await asyncio.gather(*waiting) == [0] * 5
    await holder
    await objects.close()
    results = await asyncio.gather(
        *(objects.count(Line) for _ in range(10)), return_exceptions=True
    )
    for result in results:
        assert isinstance(result, peewee.OperationalError)
        assert REFUSED[backend.name] in str(result)
        require_driver(result, backend)
    assert objects.database.pool_statistics()[:5] == (0, 0, 0, 0, 0)
    other_password(False)
    await recovered(objects)


async def test_who_waits_too_long_is_told_why_no_connection_comes(
    private: Restartable, backend: Backend, sync: Any, other_password: Any
) -> None:
    server = private.server
    database = POOLED[server.family](
        server.database, **server.options, max_connections=2
    )
    objects = Manager(database)
    async with objects.atomic():
        other_password(True)
        limit(database, acquire_timeout=1)  # it takes some time to be refused
        with pytest.raises(peewee.OperationalError) as caught:
            async with database.detached():
                pass
    assert "acquire_timeout" in str(caught.value)
    assert REFUSED[backend.name] in str(caught.value)
    other_password(False)
    limit(database, acquire_timeout=30)
    await recovered(objects)
    await database.aio_close()
