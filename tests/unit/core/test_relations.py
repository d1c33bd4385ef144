"""The object behind a foreign key, and many-to-many links."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import peewee
import pytest

from peewee_async.core import relations
from peewee_async.core.transactions import State, Transactions
from tests.unit import twin
from tests.unit.models import MYSQL, POSTGRES, SQLITE
from tests.unit.script import Script

# Models of its own, for a reference to another module's would be followed there.


class User(peewee.Model):
    id: Any
    DoesNotExist: Any
    name: Any = peewee.CharField(unique=True)
    age: Any = peewee.IntegerField(default=36)


class Post(peewee.Model):
    author: Any = peewee.ForeignKeyField(User, backref="posts")
    editor: Any = peewee.ForeignKeyField(User, backref="edited", null=True)
    title: Any = peewee.TextField(null=True)


class Comment(peewee.Model):
    post: Any = peewee.ForeignKeyField(Post, backref="comments")


class Membership(peewee.Model):
    user: Any = peewee.ForeignKeyField(User)
    club: Any = peewee.CharField()

    class Meta:
        primary_key = peewee.CompositeKey("user", "club")


# foreign_key


class Essay(Post):
    """Has copies of the fields of a post."""


class Letter(peewee.Model):
    sender: Any = peewee.ForeignKeyField(User, object_id_name="from_key")
    reply: Any = peewee.ForeignKeyField("self", null=True)
    country: Any = peewee.DeferredForeignKey("Atlantis", null=True)


@pytest.mark.parametrize(
    ("model", "item", "found"),
    [
        (Post, Post.author, Post.author),
        (Post, "author", Post.author),
        (Post, "author_id", Post.author),
        (Essay, Post.editor, Essay._meta.fields["editor"]),
        (Essay, "editor", Essay._meta.fields["editor"]),
        (Letter, "from_key", Letter.sender),
        (Letter, Letter.reply, Letter.reply),
        (Membership, "user", Membership.user),
    ],
)
def test_finds_a_foreign_key(model: Any, item: Any, found: Any) -> None:
    assert relations.foreign_key(model, item) is found


@pytest.mark.parametrize(
    ("model", "item", "words"),
    [
        (Post, "title", "'title' is no foreign key of Post: it has author, editor."),
        (Post, "comments", "'comments' is no foreign key of Post"),
        (User, "age", "'age' is no foreign key of User: it has none."),
        (Post, Comment.post, "<ForeignKeyField: Comment.post> is no foreign key of"),
        (Post, Essay.author, "<ForeignKeyField: Essay.author> is no foreign key of"),
        (Letter, "country", "it has reply, sender"),
    ],
)
def test_what_is_no_foreign_key_of_the_model(model: Any, item: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        relations.foreign_key(model, item)


@pytest.mark.parametrize("item", [Post.title, 1, None, Letter.country])
def test_what_is_no_foreign_key_at_all(item: Any) -> None:
    with pytest.raises(TypeError, match="is no foreign key: give the field"):
        relations.foreign_key(Post, item)


# is_loaded


def test_an_object_that_is_there_is_loaded() -> None:
    ada = User(name="ada")
    assert relations.is_loaded(Post(author=ada), Post.author)


def test_a_key_alone_is_not_loaded() -> None:
    assert not relations.is_loaded(Post(author=3), Post.author)
    assert not relations.is_loaded(Post(author=0), Post.author)


def test_no_key_leads_to_nothing() -> None:
    assert relations.is_loaded(Post(author=3), Post.editor)


def test_a_key_that_must_be_there_and_is_not() -> None:
    with pytest.raises(User.DoesNotExist, match="This Post has no author: set it"):
        relations.is_loaded(Post(), Post.author)


# fetch

FIND = (
    'SELECT "t1"."id", "t1"."name", "t1"."age" FROM "user" AS "t1" '
    'WHERE ("t1"."id" = %s) LIMIT %s OFFSET %s'
)


def test_fetches_by_one_query_and_keeps_the_object() -> None:
    post: Any = Post(author=3)
    post._dirty.clear()
    script = Script(relations.fetch(POSTGRES, post, Post.author))
    ada = script.sends(FIND, 3, 1, 0, limit=1).gets((3, "ada", 36)).result
    assert (ada.name, post.author, post.__data__["author"]) == ("ada", ada, 3)
    assert post.author is ada
    assert post._dirty == set()


def test_a_row_that_is_missing() -> None:
    post: Any = Post(author=3)
    script = Script(relations.fetch(POSTGRES, post, Post.author)).gets()
    with pytest.raises(User.DoesNotExist, match="matching query does not exist"):
        _ = script.result
    assert post.__rel__ == {}


def test_a_key_that_was_changed_meanwhile_keeps_what_it_is() -> None:
    post: Any = Post(author=3)
    script = Script(relations.fetch(POSTGRES, post, Post.author))
    post.author = 4
    assert script.gets((3, "ada", 36)).result.name == "ada"
    assert (post.author_id, post.__rel__) == (4, {})


def test_two_fetches_at_once_give_one_object() -> None:
    post: Any = Post(author=3)
    scripts = [Script(relations.fetch(POSTGRES, post, Post.author)) for _ in "12"]
    first, second = (script.gets((3, "ada", 36)).result for script in scripts)
    assert first is second is post.author


class Flag(peewee.Model):
    code: Any = peewee.CharField(unique=True)


class Ship(peewee.Model):
    flag: Any = peewee.ForeignKeyField(Flag, field="code")


def test_a_key_to_another_field_than_the_primary_key() -> None:
    ship: Any = Ship(flag="it")
    script = Script(relations.fetch(SQLITE, ship, Ship.flag))
    sql = 'SELECT "t1"."id", "t1"."code" FROM "flag" AS "t1" WHERE ("t1"."code" = ?)'
    script.sends(sql + " LIMIT ? OFFSET ?", "it", 1, 0, limit=1)
    assert script.gets((7, "it")).result.id == 7


# Many to many


class Club(peewee.Model):
    name: Any = peewee.CharField(default="")
    people: Any = peewee.ManyToManyField(User, backref="clubs")


def clubs_of_ada() -> Any:
    ada: Any = User(id=1, name="ada")
    return ada.clubs


THROUGH = '"club_user_through"'
LINK = f'INSERT INTO {THROUGH} ("club_id", "user_id") VALUES '
UNLINK = f"DELETE FROM {THROUGH} WHERE "
OWN = f'({THROUGH}."user_id" = ?)'


def adds(value: Any, clear_existing: bool = False) -> Script:
    transactions = Transactions(SQLITE)
    return Script(
        relations.add(SQLITE, transactions, clubs_of_ada(), value, clear_existing)
    )


@pytest.mark.parametrize(
    "value",
    [
        [Club(id=7), Club(id=8)],
        (7, 8),
        [7, Club(id=8)],
        iter([Club(id=7), 8]),
        {7: None, 8: None}.keys(),
        range(7, 9),
    ],
)
def test_links_several(value: Any) -> None:
    script = adds(value).sends(LINK + "(?, ?), (?, ?)", 7, 1, 8, 1)
    assert script.writes(2).result is None


@pytest.mark.parametrize("value", [Club(id=7), 7, {7}, frozenset({7})])
def test_links_one(value: Any) -> None:
    assert adds(value).sends(LINK + "(?, ?)", 7, 1).writes(1).result is None


def test_an_object_is_one_even_if_it_has_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Club, "__iter__", lambda club: iter([1, 2]), raising=False)
    assert adds(Club(id=7)).sends(LINK + "(?, ?)", 7, 1).writes(1).result is None


@pytest.mark.parametrize("value", [[], (), None, iter([]), Club.noop()])
def test_links_nothing(value: Any) -> None:
    assert adds(value).result is None


def test_a_list_of_the_caller_stays_as_it_is() -> None:
    value = [Club(id=7), 8]
    adds(value).writes(2)
    assert value == [Club(id=7), 8]


def test_links_what_a_query_selects() -> None:
    query = Club.select().where(Club.name == "x")
    before = query.sql()
    script = adds(query).sends(
        f'INSERT INTO {THROUGH} ("user_id", "club_id") '
        'SELECT ?, "t1"."id" FROM "club" AS "t1" WHERE ("t1"."name" = ?)',
        1,
        "x",
    )
    assert script.writes(2).result is None
    assert query.sql() == before


class Key(peewee.Model):
    id: Any = peewee.UUIDField(primary_key=True)
    doors: Any = peewee.ManyToManyField(Club)


def test_the_key_of_the_one_side_is_converted_beside_a_query() -> None:
    key: Any = Key(id=uuid.UUID(int=5))
    work = relations.add(SQLITE, Transactions(SQLITE), key.doors, Club.select())
    script = Script(work)
    assert script.waiting is not None
    assert script.waiting.params == (uuid.UUID(int=5).hex,)


@pytest.mark.parametrize(
    "value",
    [
        Club.select() | Club.select(),
        Club.raw("SELECT * FROM club"),
        peewee.Table("club").select(),
        Club.insert(name="x"),
    ],
)
def test_a_query_that_is_no_select_of_the_model_is_refused(value: Any) -> None:
    for clear_existing in (False, True):
        with pytest.raises(TypeError, match="does not say which rows"):
            adds(value, clear_existing)
    with pytest.raises(TypeError, match="does not say which rows"):
        relations.remove(SQLITE, clubs_of_ada(), value)


def test_replaces_links_in_one_transaction() -> None:
    script = adds([7], clear_existing=True)
    script.sends("BEGIN IMMEDIATE").writes()
    script.sends(UNLINK + OWN, 1).writes(3)
    script.sends(LINK + "(?, ?)", 7, 1).writes(1)
    assert script.sends("COMMIT").writes().result is None


def test_an_insert_that_breaks_gives_the_old_links_back() -> None:
    error = peewee.IntegrityError("no such club")
    script = adds([7], clear_existing=True).writes().writes(3).breaks(error)
    script.sends("ROLLBACK").writes()
    with pytest.raises(peewee.IntegrityError) as caught:
        _ = script.result
    assert caught.value is error


def test_replaces_links_in_a_savepoint_inside_a_transaction() -> None:
    transactions = Transactions(POSTGRES)
    outer = Script(transactions.transaction()).writes().result
    work = relations.add(POSTGRES, transactions, clubs_of_ada(), [7], True)
    script = Script(work).sends('SAVEPOINT "s1"').writes().writes(3)
    script.breaks(peewee.IntegrityError("no such club"))
    script.sends('ROLLBACK TO SAVEPOINT "s1"').writes()
    with pytest.raises(peewee.IntegrityError):
        _ = script.result
    assert (outer.state, outer.doomed) == (State.ACTIVE, False)


def test_an_interruption_between_the_two_is_no_commit() -> None:
    transactions = Transactions(POSTGRES)
    work = relations.add(POSTGRES, transactions, clubs_of_ada(), [7], True)
    script = Script(work).writes().writes(3)
    assert script.is_interrupted().waiting is None
    assert transactions.loss is not None


def test_replacing_links_by_none_is_one_statement() -> None:
    script = adds([], clear_existing=True).sends(UNLINK + OWN, 1)
    assert script.writes(3).result is None


@pytest.mark.parametrize("value", [[Club(id=7), 8], iter([7, 8])])
def test_removes_links(value: Any) -> None:
    script = Script(relations.remove(SQLITE, clubs_of_ada(), value))
    condition = f'(({THROUGH}."club_id" IN (?, ?)) AND {OWN})'
    assert script.sends(UNLINK + condition, 7, 8, 1).writes(1).result == 1


def test_removes_links_to_what_a_query_selects() -> None:
    query = Club.select().where(Club.name == "x")
    script = Script(relations.remove(MYSQL, clubs_of_ada(), query))
    through = THROUGH.replace('"', "`")
    script.sends(
        f"DELETE FROM {through} WHERE (({through}.`club_id` IN "
        "(SELECT `t1`.`id` FROM `club` AS `t1` WHERE (`t1`.`name` = %s))) "
        f"AND ({through}.`user_id` = %s))",
        "x",
        1,
    )
    assert script.writes(2).result == 2


@pytest.mark.parametrize("value", [[], None, Club.noop()])
def test_removes_nothing(value: Any) -> None:
    assert Script(relations.remove(SQLITE, clubs_of_ada(), value)).result is None


def test_clears_links() -> None:
    script = Script(relations.clear(SQLITE, clubs_of_ada()))
    assert script.sends(UNLINK + OWN, 1).writes(3).result == 3


class Member(peewee.Model):
    """Its key is a foreign key, which is not to be followed."""

    user: Any = peewee.ForeignKeyField(User, primary_key=True)


class Team(peewee.Model):
    members: Any = peewee.ManyToManyField(Member, backref="teams")


def test_a_key_that_is_a_foreign_key_is_not_followed() -> None:
    team: Any = Team(id=2)
    script = Script(
        relations.add(SQLITE, Transactions(SQLITE), team.members, [Member(user=1)])
    )
    assert script.waiting is not None
    assert script.waiting.params == (2, 1)


# Beside sync peewee


class Person(twin.Bound):
    name: Any = peewee.CharField()
    tags: Any


class Tag(twin.Bound):
    name: Any = peewee.CharField(default="")
    people: Any = peewee.ManyToManyField(Person, backref="tags")


TABLES = (Person, Tag, Tag.people.get_through_model())


class Sync:
    """What peewee itself does."""

    def add(self, query: Any, *args: Any) -> Any:
        return query.add(*args)

    def remove(self, query: Any, value: Any) -> Any:
        return query.remove(value)

    def clear(self, query: Any) -> Any:
        return query.clear()


class Core:
    """What the core does."""

    def add(self, query: Any, *args: Any) -> Any:
        transactions = Transactions(twin.DIALECT)
        return twin.finish(relations.add(twin.DIALECT, transactions, query, *args))

    def remove(self, query: Any, value: Any) -> Any:
        return twin.finish(relations.remove(twin.DIALECT, query, value))

    def clear(self, query: Any) -> Any:
        return twin.finish(relations.clear(twin.DIALECT, query))


def linked(does: Any, *values: Callable[[], Any]) -> list[Any]:
    twin.DATABASE.create_tables(TABLES)
    ada: Any = Person.create(name="ada")
    other: Any = Person.create(name="bob")
    for name in "abc":
        Tag.create(name=name)
    results = [does.add(other.tags, [1, 2, 3]), does.add(ada.tags, 3)]
    for make in values:
        results.append(does.add(ada.tags, make(), True))
        results.append(does.remove(other.tags, make()))
    results.append(does.clear(ada.tags))
    through: Any = TABLES[2]
    return [*results, list(through.select().tuples())]


VALUES: dict[str, tuple[Callable[[], Any], ...]] = {
    "one": (lambda: 1, lambda: Tag.get_by_id(2)),
    "several": (lambda: [1, 2], lambda: tuple(Tag.select())),
    "none": (list, lambda: None),
    "a select": (lambda: Tag.select().where(Tag.name != "b"),),
    "a query of another object": (lambda: Person.get_by_id(2).tags,),
}


@pytest.mark.parametrize("name", VALUES)
def test_sends_and_gives_what_sync_peewee_does(name: str) -> None:
    values = VALUES[name]
    theirs = twin.on_fresh_database(lambda: linked(Sync(), *values))
    ours = twin.on_fresh_database(lambda: linked(Core(), *values))
    assert ours == theirs
