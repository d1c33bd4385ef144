"""What replies mean."""

from __future__ import annotations

from typing import Any

import peewee
import pytest

from peewee_async.core import replies
from peewee_async.core.boundary import Reply, Statement
from peewee_async.core.decoding import WrappedRows
from peewee_async.core.execution import PORTION
from tests.unit.models import User


def as_they_are(reply: Reply) -> list[Any]:
    return list(reply.rows)


class Odd:
    """A row that has no first column."""

    def __getitem__(self, key: Any) -> Any:
        raise KeyError(key)


@pytest.mark.parametrize(
    ("rows", "many", "key"),
    [
        ([(7,)], False, 7),
        ([(7, "a")], False, (7, "a")),
        ([], False, None),
        ([Odd()], False, None),
        ([None], False, None),
        ([(7,), (8,)], True, [(7,), (8,)]),
        ([], True, []),
    ],
)
def test_the_key_of_what_was_inserted(rows: Any, many: bool, key: Any) -> None:
    assert replies.InsertedKey(as_they_are, many)(Reply(rows)) == key


def test_the_last_key_of_the_connection() -> None:
    assert replies.last_id(Reply(rowcount=0, lastrowid=7)) == 7
    assert replies.last_id_of_rows(Reply(rowcount=1, lastrowid=7)) == 7
    assert replies.last_id_of_rows(Reply(rowcount=0, lastrowid=7)) is None


def test_the_first_row() -> None:
    first = replies.First(as_they_are, None, Statement("SELECT 1"))
    assert first(Reply([(1,), (2,)])) == (1,)
    assert first(Reply([])) is None


def test_no_row_of_a_model() -> None:
    first = replies.First(as_they_are, User, Statement("SELECT 1"))
    other = first.about(Statement("SELECT %s", (2,)))
    with pytest.raises(User.DoesNotExist, match=r"SQL: SELECT %s\nParams: \[2\]"):
        other(Reply([]))


def test_the_first_column() -> None:
    first = replies.FirstColumn(as_they_are)
    assert first(Reply([(7, 8), (9, 10)])) == 7
    assert first(Reply([()])) == ()
    assert first(Reply([])) is None


def test_the_first_of_some_rows() -> None:
    assert replies.first_of([], 1) is None
    assert replies.first_of([1, 2, 3], 1) == 1
    assert replies.first_of([1, 2, 3], 2) == [1, 2]


def test_values() -> None:
    assert replies.rowcount(Reply(rowcount=3)) == 3
    assert replies.one_value(Reply([(5, 6)])) == 5
    assert replies.truth(Reply([(1,)])) is True
    assert replies.rows_or_rowcount(Reply(rowcount=3)) == 3
    assert replies.rows_or_rowcount(Reply([(1,)], ("a",))) == [(1,)]


def test_first_columns_may_be_read_in_portions() -> None:
    read = replies.FirstColumns(WrappedRows(peewee.CursorWrapper))
    rows = [(number, "x") for number in range(PORTION + 1)]
    portions = list(read.portions(Reply(rows, ("n", "x"))))
    assert portions == [list(range(PORTION)), [PORTION]]
    assert read(Reply(rows, ("n", "x"))) == [*portions[0], *portions[1]]
