"""AioModel: the methods of `peewee.Model` and its queries, asynchronous."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import peewee

from peewee_async.core import (
    bulk,
    finding,
    operations,
    plans,
    prefetching,
    relations,
    row_writes,
    schema,
)
from peewee_async.core.execution import Work
from peewee_async.core.facts import vouch_for
from peewee_async.database import BATCH_SIZE, AioDatabase, aio_database

M = TypeVar("M", bound=peewee.Model)
R = TypeVar("R")
T = TypeVar("T")

if TYPE_CHECKING:
    from peewee import ModelAlias, ModelSelect, NoopModelSelect

    classmethod_only = classmethod
else:
    # What refuses `user.delete()` is newer than the oldest peewee that will do.
    classmethod_only = getattr(peewee, "classmethod_only", classmethod)
    # To a type checker these classes are generic; peewee's own are not.
    ModelSelect = {M: peewee.ModelSelect}
    NoopModelSelect = {M: peewee.NoopModelSelect}
    ModelAlias = {M: peewee.ModelAlias}


class AioQuery(Generic[R]):
    """Any query, to be executed asynchronously."""

    _database: Any

    async def aio_execute(self, database: Any = None) -> Any:
        """Run the query; the value is what `execute()` gives in peewee.

        Rows come as a list. database: where to run it, instead of the model's.
        """
        return await self._aio(database, prefetching.execute)

    def aio_iterator(
        self, database: Any = None, *, batch_size: int = BATCH_SIZE
    ) -> AsyncGenerator[R, None]:
        """Give the rows one by one, and keep few of them in memory.

        database: where to run the query, instead of the model's.
        batch_size: the number of rows to fetch at a time.

        As `AioDatabase.aio_iterator`; `async for row in query` is the same.
        """
        return self._aio_on(database).aio_iterator(self, batch_size)

    def __aiter__(self) -> AsyncGenerator[R, None]:
        return self._aio_on(None).stream(self)

    def _aio_on(self, database: Any) -> AioDatabase:
        return aio_database(self._database if database is None else database)

    async def _aio(
        self, database: Any, plan: Callable[..., Work[T]], *args: Any, **options: Any
    ) -> T:
        return await self._aio_on(database).run_plan(plan, self, *args, **options)

    async def _aio_transact(
        self, database: Any, plan: Callable[..., Work[T]], *args: Any
    ) -> T:
        return await self._aio_on(database).run_in_transaction(plan, self, *args)


class AioRowsQuery(AioQuery[R], Generic[R]):
    """Any query that gives rows of a model."""

    async def aio_get(self, database: Any = None) -> R:
        """Get the first row; raises the model's DoesNotExist if there is none."""
        row: R = await self._aio(database, prefetching.get)
        return row

    async def aio_get_or_none(self, database: Any = None) -> R | None:
        """Get the first row, or None if there is none."""
        try:
            return await self.aio_get(database)
        except peewee.DoesNotExist:
            return None

    async def aio_peek(self, n: int = 1, database: Any = None) -> Any:
        """Get the first row, or the list of the first n; None if there is none.

        Unlike `aio_first`, without a LIMIT in the SQL.
        """
        return await self._aio(database, prefetching.peek, n)

    async def aio_first(self, n: int = 1, database: Any = None) -> Any:
        """Get the first row, or the list of the first n; None if there is none."""
        return await self._aio(database, prefetching.first, n)

    async def aio_count(self, clear_limit: bool = False, database: Any = None) -> int:
        """Count the rows. clear_limit: as if there were no LIMIT and OFFSET."""
        return await self._aio(database, plans.count, clear_limit)

    async def aio_scalar(
        self, as_tuple: bool = False, as_dict: bool = False, database: Any = None
    ) -> Any:
        """Get the first column of the first row, or that whole row; None without."""
        return await self._aio(database, plans.scalar, as_tuple, as_dict)

    async def aio_scalars(self, database: Any = None) -> list[Any]:
        """Get the first column of all rows."""
        return await self._aio(database, plans.scalars)

    async def aio_exists(self, database: Any = None) -> bool:
        """Tell whether there is any row."""
        return await self._aio(database, plans.exists)


