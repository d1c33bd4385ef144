"""A big reply leaves the event loop to others while its rows are made."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from peewee_async import AioDatabase
from tests.integration.checks import only

ROWS = 10_000
NUMBERS = "SELECT number FROM generate_series(1, %s) AS number"


def steps(work: Coroutine[Any, Any, Any]) -> tuple[int, Any]:
    """Do work that waits for nothing but its turn; how many times, and the value."""
    count = 0
    while True:
        try:
            work.send(None)
        except StopIteration as stop:
            return count, stop.value
        count += 1


@only("postgres")
async def test_rows_of_postgresql_are_read_in_portions(database: AioDatabase) -> None:
    from peewee_async.io.aiopg_rows import PORTION, rows_of

    async with database.aio_connection() as raw:
        cursor = await raw.send(NUMBERS, (ROWS,))
        turns, rows = steps(rows_of(cursor, None, None))
        assert (turns, rows) == (ROWS // PORTION - 1, [(n + 1,) for n in range(ROWS)])
        cursor = await raw.send(NUMBERS, (ROWS,))
        turns, rows = steps(rows_of(cursor, PORTION + 1, None))
        assert (turns, rows) == (1, [(n + 1,) for n in range(PORTION + 1)])
        cursor = await raw.send(NUMBERS, (PORTION,))
        assert steps(rows_of(cursor, None, None))[0] == 0


@only("mysql")
async def test_packets_of_mysql_that_are_there_leave_a_turn(
    database: AioDatabase,
) -> None:
    async def read(count: int) -> list[bytes]:
        return [(await raw._read_packet()).get_all_data() for _ in range(count)]

    async with database.aio_connection() as raw:
        raw._next_seq_id = 1
        numbers = [(n + 1) % 256 for n in range(600)]
        packets = [bytes([2, 0, 0, number, 7, number]) for number in numbers]
        raw._reader.feed_data(b"".join(packets))
        assert steps(read(600)) == (2, [packet[4:] for packet in packets])
        assert await database.aio_execute_sql("SELECT 1") == [(1,)]


@only("mysql")
async def test_columns_of_mysql_are_told_apart(database: AioDatabase) -> None:
    for sql in ("SELECT 1 AS one, 'x' AS two", "SELECT 'x' AS one, 1 AS two"):
        (row,) = await database.aio_execute_sql(sql)
        again = await database.aio_execute_sql(sql, fetch_results=_rows)
        assert again == [row]
    assert row == ("x", 1)


async def _rows(database: AioDatabase, cursor: Any) -> list[Any]:
    names = [column[0] for column in cursor.description]
    assert names == ["one", "two"]
    return list(cursor)
