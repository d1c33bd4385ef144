"""Peewee itself on SQLite in memory: what the core gives is compared with it."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import peewee
from peewee import JOIN, Case, fn

from peewee_async.core.boundary import Pause, Reply, Request
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Execution, Work

DATABASE: Any = peewee.SqliteDatabase(":memory:")
DIALECT = Dialect(DATABASE)


class LibraryModel(peewee.Model):
    id: Any
    DoesNotExist: Any

    class Meta:
        database = DATABASE


class Author(LibraryModel):
    name: Any = peewee.CharField(unique=True)
    born: Any = peewee.DateField(null=True)
    alive: Any = peewee.BooleanField(default=True)


class Book(LibraryModel):
    author: Any = peewee.ForeignKeyField(Author, backref="books")
    editor: Any = peewee.ForeignKeyField(Author, backref="edited", null=True)
    title: Any = peewee.TextField(column_name="headline")
    price: Any = peewee.DecimalField(null=True)


class Review(LibraryModel):
    book: Any = peewee.ForeignKeyField(Book, backref="reviews")
    text: Any = peewee.TextField(null=True)


class Shelf(LibraryModel):
    """A composite key."""

    room: Any = peewee.CharField()
    number: Any = peewee.IntegerField()
    label: Any = peewee.CharField(default="new")

    class Meta:
        primary_key = peewee.CompositeKey("room", "number")


class Note(LibraryModel):
    """No key at all."""

    line: Any = peewee.TextField()

    class Meta:
        primary_key = False


class Genre(LibraryModel):
    """A key that the program gives."""

    code: Any = peewee.CharField(primary_key=True)
    label: Any = peewee.CharField(default="")


MODELS = (Author, Book, Review, Shelf, Note, Genre)

AUTHORS: Any = peewee.Table("author", ("id", "name", "born", "alive"), primary_key="id")
AUTHORS.bind(DATABASE)


@contextmanager
def library() -> Iterator[None]:
    """Fill a database: four authors, five books, three reviews."""
    with DATABASE.connection_context():
        DATABASE.create_tables(MODELS)
        ada, bob, cyd, _ = (
            Author.create(name=name, born=born, alive=alive)
            for name, born, alive in (
                ("ada", datetime.date(1815, 12, 10), False),
                ("bob", None, True),
                ("cyd", datetime.date(1990, 1, 2), True),
                ("dee", None, True),
            )
        )
        for author, editor, title, price in (
            (ada, bob, "Notes", decimal.Decimal("3.50")),
            (ada, None, "Letters", None),
            (bob, bob, "100% wool", decimal.Decimal("12.25")),
            (bob, cyd, "Letters", decimal.Decimal("3.50")),
            (cyd, ada, "Ducks", decimal.Decimal("8.00")),
        ):
            Book.create(author=author, editor=editor, title=title, price=price)
        for book, text in ((1, "good"), (1, None), (3, "warm")):
            Review.create(book=book, text=text)
        yield


def answer(statement: Request) -> Reply:
    """Have SQLite answer a statement, through peewee's own connection."""
    if isinstance(statement, Pause):
        return Reply()
    cursor = DATABASE.execute_sql(statement.sql, statement.params)
    if cursor.description is None:
        return Reply((), None, cursor.rowcount, cursor.lastrowid)
    rows = cursor.fetchall()[: statement.limit]
    names = tuple(column[0] for column in cursor.description)
    return Reply(rows, names, cursor.rowcount, cursor.lastrowid)


def run(work: Work[Any]) -> Any:
    """Do work of the core on that database."""
    execution = Execution(work)
    statement = execution.start()
    while statement is not None:
        statement = execution.feed(answer(statement))
    return execution.result


def content() -> list[Any]:
    """Give all rows of all tables."""
    return [sorted(model.select().tuples(), key=repr) for model in MODELS]


def plain(value: Any) -> Any:
    """Take a result apart, so that two of them compare by all that is in them."""
    if isinstance(value, peewee.Model):
        related = {name: plain(item) for name, item in value.__rel__.items()}
        extra = {
            name: plain(item)
            for name, item in vars(value).items()
            if name not in ("__data__", "__rel__", "_dirty")
        }
        data = dict(value.__data__)
        return (
            type(value),
            plain(data),
            related,
            extra,
            set(vars(value).get("_dirty", ())),
        )
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return type(value).__name__, getattr(value, "_fields", ()), *map(plain, value)
    if isinstance(value, list | peewee.CursorWrapper):
        return [plain(item) for item in value]
    return type(value), value


