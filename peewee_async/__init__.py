"""Asynchronous interface to the peewee ORM."""

from peewee_async import many_to_many  # noqa: F401 - it mends peewee's fields
from peewee_async.database import AioDatabase
from peewee_async.databases import (
    MySQLDatabase,
    PooledMySQLDatabase,
    PooledPostgresqlDatabase,
    PooledPostgresqlExtDatabase,
    PooledSqliteDatabase,
    PostgresqlDatabase,
    PostgresqlExtDatabase,
    SqliteDatabase,
)
from peewee_async.functions import (
    aio_prefetch,
    atomic,
    count,
    delete,
    execute,
    insert,
    prefetch,
    raw_query,
    savepoint,
    scalar,
    select,
    transaction,
    update,
)
from peewee_async.guard import SyncNotAllowed
from peewee_async.manager import Manager, NoDatabase
from peewee_async.model import AioModel
from peewee_async.preparing import prepared, slot

__version__ = "2.0.0a1"

__all__ = [
    "AioDatabase",
    "AioModel",
    "Manager",
    "MySQLDatabase",
    "NoDatabase",
    "PooledMySQLDatabase",
    "PooledPostgresqlDatabase",
    "PooledPostgresqlExtDatabase",
    "PooledSqliteDatabase",
    "PostgresqlDatabase",
    "PostgresqlExtDatabase",
    "SqliteDatabase",
    "SyncNotAllowed",
    "aio_prefetch",
    "atomic",
    "count",
    "delete",
    "execute",
    "insert",
    "prefetch",
    "prepared",
    "raw_query",
    "savepoint",
    "scalar",
    "select",
    "slot",
    "transaction",
    "update",
]
