"""What is said to be handed on is handed on, and nothing else is said to be."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any

import peewee
import pytest

from peewee_async.core.conversions import chain, handed_on, is_stock


class Shouted(peewee.CharField):
    def python_value(self, value: Any) -> Any:
        return value and value.upper()


class Renamed(peewee.CharField):
    """Does nothing of its own, but may come to."""


class Owner(peewee.Model):
    code: Any = peewee.CharField(unique=True)
    tag: Any = Shouted(unique=True)


class Pet(peewee.Model):
    owner: Any = peewee.ForeignKeyField(Owner)
    by_code: Any = peewee.ForeignKeyField(Owner, field="code", backref="+")
    by_tag: Any = peewee.ForeignKeyField(Owner, field="tag", backref="!")
    parent: Any = peewee.ForeignKeyField("self", null=True)


class Chip(peewee.Model):
    """A key that points to a key."""

    pet: Any = peewee.ForeignKeyField(Pet, primary_key=True)


class Scan(peewee.Model):
    chip: Any = peewee.ForeignKeyField(Chip)


class Loop(peewee.Model):
    """A key that points to itself."""

    loop: Any = peewee.ForeignKeyField("self", primary_key=True)


class OwnKey(peewee.ForeignKeyField):
    def python_value(self, value: Any) -> Any:
        return value


class Odd(peewee.Model):
    pet: Any = OwnKey(Pet)


VALUES: list[Any] = [
    None,
    True,
    0,
    7,
    1.5,
    "",
    "7",
    "2024-01-02",
    "00000000000000000000000000000007",
    b"x",
    memoryview(b"x"),
    decimal.Decimal("1.10"),
    datetime.datetime(2024, 1, 2, 3, 4, 5),
    datetime.datetime(2024, 1, 2),
    datetime.date(2024, 1, 2),
    datetime.time(3, 4),
    datetime.timedelta(seconds=9),
    uuid.UUID(int=7),
    [1],
]
KNOWN: list[tuple[Any, type | None]] = [
    (peewee.AutoField(), int),
    (peewee.BigAutoField(), int),
    (peewee.IntegerField(), int),
    (peewee.BigIntegerField(), int),
    (peewee.SmallIntegerField(), int),
    (peewee.BitField(), int),
    (peewee.FloatField(), float),
    (peewee.DoubleField(), float),
    (peewee.CharField(), str),
    (peewee.TextField(), str),
    (peewee.FixedCharField(), None),
    (peewee.BooleanField(), bool),
    (peewee.DateTimeField(), datetime.datetime),
    (peewee.DateField(), datetime.date),
    (peewee.TimeField(), datetime.time),
    (peewee.DecimalField(), decimal.Decimal),
    (peewee.UUIDField(), uuid.UUID),
    (peewee.BlobField(), object),
    (peewee.Field(), object),
    (peewee.TimestampField(), None),
    (peewee.IPField(), None),
    (peewee.BinaryUUIDField(), None),
    (peewee.BareField(), object),
    (peewee.BareField(adapt=str), None),
    (Shouted(), None),
    (Renamed(), None),
    (Pet.owner, int),
    (Pet.by_code, str),
    (Pet.by_tag, None),
    (Pet.parent, int),
    (Scan.chip, int),
    (Loop.loop, None),
    (Odd.pet, None),
]


def named(field: Any) -> str:
    return getattr(field, "name", None) or type(field).__name__


@pytest.mark.parametrize(("field", "known"), KNOWN, ids=[named(it[0]) for it in KNOWN])
def test_what_is_handed_on(field: Any, known: type | None) -> None:
    assert handed_on(field) is known
    if known is not None:
        for value in VALUES:
            if known is object or value is None or type(value) is known:
                assert field.python_value(value) is value


@pytest.mark.parametrize("method", ["python_value", "adapt"])
@pytest.mark.parametrize("field", [peewee.CharField, lambda: Pet.owner])
def test_a_method_of_one_field_is_noticed(
    field: Any, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = field()
    assert handed_on(changed) is not None
    assert is_stock(changed)
    monkeypatch.setattr(changed, method, str)
    assert handed_on(changed) is None
    assert not is_stock(changed)


def test_a_key_is_converted_as_what_it_points_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Owner.id, "adapt", str)  # type: ignore[attr-defined]
    assert handed_on(Pet.owner) is None
    assert not is_stock(Pet.owner)


def test_the_chain_of_keys() -> None:
    assert [it.name for it in chain(Scan.chip)] == ["chip", "pet", "id"]
    assert [it.name for it in chain(Owner.code)] == ["code"]
    assert [it.name for it in chain(Loop.loop)] == ["loop"]


def test_a_key_to_a_model_that_is_yet_to_come_is_no_key_yet() -> None:
    class Early(peewee.Model):
        late: Any = peewee.DeferredForeignKey("NeverDefined")

    assert handed_on(Early.late) is object
    assert Early.late.python_value("x") == "x"


def test_what_a_key_points_to_may_be_no_field() -> None:
    field: Any = peewee.ForeignKeyField(Owner, field="code")
    assert [type(it) for it in chain(field)] == [peewee.ForeignKeyField]
    assert handed_on(field) is None


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (peewee.IPField(), True),
        (Shouted(), False),
        (Pet.owner, True),
        (Pet.by_tag, False),
        (Odd.pet, False),
    ],
)
def test_fields_of_the_program_are_told_apart(field: Any, expected: bool) -> None:
    assert is_stock(field) is expected
