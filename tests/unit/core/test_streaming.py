"""Streams: a statement with a cursor, fetches, and what ends them."""

from __future__ import annotations

from typing import Any

import peewee
import pytest

from peewee_async.core.boundary import Reply
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Execution
from peewee_async.core.streaming import BATCH, Stream, require_portions
from peewee_async.core.transactions import State, Transactions
from tests.unit.models import MYSQL, POSTGRES, SQLITE, Post, User
from tests.unit.script import Script

BROKEN = peewee.OperationalError("broken")
C1 = "peewee_async_1"
NAMES = User.select(User.name).tuples()
SQL = {
    POSTGRES: 'SELECT "t1"."name" FROM "user" AS "t1"',
    MYSQL: "SELECT `t1`.`name` FROM `user` AS `t1`",
    SQLITE: 'SELECT "t1"."name" FROM "user" AS "t1"',
}
NAME = ("name",)
ADA, BOB, EVE = ("ada",), ("bob",), ("eve",)


def in_a_transaction(dialect: Dialect) -> Transactions:
    transactions = Transactions(dialect)
    execution = Execution(transactions.transaction())
    execution.start()
    execution.feed(Reply())
    return transactions


# Alone on a connection


@pytest.mark.parametrize("dialect", [POSTGRES, MYSQL])
def test_an_interrupted_stream_leaves_no_transaction(dialect: Dialect) -> None:
    stream: Stream[Any] = Stream(dialect, NAMES, 2)
    transactions = Transactions(dialect)
    script = Script(stream.open(transactions))
    if dialect is POSTGRES:
        script.sends("BEGIN").writes()
    script.opens(C1, SQL[dialect], limit=2).is_interrupted()
    assert transactions.blocks == []


def test_postgres_streams_in_a_transaction_of_its_own() -> None:
    stream: Stream[Any] = Stream(POSTGRES, NAMES, 2)
    transactions = Transactions(POSTGRES)
    script = Script(stream.open(transactions))
    script.sends("BEGIN").writes().opens(C1, SQL[POSTGRES], limit=2).gets(ADA, BOB)
    assert (list(script.result), stream.done) == ([ADA, BOB], False)
    script = Script(stream.more(transactions), NAME).fetches(C1, 2).gets(EVE)
    assert list(script.sends("COMMIT").writes().result) == [EVE]
    assert (stream.done, transactions.blocks) == (True, [])


@pytest.mark.parametrize("dialect", [MYSQL, SQLITE])
def test_others_need_no_transaction(dialect: Dialect) -> None:
    stream: Stream[Any] = Stream(dialect, NAMES, 2)
    transactions = Transactions(dialect)
    script = Script(stream.open(transactions))
    script.opens(C1, SQL[dialect], limit=2).gets(ADA, BOB)
    assert list(script.result) == [ADA, BOB]
    script = Script(stream.more(transactions), NAME).fetches(C1, 2).gets(EVE)
    assert list(script.fetches(C1, 0).writes().result) == [EVE]
    assert stream.done


def test_a_last_portion_may_be_full() -> None:
    stream: Stream[Any] = Stream(MYSQL, NAMES, 1)
    transactions = Transactions(MYSQL)
    Script(stream.open(transactions)).opens(C1, SQL[MYSQL], limit=1).gets(ADA)
    assert not stream.done
    script = Script(stream.more(transactions), NAME).fetches(C1, 1).gets()
    assert list(script.fetches(C1, 0).writes().result) == []
    assert stream.done


def test_no_rows_at_all() -> None:
    stream: Stream[Any] = Stream(POSTGRES, NAMES, 2)
    script = Script(stream.open(Transactions(POSTGRES))).sends("BEGIN").writes()
    script.opens(C1, SQL[POSTGRES], limit=2).gets().sends("COMMIT").writes()
    assert (list(script.result), stream.done) == ([], True)


def test_given_up_alone_it_ends_its_transaction() -> None:
    stream: Stream[Any] = Stream(POSTGRES, NAMES, 1)
    transactions = Transactions(POSTGRES)
    script = Script(stream.open(transactions)).sends("BEGIN").writes()
    script.opens(C1, SQL[POSTGRES], limit=1).gets(ADA)
    assert Script(stream.close(transactions)).sends("COMMIT").writes().result is None
    assert (stream.done, transactions.blocks) == (True, [])


@pytest.mark.parametrize("at", ["open", "more"])
def test_an_error_rolls_its_own_transaction_back(at: str) -> None:
    stream: Stream[Any] = Stream(POSTGRES, NAMES, 1)
    transactions = Transactions(POSTGRES)
    script = Script(stream.open(transactions)).sends("BEGIN").writes()
    script.opens(C1, SQL[POSTGRES], limit=1)
    if at == "more":
        script.gets(ADA)
        script = Script(stream.more(transactions), NAME).fetches(C1, 1)
    script.breaks(BROKEN).sends("ROLLBACK").writes()
    with pytest.raises(peewee.OperationalError) as caught:
        assert script.result
    assert caught.value is BROKEN
    assert (stream.done, transactions.blocks) == (True, [])


