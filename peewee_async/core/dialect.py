"""The facts of one database that statements depend on; holds no connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from enum import Enum
from typing import Any, NamedTuple

import peewee

from peewee_async.core.boundary import Statement
from peewee_async.core.rendering import look_once
from peewee_async.core.sources import (
    Adaptation,
    Sources,
    database_of,
    model_of,
    models_of,
)

ISOLATION_LEVELS = (
    "READ UNCOMMITTED",
    "READ COMMITTED",
    "REPEATABLE READ",
    "SERIALIZABLE",
)
LOCK_TYPES = ("DEFERRED", "IMMEDIATE", "EXCLUSIVE")


class Family(Enum):
    """The kinds of database that speak one SQL between them."""

    POSTGRES = "PostgreSQL"
    MYSQL = "MySQL"
    SQLITE = "SQLite"


class TransactionOptions(NamedTuple):
    """How a transaction is to begin; None leaves a thing to the server.

    isolation_level: one of `ISOLATION_LEVELS`, in any case of letters; SQLite has none.
    read_only: True or False; for SQLite a promise that nobody checks.
    deferrable: True or False (PostgreSQL).
    lock_type: one of `LOCK_TYPES` (SQLite); IMMEDIATE unless the database has another
        one or the transaction is read-only.
    """

    isolation_level: str | None = None
    read_only: bool | None = None
    deferrable: bool | None = None
    lock_type: str | None = None


PLAIN = TransactionOptions()


def family_of(database: Any) -> Family:
    """Tell which family a peewee database belongs to."""
    if isinstance(database, peewee.PostgresqlDatabase):
        return Family.POSTGRES
    if isinstance(database, peewee.MySQLDatabase):
        return Family.MYSQL
    if isinstance(database, peewee.SqliteDatabase):
        return Family.SQLITE
    raise peewee.ImproperlyConfigured(
        f"{type(database).__name__} is no PostgreSQL, MySQL or SQLite database of "
        "peewee: use one of the database classes of peewee_async."
    )


class Dialect:
    """Turns queries into SQL for one database, and knows its transaction commands.

    lock: keeps other threads out while fields of a model that is bound elsewhere, or
        to no database, are adapted to this one.
    token: stands for the dialect where it must not be kept alive.
    slots: the values of slots in the queries that are compiled.
    met: the models that were met in doing so, if they are noted.
    """

    __slots__ = ("_begun", "database", "family", "lock", "met", "slots", "token")

    def __init__(
        self,
        database: peewee.Database,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        self.database = database
        self.family = family_of(database)
        self.lock = lock or nullcontext()
        self.token = object()
        self.slots: Mapping[str, Any] | None = None
        self.met: list[Any] | None = None
        # The last commands that began a transaction: mostly they are the next as well.
        self._begun: tuple[Any, list[Statement]] = None, []

    @property
    def returning(self) -> bool:
        """Whether an INSERT can give back the keys that it made."""
        return bool(self.database.returning_clause)

    def with_slots(self, values: Mapping[str, Any]) -> Dialect:
        """Make the same dialect with values for slots; it notes the models it meets."""
        filled = copy(self)
        filled.slots, filled.met = values, []
        return filled

    def compile(self, query: Any, made_of: Any = None) -> tuple[str, tuple[Any, ...]]:
        """Give the SQL and the parameters of a peewee query for this database.

        made_of: the query of the caller's that this one was made of.

        Raises peewee.InterfaceError for a query that is bound to a database of
        another family, or has a part that is.
        """
        self.require_family(query)
        context = look_once(self.database.get_sql_context(slots=self.slots))
        adaptation = Adaptation(self.database)
        lenient = self._is_bound_here(query if made_of is None else made_of)

        def meet(source: Any) -> None:
            if self.met is not None and (met := model_of(source)) is not None:
                self.met.append(met)
            if database_of(source) is self.database:
                return
            if not lenient:
                self.require_family(source)
            model = model_of(source)
            if model is not None:
                adaptation.adapt(model)

        context.alias_manager = Sources(meet)
        with self.lock:
            try:
                # A path into a JSON document does not wait for its table to be met.
                for model in self._models_from_elsewhere(query):
                    adaptation.adapt(model)
                return self._render(context, query)
            finally:
                adaptation.undo()

    def _models_from_elsewhere(self, query: Any) -> list[Any]:
        own = getattr(query, "model", None)
        if own is not None and database_of(own) is self.database:
            return []
        return [
            model
            for model in models_of(query)
            if database_of(model) is not self.database
        ]

    def _render(self, context: Any, query: Any) -> tuple[str, tuple[Any, ...]]:
        if isinstance(query, peewee.NoopModelSelect):
            # It renders itself through its model's database, which may be none.
            self.database.get_noop_select(context)
        else:
            context.sql(query)
        sql, params = context.query()
        return sql, tuple(params)

    def _is_bound_here(self, query: Any) -> bool:
        """Whether a caller has bound it to this family, whatever its model is bound to.

        peewee lets `bind()` do that, for one query.
        """
        model = getattr(query, "model", None)
        bound = None if model is None else database_of(model)
        return bound is not None and family_of(bound) is not self.family

    def adapted(self, query: Any, convert: Callable[..., Any]) -> Callable[..., Any]:
        """Have a function that reads a query's rows see fields as of this database."""
        models = [model for model in models_of(query) if self._reads_otherwise(model)]
        if not models:
            return convert

        def inner(*args: Any) -> Any:
            with self.adapting(models):
                return convert(*args)

        return inner

    @contextmanager
    def adapting(self, models: Iterable[Any]) -> Iterator[None]:
        """Have the fields of models that are not bound here speak to this database."""
        adaptation = Adaptation(self.database)
        with self.lock:
            try:
                for model in models:
                    if database_of(model) is not self.database:
                        adaptation.adapt(model)
                yield
            finally:
                adaptation.undo()

    def _reads_otherwise(self, model: Any) -> bool:
        bound = database_of(model)
        foreign = bound is None or family_of(bound) is not self.family
        return bool(model._meta._db_hooks) and foreign

    def require_family(self, source: Any) -> None:
        """Raise peewee.InterfaceError if something is bound to another family.

        source: a query, or a model, alias or table in one.
        """
        bound = database_of(source)
        if bound is None or bound is self.database:
            return
        family = family_of(bound)
        if family is not self.family:
            name = getattr(model_of(source), "__name__", "This query")
            raise peewee.InterfaceError(
                f"{name} is bound to a {family.value} database and cannot run on "
                f"{self.family.value}: build the query from models of that family."
            )

    def quote(self, name: Any) -> str:
        """Quote an identifier so that it can carry no SQL of its own."""
        if not isinstance(name, str) or not name or "\0" in name:
            raise ValueError(f"{name!r} cannot be the name of a savepoint.")
        opening, closing = self.database.quote[0], self.database.quote[1]
        if self.database.param == "%s":
            name = name.replace("%", "%%")
        quoted: str = opening + name.replace(closing, closing * 2) + closing
        return quoted

    def is_duplicate(self, error: Exception) -> bool:
        """Tell whether a database error says that a unique value is taken.

        By what the driver's error carries: SQLSTATE 23505 of PostgreSQL, error 1062
        of MySQL, the extended result codes of SQLite.
        """
        cause: Any = getattr(error, "orig", error)
        if self.family is Family.POSTGRES:
            return getattr(cause, "pgcode", None) == "23505"
        if self.family is Family.MYSQL:
            return bool(cause.args) and cause.args[0] == 1062
        return getattr(cause, "sqlite_errorname", None) in (
            "SQLITE_CONSTRAINT_UNIQUE",
            "SQLITE_CONSTRAINT_PRIMARYKEY",
            "SQLITE_CONSTRAINT_ROWID",
        )

    def begin(self, options: TransactionOptions = PLAIN) -> list[Statement]:
        """Give the statements that begin a transaction.

        Raises ValueError for an option that this database does not have, or a value
        that it does not know.
        """
        database = self.database
        asked = (
            options,
            getattr(database, "_isolation_level", None),
            getattr(database, "_lock_type", None),
        )
        known, statements = self._begun
        if asked != known:
            commands = _BEGIN[self.family](self._with_defaults(options))
            statements = [Statement(sql) for sql in commands]
            self._begun = asked, statements
        return statements

    def end_session(self, session: int, own: int, seconds: float) -> Statement | None:
        """Give the statement that ends a session which its client has abandoned.

        session: its number. own: that of the session which is to send the statement.
        seconds: how long ago it was abandoned.

        None if there is nothing to end.
        """
        if self.family is Family.POSTGRES:
            return Statement(_TERMINATE, (session, seconds))
        # A server counts its sessions: one that has not come so far is another one, or
        # has been started since, and there the number may be anybody's.
        if self.family is Family.MYSQL and own > session:
            return Statement("KILL %s", (session,))
        return None

    def _with_defaults(self, options: TransactionOptions) -> TransactionOptions:
        database: Any = self.database
        if self.family is Family.POSTGRES and options.isolation_level is None:
            level = database._isolation_level
            if level:
                name = database._adapter.isolation_level_str(level)
                return options._replace(isolation_level=name)
        if self.family is Family.SQLITE and options.lock_type is None:
            return options._replace(lock_type=self._lock_type(options))
        return options

    def _lock_type(self, options: TransactionOptions) -> str:
        # A transaction that reads first and writes later fails at once if another
        # has written in between; one that locks first waits for its turn:
        # https://sqlite.org/lang_transaction.html
        default = "DEFERRED" if options.read_only else "IMMEDIATE"
        # Before 4.5, peewee has no such option.
        return getattr(self.database, "_lock_type", None) or default


