"""Foreign keys and many-to-many relations, on each backend and beside sync peewee."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest

from peewee_async import AioDatabase, AioModel, Manager, SyncNotAllowed
from tests.integration.checks import both_kinds, seen
from tests.integration.conftest import CreateTables


class Person(AioModel):
    id: Any
    name: Any = peewee.CharField(max_length=40, unique=True)
    clubs: Any
    teams: Any
    circles: Any

    class Meta:
        table_name = "rel_person"


class Club(AioModel):
    id: Any
    name: Any = peewee.CharField(max_length=40)
    people: Any = peewee.ManyToManyField(Person, backref="clubs")

    class Meta:
        table_name = "rel_club"


Joined: Any = peewee.DeferredThroughModel()


class Team(AioModel):
    """Its key is text, and its through model is one of its own."""

    code: Any = peewee.CharField(max_length=8, primary_key=True)
    name: Any = peewee.CharField(max_length=40, default="")
    people: Any = peewee.ManyToManyField(Person, backref="teams", through_model=Joined)
    places: Any

    class Meta:
        table_name = "rel_team"


class Place(AioModel):
    id: Any
    person: Any = peewee.ForeignKeyField(Person, backref="places")
    team: Any = peewee.ForeignKeyField(Team, backref="places")
    number: Any = peewee.IntegerField(null=True)

    class Meta:
        table_name = "rel_place"
        indexes = ((("person", "team"), True),)


Joined.set_model(Place)


class Circle(peewee.Model):
    """A plain model."""

    id: Any
    name: Any = peewee.CharField(max_length=40)
    people: Any = peewee.ManyToManyField(Person, backref="circles")
    hidden: Any = peewee.ManyToManyField(Club, backref="+")

    class Meta:
        table_name = "rel_circle"


class Node(AioModel):
    """Foreign keys of many kinds."""

    id: Any
    parent: Any = peewee.ForeignKeyField("self", null=True, backref="children")
    owner: Any = peewee.ForeignKeyField(Person, field="name", null=True, backref="+")
    team: Any = peewee.ForeignKeyField(Team, null=True, backref="+", lazy_load=False)
    circle: Any = peewee.ForeignKeyField(Circle, null=True, backref="+")
    sprig: Any = peewee.DeferredForeignKey("Sprig", null=True, backref="+")
    club: Any = peewee.ForeignKeyField(Club, backref="+", object_id_name="club_key")

    class Meta:
        table_name = "rel_node"


class Sprig(AioModel):
    id: Any

    class Meta:
        table_name = "rel_sprig"


class Leaf(AioModel):
    """Its key is composite, and a part of it is a foreign key."""

    person: Any = peewee.ForeignKeyField(Person, backref="+")
    day: Any = peewee.IntegerField(unique=True)

    class Meta:
        table_name = "rel_leaf"
        primary_key = peewee.CompositeKey("person", "day")


class Note(AioModel):
    id: Any
    leaf: Any = peewee.ForeignKeyField(Leaf, field="day", backref="notes")

    class Meta:
        table_name = "rel_note"


THROUGH: list[Any] = [
    field.get_through_model() for field in (Club.people, Circle.people, Circle.hidden)
]
MODELS: list[Any] = [Person, Club, Team, Place, Circle, *THROUGH]
KEYED: list[Any] = [Sprig, Node, Leaf, Note]


@pytest.fixture(autouse=True)
def bound(database: AioDatabase, tables: CreateTables) -> Iterator[None]:
    """Three people, clubs, teams and circles."""
    with database.bind_ctx([*MODELS, *KEYED], False, False):
        tables(*MODELS)
        with database.allow_sync():
            for number, name in enumerate("abc", 1):
                Person.create(name=name)
                Club.create(name=name)
                Circle.create(name=name)
                Team.create(code=f"t{number}", name=name)
        yield


@pytest.fixture
def objects(database: AioDatabase) -> Manager:
    return Manager(database)


Make = Callable[[], Any]


def of(model: Any, backref: str) -> Make:
    """Make the query of the first object, without asking for it."""
    key = model._meta.primary_key.name
    first = "t1" if model is Team else 1
    return lambda: getattr(model(**{key: first}), backref)


QUERIES: dict[str, Make] = {
    "declared": of(Club, "people"),
    "backref": of(Person, "clubs"),
    "own through model": of(Team, "people"),
    "backref of it": of(Person, "teams"),
    "declared in a plain model": of(Circle, "people"),
    "in a plain model, no way back": of(Circle, "hidden"),
}


@pytest.fixture(params=QUERIES)
def make(request: pytest.FixtureRequest) -> Make:
    return QUERIES[request.param]


def key(query: Any, number: int) -> Any:
    return f"t{number}" if query.model is Team else number


async def keys(query: Any) -> list[Any]:
    return sorted(row.get_id() for row in await query.aio_execute())


def links(query: Any) -> list[Any]:
    """Give all links there are, by sync peewee."""
    accessor = query._accessor
    with query._database.allow_sync():
        rows = accessor.through_model.select(accessor.src_fk, accessor.dest_fk)
        return sorted(rows.tuples())


VALUES: dict[str, Callable[[Any], Any]] = {
    "a key": lambda query: key(query, 1),
    "keys": lambda query: [key(query, 2), key(query, 3)],
    "nothing": lambda query: [],
    "None": lambda query: None,
    "a select": lambda query: query.model.select().where(query.model.name > "a"),
    "objects": lambda query: (
        query.model(**{query.model._meta.primary_key.name: key(query, 2)}),
    ),
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", ["backref", "own through model"])
async def test_links_as_sync_peewee_does(name: str, value: str) -> None:
    query = QUERIES[name]()
    given, one = VALUES[value](query), key(query, 1)
    ours: list[Any] = []
    # By `getattr`, for mypy knows that what gives None is not to be compared.
    for method, *arguments in (
        ("aio_add", given),
        ("aio_set", given),
        ("aio_add", [one], True),
        ("aio_remove", given),
        ("aio_clear",),
    ):
        ours += [await getattr(query, method)(*arguments), links(query)]
    theirs: list[Any] = []
    with query._database.allow_sync(), query._database.atomic():
        for method, *arguments in (
            ("add", given),
            ("add", given, True),
            ("add", [one], True),
            ("remove", given),
            ("clear",),
        ):
            theirs += [getattr(query, method)(*arguments), links(query)]
    assert ours == theirs


@both_kinds
async def test_replaces_all_links_or_none(make: Make, database: AioDatabase) -> None:
    query = make()
    one, two, three = (key(query, number) for number in (1, 2, 3))
    await query.aio_add([one, two])
    with pytest.raises(peewee.IntegrityError):
        await query.aio_set([three, three])
    assert await keys(query) == [one, two]
    async with database.aio_atomic():
        with pytest.raises(peewee.IntegrityError):
            await query.aio_set([three, three])
        await query.aio_add(three)
    assert await keys(query) == [one, two, three]
    with pytest.raises(RuntimeError):
        async with database.aio_atomic():
            await query.aio_set([])
            raise RuntimeError
    assert await keys(query) == [one, two, three]


async def test_links_of_other_objects_stay(make: Make) -> None:
    query = make()
    through, source = query._accessor.through_model, query._accessor.src_fk
    other = "t2" if source.rel_model is Team else 2
    row = {source: other, query._accessor.dest_fk: key(query, 1)}
    with query._database.allow_sync():
        through.insert(row).execute()
    await query.aio_add([key(query, 1), key(query, 2)])
    await query.aio_remove(query.model.select())
    await query.aio_set([key(query, 3)])
    await query.aio_clear()
    assert links(query) == [(other, key(query, 1))]


async def test_every_method_of_a_many_to_many_query(
    make: Make, objects: Manager
) -> None:
    assert await make().aio_get_or_none() is None
    assert await make().aio_peek() is None
    query = make()
    await query.aio_add([key(query, 1), key(query, 2)])
    query = query.order_by(query.model.name)
    model = query.model
    with query._database.allow_sync():
        rows = list(query)
        assert seen(await query.aio_execute()) == seen(rows)
        assert seen(await query.aio_get()) == seen(query.get())
        assert seen(await query.aio_get_or_none()) == seen(query.get_or_none())
        assert seen(await query.aio_first()) == seen(query.clone().first())
        assert seen(await query.aio_peek(2)) == seen(query.peek(n=2))
        assert await query.aio_scalar() == query.scalar()
        assert await query.aio_scalars() == list(query.scalars())
        assert await query.aio_count() == query.count()
        assert await query.aio_exists() == query.exists()
    assert seen(await query.where(model.name == "b").aio_get()) == seen(rows[1])
    both = query.order_by() | model.select().where(model.name == "c")
    assert await both.aio_count() == 3
    assert seen(await query.aio_prefetch()) == seen(rows)
    assert seen(await objects.execute(query)) == seen(rows)
    assert await objects.count(query) == 2
    assert seen(await objects.get(query, name="b")) == seen(rows[1])
    assert seen(await objects.get(query, model.name == "b")) == seen(rows[1])


@pytest.mark.parametrize(
    "kind", [peewee.PREFETCH_TYPE.WHERE, peewee.PREFETCH_TYPE.JOIN]
)
async def test_prefetch_through_a_relation(kind: int, objects: Manager) -> None:
    first, second = await Person.select().order_by(Person.id).limit(2).aio_execute()
    await first.clubs.aio_add([1, 2])
    await second.clubs.aio_add([2, 3])
    await second.teams.aio_add(["t1", "t3"])
    query = Person.select().order_by(Person.id)
    subqueries = (THROUGH[0], Club, Place, Team)
    with query._database.allow_sync():
        wanted = list(peewee.prefetch(query, *subqueries, prefetch_type=kind))
    for got in (
        await query.aio_prefetch(*subqueries, prefetch_type=kind),
        await objects.prefetch(query, *subqueries, prefetch_type=kind),
    ):
        assert seen(got) == seen(wanted)
        # A list, and no query: nothing is sent any more.
        names = [sorted(club.name for club in person.clubs) for person in got]
        assert names == [["a", "b"], ["b", "c"], []]
        assert [len(person.teams) for person in got] == [0, 2, 0]


async def test_a_sync_change_of_links_is_refused() -> None:
    club: Any = await Club.aio_get(name="a")
    with pytest.raises(SyncNotAllowed, match=r"aio_set\("):
        club.people = [1]
    with pytest.raises(SyncNotAllowed, match=r"aio_add\("):
        club.people.add(1)
    assert await club.people.aio_count() == 0


async def test_concurrent_changes_of_links(make: Make) -> None:
    query = make()
    two, three = key(query, 2), key(query, 3)
    await asyncio.gather(*(make().aio_add(each) for each in (two, three)))
    assert await keys(query) == [two, three]


# Foreign keys


@pytest.fixture
async def node(tables: CreateTables) -> Any:
    """A row that refers to one of each kind."""
    tables(*KEYED)
    sprig = await Sprig.insert({Sprig.id: 7}).aio_execute()
    root = await Node.aio_create(club=3)
    await Leaf.aio_create(person=1, day=5)
    assert sprig == 7
    return await Node.aio_create(
        parent=root, owner="b", team="t3", circle=2, sprig=7, club=1
    )


FIELDS = ("parent", "owner", "circle", "sprig", "club")


async def test_fetches_what_the_attribute_would_load(node: Any) -> None:
    ours, theirs = [await Node.aio_get_by_id(node.id) for _ in range(2)]
    for name in FIELDS:
        related = await ours.aio_fetch(getattr(Node, name))
        with Node._meta.database.allow_sync():
            assert seen(related) == seen(getattr(theirs, name))
        assert getattr(ours, name) is related
        assert await ours.aio_fetch(name) is related
    assert seen(ours) == seen(theirs)


async def test_fetches_nothing_where_the_attribute_would_fail_or_be_none(
    node: Any,
) -> None:
    for name in FIELDS:
        field = getattr(Node, name)
        for value in (None, "nobody" if name == "owner" else 99):
            ours, theirs = (Node(**{name: value}) for _ in range(2))
            got = await outcome(ours.aio_fetch(field))
            with Node._meta.database.allow_sync():
                try:
                    wanted = getattr(theirs, name)
                except field.rel_model.DoesNotExist as error:
                    wanted = type(error)
            assert got == wanted
            assert seen(ours) == seen(theirs)


async def outcome(call: Any) -> Any:
    try:
        return await call
    except peewee.DoesNotExist as error:
        return type(error)


async def test_fetches_what_no_attribute_loads(node: Any) -> None:
    """A foreign key that is not lazy is loaded when it is asked for."""
    ours = await Node.aio_get_by_id(node.id)
    assert ours.team == "t3"
    team = await ours.aio_fetch(Node.team)
    assert (type(team), team.name) == (Team, "c")
    assert ours.team is team


async def test_fetches_by_the_name_of_the_key(node: Any) -> None:
    assert (await node.aio_fetch("club_key")).name == "a"
    with pytest.raises(ValueError, match="is no foreign key of Node"):
        await node.aio_fetch("children")
    with pytest.raises(TypeError, match="is no foreign key"):
        await node.aio_fetch(Node.id)


async def test_fetches_from_and_to_a_composite_key(node: Any) -> None:
    note = await Note.aio_create(leaf=5)
    leaf = await (await Note.aio_get_by_id(note.id)).aio_fetch(Note.leaf)
    assert leaf.get_id() == (1, 5)
    assert (await leaf.aio_fetch("person")).name == "a"


async def test_fetches_once(node: Any) -> None:
    ours = await Node.aio_get_by_id(node.id)
    one, two = await asyncio.gather(*(ours.aio_fetch(Node.circle) for _ in range(2)))
    assert one is two is ours.circle
    ours.circle = None
    assert await ours.aio_fetch(Node.circle) is None


async def test_a_lazy_load_is_refused_with_the_call_to_use(node: Any) -> None:
    ours = await Node.aio_get_by_id(node.id)
    with pytest.raises(
        SyncNotAllowed, match=r"await instance.aio_fetch\(Node.circle\)"
    ):
        ours.circle  # noqa: B018
    await ours.aio_fetch(Node.circle)
    assert ours.circle.name == "b"


async def test_fetches_inside_a_block(node: Any, database: AioDatabase) -> None:
    async with database.aio_atomic() as block:
        dan = await Person.aio_create(name="dan")
        leaf: Any = Leaf(person=dan.id, day=1)
        assert (await leaf.aio_fetch(Leaf.person)).name == "dan"
        await block.rollback()
    leaf = Leaf(person=dan.id, day=1)
    with pytest.raises(Person.DoesNotExist):
        await leaf.aio_fetch(Leaf.person)
