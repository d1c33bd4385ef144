"""What the tests of faults do to a connection, and what must be so afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import peewee
import pytest

from peewee_async import Manager
from tests.integration.backends import Backend
from tests.integration.checks import only, statistics
from tests.integration.models import Line
from tests.integration.proxy import Proxy

servers_only = only("postgres", "mysql")

MODULES = {"postgres": "psycopg2", "mysql": "pymysql", "sqlite": "sqlite3"}
SEVEN: Any = peewee.Select(columns=[peewee.Value(7)])

# Longer than any test waits: whoever waits for the end of one has failed.
LONG = {"postgres": "SELECT pg_sleep(60)", "mysql": "SELECT SLEEP(60)"}
# A thousand rows of 20 kB each: more than all buffers on the way can take.
DIGITS = " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(10))
LARGE = (
    f"SELECT REPEAT('x', 20000) AS text FROM ({DIGITS}) AS a, ({DIGITS}) AS b, "
    f"({DIGITS}) AS c"
)
RUNNING = {
    "postgres": (
        "SELECT COUNT(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%%' "
        "AND state = 'active' AND datname = current_database()"
    ),
    "mysql": (
        "SELECT COUNT(*) FROM information_schema.processlist "
        "WHERE info LIKE 'SELECT SLEEP%%' AND db = DATABASE()"
    ),
}

Points = Callable[[int], Iterable[int]]


def few(total: int) -> Iterable[int]:
    """Choose some of so many bytes, the first and the last ones among them."""
    edges = {0, 1, total - 2, total - 1}
    return sorted(
        edges.union(range(0, total, total // 8 + 1)).intersection(range(total))
    )


sweep = pytest.mark.parametrize(
    "points",
    [
        pytest.param(few, id=pytest.HIDDEN_PARAM),
        pytest.param(range, id="every", marks=pytest.mark.slow),
    ],
)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def is_of_driver(error: BaseException, backend: Backend) -> bool:
    kinds = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
    return MODULES[backend.name] in kinds


def require_driver(error: BaseException | None, backend: Backend) -> None:
    """Check that an error is peewee's, and has one of the driver's behind it."""
    assert isinstance(error, peewee.PeeweeException), repr(error)
    errors = list(chain(error))
    assert any(is_of_driver(each, backend) for each in errors), errors


async def write(objects: Manager, text: str) -> None:
    """Write a row that nothing keeps from being there twice."""
    await objects.execute(Line.insert(text=text))


def insertions(sent: bytes | bytearray) -> int:
    return sent.count(b"INSERT")


def lines(sync: Any) -> list[str]:
    """Read what was written, as somebody else sees it."""
    rows = sync.execute_sql("SELECT text FROM line").fetchall()
    return sorted(text for (text,) in rows)


async def settled(objects: Manager, proxy: Proxy) -> None:
    """Wait until the pool has ended what was abandoned: it connects for that, too.

    Its goodbyes have arrived by then, or the proxy would count them later.
    """
    pool = objects.database.ready_sessions().pool
    async with asyncio.timeout(10):
        await pool._background.wait(None)
        await until(lambda: len(proxy.open_links) == pool.statistics().size)


async def recovered(objects: Manager) -> None:
    """Check that all is as it should be once a fault is over.

    Nothing is busy, no slot is lost, and whoever waits is served within a second.
    """
    database = objects.database
    count = statistics(database)
    assert (count.busy, count.waiting) == (0, 0), count
    size = database._pool_options.max_connections
    pool = database.ready_sessions().pool
    async with asyncio.timeout(1):
        connections = [pool.take() or await pool.wait() for _ in range(size)]
        for connection in connections:
            pool.give_back(connection)
        answers = await asyncio.gather(
            *(objects.scalar(SEVEN) for _ in range(2 * size))
        )
    assert answers == [7] * (2 * size)
    assert statistics(database)[:5] == (size, size, 0, 0, 0)


class LongQuery:
    """A query that lasts, and a way to see that servers are at it."""

    def __init__(self, backend: Backend, sync: Any) -> None:
        self._sync = sync
        self._running = RUNNING[backend.name]
        self.query: Any = Line.raw(LONG[backend.name]).tuples()

    def running(self) -> int:
        count: int = self._sync.execute_sql(self._running).fetchone()[0]
        return count

    async def until_running(self, count: int = 1) -> None:
        await until(lambda: self.running() == count)

    @asynccontextmanager
    async def under_way(self, objects: Manager, count: int = 1) -> Any:
        """Have so many tasks wait for it; whatever ends them is to happen inside."""
        tasks = [asyncio.create_task(objects.execute(self.query)) for _ in range(count)]
        await self.until_running(count)
        yield tasks
        await asyncio.wait(tasks)


async def until(condition: Callable[[], Any]) -> None:
    """Let other tasks go on until something is so."""
    # What another process or a pool does is no event of ours.
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


class Oops(Exception):
    """An error of the user's own."""
