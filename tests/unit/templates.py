"""Kept plans beside what peewee makes of the same query."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee

from peewee_async.core.boundary import Statement
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Execution, Work


class CountingDialect(Dialect):
    """Counts how often peewee is asked for SQL."""

    __slots__ = ("compiled",)

    def __init__(self, database: Any) -> None:
        super().__init__(database)
        self.compiled = 0

    def compile(self, query: Any, made_of: Any = None) -> tuple[str, tuple[Any, ...]]:
        self.compiled += 1
        return super().compile(query, made_of)


def sent(work: Work[Any]) -> Statement:
    """Give the first statement of some work."""
    execution = Execution(work)
    statement = execution.start()
    if statement is None:
        raise AssertionError(f"nothing is sent: {execution.result!r}")
    execution.abort()
    assert isinstance(statement, Statement)
    return statement


def typed(params: Any) -> list[tuple[type, Any]]:
    """Show parameters so that only those of one type and value are equal."""
    # psycopg2 has a type of its own for binary values, which compares by identity.
    values = [
        bytes(param)
        if isinstance(param, memoryview)
        else getattr(param, "adapted", param)
        for param in params
    ]
    pairs = zip(params, values, strict=True)
    return [(type(param), repr(value)) for param, value in pairs]


def outcome(ask: Callable[[], tuple[Any, ...]]) -> Any:
    """Give SQL and parameters, or the error instead, in a form that compares."""
    try:
        sql, params, *_ = ask()
    except Exception as error:
        return type(error), str(error)
    return sql, typed(params)


def is_kept(dialect: CountingDialect, ask: Callable[[], Work[Any]]) -> bool:
    """Ask three times: is the third one answered without peewee?"""
    sent(ask())
    sent(ask())
    before = dialect.compiled
    sent(ask())
    return dialect.compiled == before


def database_of(family: str) -> Any:
    """Make a database that renders SQL, and is never connected to."""
    if family == "postgres":
        return peewee.PostgresqlDatabase("unit")
    if family == "mysql":
        return peewee.MySQLDatabase("unit")
    return peewee.SqliteDatabase(":memory:")


FAMILIES = ("postgres", "mysql", "sqlite")


def thing(database: Any, field: Any) -> Any:
    """Make a model of two columns, bound to a database."""

    class Thing(peewee.Model):
        name: Any = peewee.CharField(column_name="label")
        value: Any = field

        class Meta:
            database: Any

    Thing._meta.set_database(database)
    return Thing
