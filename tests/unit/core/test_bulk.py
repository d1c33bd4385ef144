"""Many objects at once, as transcripts and beside sync peewee."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest

from peewee_async.core import bulk
from tests.unit import twin
from tests.unit.models import (
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

ADD_TWO = (
    'INSERT INTO "user" ("name", "age") VALUES (%s, %s), (%s, %s) RETURNING "user"."id"'
)


def users(*names: str) -> list[Any]:
    return [User(name=name) for name in names]


# create


def test_objects_take_over_the_keys_that_come_back() -> None:
    ada, bob = objects = users("ada", "bob")
    script = Script(bulk.create(POSTGRES, User, objects))
    script.sends(ADD_TWO, "ada", 36, "bob", 36).gets((3,), (4,))
    assert script.result is None
    assert (ada.id, bob.id) == (3, 4)
    # As in peewee, which leaves it to the program to know that they are saved.
    assert ada._dirty == {"id", "name", "age"}
    assert objects == [ada, bob]


def test_keys_are_taken_over_by_what_the_model_makes_of_it() -> None:
    class Loud(User):
        told: list[Any] = []  # noqa: RUF012

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "id":
                self.told.append(value)
            super().__setattr__(name, value)

    ada: Any = Loud(name="ada")
    script = Script(bulk.create(POSTGRES, Loud, [ada])).gets((3,))
    assert script.result is None
    assert (ada.id, Loud.told) == (3, [3])


def test_without_returning_objects_get_no_keys() -> None:
    (ada, bob) = objects = users("ada", "bob")
    script = Script(bulk.create(MYSQL, User, objects))
    sql = "INSERT INTO `user` (`name`, `age`) VALUES (%s, %s), (%s, %s)"
    script.sends(sql, "ada", 36, "bob", 36).writes(2, lastrowid=3)
    assert script.result is None
    assert (ada.id, bob.id) == (None, None)


def test_each_batch_is_a_statement() -> None:
    made = users("ada", "bob", "eve")
    script = Script(bulk.create(POSTGRES, User, iter(made), batch_size=2))
    script.sends(ADD_TWO, "ada", 36, "bob", 36).gets((3,), (4,))
    script.sends(ADD_TWO.replace(", (%s, %s)", ""), "eve", 36).gets((5,))
    assert script.result is None
    assert [user.id for user in made] == [3, 4, 5]


def test_a_generator_is_read_when_its_batch_is_due() -> None:
    read = []

    def people() -> Iterator[Any]:
        for user in users("ada", "bob"):
            read.append(user.name)
            yield user

    script = Script(bulk.create(POSTGRES, User, people(), 1))
    assert read == ["ada"]
    script.gets((3,))
    assert read == ["ada", "bob"]


def test_an_error_of_a_generator_ends_it() -> None:
    def people() -> Iterator[Any]:
        yield User(name="ada")
        raise KeyError("bob")

    script = Script(bulk.create(POSTGRES, User, people(), 1)).gets((3,))
    with pytest.raises(KeyError):
        _ = script.result


def test_a_batch_that_breaks_is_the_last_one() -> None:
    made = users("ada", "bob", "eve")
    script = Script(bulk.create(POSTGRES, User, made, 1)).gets((3,))
    script.breaks(peewee.IntegrityError("bob"))
    with pytest.raises(peewee.IntegrityError, match="bob"):
        _ = script.result
    assert [user.id for user in made] == [3, None, None]


def test_takes_over_what_rows_there_are() -> None:
    """The model's own insert_many may ignore some."""
    made = users("ada", "bob")
    script = Script(bulk.create(POSTGRES, User, made)).gets((3,))
    assert script.result is None
    assert [user.id for user in made] == [3, None]


def test_objects_with_a_composite_key() -> None:
    member: Any = Membership(user=1, club="chess")
    script = Script(bulk.create(POSTGRES, Membership, [member]))
    script.sends(
        'INSERT INTO "membership" ("user_id", "club", "since") VALUES (%s, %s, %s) '
        'RETURNING "membership"."user_id", "membership"."club"',
        1,
        "chess",
        None,
    )
    assert script.gets((1, "chess")).result is None
    assert member._pk == (1, "chess")


def test_objects_with_a_key_of_their_own() -> None:
    """All columns are sent, though the model saves only what is dirty."""
    country: Any = Country(code="it")
    country._dirty.clear()
    script = Script(bulk.create(POSTGRES, Country, [country]))
    sql = 'INSERT INTO "country" ("code", "label") VALUES (%s, %s)'
    script.sends(sql + ' RETURNING "country"."code"', "it", "").gets(("it",))
    assert script.result is None


def test_objects_without_a_key() -> None:
    script = Script(bulk.create(POSTGRES, Log, [Log(line="a"), Log(line="b")]))
    script.sends('INSERT INTO "log" ("line") VALUES (%s), (%s)', "a", "b").writes(2)
    assert script.result is None


@pytest.mark.parametrize("size", [None, 3])
def test_no_objects_are_no_statement(size: int | None) -> None:
    assert Script(bulk.create(POSTGRES, User, [], size)).result is None
    assert Script(bulk.update(POSTGRES, User, [], ["name"], size)).result == 0


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_of_nothing_is_refused(size: int) -> None:
    works: list[Any] = [
        bulk.create(POSTGRES, User, users("ada"), size),
        bulk.update(POSTGRES, User, users("ada"), ["name"], size),
    ]
    for work in works:
        script = Script(work)
        with pytest.raises(ValueError, match=f"batch_size={size} would write nothing"):
            _ = script.result


# update

