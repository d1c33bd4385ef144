"""One row inserted, updated or deleted: what is sent is what peewee would send."""

from __future__ import annotations

from typing import Any

import peewee
import pytest

from peewee_async.core import operations, row_writes
from peewee_async.core.execution import Execution
from peewee_async.core.transactions import Transactions
from tests.unit.models import POSTGRES, Log, Membership, User
from tests.unit.script import Script
from tests.unit.templates import CountingDialect, database_of, is_kept, sent, thing

ADD = 'INSERT INTO "user" ("name", "age") VALUES (%s, %s) RETURNING "user"."id"'
SET = 'UPDATE "user" SET "name" = %s, "age" = %s WHERE ("user"."id" = %s)'


def test_writes_are_kept() -> None:
    dialect = CountingDialect(database_of("postgres"))
    model = thing(dialect.database, peewee.IntegerField(default=1))
    for number in range(2):
        data = {"name": "ada", "value": number}
        assert is_kept(dialect, lambda: row_writes.insert(dialect, model, data))  # noqa: B023
        one = model(id=7, **data)
        assert is_kept(dialect, lambda: row_writes.update(dialect, one, data))  # noqa: B023
        assert is_kept(dialect, lambda: row_writes.delete(dialect, model, number))  # noqa: B023
    # One column has a default, which is made for each row.
    assert not is_kept(
        dialect, lambda: row_writes.insert(dialect, model, {"name": "a"})
    )


def test_a_key_of_several_columns_and_none() -> None:
    one = Membership(user=1, club="chess", since=3)
    for since in range(4):
        statement = sent(row_writes.update(POSTGRES, one, {"since": since}))
        assert statement.params == (since, 1, "chess")
        statement = sent(row_writes.delete(POSTGRES, Membership, (since, "chess")))
        assert statement.params == (since, "chess")
        with pytest.raises(ValueError, match="Log has no primary key"):
            row_writes.delete(POSTGRES, Log, since)


# Methods that a model has of its own are called each time.


class Numbered(peewee.Model):
    """Adds to each query how many there have been."""

    calls = 0
    value: Any = peewee.IntegerField()
    number: Any = peewee.IntegerField(null=True)

    @classmethod
    def counted(cls) -> int:
        cls.calls += 1
        return cls.calls

    @classmethod
    def insert(cls, data: Any = None, **insert: Any) -> Any:
        return super().insert(data, **{**insert, "number": cls.counted()})

    @classmethod
    def update(cls, data: Any = None, **update: Any) -> Any:
        return super().update(data, **{**update, "number": cls.counted()})

    @classmethod
    def delete(cls) -> Any:
        return peewee.ModelDelete(cls).where(cls.number < cls.counted())


@pytest.mark.parametrize(
    ("make", "params"),
    [
        (lambda one: operations.save(POSTGRES, one, True), [5, 9]),
        (lambda one: operations.save(POSTGRES, one, False), [5, 9]),
        (lambda one: operations.update(POSTGRES, one), [5, 9]),
        (lambda one: operations.delete_by_id(POSTGRES, Numbered, 9), [9]),
        (lambda one: operations.delete(POSTGRES, Transactions(POSTGRES), one), [9]),
    ],
)
def test_methods_of_the_models_own(make: Any, params: list[int]) -> None:
    for _ in range(5):
        execution = Execution[Any](make(Numbered(id=9, value=5)))
        statement: Any = execution.start()
        execution.abort()
        assert sorted(statement.params) == sorted([*params, Numbered.calls])


def test_a_key_expression_of_the_models_own() -> None:
    class Odd(peewee.Model):
        value: Any = peewee.IntegerField()

        def _pk_expr(self) -> Any:
            return type(self).value == self.__data__["value"]

    for value in range(5):
        odd = Odd(id=9, value=value)
        work = operations.delete(POSTGRES, Transactions(POSTGRES), odd)
        Script(work).sends(
            'DELETE FROM "odd" WHERE ("odd"."value" = %s)', value
        ).writes(1)


def test_what_is_saved_again_is_sent_as_before() -> None:
    for age in range(5):
        Script(operations.save(POSTGRES, User(name="ada", age=age))).sends(
            ADD, "ada", age
        )
        user = User(id=7, name="ada", age=age)
        Script(operations.save(POSTGRES, user)).sends(SET, "ada", age, 7)
        Script(operations.delete(POSTGRES, Transactions(POSTGRES), user)).sends(
            'DELETE FROM "user" WHERE ("user"."id" = %s)', 7
        )