def test_a_begin_that_fails_leaves_nothing() -> None:
    stream: Stream[Any] = Stream(POSTGRES, NAMES, 1)
    transactions = Transactions(POSTGRES)
    script = Script(stream.open(transactions)).sends("BEGIN").breaks(BROKEN)
    with pytest.raises(peewee.OperationalError, match="broken"):
        assert script.result
    assert transactions.blocks == []


def test_interrupted_in_its_begin_nothing_is_open() -> None:
    stream: Stream[Any] = Stream(POSTGRES, NAMES, 1)
    transactions = Transactions(POSTGRES)
    Script(stream.open(transactions)).sends("BEGIN").is_interrupted()
    assert transactions.blocks == []


# In a block


@pytest.mark.parametrize("dialect", [POSTGRES, MYSQL, SQLITE])
def test_in_a_block_it_is_part_of_the_transaction(dialect: Dialect) -> None:
    stream: Stream[Any] = Stream(dialect, NAMES, 2)
    transactions = in_a_transaction(dialect)
    script = Script(stream.open(transactions))
    script.opens(C1, SQL[dialect], limit=2).gets(ADA).fetches(C1, 0).writes()
    assert (list(script.result), transactions.depth) == ([ADA], 1)


def test_an_error_in_a_block_is_the_affair_of_the_block() -> None:
    stream: Stream[Any] = Stream(POSTGRES, NAMES, 2)
    transactions = in_a_transaction(POSTGRES)
    script = Script(stream.open(transactions)).opens(C1, SQL[POSTGRES], limit=2)
    script.breaks(BROKEN)
    with pytest.raises(peewee.OperationalError, match="broken"):
        assert script.result
    assert [block.state for block in transactions.blocks] == [State.ACTIVE]


def test_an_error_after_the_transaction_has_ended_says_why() -> None:
    stream: Stream[Any] = Stream(POSTGRES, NAMES, 1)
    transactions = in_a_transaction(POSTGRES)
    Script(stream.open(transactions)).opens(C1, SQL[POSTGRES], limit=1).gets(ADA)
    Script(transactions.commit(transactions.blocks[0], begin=True)).writes().writes()
    error = peewee.OperationalError("no such cursor")
    script = Script(stream.more(transactions)).fetches(C1, 1).breaks(error)
    with pytest.raises(peewee.OperationalError, match="no such cursor"):
        _ = script.result
    assert "open it outside" in error.__notes__[0]


def test_given_up_in_a_block_it_closes_its_cursor() -> None:
    stream: Stream[Any] = Stream(POSTGRES, NAMES, 1)
    transactions = in_a_transaction(POSTGRES)
    Script(stream.open(transactions)).opens(C1, SQL[POSTGRES], limit=1).gets(ADA)
    assert Script(stream.close(transactions)).fetches(C1, 0).writes().result is None
    assert (stream.done, transactions.depth) == (True, 1)


@pytest.mark.parametrize(
    ("dialect", "end", "closes"),
    [
        (POSTGRES, Transactions.commit, False),
        (POSTGRES, Transactions.rollback, False),
        (MYSQL, Transactions.rollback, True),
        (SQLITE, Transactions.commit, True),
    ],
)
def test_a_cursor_that_ended_with_its_transaction_is_not_closed(
    dialect: Dialect, end: Any, closes: bool
) -> None:
    stream: Stream[Any] = Stream(dialect, NAMES, 1)
    transactions = in_a_transaction(dialect)
    Script(stream.open(transactions)).opens(C1, SQL[dialect], limit=1).gets(ADA)
    Script(end(transactions, transactions.top, begin=True)).writes().writes()
    script = Script(stream.close(transactions))
    assert (script.waiting is not None) is closes


def test_a_cursor_outlives_a_savepoint_that_is_kept() -> None:
    stream: Stream[Any] = Stream(POSTGRES, NAMES, 1)
    transactions = in_a_transaction(POSTGRES)
    Script(stream.open(transactions)).opens(C1, SQL[POSTGRES], limit=1).gets(ADA)
    savepoint = Script(transactions.savepoint()).writes().result
    assert Script(transactions.commit(savepoint)).writes().result == []
    Script(stream.close(transactions)).fetches(C1, 0)


def test_on_a_kept_connection_it_begins_nothing() -> None:
    transactions = Transactions(POSTGRES)
    assert Script(transactions.connection()).result.outer is None
    stream: Stream[Any] = Stream(POSTGRES, NAMES, 2)
    script = Script(stream.open(transactions)).opens(C1, SQL[POSTGRES], limit=2)
    assert list(script.gets(ADA).fetches(C1, 0).writes().result) == [ADA]


def test_on_a_kept_connection_rows_to_lock_come_at_once() -> None:
    locked = NAMES.for_update()
    sql = SQL[POSTGRES] + " FOR UPDATE"
    transactions = Transactions(POSTGRES)
    Script(transactions.connection())
    stream: Stream[Any] = Stream(POSTGRES, locked, 1)
    assert list(Script(stream.open(transactions)).sends(sql).gets(ADA).result) == [ADA]
    assert stream.done
    Script(transactions.transaction()).sends("BEGIN").writes()
    stream = Stream(POSTGRES, locked, 1)
    Script(stream.open(transactions)).opens(C1, sql, limit=1)