SET = (
    'UPDATE "user" SET "name" = CASE "user"."id" WHEN %s THEN %s WHEN %s THEN %s END '
    'WHERE ("user"."id" IN (%s, %s))'
)


@pytest.mark.parametrize("fields", [["name"], [User.name], ("name",), iter(["name"])])
def test_writes_the_fields_that_are_named(fields: Any) -> None:
    ada, bob = objects = [User(id=3, name="ada"), User(id=4, name="bob")]
    script = Script(bulk.update(POSTGRES, User, objects, fields))
    script.sends(SET, 3, "ada", 4, "bob", 3, 4).writes(2)
    assert script.result == 2
    assert [each.is_dirty() for each in (ada, bob)] == [True, True]


def test_counts_the_rows_of_all_batches() -> None:
    objects = (User(id=number, name=str(number)) for number in range(3))
    script = Script(bulk.update(SQLITE, User, objects, ["name"], batch_size=2))
    assert script.writes(2).writes(1).result == 3


def test_writes_expressions_and_foreign_keys() -> None:
    post: Any = Post(id=8, author=3)
    post.title = peewee.fn.UPPER(Post.title)
    fields = ["author", "headline"]
    script = Script(bulk.update(SQLITE, Post, [post], fields))
    script.sends(
        'UPDATE "post" SET '
        '"author_id" = CASE "post"."id" WHEN ? THEN ? END, '
        '"headline" = CASE "post"."id" WHEN ? THEN UPPER("post"."headline") END '
        'WHERE ("post"."id" IN (?))',
        8,
        3,
        8,
        8,
    )
    assert script.writes(1).result == 1


def test_no_fields_are_no_statement() -> None:
    assert Script(bulk.update(POSTGRES, User, users("ada"), [])).result == 0


@pytest.mark.parametrize("model", [Membership, Log])
def test_a_model_whose_key_is_not_one_column_is_refused(model: Any) -> None:
    script = Script(bulk.update(POSTGRES, model, [], ["user"]))
    with pytest.raises(ValueError, match="is not one column"):
        _ = script.result


def test_an_unknown_field_is_refused() -> None:
    script = Script(bulk.update(POSTGRES, User, users("ada"), ["name", "nick"]))
    with pytest.raises(ValueError, match="User has no field 'nick'"):
        _ = script.result


def test_one_name_is_no_list_of_names() -> None:
    script = Script(bulk.update(POSTGRES, User, users("ada"), "name"))
    with pytest.raises(TypeError, match=r"give a list, \['name'\]"):
        _ = script.result


# Beside sync peewee


class Sync:
    """What peewee itself does."""

    def create(self, model: Any, *args: Any) -> Any:
        return model.bulk_create(*args)

    def update(self, model: Any, *args: Any) -> Any:
        return model.bulk_update(*args)


class Core:
    """What the core does."""

    def create(self, model: Any, *args: Any) -> Any:
        return twin.finish(bulk.create(twin.DIALECT, model, *args))

    def update(self, model: Any, *args: Any) -> Any:
        return twin.finish(bulk.update(twin.DIALECT, model, *args))


def creates(does: Any) -> list[Any]:
    made: list[list[Any]] = [
        [twin.User(name=name) for name in "abcde"],
        [twin.Post(author=1, title="x"), twin.Post(author=2, editor=1, title="y")],
        [twin.Country(code="it"), twin.Country(code="fr", label="France")],
        [twin.Membership(user=1, club="chess"), twin.Membership(user=2, club="go")],
        [twin.Log(line="a"), twin.Log(line="b")],
        [twin.Draft(title="a"), twin.Draft()],
    ]
    results = [does.create(type(objects[0]), objects, 2) for objects in made]
    return [results, made, [list(model.select().tuples()) for model in twin.MODELS]]


def creates_of_nothing(does: Any) -> list[Any]:
    return [does.create(twin.User, []), does.create(twin.User, [], 3)]


def creates_what_is_taken(does: Any) -> list[Any]:
    objects = [twin.User(name=name) for name in "aba"]
    try:
        does.create(twin.User, objects, 1)
    except peewee.IntegrityError as error:
        return [str(error), objects, twin.User.select().count()]
    return ["no error"]


def updates(does: Any) -> list[Any]:
    objects = [twin.User.create(name=name) for name in "abcde"]
    for user in objects:
        user.name, user.age = user.name * 2, 1
    objects.append(twin.User(id=99, name="nobody"))
    rows = does.update(twin.User, iter(objects), ["name", twin.User.age], 2)
    return [rows, objects, list(twin.User.select().tuples())]


def updates_what_saves_only_what_is_dirty(does: Any) -> list[Any]:
    drafts = [twin.Draft.create(title=title) for title in "ab"]
    drafts[0].text = "new"
    rows = does.update(twin.Draft, drafts, ["text"])
    return [rows, drafts, list(twin.Draft.select().tuples())]


SCENES: list[Callable[[Any], list[Any]]] = [
    creates,
    creates_of_nothing,
    creates_what_is_taken,
    updates,
    updates_what_saves_only_what_is_dirty,
]


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, peewee.Model):
        dirty = {field.name for field in value.dirty_fields}
        return type(value), dict(value.__data__), dirty
    return value


@pytest.mark.parametrize("returning", [False, True], ids=["last id", "returning"])
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_sends_and_gives_what_sync_peewee_does(
    scene: Callable[[Any], list[Any]],
    returning: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(twin.DATABASE, "returning_clause", returning)
    theirs = twin.on_fresh_database(lambda: plain(scene(Sync())))
    ours = twin.on_fresh_database(lambda: plain(scene(Core())))
    assert ours == theirs