def frozen(node: Any) -> Any:
    """Take a picture of all that a query is made of, to see later if it changed."""
    if isinstance(node, peewee.Field | peewee.Column | peewee.ModelAlias):
        return id(node)
    if isinstance(node, peewee.Node):
        # Up to 4.4, peewee notes the type of an INSERT in it when it renders it.
        parts = {k: v for k, v in vars(node).items() if k != "_query_type"}
        return id(node), type(node), frozen(parts)
    if isinstance(node, dict):
        return [(frozen(key), frozen(value)) for key, value in node.items()]
    if isinstance(node, list | tuple):
        return type(node), [frozen(item) for item in node]
    if isinstance(node, set | frozenset):
        return type(node), frozenset(frozen(item) for item in node)
    return node if isinstance(node, str | int | None) else id(node)


def _editors() -> Any:
    return Author.alias("editors")


def _two_keys_to_one_model() -> Any:
    editor = _editors()
    return (
        Book.select(Book, Author, editor)
        .join(Author, on=Book.author)
        .switch(Book)
        .join(editor, JOIN.LEFT_OUTER, on=(Book.editor == editor.id))
        .order_by(Book.id)
    )


def _self_join() -> Any:
    other = Book.alias("other")
    same = (Book.title == other.title) & (Book.id < other.id)
    return Book.select(Book, other).join(other, on=same.alias("twin"))


def _joined_subquery() -> Any:
    totals = (
        Book.select(Book.author, fn.COUNT(Book.id).alias("books"))
        .group_by(Book.author)
        .alias("totals")
    )
    return (
        Author.select(Author, totals.c.books)
        .join(totals, on=(Author.id == totals.c.author_id))
        .order_by(Author.id)
    )


def _cte() -> Any:
    dear = Book.select(Book.author).where(Book.price > 5).cte("dear")
    return (
        Author.select(Author.name)
        .join(dear, on=(Author.id == dear.c.author_id))
        .with_cte(dear)
        .order_by(Author.name)
    )


def _recursive_cte() -> Any:
    base = peewee.Select(columns=[peewee.SQL("1").alias("n")]).cte("numbers", True)
    more = peewee.Select([base], [base.c.n + 1]).where(base.c.n < 5)
    numbers = base.union_all(more)
    return numbers.select_from(numbers.c.n).bind(DATABASE)


def _named_window() -> Any:
    window = peewee.Window(partition_by=[Book.author], order_by=[Book.id])
    place = fn.RANK().over(window).alias("place")
    return Book.select(Book.title, place).window(window).order_by(Book.id)


def _union_of_unions() -> Any:
    names = Author.select(Author.name)
    titles = Book.select(Book.title)
    return (names | titles) + names


def _raw() -> Any:
    sql = "SELECT id, name, born, 2 AS extra FROM author WHERE name > ? ORDER BY id; "
    return Author.raw(sql, "ada")


