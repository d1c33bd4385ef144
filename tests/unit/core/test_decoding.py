"""Rows become what peewee makes of them: its own result is the measure."""

import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import peewee
import pytest

from peewee_async.core import decoding
from peewee_async.core.boundary import Reply, Statement
from peewee_async.core.caching import Cache
from peewee_async.core.compiling import function
from peewee_async.core.decoding import LIMIT, MANY, ReplyCursor, decoder, shapes_of
from peewee_async.core.execution import PORTION
from peewee_async.core.row_sources import source_of
from tests.unit.library import (
    DATABASE,
    DIALECT,
    SHAPES,
    Author,
    Book,
    answer,
    frozen,
    library,
    plain,
)
from tests.unit.models import MYSQL, POSTGRES, SQLITE, Post, User, with_drivers
from tests.unit.rows import by_wrapper, picture, reply

_peewee: Any = peewee


@pytest.fixture(scope="module", autouse=True)
def shelves() -> Iterator[None]:
    with library():
        yield


def reply_to(query: Any) -> Reply:
    return answer(Statement(*DIALECT.compile(query)))


def decode(query: Any, *rows: tuple[Any, ...], columns: tuple[str, ...]) -> list[Any]:
    return decoder(DIALECT, query)(Reply(rows, columns, len(rows)))


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_become_what_peewee_makes_of_them(shape: str) -> None:
    query = SHAPES[shape]()
    answered = reply_to(query)
    expected = plain(list(query.clone().execute(DATABASE)))
    kept = decoder(DIALECT, query)
    for _ in range(3):
        assert plain(kept(answered)) == expected
        assert plain(decoder(DIALECT, SHAPES[shape]())(answered)) == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_decoding_does_not_touch_the_query(shape: str) -> None:
    query = SHAPES[shape]()
    before = frozen(query)
    decoder(DIALECT, query)(reply_to(query))
    assert frozen(query) == before


def test_a_row_becomes_a_model_with_nothing_left_to_save() -> None:
    columns = ("id", "name", "age")
    (user,) = decode(User.select(), (3, "ada", 36), columns=columns)
    assert isinstance(user, User)
    assert user.__data__ == {"id": 3, "name": "ada", "age": 36}
    assert user.dirty_fields == []


def test_a_column_that_was_not_selected_has_no_default_value() -> None:
    (user,) = decode(User.select(User.name), ("ada",), columns=("name",))
    assert user.__data__ == {"name": "ada"}


def test_a_column_is_known_by_the_name_of_its_field() -> None:
    (post,) = decode(Post.select(Post.title), ("x",), columns=("headline",))
    assert post.title == "x"
    (row,) = decode(Post.select(Post.title).dicts(), ("x",), columns=("headline",))
    assert row == {"title": "x"}


def test_a_related_row_is_there_without_another_query() -> None:
    query = Post.select(Post.id, User.id, User.name).join(User, on=Post.author)
    (post,) = decode(query, (1, 3, "ada"), columns=("id", "id", "name"))
    assert post.__rel__["author"].name == "ada"


def test_no_related_row_is_none() -> None:
    query = Post.select(Post.id, User.id).join(
        User, peewee.JOIN.LEFT_OUTER, on=Post.editor
    )
    (post,) = decode(query, (1, None), columns=("id", "id"))
    assert post.__rel__["editor"] is None


def test_two_keys_to_one_model_do_not_mix() -> None:
    posts = decoder(DIALECT, query := SHAPES["two keys to one model"]())(
        reply_to(query)
    )
    letters = posts[3]
    assert (letters.author.name, letters.editor.name) == ("bob", "cyd")


def test_columns_of_one_name_are_told_apart_in_dicts() -> None:
    query = Post.select(Post.id, User.id).join(User, on=Post.author).dicts()
    (row,) = decode(query, (1, 3), columns=("id", "id"))
    assert list(row.values()) == [1, 3]


def test_values_that_the_driver_has_converted_stay() -> None:
    born = Author.born.python_value("1815-12-10")
    (row,) = decode(Author.select(Author.born).tuples(), (born,), columns=("born",))
    assert row == (born,)


def test_a_text_becomes_the_value_of_its_field() -> None:
    query = Book.select(Book.price).tuples()
    (row,) = decode(query, ("3.50",), columns=("price",))
    assert row == (Book.price.python_value("3.50"),)
    assert row != ("3.50",)


def test_a_written_row_comes_back_as_a_model() -> None:
    query = User.update(age=40).returning(User)
    (user,) = decode(query, (3, "ada", 40), columns=("id", "name", "age"))
    assert isinstance(user, User)
    assert (user.id, user.age) == (3, 40)


