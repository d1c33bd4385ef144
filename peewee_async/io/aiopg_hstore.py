"""HStore values of PostgreSQL as dicts, by whichever extension is there by now."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from psycopg2 import extensions, extras

from peewee_async.io.aiopg_driver import Driver

# Types with lower numbers come with the server: none of them is an extension's.
FIRST_OWN_TYPE = 16384

Row = tuple[Any, ...]

_type = attrgetter("type_code")


class HStore:
    """What a connection knows of the HStore types of its database.

    psycopg2 makes dicts of the types that are registered when a reply comes. An
    extension that is younger than the connection has others: they are asked for when
    the first value of theirs turns up, and its reply is put right.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._others: set[int] = set()  # own types of the database that are no HStore

    def concerns(self, cursor: Any) -> bool:
        """Whether there are columns of types that do not come with the server."""
        return max(map(_type, cursor.description), default=0) >= FIRST_OWN_TYPE

    async def cast(self, rows: list[Row], cursor: Any) -> list[Row]:
        """Give the rows of a cursor with dicts for HStore values of new types."""
        types = [column.type_code for column in cursor.description] if rows else []
        known = self._driver.raw.string_types
        new = {each for each in types if each >= FIRST_OWN_TYPE and each not in known}
        # What a program has registered for all connections has been cast already.
        new -= self._others | extensions.string_types.keys()
        if not new:
            return rows
        await self._learn(sorted(new))
        casts = [known.get(each, _same) if each in new else _same for each in types]
        return [
            tuple(cast(value, cursor) for value, cast in zip(row, casts, strict=True))
            for row in rows
        ]

    async def _learn(self, types: list[int]) -> None:
        names = await self._names(types)
        plain, arrays = _called("hstore", names), _called("hstore[]", names)
        if plain or arrays:
            extras.register_hstore(self._driver.raw, oid=plain, array_oid=arrays)
        self._others.update(set(types).difference(plain, arrays))

    async def _names(self, types: list[int]) -> list[tuple[int, str]]:
        # Unlike pg_type, format_type tells of what the snapshot is too old for.
        sql = (
            "SELECT oid, pg_catalog.format_type(oid, NULL) "
            "FROM pg_catalog.unnest(%s::oid[]) AS oid"
        )
        async with self._driver.cursor() as cursor:
            await cursor.execute(sql, (types,))
            names: list[tuple[int, str]] = cursor.raw.fetchall()
            return names


async def hstore_of(driver: Driver) -> HStore | None:
    """Register what is there when a connection has just been opened.

    None if the connection is to leave HStore alone. If this fails or is interrupted,
    the connection is closed.
    """
    if not driver._enable_hstore:
        return None
    try:
        types, arrays = await driver._get_oids()
    except BaseException:
        driver.abort()
        raise
    if types:
        extras.register_hstore(driver.raw, oid=types, array_oid=arrays)
    elif (dict, extensions.ISQLQuote) not in extensions.adapters:
        # The extension may be there by the time that a dict is written.
        extensions.register_adapter(dict, extras.HstoreAdapter)
    return HStore(driver)


def _same(value: Any, cursor: Any) -> Any:
    return value


def _called(wanted: str, names: list[tuple[int, str]]) -> tuple[int, ...]:
    return tuple(oid for oid, name in names if f".{name}".endswith(f".{wanted}"))
