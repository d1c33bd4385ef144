"""One query of peewee becomes one plan: a statement, and what its reply means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import peewee

from peewee_async.core.boundary import Reply, Statement
from peewee_async.core.decoding import decoder
from peewee_async.core.dialect import Dialect, Family
from peewee_async.core.execution import Plan, Work, finished
from peewee_async.core.facts import is_of_family
from peewee_async.core.replies import (
    First,
    FirstColumn,
    FirstColumns,
    InsertedKey,
    first_of,
    last_id,
    last_id_of_rows,
    one_value,
    rowcount,
    rows_or_rowcount,
    truth,
)
from peewee_async.core.shapes import filled, nodes_of, of_select
from peewee_async.core.templates import learn, recall


def execute(dialect: Dialect, query: Any) -> Work[Any]:
    """Run any query; the value is what `query.execute()` gives in peewee.

    Queries that give rows give them as a list.
    """
    if isinstance(query, peewee.Insert):
        return insert(dialect, query)
    if _gives_rowcount(query):
        return Plan(_statement(dialect, query), rowcount)
    return select(dialect, query)


def _gives_rowcount(query: Any) -> bool:
    is_write = isinstance(query, peewee.Update | peewee.Delete)
    return is_write and not getattr(query, "_returning", None)


def select(dialect: Dialect, query: Any, limit: int | None = None) -> Plan[list[Any]]:
    """Run a query that gives rows: a select, a raw one, a write with RETURNING."""
    return _by_shape(dialect, query, _select, limit)


def _select(dialect: Dialect, query: Any, limit: int | None) -> Plan[list[Any]]:
    return Plan(_statement(dialect, query, limit), decoder(dialect, query))


def _by_shape(
    dialect: Dialect, query: Any, make: Callable[..., Plan[Any]], *args: Any
) -> Plan[Any]:
    """Make a plan of a query, from the template of its shape if there is one.

    make: makes the plan of dialect, query and the other arguments.
    """
    known = of_select(query)
    bound = query._database
    if known is None or not (bound is dialect.database or is_of_family(dialect, bound)):
        return make(dialect, query, *args)
    shape, values = known
    model, key = query.model, (make, args, *shape)
    plan = recall(dialect, model, key, values)
    if plan is None:
        plan = make(dialect, query, *args)
        learn(
            dialect,
            model,
            key,
            plan,
            lambda slots: make(dialect, filled(query, iter(slots)), *args),
            [None] * len(values),
            nodes_of(query),
        )
    return plan


def raw(
    dialect: Dialect,
    sql: str,
    params: Any = None,
    read: Callable[[Reply], Any] | None = None,
) -> Plan[Any]:
    """Run SQL as it is: the rows as tuples, else the number of rows written.

    read: what makes the value from the reply instead.
    """
    return Plan(raw_statement(sql, params), read or rows_or_rowcount)


def raw_statement(sql: str, params: Any = None) -> Statement:
    """Make a statement of what `Database.execute_sql` takes.

    Without parameters a percent sign is what it is to the sync driver, for peewee
    gives it an empty tuple then too: two stand for one where the database's
    placeholder is `%s`.
    """
    if isinstance(params, Mapping | str | bytes):
        raise TypeError(f"{params!r} is no list of parameters: give them in order.")
    return Statement(sql, tuple(params or ()))


def insert(dialect: Dialect, query: Any) -> Work[Any]:
    """Run an INSERT: the key or keys of its rows, or what RETURNING asks for.

    Follows `Insert._execute` and `Database.last_insert_id` of peewee; the keys come
    by RETURNING where the database has it, though the model be bound to none. An
    INSERT of no rows at all is not sent and gives None.
    """
    dialect.require_family(query)
    query = _with_keys(dialect, query)
    try:
        statement = _statement(dialect, query)
    except peewee.Insert.DefaultValuesException:
        return finished(None)
    if query._return_cursor:
        return Plan(statement, decoder(dialect, query))
    if query._as_rowcount:
        return Plan(statement, rowcount)
    return Plan(statement, _inserted_key(dialect, query))


def _inserted_key(dialect: Dialect, query: Any) -> Callable[[Reply], Any]:
    if dialect.returning:
        # What reads for a template must not keep the database alive.
        decode = decoder(dialect, query.clone().bind(None))
        return InsertedKey(decode, _query_type(query) != peewee.Insert.SIMPLE)
    return last_id_of_rows if dialect.family is Family.SQLITE else last_id


def get(dialect: Dialect, query: Any) -> Plan[Any]:
    """Run a query for its first row.

    The value is None if there is no row and the query has no model; where it has
    one, the model's DoesNotExist is raised. TypeError for a query without rows.
    """
    require_rows(query)
    return _by_shape(dialect, query, _get)


def _get(dialect: Dialect, query: Any) -> Plan[Any]:
    if isinstance(query, peewee.ModelSelect | peewee.ModelCompoundSelectQuery):
        query = query.paginate(1, 1)
    else:
        query = _limited(query, 1)
    statement = _statement(dialect, query, 1)
    model = getattr(query, "model", None)
    return Plan(statement, First(decoder(dialect, query), model, statement))


def require_rows(query: Any) -> None:
    """Raise TypeError for a query that gives no rows."""
    is_write = isinstance(query, peewee.Insert | peewee.Update | peewee.Delete)
    if is_write and not getattr(query, "_return_cursor", False):
        raise TypeError(
            f"A {type(query).__name__} gives no rows: execute it, or have it give some "
            "by returning()."
        )


def first(dialect: Dialect, query: Any, n: int = 1) -> Plan[Any]:
    """Run a query for its first row, or the list of its first n; None without any."""
    require_rows(query)
    return peek(dialect, _limited(query, n), n)


def peek(dialect: Dialect, query: Any, n: int = 1) -> Plan[Any]:
    """Do the same with no LIMIT in the SQL; no more than n rows are fetched."""
    require_rows(query)
    return _by_shape(dialect, query, _peek, n)


def _peek(dialect: Dialect, query: Any, n: int) -> Plan[Any]:
    decode = decoder(dialect, query)
    limit = n if n > 0 else None
    return Plan(
        _statement(dialect, query, limit), lambda reply: first_of(decode(reply), n)
    )


def scalar(
    dialect: Dialect, query: Any, as_tuple: bool = False, as_dict: bool = False
) -> Plan[Any]:
    """Run a query for the first column of its first row, or that whole row."""
    if as_dict:
        return first(dialect, query.dicts())
    if as_tuple:
        return first(dialect, query.tuples())
    require_rows(query)
    if _has_bounds(query):
        query = _limited(query, 1)
    return _by_shape(dialect, query, _scalar)


def _scalar(dialect: Dialect, query: Any) -> Plan[Any]:
    query = query.tuples()
    if not _has_bounds(query):
        query = _limited(query, 1)
    return Plan(_statement(dialect, query, 1), FirstColumn(decoder(dialect, query)))


def scalars(dialect: Dialect, query: Any) -> Plan[list[Any]]:
    """Run a query for the first column of all its rows."""
    require_rows(query)
    return _by_shape(dialect, query, _scalars)


def _scalars(dialect: Dialect, query: Any) -> Plan[list[Any]]:
    query = query.tuples()
    return Plan(_statement(dialect, query), FirstColumns(decoder(dialect, query)))


def count(dialect: Dialect, query: Any, clear_limit: bool = False) -> Plan[int]:
    """Count the rows that a query gives; TypeError for one that writes."""
    if isinstance(query, peewee.RawQuery):
        sql, params = _subquery(dialect, query)
        text = f"SELECT COUNT(1) FROM {sql} AS _wrapped"
        return Plan(Statement(text, params, 1), one_value)
    if not _selects(query):
        raise TypeError(
            f"A {type(query).__name__} writes rows: count those of a SELECT."
        )
    return _by_shape(dialect, query, _count, clear_limit)


def _count(dialect: Dialect, query: Any, clear_limit: bool) -> Plan[int]:
    inner = _countable(query)
    if clear_limit:
        inner._limit = inner._offset = None
    outer = peewee.Select([inner.alias("_wrapped")], [peewee.fn.COUNT(peewee.SQL("1"))])
    outer.bind(query._database)
    return Plan(_statement(dialect, outer, 1, query), one_value)


def _selects(query: Any) -> bool:
    return isinstance(query, peewee.SelectBase)


def exists(dialect: Dialect, query: Any) -> Plan[bool]:
    """Tell whether a query gives any row."""
    return _by_shape(dialect, query, _exists)


def _exists(dialect: Dialect, query: Any) -> Plan[bool]:
    if getattr(query, "_is_default", False):
        query = query.select(peewee.SQL("1"))
    if isinstance(query, peewee.RawQuery):
        sql, params = _subquery(dialect, query)
        return Plan(Statement(f"SELECT EXISTS{sql}", params, 1), truth)
    inner = _countable(query) if isinstance(query, peewee.NoopModelSelect) else query
    outer = peewee.Select(columns=[peewee.fn.EXISTS(inner)])
    outer.bind(query._database)
    return Plan(_statement(dialect, outer, 1, query), truth)


def _statement(
    dialect: Dialect, query: Any, limit: int | None = None, made_of: Any = None
) -> Statement:
    sql, params = dialect.compile(query, made_of)
    return Statement(sql, params, limit)


def _subquery(dialect: Dialect, query: Any) -> tuple[str, tuple[Any, ...]]:
    sql, params = dialect.compile(query)
    # The line break ends a comment that may end the text.
    return f"({sql.strip().rstrip(';')}\n)", params


def _with_keys(dialect: Dialect, query: Any) -> Any:
    clone = query.clone()
    clone._database = dialect.database
    if clone._as_rowcount or not dialect.returning:
        if not clone._return_cursor:
            clone._returning = None
    elif clone._returning is None:
        clone._returning = _key_columns(clone)
        if not isinstance(clone, peewee.ModelInsert):
            clone._row_type = peewee.ROW.TUPLE
    return clone


def _key_columns(query: Any) -> Any:
    if isinstance(query, peewee.ModelInsert):
        return query.model._meta.get_primary_keys() or None
    return (query.table.primary_key,) if query.table._primary_key else None


def _query_type(query: Any) -> int:
    if isinstance(query._insert, Mapping):
        return peewee.Insert.SIMPLE
    if isinstance(query._insert, peewee.SelectQuery | peewee.SQL):
        return peewee.Insert.QUERY
    return peewee.Insert.MULTI


def _limited(query: Any, n: int) -> Any:
    if isinstance(query, peewee.SelectBase):
        return query.limit(n)
    return query


def _has_bounds(query: Any) -> bool:
    parts = vars(query)
    return parts.get("_limit") is not None or parts.get("_offset") is not None


def _countable(query: Any) -> Any:
    """Make a copy whose rows are as many, fit to stand in a FROM.

    Columns that are plain do not change the number of rows unless rows are grouped
    or made distinct. An aggregate does, and stays. Where columns stay, each gets a
    name of its own, for MySQL takes no derived table with two columns of one name.
    """
    if isinstance(query, peewee.NoopModelSelect):
        return peewee.Select(columns=[peewee.SQL("1")]).where(peewee.SQL("1 = 0"))
    clone = query.order_by()
    if not isinstance(query, peewee.Select):
        return clone
    columns = list(clone._returning)
    if not _rows_depend_on_columns(query):
        columns = [node for node in columns if not _is_plain(node)]
    if not columns:
        columns = [peewee.SQL("1")]
    clone._returning = [_named(node, index) for index, node in enumerate(columns)]
    return clone


def _rows_depend_on_columns(query: Any) -> bool:
    return bool(
        query._having is not None
        or query._group_by is not None
        or query._distinct is not None
        or query._simple_distinct
    )


def _is_plain(node: Any) -> bool:
    bare = node.unwrap() if isinstance(node, peewee.Node) else node
    if isinstance(bare, peewee.SQL):
        return bool(bare.sql == "*")
    return isinstance(bare, peewee.Field | peewee.Column | peewee.Star)


def _named(node: Any, index: int) -> Any:
    if not isinstance(node, peewee.ColumnBase):
        return node
    return (
        node if isinstance(node, peewee.SQL | peewee.Alias) else node.alias(f"_{index}")
    )
