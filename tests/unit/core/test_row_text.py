"""The text of a function says what it relies on, and converts as little as it may."""

from __future__ import annotations

from typing import Any

import peewee
import pytest

from peewee_async.core.compiling import function
from peewee_async.core.row_columns import Column, Source
from peewee_async.core.row_text import RowText, indented


class Shouted(peewee.CharField):
    def python_value(self, value: Any) -> Any:
        return value and value.upper()


class Word(peewee.Model):
    text: Any = peewee.CharField()
    loud: Any = Shouted()
    raw: Any = peewee.BlobField()
    next: Any = peewee.ForeignKeyField("self")


def field(found: Any, by_name: str | None = None) -> Column:
    return Column(Source.FIELD, Word, found, found.python_value, by_name=by_name)


def argument(found: Any) -> Column:
    def convert(value: Any) -> Any:
        return "argument", found.python_value(value)

    return Column(Source.ARGUMENT, Word, found, convert)


def text(*columns: Column) -> RowText:
    return RowText(columns, len(columns))


def read(made: RowText, source: str, *rows: Any, extras: Any = ()) -> Any:
    items: list[Any] = []
    is_as_it_was = function("read", source, made.names)(rows, extras, items)
    return items if is_as_it_was else None


def tuples(column: Column, *values: Any, extras: Any = ()) -> Any:
    made = text(column)
    rows = [(value,) for value in values]
    return read(made, made.each(made.value(0)), *rows, extras=extras)


def test_the_text_of_a_function() -> None:
    made = text(field(Word.text), field(Word.raw), Column(Source.AS_IS, Word))
    assert made.each(made.row()) == (
        "def read(rows, extras, made):\n"
        "    if 'python_value' in d0 or 'adapt' in d0 "
        "or 'python_value' in d3 or 'adapt' in d3:\n"
        "        return False\n"
        "    append = made.append\n"
        "    for c0, c1, c2,  in rows:\n"
        "        append(((c0 if c0.__class__ is t2 or c0 is None "
        "else f1.python_value(c0)), c1, c2, ))\n"
        "    return True\n"
    )


def test_a_value_of_the_known_type_is_not_touched() -> None:
    word = "".join(["a", "b"])
    (same,) = tuples(field(Word.text), word)
    assert same is word


def test_values_of_a_type_that_the_driver_vouches_for_are_not_looked_at() -> None:
    vouched = field(Word.text)._replace(made=str)
    assert text(vouched).value(0) == "c0"
    assert tuples(vouched, "a", None) == ["a", None]
    other = field(Word.text)._replace(made=bytes)
    assert tuples(other, b"a", None) == ["a", None]
    for own in (field(Word.loud), argument(Word.loud)):
        assert "(c0)" in text(own._replace(made=str)).value(0)


def test_without_a_type_of_its_own_a_field_converts_whatever_is_vouched_for() -> None:
    class Plain(peewee.Model):
        stamp: Any = peewee.TimestampField()

    vouched = field(Plain.stamp)._replace(made=int)
    assert "(c0)" in text(vouched).value(0)


def test_a_method_that_a_field_gets_counts_where_types_are_vouched_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = text(field(Word.text)._replace(made=str))
    source = made.each(made.value(0))
    assert read(made, source, ("a",)) == ["a"]
    monkeypatch.setattr(Word.text, "python_value", str.upper)
    assert read(made, source, ("a",)) is None


def test_other_values_are_converted_by_the_field() -> None:
    assert tuples(field(Word.text), 7, b"x", None) == ["7", "x", None]
    assert tuples(field(Word.next), "7", 7, None) == [7, 7, None]


def test_a_field_of_the_program_converts_all_values() -> None:
    assert tuples(field(Word.loud), "a", None) == ["A", None]


def test_what_a_function_gives_is_converted_by_its_argument() -> None:
    assert tuples(argument(Word.text), "a", 7, None) == ["a", ("argument", "7"), None]
    assert tuples(argument(Word.loud), "a") == [("argument", "A")]


def test_what_the_query_brings_along_is_called() -> None:
    extra = Column(Source.EXTRA, Word, converter=repr)
    assert tuples(extra, 1, "a", extras=(repr,)) == ["1", "'a'"]


