"""The server of the transcripts plays fair."""

import pytest

from peewee_async.core.boundary import Reply, Statement
from peewee_async.core.execution import Plan
from tests.unit.script import Script, columns_of, statements


def plan() -> Plan[Reply]:
    return Plan(
        Statement("SELECT a, b FROM t WHERE c = ?", (1,), 1), lambda reply: reply
    )


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT 1", ("1",)),
        ('SELECT "t1"."id", "t1"."name" FROM "user" AS "t1"', ("id", "name")),
        ("SELECT DISTINCT `t1`.`name` FROM `user` AS `t1`", ("name",)),
        ('SELECT COUNT(1) AS "n" FROM "user"', ("n",)),
        ('INSERT INTO "user" ("name") VALUES (?) RETURNING "user"."id"', ("id",)),
        ('DELETE FROM "user" RETURNING "user"."id", "user"."age"', ("id", "age")),
        ('UPDATE "user" SET "age" = ?', ()),
        ("BEGIN", ()),
    ],
)
def test_columns_are_read_off_the_sql(sql: str, columns: tuple[str, ...]) -> None:
    assert columns_of(sql) == columns


@pytest.mark.parametrize(
    ("sql", "params", "limit"),
    [
        ("SELECT a FROM t WHERE c = ?", (1,), 1),
        ("SELECT a, b FROM t WHERE c = ?", (2,), 1),
        ("SELECT a, b FROM t WHERE c = ?", (1,), None),
    ],
)
def test_another_statement_is_noticed(
    sql: str, params: tuple[int, ...], limit: int | None
) -> None:
    with pytest.raises(AssertionError):
        Script(plan()).sends(sql, *params, limit=limit)


def test_a_statement_without_an_answer_is_noticed() -> None:
    with pytest.raises(AssertionError, match="is left to send"):
        _ = Script(plan()).result


def test_an_answer_to_nothing_is_noticed() -> None:
    script = Script(plan()).gets((1, 2))
    with pytest.raises(AssertionError, match="nothing was sent"):
        script.gets((1, 2))


def test_rows_come_with_the_columns_of_the_statement() -> None:
    assert Script(plan()).gets((1, 2)).result == Reply(((1, 2),), ("a", "b"), 1)


def test_a_write_comes_with_its_numbers() -> None:
    assert Script(plan()).writes(2, lastrowid=9).result == Reply((), None, 2, 9)


def test_statements_are_counted() -> None:
    assert statements(plan, lambda sql: Reply([(sql,)], ("a",))) == 1
