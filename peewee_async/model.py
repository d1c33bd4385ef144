"""AioModel: the methods of `peewee.Model`, asynchronous."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import peewee

from peewee_async.core import (
    bulk,
    finding,
    operations,
    relations,
    row_writes,
    schema,
)
from peewee_async.core.facts import vouch_for
from peewee_async.core.row_objects import Dirty, Related
from peewee_async.database import AioDatabase, aio_database
from peewee_async.queries import (
    AioModelAlias,
    AioModelDelete,
    AioModelInsert,
    AioModelRaw,
    AioModelSelect,
    AioModelUpdate,
    AioNoopModelSelect,
)

if TYPE_CHECKING:
    classmethod_only = classmethod
else:
    # What refuses `user.delete()` is newer than the oldest peewee that will do.
    classmethod_only = getattr(peewee, "classmethod_only", classmethod)


M = TypeVar("M", bound="AioModel")


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
    _dirty = Dirty()

    @classmethod
    def validate_model(cls) -> None:
        """Complete a new model: peewee calls this when it has made the class."""
        super().validate_model()
        cls.__rel__ = Related()

    def __getstate__(self) -> Any:
        """Give the state for copies and pickles: all that peewee's own objects have."""
        _complete(self)
        return super().__getstate__()

    def clone(self) -> Self:
        """Give a shallow copy, as in peewee."""
        _complete(self)
        copy: Self = super().clone()  # type: ignore[misc]
        return copy

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

        If the model has an `aio_save` of its own, that is what inserts it. A `save` of
        its own is for sync code, and is not called.

        Raises peewee.IntegrityError if it breaks a constraint.
        """
        if cls.aio_save is AioModel.aio_save:
            return await cls._aio_database().run_plan(operations.create, cls, data)
        instance = cls(**data)
        await instance.aio_save(force_insert=True)
        return instance

    @classmethod
    async def aio_get_or_create(cls, **kwargs: Any) -> tuple[Self, bool]:
        """Get the object that has these values, or create it with them.

        `defaults` is a dict of more values for an object that is created. An
        `aio_create` or `aio_save` of the model's own is what creates it.

        The object, and whether it was created.
        """
        defaults = kwargs.pop("defaults", None)
        database = cls._aio_database()
        if _creates_in_own_way(cls):
            return await _get_or_create(database, cls, kwargs, defaults or {})
        return await database.run_in_transaction(
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


def _complete(instance: AioModel) -> None:
    """Have the attributes of an object made that are made when asked for."""
    for name in ("_dirty", "__rel__"):
        getattr(instance, name)


def _creates_in_own_way(model: Any) -> bool:
    """Whether a program has overridden what makes a new row of a model."""
    own = model.aio_save, model.aio_create.__func__
    ours: Any = AioModel.aio_create
    return own != (AioModel.aio_save, ours.__func__)


async def _get_or_create(
    database: AioDatabase,
    model: type[M],
    lookup: dict[str, Any],
    defaults: dict[str, Any],
) -> tuple[M, bool]:
    """Do what `operations.get_or_create` does, with the model's own `aio_create`.

    That is a coroutine of the program's, which no plan can have in it.
    """
    try:
        return await database.run_plan(finding.get_exactly, model, lookup), False
    except peewee.DoesNotExist:
        pass
    try:
        async with database.aio_atomic():
            return await model.aio_create(**{**lookup, **defaults}), True
    except peewee.IntegrityError as error:
        try:
            return await database.run_plan(finding.get_exactly, model, lookup), False
        except peewee.DoesNotExist:
            raise error from error.__cause__


def _normalized(model: Any, data: Any, keywords: dict[str, Any]) -> Any:
    return model._normalize_data(data, keywords)
