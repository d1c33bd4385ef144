"""The facts of a database: its SQL, its quotes, its transactions, its errors."""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import peewee
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peewee import fn

from peewee_async.core.boundary import Statement
from peewee_async.core.dialect import (
    ISOLATION_LEVELS,
    LOCK_TYPES,
    PLAIN,
    Dialect,
    Family,
    TransactionOptions,
    family_of,
)
from tests.unit.library import frozen
from tests.unit.models import (
    DIALECTS,
    MYSQL,
    POSTGRES,
    SQLITE,
    Post,
    User,
    with_drivers,
)

every_dialect = pytest.mark.parametrize(
    "dialect", DIALECTS, ids=[dialect.family.value for dialect in DIALECTS]
)


class Order(peewee.Model):
    """Words that SQL keeps for itself."""

    group: Any = peewee.IntegerField(column_name="select")
    share: Any = peewee.IntegerField(column_name="per cent")

    class Meta:
        table_name = "order"


def begins(dialect: Dialect, **options: Any) -> list[str]:
    statements = dialect.begin(TransactionOptions(**options))
    assert all(statement == Statement(statement.sql) for statement in statements)
    return [statement.sql for statement in statements]


def model_of(database: Any) -> Any:
    meta = type("Meta", (), {"database": database})
    return type("Bound", (peewee.Model,), {"Meta": meta, "age": peewee.IntegerField()})


@pytest.mark.parametrize(
    ("database", "family"),
    [
        (peewee.PostgresqlDatabase("unit"), Family.POSTGRES),
        (peewee.MySQLDatabase("unit"), Family.MYSQL),
        (peewee.SqliteDatabase("unit"), Family.SQLITE),
        (type("Mine", (peewee.SqliteDatabase,), {})("unit"), Family.SQLITE),
        (peewee.PostgresqlDatabase(None), Family.POSTGRES),
    ],
)
def test_the_family_is_that_of_the_class(database: Any, family: Family) -> None:
    assert family_of(database) is family
    assert Dialect(database).family is family


@pytest.mark.parametrize("thing", [None, "sqlite:///", peewee.Database(None)])
def test_other_things_have_no_family(thing: Any) -> None:
    with pytest.raises(peewee.ImproperlyConfigured) as caught:
        family_of(thing)
    assert str(caught.value).startswith(f"{type(thing).__name__} is no ")


def test_returning_is_what_the_database_has() -> None:
    assert [dialect.returning for dialect in DIALECTS] == [True, False, False]


def test_returning_can_be_had_on_sqlite() -> None:
    database = peewee.SqliteDatabase(":memory:", returning_clause=True)
    assert Dialect(database).returning is True


QUERIES: dict[str, Callable[[], Any]] = {
    "select": lambda: User.select().where(User.name == "ada").order_by(User.id),
    "join": lambda: Post.select(Post, User).join(User, on=Post.author),
    "aggregate": lambda: User.select(fn.MAX(User.age)).having(fn.COUNT(User.id) > 1),
    "union": lambda: User.select().where(User.age > 3) | User.select().limit(2),
    "offset": lambda: User.select().offset(7),
    "null": lambda: Post.select().where(Post.editor.is_null()),
    "list": lambda: User.select().where(User.age << [1, 2]),
    "pattern": lambda: User.select().where(User.name.contains("50%_\\")),
    "insert": lambda: User.insert(name="ada"),
    "insert many": lambda: User.insert_many([{"name": "ada"}, {"name": "bob"}]),
    "insert from": lambda: User.insert_from(Post.select(Post.title), [User.name]),
    "ignore": lambda: User.insert(name="ada").on_conflict_ignore(),
    "update": lambda: User.update(age=User.age + 1).where(User.id == 3),
    "delete": lambda: User.delete().where(User.id == 3),
    "raw": lambda: User.raw("SELECT 1 WHERE 2 = %s", 2),
}


@every_dialect
@pytest.mark.parametrize("name", QUERIES)
def test_compile_gives_the_sql_of_peewee(dialect: Dialect, name: str) -> None:
    sql, params = QUERIES[name]().bind(dialect.database).sql()
    assert dialect.compile(QUERIES[name]()) == (sql, tuple(params))


