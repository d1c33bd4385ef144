"""Many-to-many relations whose queries can be awaited.

peewee leaves it to a field's `accessor_class` what an attribute gives. The one set here
differs from peewee's own only where the model that is selected is an AioModel,
whichever of the two models the field is declared in. Neither a metadata class nor a
metaclass of AioModel could see to that: the other model may be plain, and both may
have been given classes of the user's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import peewee

from peewee_async.core import relations
from peewee_async.model import AioModel
from peewee_async.queries import AioModelSelect

M = TypeVar("M", bound=peewee.Model)

if TYPE_CHECKING:
    from peewee import ManyToManyFieldAccessor as Accessor
    from peewee import ManyToManyQuery
else:
    Accessor = peewee.ManyToManyField.accessor_class
    # To a type checker this class is generic; peewee's own is not.
    ManyToManyQuery = {M: peewee.ManyToManyQuery}


class AioManyToManyQuery(AioModelSelect[M], ManyToManyQuery[M], Generic[M]):
    """A SELECT of the objects that one object is linked to."""

    async def aio_add(
        self, value: Any, clear_existing: bool = False, database: Any = None
    ) -> None:
        """Link objects.

        value: an object, a primary key, several of them, or a SELECT of the model.
        clear_existing: remove all other links, in the same transaction.
        """
        await self._aio_transact(database, relations.add, value, clear_existing)

    async def aio_set(self, values: Any, database: Any = None) -> None:
        """Link these objects and no others, in one transaction; [] removes all links.

        values: as in `aio_add`.
        """
        await self._aio_transact(database, relations.add, values, True)

    async def aio_remove(self, value: Any, database: Any = None) -> int | None:
        """Remove the links to some objects.

        value: as in `aio_add`.

        The number of links removed; None if the value holds nothing.
        """
        return await self._aio(database, relations.remove, value)

    async def aio_clear(self, database: Any = None) -> int:
        """Remove all links; the number of links removed."""
        return await self._aio(database, relations.clear)


class AioManyToManyAccessor(Accessor):
    """What a many-to-many field puts into a class: gives the query of an object."""

    def __get__(self, instance: Any, instance_type: Any = None, **options: Any) -> Any:
        """Give the query; the list of objects if they were prefetched."""
        accessor: Any = super()
        value = accessor.__get__(instance, instance_type, **options)
        plain = type(value) is peewee.ManyToManyQuery
        if not plain or not issubclass(self.rel_model, AioModel):
            return value
        query: Any = AioManyToManyQuery.__new__(AioManyToManyQuery)
        query.__dict__ = value.__dict__
        return query


peewee.ManyToManyField.accessor_class = AioManyToManyAccessor
