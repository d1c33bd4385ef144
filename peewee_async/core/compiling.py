"""Generated source becomes a function that a debugger can step through.

The only module that executes text. Equal texts are compiled once: what differs between
two functions is what the names in the text stand for.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from itertools import count
from types import CodeType
from typing import Any

from peewee_async.core.caching import Cache

# Programs have far fewer shapes of rows; one that makes them up as it goes compiles
# again and again, but does not grow.
LIMIT = 512

_numbers = count(1)


def _forget(code: CodeType) -> None:
    linecache.cache.pop(code.co_filename, None)


_codes: Cache[CodeType] = Cache(LIMIT, _forget)


def function(name: str, text: str, names: dict[str, Any]) -> Callable[..., Any]:
    r"""Make the function that a text defines.

    name: of the function. names: what the other names in the text stand for.

    >>> twice = function("twice", "def twice(n):\n    return n * two\n", {"two": 2})
    >>> twice(21)
    42
    """
    code = _codes.get(text) or _compiled(name, text)
    namespace = dict(names)
    exec(code, namespace)
    made: Callable[..., Any] = namespace.pop(name)
    return made


def _compiled(name: str, text: str) -> CodeType:
    filename = f"<peewee_async {name} {next(_numbers)}>"
    code = compile(text, filename, "exec")
    # Without a time of change, linecache takes an entry for what it is.
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    _codes.put(text, code)
    return code