@every_dialect
@pytest.mark.parametrize("name", QUERIES)
def test_compile_does_not_touch_the_query(dialect: Dialect, name: str) -> None:
    query = QUERIES[name]()
    before = frozen(query)
    dialect.compile(query)
    assert frozen(query) == before


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        (
            POSTGRES,
            'SELECT "t1"."per cent" FROM "order" AS "t1" WHERE ("t1"."select" = %s)',
        ),
        (
            MYSQL,
            "SELECT `t1`.`per cent` FROM `order` AS `t1` WHERE (`t1`.`select` = %s)",
        ),
        (
            SQLITE,
            'SELECT "t1"."per cent" FROM "order" AS "t1" WHERE ("t1"."select" = ?)',
        ),
    ],
)
def test_compile_quotes_reserved_words(dialect: Dialect, sql: str) -> None:
    query = Order.select(Order.share).where(Order.group == 1)
    assert dialect.compile(query) == (sql, (1,))


@every_dialect
def test_compile_keeps_percent_signs_of_values_out_of_the_sql(dialect: Dialect) -> None:
    sql, params = dialect.compile(User.select().where(User.name == "100%s"))
    assert params == ("100%s",)
    assert sql.replace(dialect.database.param, "").count("%") == 0


def test_compile_takes_a_query_bound_to_nothing() -> None:
    assert User._meta.database is None
    assert POSTGRES.compile(User.select(User.id))[0] == (
        'SELECT "t1"."id" FROM "user" AS "t1"'
    )


@every_dialect
def test_compile_takes_a_noop_of_a_model_bound_to_nothing(dialect: Dialect) -> None:
    sql, params = dialect.compile(User.noop())
    assert sql.startswith("SELECT 0 WHERE ")
    assert params == ()


def test_compile_takes_a_query_of_another_database_of_the_family() -> None:
    other = model_of(peewee.PostgresqlDatabase("other"))
    assert POSTGRES.compile(other.select(other.age))[0] == (
        'SELECT "t1"."age" FROM "bound" AS "t1"'
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda model: model.select(),
        lambda model: model.insert(age=1),
        lambda model: model.update(age=1),
        lambda model: model.delete(),
        lambda model: model.raw("SELECT 1"),
        lambda model: model.select() | model.select(),
        lambda model: model.noop(),
    ],
)
def test_compile_refuses_a_query_of_another_family(make: Any) -> None:
    query = make(model_of(peewee.MySQLDatabase("other")))
    with pytest.raises(peewee.InterfaceError, match=r"MySQL.*PostgreSQL"):
        POSTGRES.compile(query)


def test_compile_looks_through_a_proxy_for_the_family() -> None:
    proxy = peewee.DatabaseProxy()
    query = model_of(proxy).select()
    POSTGRES.compile(query)
    proxy.initialize(MYSQL.database)
    with pytest.raises(peewee.InterfaceError, match=r"MySQL.*PostgreSQL"):
        POSTGRES.compile(query)


OTHER = peewee.MySQLDatabase("other")


@pytest.mark.parametrize(
    "make",
    [
        lambda mine, other: mine.select().where(mine.age.in_(other.select(other.age))),
        lambda mine, other: mine.select().join(other, on=(mine.age == other.age)),
        lambda mine, other: mine.select(mine.age, other.select(other.age)),
        lambda mine, other: mine.select() | other.select(),
        lambda mine, other: mine.select().where(
            peewee.fn.EXISTS(other.alias("o").select())
        ),
        lambda mine, other: mine.select().from_(other.select().alias("o")),
        lambda mine, other: mine.update(age=other.select(other.age)),
        lambda mine, other: mine.insert_from(other.select(other.age), [mine.age]),
        lambda mine, other: mine.delete().where(mine.age << other.select(other.age)),
        lambda mine, other: peewee.Select(
            [peewee.Table("t", ("age",), _database=OTHER)], [peewee.SQL("1")]
        ),
    ],
)
def test_compile_refuses_a_part_of_another_family(make: Any) -> None:
    query = make(model_of(POSTGRES.database), model_of(OTHER))
    with pytest.raises(peewee.InterfaceError, match=r"MySQL.*PostgreSQL"):
        POSTGRES.compile(query)


