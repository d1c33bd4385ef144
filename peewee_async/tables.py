"""The methods of an async database for tables and for its catalogue."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from peewee_async.core import schema
from peewee_async.core.execution import Work

T = TypeVar("T")


class AioTables:
    """Creates, drops and finds tables; the SQL is what peewee sends for the same.

    The models need not be bound to the database, and are not bound by it. An override
    of `create_table` or `drop_table` in a model is not called; that of a schema
    manager (`schema_manager_class`) is, once for each statement that it sends and once
    more.
    """

    def run_plan(
        self, plan: Callable[..., Work[T]], *args: Any, **options: Any
    ) -> Coroutine[Any, Any, T]:
        """Do what a planner of the core plans; databases know how."""
        raise NotImplementedError

    async def aio_create_tables(self, models: Iterable[Any], **options: Any) -> None:
        """Create the tables of models, those that others refer to first.

        options: as for `AioModel.aio_create_table`.

        All is done on one connection. It is no transaction: if one table cannot be
        created, those before it stay, unless `aio_atomic` is around the call and the
        database can undo it. MySQL cannot, and commits an open transaction.
        """
        await self.run_plan(schema.create_tables, models, options)

    async def aio_drop_tables(self, models: Iterable[Any], **options: Any) -> None:
        """Drop the tables of models, those that others refer to last.

        options: as for `AioModel.aio_drop_table`.
        """
        await self.run_plan(schema.drop_tables, models, options)

    async def aio_table_exists(self, table: Any, schema: str | None = None) -> bool:
        """Tell whether there is a table of this name, or the table of this model.

        schema: where to look; PostgreSQL's current schema, MySQL's current database
        or SQLite's main one if it is not given. A model knows its own.
        """
        exists: bool = await self._inspect("table_exists", table, schema)
        return exists

    async def aio_get_tables(self, schema: str | None = None) -> list[str]:
        """Give the names of all tables, in order. schema: as in `aio_table_exists`."""
        names: list[str] = await self._inspect("get_tables", schema)
        return names

    async def aio_get_views(self, schema: str | None = None) -> list[Any]:
        """Give the views, as `peewee.ViewMetadata`."""
        views: list[Any] = await self._inspect("get_views", schema)
        return views

    async def aio_get_indexes(self, table: str, schema: str | None = None) -> list[Any]:
        """Give the indexes of a table, as `peewee.IndexMetadata`."""
        indexes: list[Any] = await self._inspect("get_indexes", table, schema)
        return indexes

    async def aio_get_columns(self, table: str, schema: str | None = None) -> list[Any]:
        """Give the columns of a table, as `peewee.ColumnMetadata`."""
        columns: list[Any] = await self._inspect("get_columns", table, schema)
        return columns

    async def aio_get_primary_keys(
        self, table: str, schema: str | None = None
    ) -> list[str]:
        """Give the names of the columns of a table's primary key."""
        names: list[str] = await self._inspect("get_primary_keys", table, schema)
        return names

    async def aio_get_foreign_keys(
        self, table: str, schema: str | None = None
    ) -> list[Any]:
        """Give the foreign keys of a table, as `peewee.ForeignKeyMetadata`."""
        keys: list[Any] = await self._inspect("get_foreign_keys", table, schema)
        return keys

    async def aio_sequence_exists(self, seq: str, schema: str | None = None) -> bool:
        """Tell whether there is a sequence of this name (PostgreSQL).

        Raises NotImplementedError where peewee does: on MySQL and SQLite.
        """
        # The oldest peewee knows sequences by their names alone.
        args = (seq,) if schema is None else (seq, schema)
        exists: bool = await self._inspect("sequence_exists", *args)
        return exists

    async def _inspect(self, method: str, *args: Any) -> Any:
        return await self.run_plan(schema.inspect, method, *args)