SHAPES: dict[str, Callable[[], Any]] = {
    "model": lambda: Author.select().order_by(Author.id),
    "no row": lambda: Author.select().where(Author.name == "zoe"),
    "some columns": lambda: Author.select(Author.name, Author.born).order_by(Author.id),
    "dicts": lambda: Book.select().order_by(Book.id).dicts(),
    "tuples": lambda: Book.select().order_by(Book.id).tuples(),
    "namedtuples": lambda: Book.select().order_by(Book.id).namedtuples(),
    "objects": lambda: (
        Author.select(Author.name).order_by(Author.id).objects(SimpleNamespace)
    ),
    "models as objects": lambda: (
        Book.select(Book.id, Author.name).join(Author, on=Book.author).objects(Book)
    ),
    "joined dicts": lambda: (
        Book.select(Book, Author).join(Author, on=Book.author).order_by(Book.id).dicts()
    ),
    "inner join": lambda: (
        Book.select(Book, Author).join(Author, on=Book.author).order_by(Book.id)
    ),
    "left outer join": lambda: (
        Author.select(Author, Book)
        .join(Book, JOIN.LEFT_OUTER, on=Book.author)
        .order_by(Author.id, Book.id)
    ),
    "three joined": lambda: (
        Review.select(Review, Book, Author)
        .join(Book)
        .join(Author, on=Book.author)
        .order_by(Review.id)
    ),
    "joined, not selected": lambda: Book.select(Book.title).join(
        Author, on=Book.editor
    ),
    "join named by the caller": lambda: (
        Book.select(Book, Author)
        .join(Author, on=Book.author, attr="writer")
        .order_by(Book.id)
    ),
    "two keys to one model": _two_keys_to_one_model,
    "self join": _self_join,
    "alias": lambda: _editors().select().order_by(peewee.SQL("id")),
    "computed columns": lambda: Book.select(
        Book.title,
        (Book.id * 2).alias("double"),
        Case(None, [(Book.price > 5, "dear")], "cheap").alias("class"),
    ).order_by(Book.id),
    "function that is converted": lambda: Author.select(
        fn.MAX(Author.born).alias("youngest")
    ),
    "function that is not converted": lambda: Author.select(
        fn.MAX(Author.born).coerce(False).alias("youngest")
    ),
    "converter": lambda: Author.select(
        fn.LENGTH(Author.name).converter(float).alias("length")
    ).order_by(Author.id),
    "aggregate": lambda: Book.select(fn.COUNT(Book.id), fn.SUM(Book.price)),
    "aggregate of nothing": lambda: Book.select(fn.COUNT(Book.id)).where(Book.id < 0),
    "columns and aggregate": lambda: Book.select(Book.author, fn.COUNT(Book.id)),
    "group by": lambda: (
        Book.select(Book.author, fn.COUNT(Book.id).alias("books"))
        .group_by(Book.author)
        .order_by(Book.author)
    ),
    "having": lambda: (
        Author.select(Author, fn.COUNT(Book.id).alias("books"))
        .join(Book, on=Book.author)
        .group_by(Author.id)
        .having(fn.COUNT(Book.id) > 1)
        .order_by(Author.id)
    ),
    "distinct": lambda: Book.select(Book.title).distinct().order_by(Book.title),
    "distinct because of a flag": lambda: Book.select(Book.title).distinct(True),
    "distinct expressions": lambda: Book.select(
        Book.price + 1, Book.price + 1
    ).distinct(),
    "limit": lambda: Book.select().order_by(Book.id).limit(2).offset(1),
    "limit of distinct": lambda: Book.select(Book.title).distinct().limit(2),
    "subquery as a column": lambda: Author.select(
        Author.name,
        Book.select(fn.COUNT(Book.id)).where(Book.author == Author.id).alias("books"),
    ).order_by(Author.id),
    "subquery as a condition": lambda: (
        Author.select().where(Author.id << Book.select(Book.editor)).order_by(Author.id)
    ),
    "subquery as a source": lambda: (
        Book.select(Book.title).where(Book.price > 3).select_from(peewee.SQL("*"))
    ),
    "joined subquery": _joined_subquery,
    "union": lambda: (
        (Author.select(Author.id, Author.name) | Author.select(Author.id, Author.name))
        .order_by(peewee.SQL("1"))
        .limit(3)
    ),
    "union all": lambda: Author.select(Author.name) + Book.select(Book.title),
    "except": lambda: Author.select() - Author.select().where(Author.alive),
    "union of unions": _union_of_unions,
    "union as dicts": lambda: (Author.select() | Author.select()).dicts(),
    "cte": _cte,
    "recursive cte": _recursive_cte,
    "window function": lambda: Book.select(
        Book.title, fn.ROW_NUMBER().over(order_by=[Book.id]).alias("place")
    ).order_by(Book.id),
    "named window": _named_window,
    "table": lambda: AUTHORS.select(AUTHORS.id, AUTHORS.name).order_by(AUTHORS.id),
    "table, from the third row": lambda: AUTHORS.select().offset(2).limit(-1),
    "table as tuples": lambda: AUTHORS.select(AUTHORS.name).tuples(),
    "table, all columns": lambda: AUTHORS.select(peewee.SQL("*")),
    "star of a model": lambda: Author.select(AUTHORS.__star__).from_(AUTHORS),
    "percent sign": lambda: Book.select().where(Book.title.contains("0% w")),
    "raw": _raw,
    "raw as dicts": lambda: _raw().dicts(),
    "noop": Author.noop,
}
