"""The sharper words on ruling 25: many to many."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import peewee
import pytest

from peewee_async import AioModel, Manager
from tests.integration.conftest import CreateTables
from tests.integration.rulings.common import Oops


class Club(AioModel):
    id: Any
    name: Any = peewee.CharField()
    members: Any


class Member(AioModel):
    id: Any
    name: Any = peewee.CharField()
    clubs: Any = peewee.ManyToManyField(Club, backref="members")


@pytest.fixture
def tables_of_clubs(objects: Manager, tables: CreateTables) -> Iterator[None]:
    models = [Club, Member, Member.clubs.get_through_model()]
    with objects.database.bind_ctx(models, False, False):
        tables(*models)
        yield


@pytest.fixture
async def clubs(tables_of_clubs: None) -> list[Club]:
    return [await Club.aio_create(name=name) for name in ("chess", "golf", "judo")]


@pytest.fixture
async def member(clubs: list[Club]) -> Any:
    return await Member.aio_create(name="ada")


async def clubs_of(member: Any) -> list[str]:
    found = await member.clubs.order_by(Club.name).aio_execute()
    return [club.name for club in found]


async def test_sharper_25_aio_add(member: Any, clubs: list[Club]) -> None:
    await member.clubs.aio_add(clubs[2])
    assert await clubs_of(member) == ["judo"]
    await member.clubs.aio_add(clubs[:2])
    assert await clubs_of(member) == ["chess", "golf", "judo"]
    await member.clubs.aio_add(clubs[:1], clear_existing=True)
    assert await clubs_of(member) == ["chess"]
    await clubs[1].members.aio_add(member)
    assert await clubs_of(member) == ["chess", "golf"]


async def test_sharper_25_aio_add_by_key_and_query(
    member: Any, clubs: list[Club]
) -> None:
    await member.clubs.aio_add(clubs[0].id)
    await member.clubs.aio_add(Club.select().where(Club.name == "judo"))
    assert await clubs_of(member) == ["chess", "judo"]


async def test_sharper_25_aio_remove(member: Any, clubs: list[Club]) -> None:
    await member.clubs.aio_add(clubs)
    await member.clubs.aio_remove(clubs[0])
    assert await clubs_of(member) == ["golf", "judo"]
    await member.clubs.aio_remove(Club.select().where(Club.name == "judo"))
    assert await clubs_of(member) == ["golf"]


async def test_sharper_25_aio_set(member: Any, clubs: list[Club]) -> None:
    await member.clubs.aio_add(clubs[:2])
    await member.clubs.aio_set(clubs[1:])
    assert await clubs_of(member) == ["golf", "judo"]


async def test_sharper_25_aio_clear(member: Any, clubs: list[Club]) -> None:
    other = await Member.aio_create(name="bob")
    await member.clubs.aio_add(clubs)
    await other.clubs.aio_add(clubs[0])
    await member.clubs.aio_clear()
    assert await clubs_of(member) == []
    assert await clubs_of(other) == ["chess"]


async def test_sharper_25_they_take_part_in_blocks(
    member: Any, clubs: list[Club], objects: Manager
) -> None:
    await member.clubs.aio_add(clubs[0])
    with suppress(Oops):
        async with objects.atomic():
            await member.clubs.aio_set(clubs[1:])
            assert await clubs_of(member) == ["golf", "judo"]
            raise Oops
    assert await clubs_of(member) == ["chess"]


async def test_sharper_25_queries_of_many_to_many(
    member: Any, clubs: list[Club]
) -> None:
    await member.clubs.aio_add(clubs)
    query = member.clubs.order_by(Club.name)
    assert await query.aio_count() == 3
    assert (await query.aio_first()).name == "chess"
    assert (await query.aio_get()).name == "chess"
    assert await query.aio_get_or_none() == clubs[0]
    assert await query.aio_scalar() == clubs[0].id
    assert await query.aio_execute() == clubs
    assert await query.aio_exists()
    assert await query.aio_scalars() == [club.id for club in clubs]
    assert (await query.aio_peek()).name == "chess"
    assert [one.name for one in await clubs[1].members.aio_execute()] == ["ada"]


async def test_sharper_25_queries_of_many_to_many_without_rows(member: Any) -> None:
    assert await member.clubs.aio_execute() == []
    assert await member.clubs.aio_count() == 0
    assert await member.clubs.aio_first() is None
    assert await member.clubs.aio_get_or_none() is None
    assert await member.clubs.aio_scalars() == []
    assert not await member.clubs.aio_exists()
    assert [club async for club in member.clubs] == []
    with pytest.raises(Club.DoesNotExist):
        await member.clubs.aio_get()


async def test_sharper_25_streams_of_many_to_many(
    member: Any, clubs: list[Club]
) -> None:
    await member.clubs.aio_add(clubs)
    query = member.clubs.order_by(Club.name)
    assert [club.name async for club in query] == ["chess", "golf", "judo"]
    assert [club async for club in query.aio_iterator()] == clubs
