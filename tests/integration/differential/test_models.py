"""Each model of the matrix: read, created, saved, looked up, deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from peewee import fn

from tests.integration.differential.models import Matrix, Mood
from tests.integration.differential.rows import rows
from tests.integration.differential.sides import (
    CHANGED_VERBS,
    IS_OLD_PEEWEE,
    Sides,
    in_one_loop,
    outcome,
)

pytestmark = in_one_loop

MODELS = [
    "Author",
    "Book",
    "Review",
    "Category",
    "Nickname",
    "Tag",
    "BookTag",
    "Club",
    "Big",
    "Country",
    "Token",
    "Packed",
    "Shelf",
    "Line",
    "Stamped",
    "Passport",
    "Draft",
    "Stateful",
    "Vehicle",
    "Truck",
    "Slot",
    "Setting",
    "Strange",
    "Percent",
    "Elsewhere",
    "CamelCased",
    "OldCamelCased",
    "Named",
    "Everything",
]
OF_ONE_BACKEND = {"Identity": "postgres", "Always": "postgres", "Bare": "sqlite"}

each_model = pytest.mark.parametrize("name", [*MODELS, *OF_ONE_BACKEND])


def has(sides: Sides, name: str) -> bool:
    return OF_ONE_BACKEND.get(name, sides.family) == sides.family


def trips(sides: Sides, name: str) -> bool:
    """Tell whether the driver cannot `get` from a table of this name.

    What becomes of it instead is in test_differences.py.
    """
    return name == "Percent" and sides.family == "postgres"


async def test_no_model_is_left_out(sides: Sides) -> None:
    names = {model.__name__ for model in sides.sync.models.models}
    # peewee makes this one itself, as a plain model: it has no async methods.
    names.remove("ClubBookThrough")
    assert names == {name for name in [*MODELS, *OF_ONE_BACKEND] if has(sides, name)}


ROW_TYPES: dict[str, Callable[[Any], Any]] = {
    "models": lambda query: query,
    "dicts": lambda query: query.dicts(),
    "tuples": lambda query: query.tuples(),
    "namedtuples": lambda query: query.namedtuples(),
    "objects": lambda query: query.objects(),
    "objects of a function": lambda query: query.objects(lambda **row: row),
}


def ordered(m: Matrix, name: str) -> Any:
    model = getattr(m, name)
    return model.select().order_by(*model._meta.sorted_fields[:2])


@each_model
async def test_rows(sides: Sides, name: str) -> None:
    if not has(sides, name):
        return
    for row_type in ROW_TYPES.values():

        async def case(do: Any, m: Matrix, row_type: Any = row_type) -> Any:
            return await do.execute(row_type(ordered(m, name)))

        await sides.compare(case)


READS: dict[str, Callable[[Any, Any], Any]] = {
    "get": lambda do, query: do.get(query),
    "get_or_none": lambda do, query: do.get_or_none(query),
    "first": lambda do, query: do.first(query),
    "first two": lambda do, query: do.first(query, 2),
    "count": lambda do, query: do.count(query),
    "exists": lambda do, query: do.exists(query),
    "scalar": lambda do, query: do.scalar(query),
    "scalar as tuple": lambda do, query: do.scalar(query, as_tuple=True),
    "scalar as dict": lambda do, query: do.scalar(query, as_dict=True),
    "count of the model": lambda do, query: do.count(query.model),
    "get of the model": lambda do, query: do.get(query.model),
}


@each_model
async def test_reads(sides: Sides, name: str) -> None:
    if not has(sides, name) or trips(sides, name):
        return
    for verb, read in READS.items():
        if IS_OLD_PEEWEE and verb in CHANGED_VERBS:
            continue

        async def case(do: Any, m: Matrix, read: Any = read) -> Any:
            return await read(do, ordered(m, name))

        await sides.compare(case)


@each_model
async def test_keys_of_rows_that_are_there(sides: Sides, name: str) -> None:
    """`get` by the key of each row, and by the object that it gives."""
    if not has(sides, name):
        return

    async def case(do: Any, m: Matrix) -> Any:
        model = getattr(m, name)
        if model._meta.primary_key is False:
            return None
        rows = await do.execute(ordered(m, name))
        return [await do.get(model, row._pk_expr()) for row in rows]

    await sides.compare(case)


@each_model
async def test_a_row_that_is_not_there(sides: Sides, name: str) -> None:
    if not has(sides, name) or trips(sides, name):
        return

    async def case(do: Any, m: Matrix) -> Any:
        return await do.get(getattr(m, name).select().where(fn.ABS(-1) == 2))

    kind, *_ = await sides.compare(case)
    assert kind == "raises"


# Writes


def new_values(m: Matrix, name: str) -> list[dict[str, Any]]:
    """Make values for rows that are not there yet, and for one that breaks a rule."""
    made: dict[str, list[dict[str, Any]]] = {
        "Author": [{"name": "fay"}, {"name": "ada"}, {}],
        "Book": [
            {"author": 1, "title": "New"},
            {"author": m.Author(id=2), "title": "Newer", "editor": m.Author(id=3)},
            {"author_id": 3, "title": "By its number"},
            {"author": 99, "title": "Nobody's"},
            {"title": "Nobody's either"},
        ],
        "Review": [{"book": 2}, {"book": 2, "stars": None}],
        "Category": [{"name": "new", "parent": 5}, {"name": "root"}],
        "Nickname": [
            {"author": "cyd", "nickname": "c"},
            {"author": m.Author(id=4, name="dee"), "nickname": "d"},
        ],
        "Tag": [{"label": "newest"}, {"label": "old"}],
        "BookTag": [{"book": 2, "tag": "old"}, {"book": 1, "tag": "old"}],
        "Club": [{"name": "new"}],
        "Big": [{}, {"id": 2**50, "label": "bigger"}],
        "Country": [{"code": "it"}, {"code": "de"}, {"label": "no code"}],
        "Token": [{}, {"label": "again"}, {"id": None}],
        "Packed": [{"id": rows("sqlite")["Token"][0]["id"]}, {"token": None}],
        "Shelf": [{"room": "hall", "number": 0}, {"room": "attic", "number": 1}],
        "Line": [{"text": "new"}, {"text": "new"}, {}],
        "Stamped": [{}, {"code": "given"}, {}],
        "Passport": [{"country": "fr"}, {"country": m.Country(code="de")}],
        "Draft": [{}, {"mood": Mood.BAD}],
        "Stateful": [{"name": "new"}, {"name": "newer", "size": None}],
        "Vehicle": [{"name": "new"}],
        "Truck": [{"name": "new", "towed_by": 1}],
        "Slot": [
            {"room": 2, "hour": 1},
            {"room": 2, "hour": 2, "seats": 0},
            {"room": 1, "hour": 8},
            {"name": "early", "room": 5, "hour": 5},
        ],
        "Setting": [{}, {"name": "n", "parts": [], "rank": None}],
        "Strange": [{"spaced": "c"}, {"spaced": "d", "parent": 1, "chosen": 4}],
        "Percent": [{"part": 1}, {"part": 2, "share": 3}],
        "Elsewhere": [{}],
        "CamelCased": [{}],
        "OldCamelCased": [{}],
        "Named": [{}],
        "Everything": [
            {},
            *(
                {key: value for key, value in row.items() if key != "id"}
                for row in rows("sqlite")["Everything"]
            ),
        ],
        "Identity": [{"label": "new"}, {"id": 50, "label": "given"}],
        "Always": [{"label": "new"}, {"id": 50, "label": "given"}],
        "Bare": [{"anything": 1}, {"anything": "text"}],
    }
    return made[name]


@each_model
async def test_create(sides: Sides, name: str) -> None:
    if not has(sides, name):
        return

    async def case(do: Any, m: Matrix) -> Any:
        model = getattr(m, name)
        return [await outcome(do.create(model, **row)) for row in new_values(m, name)]

    await sides.compare_writing(case, name)


INSERTS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "one": lambda model, row: model.insert(**row),
    "as a dict": lambda model, row: model.insert(row),
    "many": lambda model, row: model.insert_many([row]),
    "the number of rows": lambda model, row: model.insert(**row).as_rowcount(),
}


@each_model
async def test_insert(sides: Sides, name: str) -> None:
    if not has(sides, name):
        return
    for insert in INSERTS.values():

        async def case(do: Any, m: Matrix, insert: Any = insert) -> Any:
            queries = [insert(getattr(m, name), row) for row in new_values(m, name)]
            return [await outcome(do.execute(query)) for query in queries]

        await sides.compare_writing(case, name)


@each_model
async def test_save_of_what_was_read(sides: Sides, name: str) -> None:
    """Objects are saved as they are, then with one field of them touched."""
    if not has(sides, name):
        return

    async def case(do: Any, m: Matrix) -> Any:
        answers = []
        for instance in await do.execute(ordered(m, name)):
            answers.append(await outcome(do.save(instance)))
            field = instance._meta.sorted_fields[-1]
            setattr(instance, field.name, instance.__data__[field.name])
            answers.append(list(instance.dirty_field_names))
            answers.append(await outcome(do.save(instance)))
            answers.append(instance)
        return answers

    await sides.compare_writing(case, name)


@each_model
async def test_update_of_what_was_read(sides: Sides, name: str) -> None:
    """The same by the verb of the Manager: all fields, then by name, then by field."""
    # Without a key, or with nothing but a key, `update` has words of its own: see
    # test_differences.py.
    if not has(sides, name) or name in ("Line", "Tag"):
        return

    async def case(do: Any, m: Matrix) -> Any:
        answers = []
        for instance in await do.execute(ordered(m, name)):
            field = instance._meta.sorted_fields[-1]
            for only in ([field.name], [field]):
                setattr(instance, field.name, instance.__data__[field.name])
                answers.append(await outcome(do.update(instance, only)))
                answers.append(instance)
        return answers

    await sides.compare_writing(case, name)


@each_model
async def test_save_of_what_is_new(sides: Sides, name: str) -> None:
    if not has(sides, name):
        return

    async def case(do: Any, m: Matrix) -> Any:
        answers = []
        for row in new_values(m, name):
            instance = getattr(m, name)(**row)
            before = list(instance.dirty_field_names)
            saved = await outcome(do.save(instance))
            between = list(instance.dirty_field_names)
            again = await outcome(do.save(instance))
            answers += [before, saved, between, again, instance]
        return answers

    async def forced(do: Any, m: Matrix) -> Any:
        made = [getattr(m, name)(**row) for row in new_values(m, name)]
        saved = [await outcome(do.save(item, force_insert=True)) for item in made]
        return saved, made

    await sides.compare_writing(case, name)
    await sides.compare_writing(forced, name)


async def delete(do: Any, instance: Any, recursive: bool, delete_nullable: bool) -> Any:
    """Delete in one transaction, as the async way does by itself (ruling 15)."""
    async with do.atomic():
        return await do.delete_instance(
            instance, recursive=recursive, delete_nullable=delete_nullable
        )


@each_model
async def test_delete_of_each_row(sides: Sides, name: str) -> None:
    if not has(sides, name):
        return
    for recursive, delete_nullable in (
        (False, False),
        (True, False),
        (True, True),
    ):

        async def case(
            do: Any,
            m: Matrix,
            recursive: bool = recursive,
            delete_nullable: bool = delete_nullable,
        ) -> Any:
            rows = await do.execute(ordered(m, name))
            return [
                await outcome(delete(do, row, recursive, delete_nullable))
                for row in rows
            ]

        await sides.compare_writing(case, name)


@each_model
async def test_get_or_create(sides: Sides, name: str) -> None:
    if not has(sides, name):
        return

    async def case(do: Any, m: Matrix) -> Any:
        model, answers = getattr(m, name), []
        for row in filter(None, new_values(m, name)):
            # What is looked up is in one row at most: no order tells which is first.
            keys = list(row)[: 2 if name in ("BookTag", "Shelf") else 1]
            lookup = {key: row.pop(key) for key in keys}
            defaults = row
            for _ in range(2):
                call = do.get_or_create(model, **lookup, defaults=defaults)
                answers.append(await outcome(call))
        return answers

    await sides.compare_writing(case, name)
