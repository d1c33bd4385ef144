"""Generated text runs, shows up in tracebacks and is forgotten in time."""

import linecache
import traceback
from typing import Any

import pytest

from peewee_async.core import compiling
from peewee_async.core.caching import Cache
from peewee_async.core.compiling import function

TEXT = "def half(n):\n    return n / two\n"


@pytest.fixture(autouse=True)
def few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_codes", Cache(2, compiling._forget))


def lines(made: Any) -> list[str]:
    return linecache.getlines(made.__code__.co_filename)


def test_names_stand_for_what_they_are_given() -> None:
    assert function("half", TEXT, {"two": 2})(42) == 21
    assert function("half", TEXT, {"two": 4})(42) == 10.5


def test_equal_texts_are_compiled_once() -> None:
    one, other = (function("half", TEXT, {"two": n}) for n in (2, 4))
    assert one.__code__ is other.__code__


def test_the_names_that_were_given_stay_as_they_are() -> None:
    names = {"two": 2}
    function("half", TEXT, names)
    assert names == {"two": 2}


def test_a_traceback_shows_the_line() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        function("half", TEXT, {"two": 0})(1)
    assert "    return n / two" in "".join(traceback.format_exception(caught.value))


def test_the_lines_outlast_a_check_for_changed_files() -> None:
    made = function("half", TEXT, {"two": 2})
    linecache.checkcache()
    assert lines(made) == TEXT.splitlines(True)


def test_the_lines_go_when_the_text_is_forgotten() -> None:
    before = len(linecache.cache)
    made = [function("f", f"def f():\n    return {n}\n", {}) for n in range(5)]
    assert len(linecache.cache) <= before + 2
    assert lines(made[0]) == []
    assert lines(made[4]) == ["def f():\n", "    return 4\n"]
    assert [it() for it in made] == [0, 1, 2, 3, 4]
