"""Cursors of PostgreSQL by its own statements: psycopg2 has none for asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from peewee_async.core.boundary import Fetch, Reply, Statement


class Cursors:
    """The cursors of one connection. One outside of a transaction has to be closed.

    See https://www.postgresql.org/docs/current/sql-declare.html.
    """

    def __init__(self, send: Callable[[Statement], Awaitable[Reply]]) -> None:
        self._send = send
        self._held: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether there are cursors that no end of a transaction will close."""
        return bool(self._held)

    async def open(self, statement: Statement, hold: bool) -> Reply:
        """Send a statement and keep its rows; the first ones.

        hold: keep them outside of a transaction, which the server makes a copy for.
        """
        sql, params, limit, name = statement
        kind = "NO SCROLL CURSOR WITH HOLD" if hold else "NO SCROLL CURSOR"
        await self._send(Statement(f"DECLARE {name} {kind} FOR {sql}", params))
        if hold:
            self._held.add(str(name))
        return await self.fetch(Fetch(str(name), limit or 0), hold)

    async def fetch(self, fetch: Fetch, is_outside: bool) -> Reply:
        """Give the next rows; with a limit of 0, forget all that are left.

        is_outside: the connection is in no transaction, so that the cursors of the
        last one are closed.
        """
        if is_outside and not fetch.limit and fetch.cursor not in self._held:
            return Reply()
        reply = await self._send(Statement(fetch.sql))
        if not fetch.limit:
            self._held.discard(fetch.cursor)
        return reply