def test_compile_takes_a_part_of_another_database_of_the_family() -> None:
    mine, other = (model_of(peewee.PostgresqlDatabase(name)) for name in "ab")
    sql, _ = POSTGRES.compile(mine.select().join(other, on=(mine.age == other.age)))
    assert " INNER JOIN " in sql


def test_compile_takes_a_query_that_was_bound_on_purpose() -> None:
    """As peewee does: `bind()` says where to run this one query."""
    query = model_of(OTHER).select().bind(POSTGRES.database)
    assert POSTGRES.compile(query)[0].startswith('SELECT "t1"."id"')
    outer = peewee.Select([query.alias("q")], [peewee.SQL("1")])
    outer.bind(POSTGRES.database)
    assert POSTGRES.compile(outer, query)[0].startswith('SELECT 1 FROM (SELECT "t1"')
    with pytest.raises(peewee.InterfaceError, match="bound to a MySQL database"):
        POSTGRES.compile(outer)


class Document(peewee.Model):
    """Fields that databases have each their own way with, and no database."""

    data: Any = peewee.JSONField(null=True)
    blob: Any = peewee.BlobField(null=True)


def state() -> tuple[Any, ...]:
    """What `set_database` of peewee would have changed, and adapting may not."""
    return (
        vars(Document.data).copy(),
        vars(Document.blob).copy(),
        Document._meta.database,
        vars(Document)["_schema"]._database,
    )


JSON_WRITES = [
    lambda: Document.insert(data={"a": 1}),
    lambda: Document.update(data={"a": 1}),
    lambda: Document.select().where(Document.data == {"a": 1}),
    lambda: Document.select(Document.data["a"]),
    lambda: Document.select(peewee.fn.COUNT(Document.data["a"])),
    lambda: Document.select(Document.data["a"]) | Document.select(Document.data["b"]),
    lambda: Document.alias().select(Document.data["a"]),
]


@with_drivers
@pytest.mark.parametrize("make", JSON_WRITES)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_compile_adapts_the_fields_of_a_model_without_database(
    dialect: Dialect, make: Any
) -> None:
    before = state()
    ours = dialect.compile(make())
    assert state() == before
    with dialect.database.bind_ctx([Document]):
        theirs = make().sql()
        if theirs[0].endswith('RETURNING "document"."id"'):
            theirs = make().returning().sql()
    assert ours[0] == theirs[0]
    assert [str(param) for param in ours[1]] == [str(param) for param in theirs[1]]


@with_drivers
def test_compile_gives_fields_back_to_the_database_of_their_model() -> None:
    with MYSQL.database.bind_ctx([Document]):
        query = Document.insert(data=[1]).bind(SQLITE.database)
        before = vars(Document.data)["_helper"].database
        sql, params = SQLITE.compile(query)
        assert (sql[-9:], params) == ("(json(?))", ("[1]",))
        assert vars(Document.data)["_helper"].database is before is MYSQL.database


@with_drivers
def test_compile_gives_fields_back_after_an_error() -> None:
    before = state()
    with pytest.raises(TypeError, match="JSON serializable"):
        SQLITE.compile(Document.insert(data=object()))
    assert state() == before


def test_compile_takes_a_table_without_model_from_elsewhere() -> None:
    for bound in (None, peewee.SqliteDatabase(None)):
        table: Any = peewee.Table("plain", ("id",)).bind(bound)
        assert SQLITE.compile(table.select(table.id))[0].endswith(
            'FROM "plain" AS "t1"'
        )


@with_drivers
def test_fields_that_are_at_home_are_left_alone() -> None:
    with SQLITE.database.bind_ctx([Document]):
        before = state()
        with SQLITE.adapting([Document]):
            assert state() == before
        with MYSQL.adapting([Document]):
            assert state() != before
        assert vars(Document.data)["_helper"].database is SQLITE.database


@with_drivers
def test_compile_keeps_others_out_meanwhile() -> None:
    lock = Counted()
    dialect = Dialect(SQLITE.database, lock)
    dialect.compile(Document.insert(data=[1]))
    assert (lock.entered, lock.left) == (1, 1)
    read = dialect.adapted(Document.select(), lambda value: (lock.left, value))
    assert read("x") == (1, "x")
    assert (lock.entered, lock.left) == (2, 2)