def test_one_decoder_reads_many_replies() -> None:
    decode_name = decoder(DIALECT, User.select(User.name).tuples())
    assert decode_name(Reply([("ada",)], ("name",))) == [("ada",)]
    assert decode_name(Reply([("bob",), ("cyd",)], ("name",))) == [("bob",), ("cyd",)]


def test_no_rows_are_an_empty_list() -> None:
    assert decoder(DIALECT, User.select())(Reply([], ("id", "name", "age"))) == []


def test_a_reply_without_columns_gives_no_rows() -> None:
    assert decoder(DIALECT, User.raw("CREATE TABLE t (id)"))(Reply()) == []


def test_the_cursor_has_what_peewee_reads() -> None:
    cursor = ReplyCursor(Reply([(1, 2), (3, 4)], ("a", "b")))
    assert [column[0] for column in cursor.description] == ["a", "b"]
    assert [cursor.fetchone() for _ in range(4)] == [(1, 2), (3, 4), None, None]


def test_the_cursor_can_be_closed_and_read_on() -> None:
    cursor = ReplyCursor(Reply([(1,)], ("a",)))
    cursor.close()
    assert cursor.fetchone() == (1,)


def test_the_cursor_gives_the_rows_in_any_way() -> None:
    reply = Reply([(1,), (2,), (3,)], ("a",), 3, 7)
    cursor = ReplyCursor(reply)
    assert cursor.fetchone() == (1,)
    assert cursor.fetchall() == [(2,), (3,)]
    assert cursor.fetchall() == []
    assert list(ReplyCursor(reply)) == [(1,), (2,), (3,)]
    assert (cursor.rowcount, cursor.lastrowid) == (3, 7)


