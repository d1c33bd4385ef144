"""Sync peewee and the core side by side, each on a fresh in-memory SQLite database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import peewee

from peewee_async.core.boundary import Pause, Reply, Request
from peewee_async.core.dialect import Dialect
from peewee_async.core.execution import Execution, Work

Sent = tuple[str, tuple[Any, ...]]

TRANSACTION_COMMANDS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


class Recorded(peewee.SqliteDatabase):
    """Remembers the statements that it was given."""

    sent: list[Sent]

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        if not sql.startswith(TRANSACTION_COMMANDS):
            self.sent.append((sql, tuple(params or ())))
        parent: Any = super()
        return parent.execute_sql(sql, params)


DATABASE: Any = Recorded(":memory:")
DATABASE.sent = []
DIALECT = Dialect(DATABASE)


class Bound(peewee.Model):
    id: Any
    DoesNotExist: Any

    class Meta:
        database = DATABASE


class User(Bound):
    posts: Any
    edited: Any
    name: Any = peewee.CharField(unique=True)
    age: Any = peewee.IntegerField(default=36)


class Post(Bound):
    comments: Any
    author: Any = peewee.ForeignKeyField(User, backref="posts")
    editor: Any = peewee.ForeignKeyField(User, backref="edited", null=True)
    title: Any = peewee.TextField(column_name="headline")


class Comment(Bound):
    post: Any = peewee.ForeignKeyField(Post, backref="comments")
    text: Any = peewee.TextField(null=True)


class Membership(Bound):
    user: Any = peewee.ForeignKeyField(User)
    club: Any = peewee.CharField()
    since: Any = peewee.IntegerField(null=True)

    class Meta:
        primary_key = peewee.CompositeKey("user", "club")


class Log(Bound):
    line: Any = peewee.TextField()

    class Meta:
        primary_key = False


class Country(Bound):
    code: Any = peewee.CharField(primary_key=True)
    label: Any = peewee.CharField(default="")

    class Meta:
        only_save_dirty = True


class Draft(Bound):
    title: Any = peewee.TextField(default="")
    text: Any = peewee.TextField(default="")

    class Meta:
        only_save_dirty = True


MODELS = (User, Post, Comment, Membership, Log, Country, Draft)


@contextmanager
def fresh_database() -> Iterator[list[Sent]]:
    """Make the tables anew; gives the list of what is sent from then on."""
    with DATABASE.connection_context():
        DATABASE.create_tables(MODELS)
        DATABASE.sent = []
        yield DATABASE.sent


def finish(work: Work[Any]) -> Any:
    """Do the core's work on the connection of the database."""
    execution = Execution(work)
    waiting = execution.start()
    while waiting is not None:
        try:
            reply = _answer(waiting)
        except sqlite3.IntegrityError as cause:
            waiting = execution.fail(peewee.IntegrityError(cause, *cause.args))
        else:
            waiting = execution.feed(reply)
    return execution.result


def _answer(statement: Request) -> Reply:
    if isinstance(statement, Pause):
        return Reply()
    if not statement.sql.startswith(TRANSACTION_COMMANDS):
        DATABASE.sent.append((statement.sql, statement.params))
    cursor = DATABASE.connection().execute(statement.sql, statement.params)
    columns = cursor.description and tuple(item[0] for item in cursor.description)
    rows = cursor.fetchmany(statement.limit) if statement.limit else cursor.fetchall()
    reply = Reply(rows, columns, cursor.rowcount, cursor.lastrowid)
    cursor.close()
    return reply


def on_fresh_database(make: Callable[[], Any]) -> tuple[Any, list[Sent]]:
    """Call something on a fresh database: its value, and what was sent."""
    with fresh_database() as sent:
        value = make()
        return value, list(sent)
