"""One query, one plan: what is sent, and what the caller gets for the reply.

Half of these tests are transcripts. The others run the plan on SQLite, and compare
with what peewee itself gives there.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import peewee
import pytest
from peewee import EXCLUDED, fn

from peewee_async.core import plans
from peewee_async.core.boundary import Pause
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import PORTION, Execution, Plan
from tests.unit.library import (
    AUTHORS,
    DATABASE,
    DIALECT,
    SHAPES,
    Author,
    Book,
    Genre,
    Note,
    Review,
    Shelf,
    content,
    frozen,
    library,
    plain,
    run,
)
from tests.unit.models import (
    DIALECTS,
    MYSQL,
    POSTGRES,
    SQLITE,
    Country,
    Log,
    Membership,
    Post,
    User,
)
from tests.unit.script import Script

every_dialect = pytest.mark.parametrize(
    "dialect", DIALECTS, ids=[dialect.family.value for dialect in DIALECTS]
)
every_shape = pytest.mark.parametrize("shape", SHAPES)

TABLE: Any = peewee.Table("user", ("id", "name", "age"), primary_key="id")
KEYLESS: Any = peewee.Table("log", ("line",))

ADA = {"name": "ada", "age": 36}
ADDED = 'INSERT INTO "user" ("name", "age") VALUES (%s, %s) RETURNING "user"."id"'


@pytest.fixture(scope="module", autouse=True)
def shelves() -> Iterator[None]:
    with library():
        yield


@pytest.fixture
def scratch() -> Iterator[None]:
    """Undo what a test writes."""
    with DATABASE.atomic() as block:
        yield
        block.rollback()


@pytest.fixture(params=[False, True], ids=["lastrowid", "returning"])
def returning(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[bool]:
    """Take keys from the driver, or by RETURNING."""
    monkeypatch.setattr(DATABASE, "returning_clause", request.param)
    return request.param  # type: ignore[no-any-return]


def synchronous(make: Callable[[], Any]) -> tuple[Any, Any]:
    """What peewee gives, and leaves in the tables; undone afterwards."""
    with DATABASE.atomic() as block:
        value = plain(make())
        tables = content()
        block.rollback()
    return value, tables


# What sync peewee gives.


@every_shape
def test_execute_gives_what_peewee_gives(shape: str) -> None:
    ours = run(plans.execute(DIALECT, SHAPES[shape]()))
    assert isinstance(ours, list)
    assert plain(ours) == plain(list(SHAPES[shape]().execute(DATABASE)))


@every_shape
@pytest.mark.parametrize("n", [1, 3])
def test_first_gives_what_peewee_gives(shape: str, n: int) -> None:
    query = SHAPES[shape]()
    if isinstance(query, peewee.RawQuery):  # it has no first() in peewee
        rows = list(query.execute(DATABASE))
        expected = rows[0] if n == 1 else rows[:n]
    else:
        expected = query.first(DATABASE, n)
    assert plain(run(plans.first(DIALECT, SHAPES[shape](), n))) == plain(expected)


def value_or_error(get: Callable[[], Any]) -> Any:
    try:
        return plain(get())
    except Author.DoesNotExist as error:
        return str(error)


@every_shape
def test_get_gives_what_peewee_gives(shape: str) -> None:
    ours = value_or_error(lambda: run(plans.get(DIALECT, SHAPES[shape]())))
    assert ours == value_or_error(lambda: SHAPES[shape]().bind(DATABASE).get())


@every_shape
def test_scalar_gives_what_peewee_gives(shape: str) -> None:
    for how in ({}, {"as_tuple": True}, {"as_dict": True}):
        query = SHAPES[shape]()
        if isinstance(query, peewee.RawQuery):  # it has no scalar() in peewee
            rows = query.dicts() if "as_dict" in how else query.tuples()
            row = next(iter(rows.execute(DATABASE)))
            expected = row if how else row[0]
        else:
            expected = query.scalar(DATABASE, **how)
        ours = run(plans.scalar(DIALECT, SHAPES[shape](), **how))
        assert plain(ours) == plain(expected)


@every_shape
def test_scalars_gives_what_peewee_gives(shape: str) -> None:
    query = SHAPES[shape]()
    if isinstance(query, peewee.RawQuery):  # it has no scalars() in peewee
        expected = [row[0] for row in query.tuples().execute(DATABASE)]
    else:
        expected = list(query.scalars(DATABASE))
    assert plain(run(plans.scalars(DIALECT, SHAPES[shape]()))) == plain(expected)


@every_shape
@pytest.mark.parametrize("n", [-1, 0, 1, 2])
def test_peek_gives_what_peewee_gives(shape: str, n: int) -> None:
    query = SHAPES[shape]()
    rows = list(query.execute(DATABASE))[:n]  # a raw query has no peek() in peewee
    ours = run(plans.peek(DIALECT, SHAPES[shape](), n))
    if not isinstance(query, peewee.RawQuery):
        assert plain(ours) == plain(query.peek(DATABASE, n))
    assert plain(ours) == plain((rows[0] if n == 1 else rows) if rows else None)


@every_shape
def test_count_is_the_number_of_rows(shape: str) -> None:
    rows = SHAPES[shape]().execute(DATABASE)
    assert run(plans.count(DIALECT, SHAPES[shape]())) == len(rows)


@every_shape
def test_count_can_leave_limits_out(shape: str) -> None:
    query = SHAPES[shape]()
    count = run(plans.count(DIALECT, query, clear_limit=True))
    if isinstance(query, peewee.Query):
        query = query.limit(None).offset(None)
    assert count == len(query.execute(DATABASE))


@every_shape
def test_exists_tells_whether_there_are_rows(shape: str) -> None:
    rows = SHAPES[shape]().execute(DATABASE)
    assert run(plans.exists(DIALECT, SHAPES[shape]())) is (len(rows) > 0)


PLANS = (
    plans.execute,
    plans.get,
    plans.first,
    plans.peek,
    plans.scalar,
    plans.scalars,
    plans.count,
    plans.exists,
)


@every_shape
def test_no_plan_changes_the_query(shape: str) -> None:
    query = SHAPES[shape]()
    before = frozen(query)
    for make in PLANS:
        value_or_error(partial(run, make(DIALECT, query)))
        assert frozen(query) == before, make.__name__


# Rows.


def test_a_select_gives_a_list() -> None:
    script = Script(plans.execute(POSTGRES, User.select(User.id, User.name)))
    script.sends('SELECT "t1"."id", "t1"."name" FROM "user" AS "t1"')
    script.gets((1, "ada"), (2, "bob"))
    assert [user.name for user in script.result] == ["ada", "bob"]


def test_a_select_can_ask_for_some_rows_only() -> None:
    script = Script(plans.select(SQLITE, User.select(User.id), 5))
    script.sends('SELECT "t1"."id" FROM "user" AS "t1"', limit=5).gets((1,))
    assert script.result == [User(id=1)]


def test_get_asks_for_one_row() -> None:
    script = Script(plans.get(MYSQL, User.select(User.id).where(User.name == "ada")))
    script.sends(
        "SELECT `t1`.`id` FROM `user` AS `t1` WHERE (`t1`.`name` = %s) "
        "LIMIT %s OFFSET %s",
        *("ada", 1, 0),
        limit=1,
    )
    assert script.gets((3,)).result == User(id=3)


def test_get_without_a_row_raises_the_error_of_the_model() -> None:
    query = User.select(User.id).where(User.name == "zoe")
    script = Script(plans.get(POSTGRES, query)).gets()
    with pytest.raises(User.DoesNotExist) as caught:
        _ = script.result
    assert str(caught.value) == (
        "<Model: User> instance matching query does not exist:\n"
        'SQL: SELECT "t1"."id" FROM "user" AS "t1" WHERE ("t1"."name" = %s) '
        "LIMIT %s OFFSET %s\nParams: ['zoe', 1, 0]"
    )


@pytest.mark.parametrize(
    "query",
    [
        User.select() | User.select(),
        User.raw("SELECT 1"),
        User.update(age=1).returning(User),
        User.noop(),
    ],
)
def test_every_query_of_a_model_has_its_error(query: Any) -> None:
    with pytest.raises(User.DoesNotExist):
        _ = Script(plans.get(POSTGRES, query)).gets().result


def test_get_from_an_alias_raises_the_error_of_the_model() -> None:
    with pytest.raises(User.DoesNotExist):
        _ = Script(plans.get(POSTGRES, User.alias().select())).gets().result


def test_get_without_a_model_gives_none() -> None:
    assert Script(plans.get(POSTGRES, TABLE.select())).gets().result is None


def test_get_leaves_raw_sql_alone() -> None:
    script = Script(plans.get(SQLITE, User.raw("SELECT id FROM user; ")))
    script.sends("SELECT id FROM user; ", limit=1)
    assert script.gets((3,), columns=("id",)).result == User(id=3)


@pytest.mark.parametrize("make", [plans.get, plans.first])
def test_a_write_takes_no_limit(make: Any) -> None:
    query = User.update(age=40).returning(User.id)
    script = Script(make(POSTGRES, query))
    script.sends('UPDATE "user" SET "age" = %s RETURNING "user"."id"', 40, limit=1)
    assert script.gets((3,)).result == User(id=3)


def test_scalar_asks_for_one_row() -> None:
    script = Script(plans.scalar(POSTGRES, User.select(fn.MAX(User.age))))
    sql = 'SELECT MAX("t1"."age") FROM "user" AS "t1" LIMIT %s'
    assert script.sends(sql, 1, limit=1).gets((40,)).result == 40


def test_peek_asks_for_rows_without_a_limit_in_the_sql() -> None:
    query = TABLE.select(TABLE.name).tuples()
    sql = 'SELECT "t1"."name" FROM "user" AS "t1"'
    script = Script(plans.peek(POSTGRES, query, 2)).sends(sql, limit=2)
    assert script.gets(("a",), ("b",)).result == [("a",), ("b",)]


def test_scalars_asks_for_all_rows() -> None:
    script = Script(plans.scalars(POSTGRES, User.select(User.name)))
    script.sends('SELECT "t1"."name" FROM "user" AS "t1"')
    assert script.gets(("a",), (None,), ("a",)).result == ["a", None, "a"]


def test_many_scalars_are_read_with_pauses() -> None:
    names = [(f"n{number}",) for number in range(PORTION + 1)]
    script = Script(plans.scalars(POSTGRES, User.select(User.name)))
    script.gets(*names)
    for _ in range(2):
        assert isinstance(script.waiting, Pause)
        script.writes()
    assert script.result == [name for (name,) in names]


@pytest.mark.parametrize("value", [None, 0, ""])
def test_a_value_that_is_false_is_a_value(value: Any) -> None:
    query = TABLE.select(TABLE.name)
    assert Script(plans.scalar(POSTGRES, query)).gets((value,)).result == value


@pytest.mark.parametrize("how", [{}, {"as_tuple": True}, {"as_dict": True}])
def test_scalar_of_nothing_is_none(how: dict[str, bool]) -> None:
    script = Script(plans.scalar(POSTGRES, User.select(), **how)).gets()
    assert script.result is None


@pytest.mark.parametrize("n", [1, 2])
def test_first_of_nothing_is_none(n: int) -> None:
    assert Script(plans.first(POSTGRES, User.select(), n)).gets().result is None


def test_raw_sql_that_gives_rows_gives_tuples() -> None:
    script = Script(plans.raw(MYSQL, "SELECT %s, '%%'", (1,)))
    script.sends("SELECT %s, '%%'", 1).gets((1, "%"), columns=("a", "b"))
    assert script.result == [(1, "%")]


def test_raw_sql_that_gives_no_rows_gives_their_number() -> None:
    assert Script(plans.raw(MYSQL, "DELETE FROM log")).writes(4).result == 4


def test_raw_sql_takes_parameters_in_order() -> None:
    sql = "SELECT %s, %s"
    given: list[Any] = [[1, "a"], (1, "a"), iter((1, "a"))]
    for params in given:
        Script(plans.raw(MYSQL, sql, params)).sends(sql, 1, "a")
    for nothing in (None, ()):
        Script(plans.raw(MYSQL, "SELECT 1", nothing)).sends("SELECT 1")
    for wrong in ({"a": 1}, "ab", b"ab"):
        with pytest.raises(TypeError, match="give them in order"):
            plans.raw(MYSQL, sql, wrong)


def test_raw_sql_can_be_read_in_another_way() -> None:
    script = Script(plans.raw(MYSQL, "SELECT 1", None, lambda reply: reply.columns))
    assert script.gets((1,), columns=("a",)).result == ("a",)


def test_raw_sql_with_columns_but_no_row_gives_an_empty_list() -> None:
    script = Script(plans.raw(MYSQL, "SELECT 1 WHERE 0")).gets(columns=("1",))
    assert script.result == []


# Counting.


def sql_of(plan: Any) -> str:
    assert isinstance(plan, Plan)
    return plan.statement.sql


def test_count_does_not_fetch_what_it_counts() -> None:
    query = User.select().where(User.age > 3).order_by(User.name)
    script = Script(plans.count(POSTGRES, query))
    script.sends(
        'SELECT COUNT(1) FROM (SELECT 1 FROM "user" AS "t1" '
        'WHERE ("t1"."age" > %s)) AS "_wrapped"',
        3,
        limit=1,
    )
    assert script.gets((7,)).result == 7


def test_count_does_not_need_columns_with_names() -> None:
    query = User.select(User.id.alias("a"), User.age.alias("b"))
    assert sql_of(plans.count(SQLITE, query)) == (
        'SELECT COUNT(1) FROM (SELECT 1 FROM "user" AS "t1") AS "_wrapped"'
    )


def test_count_keeps_names_that_a_condition_may_use() -> None:
    query = User.select(User.age.alias("a")).having(peewee.SQL("a > 3"))
    assert sql_of(plans.count(MYSQL, query)) == (
        "SELECT COUNT(1) FROM (SELECT `t1`.`age` AS `a` FROM `user` AS `t1` "
        "HAVING a > 3) AS `_wrapped`"
    )


def test_count_keeps_what_makes_rows_distinct() -> None:
    query = User.select(User.name, User.age).distinct()
    assert sql_of(plans.count(POSTGRES, query)) == (
        'SELECT COUNT(1) FROM (SELECT DISTINCT "t1"."name" AS "_0", '
        '"t1"."age" AS "_1" FROM "user" AS "t1") AS "_wrapped"'
    )


def test_count_keeps_what_postgres_makes_rows_distinct_on() -> None:
    query = User.select(User.name).distinct(User.age)
    assert sql_of(plans.count(POSTGRES, query)) == (
        'SELECT COUNT(1) FROM (SELECT DISTINCT ON ("t1"."age") "t1"."name" AS "_0" '
        'FROM "user" AS "t1") AS "_wrapped"'
    )


def test_count_of_an_aggregate_is_one() -> None:
    query = User.select(User.name, fn.MAX(User.age), fn.MIN(User.age).alias("min"))
    assert sql_of(plans.count(POSTGRES, query)) == (
        'SELECT COUNT(1) FROM (SELECT MAX("t1"."age") AS "_0", MIN("t1"."age") '
        'AS "min" FROM "user" AS "t1") AS "_wrapped"'
    )


def test_count_of_what_writes_is_refused() -> None:
    query = User.update(age=1).returning(User.id)
    with pytest.raises(TypeError, match="A ModelUpdate writes rows"):
        plans.count(POSTGRES, query)


def test_counted_columns_have_names_of_their_own() -> None:
    # MySQL: error 1060, duplicate column name.
    join = Post.select(Post.id, User.id).join(User, on=Post.author)
    grouped = join.group_by(Post.id, User.id)
    assert "`t1`.`id` AS `_0`, `t2`.`id` AS `_1`" in sql_of(plans.count(MYSQL, grouped))
    computed = User.select(User.age + 1, User.age + 1).distinct()
    assert "%s) AS `_0`, " in sql_of(plans.count(MYSQL, computed))


@pytest.mark.parametrize("star", [peewee.SQL("*"), TABLE.__star__])
def test_count_does_not_need_all_columns(star: Any) -> None:
    plan = plans.count(MYSQL, TABLE.select(star))
    assert sql_of(plan) == (
        "SELECT COUNT(1) FROM (SELECT 1 FROM `user` AS `t1`) AS `_wrapped`"
    )


def test_count_keeps_columns_written_as_sql() -> None:
    plan = plans.count(SQLITE, TABLE.select(peewee.SQL("max(age)"), 1))
    assert "(SELECT max(age), ? FROM" in sql_of(plan)


@pytest.mark.parametrize(
    "sql", ["SELECT 1", " SELECT 1 ; ", "SELECT 1;;", "SELECT 1 -- the end;"]
)
@pytest.mark.parametrize(
    ("make", "value"), [(plans.count, 1), (plans.exists, True)], ids=["count", "exists"]
)
def test_raw_sql_may_end_as_it_likes(make: Any, value: Any, sql: str) -> None:
    ours = run(make(DIALECT, Author.raw(sql)))
    assert ours == value
    assert type(ours) is type(value)


@pytest.mark.parametrize("make", [plans.count, plans.exists])
def test_parameters_of_raw_sql_stay(make: Any) -> None:
    plan = make(POSTGRES, User.raw("SELECT * FROM u WHERE a = %s", 7))
    assert plan.statement.params == (7,)
    assert plan.statement.limit == 1


def test_exists_does_not_fetch_what_there_is() -> None:
    script = Script(plans.exists(POSTGRES, User.select().where(User.age > 3)))
    sql = 'SELECT EXISTS(SELECT 1 FROM "user" AS "t1" WHERE ("t1"."age" > %s))'
    assert script.sends(sql, 3, limit=1).gets((True,)).result is True


def test_exists_is_a_bool_on_every_driver() -> None:
    assert Script(plans.exists(MYSQL, User.select())).gets((0,)).result is False
    assert Script(plans.exists(SQLITE, User.select())).gets((1,)).result is True


@every_dialect
@pytest.mark.parametrize("make", [plans.count, plans.exists])
def test_a_noop_of_a_model_bound_to_nothing_has_no_rows(
    dialect: Dialect, make: Any
) -> None:
    plan = make(dialect, User.noop())
    assert "1 = 0" in plan.statement.sql
    assert Script(plan).gets((0,)).result == 0


@pytest.mark.parametrize("make", PLANS)
@pytest.mark.parametrize("kind", ["select", "raw", "noop"])
def test_every_plan_refuses_a_query_of_another_family(make: Any, kind: str) -> None:
    query = Author.raw("SELECT 1") if kind == "raw" else getattr(Author, kind)()
    with pytest.raises(peewee.InterfaceError, match=r"SQLite.*PostgreSQL"):
        make(POSTGRES, query)


# Writing.

WRITES: dict[str, Callable[[], Any]] = {
    "insert": lambda: Author.insert(name="eve"),
    "insert, given key": lambda: Author.insert(id=77, name="eve"),
    "insert, default values": lambda: Shelf.insert(room="a", number=1),
    "insert as rowcount": lambda: Author.insert(name="eve").as_rowcount(),
    "insert, composite key": lambda: Shelf.insert(room="a", number=1, label="x"),
    "insert, no key": lambda: Note.insert(line="x"),
    "insert, text key": lambda: Genre.insert(code="x"),
    "insert dicts": lambda: Author.insert(name="eve").dicts(),
    "insert namedtuples": lambda: Author.insert(name="eve").namedtuples(),
    "insert objects": lambda: Author.insert(name="eve").objects(Author),
    "insert returning": lambda: Author.insert(name="eve").returning(Author),
    "insert returning tuples": lambda: (
        Author.insert(name="eve").returning(Author.id, Author.name).tuples()
    ),
    "insert many": lambda: Author.insert_many([{"name": "eve"}, {"name": "fay"}]),
    "insert many dicts": lambda: Author.insert_many([{"name": "eve"}]).dicts(),
    "insert many tuples": lambda: Author.insert_many(
        [("eve",), ("fay",)], fields=[Author.name]
    ),
    "insert many from a generator": lambda: Author.insert_many(
        {"name": name} for name in ("eve", "fay")
    ),
    "insert many as rowcount": lambda: Author.insert_many(
        [{"name": "eve"}, {"name": "fay"}]
    ).as_rowcount(),
    "insert many returning": lambda: Author.insert_many(
        [{"name": "eve"}, {"name": "fay"}]
    ).returning(Author.name),
    "insert many, composite key": lambda: Shelf.insert_many(
        [{"room": "a", "number": 1}, {"room": "a", "number": 2}]
    ),
    "insert nothing": lambda: Author.insert_many([]),
    "insert nothing as rowcount": lambda: Author.insert_many([]).as_rowcount(),
    "insert from": lambda: (
        Author.insert_from(Book.select(Book.title), [Author.name])
        .on_conflict_ignore()
        .as_rowcount()
    ),
    "insert from a select": lambda: Note.insert_from(
        Author.select(Author.name), [Note.line]
    ).as_rowcount(),
    "insert keys from a select": lambda: Review.insert_from(
        Book.select(Book.id, Book.title), [Review.book, Review.text]
    ),
    "ignored, no conflict": lambda: Author.insert(name="eve").on_conflict_ignore(),
    "replaced": lambda: Author.insert(id=1, name="eve").on_conflict_replace(),
    "upsert": lambda: Author.insert(name="ada", alive=True).on_conflict(
        conflict_target=[Author.name],
        preserve=[Author.alive],
        update={Author.born: EXCLUDED.born},
    ),
    "upsert as rowcount": lambda: (
        Author.insert(name="ada")
        .on_conflict(conflict_target=[Author.name], preserve=[Author.alive])
        .as_rowcount()
    ),
    "insert into a table": lambda: AUTHORS.insert({"name": "eve", "alive": 1}),
    "insert many into a table": lambda: AUTHORS.insert(
        [{AUTHORS.name: "eve", AUTHORS.alive: 1}]
    ),
    "update": lambda: Author.update(alive=True).where(Author.name > "a"),
    "update nothing": lambda: Author.update(alive=True).where(Author.id < 0),
    "update returning": lambda: (
        Author.update(alive=False).where(Author.id > 2).returning(Author)
    ),
    "update returning dicts": lambda: (
        Author.update(alive=False).returning(Author.name).dicts()
    ),
    "delete": lambda: Review.delete().where(Review.text.is_null()),
    "delete all": lambda: Review.delete(),
    "delete returning": lambda: Review.delete().returning(Review.id, Review.text),
}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.usefixtures("returning", "scratch")
def test_a_write_does_and_gives_what_it_does_in_peewee(name: str) -> None:
    make = WRITES[name]
    expected, tables = synchronous(lambda: make().execute())
    assert plain(run(plans.execute(DIALECT, make()))) == expected
    assert content() == tables


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.usefixtures("returning")
def test_writing_does_not_change_the_query(name: str) -> None:
    query = WRITES[name]()
    before = frozen(query)
    Execution(plans.execute(DIALECT, query)).start()
    assert frozen(query) == before


def test_postgres_is_asked_for_the_key_though_the_model_is_bound_to_nothing() -> None:
    script = Script(plans.insert(POSTGRES, User.insert(ADA)))
    assert script.sends(ADDED, "ada", 36).gets((3,)).result == 3


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        (MYSQL, "INSERT INTO `user` (`name`, `age`) VALUES (%s, %s)"),
        (SQLITE, 'INSERT INTO "user" ("name", "age") VALUES (?, ?)'),
    ],
)
def test_elsewhere_the_driver_tells_the_key(dialect: Dialect, sql: str) -> None:
    script = Script(plans.insert(dialect, User.insert(ADA)))
    assert script.sends(sql, "ada", 36).writes(1, lastrowid=3).result == 3


def test_a_row_that_was_ignored_has_no_key() -> None:
    query = User.insert(ADA).on_conflict_ignore()
    assert Script(plans.insert(POSTGRES, query)).gets().result is None
    assert Script(plans.insert(MYSQL, query)).writes(0, lastrowid=0).result == 0


def test_the_stale_key_of_sqlite_is_not_told() -> None:
    query = User.insert(ADA).on_conflict_ignore()
    assert Script(plans.insert(SQLITE, query)).writes(0, lastrowid=9).result is None
    assert Script(plans.insert(SQLITE, query)).writes(1, lastrowid=9).result == 9


@pytest.mark.usefixtures("scratch")
def test_sqlite_does_tell_a_stale_key() -> None:
    run(plans.execute(DIALECT, Author.insert(name="eve")))
    query = Author.insert(name="ada").on_conflict_ignore()
    assert query.execute() == 5, "what peewee makes of it"
    assert run(plans.execute(DIALECT, query)) is None


def test_several_rows_give_a_list_of_keys_on_postgres() -> None:
    query = User.insert_many([ADA, {"name": "bob", "age": 7}])
    script = Script(plans.insert(POSTGRES, query))
    script.sends(
        'INSERT INTO "user" ("name", "age") VALUES (%s, %s), (%s, %s) '
        'RETURNING "user"."id"',
        *("ada", 36, "bob", 7),
    )
    assert script.gets((3,), (4,)).result == [(3,), (4,)]


@pytest.mark.parametrize("dialect", [MYSQL, SQLITE])
def test_several_rows_give_the_key_that_the_driver_tells(dialect: Dialect) -> None:
    query = User.insert_many([ADA, {"name": "bob", "age": 7}])
    assert Script(plans.insert(dialect, query)).writes(2, lastrowid=4).result == 4


def test_the_row_type_of_the_keys_is_the_callers() -> None:
    query = User.insert_many([ADA]).dicts()
    assert Script(plans.insert(POSTGRES, query)).gets((3,)).result == [{"id": 3}]


def test_a_composite_key_comes_as_a_tuple() -> None:
    query = Membership.insert(user=3, club="chess")
    script = Script(plans.insert(POSTGRES, query))
    script.sends(
        'INSERT INTO "membership" ("user_id", "club") VALUES (%s, %s) '
        'RETURNING "membership"."user_id", "membership"."club"',
        *(3, "chess"),
    )
    assert script.gets((3, "chess")).result == (3, "chess")


def test_a_model_without_a_key_gives_none_where_there_is_returning() -> None:
    script = Script(plans.insert(POSTGRES, Log.insert(line="x")))
    script.sends('INSERT INTO "log" ("line") VALUES (%s)', "x")
    assert script.writes(1, lastrowid=0).result is None


def test_several_rows_without_a_key_give_no_keys() -> None:
    query = Log.insert_many([{"line": "x"}, {"line": "y"}])
    assert Script(plans.insert(POSTGRES, query)).writes(2).result == []


def test_a_key_that_the_program_gave_comes_back() -> None:
    script = Script(plans.insert(POSTGRES, Country.insert(code="NL", label="x")))
    assert script.gets(("NL",)).result == "NL"


def test_a_table_has_the_key_that_it_names() -> None:
    script = Script(plans.insert(POSTGRES, TABLE.insert({"name": "ada"})))
    script.sends('INSERT INTO "user" ("name") VALUES (%s) RETURNING "user"."id"', "ada")
    assert script.gets((3,)).result == 3
    script = Script(plans.insert(POSTGRES, KEYLESS.insert({"line": "x"})))
    script.sends('INSERT INTO "log" ("line") VALUES (%s)', "x")
    assert script.writes(1).result is None


def test_explicit_returning_gives_the_rows() -> None:
    query = User.insert(ADA).returning(User.id, User.name)
    script = Script(plans.insert(POSTGRES, query))
    (user,) = script.gets((3, "ada")).result
    assert isinstance(user, User)
    assert (user.id, user.name) == (3, "ada")


@every_dialect
def test_explicit_returning_is_sent_though_the_database_may_refuse_it(
    dialect: Dialect,
) -> None:
    query = User.insert(ADA).returning(User.name).as_rowcount()
    script = Script(plans.insert(dialect, query)).gets(("ada",))
    assert [user.name for user in script.result] == ["ada"]


@every_dialect
def test_a_rowcount_needs_no_key(dialect: Dialect) -> None:
    plan = plans.insert(dialect, User.insert_many([ADA]).as_rowcount())
    assert isinstance(plan, Plan)
    assert "RETURNING" not in plan.statement.sql
    assert Script(plan).writes(1, lastrowid=9).result == 1


def test_a_rowcount_needs_no_key_of_a_model_bound_to_postgres() -> None:
    class Bound(peewee.Model):
        class Meta:
            database = POSTGRES.database
            table_name = "user"

    query: Any = Bound.insert()
    assert query._returning, "peewee asks for it at once"
    plan = plans.insert(POSTGRES, query.as_rowcount())
    assert sql_of(plan) == 'INSERT INTO "user" DEFAULT VALUES'


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        (POSTGRES, 'INSERT INTO "post" DEFAULT VALUES RETURNING "post"."id"'),
        (MYSQL, "INSERT INTO `post` () VALUES ()"),
        (SQLITE, 'INSERT INTO "post" DEFAULT VALUES'),
    ],
)
def test_a_row_of_nothing_but_defaults(dialect: Dialect, sql: str) -> None:
    assert sql_of(plans.insert(dialect, Post.insert())) == sql


@every_dialect
@pytest.mark.parametrize("rows", [[], (), iter(())])
def test_no_rows_are_not_sent(dialect: Dialect, rows: Any) -> None:
    execution = Execution(plans.insert(dialect, User.insert_many(rows)))
    assert execution.start() is None
    assert execution.result is None


def test_rows_from_a_query_give_their_keys_on_postgres() -> None:
    query = User.insert_from(Post.select(Post.title), [User.name])
    script = Script(plans.insert(POSTGRES, query))
    script.sends(
        'INSERT INTO "user" ("name") SELECT "t1"."headline" FROM "post" AS "t1" '
        'RETURNING "user"."id"'
    )
    assert script.gets((3,), (4,)).result == [(3,), (4,)]


def test_an_insert_of_another_family_is_refused() -> None:
    with pytest.raises(peewee.InterfaceError, match=r"SQLite.*PostgreSQL"):
        plans.insert(POSTGRES, Author.insert(name="ada"))


def test_a_value_that_cannot_be_made_sends_nothing() -> None:
    with pytest.raises(ValueError, match="Missing value for title"):
        plans.insert(POSTGRES, Post.insert_many([{"title": "x"}, {"author": 1}]))


@every_dialect
def test_an_update_gives_the_number_of_its_rows(dialect: Dialect) -> None:
    script = Script(plans.execute(dialect, User.update(age=1)))
    assert script.writes(4).result == 4


def test_an_update_with_returning_gives_rows() -> None:
    query = User.update(age=1).where(User.id == 3).returning(User.id)
    script = Script(plans.execute(POSTGRES, query))
    script.sends(
        'UPDATE "user" SET "age" = %s WHERE ("user"."id" = %s) RETURNING "user"."id"',
        *(1, 3),
    )
    assert script.gets((3,)).result == [User(id=3)]


def test_a_delete_gives_the_number_of_its_rows() -> None:
    script = Script(plans.execute(MYSQL, User.delete().where(User.id == 3)))
    script.sends("DELETE FROM `user` WHERE (`user`.`id` = %s)", 3)
    assert script.writes(1).result == 1


def test_a_plan_can_be_used_for_many_replies() -> None:
    plan = plans.count(POSTGRES, User.select())
    assert [Script(plan).gets((n,)).result for n in (1, 2)] == [1, 2]


@pytest.mark.parametrize(
    "plan", [plans.get, plans.first, plans.peek, plans.scalar, plans.scalars]
)
@pytest.mark.parametrize("write", [User.update(age=1), User.delete(), User.insert(ADA)])
def test_what_gives_no_rows_is_not_sent_for_them(plan: Any, write: Any) -> None:
    with pytest.raises(TypeError, match=r"gives no rows: execute it, or have it give"):
        plan(POSTGRES, write)


def test_what_a_write_returns_can_be_read() -> None:
    query = User.update(age=1).returning(User.id).tuples()
    script = Script(plans.first(POSTGRES, query))
    sql = 'UPDATE "user" SET "age" = %s RETURNING "user"."id"'
    assert script.sends(sql, 1, limit=1).gets((7,)).result == (7,)


def test_values_that_are_counted_have_names_of_their_own_too() -> None:
    query = User.select(peewee.Value(1), peewee.Value(1))
    assert "(SELECT %s AS `_0`, %s AS `_1` FROM" in sql_of(plans.count(MYSQL, query))


def test_the_same_shape_reads_and_fails_as_the_first_one() -> None:
    for name in ("ada", "bob", "cyd", "dee"):
        query = User.select().where(User.name == name)
        Script(plans.get(POSTGRES, query)).gets((1, name, 36))
        script = Script(plans.get(POSTGRES, query)).gets()
        with pytest.raises(User.DoesNotExist) as caught:
            _ = script.result
        assert str(caught.value).endswith(f"\nParams: ['{name}', 1, 0]")