class Counted:
    """Counts the functions that are generated, and the rows that a wrapper reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.generated = 0
        self.wrapped = 0
        make, process = function, _peewee.ModelObjectCursorWrapper.process_row

        def counted(*args: Any) -> Any:
            self.generated += 1
            return make(*args)

        def wrapped(*args: Any) -> Any:
            self.wrapped += 1
            return process(*args)

        monkeypatch.setattr(decoding, "function", counted)
        monkeypatch.setattr(_peewee.ModelObjectCursorWrapper, "process_row", wrapped)

    def __eq__(self, other: object) -> bool:
        return (self.generated, self.wrapped) == other

    def __repr__(self) -> str:
        return f"<{self.generated} generated, {self.wrapped} rows wrapped>"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def fresh_model() -> Any:
    class Fresh(peewee.Model):
        name: Any = peewee.CharField(null=True)
        age: Any = peewee.IntegerField(null=True)

    return Fresh


ROW, NAMES = (1, "ada", 36), ("id", "name", "age")
ONE = reply(ROW, columns=NAMES)
MANY_ROWS = reply(*[ROW] * (MANY + 1), columns=NAMES)


def test_a_shape_that_comes_again_is_generated(counted: Counted) -> None:
    model = fresh_model()
    decoder(POSTGRES, model.select())(ONE)
    assert counted == (0, 1)
    for _ in range(3):
        decoder(POSTGRES, model.select().where(model.id > 1))(ONE)
        assert counted == (1, 1)


def test_a_decoder_that_is_kept_is_generated_when_it_is_used_again(
    counted: Counted,
) -> None:
    kept = decoder(POSTGRES, fresh_model().select())
    assert [kept(ONE)[0].name for _ in range(3)] == ["ada"] * 3
    assert counted == (1, 1)


def test_a_kept_decoder_of_one_row_calls_nothing_but_its_function(
    counted: Counted,
) -> None:
    kept = decoder(POSTGRES, fresh_model().select())
    kept(ONE), kept(ONE)
    calls: list[str] = []

    def note(frame: Any, event: str, argument: object) -> None:
        if event == "call":
            calls.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        kept(ONE)
    finally:
        sys.setprofile(None)
    assert calls == ["__call__", "read"]


def test_many_rows_are_worth_a_function_at_once(counted: Counted) -> None:
    rows = decoder(POSTGRES, fresh_model().select())(MANY_ROWS)
    assert len(rows) == MANY + 1
    assert counted == (1, 0)


def test_no_rows_are_not_worth_a_look(counted: Counted) -> None:
    kept = decoder(POSTGRES, fresh_model().select())
    for _ in range(3):
        assert kept(reply(columns=NAMES)) == []
    kept(ONE)
    assert counted == (0, 1)


def test_one_decoder_reads_replies_with_other_columns() -> None:
    kept = decoder(POSTGRES, fresh_model().raw("SELECT 1"))
    for names in (NAMES, ("age", "name", "id"), NAMES):
        for _ in range(3):
            (row,) = kept(reply(ROW, columns=names))
            assert list(row.__data__) == list(names)


def alias_made_anew(model: Any) -> Any:
    other = model.alias()
    return model.select(model.id, other.name).join(other, on=(model.id == other.id))


def converter_made_anew(model: Any) -> Any:
    return model.select(model.name.concat("").converter(lambda name: [name]))


def constructor_made_anew(model: Any) -> Any:
    return model.select().objects(lambda **values: values)


@pytest.mark.parametrize(
    "make", [alias_made_anew, converter_made_anew, constructor_made_anew]
)
@pytest.mark.parametrize("answered", [ONE, MANY_ROWS])
def test_what_is_made_anew_for_each_query_is_generated_once(
    make: Callable[[Any], Any], answered: Any, counted: Counted
) -> None:
    model = fresh_model()
    width = len(make(model)._returning)
    rows = [row[:width] for row in answered.rows]
    cut = reply(*rows, columns=NAMES[:width])
    for _ in range(5):
        query = make(model)
        assert picture(decoder(POSTGRES, query)(cut)) == picture(by_wrapper(query, cut))
    assert counted.generated == 1


def test_what_cannot_be_generated_is_tried_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[Any] = []
    write = source_of

    def counted_source(wrapper: Any, types: Any) -> Any:
        tried.append(wrapper)
        return write(wrapper, types)

    monkeypatch.setattr(decoding, "source_of", counted_source)
    model = fresh_model()

    class Own(peewee.Model):
        name: Any = peewee.CharField()

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    own = model.name == Own.name
    query = model.select(model.id, Own.name).join(Own, on=own, attr="own")
    for _ in range(4):
        (row,) = decoder(POSTGRES, query)(reply((1, "ada"), columns=("id", "name")))
        assert type(row.own) is Own
    assert len(tried) == 1


def test_shapes_never_grow_beyond_a_limit() -> None:
    model = fresh_model()
    for number in range(3 * LIMIT):
        names = ("id", "name", f"column_{number}")
        kept = decoder(POSTGRES, model.raw("SELECT 1"))
        kept(reply(ROW, columns=names)), kept(reply(ROW, columns=names))
    shapes = shapes_of(model)
    assert len(shapes.known) <= LIMIT
    assert len(shapes.seen) <= LIMIT


def test_a_model_can_be_collected_with_its_decoders() -> None:
    def use() -> weakref.ref[Any]:
        class Pet(peewee.Model):
            name: Any = peewee.CharField()

        class Toy(peewee.Model):
            pet: Any = peewee.ForeignKeyField(Pet)

        query = Toy.select(Toy, Pet).join(Pet)
        columns = ("id", "pet_id", "id", "name")
        for _ in range(3):
            (toy,) = decoder(POSTGRES, query)(reply((1, 2, 2, "Rex"), columns=columns))
            assert toy.pet.name == "Rex"
            decoder(POSTGRES, Pet.select().dicts())(reply((1, "x"), columns=NAMES[:2]))
        assert len(shapes_of(Toy).known) == len(shapes_of(Pet).known) == 1
        return weakref.ref(Pet)

    alive = use()
    gc.collect()
    assert alive() is None


def test_an_object_that_is_no_models_is_not_kept() -> None:
    class Made(dict[str, Any]):
        pass

    query = peewee.Table("t").select().objects(Made)
    for _ in range(3):
        (row,) = decoder(POSTGRES, query)(reply((1,), columns=("a",)))
        assert row == {"a": 1}
    alive = weakref.ref(Made)
    del Made, query, row
    gc.collect()
    assert alive() is None


def with_an_init(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def own(self: Any, *args: Any, **kwargs: Any) -> None:
        super(model, self).__init__(*args, **kwargs)
        self.greeting = "hello"

    monkeypatch.setattr(model, "__init__", own)


def with_a_field_of_its_own(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.name, "python_value", lambda value: f"{value}!")


def with_another_field(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model._meta.remove_field("age")
    model._meta.add_field("age", peewee.CharField())


def with_one_more_field(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model._meta.add_field("more", peewee.CharField(null=True))


CHANGES = [
    with_an_init,
    with_a_field_of_its_own,
    with_another_field,
    with_one_more_field,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("make", ["select", "raw"])
def test_a_model_may_change_after_it_was_read(
    change: Any, make: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fresh_model()

    def query() -> Any:
        return model.select() if make == "select" else model.raw("SELECT 1")

    kept = decoder(POSTGRES, query())
    for _ in range(3):
        kept(ONE)
    change(model, monkeypatch)
    for _ in range(4):
        asked = query()
        width = len(asked._returning) or 3
        answered = reply((*ROW, "x")[:width], columns=(*NAMES, "more")[:width])
        expected = picture(by_wrapper(asked, answered))
        assert picture(decoder(POSTGRES, asked)(answered)) == expected
        if make == "raw" or change in CHANGES[:2]:
            assert picture(kept(answered)) == expected


def test_a_change_that_is_undone_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fresh_model()
    kept = decoder(POSTGRES, model.select())
    for _ in range(3):
        kept(ONE)
    with monkeypatch.context() as changed:
        with_a_field_of_its_own(model, changed)
        assert [kept(ONE)[0].name for _ in range(3)] == ["ada!"] * 3
    assert [kept(ONE)[0].name for _ in range(3)] == ["ada"] * 3


@pytest.mark.parametrize("kind", ["dicts", "tuples", "namedtuples", "objects"])
def test_the_kind_of_row_is_part_of_the_shape(kind: str) -> None:
    model = fresh_model()
    for _ in range(3):
        for query in (model.select(), getattr(model.select(), kind)()):
            made = decoder(POSTGRES, query)(ONE)
            assert picture(made) == picture(by_wrapper(query, ONE))


def test_an_error_of_a_converter_is_the_callers() -> None:
    def refuse(value: Any) -> Any:
        raise LookupError(value)

    query = User.select(User.name.concat("").converter(refuse))
    kept = decoder(POSTGRES, query)
    for _ in range(3):
        with pytest.raises(LookupError, match="ada"):
            kept(reply(("ada",), columns=("name",)))


class Wrapper(_peewee.ModelObjectCursorWrapper):  # type: ignore[misc]
    def process_row(self, row: Any) -> Any:
        return "mine", row


class OwnSelect(_peewee.ModelSelect):  # type: ignore[misc]
    def _get_cursor_wrapper(self, cursor: Any) -> Any:
        return Wrapper(cursor, self.model, self._returning, self.model)


class OwnModelSelect(_peewee.ModelSelect):  # type: ignore[misc]
    def _get_model_cursor_wrapper(self, cursor: Any) -> Any:
        return Wrapper(cursor, self.model, self._returning, self.model)


class OwnUnion(_peewee.ModelCompoundSelectQuery):  # type: ignore[misc]
    def _get_cursor_wrapper(self, cursor: Any) -> Any:
        return Wrapper(cursor, self.model, [], self.model)


USERS: Any = User.select()
OWN_USERS: Any = OwnModelSelect(User, USERS._returning)


@pytest.mark.parametrize(
    "query",
    [
        OwnSelect(User, USERS._returning),
        OWN_USERS,
        OwnUnion(User, USERS, "UNION", USERS),
        OWN_USERS | USERS,
        OWN_USERS | USERS | USERS,
    ],
    ids=["select", "models", "union", "left of a union", "left of two"],
)
def test_a_wrapper_of_the_program_has_its_way(query: Any) -> None:
    for _ in range(3):
        assert decoder(POSTGRES, query)(ONE) == [("mine", ROW)]


def test_a_wrapper_of_one_query_has_its_way() -> None:
    query: Any = User.select()
    query._get_cursor_wrapper = lambda cursor: Wrapper(cursor, User, [], User)
    for _ in range(3):
        assert decoder(POSTGRES, query)(ONE) == [("mine", ROW)]


ALIASED: Any = User.alias()
POSTS: Any = Post.select(Post, User).join(User, on=Post.author)


@pytest.mark.parametrize(
    ("query", "is_clean"),
    [
        (USERS, True),
        (POSTS, True),
        (USERS | USERS, True),
        (USERS.clone().dicts().models(), True),
        (ALIASED.select(), False),
        (USERS.clone().objects(lambda **row: User(**row)), False),
        (OWN_USERS, False),
    ],
    ids=["select", "join", "union", "models", "alias", "function", "own wrapper"],
)
def test_some_queries_give_objects_that_are_clean(query: Any, is_clean: bool) -> None:
    assert decoding.makes_clean(query) is is_clean


def test_several_threads_read_rows_of_one_model() -> None:
    model = fresh_model()
    model_shapes = shapes_of(model)
    model_shapes.known = Cache(2)  # so that they are in each other's way
    queries = [
        lambda: model.select(),
        lambda: model.select().dicts(),
        lambda: model.select().tuples(),
        lambda: model.select(model.id, model.name, model.age.alias("x")),
    ]

    def read(number: int) -> bool:
        query = queries[number % 4]()
        made = picture(decoder(POSTGRES, query)(ONE))
        return bool(made == picture(by_wrapper(query, ONE)))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(read, range(400)))


def unwrapped_union() -> Any:
    return OWN_USERS | USERS


class Boss(peewee.Model):
    name: Any = peewee.CharField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class Clerk(peewee.Model):
    boss: Any = peewee.ForeignKeyField(Boss)


PORTIONED: dict[str, Callable[[], Any]] = {
    "models": User.select,
    "named tuples": lambda: User.select().namedtuples(),
    "by the wrapper only": lambda: Clerk.select(Clerk, Boss.name).join(Boss),
    "by a wrapper of the program": unwrapped_union,
}


@pytest.mark.parametrize("name", PORTIONED)
def test_many_rows_are_read_in_portions(name: str) -> None:
    query = PORTIONED[name]()
    rows = [(number, "2", 3) for number in range(2 * PORTION + 1)]
    answered = reply(*rows, columns=("id", "boss_id", "name"))
    portions = list(decoder(POSTGRES, query).portions(answered))
    assert [len(portion) for portion in portions] == [PORTION, PORTION, 1]
    made = [item for portion in portions for item in portion]
    assert picture(made) == picture(by_wrapper(query, answered))
    assert len(set(map(type, made))) == 1


def test_rows_of_which_objects_were_made_are_not_kept() -> None:
    answered = Reply([(number, "2", 3) for number in range(2 * PORTION)], NAMES)
    portions = decoder(POSTGRES, User.select()).portions(answered)
    next(portions)
    assert set(answered.rows[:PORTION]) == {None}
    assert answered.rows[PORTION] == (PORTION, "2", 3)
    assert [user.id for user in next(portions)] == list(range(PORTION, 2 * PORTION))
    assert set(answered.rows) == {None}
    assert list(portions) == []


class Picky(peewee.CharField):
    def python_value(self, value: Any) -> Any:
        if value == "bad":
            raise ValueError("cannot be read")
        return value


class Tray(peewee.Model):
    name: Any = Picky()


class Box(peewee.Model):
    name: Any = Picky()
    boss: Any = peewee.ForeignKeyField(Boss)
    data: Any = peewee.JSONField(null=True)


ADAPTED = [Box.name, Box.data]
ONE_IS_BAD: dict[str, Callable[[], Any]] = {
    "by a function": lambda: Tray.select(Tray.name, peewee.SQL("1").alias("data")),
    "by the wrapper": lambda: Box.select(Box.name, Boss.name.alias("data")).join(Boss),
    "of a model without database": lambda: Box.select(*ADAPTED).tuples(),
}


@with_drivers
@pytest.mark.parametrize("bad", [0, 1, 6, 9, 10, 25])
@pytest.mark.parametrize("name", ONE_IS_BAD)
def test_all_rows_before_one_that_cannot_be_read_are_given(name: str, bad: int) -> None:
    rows: list[Any] = [("good", None)] * 300
    rows[bad] = ("bad", None)
    answered = Reply(rows, ("name", "data"), len(rows))
    portions = decoder(SQLITE, ONE_IS_BAD[name]()).portions(answered, 10)
    given: list[Any] = []
    with pytest.raises(ValueError, match="cannot be read") as caught:
        given.extend(chain.from_iterable(portions))
    assert caught.value.__context__ is None
    assert len(given) == bad


def test_a_field_may_change_between_two_portions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = fresh_model()
    answered = reply(*[ROW] * (PORTION + 1), columns=NAMES)
    portions = decoder(POSTGRES, model.select()).portions(answered)
    assert {row.name for row in next(portions)} == {"ada"}
    with_a_field_of_its_own(model, monkeypatch)
    assert [row.name for row in next(portions)] == ["ada!"]


@with_drivers
def test_the_fields_of_a_model_without_database_are_adapted() -> None:
    class Document(peewee.Model):
        data: Any = peewee.JSONField()

    def read(dialect: Any) -> Any:
        return decoder(dialect, Document.select(Document.data).tuples())

    answered = reply(*[("[1]",)] * (PORTION + 1), columns=("data",))
    for dialect, value in ((SQLITE, [1]), (MYSQL, [1])):
        for _ in range(3):
            assert read(dialect)(answered) == [(value,)] * (PORTION + 1)
        portions = list(read(dialect).portions(answered))
        assert portions == [[(value,)] * PORTION, [(value,)]]
    assert Document.data.python_value("[1]") == "[1]"
