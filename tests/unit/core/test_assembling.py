"""Rows of a prefetch are put together as peewee's own two methods would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee
import pytest
from peewee import PREFETCH_TYPE

from peewee_async.core.assembling import Known, assembled
from peewee_async.core.boundary import Pause
from peewee_async.core.execution import PORTION
from peewee_async.core.row_objects import Dirty
from tests.unit.rows import picture

_peewee: Any = peewee


class Owner(peewee.Model):
    code: Any = peewee.CharField(null=True)


class Pet(peewee.Model):
    owner: Any = peewee.ForeignKeyField(Owner, backref="pets", null=True)
    sitter: Any = peewee.ForeignKeyField(Owner, backref="guests", null=True)
    by_code: Any = peewee.ForeignKeyField(
        Owner, field="code", backref="coded", null=True
    )


class Toy(peewee.Model):
    pet: Any = peewee.ForeignKeyField(Pet, backref="toys", null=True)


class Node(peewee.Model):
    above: Any = peewee.ForeignKeyField("self", backref="below", null=True)


class Chip(peewee.Model):
    pet: Any = peewee.ForeignKeyField(Pet, primary_key=True, backref="chips")


class Scan(peewee.Model):
    """A key that points to a key."""

    chip: Any = peewee.ForeignKeyField(Chip, backref="scans")


class Special(peewee.Model):
    owner: Any = peewee.ForeignKeyField(Owner, backref="specials", null=True)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self.__dict__.setdefault("order", []).append(name)


class SparingOwner(peewee.Model):
    _dirty = Dirty()


class LoudAccessor(_peewee.ForeignKeyAccessor):  # type: ignore[misc]
    """Makes more dirty than its own field."""

    def __set__(self, instance: Any, value: Any) -> None:
        super().__set__(instance, value)
        instance._dirty.add("id")


class LoudKey(peewee.ForeignKeyField):
    accessor_class = LoudAccessor


class SparingPet(peewee.Model):
    owner: Any = peewee.ForeignKeyField(SparingOwner, backref="pets", null=True)
    sitter: Any = LoudKey(Owner, backref="spared", null=True)
    _dirty = Dirty()


class LoudOwner(peewee.Model):
    """Becomes dirty when its pets are put in."""

    name: Any = peewee.CharField(null=True)
    home: Any = peewee.ForeignKeyField(SparingOwner, backref="guests", null=True)
    _dirty = Dirty()


class Cat(peewee.Model):
    owner: Any = peewee.ForeignKeyField(LoudOwner, backref="cats", null=True)


def _set_cats(owner: Any, cats: Any) -> None:
    vars(owner)["own"] = cats
    owner.name = "set"


# The key has put its own in the place.
LoudOwner.cats = property(lambda owner: vars(owner)["own"], _set_cats)  # type: ignore[attr-defined]


class Watchful(peewee.Model):
    """Becomes dirty whatever is put in."""

    name: Any = peewee.CharField(null=True)
    home: Any = peewee.ForeignKeyField(SparingOwner, backref="watchers", null=True)
    _dirty = Dirty()

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "kittens":
            self._dirty.add("name")


class Kitten(peewee.Model):
    owner: Any = peewee.ForeignKeyField(Watchful, backref="kittens", null=True)


class NotedPet(Pet):
    """One class of rows among others, as a constructor of the program's own makes."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        times = self.__dict__.setdefault("times", {})
        times[name] = times.get(name, 0) + 1


def made(model: Any, *rows: dict[str, Any]) -> list[Any]:
    """Make rows as they come from a database."""
    instances = []
    for row in rows:
        instance = model(__no_default__=True, **row)
        instance._dirty.clear()
        instances.append(instance)
    return instances


def owners() -> list[Any]:
    numbers = [(1, "a"), (2, None), (2, "a"), (3, "c")]
    return made(Owner, *({"id": key, "code": code} for key, code in numbers))


def pets() -> list[Any]:
    keys = [(1, 1, 2, "a"), (2, None, "2", None), (3, 2, 1, "c"), (4, 9, 3, "x")]
    names = ("id", "owner", "sitter", "by_code")
    return made(Pet, *(dict(zip(names, row, strict=True)) for row in keys))


def toys() -> list[Any]:
    return made(Toy, {"id": 1, "pet": 1}, {"id": 2, "pet": None}, {"id": 3, "pet": 1})


def dirty_pets() -> list[Any]:
    rows = pets()
    for row in rows:
        row._dirty.update(("owner", "by_code"))
    return rows


def nodes() -> list[Any]:
    keys = [(1, None), (2, 1), (3, 1), (4, 3), (5, 5), (6, 9)]
    return made(Node, *({"id": key, "above": above} for key, above in keys))


def pets_of_two_classes() -> list[Any]:
    one = {"id": 1, "owner": 1, "sitter": 2, "by_code": "a"}
    return made(Pet, one) + made(NotedPet, one | {"id": 2})


def sparing_owners() -> list[Any]:
    return made(SparingOwner, {"id": 1}, {"id": 2})


def sparing_pets() -> list[Any]:
    one = {"id": 1, "owner": 1, "sitter": 1}
    return made(SparingPet, one, one | {"id": 2, "owner": None})


