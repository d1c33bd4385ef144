"""The examples of the API reference, run as programs: code as it stands there.

They name a database `test` and nothing else, so the environment variables of libpq say
where that is. What an example leaves out is put around it here.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from textwrap import dedent, indent
from typing import Any

import peewee
import pytest

from tests.integration.backends import Backend, run_alone
from tests.integration.checks import only, quiet, run_python
from tests.servers import Server

pytestmark = only("postgres")

DATABASE = "test"
MARK = "made for the tests of peewee_async"


# The examples


INTRODUCTION = """
import asyncio
import peewee
import logging
from peewee_async import Manager, PostgresqlDatabase

loop = asyncio.new_event_loop() # Note: custom loop!
database = PostgresqlDatabase('test')
objects = Manager(database, loop=loop)

class PageBlock(peewee_async.AioModel):
    key = peewee.CharField(max_length=40, unique=True)
    text = peewee.TextField(default='')

    class Meta:
        database = database

PageBlock.create_table(True)

async def my_async_func():
    # Add new page block
    await PageBlock.aio_create(
        key='title',
        text="Peewee is AWESOME with async!"
    )

    # Get one by key
    title = await PageBlock.aio_get(PageBlock, key='title')
    print("Was:", title.text)

    # Save with new text using manager
    title.text = "Peewee is SUPER awesome with async!"
    await objects.update(title)
    print("New:", title.text)

loop.run_until_complete(my_async_func())
loop.close()
"""

MANAGER = """
class User(peewee.Model):
    username = peewee.CharField(max_length=40, unique=True)

objects = Manager(PostgresqlDatabase('test'))

async def my_async_func():
    user0 = await objects.create(User, username='test')
    user1 = await objects.get(User, id=user0.id)
    user2 = await objects.get(User, username='test')
    # All should be the same
    print(user1.id, user2.id, user3.id)
"""

MANAGER_CLASS = """
database = PostgresqlDatabase('test')

class MyManager(Manager):
    database = database

objects = MyManager()
"""

ALLOW_SYNC = """
with objects.allow_sync():
    PageBlock.create_table(True)
"""

GET = """
async def my_async_func():
    obj1 = await objects.get(MyModel, id=1)
    obj2 = await objects.get(MyModel, MyModel.id==1)
    obj3 = await objects.get(MyModel.select().where(MyModel.id==1))
"""

ATOMIC = """
async with objects.atomic():
    await objects.create(
        PageBlock, key='intro',
        text="There are more things in heaven and earth, "
             "Horatio, than are dreamt of in your philosophy.")
    await objects.create(
        PageBlock, key='signature', text="William Shakespeare")
"""

DATABASES = {
    "PostgresqlDatabase": "database = PostgresqlDatabase('test')",
    "PooledPostgresqlDatabase": (
        "database = PooledPostgresqlDatabase('test', max_connections=20)"
    ),
    "PostgresqlExtDatabase": (
        "database = PostgresqlExtDatabase('test', register_hstore=False)"
    ),
    "PooledPostgresqlExtDatabase": """
database = PooledPostgresqlExtDatabase('test', register_hstore=False,
                                       max_connections=20)
""",
}

MYSQL_DATABASES = {
    "MySQLDatabase": "database = MySQLDatabase('test')",
    "PooledMySQLDatabase": "database = MySQLDatabase('test', max_connections=10)",
}

MODEL = """
class User(peewee_async.AioModel):
    username = peewee.CharField(max_length=40, unique=True)
"""

MODEL_QUERY = """
await User.select().where(User.username == 'admin').aio_execute()
"""

MODEL_GET = """
user = await User.aio_get(User.username == 'user')
"""


# What is put around them


BEFORE = """
import asyncio
import peewee
import peewee_async
from peewee_async import Manager, PostgresqlDatabase

"""

PAGE_BLOCK = """
objects = Manager(PostgresqlDatabase('test'))

class PageBlock(peewee_async.AioModel):
    key = peewee.CharField(max_length=40, unique=True)
    text = peewee.TextField(default='')

    class Meta:
        database = objects.database
"""


def program(*parts: str) -> str:
    return BEFORE + "\n".join(dedent(part) for part in parts)


def in_main(*parts: str) -> str:
    """Give an `async def` with the parts in it, and what runs it."""
    body = "\n".join(dedent(part) for part in parts)
    return f"async def main():\n{indent(body, '    ')}\n\nasyncio.run(main())\n"


# Where they run


@pytest.fixture(scope="module")
def opened() -> Iterator[Callable[[Server], Any]]:
    """A function that opens the database `test`, for as long as this module's tests."""
    with ExitStack() as stack:
        yield cache(lambda server: stack.enter_context(the_database(server)))


@pytest.fixture
def environment(
    backend: Backend, opened: Callable[[Server], Any]
) -> Iterator[dict[str, str]]:
    """Lead libpq to a database `test` and a schema of this test's own in it."""
    server = backend.server
    assert server is not None
    schema = f"peewee_async_{secrets.token_hex(4)}"
    database = opened(server)
    database.execute_sql(f"CREATE SCHEMA {schema}")
    try:
        yield {
            "PGHOST": server.host,
            "PGPORT": str(server.port),
            "PGUSER": server.user,
            "PGPASSWORD": server.password,
            "PGOPTIONS": f"-c search_path={schema}",
        }
    finally:
        database.execute_sql(f"DROP SCHEMA {schema} CASCADE")


