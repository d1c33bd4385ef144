"""The verbs that came last: keys, bulk, peek, scalars, many-to-many, JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.differential.models import Matrix
from tests.integration.differential.rows import TYPICAL
from tests.integration.differential.sides import Sides, in_one_loop, outcome
from tests.integration.differential.ways import ByManager, NotOffered, Sync

pytestmark = in_one_loop


async def call(do: Any, target: Any, name: str, *args: Any, **options: Any) -> Any:
    """Call a method of a model or query, or its async twin; Manager has none."""
    if isinstance(do, ByManager):
        raise NotOffered
    if isinstance(do, Sync):
        return getattr(target, name)(*args, **options)
    return await getattr(target, f"aio_{name}")(*args, **options)


KEYS: dict[str, tuple[Any, Any]] = {
    "Author": (1, 99),
    "Country": ("de", "xx"),
    "Shelf": (("attic", 1), ("attic", 99)),
    "Nickname": (1, 99),
    "Big": (2**40, 1),
    "BookTag": ((1, "old"), (9, "old")),
}
VALUES: dict[str, dict[str, Any]] = {
    "Author": {"name": "set"},
    "Country": {"label": "set"},
    "Shelf": {"label": "set"},
    "Nickname": {"nickname": "set"},
    "Big": {"label": "set"},
    "BookTag": {"weight": 9},
}


@pytest.mark.parametrize("name", KEYS)
async def test_by_id(sides: Sides, name: str) -> None:
    async def case(do: Any, m: Matrix) -> Any:
        model, answers = getattr(m, name), []
        for key in KEYS[name]:
            answers += [
                await outcome(call(do, model, "get_by_id", key)),
                await outcome(call(do, model, "set_by_id", key, VALUES[name])),
                await outcome(call(do, model, "get_by_id", key)),
                await outcome(call(do, model, "delete_by_id", key)),
                await outcome(call(do, model, "delete_by_id", key)),
            ]
        return answers

    await sides.compare_writing(case, name)


NEW: dict[str, Callable[[Any], list[Any]]] = {
    "auto": lambda m: [m.Author(name=f"n{n}") for n in range(5)],
    "none": lambda m: [],
    "foreign keys": lambda m: [m.Book(author=1, title=f"t{n}") for n in range(3)],
    "composite": lambda m: [m.Shelf(room="hall", number=n) for n in range(3)],
    "no key": lambda m: [m.Line(text=str(n)) for n in range(3)],
    "given keys": lambda m: [m.Tag(label=f"l{n}") for n in range(3)],
    "defaults": lambda m: [m.Setting(note=str(n)) for n in range(3)],
    "a duplicate": lambda m: [m.Author(name="fay"), m.Author(name="ada")],
    "dirty": lambda m: [m.Draft(title="a"), m.Draft(text="b")],
}


@pytest.mark.parametrize("batch_size", [None, 1, 2])
@pytest.mark.parametrize("name", NEW)
async def test_bulk_create(sides: Sides, name: str, batch_size: int | None) -> None:
    async def case(do: Any, m: Matrix) -> Any:
        made = NEW[name](m)
        model = type(made[0]) if made else m.Author
        async with do.atomic():
            answer = await call(do, model, "bulk_create", made, batch_size=batch_size)
        return answer, made

    models = {type(made).__name__ for made in NEW[name](sides.sync.models)}
    await sides.compare_writing(case, *(models or {"Author"}))


@pytest.mark.parametrize("batch_size", [None, 1, 2])
@pytest.mark.parametrize("name", ["Author", "Draft", "Country", "Setting", "Shelf"])
async def test_bulk_update(sides: Sides, name: str, batch_size: int | None) -> None:
    async def case(do: Any, m: Matrix) -> Any:
        model = getattr(m, name)
        field = {"Author": "name", "Draft": "title", "Setting": "note"}.get(
            name, "label"
        )
        rows = await do.execute(
            model.select().order_by(*model._meta.get_primary_keys())
        )
        for number, row in enumerate(rows):
            setattr(row, field, f"%s{number}")
        call_it = call(
            do, model, "bulk_update", rows, fields=[field], batch_size=batch_size
        )
        return await outcome(call_it), rows

    await sides.compare_writing(case, name)


async def test_peek(sides: Sides) -> None:
    for n in (1, 2, 99):

        async def case(do: Any, m: Matrix, n: int = n) -> Any:
            query = m.Author.select().order_by(m.Author.id)
            found = await call(do, query, "peek", n=n)
            none = await call(do, query.where(m.Author.id > 99), "peek", n=n)
            return list(found) if n > 1 else found, none

        await sides.compare(case)


async def test_scalars(sides: Sides) -> None:
    async def case(do: Any, m: Matrix) -> Any:
        queries = (
            m.Author.select(m.Author.born).order_by(m.Author.id),
            m.Book.select(m.Book.price, m.Book.title).order_by(m.Book.id),
            m.Everything.select(m.Everything.mood).order_by(m.Everything.id),
            m.Author.select(m.Author.name).where(m.Author.id > 99),
        )
        return [list(await call(do, query, "scalars")) for query in queries]

    await sides.compare(case)


def related(m: Matrix, backwards: bool) -> tuple[Any, Any, Any]:
    """Give what has many, and two of what it may have more of."""
    if backwards:
        return m.Book(id=1).clubs, m.Club(id=2), m.Club
    return m.Club(id=1).books, m.Book(id=2), m.Book


MANY: dict[str, Callable[[Any, Any], tuple[Any, ...]]] = {
    "add": lambda one, model: ("add", one),
    "add several": lambda one, model: ("add", [one, one]),
    "add a key": lambda one, model: ("add", 2),
    "add a query": lambda one, model: ("add", model.select().where(model.id == 2)),
    "add what is there": lambda one, model: ("add", 1),
    "add, then no others": lambda one, model: ("add", [one], True),
    "remove": lambda one, model: ("remove", 1),
    "remove several": lambda one, model: ("remove", [1, 2]),
    "remove what is not there": lambda one, model: ("remove", one),
    "remove by a query": lambda one, model: ("remove", model.select()),
    "clear": lambda one, model: ("clear",),
    "add nothing": lambda one, model: ("add", []),
}


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", MANY)
async def test_many_to_many(sides: Sides, name: str, backwards: bool) -> None:
    async def case(do: Any, m: Matrix) -> Any:
        query, one, model = related(m, backwards)
        verb, *args = MANY[name](one, model)
        answer = await outcome(call(do, query, verb, *args))
        found, *_ = related(m, backwards)
        return answer, await do.execute(found.order_by(model.id))

    await sides.compare_writing(case, "Club", "Book")


async def test_json_of_a_model_without_a_database(sides: Sides) -> None:
    """A JSONField of peewee learns from its model's database how to read.

    Given a database for one query, sync gives what the driver gives; Manager, whose
    models need no database, gives the value.
    """
    sync, _, by_manager = sides.all
    answers = {}
    for side in (sync, by_manager):
        model = side.models.Everything
        bound = model._meta.database
        model._meta.set_database(None)
        try:
            query = model.select(model.json).where(model.id == 1).tuples()
            if side is sync:
                answers["sync"] = list(query.execute(side.way.database))
            else:
                answers["Manager"] = await side.way.execute(query)
        finally:
            model._meta.set_database(bound)
    assert answers["Manager"] == [(TYPICAL["json"],)]
    # psycopg2 reads JSON by itself.
    assert isinstance(
        answers["sync"][0][0], dict if sides.family == "postgres" else str
    )
