"""The values at the boundary."""

import pytest

from peewee_async.core.boundary import Fetch, Pause, Reply, Statement, Status


def test_a_statement_needs_only_its_text() -> None:
    assert Statement("BEGIN") == Statement("BEGIN", (), None, None)


def test_statements_are_equal_by_all_that_is_sent() -> None:
    statement = Statement("SELECT ?", (1,), limit=1)
    assert statement == Statement("SELECT ?", (1,), limit=1)
    assert statement != Statement("SELECT ?", (2,), limit=1)
    assert statement != Statement("SELECT ?", (1,))


def test_a_fetch_reads_like_the_sql_of_a_cursor() -> None:
    assert (Fetch("c1", 10).sql, Fetch("c1", 10).params) == ("FETCH 10 FROM c1", ())
    assert Fetch("c1", 0).sql == "CLOSE c1"


def test_a_reply_says_nothing_unless_told() -> None:
    rows, columns, rowcount, lastrowid, types = Reply()
    assert list(rows) == []
    assert columns is None
    assert rowcount == -1, "PEP 249 for: no number is known"
    assert lastrowid is None
    assert types is None


@pytest.mark.parametrize("value", [Statement("BEGIN"), Fetch("c1", 1), Reply()])
def test_nobody_changes_a_value_on_its_way(value: object) -> None:
    for name in ("sql", "rows", "extra"):
        with pytest.raises(AttributeError):
            setattr(value, name, ())


def test_a_status_completes_a_sentence() -> None:
    assert [f"The connection is {status.value}." for status in Status] == [
        "The connection is idle.",
        "The connection is in the middle of fetching rows.",
        "The connection is in a transaction.",
        "The connection is in a transaction that can only be rolled back.",
    ]


def test_a_pause_says_nothing_to_a_server() -> None:
    assert (Pause().sql, Pause().params) == ("", ())
