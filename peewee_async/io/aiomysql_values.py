"""Values in statements of MySQL: data, whatever the charset and the mode."""

from __future__ import annotations

import re
from typing import Any

import aiomysql
from pymysql.charset import charset_by_name
from pymysql.converters import encoders
from pymysql.err import ProgrammingError

_SEQUENCES = (list, tuple, set, frozenset)
_UNQUOTED = frozenset((type(None), bool, float))
_BINARY = (bytes, bytearray, memoryview)


class Values(aiomysql.Connection):  # type: ignore[misc]
    """A connection that puts values into statements.

    aiomysql does not tell the server what charset a statement is in but in its
    greeting, which a server may ignore; escapes values before it encodes them, though
    in some charsets that makes a backslash of another character; and escapes values
    of types that it does not know by backslashes, though the server may take those
    as they are. With some versions of PyMySQL it cannot write binary values nor lists.
    """

    def __init__(self, *, sql_mode: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        if not re.fullmatch(r"[\w ,]*", sql_mode or "", re.ASCII):
            raise ValueError("sql_mode will not do: give names, with commas between.")
        mode = "@@sql_mode" if sql_mode is None else f"'{sql_mode}'"
        self._charset = charset_by_name(self.charset).name
        # The reply tells the modes, which values depend on.
        self.sql_mode = f"{mode}, NAMES {self._charset}"

    def escape(self, obj: Any) -> str:
        if isinstance(obj, str):
            # Not str(obj): a member of an Enum that is text would give its name.
            return self._escape_text(str.__str__(obj))
        if type(obj) is int:
            return str(obj)
        if type(obj) in _UNQUOTED:
            return str(encoders[type(obj)](obj))
        if isinstance(obj, _BINARY):
            return f"_binary X'{bytes(obj).hex()}'"
        if type(obj) in _SEQUENCES:
            return "(" + ",".join(map(self.escape, obj)) + ")"
        if type(obj) not in encoders:
            return self._escape_text(str(obj))
        return str(super().escape(obj))

    def _escape_text(self, text: str) -> str:
        if text.isascii():
            # Most text is the same in every mode, and found to be in no time.
            if text.isprintable() and "'" not in text and "\\" not in text:
                return f"'{text}'"
        elif self.encoding != "utf8":
            return f"_{self.charset} X'{text.encode(self.encoding).hex()}'"
        return "'" + str(self.escape_string(text)) + "'"

    def render(self, sql: str, params: tuple[Any, ...]) -> bytes:
        """Put the parameters into a statement, as PyMySQL does, and encode it.

        Text that the charset of the connection does not have is refused.
        """
        values = tuple(map(self.escape, params))
        try:
            text = sql % values
        except TypeError as error:
            raise ProgrammingError(*error.args) from error
        return text.encode(self.encoding)
