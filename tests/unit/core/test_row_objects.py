"""An instance is made as `Model.__init__` makes it, or the model's own way is taken."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import peewee
import pytest
from peewee import SQL

from peewee_async.core.compiling import function
from peewee_async.core.row_columns import Column, Source
from peewee_async.core.row_objects import (
    Dirty,
    Instance,
    Related,
    is_descriptor,
    is_stock,
    makes_dirty_when_asked,
)
from peewee_async.core.row_shapes import Unfit
from peewee_async.core.row_text import RowText
from tests.unit.rows import generated, reply, same, source


class Owner(peewee.Model):
    name: Any = peewee.CharField()


class Wild(peewee.CharField):
    """Makes instances of a model of texts."""

    def python_value(self, value: Any) -> Any:
        return Owner(id=1, name=value)


class Tag(peewee.Model):
    code: Any = Wild(unique=True)


class Pet(peewee.Model):
    owner: Any = peewee.ForeignKeyField(Owner, null=True)
    tag: Any = peewee.ForeignKeyField(Tag, field="code", null=True)
    name: Any = peewee.CharField()
    bits: Any = peewee.BigBitField()

    _dirty: set[str]

    @property
    def loud(self) -> Any:
        return self.__dict__.get("was")

    @loud.setter
    def loud(self, value: Any) -> None:
        self.__dict__["was"] = value, dict(self.__data__), set(self._dirty)

    @property
    def fixed(self) -> int:
        return 1


class OwnInit(Pet):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen = sorted(self.__data__)


class OwnNew(Pet):
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        made.__dict__["made"] = True
        return made


class OwnSetattr(Pet):
    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self.__dict__.setdefault("order", []).append(name)


class OwnSlots(Pet):
    __slots__ = ("extra",)


class BelowSlots(OwnSlots):
    pass


class Sparing(Pet):
    _dirty = Dirty()


class Lonely(peewee.Model):
    """Refers to nothing."""

    name: Any = peewee.CharField()
    _dirty = Dirty()


Lonely.__rel__ = Related()


class Referring(peewee.Model):
    owner: Any = peewee.ForeignKeyField(Owner, null=True)
    name: Any = peewee.CharField()


Referring.__rel__ = Related()


class Eager(Sparing):
    @property
    def _dirty(self) -> Any:
        return self.__dict__.setdefault("own", set())

    @_dirty.setter
    def _dirty(self, value: Any) -> None:
        self.__dict__["own"] = value


class Calls(peewee.ModelBase):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        made.__dict__["called"] = True
        return made


class OwnCall(peewee.Model, metaclass=Calls):
    name: Any = peewee.CharField()


class SelfLess(peewee.Model):
    """An attribute that hides the field's accessor."""

    name: Any = peewee.CharField()


SelfLess.name = property(lambda self: 1, lambda self, value: None)

OWN = [OwnInit, OwnNew, OwnSetattr, OwnSlots, BelowSlots, OwnCall]


def test_a_stock_model_is_made_by_hand() -> None:
    text, _ = source(Pet.select(Pet.id, Pet.name), ("id", "name"))  # type: ignore[attr-defined]
    assert "o = new(m" in text
    assert "setattr(" not in text
    (pet,) = same(Pet.select(Pet.name), ("Rex",), columns=["name"])
    assert pet.__data__ == {"name": "Rex"}
    assert (pet.__rel__, pet._dirty) == ({}, set())


def test_the_attributes_come_in_peewees_order() -> None:
    (pet,) = same(Pet.select(Pet.name), ("Rex",), columns=["name"])
    assert list(vars(pet)) == ["__data__", "_dirty", "__rel__"]


def test_no_two_instances_share_anything() -> None:
    one, other = same(Pet.select(Pet.name), ("a",), ("a",), columns=["name"])
    for name in ("__data__", "_dirty", "__rel__"):
        assert vars(one)[name] is not vars(other)[name]


def sparing(*names: str) -> list[Any]:
    rows = [(name,) for name in names]
    query = Sparing.select(Sparing.name)
    made = generated(query, reply(*rows, columns=["name"]))
    assert made is not None
    return made


