"""Passwords, and the texts of drivers and servers that may repeat them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

HIDDEN = "***"

# The names of options that hold a secret; a `passfile` only names a file.
_SECRET = re.compile(r"pass(?!file)|secret")

# What is between the user's name and the host of a URL, or given to an option up to
# the next one: as it was meant, though it may not have been quoted as it should be.
_PASSWORD = re.compile(
    r"://[^/@]*?:(?P<url>.+)@"
    r"|password\s*=\s*(?P<option>.*?)(?=&|\s+\w+\s*=|$)",
    re.DOTALL,
)
_DELIMITERS = re.compile(r"[\s@:/?#&=,'\"\\\[\]]+")

# Shorter secrets are hidden where they stand alone, lest they are found everywhere.
_LONG = 8


class Redaction:
    """A function that hides in a text what nobody else shall read.

    secrets: hidden as they are, percent-encoded, and as Python writes them in a repr.
    strings: connection strings. A driver that reads one otherwise than it was meant
        repeats parts of its password, and a server cuts it off somewhere.
    public: words that are not hidden, even if a password is made of them.
    """

    __slots__ = ("_hides", "_pattern")

    def __init__(
        self,
        secrets: Iterable[str] = (),
        strings: Iterable[str] = (),
        public: Iterable[str] = (),
    ) -> None:
        hidden, shown, beginnings = set(secrets), set(public), []
        for string in strings:
            for found in _PASSWORD.finditer(string):
                password = found["url"] or found["option"].strip("'")
                hidden.update((password, *_DELIMITERS.split(password)))
                beginnings.append(
                    re.escape(string[: found.start(found.lastgroup or 0)])
                )
            shown.update(_DELIMITERS.split(_PASSWORD.sub(_user, string)))
        forms = {form for word in hidden - shown for form in _forms(word)} - shown
        words = map(_word, sorted(forms, key=len, reverse=True))
        patterns = [rf"{beginning}.*" for beginning in beginnings] + [*words]
        self._pattern = re.compile("|".join(patterns) or "(?!)")
        self._hides = bool(patterns)

    def __call__(self, text: str) -> str:
        return self._pattern.sub(HIDDEN, text)

    def clean(self, error: BaseException) -> BaseException:
        """Give the error, or one of its class that repeats no secret and has no cause.

        One that cannot be made again becomes a RuntimeError. Tracebacks are dropped if
        there are secrets: their frames have the driver's options in them.
        """
        errors = [*_chain(error, set())]
        for each in errors if self._hides else ():
            each.__traceback__ = None
        if not any(map(self._shows, errors)):
            return error
        try:
            return type(error)(*map(self._cleaned, error.args))
        except Exception:
            return RuntimeError(self(f"{type(error).__name__}: {error}"))

    def _shows(self, error: BaseException) -> bool:
        notes = getattr(error, "__notes__", ())
        texts = (str(error), repr(error), *map(str, notes))
        return any(self._pattern.search(text) for text in texts)

    def _cleaned(self, argument: Any) -> Any:
        if isinstance(argument, str):
            return self(argument)
        return self(str(argument)) if self._pattern.search(repr(argument)) else argument


def redaction_of(
    name: str, options: Mapping[str, Any], more: Iterable[str] = ()
) -> Redaction:
    """Make what hides the passwords of a database.

    name: of the database, perhaps a connection string. options: of its driver.
    more: secrets from elsewhere.
    """
    texts = [text for text in (name, options.get("dsn")) if isinstance(text, str)]
    strings = [text for text in texts if is_connection_string(text)]
    public = {
        value
        for option, value in {"": name, **options}.items()
        if isinstance(value, str) and not _SECRET.search(option)
    }
    secrets = {*_secrets_of(options), *more}
    return Redaction(secrets, strings, public.difference(strings))


def is_connection_string(name: str) -> bool:
    """Tell whether the name of a database is a URL or a list of options of libpq."""
    return "://" in name or "=" in name


def _secrets_of(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _secrets_of(value)
        elif _SECRET.search(name) and isinstance(value, bytes):
            yield value.decode(errors="backslashreplace")
        elif _SECRET.search(name) and isinstance(value, str):
            yield value


def _user(found: re.Match[str]) -> str:
    return found[0].replace(found["url"] or found["option"], "", 1)


def _forms(secret: str) -> set[str]:
    forms = {secret, unquote(secret), repr(secret)[1:-1]}
    return {form for each in forms for form in (each, _quoted(each))} - {""}


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _word(form: str) -> str:
    if len(form) >= _LONG:
        return re.escape(form)
    before = r"(?<!\w)" if re.match(r"\w", form) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", form) else ""
    return before + re.escape(form) + after


def _chain(error: BaseException | None, met: set[int]) -> Iterator[BaseException]:
    if error is None or id(error) in met:
        return
    met.add(id(error))
    yield error
    yield from _chain(error.__cause__, met)
    yield from _chain(error.__context__, met)