class AioSelectQuery(AioRowsQuery[R], Generic[R]):
    """Any query that selects rows of a model."""

    model: Any

    async def aio_prefetch(
        self,
        *subqueries: Any,
        prefetch_type: int = peewee.PREFETCH_TYPE.WHERE,
        database: Any = None,
    ) -> list[Any]:
        """Get the rows, and related objects by one query for each subquery."""
        return await self._aio(
            database, prefetching.prefetch, *subqueries, prefetch_type=prefetch_type
        )

    def select_from(self, *columns: Any) -> AioSelect:
        """Make a SELECT of the rows of this one, as in peewee.

        Raises ValueError without any column.
        """
        select: Any = super()
        made = AioSelect(())
        vars(made).update(vars(select.select_from(*columns)))
        return made

    def union_all(self, rhs: Any) -> AioModelCompoundSelectQuery:
        """Make the UNION ALL of two queries, as in peewee."""
        return self._compound("UNION ALL", rhs)

    def union(self, rhs: Any) -> AioModelCompoundSelectQuery:
        """Make the UNION of two queries, as in peewee."""
        return self._compound("UNION", rhs)

    def intersect(self, rhs: Any) -> AioModelCompoundSelectQuery:
        """Make the INTERSECT of two queries, as in peewee."""
        return self._compound("INTERSECT", rhs)

    def except_(self, rhs: Any) -> AioModelCompoundSelectQuery:
        """Make the EXCEPT of two queries, as in peewee."""
        return self._compound("EXCEPT", rhs)

    def _compound(self, operation: str, rhs: Any) -> AioModelCompoundSelectQuery:
        return AioModelCompoundSelectQuery(self.model, self, operation, rhs)

    __add__ = union_all
    __or__ = union
    __and__ = intersect
    __sub__ = except_


class AioSelect(AioRowsQuery[Any], peewee.Select):
    """A SELECT of the rows of another one."""


class AioModelSelect(AioSelectQuery[M], ModelSelect[M], Generic[M]):
    """A SELECT of a model."""


class AioNoopModelSelect(AioSelectQuery[M], NoopModelSelect[M], Generic[M]):
    """A SELECT that gives no rows and asks no table."""


class AioModelCompoundSelectQuery(  # type: ignore[misc]
    AioSelectQuery[Any], peewee.ModelCompoundSelectQuery
):
    """A UNION, INTERSECT or EXCEPT."""


class AioModelRaw(AioRowsQuery[Any], peewee.ModelRaw):
    """SQL written by hand, whose rows become objects of a model."""


class AioModelInsert(AioQuery[Any], peewee.ModelInsert):
    """An INSERT."""


class AioModelUpdate(AioQuery[Any], peewee.ModelUpdate):
    """An UPDATE."""


class AioModelDelete(AioQuery[Any], peewee.ModelDelete):
    """A DELETE."""


class AioModelAlias(ModelAlias[M], Generic[M]):
    """A second name for a model's table within a query."""

    def select(self, *selection: Any) -> AioModelSelect[M]:
        """Make a SELECT of the alias, as in peewee."""
        return AioModelSelect(self, selection or self.get_field_aliases())


