"""A cursor over a reply has what readers of PEP 249 ask of one."""

from __future__ import annotations

from peewee_async.core.boundary import Reply
from peewee_async.cursor import AioCursor

ROWS = [(number, str(number)) for number in range(5)]


def cursor() -> AioCursor:
    return AioCursor(Reply(ROWS, ("n", "text"), 5, None))


async def test_rows_one_by_one() -> None:
    rows = cursor()
    assert [await rows.fetchone() for _ in range(7)] == [*ROWS, None, None]


async def test_rows_by_the_number() -> None:
    rows = cursor()
    assert await rows.fetchmany() == ROWS[:1]
    rows.arraysize = 2
    assert await rows.fetchmany() == ROWS[1:3]
    assert await rows.fetchmany(0) == []
    assert await rows.fetchmany(9) == ROWS[3:]
    assert await rows.fetchmany() == []


async def test_all_rows_that_are_left() -> None:
    rows = cursor()
    await rows.fetchone()
    assert await rows.fetchall() == ROWS[1:]
    assert await rows.fetchall() == []


async def test_rows_in_a_loop() -> None:
    assert list(cursor()) == ROWS
    rows = cursor()
    assert [row async for row in rows] == ROWS
    assert await rows.fetchone() is None


async def test_nothing_is_left_of_a_closed_one() -> None:
    rows = cursor()
    await rows.close()
    await rows.close()
    assert await rows.fetchall() == []


async def test_what_it_says_of_itself() -> None:
    rows = cursor()
    assert rows.rowcount == 5
    assert rows.description == [("n", *[None] * 6), ("text", *[None] * 6)]
    written = AioCursor(Reply((), None, 3, 17))
    assert (written.rowcount, written.lastrowid, written.description) == (3, 17, None)
    assert await written.fetchone() is None
    assert AioCursor(Reply((), ("n",), 0)).description == [("n", *[None] * 6)]
