"""Each shape of a SELECT, with each verb and each type of row."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import peewee
import pytest
from peewee import JOIN, SQL, Case, Value, fn

from tests.integration.differential.models import Matrix
from tests.integration.differential.sides import (
    CHANGED_VERBS,
    IS_OLD_PEEWEE,
    Outcome,
    Sides,
    in_one_loop,
)
from tests.integration.differential.ways import NotOffered

pytestmark = in_one_loop

Shape = Callable[[Any], Any]


def mark(m: Matrix) -> str:
    return "?" if m.family == "sqlite" else "%s"


def books(m: Matrix, *selection: Any) -> Any:
    return m.Book.select(*selection).order_by(m.Book.id)


def two_keys_to_one_model(m: Matrix) -> Any:
    editor = m.Author.alias("editors")
    return (
        books(m, m.Book, m.Author, editor)
        .join(m.Author, on=m.Book.author)
        .switch(m.Book)
        .join(editor, JOIN.LEFT_OUTER, on=m.Book.editor)
    )


def two_keys_by_expressions(m: Matrix) -> Any:
    writer, editor = m.Author.alias("w"), m.Author.alias("e")
    return (
        books(m, m.Book.title, writer.name, editor.name)
        .join(writer, on=(m.Book.author == writer.id))
        .switch(m.Book)
        .join(editor, JOIN.LEFT_OUTER, on=(m.Book.editor == editor.id))
    )


def three_levels(m: Matrix) -> Any:
    return (
        m.Review.select(m.Review, m.Book, m.Author)
        .join(m.Book)
        .join(m.Author, on=m.Book.author)
        .order_by(m.Review.id)
    )


def middle_not_selected(m: Matrix) -> Any:
    return (
        m.Review.select(m.Review, m.Author.name)
        .join(m.Book)
        .join(m.Author, on=m.Book.author)
        .order_by(m.Review.id)
    )


def grandparents(m: Matrix) -> Any:
    parent, grand = m.Category.alias("p"), m.Category.alias("g")
    return (
        m.Category.select(m.Category, parent, grand)
        .join(parent, JOIN.LEFT_OUTER, on=m.Category.parent)
        .join(grand, JOIN.LEFT_OUTER, on=parent.parent)
        .order_by(m.Category.id)
    )


def totals(m: Matrix) -> Any:
    return (
        m.Book.select(m.Book.author, fn.COUNT(m.Book.id).alias("n"))
        .group_by(m.Book.author)
        .alias("totals")
    )


def join_to_subquery(m: Matrix) -> Any:
    subquery = totals(m)
    return (
        m.Author.select(m.Author, subquery.c.n)
        .join(subquery, JOIN.LEFT_OUTER, on=(m.Author.id == subquery.c.author_id))
        .order_by(m.Author.id)
    )


def cte(m: Matrix) -> Any:
    dear = m.Book.select(m.Book.author).where(m.Book.price > 5).cte("dear")
    return (
        m.Author.select(m.Author.name)
        .join(dear, on=(m.Author.id == dear.c.author_id))
        .with_cte(dear)
        .order_by(m.Author.name)
    )


def two_ctes(m: Matrix) -> Any:
    named = ("author_id", "n")
    written = (
        m.Book.select(m.Book.author, fn.COUNT(m.Book.id))
        .group_by(m.Book.author)
        .cte("written", columns=named)
    )
    edited = (
        m.Book.select(m.Book.editor, fn.COUNT(m.Book.id))
        .group_by(m.Book.editor)
        .cte("edited", columns=named)
    )
    return (
        m.Author.select(m.Author.name, written.c.n, edited.c.n.alias("edited"))
        .join(written, on=(m.Author.id == written.c.author_id))
        .switch(m.Author)
        .join(edited, JOIN.LEFT_OUTER, on=(m.Author.id == edited.c.author_id))
        .with_cte(written, edited)
        .order_by(m.Author.name)
    )


def recursive_cte(m: Matrix) -> Any:
    level = Value(0).alias("level")
    base = (
        m.Category.select(m.Category.id, m.Category.name, level)
        .where(m.Category.parent.is_null())
        .cte("tree", recursive=True)
    )
    child = m.Category.alias("child")
    below = child.select(child.id, child.name, base.c.level + 1).join(
        base, on=(child.parent == base.c.id)
    )
    tree = base.union_all(below)
    selected = tree.select_from(tree.c.id, tree.c.name, tree.c.level)
    return selected.order_by(tree.c.id)


def numbers(m: Matrix) -> Any:
    base = m.Tag.select(Value(1).alias("n")).limit(1).cte("numbers", recursive=True)
    base = peewee.Select(columns=[SQL("1").alias("n")]).cte("numbers", recursive=True)
    more = peewee.Select([base], [base.c.n + 1]).where(base.c.n < 5)
    tree = base.union_all(more)
    return tree.select_from(tree.c.n).bind(m.database)


def named_window(m: Matrix) -> Any:
    window = peewee.Window(partition_by=[m.Book.author], order_by=[m.Book.id])
    rank = fn.RANK().over(window).alias("place")
    total = fn.SUM(m.Book.price).over(window).alias("total")
    return books(m, m.Book.title, rank, total).window(window)


def names(m: Matrix) -> Any:
    return m.Author.select(m.Author.name)


def titles(m: Matrix) -> Any:
    return m.Book.select(m.Book.title)


def lateral(m: Matrix) -> Any:
    newest = (
        m.Book.select(m.Book.title, m.Book.price)
        .where(m.Book.author == m.Author.id)
        .order_by(m.Book.id.desc())
        .limit(2)
        .alias("newest")
    )
    return (
        m.Author.select(m.Author.name, newest.c.headline)
        .join(newest, JOIN.LEFT_LATERAL, on=True)
        .order_by(m.Author.id, newest.c.headline)
    )


def values_list(m: Matrix) -> Any:
    listed = peewee.ValuesList([(1, "one"), (2, "two")], columns=("n", "word"))
    return (
        m.Author.select(m.Author.name, listed.c.word)
        .join(listed, on=(listed.c.n == m.Author.id))
        .order_by(m.Author.id)
    )


def with_two_subqueries(m: Matrix) -> Any:
    written = m.Book.select(fn.COUNT(m.Book.id)).where(m.Book.author == m.Author.id)
    edited = m.Book.select(fn.MAX(m.Book.title)).where(m.Book.editor == m.Author.id)
    return m.Author.select(
        m.Author.name, written.alias("written"), edited.alias("edited")
    ).order_by(m.Author.id)


SHAPES: dict[str, Shape] = {
    "all": lambda m: m.Author.select().order_by(m.Author.id),
    "columns": lambda m: books(m, m.Book.title, m.Book.price),
    "one column": lambda m: books(m, m.Book.price),
    "a foreign key": lambda m: books(m, m.Book.author, m.Book.editor),
    "its number": lambda m: books(m, m.Book.author_id),
    "nothing found": lambda m: m.Author.select().where(m.Author.name == "zoe"),
    "where": lambda m: (
        m.Author.select()
        .where(m.Author.alive & m.Author.born.is_null())
        .order_by(m.Author.id)
    ),
    "or and not": lambda m: books(m).where(
        (m.Book.price > 5) | ~(m.Book.title == "Letters")
    ),
    "null": lambda m: books(m).where(m.Book.editor == None),  # noqa: E711
    "not null": lambda m: books(m).where(m.Book.editor.is_null(False)),
    "in": lambda m: books(m).where(m.Book.id << [1, 3, 99]),
    "in nothing": lambda m: books(m).where(m.Book.id << []),
    "not in nothing": lambda m: books(m).where(m.Book.id.not_in([])),
    "in a subquery": lambda m: books(m).where(
        m.Book.author << m.Author.select(m.Author.id).where(m.Author.alive)
    ),
    "in models": lambda m: books(m).where(
        m.Book.author << [m.Author(id=1), m.Author(id=3)]
    ),
    "equals a model": lambda m: books(m).where(m.Book.author == m.Author(id=1)),
    "between": lambda m: books(m).where(m.Book.price.between(3, 9)),
    "contains": lambda m: books(m).where(m.Book.title.contains("0% w")),
    "startswith": lambda m: books(m).where(m.Book.title.startswith("100%")),
    "endswith": lambda m: books(m).where(m.Book.title.endswith("_")),
    "like": lambda m: books(m).where(m.Book.title % "L%s"),
    "ilike": lambda m: books(m).where(m.Book.title ** "l%S"),
    "regexp": lambda m: books(m).where(m.Book.title.regexp("^L.*s$")),
    "concat": lambda m: books(m, m.Book.title.concat("!").alias("loud")),
    "exists": lambda m: (
        m.Author.select()
        .where(fn.EXISTS(m.Book.select().where(m.Book.author == m.Author.id)))
        .order_by(m.Author.id)
    ),
    "arithmetic": lambda m: books(
        m, m.Book, (m.Book.id * 2 + 1).alias("odd"), (m.Book.price - 1).alias("less")
    ),
    "alias of a column": lambda m: books(m, m.Book.title.alias("called")),
    "two of one name": lambda m: books(m, m.Book.title, m.Book.title),
    "function": lambda m: books(m, fn.UPPER(m.Book.title).alias("loud")),
    "function without a name": lambda m: books(m, fn.LENGTH(m.Book.title)),
    "function, coerced": lambda m: m.Author.select(fn.MAX(m.Author.born).alias("born")),
    "function, not coerced": lambda m: m.Author.select(
        fn.MAX(m.Author.born).coerce(False).alias("born")
    ),
    "function with a converter": lambda m: books(
        m, fn.LENGTH(m.Book.title).converter(float).alias("n")
    ),
    "function of a custom field": lambda m: (
        m.Everything.select(m.Everything.id, fn.MAX(m.Everything.mood).alias("mood"))
        .group_by(m.Everything.id)
        .order_by(m.Everything.id)
    ),
    "coalesce": lambda m: books(m, fn.COALESCE(m.Book.editor, 0).alias("editor")),
    "case": lambda m: books(
        m,
        m.Book.title,
        Case(
            None, [(m.Book.price > 5, "dear"), (m.Book.price.is_null(), "?")], "cheap"
        ).alias("kind"),
    ),
    "case of a value": lambda m: books(
        m, Case(m.Book.author, [(1, "one"), (2, "two")]).alias("word")
    ),
    "value": lambda m: books(
        m, Value(7).alias("n"), Value("%s %%").alias("t"), Value(None).alias("u")
    ),
    "cast": lambda m: books(m, m.Book.id.cast("char(5)").alias("text")),
    "sql": lambda m: books(m, SQL("1 + 1").alias("two"), m.Book.id),
    "sql with a parameter": lambda m: books(m, m.Book.id).where(
        SQL(f"1 < {'?' if m.family == 'sqlite' else '%s'}", (2,))
    ),
    "aggregate": lambda m: m.Book.select(fn.COUNT(m.Book.id), fn.SUM(m.Book.price)),
    "aggregates with names": lambda m: m.Book.select(
        fn.MIN(m.Book.price).alias("least"),
        fn.AVG(m.Book.price).alias("mean"),
        fn.COUNT(m.Book.editor.distinct()).alias("editors"),
    ),
    "aggregate of nothing": lambda m: m.Book.select(
        fn.SUM(m.Book.price).alias("sum")
    ).where(m.Book.id < 0),
    "aggregate with a filter": lambda m: m.Book.select(
        fn.COUNT(m.Book.id).filter(m.Book.price > 5).alias("n")
    ),
    "group by": lambda m: (
        m.Book.select(m.Book.author, fn.COUNT(m.Book.id).alias("n"))
        .group_by(m.Book.author)
        .order_by(m.Book.author)
    ),
    "group by a joined model": lambda m: (
        m.Author.select(m.Author, fn.COUNT(m.Book.id).alias("n"))
        .join(m.Book, JOIN.LEFT_OUTER, on=m.Book.author)
        .group_by(m.Author)
        .order_by(m.Author.id)
    ),
    "having": lambda m: (
        m.Book.select(m.Book.author, fn.MAX(m.Book.price).alias("most"))
        .group_by(m.Book.author)
        .having(fn.COUNT(m.Book.id) > 1)
        .order_by(m.Book.author)
    ),
    "distinct": lambda m: m.Book.select(m.Book.title).distinct().order_by(m.Book.title),
    "distinct on": lambda m: (
        m.Book.select(m.Book.author, m.Book.title)
        .distinct(m.Book.author)
        .order_by(m.Book.author, m.Book.id)
    ),
    "limit": lambda m: books(m).limit(2),
    "limit and offset": lambda m: books(m).limit(2).offset(3),
    "offset alone": lambda m: books(m).offset(2),
    "offset past the end": lambda m: books(m).limit(2).offset(99),
    "limit 0": lambda m: books(m).limit(0),
    "page": lambda m: books(m).paginate(2, 4),
    "limit of distinct": lambda m: (
        m.Book.select(m.Book.title).distinct().order_by(m.Book.title).limit(2)
    ),
    "order by several": lambda m: m.Book.select().order_by(
        m.Book.author.desc(), m.Book.title, m.Book.id
    ),
    "nulls last": lambda m: m.Book.select().order_by(
        m.Book.price.asc(nulls="LAST"), m.Book.id
    ),
    "nulls first": lambda m: m.Book.select().order_by(
        m.Book.editor.desc(nulls="first"), m.Book.id
    ),
    "order by an expression": lambda m: m.Book.select().order_by(
        fn.LENGTH(m.Book.title), m.Book.id
    ),
    "inner join": lambda m: books(m, m.Book, m.Author).join(m.Author, on=m.Book.author),
    "left outer join": lambda m: books(m, m.Book, m.Author).join(
        m.Author, JOIN.LEFT_OUTER, on=m.Book.editor
    ),
    "join by the backref": lambda m: (
        m.Author.select(m.Author, m.Book)
        .join(m.Book, JOIN.LEFT_OUTER, on=m.Book.author)
        .order_by(m.Author.id, m.Book.id)
    ),
    "ambiguous join": lambda m: books(m, m.Book, m.Author).join(m.Author),
    "join without a key": lambda m: m.Author.select(m.Author, m.Tag).join(m.Tag),
    "three levels": three_levels,
    "three levels, flat": lambda m: three_levels(m).objects(),
    "middle not selected": middle_not_selected,
    "join not selected": lambda m: (
        books(m).join(m.Author, on=m.Book.author).where(m.Author.alive)
    ),
    "two keys to one model": two_keys_to_one_model,
    "two keys by expressions": two_keys_by_expressions,
    "attr": lambda m: books(m, m.Book, m.Author).join(
        m.Author, on=m.Book.author, attr="writer"
    ),
    "alias in on": lambda m: books(m, m.Book, m.Author).join(
        m.Author, on=(m.Book.author == m.Author.id).alias("writer")
    ),
    "self join": lambda m: m.Category.select(m.Category, m.Category.alias("up")).join(
        m.Category.alias("up")
    ),
    "grandparents": grandparents,
    "key to a unique field": lambda m: (
        m.Nickname.select(m.Nickname, m.Author).join(m.Author).order_by(m.Nickname.id)
    ),
    "unique field, where": lambda m: (
        m.Nickname.select().where(m.Nickname.author == "ada").order_by(m.Nickname.id)
    ),
    "unique field, model": lambda m: m.Nickname.select().where(
        m.Nickname.author == m.Author(id=2, name="bob")
    ),
    "composite key": lambda m: (
        m.BookTag.select(m.BookTag, m.Book, m.Tag)
        .join(m.Book)
        .switch(m.BookTag)
        .join(m.Tag)
        .order_by(m.Book.id, m.Tag.label)
    ),
    "composite key, where": lambda m: m.Shelf.select().where(
        m.Shelf._meta.primary_key == ("attic", 2)
    ),
    "inheritance": lambda m: (
        m.Truck.select(m.Truck, m.Vehicle)
        .join(m.Vehicle, JOIN.LEFT_OUTER)
        .order_by(m.Truck.id)
    ),
    "strange names": lambda m: (
        m.Strange.select()
        .where(m.Strange.spaced == "b", m.Strange.single.is_null())
        .order_by(m.Strange.upper)
    ),
    "strange names, joined": lambda m: (
        m.Strange.select(m.Strange.single, m.Strange.foreign, m.Strange.parent_number)
        .join(m.Strange.alias("up"), JOIN.LEFT_OUTER)
        .order_by(m.Strange.id)
    ),
    "another schema": lambda m: (
        m.Elsewhere.select(m.Elsewhere, m.Author)
        .join(
            m.Author, JOIN.LEFT_OUTER, on=(m.Elsewhere.author == m.Author.id), attr="a"
        )
        .order_by(m.Elsewhere.id)
    ),
    "own __init__": lambda m: (
        m.Stateful.select(m.Stateful, m.Author)
        .join(m.Author, on=(m.Author.id == m.Stateful.size), attr="a")
        .order_by(m.Stateful.id)
    ),
    "join to a subquery": join_to_subquery,
    "cross join": lambda m: (
        m.Tag.select(m.Tag.label, m.Country.code)
        .join(m.Country, JOIN.CROSS)
        .order_by(m.Tag.label, m.Country.code)
    ),
    "lateral": lateral,
    "values": values_list,
    "an alias": lambda m: m.Author.alias("a").select().order_by(SQL("id")),
    "from a subquery": lambda m: (
        m.Author.select(SQL("name"))
        .from_(m.Author.select().where(m.Author.alive).alias("living"))
        .order_by(SQL("name"))
    ),
    "select_from": lambda m: titles(m).where(m.Book.price > 3).select_from(SQL("*")),
    "subqueries as columns": with_two_subqueries,
    "a subquery as a column": lambda m: m.Author.select(
        m.Author.name,
        m.Book.select(fn.COUNT(m.Book.id))
        .where(m.Book.author == m.Author.id)
        .alias("n"),
    ).order_by(m.Author.id),
    "compared with a subquery": lambda m: books(m).where(
        m.Book.price == m.Book.select(fn.MAX(m.Book.price))
    ),
    "a row in a subquery": lambda m: books(m).where(
        peewee.Tuple(m.Book.author, m.Book.price)
        << m.Book.select(m.Book.author, fn.MAX(m.Book.price)).group_by(m.Book.author)
    ),
    "cte": cte,
    "two ctes": two_ctes,
    "recursive cte": recursive_cte,
    "cte of no model": numbers,
    "window": lambda m: books(
        m,
        m.Book.title,
        fn.ROW_NUMBER().over(order_by=[m.Book.title, m.Book.id]).alias("place"),
    ),
    "window with a frame": lambda m: books(
        m,
        m.Book.id,
        fn.SUM(m.Book.id)
        .over(
            order_by=[m.Book.id],
            start=peewee.Window.preceding(1),
            end=peewee.Window.CURRENT_ROW,
        )
        .alias("sum"),
    ),
    "named window": named_window,
    "union": lambda m: (names(m) | titles(m)).order_by(SQL("1")),
    "union all": lambda m: (names(m) + titles(m)).order_by(SQL("1")),
    "intersect": lambda m: (
        books(m).order_by() & m.Book.select().where(m.Book.price > 3)
    ).order_by(SQL("1")),
    "except": lambda m: (
        m.Author.select() - m.Author.select().where(m.Author.alive)
    ).order_by(SQL("1")),
    "union with a limit": lambda m: (
        (names(m) | titles(m)).order_by(SQL("1")).limit(3).offset(1)
    ),
    "union of unions": lambda m: ((names(m) | titles(m)) + names(m)).order_by(SQL("1")),
    "union on the right": lambda m: (names(m) | (titles(m) | names(m))).order_by(
        SQL("1")
    ),
    "union of joins": lambda m: (
        books(m, m.Book.title, m.Author.name)
        .order_by()
        .join(m.Author, on=m.Book.author)
        | books(m, m.Book.title, m.Author.name)
        .order_by()
        .join(m.Author, on=m.Book.editor)
    ).order_by(SQL("1"), SQL("2")),
    "union as a subquery": lambda m: (
        m.Author.select()
        .where(m.Author.name << (names(m).where(m.Author.alive) | titles(m)))
        .order_by(m.Author.id)
    ),
    "union, select_from": lambda m: (
        (names(m) | titles(m)).alias("u").select_from(SQL("name")).order_by(SQL("name"))
    ),
    "filter": lambda m: books(m).filter(author__name="ada", price__gt=1),
    "filter by a backref": lambda m: (
        m.Author.select().filter(books__title__like="L%").order_by(m.Author.id)
    ),
    "filter, Q": lambda m: books(m).filter(
        peewee.DQ(title="Letters") | peewee.DQ(price__lt=1)
    ),
    "filter, negated": lambda m: books(m).filter(~peewee.DQ(author__name="ada")),
    "filter, null": lambda m: books(m).filter(editor=None),
    "filter, in": lambda m: books(m).filter(id__in=[1, 2], title__ilike="L%"),
    "filter, unknown": lambda m: books(m).filter(nothing=1),
    "raw": lambda m: m.Author.raw(
        "SELECT id, name, born, 2 AS extra FROM author ORDER BY id; "
    ),
    "raw, dicts": lambda m: m.Author.raw(
        "SELECT name, born FROM author ORDER BY id"
    ).dicts(),
    "raw, tuples": lambda m: m.Author.raw(
        "SELECT name FROM author ORDER BY id"
    ).tuples(),
    "raw, nothing": lambda m: m.Author.raw("SELECT * FROM author WHERE id = 99"),
    "raw, parameters": lambda m: m.Author.raw(
        f"SELECT id FROM author WHERE name > {mark(m)} ORDER BY id -- end", "b"
    ),
    "noop": lambda m: m.Author.noop(),
    "for update": lambda m: books(m).where(m.Book.id < 3).for_update(),
    "excluding": lambda m: (
        m.Author.select_excluding(m.Author.born)
        if hasattr(peewee.Model, "select_excluding")
        else m.Author.select(m.Author.id)
    ).order_by(m.Author.id),
    "json": lambda m: m.Everything.select(
        m.Everything.id, m.Everything.json["list"].alias("inner")
    ).order_by(m.Everything.id),
    "json, where": lambda m: m.Everything.select(m.Everything.id).where(
        m.Everything.json["text"].is_null(False)
    ),
    "flags": lambda m: m.Everything.select(
        m.Everything.id, m.Everything.flags.bin_and(1).alias("one")
    ).where(m.Everything.second),
    "bytes": lambda m: m.Everything.select(m.Everything.id).where(
        m.Everything.blob == b"\x00'\\\"%s\xff"
    ),
    "uuids": lambda m: (
        m.Everything.select(m.Everything.uuid, m.Everything.binary_uuid)
        .where(m.Everything.binary_uuid.is_null(False))
        .order_by(m.Everything.id)
    ),
    "dates": lambda m: (
        m.Everything.select(
            m.Everything.date.year.alias("y"),
            m.Everything.datetime.hour.alias("h"),
            m.Everything.date.truncate("month").alias("m"),
        )
        .where(m.Everything.date.is_null(False))
        .order_by(m.Everything.id)
    ),
    "stamps": lambda m: (
        m.Everything.select(m.Everything.stamp, m.Everything.fine_stamp.year.alias("y"))
        .where(m.Everything.fine_stamp.is_null(False))
        .order_by(m.Everything.id)
    ),
    "a mood": lambda m: (
        m.Everything.select(m.Everything.mood)
        .where(m.Everything.mood.is_null(False))
        .order_by(m.Everything.id)
    ),
    "a table": lambda m: (
        peewee.Table("author", ("id", "name", "born"))
        .bind(m.database)
        .select()
        .order_by(SQL("id"))
    ),
    "a table, columns": lambda m: (
        peewee.Table("author")
        .bind(m.database)
        .select(SQL("name"), SQL("alive"))
        .order_by(SQL("name"))
        .tuples()
    ),
}

VERBS: dict[str, Callable[[Any, Any], Any]] = {
    "execute": lambda do, query: do.execute(query),
    "dicts": lambda do, query: do.execute(query.dicts()),
    "tuples": lambda do, query: do.execute(query.tuples()),
    "namedtuples": lambda do, query: do.execute(query.namedtuples()),
    "objects": lambda do, query: do.execute(query.objects(SimpleNamespace)),
    "get": lambda do, query: do.get(query),
    "get_or_none": lambda do, query: do.get_or_none(query),
    "get of dicts": lambda do, query: do.get(query.dicts()),
    "first": lambda do, query: do.first(query),
    "first two": lambda do, query: do.first(query, 2),
    "exists": lambda do, query: do.exists(query),
    "scalar": lambda do, query: do.scalar(query),
    "scalar as tuple": lambda do, query: do.scalar(query, as_tuple=True),
    "scalar as dict": lambda do, query: do.scalar(query, as_dict=True),
    "count": lambda do, query: do.count(query),
    "count without limit": lambda do, query: do.count(query, clear_limit=True),
}


# Sync peewee counts these otherwise. An aggregate gives one row: there it counts the
# rows that go into it (ruling 20). Raw queries have only `execute` there, and what it
# sends for a noop is no SQL.
COUNTED_OTHERWISE = {
    "function, coerced",
    "function, not coerced",
    "aggregate",
    "aggregates with names",
    "aggregate of nothing",
    "aggregate with a filter",
    "noop",
}
RAW = {name for name in SHAPES if name.startswith("raw")}
COUNTS = {"count", "count without limit"}
ONLY_OURS = COUNTS | {"exists", "first", "first two"}
ONLY_OURS |= {"scalar", "scalar as tuple", "scalar as dict"}

# What is not to be had everywhere, and is an error in each way.
REFUSED = {
    "postgres": set(),
    "mysql": {"lateral", "distinct on", "values", "aggregate with a filter"},
    "sqlite": {"regexp", "lateral", "distinct on", "for update", "values"},
}
WRONG = {"join without a key", "filter, unknown"}


def compared(family: str, shape: str, verb: str) -> bool:
    """Tell whether sync has an answer to compare with."""
    if IS_OLD_PEEWEE and verb in CHANGED_VERBS:
        return False
    if shape in REFUSED[family] and verb in (*COUNTS, "exists"):
        return False  # MySQL quotes the SQL, which is not peewee's
    if shape in RAW:
        return verb not in ONLY_OURS
    return not (shape in COUNTED_OTHERWISE and verb in (*COUNTS, "exists"))


@pytest.mark.parametrize("shape", SHAPES)
async def test_shape(sides: Sides, shape: str) -> None:
    different = {}
    for verb in VERBS:
        if not compared(sides.family, shape, verb):
            continue
        try:
            await sides.compare(asking(shape, verb))
        except AssertionError as error:
            different[verb] = str(error)
    assert different == {}


@pytest.mark.parametrize("shape", SHAPES)
async def test_shape_gives_rows(sides: Sides, shape: str) -> None:
    """A comparison of two errors is one by intention only."""
    kind, *answer = await sides.compare(asking(shape, "execute"))
    refused = shape in WRONG | REFUSED[sides.family]
    assert kind == ("raises" if refused else "gives"), answer


@pytest.mark.parametrize("shape", SHAPES)
async def test_counts_are_those_of_the_rows(sides: Sides, shape: str) -> None:
    """Ruling 20: `count` and `exists` tell of the rows that `execute` gives."""
    for side in sides.others:
        kind, rows, *_ = await side.answer(asking(shape, "execute"))
        if kind == "raises":
            continue
        number = len(rows[2])
        for verb, wanted in (("count", number), ("exists", number > 0)):
            try:
                answer = await side.answer(asking(shape, verb))
            except NotOffered:
                continue
            assert answer == ("gives", (type(wanted), wanted)), (side.way.name, verb)


def asking(shape: str, verb: str) -> Any:
    async def case(do: Any, m: Matrix) -> Outcome:
        return await VERBS[verb](do, SHAPES[shape](m))

    return case