def test_without_columns_all_values_stay() -> None:
    made = RowText((), 2)
    assert read(made, made.each(made.row()), (1, "a")) == [(1, "a")]


def test_a_loop_makes_an_item_of_each_row() -> None:
    made = text(field(Word.text), Column(Source.AS_IS, Word))
    source = made.loop(["both = [c0, c1]", "both.reverse()"], "both")
    assert read(made, source, ("a", 1), ("b", 2)) == [[1, "a"], [2, "b"]]


def test_what_has_to_be_false_makes_it_give_up() -> None:
    made = RowText((), 1)
    made.names["here"] = here = [1]
    made.refuses("here")
    source = made.whole("rows")
    assert read(made, source, (1,)) is None
    here.clear()
    assert read(made, source, (1,)) == [(1,)]


def test_the_whole_may_be_one_expression() -> None:
    made = RowText((), 0)
    assert read(made, made.whole("reversed(rows)"), (1,), (2,)) == [(2,), (1,)]


def test_what_was_made_before_an_error_is_there() -> None:
    made = RowText((), 1)
    items: list[Any] = []
    read_into = function("read", made.each("1 // c0"), made.names)
    with pytest.raises(ZeroDivisionError):
        read_into([(1,), (-1,), (0,), (1,)], (), items)
    assert items == [1, -1]


@pytest.mark.parametrize("method", ["python_value", "adapt"])
@pytest.mark.parametrize("changed", [Word.text, Word.raw, Word.id])  # type: ignore[attr-defined]
def test_a_method_that_a_field_gets_makes_it_give_up(
    changed: Any, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = text(*(field(it) for it in (Word.text, Word.raw, Word.next)))
    source = made.each(made.row())
    assert read(made, source, ("a", b"b", 3)) == [("a", b"b", 3)]
    monkeypatch.setattr(changed, method, str)
    assert read(made, source, ("a", b"b", 3)) is None


def test_a_method_that_the_argument_of_a_function_gets_makes_it_give_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = text(argument(Word.loud))
    source = made.each(made.value(0))
    assert read(made, source, ("a",)) == [("argument", "A")]
    monkeypatch.setattr(Word.loud, "python_value", str)
    assert read(made, source, ("a",)) is None


def test_a_method_of_the_programs_field_is_looked_up_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = text(field(Word.loud))
    source = made.each(made.value(0))
    monkeypatch.setattr(Word.loud, "python_value", repr)
    assert read(made, source, ("a",)) == ["'a'"]


def test_a_name_that_comes_to_mean_another_field_makes_it_give_up() -> None:
    class Lexicon(peewee.Model):
        text: Any = peewee.CharField()

    column = Column(Source.FIELD, Lexicon, Lexicon.text, by_name="text")
    made = RowText([column], 1)
    source = made.each(made.value(0))
    assert read(made, source, ("a",)) == ["a"]
    Lexicon._meta.add_field("text", peewee.IntegerField())
    assert read(made, source, ("a",)) is None


def test_it_can_rely_on_more() -> None:
    made = RowText((), 1)
    made.requires(f"{made.name('m', Word)}.__doc__", Word.__doc__)
    assert read(made, made.each("c0"), (1,)) == [1]
    made.names["m0"] = int
    assert read(made, made.each("c0"), (1,)) is None


def test_a_thing_has_one_name() -> None:
    made = RowText((), 0)
    names = [made.name("m", it) for it in (Word, int, Word)]
    assert names == ["m0", "m1", "m0"]
    assert made.names == {"m0": Word, "m1": int}


def test_values_that_may_be_models_are_told_from_the_rest() -> None:
    made = text(
        field(Word.text),
        field(Word.loud),
        field(Word.next),
        argument(Word.text),
        Column(Source.EXTRA, Word),
        Column(Source.AS_IS, Word),
    )
    found = [made.is_no_model(index) for index in range(6)]
    assert found == [True, False, True, False, False, True]


def test_lines_are_indented() -> None:
    assert indented(["a", "b"]) == ["    a", "    b"]