# The number is that of a process, which the system may have given to another by now:
# one that began before the session was abandoned.
_TERMINATE = (
    "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity "
    "WHERE pid = %s AND usename = session_user AND datname = current_database() "
    "AND backend_start <= clock_timestamp() - make_interval(secs => %s)"
)


def _begin_postgres(options: TransactionOptions) -> list[str]:
    _refuse(options, Family.POSTGRES, "lock_type")
    command = "BEGIN" + _access(options)
    if options.isolation_level is not None:
        command += " ISOLATION LEVEL " + _level(options)
    if options.deferrable is not None:
        command += " DEFERRABLE" if options.deferrable else " NOT DEFERRABLE"
    return [command]


def _begin_mysql(options: TransactionOptions) -> list[str]:
    _refuse(options, Family.MYSQL, "lock_type", "deferrable")
    access = _access(options)
    commands = ["START TRANSACTION" + access if access else "BEGIN"]
    if options.isolation_level is not None:
        # It holds for the next transaction only, and is no option of its BEGIN:
        # https://dev.mysql.com/doc/refman/8.4/en/set-transaction.html
        commands.insert(0, "SET TRANSACTION ISOLATION LEVEL " + _level(options))
    return commands


def _begin_sqlite(options: TransactionOptions) -> list[str]:
    _refuse(options, Family.SQLITE, "isolation_level", "deferrable")
    return ["BEGIN " + _one_of("lock_type", str(options.lock_type), LOCK_TYPES)]


_BEGIN = {
    Family.POSTGRES: _begin_postgres,
    Family.MYSQL: _begin_mysql,
    Family.SQLITE: _begin_sqlite,
}


def _refuse(options: TransactionOptions, family: Family, *names: str) -> None:
    for name in names:
        if getattr(options, name) is not None:
            raise ValueError(f"{family.value} transactions have no {name}: leave it.")


def _access(options: TransactionOptions) -> str:
    if options.read_only is None:
        return ""
    return " READ ONLY" if options.read_only else " READ WRITE"


def _level(options: TransactionOptions) -> str:
    level = str(options.isolation_level).replace("_", " ")
    return _one_of("isolation_level", level, ISOLATION_LEVELS)


def _one_of(option: str, value: str, known: tuple[str, ...]) -> str:
    word = value.upper()
    if word not in known:
        raise ValueError(f"{value!r} is no {option}: use one of {', '.join(known)}.")
    return word
