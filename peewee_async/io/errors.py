"""Driver errors in peewee's words."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import peewee

from peewee_async.core.redaction import Redaction

_PEP_249: dict[str, type[peewee.PeeweeException]] = {
    "DataError": peewee.DataError,
    "DatabaseError": peewee.DatabaseError,
    "Error": peewee.DatabaseError,
    "IntegrityError": peewee.IntegrityError,
    "InterfaceError": peewee.InterfaceError,
    "InternalError": peewee.InternalError,
    "NotSupportedError": peewee.NotSupportedError,
    "OperationalError": peewee.OperationalError,
    "ProgrammingError": peewee.ProgrammingError,
    # What sqlite3 of Python 3.11 makes of several statements in one.
    "Warning": peewee.ProgrammingError,
}

NOTHING_SECRET = Redaction()

# What servers say of a statement with too many parameters, or too many bytes.
_TOO_LARGE = ("too many SQL variables", "max_allowed_packet")
_SMALLER = (
    "send fewer values at a time, for example by peewee.chunked(rows, 1000), or "
    "batch_size=1000 of aio_bulk_create"
)


def translate(error: Exception) -> Exception:
    """Give the error of peewee that an error of a driver stands for.

    The classes of PEP 249 become peewee's of the same name. A broken connection is an
    OperationalError. Anything else is no database error and comes back as it is, as
    it does from peewee: a value that the driver cannot encode, for example.
    """
    if isinstance(error, peewee.PeeweeException):
        return error
    for kind in type(error).__mro__:
        if kind.__name__ in _PEP_249 and kind.__module__ != "builtins":
            return _PEP_249[kind.__name__](error, *_with_advice(error.args))
    if isinstance(error, OSError | EOFError):
        text = f"The connection to the database broke: {error!r}"
        return peewee.OperationalError(error, text)
    return error


def _with_advice(args: tuple[Any, ...]) -> tuple[Any, ...]:
    text = str(args[-1]) if args else ""
    if any(words in text for words in _TOO_LARGE):
        return (*args[:-1], f"{text}: {_SMALLER}")
    return args


class DriverErrors:
    """A `with` block whose driver errors leave it translated, with their cause."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not isinstance(error, Exception):
            return
        translated = translate(error)
        if translated is not error:
            raise translated from error


driver_errors = DriverErrors()


def cannot_connect(
    target: str, error: Exception, redact: Redaction = NOTHING_SECRET
) -> peewee.PeeweeException:
    """Make the error that tells a user why there is no connection.

    redact: hides what the driver may repeat and nobody else shall read.
    """
    reason = redact(str(error).strip()) or type(error).__name__
    made = peewee.OperationalError(f"Cannot connect to {target}: {reason}")
    made.__cause__ = redact.clean(error.__cause__ or error)  # what the driver said
    return made


def missing_driver(driver: str, extra: str) -> peewee.ImproperlyConfigured:
    """Make the error that tells a user which driver to install, and how."""
    return peewee.ImproperlyConfigured(
        f"The driver {driver} is not installed: "
        f"pip install 'peewee-async[{extra}]' brings it."
    )
