"""Prepared queries, on a database in memory that needs no driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import peewee
import pytest
from peewee import fn

from peewee_async import AioModel, Manager, prepared, slot
from peewee_async.core.plans import raw
from tests.unit.fakes import MemoryDatabase


class Author(AioModel):
    id: Any = peewee.AutoField()
    name: Any = peewee.CharField(unique=True)
    age: Any = peewee.IntegerField(default=36)


class Plain(peewee.Model):
    """Bound to no database."""

    name: Any = peewee.CharField()

    class Meta:
        table_name = "author"


@pytest.fixture(autouse=True)
def tables(memory: MemoryDatabase) -> Iterator[None]:
    memory.set_allow_sync(True)
    with memory.bind_ctx([Author]):
        memory.create_tables([Author])
        for age, name in enumerate(("ada", "bob", "cat")):
            Author.create(name=name, age=age)
        memory.close()
        memory.set_allow_sync(False)
        yield


async def test_rows() -> None:
    older = prepared(
        Author.select().where(Author.age >= slot("age")).order_by(Author.id)
    )
    for age in (0, 1, 2, 3, 0):
        rows = await older.aio_execute(age=age)
        assert [row.age for row in rows] == list(range(age, 3))


async def test_all_ways_to_run_one() -> None:
    by_name = prepared(Author.select().where(Author.name == slot("name")))
    for name in ("ada", "bob", "cat"):
        filled = by_name(name=name)
        assert (await filled.aio_get()).name == name
        assert [row.name for row in await filled.aio_execute()] == [name]
        assert (await filled.aio_first()).name == name
        assert [row.name for row in await filled.aio_first(2)] == [name]
        assert await filled.aio_count() == 1
        assert await filled.aio_exists() is True
    missing = by_name(name="dan")
    assert await missing.aio_get_or_none() is None
    assert await missing.aio_exists() is False
    with pytest.raises(Author.DoesNotExist, match="Params: \\['dan', 1, 0\\]"):
        await missing.aio_get()
    ages = prepared(Author.select(fn.SUM(Author.age)).where(Author.age > slot("age")))
    assert [await ages(age=age).aio_scalar() for age in (0, 1, 2)] == [3, 2, None]


async def test_writes_and_defaults() -> None:
    grow = prepared(Author.update(age=Author.age + slot("years")), years=1)
    for years in (None, None, 3):
        written = await grow.aio_execute(**({} if years is None else {"years": years}))
        assert written == 3
    assert await Author.select(fn.MIN(Author.age)).aio_scalar() == 5


async def test_a_manager_runs_them(memory: MemoryDatabase) -> None:
    objects = Manager(memory)
    by_name = prepared(Plain.select().where(Plain.name == slot("name")))
    for name in ("ada", "bob", "cat"):
        filled = by_name(name=name)
        assert (await objects.get(filled)).name == name
        assert (await objects.get_or_none(filled)).name == name
        assert len(await objects.execute(filled)) == 1
        assert await objects.count(filled) == 1
        assert await objects.scalar(filled, as_dict=True) == {"id": 1, "name": name} | {
            "id": (await objects.get(filled)).id
        }
    assert await objects.get_or_none(by_name(name="dan")) is None
    assert len(await by_name(name="ada").aio_execute(memory)) == 1


async def test_misuse(memory: MemoryDatabase) -> None:
    by_name = prepared(Author.select().where(Author.name == slot("name")))
    with pytest.raises(TypeError, match="needs a value for name"):
        await by_name.aio_execute()
    with pytest.raises(TypeError, match="no slot 'title'"):
        by_name(title="ada")
    with pytest.raises(TypeError, match="is no query"):
        prepared(Author)
    with pytest.raises(peewee.InterfaceError, match="bound to no database"):
        await prepared(Plain.select()).aio_execute()
    with pytest.raises(TypeError, match="nothing to select from"):
        await Manager(memory).get(by_name(name="ada"), Author.age > 3)


async def test_no_value_is_shown() -> None:
    by_name = prepared(Author.select().where(Author.name == slot("name")))
    assert repr(by_name) == "<Prepared AioModelSelect (name)>"
    assert repr(by_name(name="secret")) == "<Filled AioModelSelect>"


async def test_in_a_block_they_run_in_it(memory: MemoryDatabase) -> None:
    remove = prepared(Author.delete().where(Author.name == slot("name")))
    async with memory.aio_atomic() as block:
        assert await remove.aio_execute(name="ada") == 1
        await block.rollback()
    assert await Author.select().aio_count() == 3
    assert await memory.run_plan(raw, "SELECT COUNT(*) FROM author") == [(3,)]
