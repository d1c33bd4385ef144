"""Each way on a database of its own, and what it answers to a case."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import peewee
import pytest

from tests.integration.checks import seen
from tests.integration.differential.models import Matrix
from tests.integration.differential.rows import rows
from tests.integration.differential.ways import NotOffered, Sync, Way

Case = Callable[[Any, Any], Awaitable[Any]]
Outcome = Any

in_one_loop = pytest.mark.asyncio(loop_scope="package")

SCHEMA = "elsewhere"

# Before 4.5 `exists` and `scalar` of peewee put other limits on a query than they do
# now, and as we do, and a DELETE that gave rows gave them again instead of running.
IS_OLD_PEEWEE = getattr(peewee, "__version__", "") < "4.5"
CHANGED_VERBS = {"exists", "scalar", "scalar as tuple", "scalar as dict"}


@dataclass
class Side:
    """One way, and a plain connection to its database to fill and to look at it.

    names: what the database is called here, for an error may tell it.
    """

    way: Way
    janitor: Any
    names: dict[str, str]
    emptying: dict[str, str] = field(default_factory=dict)
    filling: dict[str, list[str]] = field(default_factory=dict)
    counters: dict[str, list[str]] = field(default_factory=dict)

    @property
    def models(self) -> Matrix:
        return self.way.models

    def create(self) -> None:
        """Create the tables."""
        with self.janitor.bind_ctx(self.models.models, False, False):
            for model in self.models.models:
                schema: Any = model._schema
                for context in (schema._create_table(), *schema._create_indexes()):
                    self._run(context.query()[0])
        for model in self.models.models:
            name = model.__name__
            self.emptying[name] = f"DELETE FROM {self.table(model)}"
            self.filling[name] = _inserts(self, model)
            self.counters[name] = _counter(self, model)

    def fill(self, names: list[str], counters: bool = True) -> None:
        """Put back the rows of these models, and the counters of their keys."""
        statements = [self.emptying[name] for name in reversed(names)]
        statements += [text for name in names for text in self.filling[name]]
        if not names:
            return
        if self.models.family == "mysql":
            statements = ["BEGIN", *statements, "COMMIT"]
        if counters:
            statements += [text for name in names for text in self.counters[name]]
        if isinstance(self.janitor, peewee.SqliteDatabase):
            self.janitor.connection().executescript(
                ";".join(["BEGIN", *statements, "COMMIT"])
            )
            return
        cursor = self._run(";".join(statements))
        while self.models.family == "mysql" and cursor.nextset():
            pass

    def content(self, names: list[str]) -> dict[str, list[Any]]:
        """Give all rows of these models, without the help of peewee."""
        found = {}
        for name in names:
            cursor = self._run(
                f"SELECT * FROM {self.table(getattr(self.models, name))}"
            )
            found[name] = sorted(map(_plain, cursor.fetchall()), key=repr)
        return found

    def table(self, model: Any) -> str:
        opening, closing = self.janitor.quote
        path = model._meta.entity._path
        return ".".join(f"{opening}{part}{closing}" for part in path)

    def _run(self, sql: str) -> Any:
        # Without parameters a percent sign is nothing special.
        cursor = self.janitor.connection().cursor()
        cursor.execute(sql)
        return cursor

    async def answer(self, case: Case) -> Outcome:
        """Run a case: what it gives or raises, in words that two sides can share."""
        try:
            return "gives", seen(await case(self.way, self.models))
        except NotOffered:
            raise
        except Exception as error:
            return "raises", *self._words(error)

    def _words(self, error: Exception) -> Iterable[Any]:
        # A query of no database prints itself in the quotes of most.
        text = str(error).replace("`", '"')
        # psycopg2 is given a tuple of parameters, and by peewee a list.
        text = text.replace("tuple index", "list index")
        for name, word in self.names.items():
            text = text.replace(name, word)
        yield type(error).__qualname__
        yield re.sub(r"0x[0-9a-f]+", "0x...", text)
        driver = getattr(error, "orig", None)
        yield type(driver)
        yield getattr(driver, "pgcode", None)
        yield getattr(driver, "sqlite_errorname", None)
        if not isinstance(self.way, Sync) and driver is not None:
            assert error.__cause__ is driver, "The driver's error is not the cause."


def _plain(row: tuple[Any, ...]) -> list[Any]:
    return [bytes(item) if isinstance(item, memoryview) else item for item in row]


# Statements that put the tables back


def _inserts(side: Side, model: Any) -> list[str]:
    with side.janitor.bind_ctx([model], False, False):
        return [
            _literal(side, *model.insert(**row).sql())
            for row in rows(side.models.family).get(model.__name__, ())
        ]


def _literal(side: Side, sql: str, params: list[Any]) -> str:
    """Put the parameters into the text, as the driver does."""
    if side.models.family != "sqlite":
        text = side.janitor.connection().cursor().mogrify(sql, params)
        return text.decode() if isinstance(text, bytes) else str(text)
    quoted = iter([_sqlite_literal(side, value) for value in params])
    return re.sub(r"\?", lambda _: next(quoted), sql)


def _sqlite_literal(side: Side, value: Any) -> str:
    cursor = side.janitor.connection().execute("SELECT quote(?)", (value,))
    return str(cursor.fetchone()[0])


def _counter(side: Side, model: Any) -> list[str]:
    """Have the next key be the one after the largest."""
    if side.models.family == "sqlite" or not model._meta.auto_increment:
        return []  # SQLite does so by itself
    key, table = model._meta.primary_key, side.table(model)
    given = [row[key.name] for row in rows(side.models.family).get(model.__name__, ())]
    number = 1 + max(given, default=0)
    if side.models.family == "mysql":
        return [f"ALTER TABLE {table} AUTO_INCREMENT = {number}"]
    sequence = f"pg_get_serial_sequence('{table}', '{key.column_name}')"
    return [f"SELECT setval({sequence}, {number}, false)"]


# What differs


async def outcome(call: Awaitable[Any]) -> Any:
    """Await one call of several; the class of what it raises is its answer."""
    try:
        return await call
    except NotOffered:
        raise
    except Exception as error:
        return type(error)


class Sides:
    """The sync side and the async ones, which have to answer alike."""

    def __init__(self, sync: Side, others: list[Side]) -> None:
        self.sync = sync
        self.others = others
        self.names = [model.__name__ for model in sync.models.models]
        for side in self.all:
            side.create()
            side.fill(self.names)
        self.filled = sync.content(self.names)
        self.check()

    def check(self) -> None:
        """Check that what cases wrote has been put back everywhere."""
        for side in self.all:
            content = side.content(self.names)
            assert content == self.filled, _changes(self.filled, content)

    @property
    def all(self) -> list[Side]:
        return [self.sync, *self.others]

    @property
    def family(self) -> str:
        return self.sync.models.family

    async def compare(self, case: Case) -> Outcome:
        """Run a case that writes nothing; the answer, which is the same for all.

        What comes back for each way that differs from sync is in the message.
        """
        wanted = await self.sync.answer(case)
        different = {}
        for side in self.others:
            try:
                got = await side.answer(case)
            except NotOffered:
                continue
            if got != wanted:
                different[side.way.name] = got
        assert not different, _report(wanted, different)
        return wanted

    async def compare_writing(self, case: Case, *names: str) -> Outcome:
        """Run a case that writes; what is in the tables has to agree as well.

        names: the models that it writes to; those that refer to them are looked at too.
        """
        names_all = self.with_dependants(names)
        alike = False
        try:
            different: dict[str, Any] = {}
            skipped = False
            wanted = await self.sync.answer(case)
            content = self.sync.content(names_all)
            for side in self.others:
                try:
                    got = await side.answer(case)
                except NotOffered:
                    skipped = True
                    continue
                if got != wanted:
                    different[side.way.name] = got
                elif (found := side.content(names_all)) != content:
                    different[side.way.name] = _changes(content, found)
            alike = not (different or skipped)
            assert not different, _report(wanted, different)
            return wanted
        finally:
            # In MySQL it takes long to put a counter back. They go on alike, unless
            # a way did what the others did not.
            counters = not alike or self.family == "postgres"
            for side in self.all:
                side.fill(names_all, counters)

    def with_dependants(self, names: tuple[str, ...]) -> list[str]:
        """Add the models that refer to these; in the order of the matrix."""
        found, waiting = set(), list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                meta = getattr(self.sync.models, name)._meta
                waiting += [model.__name__ for model in meta.backrefs.values()]
        return [name for name in self.names if name in found]


def _changes(wanted: dict[str, Any], got: dict[str, Any]) -> dict[str, Any]:
    return {
        name: ("sync", wanted[name], "here", got[name])
        for name in wanted
        if wanted[name] != got[name]
    }


def _report(wanted: Outcome, different: dict[str, Any]) -> str:
    """Show both answers from shortly before the place where they part."""
    lines = []
    for name, got in different.items():
        one, two = repr(wanted), repr(got)
        pairs = enumerate(zip(one, two, strict=False))
        place = next((index for index, (a, b) in pairs if a != b), len(one))
        start = max(place - 150, 0)
        lines += [
            f"sync: ...{one[start : place + 350]}",
            f"{name}: ...{two[start : place + 350]}",
        ]
    return "\n".join(lines)