Level = tuple[Any, Callable[[], list[Any]]]
CASES: dict[str, list[Level]] = {
    "one": [(Owner, owners)],
    "children": [(Owner, owners), (Pet, pets)],
    "children of children": [(Owner, owners), (Pet, pets), (Toy, toys)],
    "two kinds of children": [
        (Owner, owners),
        (Pet, pets),
        (Special, lambda: made(Special, {"id": 1, "owner": 1}, {"id": 2, "owner": 2})),
    ],
    "parents": [(Pet, pets), (Owner, owners)],
    "parents of dirty rows": [(Pet, dirty_pets), (Owner, owners)],
    "dirty children": [(Owner, owners), (Pet, dirty_pets)],
    "parents of parents": [(Toy, toys), (Pet, pets), (Owner, owners)],
    "parents of special rows": [
        (Special, lambda: made(Special, {"id": 1, "owner": 1})),
        (Owner, owners),
    ],
    "children of two classes": [(Owner, owners), (Pet, pets_of_two_classes)],
    "parents of two classes of rows": [(Pet, pets_of_two_classes), (Owner, owners)],
    "its own children": [(Node, nodes), (Node, nodes)],
    "children that need not be dirty": [
        (SparingOwner, sparing_owners),
        (SparingPet, sparing_pets),
    ],
    "parents of rows that need not be dirty": [
        (SparingPet, sparing_pets),
        (SparingOwner, sparing_owners),
    ],
    "children that got dirty by a parent": [
        (SparingOwner, sparing_owners),
        (SparingPet, sparing_pets),
        (Owner, owners),
    ],
    "children that got dirty by children": [
        (SparingOwner, sparing_owners),
        (LoudOwner, lambda: made(LoudOwner, {"id": 1, "home": 1})),
        (Cat, lambda: made(Cat, {"id": 1, "owner": 1})),
    ],
    "children that whatever is put in makes dirty": [
        (SparingOwner, sparing_owners),
        (Watchful, lambda: made(Watchful, {"id": 1, "home": 1})),
        (Kitten, lambda: made(Kitten, {"id": 1, "owner": 1})),
    ],
    "no children": [(Owner, owners), (Pet, list)],
    "no parents": [(Owner, list), (Pet, pets)],
}


def stages_of(case: list[Level], kind: int) -> list[Any]:
    (root, _), *rest = case
    models = [model for model, _ in rest]
    stages: list[Any] = _peewee.prefetch_add_subquery(root.select(), models, kind)
    return stages


def by_peewee(case: list[Level], stages: list[Any]) -> list[Any]:
    """Do what the loop of `peewee.prefetch` does."""
    instances: dict[Any, Any] = {}
    inner: dict[Any, list[Any]] = {}
    rows: list[Any] = []
    for stage, (_, make) in reversed(list(zip(stages, case, strict=True))):
        for model in stage.rel_models or ():
            inner.setdefault(model, []).append(stage)
        known = instances.setdefault(stage.model, {})
        rows = make()
        for row in rows:
            if stage.fields:
                stage.store_instance(row, known)
            for child in inner.get(stage.model, ()):
                child.populate_instance(row, instances[child.model])
    return rows


def by_us(case: list[Level], stages: list[Any]) -> list[Any]:
    known: dict[Any, Known] = {}
    inner: dict[Any, list[Any]] = {}
    rows: list[Any] = []
    for stage, (_, make) in reversed(list(zip(stages, case, strict=True))):
        for model in stage.rel_models or ():
            inner.setdefault(model, []).append(stage)
        own = known.setdefault(stage.model, Known())
        rows = make()
        children = [(it, known[it.model]) for it in inner.get(stage.model, ())]
        assert list(assembled(stage, rows, own, children)) == []
    return rows


@pytest.mark.parametrize("kind", [PREFETCH_TYPE.WHERE, PREFETCH_TYPE.JOIN])
@pytest.mark.parametrize("name", CASES)
def test_rows_are_put_together_as_in_peewee(name: str, kind: int) -> None:
    case = CASES[name]
    stages = stages_of(case, kind)
    assert picture(by_us(case, stages)) == picture(by_peewee(case, stages))


@pytest.mark.parametrize("rows", [0, 1, PORTION, PORTION + 1, 3 * PORTION])
def test_others_get_a_turn_after_each_portion(rows: int) -> None:
    (stage,) = stages_of([(Owner, owners)], PREFETCH_TYPE.WHERE)
    made_rows = [Owner(id=number) for number in range(rows)]
    pauses = list(assembled(stage, made_rows, Known(), []))
    assert pauses == [Pause()] * max(0, -(-rows // PORTION) - 1)


def test_nothing_is_dirty_that_need_not_be() -> None:
    sparing: list[Level] = [(SparingOwner, list), (SparingPet, list)]
    stages = stages_of(sparing, PREFETCH_TYPE.WHERE)
    pet, known, top = SparingPet.__new__(SparingPet), Known(), Known()
    pet.__data__, pet.__rel__ = {"id": 1, "owner": 1, "sitter": 1}, {}
    assert list(assembled(stages[1], [pet], known, [])) == []
    (owner,) = made(SparingOwner, {"id": 1})
    assert list(assembled(stages[0], [owner], top, [(stages[1], known)])) == []
    assert pet.owner is owner
    assert "_dirty" not in vars(pet)


def test_a_key_that_was_not_selected_is_an_error_as_in_peewee() -> None:
    case: list[Level] = [(Owner, owners), (Pet, lambda: made(Pet, {"id": 1}))]
    stages = stages_of(case, PREFETCH_TYPE.WHERE)
    for way in (by_us, by_peewee):
        with pytest.raises(KeyError):
            way(case, stages)


def test_a_key_to_a_key_is_looked_up_as_in_peewee() -> None:
    case: list[Level] = [
        (Chip, lambda: made(Chip, {"pet": 1})),
        (Scan, lambda: made(Scan, {"id": 1, "chip": 1})),
    ]
    stages = stages_of(case, PREFETCH_TYPE.WHERE)
    for way in (by_us, by_peewee):
        with pytest.raises(peewee.InterfaceError, match="bound to a database"):
            way(case, stages)
