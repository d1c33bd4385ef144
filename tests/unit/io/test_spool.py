"""Rows set aside: a queue that is written, then read."""

from __future__ import annotations

import datetime
import decimal

import pytest

from peewee_async.io import spool
from peewee_async.io.spool import Spool

ROWS = [
    (1, "ada", None, b"\0\xff"),
    (2, "bob", decimal.Decimal("1.50"), datetime.datetime(2024, 2, 29, 1, 2, 3, 4)),
    (3, "€'\"\\", 1e300, datetime.timedelta(days=-1)),
]


def test_rows_come_back_as_they_were_in_portions_of_any_size() -> None:
    rows = Spool()
    rows.write(ROWS[:2])
    rows.write([])
    rows.write(ROWS[2:])
    assert rows.read(1) == ROWS[:1]
    assert rows.read(5) == ROWS[1:]
    assert rows.read(5) == []
    rows.close()


def test_what_cannot_be_written_leaves_what_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = Spool()
    rows.write(ROWS)
    write = rows._file.write
    full = OSError("disk full")

    def half(data: bytes) -> int:
        write(data[: len(data) // 2])
        raise full

    monkeypatch.setattr(rows._file, "write", half)
    with pytest.raises(OSError, match="disk full"):
        rows.write(ROWS)
    rows.error = full
    assert rows.read(3) == ROWS
    with pytest.raises(OSError, match="disk full"):
        rows.read(1)
    rows.close()


def test_an_empty_one_has_no_rows() -> None:
    assert Spool().read(10) == []


def test_many_rows_are_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 100)
    rows = Spool()
    for number in range(50):
        rows.write([(number, "x" * 10)])
    assert vars(rows._file)["_rolled"]
    assert [number for number, _ in rows.read(50)] == list(range(50))
    rows.close()


def test_an_error_comes_after_the_rows_before_it() -> None:
    rows = Spool()
    rows.write(ROWS)
    rows.error = ValueError("row 4")
    assert rows.read(2) == ROWS[:2]
    assert rows.read(1) == ROWS[2:]
    with pytest.raises(ValueError, match="row 4"):
        rows.read(1)
