"""Tables: exactly what sync peewee sends, in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import peewee
import pytest
from playhouse.sqlite_ext import FTS5Model, SearchField

from peewee_async.core import schema
from peewee_async.core.boundary import Reply
from peewee_async.core.decoding import ReplyCursor
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Execution, Work
from tests.unit.models import DIALECTS, MYSQL, POSTGRES, SQLITE
from tests.unit.script import Script

KINDS: dict[str, Any] = {
    "postgres": (peewee.PostgresqlDatabase, "unit"),
    "mysql": (peewee.MySQLDatabase, "unit"),
    "sqlite": (peewee.SqliteDatabase, ":memory:"),
}


class Author(peewee.Model):
    name: Any = peewee.CharField(unique=True)
    mentor: Any = peewee.ForeignKeyField("self", null=True, on_delete="SET NULL")


class Book(peewee.Model):
    author: Any = peewee.ForeignKeyField(Author, on_delete="CASCADE", deferrable="NOT")
    title: Any = peewee.CharField(
        column_name='100% "title"',
        constraints=[peewee.Check("1 = 1"), peewee.SQL("DEFAULT '%%'")],
    )
    pages: Any = peewee.IntegerField(index=True, null=True)

    class Meta:
        indexes = ((("author", "pages"), True),)
        constraints = (peewee.Check("pages > 0"),)
        table_settings = ("COMMENT 'books'", "WITH SETTING")


Book.add_index(peewee.SQL("CREATE INDEX by_hand ON book (pages)"))
Book.add_index(Book.pages, where=(Book.pages > 5), name="thick")
Book.add_index(peewee.fn.LOWER(Book.title), name="lower title", using="btree")


class Member(peewee.Model):
    author: Any = peewee.ForeignKeyField(Author)
    club: Any = peewee.CharField(index=True)

    class Meta:
        primary_key = peewee.CompositeKey("author", "club")
        schema = "clubs"
        table_name = "%member `s`"


class Draft(peewee.Model):
    text: Any = peewee.TextField(index=True, index_type="hash")

    class Meta:
        temporary = True
        primary_key = False


class Ticket(peewee.Model):
    number: Any = peewee.IntegerField(primary_key=True, sequence="ticket_number")
    line: Any = peewee.IntegerField(sequence="ticket_line", index=True)

    class Meta:
        schema = "office"


class Rowless(peewee.Model):
    code: Any = peewee.CharField(primary_key=True)

    class Meta:
        without_rowid = True
        strict_tables = True
        options = {"owner": Author, "fill": 7}  # noqa: RUF012
        depends_on = [Ticket]  # noqa: RUF012


class Page(FTS5Model):  # type: ignore[misc]
    title: Any = SearchField()
    body: Any = SearchField(unindexed=True)

    class Meta:
        options = {"tokenize": "porter"}  # noqa: RUF012


class Guarded(peewee.SchemaManager):
    """A schema manager of the program's own, with SQL before and after peewee's."""

    def create_all(self, safe: bool = True, **options: Any) -> None:
        database: Any = self.database
        if not database.execute_sql("SELECT allowed(?)", (safe,)).fetchone():
            raise ValueError("not allowed")
        parent: Any = super()
        parent.create_all(safe, **options)
        database.execute_sql("GRANT", None)

    def _create_context(self) -> Any:
        parent: Any = super()
        return parent._create_context().literal("/* ours */ ")


class Secret(peewee.Model):
    text: Any = peewee.TextField(index=True)

    class Meta:
        schema_manager_class = Guarded


class Paper(peewee.Model):
    """What its index is depends on the database."""

    data: Any = peewee.JSONField()


Paper.add_index(Paper.data["kind"].as_text(), name="kind")

MODELS: tuple[Any, ...] = (
    Author,
    Book,
    Member,
    Draft,
    Ticket,
    Rowless,
    Page,
    Secret,
    Paper,
)

Sent = list[tuple[str, tuple[Any, ...]]]
Answer = Callable[[str], Reply]


def found(sql: str) -> Reply:
    """Answer that everything looked for is there."""
    names = [(model._meta.table_name,) for model in MODELS]
    rows = names if "table" in sql.lower() else [(1,)]
    return Reply(rows, ("x",), 1)


def missing(sql: str) -> Reply:
    """Answer that nothing is there; who asks whether something is allowed may."""
    if "COUNT" in sql:
        return Reply([(0,)], ("x",), 1)
    return Reply([(1,)] if "allowed" in sql else [], ("x",), 0)


def refused(sql: str) -> Reply:
    """Answer with an error once something is to be changed."""
    if sql.startswith(("SELECT", "/* ours */ SELECT")):
        return missing(sql)
    raise peewee.ProgrammingError("refused")


ANSWERS: tuple[Answer, ...] = (found, missing, refused)


def recording(kind: Any, name: str, answer: Answer) -> tuple[Any, Sent]:
    """Make a sync database that takes down what it is to execute, and answers."""
    sent: Sent = []

    class Recording(kind):  # type: ignore[misc]
        def execute_sql(self, sql: str, params: Any = None) -> Any:
            sent.append((sql, tuple(params or ())))
            return ReplyCursor(answer(sql))

    return Recording(name), sent


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return type(error), str(error)


def finish(work: Work[Any], answer: Answer, sent: Sent) -> Any:
    execution = Execution(work)
    waiting = execution.start()
    while waiting is not None:
        sent.append((waiting.sql, waiting.params))
        try:
            reply = answer(waiting.sql)
        except peewee.ProgrammingError as error:
            waiting = execution.fail(error)
        else:
            waiting = execution.feed(reply)
    return execution.result


@contextmanager
def untouched() -> Iterator[None]:
    """See to it that the models are as they were."""

    def look() -> list[Any]:
        seen = [vars(model._meta).copy() for model in MODELS]
        for state in seen:
            state.pop("_table")  # made when it is first asked for
        return [seen, [vars(model._schema).copy() for model in MODELS]]

    before = look()
    yield
    assert look() == before


def compare(
    kind: str,
    answer: Answer,
    sync: Callable[[Any], Any],
    make: Callable[..., Work[Any]],
) -> Sent:
    """Do something as peewee does it and as steps: the same is sent, and comes out."""
    make_database, name = KINDS[kind]
    database, expected = recording(make_database, name, answer)
    with database.bind_ctx(MODELS, False, False):
        wanted = outcome(lambda: sync(database))
    ours: Sent = []
    dialect = Dialect(make_database(name))
    with untouched():
        assert outcome(lambda: finish(make(dialect), answer, ours)) == wanted
    assert ours == expected
    return ours


each_kind = pytest.mark.parametrize("kind", KINDS)
each_model = pytest.mark.parametrize("model", MODELS)

CREATE: tuple[dict[str, Any], ...] = (
    {},
    {"safe": False},
    {"temporary": True},
    {"safe": False, "fill": 3, "owner": Author},
)
DROP: tuple[dict[str, Any], ...] = (
    {},
    {"safe": False},
    {"cascade": True},
    {"restrict": True, "drop_sequences": False},
)
TRUNCATE: tuple[dict[str, Any], ...] = (
    {},
    {"restart_identity": True, "cascade": True},
    {"odd": 1},
)


@each_kind
@each_model
def test_create_table(kind: str, model: Any) -> None:
    for options, answer in product(CREATE, ANSWERS):
        compare(
            kind,
            answer,
            lambda database: model.create_table(**options),  # noqa: B023
            lambda dialect: schema.create_table(dialect, model, options),  # noqa: B023
        )


@each_kind
@each_model
def test_drop_table(kind: str, model: Any) -> None:
    for options, answer in product(DROP, ANSWERS):
        compare(
            kind,
            answer,
            lambda database: model.drop_table(**options),  # noqa: B023
            lambda dialect: schema.drop_table(dialect, model, options),  # noqa: B023
        )


@each_kind
@each_model
def test_truncate_table(kind: str, model: Any) -> None:
    for options in TRUNCATE:
        compare(
            kind,
            missing,
            lambda database: model.truncate_table(**options),  # noqa: B023
            lambda dialect: schema.truncate_table(dialect, model, options),  # noqa: B023
        )


@each_kind
@each_model
def test_table_exists(kind: str, model: Any) -> None:
    for answer in ANSWERS:
        compare(
            kind,
            answer,
            lambda database: model.table_exists(),
            lambda dialect: schema.table_exists(dialect, model),
        )


@each_kind
@pytest.mark.parametrize("options", [{}, {"safe": False}], ids=str)
def test_tables_of_many_models(kind: str, options: Any) -> None:
    for answer in ANSWERS:
        compare(
            kind,
            answer,
            lambda database: database.create_tables(MODELS, **options),
            lambda dialect: schema.create_tables(dialect, iter(MODELS), options),
        )
        compare(
            kind,
            answer,
            lambda database: database.drop_tables(MODELS, **options),
            lambda dialect: schema.drop_tables(dialect, list(MODELS), options),
        )


QUESTIONS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("table_exists", ("author", "s")),
    ("table_exists", (Member,)),
    ("get_tables", ()),
    ("get_tables", ('a"b',)),
    ("get_primary_keys", ("author",)),
    ("sequence_exists", ("ticket_line",)),
    ("sequence_exists", ("office.ticket_line",)),
)


@each_kind
@pytest.mark.parametrize(("method", "args"), QUESTIONS, ids=str)
def test_the_catalogue(kind: str, method: str, args: Any) -> None:
    def look(database: Any) -> Any:
        return getattr(database, method)(*args)

    for answer in ANSWERS:
        compare(
            kind, answer, look, lambda dialect: schema.inspect(dialect, method, *args)
        )


@pytest.mark.parametrize("method", ["get_indexes", "get_columns", "get_foreign_keys"])
def test_questions_of_several_statements(method: str) -> None:
    """The catalogue of SQLite needs a statement for each index."""
    database: Any = peewee.SqliteDatabase(":memory:")
    with database.connection_context():
        database.execute_sql("CREATE TABLE author (id INTEGER PRIMARY KEY)")
        database.execute_sql("CREATE TABLE book (author REFERENCES author)")
        database.execute_sql("CREATE UNIQUE INDEX one ON book (author)")
        execution = Execution(schema.inspect(Dialect(database), method, "book"))
        waiting = execution.start()
        while waiting is not None:
            cursor = database.execute_sql(waiting.sql, waiting.params)
            names = tuple(column[0] for column in cursor.description)
            waiting = execution.feed(Reply(cursor.fetchall(), names))
        value = execution.result
        assert value == getattr(database, method)("book")
        assert value


# A few in full


class Counter(peewee.Model):
    number: Any = peewee.IntegerField(primary_key=True, sequence="counter_number")
    line: Any = peewee.IntegerField(sequence="counter_line", index=True)


def test_a_table_in_postgres() -> None:
    script = Script(schema.create_table(POSTGRES, Counter))
    assert script.waiting is not None
    assert "relkind='S'" in script.waiting.sql
    assert script.waiting.params[0] == "counter_number"
    script.gets((0,), columns=("count",))
    script.sends('CREATE SEQUENCE "counter_number"').writes()
    script.gets((1,), columns=("count",))
    script.sends(
        'CREATE TABLE IF NOT EXISTS "counter" ("number" INTEGER NOT NULL PRIMARY KEY '
        "DEFAULT NEXTVAL('counter_number'), \"line\" INTEGER NOT NULL "
        "DEFAULT NEXTVAL('counter_line'))"
    ).writes()
    script.sends(
        'CREATE INDEX IF NOT EXISTS "counter_line" ON "counter" ("line")'
    ).writes()
    assert script.result is None


def test_a_table_in_mysql_is_looked_for_first() -> None:
    find = (
        "SELECT table_name FROM information_schema.tables WHERE table_schema = "
        "COALESCE(%s, DATABASE()) AND table_type != %s ORDER BY table_name"
    )
    make = (
        "CREATE TABLE IF NOT EXISTS `author` (`id` INTEGER AUTO_INCREMENT NOT NULL "
        "PRIMARY KEY, `name` VARCHAR(255) NOT NULL, `mentor_id` INTEGER, "
        "FOREIGN KEY (`mentor_id`) REFERENCES `author` (`id`) ON DELETE SET NULL)"
    )
    script = Script(schema.create_table(MYSQL, Author)).sends(find, None, "VIEW")
    assert script.gets(("author",)).result is None
    script = Script(schema.create_table(MYSQL, Author)).sends(find, None, "VIEW").gets()
    script.sends(make).writes()
    script.sends("CREATE UNIQUE INDEX `author_name` ON `author` (`name`)").writes()
    script.sends("CREATE INDEX `author_mentor_id` ON `author` (`mentor_id`)").writes()
    assert script.result is None


def test_a_virtual_table_in_sqlite() -> None:
    script = Script(schema.create_table(SQLITE, Page))
    script.sends(
        'CREATE VIRTUAL TABLE IF NOT EXISTS "page" USING fts5 '
        '("title", "body" UNINDEXED, tokenize="porter")'
    ).writes()
    assert script.result is None


def test_an_old_name_of_safe_still_works() -> None:
    with pytest.warns(DeprecationWarning, match="fail_silently"):
        script = Script(schema.create_table(SQLITE, Draft, {"fail_silently": False}))
    assert script.waiting is not None
    assert script.waiting.sql.startswith('CREATE TEMPORARY TABLE "draft"')


# What may go wrong


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_wrong_argument_is_refused_before_anything_is_sent(dialect: Dialect) -> None:
    wrong: tuple[Callable[[], Work[Any]], ...] = (
        lambda: schema.create_table(dialect, "author"),
        lambda: schema.create_tables(dialect, [Author, 1]),
        lambda: schema.drop_tables(dialect, ["author"]),
        lambda: schema.create_tables(dialect, Author),
    )
    for make in wrong:
        with pytest.raises(TypeError, match=r"is no model|is one model"):
            assert Script(make()).result


def test_after_an_error_nothing_more_is_sent() -> None:
    """At each of the statements of several tables."""
    count = 0
    while True:
        script = Script(schema.create_tables(SQLITE, [Author, Draft]))
        for _ in range(count):
            script.writes()
        if script.waiting is None:
            break
        with pytest.raises(peewee.OperationalError):
            assert script.breaks(peewee.OperationalError("no")).result
        count += 1
    assert count == 5


def test_an_interruption_ends_it_at_each_statement() -> None:
    for count in range(5):
        script = Script(schema.create_tables(SQLITE, [Author, Draft]))
        for _ in range(count):
            script.writes()
        assert script.waiting is not None
        assert script.is_interrupted().execution.state.value == "aborted"


class Sealed(peewee.SchemaManager):
    def create_table(self, safe: bool = True, **options: Any) -> None:
        database: Any = self.database
        with database.atomic():
            parent: Any = super()
            parent.create_table(safe, **options)


def test_a_schema_manager_cannot_open_a_transaction() -> None:
    class Vault(peewee.Model):
        class Meta:
            schema_manager_class = Sealed

    with pytest.raises(peewee.NotSupportedError, match=r"aio_atomic\(\)"):
        assert Script(schema.create_table(SQLITE, Vault)).result


def test_a_schema_manager_keeps_what_it_was_made_with() -> None:
    class Quoted(peewee.Model):
        class Meta:
            table_name = "quoted"

    model: Any = Quoted
    model._schema.context_options["quote"] = "[]"
    script = Script(schema.truncate_table(SQLITE, Quoted))
    script.sends("DELETE FROM [quoted]").writes(2)
    assert script.result is None


@each_kind
def test_fields_go_back_to_the_database_of_their_model(kind: str) -> None:
    make_database, name = KINDS[kind]
    before = vars(Paper.data).copy()
    dialect = Dialect(make_database(name))
    finish(schema.create_table(dialect, Paper), missing, [])
    assert vars(Paper.data) == before
