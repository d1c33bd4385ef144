"""One connection: opened, checked and closed, each within a limit of time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import peewee

from peewee_async.core.boundary import Statement, Status
from peewee_async.io.protocols import Connect, Connection

PING = Statement("SELECT 1")

# The seconds that a server has to answer a ping, and to take leave of a connection.
PING_LIMIT, GOODBYE_LIMIT = 5.0, 1.0

logger = logging.getLogger("peewee.async")


async def open_connection(
    connect: Connect, limit: float | None, learn: Callable[[Connection], None]
) -> Connection:
    """Open a connection within a number of seconds, and show it to `learn`."""
    try:
        async with asyncio.timeout(limit):
            connection = await connect()
    except TimeoutError as error:
        text = f"no answer within {limit:g} s (connect_timeout)"
        raise peewee.OperationalError(text) from error
    except asyncio.CancelledError as error:
        raise error.with_traceback(None)  # noqa: B904 - frames have the options in them
    try:
        learn(connection)
    except BaseException:
        connection.abort()
        raise
    return connection


async def answers(connection: Connection) -> bool:
    """Ask the server whether a connection works; one that does not is aborted."""
    try:
        async with asyncio.timeout(PING_LIMIT):
            await connection.execute(PING)
        return connection.status is Status.IDLE
    except Exception as error:
        logger.info("A connection that was idle does not work any more: %r", error)
        connection.abort()
        return False
    except BaseException:
        connection.abort()
        raise


async def say_goodbye(connection: Connection) -> None:
    """Close a connection politely, or at once if the server is not so polite."""
    try:
        async with asyncio.timeout(GOODBYE_LIMIT):
            await connection.close()
    except Exception:
        connection.abort()
    except BaseException:
        connection.abort()
        raise
