"""What is hidden in the texts of drivers and servers, and what is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from peewee_async.core.redaction import (
    HIDDEN,
    Redaction,
    is_connection_string,
    redaction_of,
)

SECRET = "s3cret-passw0rd"


@pytest.mark.parametrize(
    ("password", "text", "wanted"),
    [
        (SECRET, f"token: {SECRET}", "token: ***"),
        (SECRET, f"x{SECRET}x", "x***x"),
        ("p@ss", "at p%40ss and p@ss", "at *** and ***"),
        ("p%40ss", "user p@ss", "user ***"),
        ("a'\\b", repr("say a'\\b"), '"say ***"'),
        ("ab", "ab cab abc ab", "*** cab abc ***"),
        ("%x", "a%x", "a***"),
        ("x%", "x%a", "***a"),
        ("\udc80", "\udc80", "***"),
        ("", "nothing", "nothing"),
    ],
)
def test_a_secret_is_hidden(password: str, text: str, wanted: str) -> None:
    assert Redaction([password])(text) == wanted


def test_the_repr_has_no_secret() -> None:
    assert SECRET not in repr(Redaction([SECRET]))


@pytest.mark.parametrize(
    ("string", "text", "wanted"),
    [
        ("test", 'no database "test"', 'no database "test"'),
        ("postgresql://ada@host/test", "ada at host", "ada at host"),
        ("postgresql://ada:ada@host/test", 'user "ada"', 'user "ada"'),
        ("postgres://ada:p@ss@host/t", 'no host "ss@host"', 'no host "***@host"'),
        ("postgres://ada:pa/ss@host/t", 'a port "pa"', 'a port "***"'),
        ("postgresql://ada:s3%zz@host/test", 'token: "s3%zz"', 'token: "***"'),
        (
            f"postgresql://ada:{SECRET}@host/test",
            'database "postgresql://ada:s3cret" is not',
            'database "***',
        ),
        (
            f"host=h password={SECRET} dbname=test",
            'database "host=h password=s3" at h',
            'database "***',
        ),
        (
            "password = s3 cret dbname=test",
            'missing "=" after "cret"',
            'missing "=" after "***"',
        ),
        ("password='s3 cret'", "s3 cret", "***"),
        (f"postgresql://h/d?password={SECRET}&x=1", f"{SECRET}&", "***&"),
        ("host=h user=test password=test", 'user "test"', 'user "test"'),
    ],
)
def test_a_connection_string(string: str, text: str, wanted: str) -> None:
    assert redaction_of(string, {})(text) == wanted
    assert redaction_of("unit", {"dsn": string})(text) == wanted
    assert is_connection_string(string) is (string != "test")


def test_options_that_are_secret() -> None:
    options = {
        "password": "one1",
        "passwd": b"two2",
        "sslpassword": "three3",
        "ssl": {"password": "four4", "ca": "five5"},
        "passfile": "six6",
        "user": "seven7",
        "port": 8888,
        "secret": None,
    }
    redact = redaction_of("nine9", options, ["ten10"])
    words = "one1 two2 three3 four4 five5 six6 seven7 8888 nine9 ten10"
    assert redact(words) == "*** *** *** *** five5 six6 seven7 8888 nine9 ***"


def test_a_password_that_is_no_secret() -> None:
    options = {"user": "tester", "password": "tester"}
    assert redaction_of("tests", options)("tester tests") == "tester tests"


@settings(deadline=None)
@given(st.text(min_size=8), st.text(), st.text())
def test_no_long_secret_is_left(secret: str, before: str, after: str) -> None:
    assume(secret not in before + HIDDEN + after)
    assert secret not in Redaction([secret])(f"{before}{secret}{after}")


def test_an_error_that_says_nothing_is_kept() -> None:
    error = ValueError("refused")
    error.__cause__ = error.__context__ = KeyError("why")
    assert Redaction([SECRET]).clean(error) is error


def caught_of(connect: Callable[[str], None]) -> BaseException:
    with pytest.raises(ValueError, match="refused") as caught:
        connect(SECRET)
    return caught.value


def refuse(password: str) -> None:
    try:
        raise KeyError("why")
    except KeyError as error:
        raise ValueError("refused") from error


def test_the_frames_of_errors_that_may_hold_a_secret() -> None:
    error = caught_of(refuse)
    assert Redaction([SECRET]).clean(error) is error
    assert error.__cause__ is not None
    assert error.__traceback__ is error.__cause__.__traceback__ is None


def test_the_frames_of_errors_where_nothing_is_secret() -> None:
    error = caught_of(refuse)
    assert Redaction().clean(error) is error
    assert error.__traceback__ is not None


@pytest.mark.parametrize("link", ["__cause__", "__context__"])
def test_an_error_with_a_cause_that_tells(link: str) -> None:
    error = ValueError("refused", 7)
    setattr(error, link, KeyError(SECRET))
    cleaned = Redaction([SECRET]).clean(error)
    assert repr(cleaned) == "ValueError('refused', 7)"
    assert (cleaned.__cause__, cleaned.__context__) == (None, None)


def test_an_error_whose_causes_go_in_circles() -> None:
    one, two = ValueError("one"), KeyError("two")
    one.__context__, two.__context__ = two, one
    assert Redaction([SECRET]).clean(one) is one


def test_an_error_with_a_note_that_tells() -> None:
    error = ValueError("refused")
    error.add_note(f"with {SECRET}")
    cleaned = Redaction([SECRET]).clean(error)
    assert cleaned is not error
    assert not hasattr(cleaned, "__notes__")


def test_arguments_that_tell() -> None:
    error = ValueError(SECRET, SECRET.encode(), OSError(2, SECRET), 3)
    cleaned = Redaction([SECRET]).clean(error)
    assert cleaned.args == (HIDDEN, "b'***'", "[Errno 2] ***", 3)


def test_a_value_that_could_not_be_encoded() -> None:
    with pytest.raises(UnicodeEncodeError) as caught:
        f"{SECRET}\udc80".encode()
    cleaned = Redaction([f"{SECRET}\udc80"]).clean(caught.value)
    assert isinstance(cleaned, UnicodeEncodeError)
    assert SECRET not in repr(cleaned) + str(cleaned)


class Odd(Exception):
    def __init__(self, *, text: str) -> None:
        super().__init__(text)


def test_an_error_that_cannot_be_made_again() -> None:
    cleaned = Redaction([SECRET]).clean(Odd(text=f"with {SECRET}"))
    assert repr(cleaned) == "RuntimeError('Odd: with ***')"
