"""Runs plans and steps on a connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from threading import local
from typing import Any, TypeVar

from peewee_async.core.boundary import Fetch, Pause, Reply, Statement
from peewee_async.core.execution import (
    PORTION,
    Execution,
    Plan,
    Steps,
    Work,
    reading,
)
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


def run(work: Work[T], connection: Connection) -> Coroutine[Any, Any, T]:
    """Do the work on a connection that nobody else uses meanwhile.

    If the wait for a reply is interrupted, the connection is aborted: its server may
    still be at the statement, so the next reply on it would be a foreign one.
    """
    if isinstance(work, Plan):
        return _ask(connection, work.statement, work.read)
    return _run_steps(work, connection)


async def _run_steps(steps: Steps[T], connection: Connection) -> T:
    execution = Execution(steps)
    try:
        request = execution.start()
        while request is not None:
            try:
                if isinstance(request, Pause):
                    # Nothing is under way: interrupted here, the connection stays.
                    await asyncio.sleep(0)
                    reply = Reply()
                else:
                    reply = await _ask(connection, request, _whole)
            except Exception as error:
                request = execution.fail(error)
            else:
                request = execution.feed(reply)
    except BaseException:
        execution.abort()
        raise
    return execution.result


async def _ask(
    connection: Connection, request: Statement | Fetch, read: Callable[[Reply], T]
) -> T:
    _sent.count += 1
    if _sent.count >= PACE:
        _sent.count = 0
        await asyncio.sleep(0)
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug((request.sql, request.params))
    try:
        if isinstance(request, Statement):
            reply = await connection.execute(request)
        else:
            reply = await connection.fetch(request)
    except Exception:
        raise
    except BaseException:
        connection.abort()
        raise
    if len(reply.rows) > PORTION:
        return await _run_steps(reading(read, reply), connection)
    return read(reply)


def _whole(reply: Reply) -> Reply:
    return reply
