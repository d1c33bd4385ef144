"""Nothing at all, and very much: rows, parameters, bytes, columns, depth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import peewee
import pytest
from peewee import Value, fn

from tests.integration.backends import Backend
from tests.integration.checks import only
from tests.integration.conftest import CreateTables
from tests.integration.edges import Twins, raw, same_mode, select
from tests.integration.models import Everything, Line, User, people

MEGABYTE = 2**20
MANY = 100_000

# Nothing


def nothing() -> Iterator[dict[str, Any]]:
    yield from ()


INSERTS: dict[str, Callable[[], Any]] = {
    "a list": lambda: User.insert_many([]),
    "a tuple": lambda: User.insert_many(()),
    "an iterator": lambda: User.insert_many(iter([])),
    "a generator": lambda: User.insert_many(nothing()),
    "with fields": lambda: User.insert_many([], fields=[User.name]),
    "ignoring": lambda: User.insert_many([]).on_conflict_ignore(),
    "replacing": lambda: User.insert_many([]).on_conflict_replace(),
    "returning": lambda: User.insert_many([]).returning(User.id),
    "as rowcount": lambda: User.insert_many([]).as_rowcount(),
    "no data": User.insert,
    "an update": lambda: User.update({}),
}


async def test_writing_nothing(
    twins: Twins, backend: Backend, tables: CreateTables
) -> None:
    tables(User)
    await same_mode(twins, backend)
    for name, make in INSERTS.items():
        await twins.agree(make, name)
    assert await User.select().aio_count() == 0
    assert await twins.ours(lambda: User.insert_many([])) is None


EMPTY: dict[str, Any] = {
    "in_ list": lambda: User.age.in_([]),
    "in_ set": lambda: User.age.in_(set()),
    "in_ generator": lambda: User.age.in_(nothing()),
    "not_in": lambda: User.age.not_in([]),
    "<<": lambda: User.age << (),
    "in_ empty query": lambda: User.age.in_(User.select(User.age).where(User.age < 0)),
    "nested": lambda: (User.age.in_([]) | User.name.in_([])) & User.age.not_in([]),
}


@pytest.mark.parametrize("rows", [0, 1, 3])
async def test_empty_lists_in_conditions(
    rows: int, twins: Twins, tables: CreateTables
) -> None:
    tables(User)
    if rows:
        await User.insert_many(people(rows)).aio_execute()
    for name, condition in EMPTY.items():
        query = partial(lambda make: User.select().where(make()), condition)
        await twins.agree(query, name)
        found = await query().aio_count()
        assert found == (rows if name == "not_in" else 0)
        assert await query().aio_exists() is (found > 0)
        assert len(await query().aio_execute()) == found
        assert (await query().aio_first() is None) is (found == 0)


# Very much


async def test_a_hundred_thousand_rows(twins: Twins, tables: CreateTables) -> None:
    tables(Line)
    eighth = [(f"line {number}",) for number in range(MANY // 8)]
    async with twins.database.aio_atomic():
        await Line.insert_many(eighth, fields=[Line.text]).aio_execute()
        for _ in range(3):  # which is faster than to have peewee render them all
            await Line.insert_from(Line.select(Line.text), [Line.text]).aio_execute()
    query = Line.select().tuples()
    found = await query.aio_execute()
    assert len(found) == MANY
    assert Counter(found) == dict.fromkeys(eighth, 8)
    assert await query.aio_count() == MANY
    assert len(twins.peewee(Line.select().tuples)) == MANY
    await twins.check_usable()


async def test_65536_parameters(twins: Twins, tables: CreateTables) -> None:
    tables(User)
    await User.insert_many(people(3)).aio_execute()
    ages = list(range(2, 2 + 65_536))
    await twins.agree(lambda: User.select(User.name).where(User.age.in_(ages)).tuples())


@only("sqlite")
async def test_too_many_parameters(twins: Twins) -> None:
    count = 250_001  # more than any usual build of SQLite takes
    sql = f"SELECT 1 WHERE 1 IN ({', '.join('?' * count)})"
    outcome = await twins.agree(lambda: raw(sql, *range(count)))
    assert isinstance(outcome, peewee.OperationalError)
    assert "too many SQL variables: send fewer values at a time" in str(outcome)
    assert "peewee.chunked(rows, 1000)" in str(outcome)


@only("mysql")
@pytest.mark.parametrize("more", [1_000, 2**24, 2**25], ids=["just", "more", "far"])
async def test_a_statement_that_is_too_long_for_mysql(
    more: int, twins: Twins, tables: CreateTables
) -> None:
    tables(Line)
    ((limit,),) = twins.seen_outside("SELECT @@max_allowed_packet")
    for value in ("x" * (limit + more), bytes((limit + more) // 2)):
        outcome = await twins.ours(partial(select, fn.LENGTH(Value(value))))
        assert type(outcome) is peewee.OperationalError
        assert "max_allowed_packet" in str(outcome)
        assert "send fewer values at a time" in str(outcome)
        await twins.check_usable()
    with pytest.raises(peewee.OperationalError, match="lost"):
        async with twins.database.aio_atomic():
            await Line.aio_create(text="one")
            with pytest.raises(peewee.OperationalError, match="max_allowed_packet"):
                await Line.aio_create(text="x" * (limit + more))
            await Line.aio_create(text="two")
    assert await Line.select().aio_count() == 0
    await twins.check_usable()


@only("postgres", "sqlite")
@pytest.mark.parametrize("kind", [str, bytes])
async def test_fifty_megabytes(kind: type, twins: Twins, tables: CreateTables) -> None:
    tables(Everything)
    value: Any = "é123 %'\\." * (5 * MEGABYTE)
    if kind is bytes:
        value = bytes(range(256)) * (50 * MEGABYTE // 256)
    name = "text" if kind is str else "blob"
    assert len(value if kind is bytes else value.encode()) == 50 * MEGABYTE
    await Everything.aio_create(**{name: value})
    ((found,),) = await twins.rows(f"SELECT {name} FROM everything")
    same = (found if kind is str else bytes(found)) == value
    assert same  # not by pytest, which would print them
    await twins.check_usable()


@only("mysql")
@pytest.mark.parametrize("value", ["é\\'%" * 2 * MEGABYTE, b"\0\xff%'" * MEGABYTE])
async def test_megabytes_within_the_limit_of_mysql(value: Any, twins: Twins) -> None:
    assert await twins.rows("SELECT %s", value) == [(value,)]
    await twins.check_usable()


# Very deep


def deep(depth: int) -> Any:
    condition: Any = User.age == 1
    for number in range(depth):
        condition = condition & (User.age == number)
    return User.select().where(condition)


@pytest.mark.parametrize("depth", [50, 300, 5_000])
async def test_a_deep_expression(
    depth: int, twins: Twins, tables: CreateTables
) -> None:
    tables(User)
    outcome = await twins.agree(partial(deep, depth))
    if depth == 5_000:
        assert isinstance(outcome, RecursionError)
    async with twins.database.aio_atomic():
        await User.aio_create(name="ada", age=1)
        await twins.ours(partial(deep, depth))
        assert (await User.aio_get(age=1)).name == "ada"


async def test_deep_subqueries(twins: Twins, tables: CreateTables) -> None:
    tables(User)

    def nested(depth: int) -> Any:
        query = User.select(User.id)
        for _ in range(depth):
            query = User.select(User.id).where(User.id.in_(query))
        return query

    for depth in (1, 7):  # to render each takes peewee twice as long
        await twins.agree(partial(nested, depth), depth)


async def test_many_columns(twins: Twins) -> None:
    for count in (1_600, 1_665, 4_097):
        sql = "SELECT " + ", ".join(f"{n} AS c{n}" for n in range(count))
        await twins.agree(raw(sql).dicts, count)