class Counted(AbstractContextManager[None]):
    def __init__(self) -> None:
        self.entered = self.left = 0

    def __enter__(self) -> None:
        self.entered += 1

    def __exit__(self, *error: object) -> None:
        self.left += 1


@with_drivers
@pytest.mark.parametrize("dialect", [MYSQL, SQLITE])
def test_reading_is_adapted_for_a_model_without_database(dialect: Dialect) -> None:
    before = state()

    def read(value: Any) -> Any:
        return Document.data.python_value(value)

    assert read('{"a": 1}') == '{"a": 1}'
    assert dialect.adapted(Document.select(), read)('{"a": 1}') == {"a": 1}
    assert state() == before


@with_drivers
def test_reading_is_left_alone_where_nothing_differs() -> None:
    def read() -> None: ...

    assert SQLITE.adapted(User.select(), read) is read
    with peewee.SqliteDatabase(None).bind_ctx([Document]):
        assert SQLITE.adapted(Document.select(), read) is read
        assert MYSQL.adapted(Document.select(), read) is not read


def test_compile_takes_a_node_that_is_no_query() -> None:
    assert POSTGRES.compile(peewee.SQL("a = %s", (1,))) == ("a = %s", (1,))


@pytest.mark.parametrize(
    ("dialect", "quoted"),
    [(POSTGRES, '"a""b`c%%"'), (MYSQL, '`a"b``c%%`'), (SQLITE, '"a""b`c%"')],
)
def test_quote_doubles_quotes_and_percent_signs(dialect: Dialect, quoted: str) -> None:
    assert dialect.quote('a"b`c%') == quoted


