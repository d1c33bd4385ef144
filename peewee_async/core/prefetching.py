"""Queries that bring related rows along: prefetch, and `with_related` of a select.

Each stage is one statement. How the stages hang together, and how their rows are put
into one another, is peewee's own: `prefetch` and `Load`.
"""

from __future__ import annotations

from typing import Any

import peewee

from peewee_async.core import plans
from peewee_async.core.assembling import Known, assembled
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Steps, Work
from peewee_async.core.replies import first_of

# Its stubs leave out what is not documented.
_peewee: Any = peewee


def prefetch(
    dialect: Dialect,
    query: Any,
    *subqueries: Any,
    prefetch_type: int = peewee.PREFETCH_TYPE.WHERE,
) -> Work[list[Any]]:
    """Run a query and one for each related model; the rows, with those in place.

    subqueries: models, queries, or tuples of one and the model that it belongs to.
    """
    if isinstance(query, type) and issubclass(query, peewee.Model):
        query = query.select()
    if not subqueries:
        return execute(dialect, query)
    if prefetch_type not in (peewee.PREFETCH_TYPE.WHERE, peewee.PREFETCH_TYPE.JOIN):
        raise ValueError(
            f"{prefetch_type!r} is no way to prefetch: use PREFETCH_TYPE.WHERE or "
            "PREFETCH_TYPE.JOIN."
        )
    stages = _peewee.prefetch_add_subquery(query, subqueries, prefetch_type)
    return _assembled(dialect, stages)


def _assembled(dialect: Dialect, stages: list[Any]) -> Steps[list[Any]]:
    """Fetch the stages, the innermost first, as `peewee.prefetch` does."""
    known: dict[Any, Known] = {}
    inner: dict[Any, list[Any]] = {}
    rows: list[Any] = []
    for stage in reversed(stages):
        for model in stage.rel_models or ():
            inner.setdefault(model, []).append(stage)
        own = known.setdefault(stage.model, Known())
        rows = yield from execute(dialect, stage.query)
        children = [(it, known[it.model]) for it in inner.get(stage.model, ())]
        yield from assembled(stage, rows, own, children)
    return rows


def execute(dialect: Dialect, query: Any) -> Work[Any]:
    """Run any query, and load what `with_related` asked for."""
    work = plans.execute(dialect, query)
    return _loaded(dialect, query, work) if has_tree(query) else work


def get(dialect: Dialect, query: Any) -> Work[Any]:
    """Run a query for its first row, and load what `with_related` asked for."""
    work = plans.get(dialect, query)
    if not has_tree(query):
        return work
    return _loaded(dialect, query.paginate(1, 1), work)


def first(dialect: Dialect, query: Any, n: int = 1) -> Work[Any]:
    """Run a query for its first n rows, and load what `with_related` asked for."""
    work = plans.first(dialect, query, n)
    return _loaded(dialect, query.limit(n), work) if has_tree(query) else work


def peek(dialect: Dialect, query: Any, n: int = 1) -> Work[Any]:
    """Give the first n rows of a query, and load what `with_related` asked for."""
    if not has_tree(query):
        return plans.peek(dialect, query, n)
    return _first_of(execute(dialect, query), n)


def _first_of(work: Work[list[Any]], n: int) -> Steps[Any]:
    rows = yield from work
    return first_of(rows, n)


def has_tree(query: Any) -> bool:
    """Tell whether `with_related` asked for anything, and the rows can hold it."""
    tree = getattr(query, "_load_tree", None)
    return bool(tree) and bool(query._model_rows())


def _loaded(dialect: Dialect, query: Any, work: Work[Any]) -> Steps[Any]:
    value = yield from work
    rows = value if isinstance(value, list) else [value]
    yield from _load(dialect, [row for row in rows if row is not None], query, 0)
    return value


def _load(
    dialect: Dialect, parents: list[Any], query: Any, depth: int, tree: Any = None
) -> Steps[None]:
    if not parents:
        return
    for node in tree or query._load_tree:
        children_query = _children_of(node, parents, query, depth)
        children = yield from execute(dialect, children_query)
        _peewee._bucket(node._field, node._is_backref, children, parents)
        if node._children:
            below = node._children
            yield from _load(dialect, children, children_query, depth + 1, below)


def _children_of(node: Any, parents: list[Any], query: Any, depth: int) -> Any:
    """Build the query that `Load._run` of peewee runs."""
    field = node._field
    if not node._is_backref:
        base = node._base(field.rel_model)
        return node._link_parent(base, query, parents)
    if node._per_parent is not None:
        return node._windowed(query, parents, depth)
    return node._link_children(node._base(field.model), query, parents)
