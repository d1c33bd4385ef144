"""SQL by hand, names that need quoting, percent signs, and transactions by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import peewee
import pytest
from peewee import SQL, Value, fn

from peewee_async import AioModel
from peewee_async.core.boundary import Status
from tests.integration.backends import Backend
from tests.integration.checks import only
from tests.integration.conftest import CreateTables
from tests.integration.edges import Twins, check_cause, raw, select
from tests.integration.models import Everything, Line, User

# SQL as it is

STATEMENTS = (
    "",
    "  ",
    ";",
    "-- nothing",
    "/* nothing */",
    "SELECT",
    "SELECT 1;",
    "SELECT 1; -- nothing",
    "SELECT 1; SELECT 2",
    "SELEC 1",
    "SELECT * FROM nowhere",
    "SELECT nothing",
    "SELECT 'a\0b'",
    "SELECT '100%%', 7 %% 3",
    "SELECT '\\', ''''",
    "SELECT 1 AS a, 2 AS a",
    "DROP TABLE IF EXISTS nowhere",
    "COPY (SELECT 1) TO STDOUT",
    "LOAD DATA LOCAL INFILE 'x' INTO TABLE user",
    "EXPLAIN SELECT 1",
    "SELECT " + "(" * 20_000 + "1" + ")" * 20_000,
    "SELECT " + ", ".join("1" * 1_600),
    "SELECT " + ", ".join("1" * 1_665),
    "SELECT " + ", ".join("1" * 5_000),
)


async def test_sql_by_hand(twins: Twins) -> None:
    for sql in STATEMENTS:
        await twins.agree(partial(raw, sql), sql[:50])


async def test_several_statements_in_one(twins: Twins, tables: CreateTables) -> None:
    tables(Line)
    sql = "INSERT INTO line VALUES ('one'); INSERT INTO line VALUES ('two')"
    outcome = await twins.ours(lambda: raw(sql))
    await twins.check_usable()
    rows = twins.seen_outside("SELECT text FROM line ORDER BY text")
    if isinstance(twins.sync, peewee.PostgresqlDatabase):
        assert (outcome, rows) == ([], [("one",), ("two",)])
    else:
        assert isinstance(outcome, peewee.ProgrammingError)
        assert rows == []


@only("mysql")
async def test_a_procedure_that_gives_several_results(twins: Twins) -> None:
    for body, name in (
        ("SELECT 1; SELECT 2; SELECT 3;", "threefold"),
        ("SELECT 1; SELECT nothing FROM nowhere;", "broken"),
    ):
        twins.sync.execute_sql(f"CREATE PROCEDURE {name}() BEGIN {body} END")
    try:
        assert await twins.rows("CALL threefold()") == [(1,)]
        await twins.check_usable()
        with pytest.raises(peewee.ProgrammingError):
            await twins.rows("CALL broken()")
        await twins.check_usable()
    finally:
        for name in ("threefold", "broken"):
            twins.sync.execute_sql(f"DROP PROCEDURE {name}")


# Placeholders

PLACEHOLDERS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("SELECT {}", (1,)),
    ("SELECT {}", (1, 2)),
    ("SELECT {}, {}", (1,)),
    ("SELECT {}", ()),
    ("SELECT '100%'", ()),
    ("SELECT '100%', {}", (1,)),
    ("SELECT '100%%', {}", (1,)),
    ("SELECT '%s'", ()),
    ("SELECT 7 % 3", ()),
    ("SELECT '?', {}", ("?",)),
    ("SELECT {}, {}", ("%s", "{}")),
)


async def test_placeholders(twins: Twins, backend: Backend) -> None:
    for text, params in PLACEHOLDERS:
        make = partial(raw, text.replace("{}", twins.database.param), *params)
        if backend.name == "mysql":
            expected, outcome = twins.peewee(make), await twins.ours(make)
            # Before 1.2, PyMySQL leaves it at a TypeError.
            kind = TypeError | peewee.ProgrammingError
            if isinstance(expected, kind):
                assert isinstance(outcome, peewee.ProgrammingError)
            else:
                assert repr(outcome) == repr(expected)
        else:
            await twins.agree(make, text)


# Names

NAMES = (
    "select",
    "order",
    "user",
    "primary",
    "100%",
    "%s",
    "%(x)s",
    "%%",
    'a"b',
    "a`b",
    "a\\b",
    "a'b",
    "a b",
    "a;b--",
    "a?b",
    ":a",
    "$1",
    "{}",
    "é€",
    "a.b",
    "x" * 63,
    "x" * 64,
    "x" * 130,
    "1",
    "*",
    "a\nb",
)


def stored_in(twins: Twins, *, table: str = "odd", column: str = "n") -> Any:
    class Odd(AioModel):
        id: Any = peewee.AutoField()
        n: Any = peewee.IntegerField(column_name=column)

        class Meta:
            database = twins.database
            table_name = table

    return Odd


@contextmanager
def table_of(twins: Twins, model: Any) -> Iterator[None]:
    """Create a table whose name peewee itself may not be able to use."""
    table, column = (
        twins.database.quote[0]
        + name.replace(twins.database.quote[1], twins.database.quote[1] * 2)
        + twins.database.quote[1]
        for name in (model._meta.table_name, model.n.column_name)
    )

    def run(sql: str) -> None:
        escaped = sql.replace("%", "%%") if twins.database.param == "%s" else sql
        twins.sync.execute_sql(escaped)

    run(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, {column} INTEGER)")
    try:
        yield
    finally:
        run(f"DROP TABLE {table}")


def uses_of(model: Any) -> list[Any]:
    alias = model.alias("other")
    return [
        lambda: model.insert(id=1, n=1),
        lambda: model.insert_many([{"id": 2, "n": 2}, {"id": 3, "n": 3}]),
        lambda: model.select().where(model.n > 1).order_by(model.n).dicts(),
        lambda: model.select(model.n).order_by(model.n),
        lambda: alias.select(alias.n).order_by(alias.n).tuples(),
        lambda: model.update(n=model.n % 2).where(model.n == 3),
        lambda: model.select(fn.SUM(model.n)).tuples(),
        lambda: model.delete().where(model.n == 1),
        lambda: model.select().order_by(model.id).namedtuples(),
        model.delete,
    ]


@pytest.mark.parametrize("kind", ["table", "column"])
async def test_names_of_tables_and_columns(
    kind: str, twins: Twins, backend: Backend
) -> None:
    for name in NAMES:
        if backend.name == "mysql" and len(name) > 64:
            continue  # MySQL has no such names
        model = stored_in(twins, **{kind: name})
        with table_of(twins, model):
            await twins.agree_in_turn(uses_of(model), name)
            if "%" not in name or twins.database.param == "?":
                await model.aio_create(id=7, n=9)
                assert (await model.aio_get(n=9)).id == 7


def uses_as_alias(name: str) -> list[Any]:
    numbered = User.select(User.age.alias(name)).order_by(SQL("1"))
    table = User.alias(name)
    cte = User.select(User.age).where(User.age == 1).cte(name)
    subquery = User.select(User.age.alias("q")).where(User.age == 1).alias(name)
    return [
        numbered.dicts,
        numbered.namedtuples,
        numbered.clone,
        lambda: table.select(table.age).order_by(table.age).tuples(),
        lambda: cte.select_from(cte.c.age).tuples(),
        lambda: peewee.Select([subquery], [subquery.c.q]).tuples(),
        lambda: User.select(getattr(fn, name)(User.age)).tuples(),
    ]


async def test_names_of_aliases(twins: Twins, tables: CreateTables) -> None:
    tables(User)
    await User.insert_many([("a", 1), ("b", 2)], [User.name, User.age]).aio_execute()
    for name in ("", "a\0b", *NAMES):
        for make in uses_as_alias(name):
            await twins.agree(make, name)


# Percent signs and backslashes in text

TEXTS = ("%", "_", "\\", "'", '"', "100%", "a_b", "\\%", "%s", "%(x)s", "", "\\\\", "?")


async def test_patterns(twins: Twins, tables: CreateTables) -> None:
    tables(User)
    rows = [(text, age) for age, text in enumerate((*TEXTS, "a%b", "axb", "a\\b"))]
    await User.insert_many(rows, [User.name, User.age]).aio_execute()
    for text in TEXTS:
        conditions: list[Any] = [
            User.name == text,
            User.name**text,
            User.name % text,
            User.name.contains(text),
            User.name.startswith(text),
            User.name.endswith(text),
            User.name.regexp(text),
            User.name.in_([text]),
            User.name.concat(text) == text,
        ]
        for condition in conditions:
            query = User.select(User.name).where(condition).order_by(User.age)
            await twins.agree(query.tuples, (text, query.sql()))
        own = await User.select().where(User.name.contains(text)).aio_execute()
        assert {text} <= {user.name for user in own}
        assert all(text in user.name for user in own)


async def test_paths_into_json(twins: Twins, tables: CreateTables) -> None:
    tables(Everything)
    keys = ("a%s", "%", 'a"b', "a.b", "a'b", "$", "a\\b", "")
    data = {key: number for number, key in enumerate(keys)}
    await Everything.aio_create(json=data)
    for key in (*keys, "\0", "missing"):
        value = Everything.json[key]
        await twins.agree(Everything.select(value).tuples, key)
        await twins.agree(Everything.select().where(value == 1).tuples, key)


async def test_the_remainder(twins: Twins) -> None:
    for columns in ((fn.MOD(7, 3),), (SQL("7 %% 3"),), (Value(7) % Value(3),)):
        await twins.agree(partial(select, *columns))


# Transactions by hand: the connection must not go back to the pool inside one


async def test_a_transaction_that_is_begun_by_hand(
    twins: Twins, tables: CreateTables
) -> None:
    tables(Line)
    await twins.rows("BEGIN")
    await Line.aio_create(text="one")
    assert twins.seen_outside("SELECT text FROM line") == [("one",)]
    await twins.check_usable()


@only("postgres", "sqlite")
async def test_what_begins_a_transaction_by_the_way(
    twins: Twins, backend: Backend, tables: CreateTables
) -> None:
    tables(Line)
    sql = "SAVEPOINT x" if backend.name == "sqlite" else "BEGIN; SELECT 1"
    await twins.rows(sql)
    await Line.aio_create(text="one")
    assert twins.seen_outside("SELECT text FROM line") == [("one",)]


@pytest.mark.parametrize("command", ["COMMIT", "ROLLBACK", "BEGIN", "SAVEPOINT x"])
async def test_transactions_by_hand_inside_a_block(
    command: str, twins: Twins, tables: CreateTables
) -> None:
    tables(Line)
    try:
        async with twins.database.aio_atomic():
            await Line.aio_create(text="one")
            await twins.rows(command)
            await Line.aio_create(text="two")
    except peewee.PeeweeException as error:
        check_cause(error)
    await twins.check_usable()
    await Line.aio_create(text="three")
    assert ("three",) in twins.seen_outside("SELECT text FROM line")


@only("mysql")
async def test_autocommit_turned_off_by_hand(
    twins: Twins, tables: CreateTables
) -> None:
    tables(Line)
    await twins.rows("SET autocommit = 0")
    await Line.aio_create(text="one")
    assert twins.seen_outside("SELECT text FROM line") == [("one",)]
    async with twins.database.aio_atomic():
        await twins.rows("SET autocommit = 0")
        await Line.aio_create(text="two")
    await Line.aio_create(text="three")
    assert len(twins.seen_outside("SELECT text FROM line")) == 3
    await twins.check_usable()


# Connections that end in the middle

SUICIDE = {
    "postgres": "SELECT pg_terminate_backend(pg_backend_pid())",
    "mysql": "KILL CONNECTION_ID()",
}


@only("postgres", "mysql")
async def test_a_statement_that_ends_its_connection(
    twins: Twins, backend: Backend, tables: CreateTables
) -> None:
    tables(Line)
    for _ in range(3):
        outcome = await twins.ours(lambda: raw(SUICIDE[backend.name]))
        assert isinstance(outcome, peewee.OperationalError)
        await twins.check_usable()
    with pytest.raises(peewee.OperationalError, match="lost"):
        async with twins.database.aio_atomic():
            await Line.aio_create(text="one")
            await twins.ours(lambda: raw(SUICIDE[backend.name]))
    await twins.check_usable()
    assert twins.seen_outside("SELECT * FROM line") == []


async def test_a_connection_that_was_given_up_in_a_block(
    twins: Twins, backend: Backend, tables: CreateTables
) -> None:
    tables(Line)
    database = twins.database
    with pytest.raises(peewee.PeeweeException) as caught:
        async with database.aio_atomic():
            await Line.aio_create(text="one")
            frame = database.ready_sessions().frame
            assert frame is not None
            connection = frame.session.connection
            connection.abort()
            assert connection.closed
            assert connection.status is Status.IDLE
            await Line.aio_create(text="two")
    check_cause(caught.value)
    await twins.check_usable()
    assert twins.seen_outside("SELECT * FROM line") == []


@pytest.mark.parametrize("given", [None, "SELECT 1", 5, object(), [], User])
async def test_what_is_no_query(given: Any, twins: Twins) -> None:
    with pytest.raises(TypeError, match="is no query"):
        await twins.database.aio_execute(given)
    await twins.check_usable()
