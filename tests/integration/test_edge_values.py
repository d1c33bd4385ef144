"""Values at the edge of what a database, or its driver, can take."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import peewee
import pytest

from tests.integration.backends import Backend
from tests.integration.checks import only
from tests.integration.conftest import CreateTables
from tests.integration.edges import Twins, raw, same_mode, select
from tests.integration.models import Everything

NAN, INFINITY = float("nan"), float("inf")
Decimal = decimal.Decimal


class Odd:
    """No driver knows what to make of this."""

    def __repr__(self) -> str:
        return "<Odd>"


class Word(str):
    """Text that is printed as something else."""

    def __str__(self) -> str:
        return "printed"


class Colour(str, enum.Enum):  # noqa: UP042 - a StrEnum is printed as its value
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


PARAMETERS: dict[str, Any] = {
    "text of its own": Word("word"),
    "an Enum of text": Colour.RED,
    "an Enum of numbers": Level.HIGH,
    "NUL in text": "a\0b",
    "high surrogate": "a\ud800b",
    "quotes": "'\"`\\'' \\\" -- ; /* %s %(x)s ? :x $1 {}",
    "a backslash at the end": "a\\",
    "characters of four bytes": "𝄞🜁",
    "control characters": "".join(map(chr, range(1, 32))) + "\x7f\x1a",
    "percent": "%",
    "format": "%d %s %%",
    "bytes": b"\xff\0\\'\"%s",
    "bytearray": bytearray(b"ab"),
    "no bytes": b"",
    "no text": "",
    "64 bit": 2**63 - 1,
    "more than 64 bit": 2**63,
    "less than 64 bit": -(2**63) - 1,
    "400 digits": 10**400,
    "too many digits for Python": 10**5000,
    "NaN": NAN,
    "infinity": INFINITY,
    "minus infinity": -INFINITY,
    "a tiny number": 5e-324,
    "minus zero": -0.0,
    "Decimal": Decimal("1.50"),
    "Decimal infinity": Decimal("Infinity"),
    "Decimal sNaN": Decimal("sNaN"),
    "Decimal NaN": Decimal("NaN"),
    "the first date": datetime.date.min,
    "the last date": datetime.date.max,
    "the first moment": datetime.datetime.min,
    "the last moment": datetime.datetime.max,
    "with a time zone": datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC),
    "time": datetime.time(1, 2, 3, 4),
    "less than no time": datetime.timedelta(days=-400, seconds=3),
    "the longest time": datetime.timedelta.max,
    "UUID": uuid.UUID(int=5),
    "None": None,
    "bool": True,
    "path": Path("x"),
    "complex": 1j,
    "object": Odd(),
    "class": int,
    "function": raw,
    "exception": ValueError("x"),
    "generator": (number for number in range(0)),
    "dict": {"a": 1},
    "empty set": set(),
    "frozenset": frozenset([1]),
}


async def test_a_parameter(twins: Twins) -> None:
    for name, given in PARAMETERS.items():
        value = peewee.Value(given, unpack=False)
        await twins.agree(partial(select, value), name)


@pytest.mark.parametrize("given", [[1, 2], (1, "'"), (), [[1], [2]]], ids=repr)
async def test_several_values_in_one_parameter(given: Any, twins: Twins) -> None:
    value = peewee.Value(given, unpack=False)
    await twins.agree(lambda: select(value))
    await twins.agree(lambda: select(peewee.Value(1).in_(value)))


async def test_memory_is_bytes(twins: Twins) -> None:
    # PyMySQL sends the repr of a memoryview, which nobody can want.
    rows = await twins.rows(f"SELECT {twins.database.param}", memoryview(b"a\xff"))
    assert bytes(rows[0][0]) == b"a\xff"


@pytest.mark.parametrize("code", [0xD800, 0xDCFF], ids=["high", "low"])
async def test_a_lone_surrogate(code: int, twins: Twins) -> None:
    given = chr(code)
    for make in (
        lambda: select(peewee.Value(given)),
        lambda: select(peewee.Value(1).alias(given)),
        lambda: raw(f"SELECT '{given}'"),
    ):
        # Some versions of PyMySQL send bytes that are no text for the low ones.
        assert isinstance(await twins.ours(make), UnicodeEncodeError)
        await twins.check_usable()


COLUMNS: dict[str, dict[str, Any]] = {
    "integer": {"integer": 2**31},
    "negative integer": {"integer": -(2**31) - 1},
    "bigint": {"bigint": 2**63},
    "text in an integer": {"integer": "x"},
    "a fraction in an integer": {"integer": 1.5},
    "char": {"char": "x" * 256},
    "real": {"real": INFINITY},
    "the largest real": {"real": 1.7976931348623157e308},
    "decimal": {"decimal": Decimal(10) ** 30},
    "decimal infinity": {"decimal": Decimal("Infinity")},
    "decimal text": {"decimal": "abc"},
    "more digits than the decimal": {"decimal": Decimal("0.123456789")},
    "boolean": {"boolean": "maybe"},
    "NUL in char": {"char": "a\0b"},
    "NUL in text": {"text": "a\0b"},
    "blob": {"blob": b"\xff\0\\'\"%s"},
    "invalid UTF-8": {"blob": b"\xc3\x28"},
    "date": {"date": datetime.date.min},
    "date text": {"date": "nope"},
    "the 31st of February": {"date": "2021-02-31"},
    "a time that is none": {"time": "25:61:61"},
    "datetime": {"datetime": datetime.datetime.max},
    "uuid": {"uuid": "nope"},
    "JSON with NaN": {"json": {"a": NAN}},
    "JSON with an object": {"json": Odd()},
    "JSON with NUL": {"json": "a\0b"},
    "JSON with a surrogate": {"json": "\ud800"},
    "JSON with percent signs": {"json": {"%s": "100%", "\\": "'\""}},
    "object": {"text": Odd()},
    "list": {"text": [1, 2]},
    "set": {"text": {1}},
    "query": {"integer": Everything.select(Everything.integer).limit(1)},
}


async def test_a_value_of_a_column(
    twins: Twins, backend: Backend, tables: CreateTables
) -> None:
    tables(Everything)
    await same_mode(twins, backend)
    for name, given in COLUMNS.items():
        await twins.agree_in_turn(
            [
                partial(Everything.insert, id=1, **given),
                lambda: Everything.select().tuples(),
                Everything.delete,
            ],
            name,
        )


# What a server can send, and Python cannot hold.

UNREADABLE = {
    "postgres": [
        "'0044-03-15 BC'::date",
        "'0044-03-15 BC'::timestamp",
        "'10000-01-01'::date",
        "'10000-01-01'::timestamp",
        "'1000000000 days'::interval",
    ],
    "mysql": [],
    "sqlite": ["CAST(x'ff' AS TEXT)"],
}
UNUSUAL = {
    "postgres": [
        "'infinity'::date",
        "'-infinity'::date",
        "'infinity'::timestamp",
        "'24:00'::time",
        "'1800-01-01 00:00:00+00:19:32'::timestamptz",
        "'Infinity'::numeric",
        "'Infinity'::float8",
        "1e400",
        "ARRAY[NULL, 1]",
    ],
    "mysql": [
        "CAST('0000-00-00' AS DATE)",
        "CAST('0000-00-00 00:00:00' AS DATETIME)",
        "DATE '2020-02-31'",
        "TIME '838:59:59'",
        "TIME '-838:59:59'",
        "CONVERT(X'ff' USING utf8mb4)",
        "_latin1 X'ff'",
        "1e400",
        "18446744073709551615",
        "1/0",
        "b'101'",
    ],
    "sqlite": ["1e400", "-9223372036854775808", "99999999999999999999", "1/0"],
}


async def test_unusual_values_in_a_reply(twins: Twins, backend: Backend) -> None:
    for sql in UNUSUAL[backend.name]:
        await twins.agree(partial(raw, f"SELECT {sql}"), sql)


@only("postgres", "sqlite")
async def test_a_reply_that_cannot_be_read(twins: Twins, backend: Backend) -> None:
    for sql in UNREADABLE[backend.name]:
        outcome = await twins.agree(partial(raw, f"SELECT {sql}"), sql)
        assert isinstance(outcome, Exception), sql


@only("postgres", "sqlite")
async def test_a_reply_that_cannot_be_read_leaves_the_block_alone(
    twins: Twins, backend: Backend, tables: CreateTables
) -> None:
    tables(Everything)
    async with twins.database.aio_atomic():
        await Everything.aio_create(text="before")
        with pytest.raises((ValueError, peewee.OperationalError)):
            await twins.rows(f"SELECT {UNREADABLE[backend.name][0]}")
        await Everything.aio_create(text="after")
    assert twins.seen_outside("SELECT COUNT(*) FROM everything") == [(2,)]