@every_dialect
@pytest.mark.parametrize("name", ["", "\0", "a\0b"])
def test_quote_refuses_what_is_no_name(dialect: Dialect, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a savepoint"):
        dialect.quote(name)


@every_dialect
@given(name=st.text(st.sampled_from("a\"`%\\';- \n[]"), min_size=1))
@settings(max_examples=80, deadline=None, database=None)
def test_a_name_cannot_end_its_quotes(dialect: Dialect, name: str) -> None:
    quoted = dialect.quote(name)
    if dialect.database.param == "%s":
        quoted = quoted % ()  # what a driver does before it sends
    mark: str = dialect.database.quote[0]
    assert quoted[0] == quoted[-1] == mark
    inner = quoted[1:-1]
    assert mark not in inner.replace(mark * 2, "")
    assert inner.replace(mark * 2, mark) == name


@given(name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
@settings(max_examples=60, deadline=None, database=None)
def test_sqlite_takes_any_name_as_one_savepoint(name: str) -> None:
    if "\0" in name:
        return
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.execute(f"SAVEPOINT {SQLITE.quote(name)}")
        assert connection.in_transaction
        connection.execute(f"RELEASE {SQLITE.quote(name)}")
        assert not connection.in_transaction
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [(POSTGRES, "BEGIN"), (MYSQL, "BEGIN"), (SQLITE, "BEGIN IMMEDIATE")],
)
def test_begin_needs_no_options(dialect: Dialect, sql: str) -> None:
    assert dialect.begin() == dialect.begin(PLAIN) == [Statement(sql)]


@pytest.mark.parametrize(
    ("options", "sql"),
    [
        ({"read_only": True}, "BEGIN READ ONLY"),
        ({"read_only": False}, "BEGIN READ WRITE"),
        ({"deferrable": True}, "BEGIN DEFERRABLE"),
        ({"deferrable": False}, "BEGIN NOT DEFERRABLE"),
        (
            {
                "isolation_level": "serializable",
                "read_only": True,
                "deferrable": True,
            },
            "BEGIN READ ONLY ISOLATION LEVEL SERIALIZABLE DEFERRABLE",
        ),
    ],
)
def test_begin_on_postgres_is_one_command(options: dict[str, Any], sql: str) -> None:
    assert begins(POSTGRES, **options) == [sql]


@pytest.mark.parametrize(
    ("options", "commands"),
    [
        ({"read_only": True}, ["START TRANSACTION READ ONLY"]),
        ({"read_only": False}, ["START TRANSACTION READ WRITE"]),
        (
            {"isolation_level": "READ COMMITTED"},
            ["SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "BEGIN"],
        ),
        (
            {"isolation_level": "read_committed", "read_only": True},
            [
                "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
                "START TRANSACTION READ ONLY",
            ],
        ),
    ],
)
def test_begin_on_mysql_sets_the_isolation_level_first(
    options: dict[str, Any], commands: list[str]
) -> None:
    assert begins(MYSQL, **options) == commands


@pytest.mark.parametrize("lock_type", LOCK_TYPES)
def test_begin_on_sqlite_has_a_lock_type(lock_type: str) -> None:
    assert begins(SQLITE, lock_type=lock_type) == [f"BEGIN {lock_type}"]
    assert begins(SQLITE, lock_type=lock_type.lower()) == [f"BEGIN {lock_type}"]


def test_begin_on_sqlite_does_not_lock_to_read() -> None:
    assert begins(SQLITE, read_only=True) == ["BEGIN DEFERRED"]
    assert begins(SQLITE, read_only=False) == ["BEGIN IMMEDIATE"]
    both = begins(SQLITE, read_only=True, lock_type="EXCLUSIVE")
    assert both == ["BEGIN EXCLUSIVE"]


@pytest.mark.parametrize("level", ISOLATION_LEVELS)
def test_begin_takes_a_level_in_any_spelling(level: str) -> None:
    expected = [f"BEGIN ISOLATION LEVEL {level}"]
    for spelling in (level, level.lower(), level.title().replace(" ", "_")):
        assert begins(POSTGRES, isolation_level=spelling) == expected


@pytest.mark.parametrize("dialect", [POSTGRES, MYSQL])
@pytest.mark.parametrize("level", ["", "SNAPSHOT", "SERIALIZABLE; DROP TABLE x"])
def test_begin_refuses_an_unknown_level(dialect: Dialect, level: str) -> None:
    with pytest.raises(ValueError, match=r"is no isolation_level.*SERIALIZABLE"):
        begins(dialect, isolation_level=level)


@pytest.mark.parametrize("lock_type", ["", "SHARED", "IMMEDIATE; DROP TABLE x"])
def test_begin_refuses_an_unknown_lock_type(lock_type: str) -> None:
    with pytest.raises(ValueError, match=r"is no lock_type.*EXCLUSIVE"):
        begins(SQLITE, lock_type=lock_type)


@pytest.mark.parametrize(
    ("dialect", "option", "value"),
    [
        (POSTGRES, "lock_type", "IMMEDIATE"),
        (MYSQL, "lock_type", "IMMEDIATE"),
        (MYSQL, "deferrable", False),
        (SQLITE, "isolation_level", "SERIALIZABLE"),
        (SQLITE, "deferrable", True),
    ],
)
def test_begin_refuses_what_the_database_does_not_have(
    dialect: Dialect, option: str, value: Any
) -> None:
    match = f"^{dialect.family.value} transactions have no {option}"
    with pytest.raises(ValueError, match=match):
        begins(dialect, **{option: value})


@pytest.mark.parametrize(
    ("option", "level"),
    [("SERIALIZABLE", "SERIALIZABLE"), (1, "READ COMMITTED")],
)
def test_the_isolation_level_of_a_database_holds(option: Any, level: str) -> None:
    database = peewee.PostgresqlDatabase("unit", isolation_level=option)
    assert begins(Dialect(database)) == [f"BEGIN ISOLATION LEVEL {level}"]


def test_the_isolation_level_of_a_transaction_wins() -> None:
    database = peewee.PostgresqlDatabase("unit", isolation_level="SERIALIZABLE")
    assert begins(Dialect(database), isolation_level="read committed") == [
        "BEGIN ISOLATION LEVEL READ COMMITTED"
    ]


def test_the_lock_type_of_a_database_holds() -> None:
    database: Any = peewee.SqliteDatabase("unit")
    database._lock_type = "exclusive"  # an argument of peewee 4.5
    dialect = Dialect(database)
    assert begins(dialect) == ["BEGIN EXCLUSIVE"]
    assert begins(dialect, read_only=True) == ["BEGIN EXCLUSIVE"]
    assert begins(dialect, lock_type="deferred") == ["BEGIN DEFERRED"]


def test_a_database_of_an_older_peewee_has_no_lock_type() -> None:
    database: Any = peewee.SqliteDatabase("unit")
    vars(database).pop("_lock_type", None)
    assert begins(Dialect(database)) == ["BEGIN IMMEDIATE"]


class DriverError(Exception):
    """Carries what the error of a driver carries."""

    def __init__(self, *args: Any, **facts: str | None) -> None:
        super().__init__(*args)
        vars(self).update(facts)


@pytest.mark.parametrize(
    ("code", "taken"), [("23505", True), ("23503", False), (None, False)]
)
def test_a_duplicate_is_known_on_postgres_by_sqlstate(
    code: str | None, taken: bool
) -> None:
    error = peewee.IntegrityError(DriverError("duplicate key", pgcode=code))
    assert POSTGRES.is_duplicate(error) is taken


@pytest.mark.parametrize(
    ("args", "taken"),
    [((1062, "Duplicate entry"), True), ((1452, "foreign key"), False), ((), False)],
)
def test_a_duplicate_is_known_on_mysql_by_number(
    args: tuple[Any, ...], taken: bool
) -> None:
    error = peewee.IntegrityError(DriverError(*args), *args)
    assert MYSQL.is_duplicate(error) is taken


@pytest.mark.parametrize(
    ("insert", "taken"),
    [
        ("INSERT INTO t VALUES (1, 9, 1, 1)", True),
        ("INSERT INTO t VALUES (9, 1, 1, 1)", True),
        ("INSERT INTO t (rowid, id, a, b, c) VALUES (1, 9, 9, 1, 1)", True),
        ("INSERT INTO t VALUES (9, 9, NULL, 1)", False),
        ("INSERT INTO t VALUES (9, 9, 1, -1)", False),
    ],
    ids=["primary key", "unique", "rowid", "not null", "check"],
)
def test_a_duplicate_is_known_on_sqlite_by_extended_code(
    insert: str, taken: bool
) -> None:
    database: Any = peewee.SqliteDatabase(":memory:")
    with database.connection_context():
        database.execute_sql(
            "CREATE TABLE t (id TEXT PRIMARY KEY, a UNIQUE, "
            "b NOT NULL, c CHECK (c > 0))"
        )
        database.execute_sql(
            "INSERT INTO t (rowid, id, a, b, c) VALUES (1, 1, 1, 1, 1)"
        )
        with pytest.raises(peewee.IntegrityError) as caught:
            database.execute_sql(insert)
    assert SQLITE.is_duplicate(caught.value) is taken


@every_dialect
def test_an_error_of_ours_is_no_duplicate(dialect: Dialect) -> None:
    assert dialect.is_duplicate(peewee.IntegrityError("no driver said so")) is False


def test_a_duplicate_is_known_by_the_error_of_the_driver_itself() -> None:
    assert POSTGRES.is_duplicate(DriverError(pgcode="23505"))


# Sessions that were abandoned


def test_an_abandoned_session_of_postgres_is_ended_if_it_is_still_the_same() -> None:
    statement = POSTGRES.end_session(4711, 4000, 0.25)
    assert statement is not None
    assert statement.params == (4711, 0.25)
    assert statement.sql == (
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity "
        "WHERE pid = %s AND usename = session_user AND datname = current_database() "
        "AND backend_start <= clock_timestamp() - make_interval(secs => %s)"
    )


def test_an_abandoned_session_of_mysql_is_killed() -> None:
    assert MYSQL.end_session(17, 18, 0.25) == Statement("KILL %s", (17,))


@pytest.mark.parametrize("own", [17, 3])
def test_a_server_that_has_not_come_so_far_has_no_such_session(own: int) -> None:
    assert MYSQL.end_session(17, own, 0.25) is None


def test_sqlite_has_no_sessions() -> None:
    assert SQLITE.end_session(17, 18, 0.25) is None


def test_values_for_slots() -> None:
    class Name(peewee.Node):
        def __sql__(self, ctx: Any) -> Any:
            return ctx.sql(ctx.state.slots["name"])

    query = Post.select(Post.id).join(User, on=Post.author).where(User.name == Name())
    filled = POSTGRES.with_slots({"name": "ada"})
    assert filled.compile(query)[1] == ("ada",)
    assert filled.met == [Post, User]
    assert (POSTGRES.slots, POSTGRES.met) == (None, None)
    assert filled.token is POSTGRES.token
