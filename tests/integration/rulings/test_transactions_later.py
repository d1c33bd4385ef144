"""Ruling 23: queries outside of the block, on purpose."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from peewee_async import Manager
from tests.integration.backends import Backend
from tests.integration.checks import only, statistics
from tests.integration.models import User
from tests.integration.rulings.common import Oops, add, connection_number
from tests.integration.rulings.conftest import Names

servers_only = only("postgres", "mysql")


@pytest.fixture
def detached(objects: Manager) -> Any:
    database: Any = objects.database
    return database.detached


async def test_ruling_23_detached_sees_nothing_of_the_block(
    objects: Manager, detached: Any
) -> None:
    async with objects.atomic():
        await add(objects, "ada")
        async with detached():
            assert await objects.count(User) == 0
            assert await User.select().aio_count() == 0
        assert await objects.count(User) == 1
    assert statistics(objects.database).busy == 0


@servers_only
async def test_ruling_23_detached_writes_for_good(
    objects: Manager, detached: Any, names: Names
) -> None:
    with suppress(Oops):
        async with objects.atomic():
            await add(objects, "undone")
            async with detached():
                await add(objects, "kept")
                async with objects.atomic():
                    await add(objects, "kept too")
                assert names() == {"kept", "kept too"}
            await add(objects, "undone as well")
            raise Oops
    assert names() == {"kept", "kept too"}


@servers_only
async def test_ruling_23_detached_has_a_connection_of_its_own(
    objects: Manager, detached: Any, backend: Backend
) -> None:
    async with objects.atomic():
        inside = await connection_number(objects, backend)
        async with detached():
            outside = await connection_number(objects, backend)
            child = await asyncio.create_task(connection_number(objects, backend))
        assert inside not in (outside, child)
        assert await connection_number(objects, backend) == inside


@servers_only
async def test_ruling_23_an_error_in_a_detached_block(
    objects: Manager, detached: Any, names: Names
) -> None:
    """It undoes what it has to, and the block around goes on."""
    async with objects.atomic():
        await add(objects, "one")
        with suppress(Oops):
            async with detached(), objects.atomic():
                await add(objects, "undone")
                raise Oops
        with suppress(Oops):
            async with detached():
                await add(objects, "kept")
                raise Oops
        await add(objects, "two")
    assert names() == {"one", "two", "kept"}


async def test_ruling_23_detached_outside_of_a_block(
    objects: Manager, detached: Any, names: Names
) -> None:
    async with detached():
        await add(objects, "one")
        async with objects.atomic():
            await add(objects, "two")
    assert names() == {"one", "two"}
