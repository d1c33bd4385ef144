"""The database classes for PostgreSQL with the extensions of `playhouse.postgres_ext`.

They live in `peewee_async` as well; this module keeps programs running that import
them from here.
"""

from peewee_async.databases import PooledPostgresqlExtDatabase, PostgresqlExtDatabase

__all__ = ["PooledPostgresqlExtDatabase", "PostgresqlExtDatabase"]
