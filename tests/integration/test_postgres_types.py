"""The types of values that are vouched for, whatever a program has values cast to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import peewee
import pytest
from psycopg2 import extensions

from peewee_async.io.aiopg_types import MANY, types_of
from tests.integration.checks import only
from tests.integration.conftest import MakeDatabase

pytestmark = only("postgres")

SOME = f"generate_series(1, {MANY + 1}) AS i"
USUAL = (
    "i::int2, i::int4, i::int8, i::float4, i::float8, i::numeric, i > 2, i::text, "
    "i::varchar, i::char(9), 'x'::\"char\", 'y'::name, date '2026-11-28' + i, "
    "time '10:00' + i * interval '1 s', timetz '10:00+02', "
    "timestamp '2026-11-28' + i * interval '1 s'"
)
UNUSUAL = (
    "NULL::int4, 'NaN'::numeric, 'NaN'::float8, '-Infinity'::float4, ''::text, "
    "'infinity'::date, '-infinity'::timestamp, '24:00'::time, now(), "
    "interval '1 s', '1f'::bytea, 'null'::json, '{1}'::int4[], NULL, 1 = i OR NULL"
)
INT4 = 23


@pytest.mark.parametrize("values", [USUAL, UNUSUAL])
async def test_values_are_of_the_types_that_are_vouched_for(
    database: Any, values: str
) -> None:
    async with database.aio_connection() as raw:
        cursor = await raw.send(f"SELECT {values} FROM {SOME}", ())
        rows = cursor.fetchall()
        types = types_of(cursor, rows)
    assert types is not None
    columns = list(zip(*rows, strict=True))
    for kind, column in zip(types, columns, strict=True):
        assert kind is None or {*map(type, column)} <= {kind, type(None)}
    if values is USUAL:
        known = {int, float, Decimal, bool, str, date, time, datetime}
        assert {*types} == known


class Number(peewee.Model):
    number: Any = peewee.IntegerField()


def numbers() -> Any:
    return Number.raw(f"SELECT i::int4 AS number FROM {SOME}")


async def read(database: Any) -> set[Any]:
    return {row.number for row in await database.aio_execute(numbers())}


@pytest.fixture
def cast() -> Iterator[Any]:
    """Give what makes texts of whole numbers."""
    yield extensions.new_type((INT4,), "OURS", lambda value, _: f"{value}0")
    extensions.register_type(extensions.INTEGER)


PLAIN = {*range(1, MANY + 2)}
TENFOLD = {10 * number for number in PLAIN}


async def test_many_rows_are_converted_where_a_program_casts_values_of_all(
    database: Any, cast: Any
) -> None:
    assert await read(database) == PLAIN
    extensions.register_type(cast)
    assert await read(database) == TENFOLD


async def test_many_rows_are_converted_where_a_program_casts_those_of_a_connection(
    database: Any, cast: Any
) -> None:
    async with database.aio_connection() as raw:
        assert await read(database) == PLAIN
        extensions.register_type(cast, raw.raw)
        assert await read(database) == TENFOLD


async def test_the_casts_of_a_cursor_come_first(database: Any, cast: Any) -> None:
    sql = f"SELECT i::int4, 'x' FROM {SOME}"
    async with database.aio_connection() as raw:
        cursor = await raw.send(sql, ())
        rows = cursor.fetchall()
        assert (types_of(cursor, rows), rows[0]) == ((int, str), (1, "x"))
        extensions.register_type(cast, cursor)
        assert await raw.send(sql, ()) is cursor
        rows = cursor.fetchall()
        assert (types_of(cursor, rows), rows[0]) == ((None, str), ("10", "x"))


async def test_a_cast_that_was_taken_back_meanwhile_is_noticed(
    database: Any, cast: Any
) -> None:
    async with database.aio_connection() as raw:
        extensions.register_type(cast)
        cursor = await raw.send(f"SELECT nullif(i, 1)::int4, i::int8 FROM {SOME}", ())
        extensions.register_type(extensions.INTEGER)
        rows = cursor.fetchall()
        assert rows[1] == ("20", 2)
        assert types_of(cursor, rows) == (None, int)


class Texts(extensions.cursor):  # type: ignore[misc]
    def fetchmany(self, *args: Any) -> Any:
        return [tuple(map(str, row)) for row in super().fetchmany(*args)]


async def test_a_cursor_of_the_program_may_do_anything_to_its_rows(
    make_database: MakeDatabase,
) -> None:
    assert await read(make_database(cursor_factory=Texts)) == PLAIN