def test_what_is_dirty_is_made_when_asked_for() -> None:
    assert makes_dirty_when_asked(Sparing)
    pet, other = sparing("a", "b")
    assert list(vars(pet)) == ["__data__", "__rel__"]
    assert pet._dirty == set()
    assert pet._dirty is pet._dirty
    pet.name = other.name = "c"
    other.id = 1
    assert (pet._dirty, other._dirty) == ({"name"}, {"name", "id"})
    assert pet.is_dirty()
    pet._dirty -= {"name"}
    assert (pet._dirty, pet.dirty_fields) == (set(), [])


def test_an_object_that_was_not_read_has_it_at_once() -> None:
    assert vars(Sparing(name="a"))["_dirty"] == Pet(name="a")._dirty


def test_copies_of_what_was_read_are_as_clean() -> None:
    (pet,) = sparing("a")
    for twin in (copy.copy(pet), copy.deepcopy(pet), pickle.loads(pickle.dumps(pet))):
        assert twin.__data__ == {"name": "a"}
        twin.name = "b"
        assert (twin._dirty, pet._dirty) == ({"name"}, set())
        del vars(pet)["_dirty"]


def test_rows_whose_columns_are_assigned_are_clean_too() -> None:
    query = Sparing.select(SQL("1").alias("loud"), Sparing.name)
    (pet,) = same(query, (1, "a"), columns=["loud", "name"])
    assert pet._dirty == set()


def lonely(*names: str) -> Any:
    rows = [(name,) for name in names]
    query = Lonely.select(Lonely.name)
    return generated(query, reply(*rows, columns=["name"]))


def test_what_an_object_refers_to_is_made_when_asked_for_if_that_is_nothing() -> None:
    one, other = lonely("a", "b")
    assert "__rel__" not in vars(one)
    assert one.__rel__ == {}
    assert one.__rel__ is one.__rel__ is not other.__rel__
    assert Lonely.__rel__ is None is Owner.__rel__
    assert vars(Lonely(name="a"))["__rel__"] == {}


OWN_COPIES = ["__getstate__", "__reduce__", "__copy__", "__deepcopy__", "clone"]


@pytest.mark.parametrize("method", OWN_COPIES)
def test_a_program_that_copies_in_its_own_way_finds_all_attributes(method: str) -> None:
    class Own:
        pass

    setattr(Own, method, lambda self: vars(self))

    class Copied(Own, Sparing):
        __rel__: Any

    class Below(Copied):
        pass

    Copied.__rel__ = Below.__rel__ = Related()
    for model in (Copied, Below):
        (row,) = same(model.select(model.name), ("a",), columns=["name"])
        assert list(vars(row)) == ["__data__", "_dirty", "__rel__"]


def test_what_may_refer_to_something_has_the_place_for_it() -> None:
    (row,) = same(Referring.select(), (1, 2, "a"), columns=["id", "owner_id", "name"])
    assert vars(row)["__rel__"] == {}


def test_a_foreign_key_that_is_added_makes_it_give_up() -> None:
    class Late(peewee.Model):
        name: Any = peewee.CharField()
        _dirty = Dirty()

    Late.__rel__ = Related()
    text, names = source(Late.select(Late.name), ("name",))
    read = function("read", text, names)
    made: list[Any] = []
    assert read([("a",)], (), made)
    assert "__rel__" not in vars(made[0])
    Late._meta.add_field("owner", peewee.ForeignKeyField(Owner, null=True))
    assert not read([("a",)], (), made)
    assert len(made) == 1
    rows = generated(Late.select(Late.name), reply(("a",), columns=["name"]))
    assert rows is not None
    assert vars(rows[0])["__rel__"] == {}


def test_another_way_to_know_what_is_dirty_is_respected() -> None:
    assert not makes_dirty_when_asked(Eager)
    assert not makes_dirty_when_asked(Pet)
    (pet,) = same(Eager.select(Eager.name), ("a",), columns=["name"])
    assert vars(pet)["own"] == set()


@pytest.mark.parametrize("model", OWN)
def test_a_model_with_a_way_of_its_own_is_called(model: Any) -> None:
    assert not is_stock(model)
    same(model.select(model.name), ("a",), (None,), columns=["name"])
    with pytest.raises(Unfit):
        Instance(RowText((), 0), "o", model, [])


