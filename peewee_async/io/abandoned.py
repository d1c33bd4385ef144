"""The sessions whose client has gone while their server was at a statement.

A server that is waiting for a lock, or computing, does not notice that nobody waits
for its answer, and keeps what it has locked. So it is told, on another connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from peewee_async.core.boundary import Statement
from peewee_async.io.connecting import say_goodbye
from peewee_async.io.protocols import Connection

# The seconds that it may take to end the sessions that were abandoned.
END_LIMIT = 5.0

EndSession = Callable[[int, int, float], Statement | None]

logger = logging.getLogger("peewee.async")


class Abandoned:
    """Sessions of one server that are to be ended.

    connect: opens a connection to the server.
    end: gives the statement that ends a session: see `Dialect.end_session`.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], end: EndSession
    ) -> None:
        self._connect = connect
        self._end = end
        self._left: dict[int, float] = {}

    def __bool__(self) -> bool:
        return bool(self._left)

    def add(self, connection: Connection, now: float) -> None:
        """Take note of a connection that was aborted; the rest is up to `end`."""
        if connection.abandoned and connection.session is not None:
            connection.abandoned = False
            self._left[connection.session] = now

    async def end(self) -> None:
        """End what is to be ended, on one connection; an error is only logged.

        If this is interrupted, what is left can be ended by calling it again.
        """
        try:
            async with asyncio.timeout(END_LIMIT):
                while self._left:  # more may come while a connection is closed
                    await self._end_on(await self._connect())
        except Exception as error:
            logger.warning(
                "%d sessions could not be ended whose statement was interrupted; the "
                "server may go on with it: %s",
                len(self._left),
                str(error) or type(error).__name__,
            )
            self._left.clear()

    async def _end_on(self, connection: Connection) -> None:
        clock = asyncio.get_running_loop()
        try:
            while self._left:
                session, since = next(iter(self._left.items()))
                own = connection.session or 0
                await self._send(
                    connection, self._end(session, own, clock.time() - since)
                )
                # Another one of that number may have been abandoned meanwhile.
                if self._left.get(session) == since:
                    del self._left[session]
        except BaseException:
            connection.abort()
            raise
        await say_goodbye(connection)

    async def _send(self, connection: Connection, statement: Statement | None) -> None:
        if statement is None:
            return
        logger.debug((statement.sql, statement.params))
        try:
            await connection.execute(statement)
        except Exception as error:
            if connection.closed:
                raise
            # The usual one: the session has ended by itself.
            logger.debug("A session could not be ended: %s", error)