def test_on_a_kept_connection_it_outlives_a_transaction() -> None:
    transactions = Transactions(POSTGRES)
    Script(transactions.connection())
    stream: Stream[Any] = Stream(POSTGRES, NAMES, 1)
    Script(stream.open(transactions)).opens(C1, SQL[POSTGRES], limit=1).gets(ADA)
    block = Script(transactions.transaction()).sends("BEGIN").writes().result
    Script(transactions.rollback(block)).sends("ROLLBACK").writes()
    Script(stream.close(transactions)).fetches(C1, 0)


def test_each_stream_of_a_connection_has_a_cursor_of_its_own() -> None:
    transactions = in_a_transaction(MYSQL)
    for number in (1, 2):
        stream: Stream[Any] = Stream(MYSQL, NAMES, 1)
        script = Script(stream.open(transactions))
        script.opens(f"peewee_async_{number}", SQL[MYSQL], limit=1)


# What comes at once


def test_without_a_size_all_rows_come_at_once() -> None:
    stream: Stream[Any] = Stream(POSTGRES, NAMES, None)
    script = Script(stream.open(Transactions(POSTGRES))).sends(SQL[POSTGRES])
    assert list(script.gets(ADA, BOB).result) == [ADA, BOB]
    assert stream.done


def test_a_write_gives_its_rows_at_once() -> None:
    query = User.update(age=1).returning(User.name).tuples()
    stream: Stream[Any] = Stream(POSTGRES, query, 1)
    script = Script(stream.open(Transactions(POSTGRES)))
    script.sends('UPDATE "user" SET "age" = %s RETURNING "user"."name"', 1)
    assert list(script.gets(ADA, BOB).result) == [ADA, BOB]


@pytest.mark.parametrize(
    ("sql", "portions"),
    [
        ("SELECT 1", True),
        (" \n(select 1) UNION (SELECT 2)", True),
        ("/* a\nb */ -- c\n VALUES (1)", True),
        ("TABLE users", True),
        ("WITH a AS (SELECT 1) SELECT * FROM a", True),
        ("with a as (delete from users returning *) select * from a", False),
        ("INSERT INTO users DEFAULT VALUES RETURNING id", False),
        ("SELECTED", False),
        ("-- SELECT", False),
        ("CALL report()", False),
    ],
)
def test_sql_by_hand_comes_in_portions_if_it_only_reads(
    sql: str, portions: bool
) -> None:
    stream: Stream[Any] = Stream(POSTGRES, User.raw(sql).tuples(), 1)
    execution = Execution(stream.open(Transactions(POSTGRES)))
    first = execution.start()
    assert first is not None
    assert (first.sql == "BEGIN") is portions
    execution.abort()


def test_rows_are_what_the_query_asks_for() -> None:
    query = Post.select(Post.id, User.name).join(User, on=Post.author).dicts()
    stream: Stream[Any] = Stream(SQLITE, query, 5)
    script = Script(stream.open(Transactions(SQLITE)))
    script.gets((1, "ada"), columns=("id", "name")).fetches(C1, 0).writes()
    assert list(script.result) == [{"id": 1, "name": "ada"}]


class Reads(peewee.CharField):
    """Counts the values that it has read; one of them it cannot read."""

    count = 0

    def python_value(self, value: Any) -> Any:
        Reads.count += 1
        if value == "bad":
            raise ValueError("cannot be read")
        return value


class Read(peewee.Model):
    name: Any = Reads()


def test_objects_are_made_while_they_are_taken() -> None:
    rows = [("ok",)] * (2 * BATCH + 7) + [("bad",)] + [("ok",)] * BATCH
    for query in (Read.select(Read.name), Read.select(Read.name).tuples()):
        stream: Stream[Any] = Stream(MYSQL, query, len(rows) + 1)
        script = Script(stream.open(Transactions(MYSQL)))
        script.gets(*rows, columns=NAME).fetches(C1, 0).writes()
        made = iter(script.result)
        Reads.count = 0
        next(made)
        assert Reads.count <= BATCH
        given = [next(made) for _ in range(2 * BATCH + 6)]
        assert len(given) == 2 * BATCH + 6
        with pytest.raises(ValueError, match="cannot be read") as caught:
            next(made)
        assert caught.value.__context__ is None
        assert list(made) == []


@pytest.mark.parametrize("size", [0, -1, True, 1.5, None, "10"])
def test_a_portion_has_a_row_at_least(size: Any) -> None:
    with pytest.raises(ValueError, match="give 1 or more"):
        require_portions(NAMES, size)


def test_relations_do_not_come_in_portions() -> None:
    require_portions(NAMES, 1)
    with pytest.raises(ValueError, match="all rows at once"):
        require_portions(Post.select().with_related(Post.author), 1)