@contextmanager
def the_database(server: Server) -> Iterator[Any]:
    """Open the database `test`; make it if it is missing, and drop it if made so.

    Another run may do the same at this moment. It cannot drop what is open here, and
    whoever is the last to leave does.
    """
    around = peewee.PostgresqlDatabase(server.database, **server.options)
    database = peewee.PostgresqlDatabase(DATABASE, **server.options)
    with around.connection_context():
        open_or_make(database, around)
        try:
            yield database
        finally:
            database.close()
            if mark(around) == MARK:
                with suppress(peewee.OperationalError):  # another run has it open
                    run_alone(around, f"DROP DATABASE IF EXISTS {DATABASE}")


def open_or_make(database: Any, around: Any) -> None:
    for _ in range(5):
        try:
            database.connect()
            return
        except peewee.OperationalError:
            if is_there(around):
                raise
        with suppress(peewee.ProgrammingError, peewee.IntegrityError):
            run_alone(around, f"CREATE DATABASE {DATABASE}")  # unless another run has
            run_alone(around, f"COMMENT ON DATABASE {DATABASE} IS '{MARK}'")
    raise RuntimeError(f"The database {DATABASE} is dropped as soon as it is made.")


def is_there(around: Any) -> bool:
    query = "SELECT 1 FROM pg_database WHERE datname = %s"
    return around.execute_sql(query, (DATABASE,)).fetchone() is not None


def mark(around: Any) -> str | None:
    query = (
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database "
        "WHERE datname = %s"
    )
    row = around.execute_sql(query, (DATABASE,)).fetchone()
    text: str | None = row and row[0]
    return text


# The tests


def test_the_introduction(environment: dict[str, str]) -> None:
    """Only the import that the text forgets is added."""
    printed = quiet(run_python("import peewee_async\n" + INTRODUCTION, **environment))
    assert printed == (
        "Was: Peewee is AWESOME with async!\nNew: Peewee is SUPER awesome with async!\n"
    )


def test_a_manager(environment: dict[str, str]) -> None:
    """Its model is bound to no database, and its `user3` is left undefined."""
    source = program(
        MANAGER,
        """
        with objects.database.bind_ctx([User], False, False):
            User.create_table()

        class user3:
            id = 1

        asyncio.run(my_async_func())
        """,
    )
    assert quiet(run_python(source, **environment)) == "1 1 1\n"


def test_a_manager_class(environment: dict[str, str]) -> None:
    source = program(
        MANAGER_CLASS,
        "print(objects.database is database)",
        in_main("print(await objects.scalar(peewee.RawQuery('SELECT 7').tuples()))"),
    )
    assert quiet(run_python(source, **environment)) == "True\n7\n"


@pytest.mark.parametrize("inside", [True, False], ids=["in a loop", "outside"])
def test_allow_sync(environment: dict[str, str], inside: bool) -> None:
    source = program(
        PAGE_BLOCK,
        in_main(ALLOW_SYNC) if inside else ALLOW_SYNC,
        "print(objects.database.is_closed(), PageBlock.select().count())",
    )
    assert quiet(run_python(source, **environment)) == "True 0\n"


def test_get(environment: dict[str, str]) -> None:
    source = program(
        """
        class Telling(Manager):
            async def get(self, *args, **kwargs):
                found = await super().get(*args, **kwargs)
                print(type(found).__name__, found.id)
                return found

        objects = Telling(PostgresqlDatabase('test'))

        class MyModel(peewee.Model):
            class Meta:
                database = objects.database

        MyModel.create_table()
        MyModel.create()
        MyModel.create()
        """,
        GET,
        "asyncio.run(my_async_func())",
    )
    assert quiet(run_python(source, **environment)) == "MyModel 1\n" * 3


def test_atomic(environment: dict[str, str]) -> None:
    source = program(
        PAGE_BLOCK,
        "PageBlock.create_table()",
        in_main(ATOMIC),
        """
        for block in PageBlock.select().order_by(PageBlock.id):
            print(block.key, "-", block.text)
        """,
    )
    assert quiet(run_python(source, **environment)) == (
        "intro - There are more things in heaven and earth, Horatio, than are dreamt "
        "of in your philosophy.\nsignature - William Shakespeare\n"
    )


def imports(name: str) -> str:
    module = "peewee_asyncext" if "Ext" in name else "peewee_async"
    return f"from {module} import {name}"


@pytest.mark.parametrize("name", DATABASES)
def test_a_database(environment: dict[str, str], name: str) -> None:
    source = program(
        imports(name),
        DATABASES[name],
        """
        query = peewee.RawQuery("SELECT current_database(), 3").tuples()
        print(list(query.bind(database).execute()))
        """,
        in_main("print(await database.aio_execute(query))"),
        "print(type(database).__name__)",
    )
    rows = "[('test', 3)]\n"
    assert quiet(run_python(source, **environment)) == f"{rows}{rows}{name}\n"


@pytest.mark.usefixtures("backend")
def test_databases_are_made_without_connecting() -> None:
    """None of the servers is to be found, so whoever connects fails."""
    examples = DATABASES | MYSQL_DATABASES
    printing = "print(database.database, database.is_closed(), database.is_connected)"
    source = program(
        *map(imports, examples),
        "import socket",
        "socket.socket.connect = None",
        *(f"{example}\n{printing}" for example in examples.values()),
    )
    printed = quiet(run_python(source, PGHOST="/nowhere", PGPORT="1"))
    assert printed == "test True False\n" * len(examples)


def test_a_model(environment: dict[str, str]) -> None:
    source = program(
        MODEL,
        """
        User._meta.database = PostgresqlDatabase('test')
        User.create_table()
        User.create(username='admin')
        User.create(username='user')
        """,
        in_main(
            f"rows = ({MODEL_QUERY})",
            "print([row.username for row in rows])",
            MODEL_GET,
            "print(user.id, user.username)",
        ),
    )
    assert quiet(run_python(source, **environment)) == "['admin']\n2 user\n"