def test_whatever_is_hidden_by_the_model_is_assigned() -> None:
    (made,) = same(SelfLess.select(), (1, "a"), columns=["id", "name"])
    assert made.__data__ == {"id": 1}


NAMES = ["total", "class", "two words", "_x", "__x", "ﬁ", "id", "owner_id", "pets", "9"]


@pytest.mark.parametrize("name", NAMES)
def test_a_computed_column_is_an_attribute_whatever_its_name(name: str) -> None:
    query = Pet.select(Pet.name, SQL("1").alias(name))
    same(query, ("a", 1), ("b", None), columns=["name", name])


@pytest.mark.parametrize("order", [0, 1])
def test_a_property_is_set_where_the_others_are(order: int) -> None:
    columns = [
        (Pet.name, "name", "a"),
        (SQL("1").alias("loud"), "loud", 1),
        (Pet.owner, "owner_id", 2),
    ][:: -1 if order else 1]
    nodes, names, row = zip(*columns, strict=True)
    (pet,) = same(Pet.select(*nodes), row, columns=names)
    assert pet.loud[0] == 1
    assert pet._dirty == set()


def test_a_property_that_cannot_be_set_is_refused_as_in_peewee() -> None:
    query = Pet.select(SQL("1").alias("fixed"))
    with pytest.raises(AttributeError, match="fixed"):
        same(query, (1,), columns=["fixed"])


def test_an_accessor_with_a_way_of_its_own_is_called() -> None:
    (pet,) = same(Pet.select(Pet.bits), (bytearray(b"x"),), columns=["bits"])
    assert pet.__data__ == {"bits": b"x"}


def test_a_key_whose_value_may_be_a_model_is_assigned() -> None:
    same(Pet.select(Pet.tag, Pet.name), ("a", "b"), columns=["tag_id", "name"])
    query = Pet.select(
        Pet.name, SQL("1").converter(lambda _: Owner(id=3)).alias("owner")
    )
    (pet,) = same(query, ("a", 1), columns=["name", "owner"])
    assert pet.__rel__["owner"].id == 3


@pytest.mark.parametrize("name", ["__data__", "__rel__", "_dirty", "__dict__"])
def test_what_an_instance_is_made_of_is_no_name_for_a_column(name: str) -> None:
    with pytest.raises(Unfit):
        Instance(RowText((), 1), "o", Pet, [(0, name)])


def test_a_row_that_comes_by_name_is_no_different() -> None:
    query = Pet.raw("SELECT 1")
    same(query, (1, 2, "a", 3), columns=["id", "owner_id", "t.name", "more"])


METHODS = ["__init__", "__new__", "__setattr__"]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_the_model_gets_makes_it_give_up(method: str) -> None:
    class Plain(peewee.Model):
        name: Any = peewee.CharField()

    text, names = source(Plain.select(Plain.name), ("name",))
    read = function("read", text, names)
    made: list[Any] = []
    assert read([("a",)], (), made)
    setattr(Plain, method, getattr(OwnInit, method))
    if method != "__init__":
        setattr(
            Plain, method, getattr({"__new__": OwnNew}.get(method, OwnSetattr), method)
        )
    assert not read([("a",)], (), made)
    assert len(made) == 1


def test_nobody_can_tell_whether_a_silent_instance_was_made() -> None:
    def silent(*columns: tuple[str, Column]) -> bool:
        text = RowText([column for _, column in columns], len(columns))
        named = [(index, name) for index, (name, _) in enumerate(columns)]
        return Instance(text, "o", Pet, named).is_silent()

    plain = Column(Source.AS_IS, Pet)
    assert silent(("name", plain), ("total", plain))
    assert not silent(("loud", plain))
    assert not silent(("name", Column(Source.EXTRA, Pet)))


def test_descriptors_are_told_from_attributes() -> None:
    found = [
        is_descriptor(Pet, name) for name in ("loud", "fixed", "name", "x", "save")
    ]
    assert found == [True, True, True, False, False]
