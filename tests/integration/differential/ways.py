"""The ways of asking: sync peewee, AioModel and Manager, under the same verbs.

A case is a coroutine function that takes a way and its models. It is run once in each
way, each on a database of its own with the same rows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

import peewee

from peewee_async import AioDatabase, Manager
from tests.integration.differential.models import Matrix
from tests.unit.library import frozen


class NotOffered(Exception):
    """This way has no such verb, and the case is not for it."""


class Sync:
    """peewee itself: its models, its database, its methods."""

    name = "sync"

    def __init__(self, database: Any, models: Matrix) -> None:
        self.database = database
        self.models = models

    async def execute(self, query: Any) -> Any:
        return _rows(query.execute())

    async def get(self, source: Any, *conditions: Any, **filters: Any) -> Any:
        if isinstance(source, type):
            return source.get(*conditions, **filters)  # type: ignore[attr-defined]
        query = _select(source)
        if conditions:
            query = query.where(*conditions)
        return (query.filter(**filters) if filters else query).get()

    async def get_or_none(self, source: Any, *conditions: Any, **filters: Any) -> Any:
        try:
            return await self.get(source, *conditions, **filters)
        except peewee.DoesNotExist:
            return None

    async def first(self, query: Any, n: int = 1) -> Any:
        return _rows(query.first(n=n))

    async def scalar(self, query: Any, **options: Any) -> Any:
        return query.scalar(**options)

    async def count(self, query: Any, **options: Any) -> Any:
        return _select(query).count(**options)

    async def exists(self, query: Any) -> Any:
        return query.exists()

    async def prefetch(self, query: Any, *subqueries: Any, **options: Any) -> Any:
        if not subqueries:
            return _rows(_select(query).execute())  # peewee gives the query (ruling 19)
        return peewee.prefetch(_select(query), *subqueries, **options)

    async def create(self, model: Any, **data: Any) -> Any:
        return model.create(**data)

    async def get_or_create(self, model: Any, **data: Any) -> Any:
        return model.get_or_create(**data)

    async def save(self, instance: Any, **options: Any) -> Any:
        return instance.save(**options)

    async def update(self, instance: Any, only: Any = None) -> Any:
        return instance.save(only=only)

    async def delete_instance(self, instance: Any, **options: Any) -> Any:
        return instance.delete_instance(**options)

    async def execute_sql(self, sql: str, params: tuple[Any, ...] = ()) -> Any:
        query: Any = peewee.RawQuery(sql, params).tuples()
        return _rows(query.execute(self.database))

    @asynccontextmanager
    async def atomic(self) -> AsyncIterator[None]:
        with self.database.atomic():
            yield


class Async:
    """What the two async ways have in common."""

    database: AioDatabase
    models: Matrix

    async def execute_sql(self, sql: str, params: tuple[Any, ...] = ()) -> Any:
        query = peewee.RawQuery(sql, params).tuples()
        with unchanged(query):
            return await self.database.aio_execute(query)

    def atomic(self) -> AbstractAsyncContextManager[Any]:
        return self.database.aio_atomic()


class ByModel(Async):
    """AioModel: the methods of models and queries."""

    name = "AioModel"

    def __init__(self, database: AioDatabase, models: Matrix) -> None:
        self.database = database
        self.models = models

    async def execute(self, query: Any) -> Any:
        with unchanged(query):
            if hasattr(query, "aio_execute"):
                return await query.aio_execute()
            return await self.database.aio_execute(query)

    async def get(self, source: Any, *conditions: Any, **filters: Any) -> Any:
        if isinstance(source, type):
            return await source.aio_get(*conditions, **filters)  # type: ignore[attr-defined]
        query = _select(source)
        if conditions:
            query = query.where(*conditions)
        query = query.filter(**filters) if filters else query
        with unchanged(query):
            return await _twin(query, "aio_get")()

    async def get_or_none(self, source: Any, *conditions: Any, **filters: Any) -> Any:
        if isinstance(source, type):
            return await source.aio_get_or_none(*conditions, **filters)  # type: ignore[attr-defined]
        try:
            return await self.get(source, *conditions, **filters)
        except peewee.DoesNotExist:
            return None

    async def first(self, query: Any, n: int = 1) -> Any:
        with unchanged(query):
            return await _twin(query, "aio_first")(n)

    async def scalar(self, query: Any, **options: Any) -> Any:
        with unchanged(query):
            return await _twin(query, "aio_scalar")(**options)

    async def count(self, query: Any, **options: Any) -> Any:
        query = _select(query)
        with unchanged(query):
            return await _twin(query, "aio_count")(**options)

    async def exists(self, query: Any) -> Any:
        with unchanged(query):
            return await _twin(query, "aio_exists")()

    async def prefetch(self, query: Any, *subqueries: Any, **options: Any) -> Any:
        query = _select(query)
        with unchanged(query, *subqueries):
            return await query.aio_prefetch(*subqueries, **options)

    async def create(self, model: Any, **data: Any) -> Any:
        with unchanged(data):
            return await model.aio_create(**data)

    async def get_or_create(self, model: Any, **data: Any) -> Any:
        with unchanged(data):
            return await model.aio_get_or_create(**data)

    async def save(self, instance: Any, **options: Any) -> Any:
        return await instance.aio_save(**options)

    async def update(self, instance: Any, only: Any = None) -> Any:
        return await instance.aio_save(only=only)

    async def delete_instance(self, instance: Any, **options: Any) -> Any:
        return await instance.aio_delete_instance(**options)


class ByManager(Async):
    """Manager, with plain models that are bound to no database."""

    name = "Manager"

    def __init__(self, database: AioDatabase, models: Matrix) -> None:
        self.database = database
        self.models = models
        self.objects = Manager(database)

    async def execute(self, query: Any) -> Any:
        with unchanged(query):
            return await self.objects.execute(query)

    async def get(self, source: Any, *conditions: Any, **filters: Any) -> Any:
        with unchanged(source):
            return await self.objects.get(source, *conditions, **filters)

    async def get_or_none(self, source: Any, *conditions: Any, **filters: Any) -> Any:
        with unchanged(source):
            return await self.objects.get_or_none(source, *conditions, **filters)

    async def first(self, query: Any, n: int = 1) -> Any:
        raise NotOffered

    async def scalar(self, query: Any, **options: Any) -> Any:
        with unchanged(query):
            return await self.objects.scalar(query, **options)

    async def count(self, query: Any, **options: Any) -> Any:
        with unchanged(query):
            return await self.objects.count(query, **options)

    async def exists(self, query: Any) -> Any:
        raise NotOffered

    async def prefetch(self, query: Any, *subqueries: Any, **options: Any) -> Any:
        options.setdefault("prefetch_type", peewee.PREFETCH_TYPE.WHERE)
        with unchanged(query, *subqueries):
            return await self.objects.prefetch(query, *subqueries, **options)

    async def create(self, model: Any, **data: Any) -> Any:
        with unchanged(data):
            return await self.objects.create(model, **data)

    async def get_or_create(self, model: Any, **data: Any) -> Any:
        with unchanged(data):
            return await self.objects.get_or_create(model, **data)

    async def save(self, instance: Any, **options: Any) -> Any:
        raise NotOffered

    async def update(self, instance: Any, only: Any = None) -> Any:
        return await self.objects.update(instance, only)

    async def delete_instance(self, instance: Any, **options: Any) -> Any:
        return await self.objects.delete(instance, **options)


Way = Sync | ByModel | ByManager


@contextmanager
def unchanged(*given: Any) -> Iterator[None]:
    """Check that a call leaves alone what it was given."""
    before = frozen(given)
    try:
        yield
    finally:
        assert frozen(given) == before, "The call changed what it was given."


def _select(source: Any) -> Any:
    is_source = isinstance(source, type | peewee.ModelAlias)
    return source.select() if is_source else source


def _twin(query: Any, name: str) -> Any:
    """Find the async method; a query of no model has none."""
    method = getattr(query, name, None)
    if method is None:
        raise NotOffered
    return method


def _rows(value: Any) -> Any:
    if getattr(value, "description", ()) is None:
        return []  # the driver's cursor, after an INSERT without a key
    return list(value) if isinstance(value, peewee.CursorWrapper) else value
