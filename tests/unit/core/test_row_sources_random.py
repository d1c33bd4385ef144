"""Random models, selections, joins, kinds of rows and rows, read alike by peewee."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import peewee
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peewee import JOIN, SQL, Entity, fn

from peewee_async.core.row_shapes import Unfit
from tests.unit.rows import by_wrapper, generated, picture, reply


class Doubled(peewee.IntegerField):
    """Converts all values, None too."""

    def python_value(self, value: Any) -> Any:
        return (value, value)


class Trimmed(peewee.CharField):
    def adapt(self, value: Any) -> Any:
        return str(value).strip()


class Remembered:
    """Tells its instances how they were made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.made_with = sorted(kwargs)


FIELDS: dict[str, Callable[[], Any]] = {
    "integer": peewee.IntegerField,
    "float": peewee.FloatField,
    "text": peewee.TextField,
    "char": peewee.CharField,
    "fixed": peewee.FixedCharField,
    "flag": peewee.BooleanField,
    "moment": peewee.DateTimeField,
    "day": peewee.DateField,
    "time": peewee.TimeField,
    "number": peewee.DecimalField,
    "uuid": peewee.UUIDField,
    "blob": peewee.BlobField,
    "stamp": lambda: peewee.TimestampField(utc=True, default=None),
    "bits": peewee.BigBitField,
    "bare": peewee.BareField,
    "adapted": lambda: peewee.BareField(adapt=repr),
    "doubled": Doubled,
    "trimmed": Trimmed,
}
VALUES = st.sampled_from(
    [
        None,
        None,
        0,
        7,
        True,
        1.5,
        "",
        " x ",
        "7",
        "2024-01-02",
        b"x",
        decimal.Decimal("1.10"),
        datetime.datetime(2024, 1, 2, 3, 4, 5),
        datetime.date(2024, 1, 2),
        datetime.time(3, 4),
        uuid.UUID(int=7),
    ]
)
NAMES = st.sampled_from(["x", "id", "name", "class", "a b", "f0", "key0", "key0_id"])


@st.composite
def models(draw: st.DrawFn) -> list[Any]:
    """Make one to three models, each with keys to those before it and to itself."""
    made: list[Any] = []
    for number in range(draw(st.integers(1, 3))):
        kinds = draw(st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=4))
        body: dict[str, Any] = {f"f{n}": FIELDS[kind]() for n, kind in enumerate(kinds)}
        targets: list[Any] = [*made, "self"]
        for n in range(draw(st.integers(0, 3))):
            target = draw(st.sampled_from(targets))
            field = None
            if target != "self" and draw(st.booleans()):
                field = draw(st.sampled_from(target._meta.sorted_field_names))
            body[f"key{n}"] = peewee.ForeignKeyField(
                target, field=field, null=True, backref=f"back{number}_{n}"
            )
        bases = (peewee.Model,)
        if draw(st.integers(0, 9)) == 0:
            bases = (Remembered, peewee.Model)  # type: ignore[assignment]
        made.append(type(f"M{number}", bases, body))
    return made


def _keys(source: Any, sources: list[Any], made: list[Any]) -> list[tuple[Any, Any]]:
    """Give the keys by which something can be joined to a source, and its model."""
    model = source.model if isinstance(source, peewee.ModelAlias) else source
    found = [(field.rel_model, field) for field in model._meta.refs]
    return found + [(it.model, it) for it in model._meta.backrefs if it.model in made]


@st.composite
def joined(draw: st.DrawFn, made: list[Any]) -> tuple[Any, list[Any]]:
    """Make a query of up to three joins, and give the sources that it has."""
    root = draw(st.sampled_from(made))
    if draw(st.integers(0, 4)) == 0:
        root = root.alias()
    query: Any = root.select()
    sources = [root]
    for _ in range(draw(st.integers(0, 3))):
        source = draw(st.sampled_from(sources))
        keys = _keys(source, sources, made)
        if not keys:
            continue
        model, key = draw(st.sampled_from(keys))
        target = model
        if model in sources or draw(st.booleans()):
            target = model.alias()
        own = source.model if isinstance(source, peewee.ModelAlias) else source
        if key.model is own:
            on = getattr(source, key.name) == getattr(target, key.rel_field.name)
        else:
            on = getattr(target, key.name) == getattr(source, key.rel_field.name)
        kind = draw(st.sampled_from([JOIN.INNER, JOIN.LEFT_OUTER, JOIN.FULL]))
        attr = draw(st.none() | NAMES)
        query = query.join_from(source, target, kind, on=on, attr=attr)
        sources.append(target)
    return query, sources


def _names(source: Any) -> list[str]:
    model = source.model if isinstance(source, peewee.ModelAlias) else source
    return list(model._meta.sorted_field_names)


@st.composite
def nodes(draw: st.DrawFn, sources: list[Any]) -> Any:
    """Make one column: of a source, or computed."""
    source = draw(st.sampled_from(sources))
    field = getattr(source, draw(st.sampled_from(_names(source))))
    kind = draw(st.integers(0, 13))
    if kind < 6:
        return field
    makers: list[Callable[[], Any]] = [
        lambda: field.alias(draw(NAMES)),
        lambda: field.coerce(False),
        lambda: fn.MAX(field).alias(draw(NAMES)),
        lambda: fn.MAX(Entity(draw(NAMES))),
        lambda: fn.COUNT(field),
        lambda: SQL("1").alias(draw(NAMES)),
        lambda: fn.LOWER(field).converter(repr).alias(draw(NAMES)),
        lambda: fn.UPPER(field).alias(draw(NAMES)).bind_to(source),
    ]
    return makers[kind - 6]()


KINDS: dict[str, Callable[[Any], Any]] = {
    "models": lambda query: query,
    "dicts": lambda query: query.dicts(),
    "tuples": lambda query: query.tuples(),
    "named tuples": lambda query: query.namedtuples(),
    "objects": lambda query: query.objects(SimpleNamespace),
    "models as objects": lambda query: query.objects(),
}


@st.composite
def queries(draw: st.DrawFn) -> Any:
    query, sources = draw(joined(draw(models())))
    columns: list[Any] = []
    for source in sources:
        if draw(st.booleans()):
            columns += [getattr(source, name) for name in _names(source)]
    columns += draw(st.lists(nodes(sources), max_size=5))
    query = query.select(*columns) if columns else query
    kind = draw(st.sampled_from(["models"] * 6 + list(KINDS)))
    return KINDS[kind](query)


def outcome(make: Callable[[], Any]) -> Any:
    """Give what comes of something, be it an error.

    Of two values that cannot be converted, the first to be met is another one where
    rows are hung together.
    """
    try:
        return picture(make())
    except Unfit:
        raise
    except Exception:
        return "an error"


def label(node: Any, data: st.DataObject) -> str:
    if node.is_alias():
        return str(getattr(node, "_alias", "x"))
    if isinstance(node, peewee.Field):
        return str(node.column_name)
    return data.draw(st.sampled_from(["x", 'MAX("t1"."f0")', "COUNT(1)", "t1.f1"]))


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.data())
def test_rows_are_what_peewee_makes_of_them(data: st.DataObject) -> None:
    query = data.draw(queries())
    columns = [label(node, data) for node in query._returning]
    row = st.tuples(*[VALUES] * len(columns))
    rows = data.draw(st.lists(row, min_size=1, max_size=3))
    answered = reply(*rows, columns=columns)
    try:
        ours = outcome(lambda: generated(query, answered))
    except Unfit:
        return
    assert ours == outcome(lambda: by_wrapper(query, answered))
