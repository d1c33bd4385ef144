"""The queries of AioModel: peewee's own, with methods that can be awaited."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import peewee

from peewee_async.core import plans, prefetching
from peewee_async.core.execution import Work
from peewee_async.database import BATCH_SIZE, AioDatabase, aio_database

M = TypeVar("M", bound=peewee.Model)
R = TypeVar("R")
T = TypeVar("T")

if TYPE_CHECKING:
    from peewee import ModelAlias, ModelSelect, NoopModelSelect
else:
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

    def _aio(
        self, database: Any, plan: Callable[..., Work[T]], *args: Any, **options: Any
    ) -> Awaitable[T]:
        return self._aio_on(database).run_plan(plan, self, *args, **options)

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
