"""Runs plans and steps on a connection."""

from __future__ import annotations

import asyncio
import logging
from threading import local
from typing import TypeVar

from peewee_async.core.boundary import Fetch, Reply, Request
from peewee_async.core.execution import Execution, Plan, Work
from peewee_async.io.protocols import Connection

T = TypeVar("T")

logger = logging.getLogger("peewee.async")

# The number of statements after which other tasks get a turn. An answer that is there
# at once is read without waiting, and a loop of such statements would never end.
PACE = 50


class Sent(local):
    """The statements that the event loop of this thread has sent since that turn."""

    count = 0


_sent = Sent()


async def run(work: Work[T], connection: Connection) -> T:
    """Do the work on a connection that nobody else uses meanwhile.

    If the wait for a reply is interrupted, the connection is aborted: its server may
    still be at the statement, so the next reply on it would be a foreign one.
    """
    if isinstance(work, Plan):
        return work.read(await _execute(connection, work.statement))
    execution = Execution(work)
    try:
        statement = execution.start()
        while statement is not None:
            try:
                reply = await _execute(connection, statement)
            except Exception as error:
                statement = execution.fail(error)
            else:
                statement = execution.feed(reply)
    finally:
        execution.abort()
    return execution.result


async def _execute(connection: Connection, request: Request) -> Reply:
    _sent.count += 1
    if _sent.count >= PACE:
        _sent.count = 0
        await asyncio.sleep(0)
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug((request.sql, request.params))
    try:
        if isinstance(request, Fetch):
            return await connection.fetch(request)
        return await connection.execute(request)
    except Exception:
        raise
    except BaseException:
        connection.abort()
        raise
