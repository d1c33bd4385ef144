"""Where async is not like sync: each difference, and why there is one."""

from __future__ import annotations

from typing import Any

import peewee
from peewee import fn

from tests.integration.checks import only
from tests.integration.differential.models import Matrix
from tests.integration.differential.sides import Case, Outcome, Sides, in_one_loop
from tests.integration.differential.ways import NotOffered

pytestmark = in_one_loop


async def both(sides: Sides, case: Case, *names: str) -> tuple[Outcome, Outcome]:
    """Run a case in each way: what sync answers, and what both async ways do."""
    try:
        sync = await sides.sync.answer(case)
        found = []
        for side in sides.others:
            try:
                found.append(await side.answer(case))
            except NotOffered:
                continue
    finally:
        for side in sides.all:
            side.fill(sides.with_dependants(names))
    assert found[1:] in ([], found[:1])
    return sync, found[0]


def value(answer: Outcome) -> Any:
    kind, (_, given) = answer
    assert kind == "gives"
    return given


async def test_count_of_an_aggregate(sides: Sides) -> None:
    """Ruling 20: it gives one row; peewee counts the rows that go into it."""

    async def case(do: Any, m: Matrix) -> Any:
        return await do.count(m.Author.select(fn.MAX(m.Author.born)))

    sync, ours = await both(sides, case)
    assert (value(sync), value(ours)) == (5, 1)


async def test_count_of_a_noop(sides: Sides) -> None:
    """peewee wraps the text of a noop without brackets, which is no SQL."""

    async def case(do: Any, m: Matrix) -> Any:
        return await do.count(m.Author.noop())

    sync, ours = await both(sides, case)
    assert sync[0] == "raises"
    assert value(ours) == 0


@only("sqlite")
async def test_the_last_key_of_nothing(sides: Sides) -> None:
    """Ruling 18: SQLite tells the last key of the connection, whatever was inserted."""

    async def case(do: Any, m: Matrix) -> Any:
        await do.create(m.Author, name="fay")
        return await do.execute(m.Author.insert(name="ada").on_conflict_ignore())

    async def from_nothing(do: Any, m: Matrix) -> Any:
        await do.create(m.Author, name="fay")
        nobody = m.Author.select(m.Author.name).where(m.Author.id > 99)
        return await do.execute(m.Author.insert_from(nobody, ["name"]))

    for each in (case, from_nothing):
        sync, ours = await both(sides, each, "Author")
        assert value(sync) is not None
        assert value(ours) is None


async def test_update_of_nothing_but_a_key(sides: Sides) -> None:
    """Ruling 14: the Manager's update gives 0; `save` raises, sync and async."""

    async def case(do: Any, m: Matrix) -> Any:
        return await do.update(await do.get(m.Tag, label="old"), only=["label"])

    sync, by_model, by_manager = [await side.answer(case) for side in sides.all]
    assert sync[:2] == by_model[:2] == ("raises", "ValueError")
    assert value(by_manager) == 0


async def test_a_deletion_that_fails_half_way(sides: Sides) -> None:
    """Ruling 15: it is one block, so nothing of it is done.

    That it fails is peewee's: of two keys to one model it follows the first, and the
    reviews and tags of books that the second leads to are in the way.
    """

    async def case(do: Any, m: Matrix) -> Any:
        author = await do.get(m.Author, name="ada")
        try:
            await do.delete_instance(author, recursive=True, delete_nullable=True)
        except peewee.IntegrityError:
            return await do.count(m.Nickname.select().where(m.Nickname.author == "ada"))

    sync, ours = await both(sides, case, "Author")
    assert (value(sync), value(ours)) == (0, 2)


@only("postgres")
async def test_a_raw_statement_without_rows(sides: Sides) -> None:
    """peewee asks the driver for rows that there are none of; we give no rows."""

    async def case(do: Any, m: Matrix) -> Any:
        return await do.execute(m.Tag.raw("INSERT INTO tag (label) VALUES ('raw')"))

    sync, ours = await both(sides, case, "Tag", "BookTag")
    assert sync[:2] == ("raises", "ProgrammingError")
    assert ours == ("gives", ("list", None, []))


@only("postgres")
async def test_a_driver_that_trips_over_a_name(sides: Sides) -> None:
    """peewee's `get` takes any IndexError for a missing row, psycopg2's as well."""

    async def case(do: Any, m: Matrix) -> Any:
        return await do.get(m.Percent.select())

    sync, ours = await both(sides, case)
    assert sync[:2] == ("raises", "PercentDoesNotExist")
    assert ours[:2] == ("raises", "IndexError")


@only("sqlite")
async def test_a_converter_that_fails(sides: Sides) -> None:
    """Python's list() hides the TypeError of a converter in a wrapper of peewee."""

    async def case(do: Any, m: Matrix) -> Any:
        return await do.execute(m.Everything.select(m.Everything.date.year))

    sync, ours = await both(sides, case)
    assert sync[:2] == ("raises", "IndexError")
    assert ours[:2] == ("raises", "TypeError")