class AioModel(peewee.Model):
    """A model of peewee whose queries can be awaited: `aio_` before the name.

    The model has to be bound to one of the database classes of this package.

    >>> import asyncio, peewee
    >>> from peewee_async import AioModel, SqliteDatabase
    >>> class User(AioModel):
    ...     name = peewee.CharField(unique=True)
    ...     class Meta:
    ...         database = SqliteDatabase(":memory:")
    >>> User.create_table()
    >>> async def main():
    ...     await User.aio_create(name="ada")
    ...     print((await User.aio_get(User.name == "ada")).id)
    ...     print(await User.select().aio_count())
    >>> asyncio.run(main())
    1
    1
    """

    DoesNotExist: ClassVar[type[peewee.DoesNotExist]]  # made by peewee for each model

    @classmethod
    def select(cls, *fields: Any) -> AioModelSelect[Self]:
        """Make a SELECT, as in peewee."""
        is_default = not fields
        return AioModelSelect(cls, fields or cls._meta.sorted_fields, is_default)

    @classmethod
    def noop(cls) -> AioNoopModelSelect[Self]:
        """Make a query that gives no rows, as in peewee."""
        return AioNoopModelSelect(cls, ())

    @classmethod
    def alias(cls, alias: str | None = None) -> AioModelAlias[Self]:
        """Make a second name for the table, as in peewee."""
        return AioModelAlias(cls, alias)

    @classmethod
    def raw(cls, sql: str, *params: Any) -> AioModelRaw:
        """Make a query of SQL, as in peewee."""
        return AioModelRaw(cls, sql, params)

    @classmethod
    def insert(cls, data: Any = None, /, **insert: Any) -> AioModelInsert:
        """Make an INSERT, as in peewee."""
        return AioModelInsert(cls, _normalized(cls, data, insert))

    @classmethod
    def insert_many(cls, rows: Any, fields: Any = None) -> AioModelInsert:
        """Make an INSERT of many rows, as in peewee."""
        return AioModelInsert(cls, insert=rows, columns=fields)

    @classmethod
    def insert_from(cls, query: Any, fields: Any) -> AioModelInsert:
        """Make an INSERT of what a query selects, as in peewee."""
        columns = [
            getattr(cls, item) if isinstance(item, str) else item for item in fields
        ]
        return AioModelInsert(cls, insert=query, columns=columns)

    @classmethod
    def update(cls, data: Any = None, /, **update: Any) -> AioModelUpdate:
        """Make an UPDATE, as in peewee."""
        return AioModelUpdate(cls, _normalized(cls, data, update))

    @classmethod_only
    def delete(cls) -> AioModelDelete:  # noqa: N805
        """Make a DELETE, as in peewee."""
        return AioModelDelete(cls)

    @classmethod
    async def aio_get(cls, *query: Any, **filters: Any) -> Self:
        """Get one object.

        query: expressions that it must meet. filters: the same as keywords.

        Raises the model's DoesNotExist if there is no such object.
        """
        database = cls._aio_database()
        found: Self = await database.run_plan(finding.get, cls, query, filters)
        return found

    @classmethod
    async def aio_get_or_none(cls, *query: Any, **filters: Any) -> Self | None:
        """Get one object as `aio_get` does, or None if there is no such object."""
        try:
            return await cls.aio_get(*query, **filters)
        except peewee.DoesNotExist:
            return None

    @classmethod
    async def aio_create(cls, **data: Any) -> Self:
        """Make an object and insert it into the database.

        Raises peewee.IntegrityError if it breaks a constraint.
        """
        return await cls._aio_database().run_plan(operations.create, cls, data)

    @classmethod
    async def aio_get_or_create(cls, **kwargs: Any) -> tuple[Self, bool]:
        """Get the object that has these values, or create it with them.

        `defaults` is a dict of more values for an object that is created.

        The object, and whether it was created.
        """
        defaults = kwargs.pop("defaults", None)
        return await cls._aio_database().run_in_transaction(
            operations.get_or_create, cls, kwargs, defaults
        )

    async def aio_save(
        self, force_insert: bool = False, only: Iterable[Any] | None = None
    ) -> int | bool:
        """Insert or update the object, as `save` does.

        The number of rows written; False if there was nothing to write.
        """
        return await self._aio_database().run_plan(
            operations.save, self, force_insert, only
        )

    async def aio_delete_instance(
        self, recursive: bool = False, delete_nullable: bool = False
    ) -> int:
        """Delete the object's row, as `delete_instance` does; the number of rows.

        recursive: delete what refers to it first, in the same transaction.
        delete_nullable: delete it also where the reference could be set to NULL.
        """
        return await self._aio_database().run_in_transaction(
            operations.delete, self, recursive, delete_nullable
        )

    # The table

    @classmethod
    async def aio_create_table(cls, safe: bool = True, **options: Any) -> None:
        """Create the table, its indexes and sequences, as `create_table` does.

        safe: do nothing where the table is there already.
        options: `temporary=True`, and options that peewee puts into the SQL.

        Raises peewee.OperationalError or ProgrammingError, whichever the driver's is,
        if the table exists and `safe` is false. MySQL commits an open transaction.
        """
        await cls._aio_database().run_plan(
            schema.create_table, cls, {"safe": safe, **options}
        )

    @classmethod
    async def aio_drop_table(
        cls, safe: bool = True, drop_sequences: bool = True, **options: Any
    ) -> None:
        """Drop the table, as `drop_table` does.

        safe: do nothing where there is no table.
        drop_sequences: drop the sequences that its fields name as well (PostgreSQL).
        options: `cascade=True` or `restrict=True`.
        """
        options |= {"safe": safe, "drop_sequences": drop_sequences}
        await cls._aio_database().run_plan(schema.drop_table, cls, options)

    @classmethod
    async def aio_truncate_table(cls, **options: Any) -> None:
        """Delete all rows, as `truncate_table` does.

        options: `restart_identity=True` and `cascade=True` (PostgreSQL).
        """
        await cls._aio_database().run_plan(schema.truncate_table, cls, options)

    @classmethod
    async def aio_table_exists(cls) -> bool:
        """Tell whether the table exists."""
        return await cls._aio_database().run_plan(schema.table_exists, cls)

    # One row by its key, many objects at once, and the object behind a foreign key.

    @classmethod
    async def aio_get_by_id(cls, pk: Any) -> Self:
        """Get the object that has a primary key.

        Raises the model's DoesNotExist if there is no such object.
        """
        return await cls.aio_get(row_writes.by_key(cls, pk))

    @classmethod
    async def aio_set_by_id(cls, key: Any, value: Any) -> Any:
        """Update the row of a primary key, or insert a row if the key is None.

        value: a dict of the new values, by field or by name.

        The number of rows updated, or the key of the new row.
        """
        database = cls._aio_database()
        return await database.run_plan(operations.set_by_id, cls, key, value)

    @classmethod
    async def aio_delete_by_id(cls, pk: Any) -> int:
        """Delete the row of a primary key; the number of rows deleted, 1 or 0."""
        return await cls._aio_database().run_plan(operations.delete_by_id, cls, pk)

    @classmethod
    async def aio_bulk_create(
        cls, model_list: Iterable[Self], batch_size: int | None = None
    ) -> None:
        """Insert objects by one statement, or by one for each batch.

        They get the keys that the database makes if it has RETURNING, as in
        `bulk_create`. Unless it is in a transaction, what comes before a batch that
        fails stays in the database.
        """
        database = cls._aio_database()
        await database.run_plan(bulk.create, cls, model_list, batch_size)

    @classmethod
    async def aio_bulk_update(
        cls,
        model_list: Iterable[Self],
        fields: Iterable[Any],
        batch_size: int | None = None,
    ) -> int:
        """Write some fields of objects by one statement, or by one for each batch.

        fields: fields, or names of fields or columns.

        The number of rows written, of which MySQL counts only those that change.
        Unless it is in a transaction, what comes before a batch that fails stays in
        the database.
        """
        database = cls._aio_database()
        return await database.run_plan(bulk.update, cls, model_list, fields, batch_size)

    async def aio_fetch(self, field: Any) -> Any:
        """Get the object that a foreign key leads to; None if the key is NULL.

        field: the foreign key, or its name.

        It is asked for once, and is then in the attribute, as if that had loaded it.
        Raises the related model's DoesNotExist if there is none, or if a key that
        must not be NULL is not set.
        """
        key = relations.foreign_key(type(self), field)
        if relations.is_loaded(self, key):
            return self.__rel__.get(key.name)
        related = key.rel_model._meta.database
        database = self._aio_database() if related is None else aio_database(related)
        return await database.run_plan(relations.fetch, self, key)

    @classmethod
    def _aio_database(cls) -> AioDatabase:
        return aio_database(cls._meta.database)


vouch_for(AioModel, AioModelSelect)


def _normalized(model: Any, data: Any, keywords: dict[str, Any]) -> Any:
    return model._normalize_data(data, keywords)
