"""Many-to-many relations, whichever side they are declared on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import peewee
import pytest

from peewee_async import AioModel, Manager
from peewee_async.many_to_many import AioManyToManyAccessor, AioManyToManyQuery
from peewee_async.queries import AioModelSelect, AioSelectQuery
from tests.unit.fakes import MemoryDatabase


class Person(AioModel):
    id: Any
    name: Any = peewee.CharField()
    clubs: Any
    teams: Any


class Club(AioModel):
    name: Any = peewee.CharField()
    people: Any = peewee.ManyToManyField(Person, backref="clubs")


Joined: Any = peewee.DeferredThroughModel()


class Team(AioModel):
    name: Any = peewee.CharField()
    people: Any = peewee.ManyToManyField(Person, backref="teams", through_model=Joined)


class Place(AioModel):
    person: Any = peewee.ForeignKeyField(Person, backref="places")
    team: Any = peewee.ForeignKeyField(Team, backref="places")


Joined.set_model(Place)


class Plain(peewee.Model):
    name: Any = peewee.CharField()
    people: Any = peewee.ManyToManyField(Person, backref="plains")
    hidden: Any = peewee.ManyToManyField(Club, backref="+")
    others: Any


class Other(peewee.Model):
    plains: Any = peewee.ManyToManyField(Plain, backref="others")


THROUGH: list[Any] = [
    field.get_through_model() for field in (Club.people, Plain.people, Plain.hidden)
]
MODELS: list[Any] = [Person, Club, Team, Place, Plain, *THROUGH]


@pytest.fixture(autouse=True)
def tables(memory: MemoryDatabase) -> Iterator[None]:
    """Three people, three clubs and so on, each with the number 1, 2 and 3."""
    memory.set_allow_sync(True)
    with memory.bind_ctx(MODELS):
        memory.create_tables(MODELS)
        for name in "abc":
            for model in (Person, Club, Team, Plain):
                model.create(name=name)
        memory.close()
        memory.set_allow_sync(False)
        yield


def person(number: int) -> Any:
    return Person(id=number)


RELATIONS: dict[str, Any] = {
    "declared": lambda: Club(id=1).people,
    "backref": lambda: person(1).clubs,
    "through a model": lambda: Team(id=1).people,
    "backref through a model": lambda: person(1).teams,
    "declared in a plain model": lambda: Plain(id=1).people,
    "declared in a plain model, without a way back": lambda: Plain(id=1).hidden,
}


async def numbers(query: Any) -> list[int]:
    rows = await query.order_by(peewee.SQL("1")).aio_execute()
    return [row.id for row in rows]


@pytest.mark.parametrize("name", RELATIONS)
async def test_links(name: str) -> None:
    query = RELATIONS[name]()
    assert type(query) is AioManyToManyQuery
    assert isinstance(query, AioSelectQuery)
    assert isinstance(query, peewee.ManyToManyQuery)
    await query.aio_add(1)
    await query.aio_add([2, 3])
    assert await numbers(query) == [1, 2, 3]
    assert await query.aio_remove([1, 2]) == 2
    assert await query.aio_remove([]) is None
    assert await numbers(query) == [3]
    await query.aio_add([1], clear_existing=True)
    assert await numbers(query) == [1]
    await query.aio_set([2, 3])
    assert await numbers(query) == [2, 3]
    await query.aio_set([])
    assert await numbers(query) == []
    await query.aio_add(query.model.select())
    assert await query.aio_clear() == 3


@pytest.mark.parametrize("name", RELATIONS)
async def test_every_method_of_a_query(name: str, memory: MemoryDatabase) -> None:
    query = RELATIONS[name]()
    assert await query.aio_get_or_none() is None
    await query.aio_add([1, 2])
    query = RELATIONS[name]().order_by(query.model.name)
    assert isinstance(query, AioModelSelect)
    assert (await query.aio_get()).name == "a"
    assert (await query.aio_first()).name == "a"
    assert (await query.aio_peek()).name == "a"
    assert [row.name for row in await query.aio_peek(2)] == ["a", "b"]
    assert await query.aio_count() == 2
    assert await query.aio_exists()
    assert await query.aio_scalars() == [1, 2]
    assert await query.aio_scalar() == 1
    assert len(await query.where(query.model.name == "b").aio_prefetch()) == 1
    assert await (query.order_by() | query.order_by()).aio_count() == 2
    objects = Manager(memory)
    assert [row.name for row in await objects.execute(query)] == ["a", "b"]
    assert await objects.count(query) == 2
    assert (await objects.get(query, name="b")).id == 2


async def test_a_failing_insert_keeps_the_old_links(memory: MemoryDatabase) -> None:
    club: Any = await Club.aio_get(name="a")
    await club.people.aio_add([1, 2])
    memory.server.sent.clear()
    with pytest.raises(peewee.IntegrityError):
        await club.people.aio_set([3, 3])
    assert memory.server.sent[-1] == "ROLLBACK"
    assert await numbers(club.people) == [1, 2]
    async with memory.aio_atomic():
        with pytest.raises(peewee.IntegrityError):
            await club.people.aio_set([3, 3])
        await club.people.aio_add(3)
    assert await numbers(club.people) == [1, 2, 3]


async def test_another_database(memory: MemoryDatabase) -> None:
    query = Club(id=1).people
    with memory.bind_ctx(MODELS):
        Person._meta.database = None
        unbound = Club(id=1).people
        await unbound.aio_add([1, 2, 3], database=memory)
        assert await unbound.aio_remove(1, database=memory) == 1
        assert await unbound.aio_count(database=memory) == 2
        await unbound.aio_set([1], database=memory)
        assert await unbound.aio_clear(database=memory) == 1
        with pytest.raises(peewee.InterfaceError, match="bound to no database"):
            await unbound.aio_clear()
    assert await query.aio_count() == 0


def test_a_plain_model_that_is_selected_has_the_query_of_peewee() -> None:
    queries: list[Any] = [
        person(1).plains,
        Other(id=1).plains,
        Plain(id=1).others,
    ]
    assert {type(query) for query in queries} == {peewee.ManyToManyQuery}


def test_the_class_gives_the_field() -> None:
    assert isinstance(Club.people, peewee.ManyToManyField)
    assert type(vars(Club)["people"]) is AioManyToManyAccessor


def test_an_object_that_is_not_saved_has_no_links() -> None:
    with pytest.raises(ValueError, match="unsaved"):
        Club().people  # noqa: B018


async def test_prefetched_links_are_a_list(memory: MemoryDatabase) -> None:
    through = THROUGH[0]
    await person(1).clubs.aio_add([1, 2])
    await person(2).clubs.aio_add(2)
    query = Person.select().order_by(Person.id)
    got = await query.aio_prefetch(through, Club)
    with memory.allow_sync():
        wanted = list(peewee.prefetch(query, through, Club))
        theirs = [[club.name for club in each.clubs] for each in wanted]
    ours = [[club.name for club in each.clubs] for each in got]
    assert ours == theirs == [["a", "b"], ["b"], []]


async def test_a_sync_assignment_still_works(memory: MemoryDatabase) -> None:
    club: Any = Club(id=1)
    with memory.allow_sync():
        club.people = [1, 2]
        club.people.remove(1)
        assert [each.id for each in club.people] == [2]


class OwnMetadata(peewee.Metadata):
    """A user's own class of metadata."""


class OwnField(peewee.ManyToManyField):
    """A user's own class of field."""


class OwnAccessor(peewee.ManyToManyFieldAccessor):
    """A user's own accessor, which decides for itself."""


class OwnAccessorField(peewee.ManyToManyField):
    accessor_class = OwnAccessor


def test_classes_of_the_user_keep_working() -> None:
    class Guild(AioModel):
        people: Any = OwnField(Person, backref="guilds")
        own: Any = OwnAccessorField(Person, backref="+")

        class Meta:
            model_metadata_class = OwnMetadata

    guild: Any = Guild(id=1)
    assert type(Guild._meta) is OwnMetadata
    assert type(Guild.people) is OwnField
    assert type(guild.people) is AioManyToManyQuery
    assert type(person(1).guilds) is AioManyToManyQuery
    assert type(guild.own) is peewee.ManyToManyQuery
