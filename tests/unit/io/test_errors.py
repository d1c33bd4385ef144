"""Driver errors come out as peewee's, with their cause; nothing else is changed."""

from __future__ import annotations

import asyncio
from typing import Any

import peewee
import pytest

from peewee_async.core.redaction import Redaction
from peewee_async.io.errors import (
    cannot_connect,
    driver_errors,
    missing_driver,
    translate,
)

PEP_249 = (
    "DatabaseError",
    "DataError",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
)


@pytest.mark.parametrize("name", PEP_249)
def test_an_error_of_pep_249_becomes_that_of_peewee(name: str) -> None:
    error: Exception = type(name, (Exception,), {})(1062, "text")
    translated = translate(error)
    assert type(translated) is getattr(peewee, name)
    assert translated.args == (1062, "text")
    assert getattr(translated, "orig", None) is error


def test_a_special_error_of_a_driver_becomes_what_it_is_a_kind_of() -> None:
    parent = type("IntegrityError", (Exception,), {})
    error = type("UniqueViolation", (parent,), {"pgcode": "23505"})("taken")
    translated = translate(error)
    assert type(translated) is peewee.IntegrityError
    assert getattr(translated, "orig", None) is error


def test_a_warning_of_a_driver_is_a_programming_error() -> None:
    error = type("Warning", (Exception,), {})("one statement at a time")
    assert type(translate(error)) is peewee.ProgrammingError


@pytest.mark.parametrize("error", [UserWarning("mind"), Warning("mind")])
def test_a_warning_of_python_comes_back_as_it_is(error: Exception) -> None:
    assert translate(error) is error


@pytest.mark.parametrize(
    "args",
    [
        ("too many SQL variables",),
        (1153, "Got a packet bigger than 'max_allowed_packet' bytes"),
    ],
)
def test_a_statement_that_is_too_large_comes_with_advice(args: Any) -> None:
    error: Exception = type("OperationalError", (Exception,), {})(*args)
    translated = translate(error)
    assert translated.args[:-1] == args[:-1]
    assert translated.args[-1].startswith(f"{args[-1]}: send fewer values at a time")
    assert "peewee.chunked" in str(translated)
    assert "batch_size" in str(translated)
    assert getattr(translated, "orig", None) is error


def test_an_error_without_a_word_comes_without_advice() -> None:
    error: Exception = type("OperationalError", (Exception,), {})()
    assert translate(error).args == ()


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("reset by peer"),
        TimeoutError("timed out"),
        asyncio.IncompleteReadError(b"", 4),
    ],
)
def test_a_broken_connection_is_an_operational_error(error: Exception) -> None:
    translated = translate(error)
    assert type(translated) is peewee.OperationalError
    assert "The connection to the database broke" in str(translated)
    assert repr(error) in str(translated)


@pytest.mark.parametrize(
    "error", [peewee.IntegrityError("taken"), UnicodeEncodeError("x", "y", 0, 1, "z")]
)
def test_other_errors_come_back_as_they_are(error: Exception) -> None:
    assert translate(error) is error
    with pytest.raises(type(error)) as caught, driver_errors:
        raise error
    assert caught.value is error
    assert caught.value.__cause__ is None


def test_the_block_chains_the_driver_error() -> None:
    error = ConnectionResetError("reset by peer")
    with pytest.raises(peewee.OperationalError) as caught, driver_errors:
        raise error
    assert caught.value.__cause__ is error


def test_a_cancellation_passes_the_block_untouched() -> None:
    error = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError) as caught, driver_errors:
        raise error
    assert caught.value is error


def test_one_block_serves_within_itself() -> None:
    with pytest.raises(peewee.OperationalError), driver_errors, driver_errors:
        raise EOFError
    with driver_errors:
        pass


@pytest.mark.parametrize(
    ("error", "reason"),
    [(OSError("no route\n"), "no route"), (EOFError(), "EOFError")],
)
def test_tells_why_there_is_no_connection(error: Exception, reason: str) -> None:
    made = cannot_connect("MySQL at db", error)
    assert type(made) is peewee.OperationalError
    assert str(made) == f"Cannot connect to MySQL at db: {reason}"
    assert made.__cause__ is error


def test_tells_what_to_install() -> None:
    assert str(missing_driver("aiopg", "postgresql")) == (
        "The driver aiopg is not installed: "
        "pip install 'peewee-async[postgresql]' brings it."
    )


def test_a_secret_is_not_repeated() -> None:
    told = ValueError("invalid percent-encoded token: s3%zz")
    told.__context__ = KeyError("s3%zz")
    redact = Redaction(["s3%zz"])
    made = cannot_connect("PostgreSQL", told, redact)
    assert str(made) == (
        "Cannot connect to PostgreSQL: invalid percent-encoded token: ***"
    )
    cause = made.__cause__
    assert repr(cause) == "ValueError('invalid percent-encoded token: ***')"
    assert cause is not None
    assert cause.__context__ is None
    other = ValueError("refused")
    assert cannot_connect("PostgreSQL", other, redact).__cause__ is other
