"""The sharper words on rulings 25 and 27."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import peewee
import pytest

from peewee_async import AioModel, Manager
from tests.integration.checks import statistics
from tests.integration.conftest import CreateTables
from tests.integration.models import User, people
from tests.integration.rulings.common import Oops, add
from tests.integration.rulings.conftest import Names

# Ruling 25: many to many


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
    assert await query.aio_exists()
    assert await query.aio_scalars() == [club.id for club in clubs]
    assert (await query.aio_peek()).name == "chess"
    assert [one.name for one in await clubs[1].members.aio_execute()] == ["ada"]


async def test_sharper_25_streams_of_many_to_many(
    member: Any, clubs: list[Club]
) -> None:
    await member.clubs.aio_add(clubs)
    query = member.clubs.order_by(Club.name)
    assert [club.name async for club in query] == ["chess", "golf", "judo"]
    assert [club async for club in query.aio_iterator()] == clubs


async def test_sharper_25_aio_scalars_gives_a_list(objects: Manager) -> None:
    query: Any = User.select(User.age).order_by(User.age)
    assert await query.aio_scalars() == []
    await objects.execute(User.insert_many(people(3)))
    assert await query.aio_scalars() == [0, 1, 2]


# Ruling 27


@pytest.fixture
def methods(objects: Manager) -> Any:
    return objects.database


async def test_sharper_27_aio_begin_and_commit(
    methods: Any, objects: Manager, names: Names
) -> None:
    tx = await methods.aio_begin()
    await add(objects, "one")
    async with objects.atomic():
        await add(objects, "two")
    assert names() == set()
    await tx.commit()
    assert names() == {"one", "two"}
    assert statistics(methods).busy == 0
    await add(objects, "three")
    assert names() == {"one", "two", "three"}


async def test_sharper_27_aio_begin_and_rollback(
    methods: Any, objects: Manager, names: Names
) -> None:
    tx = await methods.aio_begin()
    await add(objects, "one")
    await tx.rollback()
    assert names() == set()
    assert statistics(methods).busy == 0
    await add(objects, "two")
    assert names() == {"two"}


async def test_sharper_27_aio_savepoint_with_await(
    methods: Any, objects: Manager, names: Names
) -> None:
    async with objects.atomic():
        await add(objects, "one")
        sp = await methods.aio_savepoint()
        await add(objects, "two")
        await sp.rollback()
        sp = await methods.aio_savepoint("mine")
        await add(objects, "three")
        await sp.commit()
        async with methods.aio_savepoint():
            await add(objects, "four")
    assert names() == {"one", "three", "four"}


async def test_sharper_27_aio_begin_with_aio_savepoint(
    methods: Any, objects: Manager, names: Names
) -> None:
    tx = await methods.aio_begin()
    await add(objects, "one")
    sp = await methods.aio_savepoint()
    await add(objects, "two")
    await sp.rollback()
    await tx.commit()
    assert names() == {"one"}


def user_sql(methods: Any, sql: str) -> str:
    opening, closing = methods.quote
    return sql.format(user=f"{opening}user{closing}", p=methods.param)


async def test_sharper_27_aio_execute_sql(
    methods: Any, objects: Manager, names: Names
) -> None:
    insert = "INSERT INTO {user} (name, age) VALUES ({p}, {p})"
    assert await methods.aio_execute_sql(user_sql(methods, insert), ("ada", 36)) == 1
    assert names() == {"ada"}
    select = user_sql(methods, "SELECT name, age FROM {user} WHERE age > {p}")
    rows = await methods.aio_execute_sql(select, (1,))
    assert [tuple(row) for row in rows] == [("ada", 36)]
    assert list(await methods.aio_execute_sql(select, (99,))) == []
    update = user_sql(methods, "UPDATE {user} SET age = age + 1")
    assert await methods.aio_execute_sql(update) == 1


async def test_sharper_27_aio_execute_sql_takes_part_in_blocks(
    methods: Any, objects: Manager, names: Names
) -> None:
    insert = user_sql(methods, "INSERT INTO {user} (name, age) VALUES ({p}, 1)")
    with suppress(Oops):
        async with objects.atomic():
            await methods.aio_execute_sql(insert, ("ada",))
            assert await objects.count(User) == 1
            raise Oops
    assert names() == set()
    with pytest.raises(peewee.PeeweeException):
        await methods.aio_execute_sql("SELECT FROM WHERE")


async def test_sharper_27_fetch_results(methods: Any, objects: Manager) -> None:
    await add(objects, "ada", "bob")
    given: list[Any] = []

    async def fetch_results(database: Any, cursor: Any) -> list[str]:
        given.append(database)
        return [name for (name,) in await cursor.fetchall()]

    select = user_sql(methods, "SELECT name FROM {user} ORDER BY name")
    found = await methods.aio_execute_sql(select, (), fetch_results)
    assert found == ["ada", "bob"]
    again = await methods.aio_execute_sql(select, fetch_results=fetch_results)
    assert again == found
    assert given == [methods, methods]
