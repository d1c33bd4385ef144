"""What a program does with one object, as transcripts and beside sync peewee."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import peewee
import pytest

from peewee_async.core import bulk, operations, relations, row_writes, schema
from peewee_async.core.boundary import Reply
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Execution, Steps, Work
from peewee_async.core.execution import State as Run
from peewee_async.core.prefetching import prefetch
from peewee_async.core.streaming import Stream
from peewee_async.core.transactions import Block, State, Transactions, atomic
from tests.unit import twin
from tests.unit.models import (
    DIALECTS,
    MYSQL,
    POSTGRES,
    SQLITE,
    Comment,
    Country,
    Log,
    Membership,
    Post,
    User,
)
from tests.unit.script import Script, columns_of

FIND = (
    'SELECT "t1"."id", "t1"."name", "t1"."age" FROM "user" AS "t1" '
    'WHERE ("t1"."name" = %s) LIMIT %s OFFSET %s'
)
SAME = (
    'SELECT "t1"."id", "t1"."name", "t1"."age" FROM "user" AS "t1" '
    'WHERE ("t1"."name" = %s) LIMIT %s'
)
ADD = 'INSERT INTO "user" ("name", "age") VALUES (%s, %s) RETURNING "user"."id"'
SET = 'UPDATE "user" SET "name" = %s, "age" = %s WHERE ("user"."id" = %s)'


def stored(model: Any, **data: Any) -> Any:
    """Make an object as it comes from the database: with nothing to save."""
    instance = model(**data)
    instance._dirty.clear()
    return instance


class Taken(Exception):
    """The error of a driver that says of a unique value that it is taken."""

    pgcode = "23505"
    sqlite_errorname = "SQLITE_CONSTRAINT_UNIQUE"


def taken() -> peewee.IntegrityError:
    return peewee.IntegrityError(Taken(1062), "duplicate key")


# create


def test_creates_a_row_and_takes_over_the_key_that_the_server_made() -> None:
    script = Script(operations.create(POSTGRES, User, {"name": "ada"}))
    user = script.sends(ADD, "ada", 36).gets((3,)).result
    assert user.__data__ == {"id": 3, "name": "ada", "age": 36}
    assert user._dirty == set()


def test_creates_a_row_and_takes_over_the_last_id() -> None:
    script = Script(operations.create(MYSQL, User, {"name": "ada"}))
    script.sends("INSERT INTO `user` (`name`, `age`) VALUES (%s, %s)", "ada", 36)
    assert script.writes(1, lastrowid=3).result.id == 3


def test_creates_a_row_with_a_key_of_its_own() -> None:
    script = Script(operations.create(POSTGRES, Country, {"code": "it"}))
    script.sends(
        'INSERT INTO "country" ("code", "label") VALUES (%s, %s) '
        'RETURNING "country"."code"',
        "it",
        "",
    )
    country = script.gets(("it",)).result
    assert (country.code, country._dirty) == ("it", set())


def test_the_last_id_does_not_replace_a_key_that_the_program_gave() -> None:
    script = Script(operations.create(SQLITE, Country, {"code": "it"}))
    assert script.writes(1, lastrowid=17).result.code == "it"


def test_creates_a_row_with_a_composite_key() -> None:
    data = {"user": 1, "club": "chess"}
    script = Script(operations.create(POSTGRES, Membership, data))
    script.sends(
        'INSERT INTO "membership" ("user_id", "club") VALUES (%s, %s) '
        'RETURNING "membership"."user_id", "membership"."club"',
        1,
        "chess",
    )
    membership = script.gets((1, "chess")).result
    assert membership._pk == (1, "chess")
    assert membership._dirty == set()


def test_creates_a_row_without_a_key() -> None:
    script = Script(operations.create(POSTGRES, Log, {"line": "hello"}))
    script.sends('INSERT INTO "log" ("line") VALUES (%s)', "hello")
    log = script.writes(1).result
    assert (log.__data__, log._dirty) == ({"line": "hello"}, set())


def test_takes_over_a_key_that_the_server_alone_can_make() -> None:
    script = Script(operations.create(POSTGRES, Country, {"label": "Italy"}))
    country = script.gets(("generated",)).result
    assert (country.code, country._dirty) == ("generated", set())


# save


def test_saves_a_new_object_by_an_insert() -> None:
    user: Any = User(name="ada")
    assert (
        Script(operations.save(POSTGRES, user)).sends(ADD, "ada", 36).gets((3,)).result
    )
    assert (user.id, user._dirty) == (3, set())


def test_saves_an_object_that_has_a_key_by_an_update() -> None:
    user: Any = User(id=3, name="ada")
    script = Script(operations.save(POSTGRES, user)).sends(SET, "ada", 36, 3)
    assert script.writes(1).result == 1
    # As in peewee, where it is never written: what is not saved stays dirty.
    assert user._dirty == {"id"}


def test_a_save_that_finds_no_row_gives_zero() -> None:
    assert (
        Script(operations.save(POSTGRES, User(id=3, name="ada"))).writes(0).result == 0
    )


def test_inserts_an_object_that_has_a_key_when_told_to() -> None:
    script = Script(operations.save(SQLITE, User(id=3, name="ada"), force_insert=True))
    sql = 'INSERT INTO "user" ("id", "name", "age") VALUES (?, ?, ?)'
    assert script.sends(sql, 3, "ada", 36).writes(1, lastrowid=3).result == 1


@pytest.mark.parametrize("only", [["age"], [User.age], ("age",)])
def test_saves_only_the_fields_that_are_named(only: Any) -> None:
    user: Any = User(id=3, name="ada", age=40)
    script = Script(operations.save(POSTGRES, user, only=only))
    script.sends('UPDATE "user" SET "age" = %s WHERE ("user"."id" = %s)', 40, 3)
    assert script.writes(1).result == 1
    assert user._dirty == {"id", "name"}


def test_nothing_dirty_is_nothing_to_save() -> None:
    country = stored(Country, code="it", label="Italy")
    assert Script(operations.save(POSTGRES, country)).result is False


def test_saves_only_what_is_dirty_if_the_model_wants_it() -> None:
    country = stored(Country, code="it", label="Italy")
    country.label = "Italia"
    script = Script(operations.save(POSTGRES, country))
    sql = 'UPDATE "country" SET "label" = %s WHERE ("country"."code" = %s)'
    script.sends(sql, "Italia", "it").writes(1)
    assert country._dirty == set()


@pytest.mark.parametrize(
    "instance", [Membership(user=1, club="chess"), Country(code="it")]
)
def test_a_key_alone_is_no_data_to_save(instance: Any) -> None:
    only = instance._meta.get_primary_keys()
    with pytest.raises(ValueError, match="no data to save!"):
        _ = Script(operations.save(POSTGRES, instance, only=only)).result


def test_what_may_get_a_key_meanwhile_is_looked_at_when_its_turn_has_come() -> None:
    user = User(name="ada", age=36)
    post = Post(id=7, title="hello", author=user)
    works = [
        operations.save(POSTGRES, user),
        operations.update(POSTGRES, user),
        operations.save(POSTGRES, post),
        operations.update(POSTGRES, post, ["author"]),
    ]
    user.id = 3
    sent = [Script(work).waiting for work in works]
    assert [request.params for request in sent if request] == [
        ("ada", 36, 3),
        ("ada", 36, 3),
        (3, "hello", 7),
        (3, 7),
    ]


def test_an_object_with_a_composite_key_is_found_by_it() -> None:
    script = Script(
        operations.save(SQLITE, Membership(user=1, club="chess", since=1999))
    )
    script.sends(
        'UPDATE "membership" SET "since" = ? WHERE '
        '(("membership"."user_id" = ?) AND ("membership"."club" = ?))',
        1999,
        1,
        "chess",
    )


def test_an_object_takes_over_the_key_of_a_related_one_saved_meanwhile() -> None:
    author: Any = User(name="ada")
    post: Any = Post(author=author, title="Notes")
    author.id = 3
    script = Script(operations.save(SQLITE, post))
    sql = 'INSERT INTO "post" ("author_id", "headline") VALUES (?, ?)'
    script.sends(sql, 3, "Notes").writes(1, lastrowid=8)
    assert (post.author_id, post.id, post._dirty) == (3, 8, set())


def test_what_could_not_be_saved_stays_dirty() -> None:
    user: Any = User(name="ada")
    script = Script(operations.save(POSTGRES, user)).breaks(taken())
    with pytest.raises(peewee.IntegrityError):
        _ = script.result
    assert (user.id, user._dirty) == (None, {"name", "age"})


@pytest.mark.parametrize("key", [None, 3])
def test_what_was_changed_while_it_was_saved_stays_dirty(key: int | None) -> None:
    user: Any = User(id=key, name="ada")
    script = Script(operations.save(POSTGRES, user, force_insert=key is None))
    user.name = "eve"
    script.gets((3,)) if key is None else script.writes(1)
    assert (user.name, user._dirty - {"id"}) == ("eve", {"name"})


def test_a_key_that_comes_back_is_not_left_to_save() -> None:
    key = 2**50
    user: Any = User(id=key, name="ada")
    script = Script(operations.save(POSTGRES, user, force_insert=True))
    script.gets((int(str(key)),))
    assert (user.id, user._dirty) == (key, set())


def test_what_was_changed_back_while_another_value_was_saved_is_dirty() -> None:
    user: Any = stored(User, id=3, name="ada", age=36)
    first = Script(operations.save(POSTGRES, user))
    user.name = "eve"
    second = Script(operations.save(POSTGRES, user))
    user.name = "ada"
    first.writes(1)
    assert user._dirty == set()
    second.writes(1)
    assert user._dirty == {"name"}


# update


def test_updates_all_columns_but_the_key() -> None:
    user: Any = User(id=3, name="ada")
    script = Script(operations.update(POSTGRES, user)).sends(SET, "ada", 36, 3)
    assert script.writes(1).result == 1
    assert user._dirty == {"id"}


@pytest.mark.parametrize(
    "only",
    [["title"], ["headline"], [Post.title], {"title"}, iter(["title", Post.title])],
    ids=["name", "column", "field", "set", "iterator"],
)
def test_updates_the_fields_that_are_named(only: Any) -> None:
    post: Any = Post(id=8, author=3, title="Notes")
    script = Script(operations.update(SQLITE, post, only))
    script.sends('UPDATE "post" SET "headline" = ? WHERE ("post"."id" = ?)', "Notes", 8)
    script.writes(1)
    assert post._dirty == {"id", "author"}


def test_a_foreign_key_is_named_by_its_column_too() -> None:
    post: Any = Post(id=8, author=3, title="Notes")
    script = Script(operations.update(SQLITE, post, ["author_id"]))
    script.sends('UPDATE "post" SET "author_id" = ? WHERE ("post"."id" = ?)', 3, 8)


def test_a_field_is_named_by_the_one_that_it_was_inherited_from_too() -> None:
    class Text(peewee.Model):
        title: Any = peewee.TextField(column_name="headline")

    class Article(Text):
        id: Any

    script = Script(operations.update(SQLITE, Article(id=8, title="a"), [Text.title]))
    sql = 'UPDATE "article" SET "headline" = ? WHERE ("article"."id" = ?)'
    script.sends(sql, "a", 8)
    for other in (Article.title, Text.alias().title):
        with pytest.raises(ValueError, match="Text has no field 'title'"):
            _ = Script(operations.update(SQLITE, Text(id=8, title="a"), [other])).result


@pytest.mark.parametrize("only", [["title"], [Post.title], [7], ["name", "title"]])
def test_an_unknown_field_is_refused_and_nothing_is_sent(only: Any) -> None:
    with pytest.raises(ValueError, match=r"User has no field .* to update"):
        _ = Script(operations.update(POSTGRES, User(id=3, name="ada"), only)).result


@pytest.mark.parametrize("only", [[], ["id"], [User.id]])
def test_nothing_to_update_sends_nothing(only: Any) -> None:
    user: Any = User(id=3, name="ada")
    assert Script(operations.update(POSTGRES, user, only)).result == 0
    assert user._dirty == {"id", "name", "age"}


def test_updates_what_is_dirty_if_the_model_wants_it() -> None:
    country = stored(Country, code="it", label="Italy")
    assert Script(operations.update(POSTGRES, country)).result == 0
    country.label = "Italia"
    sql = 'UPDATE "country" SET "label" = %s WHERE ("country"."code" = %s)'
    script = Script(operations.update(POSTGRES, country)).sends(sql, "Italia", "it")
    assert script.writes(1).result == 1
    assert country._dirty == set()


def test_a_field_that_is_named_is_updated_though_it_is_not_dirty() -> None:
    country = stored(Country, code="it", label="Italy")
    script = Script(operations.update(POSTGRES, country, ["label"]))
    sql = 'UPDATE "country" SET "label" = %s WHERE ("country"."code" = %s)'
    script.sends(sql, "Italy", "it")


@pytest.mark.parametrize(
    "instance", [User(name="ada"), Log(line="hello"), Membership(user=1)]
)
def test_an_object_without_a_key_cannot_be_updated(instance: Any) -> None:
    with pytest.raises(ValueError, match=r"has no primary key.* use create\(\)"):
        _ = Script(operations.update(POSTGRES, instance)).result


# delete


def test_deletes_one_row_outside_any_transaction() -> None:
    user: Any = User(id=3, name="ada")
    script = Script(operations.delete(POSTGRES, Transactions(POSTGRES), user))
    script.sends('DELETE FROM "user" WHERE ("user"."id" = %s)', 3)
    assert script.writes(1).result == 1


def test_deletes_what_refers_to_an_object_in_one_transaction() -> None:
    post: Any = Post(id=8, author=3, title="Notes")
    transactions = Transactions(POSTGRES)
    script = Script(operations.delete(POSTGRES, transactions, post, recursive=True))
    script.sends("BEGIN").writes()
    script.sends('DELETE FROM "comment" WHERE ("comment"."post_id" = %s)', 8).writes(5)
    script.sends('DELETE FROM "post" WHERE ("post"."id" = %s)', 8).writes(1)
    assert script.sends("COMMIT").writes().result == 1
    assert transactions.depth == 0


def test_deletes_in_a_savepoint_inside_a_transaction() -> None:
    transactions, _ = in_transaction(POSTGRES)
    script = Script(
        operations.delete(POSTGRES, transactions, Comment(id=1), recursive=True)
    )
    script.sends('SAVEPOINT "s1"').writes()
    script.sends('DELETE FROM "comment" WHERE ("comment"."id" = %s)', 1).writes(1)
    script.sends('RELEASE SAVEPOINT "s1"').writes()
    assert script.result == 1


def sent_to_delete(delete_nullable: bool) -> list[str]:
    user: Any = User(id=3, name="ada")
    work = operations.delete(
        SQLITE, Transactions(SQLITE), user, True, delete_nullable=delete_nullable
    )
    return [
        sql
        for sql in play(work).sent
        if sql.startswith(("UPDATE", 'DELETE FROM "post"'))
    ]


def test_nullable_references_are_set_to_null() -> None:
    assert sent_to_delete(False) == [
        'DELETE FROM "post" WHERE ("post"."author_id" = ?)',
        'UPDATE "post" SET "editor_id" = ? WHERE ("post"."editor_id" = ?)',
    ]


def test_rows_with_nullable_references_are_deleted_when_told_to() -> None:
    assert sent_to_delete(True) == [
        'DELETE FROM "post" WHERE ("post"."author_id" = ?)',
        'DELETE FROM "post" WHERE ("post"."editor_id" = ?)',
    ]


# by key


def test_a_condition_by_key() -> None:
    query = Membership.select().where(row_writes.by_key(Membership, (1, "chess")))
    _, params = POSTGRES.compile(query)
    assert params == (1, "chess")


def test_sets_the_row_of_a_key() -> None:
    value = {"name": "ada", User.age: 40}
    script = Script(operations.set_by_id(POSTGRES, User, 3, value))
    assert script.sends(SET, "ada", 40, 3).writes(1).result == 1
    assert value == {"name": "ada", User.age: 40}


def test_sets_a_new_row_without_a_key() -> None:
    script = Script(operations.set_by_id(POSTGRES, User, None, {"name": "ada"}))
    assert script.sends(ADD, "ada", 36).gets((3,)).result == 3


def test_deletes_the_row_of_a_key() -> None:
    script = Script(operations.delete_by_id(POSTGRES, User, 3))
    script.sends('DELETE FROM "user" WHERE ("user"."id" = %s)', 3)
    assert script.writes(1).result == 1


def test_a_model_without_a_key_has_no_row_of_a_key() -> None:
    """In peewee, where 0 is no key either, this would be all rows."""
    with pytest.raises(ValueError, match="Log has no primary key"):
        operations.delete_by_id(POSTGRES, Log, 0)
    with pytest.raises(ValueError, match="Log has no primary key"):
        operations.set_by_id(POSTGRES, Log, 0, {"line": "x"})


# get_or_create


def gets_or_creates(
    transactions: Transactions | None = None, **defaults: Any
) -> Script:
    transactions = transactions or Transactions(POSTGRES)
    lookup = {"name": "ada"}
    return Script(
        operations.get_or_create(POSTGRES, transactions, User, lookup, defaults)
    )


def test_gets_what_is_there() -> None:
    script = gets_or_creates(age=40)
    script.sends(FIND, "ada", 1, 0, limit=1).gets((3, "ada", 36))
    user, created = script.result
    assert (user.__data__, created) == ({"id": 3, "name": "ada", "age": 36}, False)


def test_creates_what_is_not_there() -> None:
    script = gets_or_creates()
    script.sends(FIND, "ada", 1, 0, limit=1).gets()
    script.sends("BEGIN").writes()
    script.sends(ADD, "ada", 36).gets((3,))
    script.sends("COMMIT").writes()
    user, created = script.result
    assert (user.id, user.name, created) == (3, "ada", True)


def test_reads_again_when_somebody_else_won_the_race() -> None:
    script = gets_or_creates()
    script.sends(FIND, "ada", 1, 0, limit=1).gets()
    script.sends("BEGIN").writes()
    script.sends(ADD, "ada", 36).breaks(taken())
    script.sends("ROLLBACK").writes()
    script.sends(FIND, "ada", 1, 0, limit=1).gets((3, "ada", 36))
    assert script.result == (User(id=3), False)


def test_a_race_that_nobody_won_raises_the_error_again() -> None:
    error = taken()
    script = gets_or_creates().gets().writes().breaks(error)
    script.sends("ROLLBACK").writes()
    script.sends(FIND, "ada", 1, 0, limit=1).gets()
    with pytest.raises(peewee.IntegrityError) as caught:
        _ = script.result
    assert caught.value is error


def test_the_error_raised_again_keeps_the_cause_that_it_had() -> None:
    error, cause = taken(), Taken(1062)
    error.__cause__ = cause
    script = gets_or_creates().gets().writes().breaks(error).writes().gets()
    with pytest.raises(peewee.IntegrityError) as caught:
        _ = script.result
    assert caught.value.__cause__ is cause


def test_races_inside_a_transaction_cost_it_nothing() -> None:
    transactions, blocks = in_transaction(POSTGRES)
    for name in ('"s1"', '"s2"'):
        script = gets_or_creates(transactions).gets()
        script.sends(f"SAVEPOINT {name}").writes()
        script.sends(ADD, "ada", 36).breaks(taken())
        script.sends(f"ROLLBACK TO SAVEPOINT {name}").writes()
        assert script.gets((3, "ada", 36)).result == (User(id=3), False)
    Script(transactions.commit(blocks[0])).sends("COMMIT").writes()
    assert blocks[0].state is State.COMMITTED


def test_defaults_are_for_the_new_row_only_and_stay_as_they_are() -> None:
    lookup, defaults = {"name": "ada"}, {"age": 40}
    transactions = Transactions(POSTGRES)
    script = Script(
        operations.get_or_create(POSTGRES, transactions, User, lookup, defaults)
    )
    script.sends(FIND, "ada", 1, 0, limit=1).gets().writes()
    script.sends(ADD, "ada", 40).gets((3,)).writes()
    assert script.result[0].age == 40
    assert (lookup, defaults) == ({"name": "ada"}, {"age": 40})


def test_no_defaults_are_needed() -> None:
    transactions = Transactions(POSTGRES)
    script = Script(
        operations.get_or_create(POSTGRES, transactions, User, {"name": "ada"})
    )
    script.gets().writes().sends(ADD, "ada", 36)


def test_an_error_that_is_no_race_comes_out() -> None:
    script = gets_or_creates().gets().writes().breaks(peewee.DataError("too long"))
    script.sends("ROLLBACK").writes()
    with pytest.raises(peewee.DataError):
        _ = script.result


# create_or_get


def creates_or_gets(model: Any = User, **data: Any) -> Script:
    transactions = Transactions(POSTGRES)
    return Script(
        operations.create_or_get(POSTGRES, transactions, model, data or {"name": "ada"})
    )


def test_creates_by_one_statement() -> None:
    user, created = creates_or_gets().sends(ADD, "ada", 36).gets((3,)).result
    assert (user.id, created) == (3, True)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda it: it.family.value)
def test_gets_the_row_that_has_the_unique_value(dialect: Dialect) -> None:
    work = operations.create_or_get(
        dialect, Transactions(dialect), User, {"name": "ada", "age": 40}
    )
    script = Script(work).breaks(taken())
    user, created = script.gets((3, "ada", 36)).result
    assert (user.__data__, created) == ({"id": 3, "name": "ada", "age": 36}, False)


def test_looks_for_the_unique_value_that_is_taken() -> None:
    creates_or_gets().breaks(taken()).sends(SAME, "ada", 2)


def test_looks_for_a_key_and_a_unique_value() -> None:
    script = creates_or_gets(id=3, name="ada").breaks(taken())
    script.sends(
        SAME.replace('("t1"."name" = %s)', '(("t1"."id" = %s) OR ("t1"."name" = %s))'),
        3,
        "ada",
        2,
    )


def test_looks_for_a_composite_key() -> None:
    script = creates_or_gets(Membership, user=1, club="chess").breaks(taken())
    script.sends(
        'SELECT "t1"."user_id", "t1"."club", "t1"."since" FROM "membership" AS "t1" '
        'WHERE (("t1"."user_id" = %s) AND ("t1"."club" = %s)) LIMIT %s',
        1,
        "chess",
        2,
    )


class Seat(peewee.Model):
    """Unique indexes of every kind; only `row` and `number` say which row it is."""

    row: Any = peewee.CharField(null=True)
    number: Any = peewee.IntegerField(null=True)
    guest: Any = peewee.CharField(null=True)

    class Meta:
        primary_key = False
        indexes = ((("row", "number"), True), (("guest", "row"), False))


Seat.add_index(Seat.index(Seat.guest, unique=True, where=Seat.number > 100))
Seat.add_index(Seat.index(Seat.guest, Seat.number))
Seat.add_index(
    Seat.index(peewee.fn.LOWER(Seat.guest), unique=True, name="seat_guest_lower")
)
Seat.add_index(peewee.SQL("CREATE UNIQUE INDEX seat_guest ON seat (lower(guest))"))


class Room(peewee.Model):
    house: Any = peewee.CharField()
    door: Any = peewee.IntegerField()

    class Meta:
        primary_key = False


Room.add_index(Room.index(Room.house, Room.door, unique=True))


@pytest.mark.parametrize(
    ("model", "data", "condition"),
    [
        (
            Seat,
            {"row": "a", "number": 1, "guest": "ada"},
            '(("t1"."row" = %s) AND ("t1"."number" = %s))',
        ),
        (
            Room,
            {"house": "x", "door": 1},
            '(("t1"."house" = %s) AND ("t1"."door" = %s))',
        ),
    ],
    ids=["tuple", "ModelIndex"],
)
def test_looks_for_the_fields_of_a_unique_index(
    model: Any, data: dict[str, Any], condition: str
) -> None:
    script = creates_or_gets(model, **data).breaks(taken())
    assert script.waiting is not None
    assert f"WHERE {condition} LIMIT" in script.waiting.sql


@pytest.mark.parametrize("data", [{"row": "a"}, {"guest": "ada", "number": 200}])
def test_looks_for_nothing_by_an_index_that_is_partial_or_partly_given(
    data: dict[str, Any],
) -> None:
    script = creates_or_gets(Seat, **data).breaks(taken())
    with pytest.raises(peewee.IntegrityError):
        _ = script.result


@pytest.mark.parametrize(
    "rows", [(), ((3, "ada", 36), (4, "bob", 36))], ids=["none", "two"]
)
def test_raises_the_error_again_unless_there_is_one_such_row(rows: Any) -> None:
    error = taken()
    script = creates_or_gets().breaks(error).gets(*rows)
    with pytest.raises(peewee.IntegrityError) as caught:
        _ = script.result
    assert caught.value is error


class Broken(Exception):
    """The error of a driver about another constraint."""

    pgcode = "23502"
    sqlite_errorname = "SQLITE_CONSTRAINT_NOTNULL"


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda it: it.family.value)
def test_an_error_that_is_not_about_uniqueness_comes_out(dialect: Dialect) -> None:
    error = peewee.IntegrityError(Broken(1048), "not null")
    work = operations.create_or_get(
        dialect, Transactions(dialect), User, {"name": "ada"}
    )
    script = Script(work).breaks(error)
    with pytest.raises(peewee.IntegrityError) as caught:
        _ = script.result
    assert caught.value is error


def test_creates_in_a_savepoint_inside_a_transaction() -> None:
    transactions, blocks = in_transaction(POSTGRES)
    script = Script(
        operations.create_or_get(POSTGRES, transactions, User, {"name": "ada"})
    )
    script.sends('SAVEPOINT "s1"').writes()
    script.sends(ADD, "ada", 36).breaks(taken())
    script.sends('ROLLBACK TO SAVEPOINT "s1"').writes()
    script.sends(SAME, "ada", 2).gets((3, "ada", 36))
    assert script.result == (User(id=3), False)
    assert transactions.blocks == blocks


# Every step of every operation

Answer = Callable[[str], Reply | Exception]


def good(sql: str) -> Reply:
    """Answer as a server does on which everything succeeds and nothing is found."""
    if "RETURNING" in sql:
        return Reply([(7,)], columns_of(sql), 1)
    if sql.startswith("SELECT"):
        return Reply([], columns_of(sql), 0)
    return Reply((), None, 1, 7)


def duplicate(sql: str) -> Reply | Exception:
    """Answer as a server on which somebody else was faster, and is gone again."""
    return taken() if sql.startswith("INSERT") else good(sql)


def one_row(sql: str) -> Reply:
    return Reply([(3, "ada", 36)], columns_of(sql), 1)


class Played(NamedTuple):
    execution: Execution[Any]
    sent: list[str]


def play(
    work: Work[Any],
    answer: Answer = good,
    at: int | None = None,
    error: Exception | None = None,
) -> Played:
    """Play the server; at one step, fail with the error or interrupt without one."""
    execution = Execution(work)
    sent: list[str] = []
    waiting = execution.start()
    while waiting is not None:
        sent.append(waiting.sql)
        if len(sent) - 1 == at and error is None:
            execution.abort()
            break
        outcome = error if len(sent) - 1 == at else answer(waiting.sql)
        if isinstance(outcome, Exception):
            waiting = execution.fail(outcome)
        else:
            assert outcome is not None
            waiting = execution.feed(outcome)
    return Played(execution, sent)


def in_transaction(dialect: Dialect) -> tuple[Transactions, list[Block]]:
    transactions = Transactions(dialect)
    play(transactions.transaction())
    return transactions, list(transactions.blocks)


Operation = Callable[[Dialect, Transactions], Work[Any]]


class Person(peewee.Model):
    name: Any = peewee.CharField()


class Club(peewee.Model):
    people: Any = peewee.ManyToManyField(Person)


def bulk_create(dialect: Dialect, transactions: Transactions) -> Steps[None]:
    return bulk.create(dialect, User, [User(name="ada"), User(name="bob")], 1)


def replace_links(dialect: Dialect, transactions: Transactions) -> Work[None]:
    club: Any = Club(id=1)
    return relations.add(dialect, transactions, club.people, [1, 2], True)


def nested_atomic(dialect: Dialect, transactions: Transactions) -> Steps[Any]:
    def inner() -> Steps[Any]:
        yield from operations.save(dialect, User(id=3, name="ada"))
        yield from atomic(transactions, operations.save(dialect, User(name="bob")))
        return (yield from operations.save(dialect, User(id=3, name="eve")))

    return atomic(transactions, inner())


def add_links(dialect: Dialect, transactions: Transactions) -> Work[None]:
    club: Any = Club(id=1)
    return relations.add(dialect, transactions, club.people, [1, 2], False)


def remove_links(dialect: Dialect, transactions: Transactions) -> Work[Any]:
    club: Any = Club(id=1)
    return relations.remove(dialect, club.people, [1, 2])


def bulk_update(dialect: Dialect, transactions: Transactions) -> Steps[int]:
    users = [User(id=1, name="ada"), User(id=2, name="bob")]
    return bulk.update(dialect, User, users, [User.name], 1)


def all_in_one_block(dialect: Dialect, transactions: Transactions) -> Steps[Any]:
    """As `aio_bulk_create` inside `aio_atomic`."""
    return atomic(transactions, bulk_create(dialect, transactions))


def stream(dialect: Dialect, transactions: Transactions) -> Steps[list[Any]]:
    rows: Stream[Any] = Stream(dialect, User.select(), 1)
    found = list((yield from rows.open(transactions)))
    while not rows.done:
        found += yield from rows.more(transactions)
    return found


def given_up_stream(dialect: Dialect, transactions: Transactions) -> Steps[None]:
    rows: Stream[Any] = Stream(dialect, User.select(), 1)
    yield from rows.open(transactions)
    yield from rows.close(transactions)


def one_portion(sql: str) -> Reply:
    """Answer a stream: one row, and no more of them."""
    names = ("id", "name", "age")
    rows = [] if sql.startswith("FETCH") else [(3, "ada", 36)]
    return Reply(rows, names, len(rows))


OPERATIONS: dict[str, tuple[Operation, Answer]] = {
    "create": (lambda d, t: operations.create(d, User, {"name": "ada"}), good),
    "save": (lambda d, t: operations.save(d, User(id=3, name="ada")), good),
    "update": (lambda d, t: operations.update(d, User(id=3, name="ada")), good),
    "delete": (lambda d, t: operations.delete(d, t, User(id=3), True), good),
    "get_or_create": (
        lambda d, t: operations.get_or_create(d, t, User, {"name": "ada"}),
        good,
    ),
    "get_or_create, lost race": (
        lambda d, t: operations.get_or_create(d, t, User, {"name": "ada"}),
        duplicate,
    ),
    "create_or_get": (
        lambda d, t: operations.create_or_get(d, t, User, {"name": "ada"}),
        good,
    ),
    "create_or_get, taken": (
        lambda d, t: operations.create_or_get(d, t, User, {"name": "ada"}),
        duplicate,
    ),
    "prefetch": (lambda d, t: prefetch(d, User, Post, Comment), good),
    "bulk_create": (bulk_create, good),
    "add with clear_existing": (replace_links, good),
    "fetch": (lambda d, t: relations.fetch(d, Post(author=3), Post.author), one_row),
    "atomic": (nested_atomic, good),
    "set_by_id": (lambda d, t: operations.set_by_id(d, User, 3, {"age": 1}), good),
    "delete_by_id": (lambda d, t: operations.delete_by_id(d, User, 3), good),
    "bulk_update": (bulk_update, good),
    "bulk_create in a block": (all_in_one_block, good),
    "add": (add_links, good),
    "remove": (remove_links, good),
    "clear": (lambda d, t: relations.clear(d, cast("Any", Club(id=1)).people), good),
    "create_tables": (lambda d, t: schema.create_tables(d, [User, Post]), good),
    "drop_tables": (lambda d, t: schema.drop_tables(d, [User, Post]), good),
    "truncate_table": (lambda d, t: schema.truncate_table(d, User), good),
    "table_exists": (lambda d, t: schema.table_exists(d, User), good),
    "stream": (stream, one_portion),
    "stream that is given up": (given_up_stream, one_portion),
}

every_operation = pytest.mark.parametrize("name", OPERATIONS)
every_dialect = pytest.mark.parametrize(
    "dialect", DIALECTS, ids=lambda it: it.family.value
)
around = pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])


def opened_by(sent: list[str]) -> list[str]:
    """Give the rollback commands of the blocks that statements leave open."""
    undo: list[str] = []
    for sql in sent:
        verb = sql.split()[0]
        if verb == "BEGIN":
            undo.append("ROLLBACK")
        elif verb == "SAVEPOINT":
            undo.append(f"ROLLBACK TO {sql}")
        elif verb in ("COMMIT", "RELEASE", "ROLLBACK"):
            undo.pop()
    return undo[::-1]


def start(dialect: Dialect, inside: bool) -> tuple[Transactions, list[Block]]:
    return in_transaction(dialect) if inside else (Transactions(dialect), [])


@around
@every_dialect
@every_operation
def test_an_operation_that_breaks_at_any_step_undoes_what_it_began(
    name: str, dialect: Dialect, inside: bool
) -> None:
    make, answer = OPERATIONS[name]
    whole = play(make(dialect, start(dialect, inside)[0]), answer).sent
    assert whole
    for step, last in enumerate(whole):
        if last.startswith("ROLLBACK"):
            continue  # below
        transactions, outer = start(dialect, inside)
        error = peewee.OperationalError(f"broken at {last}")
        played = play(make(dialect, transactions), answer, step, error)
        assert played.sent == whole[: step + 1] + opened_by(whole[:step])
        with pytest.raises(peewee.OperationalError) as caught:
            _ = played.execution.result
        assert caught.value is error
        assert transactions.blocks == outer
        assert all(block.state is State.ACTIVE for block in outer)
        assert not any(block.doomed for block in outer)


@every_dialect
@pytest.mark.parametrize("name", ["get_or_create, lost race", "create_or_get, taken"])
def test_a_transaction_in_which_a_rollback_broke_cannot_be_committed(
    name: str, dialect: Dialect
) -> None:
    make, answer = OPERATIONS[name]
    whole = play(make(dialect, in_transaction(dialect)[0]), answer).sent
    (step,) = [i for i, sql in enumerate(whole) if sql.startswith("ROLLBACK TO")]
    transactions, outer = in_transaction(dialect)
    error = peewee.OperationalError("broken")
    played = play(make(dialect, transactions), answer, step, error)
    with pytest.raises(peewee.IntegrityError) as caught:
        _ = played.execution.result
    assert caught.value.__notes__ == ["The ROLLBACK failed as well: broken"]
    assert transactions.blocks == outer
    assert play(transactions.commit(outer[0])).sent == ["ROLLBACK"]


@around
@every_dialect
@every_operation
def test_an_operation_that_is_interrupted_at_any_step_sends_nothing_more(
    name: str, dialect: Dialect, inside: bool
) -> None:
    make, answer = OPERATIONS[name]
    whole = play(make(dialect, start(dialect, inside)[0]), answer).sent
    for step, last in enumerate(whole):
        transactions, outer = start(dialect, inside)
        played = play(make(dialect, transactions), answer, step)
        assert played.sent == whole[: step + 1]
        assert played.execution.state is Run.ABORTED
        assert transactions.blocks == outer
        # Of a statement that is in no block of the operation, only the session knows.
        if opened_by(whole[:step]) or last.startswith("SAVEPOINT"):
            assert transactions.loss is not None
            assert all(block.state is State.LOST for block in outer)


# Beside sync peewee


class Sync:
    """What peewee itself does."""

    def create(self, model: Any, **data: Any) -> Any:
        return model.create(**data)

    def save(self, instance: Any, **options: Any) -> Any:
        return instance.save(**options)

    def delete(self, instance: Any, **options: Any) -> Any:
        return instance.delete_instance(**options)

    def set_by_id(self, model: Any, key: Any, value: Any) -> Any:
        return model.set_by_id(key, value)

    def delete_by_id(self, model: Any, key: Any) -> Any:
        return model.delete_by_id(key)

    def get_or_create(self, model: Any, defaults: Any, **lookup: Any) -> Any:
        return model.get_or_create(defaults=defaults, **lookup)


class Core:
    """What the core does."""

    def create(self, model: Any, **data: Any) -> Any:
        return twin.finish(operations.create(twin.DIALECT, model, data))

    def save(self, instance: Any, **options: Any) -> Any:
        return twin.finish(operations.save(twin.DIALECT, instance, **options))

    def delete(self, instance: Any, **options: Any) -> Any:
        transactions = Transactions(twin.DIALECT)
        work = operations.delete(twin.DIALECT, transactions, instance, **options)
        return twin.finish(work)

    def set_by_id(self, model: Any, key: Any, value: Any) -> Any:
        return twin.finish(operations.set_by_id(twin.DIALECT, model, key, value))

    def delete_by_id(self, model: Any, key: Any) -> Any:
        return twin.finish(operations.delete_by_id(twin.DIALECT, model, key))

    def get_or_create(self, model: Any, defaults: Any, **lookup: Any) -> Any:
        transactions = Transactions(twin.DIALECT)
        work = operations.get_or_create(
            twin.DIALECT, transactions, model, lookup, defaults
        )
        return twin.finish(work)


def creates(does: Any) -> list[Any]:
    return [
        does.create(twin.User, name="ada"),
        does.create(twin.User, name="bob", age=40, id=17),
        does.create(twin.Post, author=17, title="Notes"),
        does.create(twin.Country, code="it", label="Italy"),
        does.create(twin.Membership, user=17, club="chess"),
        does.create(twin.Log, line="hello"),
        does.create(twin.Draft),
    ]


def saves_twice(does: Any) -> list[Any]:
    user = twin.User(name="ada")
    first = does.save(user)
    user.age = 41
    return [first, user, does.save(user), user.is_dirty()]


def saves_some(does: Any) -> list[Any]:
    user = does.create(twin.User, name="ada")
    user.name, user.age = "eve", 41
    rows = does.save(user, only=[twin.User.age])
    return [user, rows, twin.User.get_by_id(user.id)]


def saves_a_new_object_in_part(does: Any) -> list[Any]:
    draft = twin.Draft(title="Notes", text="none yet")
    return [does.save(draft, only=["title"]), draft, does.save(draft), draft]


def saves_what_is_not_there(does: Any) -> list[Any]:
    user = twin.User(id=99, name="ada")
    return [does.save(user), user, does.save(user, force_insert=True), user]


def saves_what_is_dirty(does: Any) -> list[Any]:
    draft = twin.Draft(title="Notes")
    results = [does.save(draft), does.save(draft)]
    draft.text = "none yet"
    return [*results, does.save(draft), draft, twin.Draft.get()]


def saves_an_own_key(does: Any) -> list[Any]:
    country = twin.Country(code="it", label="Italy")
    return [does.save(country), does.save(country, force_insert=True), country]


def saves_a_composite_key(does: Any) -> list[Any]:
    membership = twin.Membership(user=1, club="chess", since=1999)
    rows = [does.save(membership), does.save(membership, force_insert=True)]
    membership.since = 2000
    return [*rows, does.save(membership), membership, twin.Membership.get()]


def saves_without_a_key(does: Any) -> list[Any]:
    log = twin.Log(line="hello")
    return [does.save(log), log, does.save(log), twin.Log.select().count()]


def saves_a_relation_first(does: Any) -> list[Any]:
    author = twin.User(name="ada")
    post = twin.Post(author=author, title="Notes")
    return [does.save(author), does.save(post), post, post.author]


def deletes(does: Any) -> list[Any]:
    user = does.create(twin.User, name="ada")
    return [does.delete(user), does.delete(user), twin.User.select().count()]


def family() -> list[Any]:
    """Fill the tables; the first user is to be deleted with all that refers to it."""
    ada = twin.User.create(name="ada")
    bob = twin.User.create(name="bob")
    own = twin.Post.create(author=ada, editor=bob, title="own")
    edited = twin.Post.create(author=bob, editor=ada, title="edited")
    for post in (own, edited):
        twin.Comment.create(post=post, text="yes")
    twin.Membership.create(user=ada, club="chess")
    return [ada, bob]


def left() -> list[Any]:
    return [list(model.select().tuples()) for model in twin.MODELS]


def deletes_a_tree(does: Any) -> list[Any]:
    return [does.delete(family()[0], recursive=True), *left()]


def deletes_a_tree_with_nullable_references(does: Any) -> list[Any]:
    ada = family()[0]
    return [does.delete(ada, recursive=True, delete_nullable=True), *left()]


def gets_or_creates_twice(does: Any) -> list[Any]:
    first = does.get_or_create(twin.User, {"age": 41}, name="ada")
    return [*first, *does.get_or_create(twin.User, {"age": 42}, name="ada")]


def gets_or_creates_nothing_unique(does: Any) -> list[Any]:
    ada = twin.User.create(name="ada")
    try:
        does.get_or_create(twin.User, {"id": ada.id}, name="bob")
    except peewee.IntegrityError as error:
        return [str(error)]
    return ["no error"]


def works_by_key(does: Any) -> list[Any]:
    member = does.create(twin.Membership, user=1, club="chess")
    return [
        does.set_by_id(twin.User, None, {"name": "ada"}),
        does.set_by_id(twin.User, 1, {"name": "eve", twin.User.age: 3}),
        does.set_by_id(twin.User, 9, {"name": "bob"}),
        does.set_by_id(twin.Membership, member._pk, {"since": 1999}),
        *left(),
        does.delete_by_id(twin.User, 1),
        does.delete_by_id(twin.User, 1),
        does.delete_by_id(twin.User, None),
        does.delete_by_id(twin.Membership, (1, "chess")),
        *left(),
    ]


SCENES: list[Callable[[Any], list[Any]]] = [
    creates,
    saves_twice,
    saves_some,
    saves_a_new_object_in_part,
    saves_what_is_not_there,
    saves_what_is_dirty,
    saves_an_own_key,
    saves_a_composite_key,
    saves_without_a_key,
    saves_a_relation_first,
    works_by_key,
    deletes,
    deletes_a_tree,
    deletes_a_tree_with_nullable_references,
    gets_or_creates_twice,
    gets_or_creates_nothing_unique,
]


def plain(value: Any) -> Any:
    if isinstance(value, peewee.Model):
        dirty = {field.name for field in value.dirty_fields}
        return type(value), dict(value.__data__), dirty
    return value


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_sends_and_gives_what_sync_peewee_does(
    scene: Callable[[Any], list[Any]],
) -> None:
    def play_scene(does: Any) -> list[Any]:
        return [plain(value) for value in scene(does)]

    theirs = twin.on_fresh_database(lambda: play_scene(Sync()))
    ours = twin.on_fresh_database(lambda: play_scene(Core()))
    assert ours == theirs


def test_one_name_is_no_list_of_names() -> None:
    with pytest.raises(TypeError, match=r"give a list of them, \['name'\]"):
        _ = Script(operations.update(POSTGRES, User(id=3, name="ada"), "name")).result


def test_an_object_with_a_key_of_several_columns_is_deleted() -> None:
    one = Membership(user=1, club="chess")
    work = operations.delete(POSTGRES, Transactions(POSTGRES), one)
    script = Script(work).sends(
        'DELETE FROM "membership" WHERE (("membership"."user_id" = %s) '
        'AND ("membership"."club" = %s))',
        1,
        "chess",
    )
    assert script.writes(1).result == 1
