"""Joined rows hang together as `ModelCursorWrapper` of peewee would hang them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import peewee
import pytest
from peewee import JOIN, SQL, fn

from peewee_async.core.row_shapes import Unfit
from tests.unit.rows import same, source

OUTER = JOIN.LEFT_OUTER


class Shouted(peewee.CharField):
    def python_value(self, value: Any) -> Any:
        return f"{value}!"


class Town(peewee.Model):
    id: Any
    name: Any = peewee.CharField()


class Owner(peewee.Model):
    id: Any
    code: Any = peewee.CharField(unique=True)
    town: Any = peewee.ForeignKeyField(Town, null=True)
    loud: Any = Shouted(null=True)


class Pet(peewee.Model):
    id: Any
    _dirty: set[str]
    owner: Any = peewee.ForeignKeyField(Owner, null=True)
    other: Any = peewee.ForeignKeyField(Owner, null=True)
    by_code: Any = peewee.ForeignKeyField(Owner, field="code", null=True, backref="+")
    mother: Any = peewee.ForeignKeyField("self", null=True)
    name: Any = peewee.CharField()

    @property
    def guest(self) -> Any:
        return self.__dict__.get("guests")

    @guest.setter
    def guest(self, value: Any) -> None:
        self.__data__["name"] = value and value.code
        self._dirty.add("name")


class Chip(peewee.Model):
    """A key that points to a key."""

    pet: Any = peewee.ForeignKeyField(Pet, primary_key=True)


class Scan(peewee.Model):
    chip: Any = peewee.ForeignKeyField(Chip)


class Own(Owner):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class Hidden(peewee.Model):
    name: Any = peewee.CharField(unique=True)


class ByHidden(peewee.Model):
    hidden: Any = peewee.ForeignKeyField(Hidden, field="name")


def _two_keys(kind: str) -> Any:
    other = Owner.alias()
    return (
        Pet.select(Pet.id, Owner.id, other.id, other.code)
        .join(Owner, kind, on=Pet.owner)
        .switch(Pet)
        .join(other, kind, on=(Pet.other == other.id))
    )


def _self_join(kind: str) -> Any:
    mother = Pet.alias()
    return Pet.select(Pet.id, mother.id, mother.name).join(
        mother, kind, on=(Pet.mother == mother.id)
    )


def _from_an_alias(kind: str) -> Any:
    pet, owner = Pet.alias(), Owner.alias()
    return pet.select(pet.id, owner.id, owner.code).join(
        owner, kind, on=(pet.owner == owner.id)
    )


def _two_levels(*columns: Any) -> Callable[[str], Any]:
    return lambda kind: (
        Pet.select(*columns)
        .join(Owner, kind, on=Pet.owner)
        .join(Town, kind, on=Owner.town)
    )


ID: Any = Pet.id
OF_OWNER: Any = Owner.id
OF_TOWN: Any = Town.id

JOINS: dict[str, Callable[[str], Any]] = {
    "one": lambda kind: Pet.select(ID, Pet.owner, OF_OWNER, Owner.code).join(
        Owner, kind, on=Pet.owner
    ),
    "without a key": lambda kind: Pet.select(Pet.name, Owner.code).join(
        Owner, kind, on=Pet.owner
    ),
    "by a name": lambda kind: Pet.select(ID, OF_OWNER).join(
        Owner, kind, on=Pet.owner, attr="boss"
    ),
    "by no identifier": lambda kind: Pet.select(ID, OF_OWNER).join(
        Owner, kind, on=Pet.owner, attr="the boss"
    ),
    "by a property": lambda kind: Pet.select(ID, OF_OWNER, Owner.code).join(
        Owner, kind, on=Pet.owner, attr="guest"
    ),
    "by a field that is no key": lambda kind: Pet.select(ID, OF_OWNER).join(
        Owner, kind, on=Pet.owner, attr="name"
    ),
    "by the key of another model": lambda kind: Pet.select(ID, OF_TOWN).join(
        Town, kind, on=(ID == OF_TOWN), attr="owner"
    ),
    "by a key to another field": lambda kind: Pet.select(
        ID, Pet.by_code, Owner.code
    ).join(Owner, kind, on=Pet.by_code),
    "backref": lambda kind: Owner.select(OF_OWNER, Owner.code, ID, Pet.name).join(
        Pet, kind, on=Pet.owner
    ),
    "two keys to one model": _two_keys,
    "self": _self_join,
    "from an alias": _from_an_alias,
    "two levels": _two_levels(ID, OF_OWNER, OF_TOWN, Town.name),
    "two levels, middle not selected": _two_levels(ID, OF_TOWN, Town.name),
    "two levels, end not selected": _two_levels(ID, OF_OWNER),
    "two levels, nothing selected": _two_levels(ID, Pet.name),
    "a field that converts None": lambda kind: Pet.select(ID, Owner.loud).join(
        Owner, kind, on=Pet.owner
    ),
    "computed": lambda kind: Pet.select(
        ID, Owner.code, fn.UPPER(Owner.code).alias("up"), SQL("1").alias("one")
    ).join(Owner, kind, on=Pet.owner),
    "computed, given to the other": lambda kind: Pet.select(
        ID, Owner.code, fn.UPPER(Owner.code).alias("up").bind_to(Owner)
    ).join(Owner, kind, on=Pet.owner),
    "a column of no source": lambda kind: Pet.select(
        ID, Owner.code, peewee.Column(peewee.Table("x"), "y")
    ).join(Owner, kind, on=Pet.owner),
    "selected, not joined": lambda kind: Pet.select(ID, Owner.code, Town.name).join(
        Owner, kind, on=Pet.owner
    ),
    "joined one by one": lambda kind: (
        Pet.select(ID, OF_OWNER)
        .join(Owner, kind, on=Pet.owner)
        .join_from(Owner, Town, kind)
    ),
}


def rows_of(query: Any) -> list[tuple[Any, ...]]:
    """Make a row of values, with None in every place where there may be one."""
    values = [
        number if isinstance(node, peewee.AutoField | peewee.ForeignKeyField) else "x"
        for number, node in enumerate(query._returning, 1)
    ]
    return list(product(*[(value, None) for value in values]))


@pytest.mark.parametrize("kind", [JOIN.INNER, OUTER])
@pytest.mark.parametrize("name", JOINS)
def test_rows_hang_together_as_in_peewee(name: str, kind: str) -> None:
    query = JOINS[name](kind)
    columns = [f"c{number}" for number, _ in enumerate(query._returning)]
    rows = same(query, *rows_of(query), columns=columns)
    assert all(row._dirty == set() for row in rows)


def test_an_instance_is_made_only_where_there_is_one() -> None:
    text, _ = source(JOINS["one"](OUTER), ("id", "owner", "id", "code"))
    lines = text.splitlines()
    assert "        if (c2 is not None or c3 is not None):" in lines
    assert "            o1 = new(m" in text
    loud, _ = source(JOINS["a field that converts None"](OUTER), ("id", "loud"))
    assert "\n        o1 = new(m" in loud


def test_a_related_object_is_the_one_that_the_row_has() -> None:
    (pet,) = same(
        JOINS["two levels"](OUTER), (1, 2, 3, "x"), columns=["a", "b", "c", "name"]
    )
    assert pet.owner.town.name == "x"
    assert pet.__data__ == {"id": 1, "owner": 2}
    assert pet.owner.__data__ == {"id": 2, "town": 3}


UNFIT: dict[str, Callable[[], Any]] = {
    "a model with its own __init__": lambda: Pet.select(ID, Own.code).join(
        Own, on=(Pet.owner == Own.code)
    ),
    "a key to a key": lambda: Scan.select(Scan.chip, Chip.pet).join(Chip),
    "a row that comes from a subquery": lambda: (
        Pet.select(ID, Owner.code)
        .from_(peewee.Table("t"))
        .join_from(peewee.Table("t"), Owner, on=(ID == 1), attr="x")
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_the_rest_is_left_to_peewee(name: str) -> None:
    with pytest.raises(Unfit):
        source(UNFIT[name](), ("a", "b"))


def test_a_key_to_what_is_hidden_is_left_to_peewee() -> None:
    query = ByHidden.select(ByHidden.hidden, Hidden.name).join(Hidden)
    same(query, ("a", "a"), columns=["a", "b"])
    shown = vars(Hidden)["name"]
    Hidden.name = property(lambda self: "b", lambda self, value: None)
    try:
        with pytest.raises(Unfit):
            source(query, ("a", "b"))
    finally:
        Hidden.name = shown
