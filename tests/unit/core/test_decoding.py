"""Rows become what peewee makes of them: its own result is the measure."""

from collections.abc import Iterator
from typing import Any

import peewee
import pytest

from peewee_async.core.boundary import Reply, Statement
from peewee_async.core.decoding import ReplyCursor, decoder
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
from tests.unit.models import Post, User


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
    ours = decoder(DIALECT, query)(reply_to(query))
    assert plain(ours) == plain(list(query.clone().execute(DATABASE)))


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
