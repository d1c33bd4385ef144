"""The rows of a reply of PostgreSQL, read so that other tasks need not wait for it."""

from __future__ import annotations

import asyncio
from typing import Any

from peewee_async.io.aiopg_hstore import HStore, Row

# The number of rows to read in one turn of the event loop: some milliseconds' worth.
PORTION = 1000


async def rows_of(cursor: Any, limit: int | None, hstore: HStore | None) -> list[Row]:
    """Give the rows of a cursor of psycopg2, `limit` of them or all.

    hstore: what makes dicts of values of its type.
    """
    if hstore is not None and not hstore.concerns(cursor):
        hstore = None
    count = cursor.rowcount if limit is None else min(limit, cursor.rowcount)
    rows: list[Row] = []
    for start in range(0, count, PORTION):
        if start:
            await asyncio.sleep(0)
        more = cursor.fetchmany(min(count - start, PORTION))
        rows += more if hstore is None else await hstore.cast(more, cursor)
    return rows
