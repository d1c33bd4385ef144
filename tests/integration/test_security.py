"""Names and values carry no SQL; passwords and values are not told to anybody."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import logging
import secrets
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import peewee
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from playhouse.db_url import connect

from peewee_async import AioDatabase, AioModel, Manager, MySQLDatabase
from peewee_async.core.dialect import (
    ISOLATION_LEVELS,
    LOCK_TYPES,
    Dialect,
    TransactionOptions,
)
from tests.integration.backends import POOLED, Backend
from tests.integration.checks import give_up, only
from tests.integration.conftest import MakeDatabase, end_other_sessions
from tests.integration.models import User
from tests.integration.rogues import (
    HOST,
    Rogue,
    RogueMySQL,
    RoguePostgres,
    message,
    packet,
)
from tests.servers import Server, Unavailable, private_mysql

servers_only = only("postgres", "mysql")
SECRET = "s3cret-passw0rd"

NASTY = (
    "a'b",
    'a"b',
    "a`b",
    "a\\",
    "\\'; DROP TABLE users; -- ",
    '"; DROP TABLE users; -- ',
    "`; DROP TABLE users; -- ",
    "100%",
    "%s",
    "%(name)s",
    "a;b--c/*d*/#",
    "naïve ☃ 日本",
    " a b ",
    "SELECT",
    "{0}",
    "\n\t\r",
    "?",
    ":name",
    "$1",
    "x" * 60,
)


# Names


@pytest.mark.parametrize("name", NASTY)
async def test_the_name_of_a_savepoint(objects: Manager, name: str) -> None:
    async with objects.atomic():
        await objects.create(User, name="kept")
        with pytest.raises(ZeroDivisionError):
            async with objects.savepoint(name):
                await objects.create(User, name="dropped")
                raise ZeroDivisionError
        async with objects.savepoint(name):
            await objects.create(User, name="kept too")
    rows = await objects.execute(User.select(User.name).order_by(User.name).tuples())
    assert rows == [("kept",), ("kept too",)]


async def test_a_very_long_name_of_a_savepoint(objects: Manager) -> None:
    """PostgreSQL cuts it, so that both are one name: the inner one is meant first."""
    async with objects.atomic():
        await objects.create(User, name="kept")
        async with objects.savepoint("`x" * 10_000 + "one") as one:
            await objects.create(User, name="dropped")
            async with objects.savepoint("`x" * 10_000 + "two"):
                await objects.create(User, name="dropped too")
            await one.rollback(begin=False)
    assert await objects.count(User) == 1


@given(name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=15))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_name_of_a_savepoint(backend: Backend, path: Path, name: str) -> None:
    async def main() -> None:
        database = backend.make(path, pooled=False)
        try:
            async with database.aio_atomic():
                if "\0" in name:
                    with pytest.raises(ValueError, match="cannot be the name"):
                        await database.aio_savepoint(name).__aenter__()
                    return
                async with database.aio_savepoint(name) as block:
                    assert await database.aio_execute_sql("SELECT 7") == [(7,)]
                    await block.rollback()
                    assert await database.aio_execute_sql("SELECT 8") == [(8,)]
        finally:
            await database.aio_close()

    # MySQL has no characters outside of the first plane in names.
    if backend.name == "mysql" and (max(name) > "\uffff" or name.endswith(" ")):
        return
    asyncio.run(main())


@pytest.mark.parametrize("name", [name for name in NASTY if "%" not in name])
async def test_names_of_tables_and_columns(
    make_database: MakeDatabase, sync: Any, backend: Backend, name: str
) -> None:
    if name != name.strip() and backend.name == "mysql":
        name = name.strip() or "x"  # MySQL takes no blanks at the end
    column = f"c{name}"[:50]

    class Odd(AioModel):
        value: Any = peewee.TextField(column_name=column)

        class Meta:
            table_name = f"t{name}"[:50]
            database = make_database()

    await Odd.aio_create_table()
    try:
        await Odd.aio_create(value="one")
        assert [odd.value async for odd in Odd.select()] == ["one"]
        assert await Odd.update(value="two").aio_execute() == 1
        assert (await Odd.aio_get(value="two")).value == "two"
        assert await Odd.aio_table_exists()
    finally:
        await Odd.aio_drop_table()
    assert not await Odd.aio_table_exists()


BAD_OPTIONS: list[tuple[str, Any]] = [
    ("isolation_level", "SERIALIZABLE; DROP TABLE users"),
    ("isolation_level", "SERIALIZABLE READ ONLY"),
    ("isolation_level", ""),
    ("isolation_level", "SERIALIZABLE\0"),
    ("lock_type", "IMMEDIATE; DROP TABLE users"),
    ("lock_type", ""),
]


@pytest.mark.parametrize(("option", "value"), BAD_OPTIONS)
async def test_an_option_of_a_transaction_that_is_none(
    objects: Manager, option: str, value: str
) -> None:
    options: Any = {option: value}
    with pytest.raises(ValueError, match=option):
        async with objects.atomic(**options):
            pass
    assert await objects.count(User) == 0


@given(value=st.text() | st.sampled_from([*ISOLATION_LEVELS, *LOCK_TYPES]))
@pytest.mark.parametrize("family", POOLED)
@pytest.mark.parametrize("option", ["isolation_level", "lock_type"])
def test_no_text_gets_into_a_begin(family: str, option: str, value: str) -> None:
    """What is not one of a closed list is refused; sharp s and the like included."""
    dialect = Dialect(POOLED[family]("unit"))
    options: Any = {option: value}
    try:
        statements = dialect.begin(TransactionOptions(**options))
    except ValueError:
        return
    for statement in statements:
        words = statement.sql.upper().replace("_", " ")
        assert words.endswith((*ISOLATION_LEVELS, *LOCK_TYPES, "BEGIN"))
        assert set(words) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ ")


@only("mysql")
@pytest.mark.parametrize("value", ["\\', GLOBAL x=1 -- ", "'; DROP", "a=b", "x\n"])
async def test_a_mode_of_mysql_is_no_sql(
    make_database: MakeDatabase, value: str
) -> None:
    database = make_database(sql_mode=value)
    with pytest.raises(peewee.OperationalError, match="sql_mode will not do"):
        await database.aio_connect()


@servers_only
async def test_options_of_the_driver_are_no_sql(
    objects: Manager, make_database: MakeDatabase, backend: Backend
) -> None:
    for name in NASTY:
        with pytest.raises(peewee.OperationalError):
            await make_database(name=f"no{name}").aio_connect()
        with pytest.raises(peewee.OperationalError):
            user = (
                make_database(user=f"no{name}", password=name, charset="utf8mb4")
                if backend.name == "mysql"
                else make_database(user=f"no{name}")
            )
            await user.aio_connect()
    assert await objects.count(User) == 0


# Values


class Unknown:
    """Of a type that no driver knows, and MySQL's driver makes a text of."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


VALUES = (
    *NASTY,
    "\\",
    "'",
    "\\' OR 1=1 -- ",
    "\\\\' OR 1=1 -- ",
    "' OR 1=1 -- ",
    '" OR 1=1 -- ',
    "\x1a",
    "%",
    "%%s",
    "",
)
SESSIONS: dict[str, list[tuple[dict[str, Any], str]]] = {
    "postgres": [
        ({}, ""),
        ({"options": "-c standard_conforming_strings=off"}, ""),
        ({"options": "-c standard_conforming_strings=off -c backslash_quote=off"}, ""),
        ({}, "SET standard_conforming_strings = off"),
    ],
    "mysql": [
        ({}, ""),
        ({"sql_mode": "NO_BACKSLASH_ESCAPES"}, ""),
        ({"sql_mode": "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"}, ""),
        ({"init_command": "SET sql_mode = 'NO_BACKSLASH_ESCAPES'"}, ""),
        ({}, "SET sql_mode = 'NO_BACKSLASH_ESCAPES,STRICT_TRANS_TABLES'"),
        ({"sql_mode": "NO_BACKSLASH_ESCAPES"}, "SET sql_mode = ''"),
        *(({"charset": name}, "") for name in ("gbk", "sjis", "big5", "ujis", "cp932")),
        ({"charset": "sjis", "sql_mode": "NO_BACKSLASH_ESCAPES"}, ""),
        ({"charset": "latin1"}, ""),
    ],
    "sqlite": [({}, "")],
}
EACH_SESSION = [
    pytest.param(name, options, command, id=f"{name}-{options}-{command}")
    for name, sessions in SESSIONS.items()
    for options, command in sessions
]
ECHO = {
    "postgres": "SELECT %s::text, 7",
    "mysql": "SELECT %s, 7",
    "sqlite": "SELECT ?, 7",
}


@contextmanager
def echoing(
    backend: Backend, path: Path, options: dict[str, Any], command: str
) -> Iterator[Callable[[Any], Any]]:
    """Give a function that sends a value there and back."""
    with asyncio.Runner() as runner:
        database = backend.make(path, pooled=False, **options)
        if command:
            runner.run(database.aio_execute_sql(command))

        def echo(value: Any) -> Any:
            sql = ECHO[backend.name]
            ((back, seven),) = runner.run(database.aio_execute_sql(sql, (value,)))
            assert seven == 7
            return back

        yield echo
        runner.run(database.aio_close())


@pytest.mark.parametrize(
    ("backend", "options", "command"), EACH_SESSION, indirect=["backend"]
)
def test_values_stay_data(
    backend: Backend, path: Path, options: dict[str, Any], command: str
) -> None:
    charset = options.get("charset", "utf8").replace("latin1", "cp1252")
    with echoing(backend, path, options, command) as echo:
        # A backslash in disguise, and characters whose last byte is one.
        multibyte = ("¥' OR 1=1 -- ", "縗' OR 1=1 -- ", "表'", "功\\'", "\u203e'")
        for value in (*VALUES, *multibyte):
            try:
                value.encode(charset)
            except UnicodeEncodeError:
                continue
            back = echo(value)
            if "¥" in value and charset in ("sjis", "ujis"):
                assert back == value.replace("¥", "\\")  # the same byte there
            elif "\u203e" in value and charset in ("sjis", "ujis"):
                assert back == value.replace("\u203e", "~")
            else:
                assert back == value

        @given(value=st.text(st.sampled_from("\\'\"`%ab表縗¥;-\n\x1a"), max_size=12))
        @example(value="¥' OR 1=1 -- ")
        @settings(max_examples=150, deadline=None)
        def check(value: str) -> None:
            try:
                encoded = value.encode(charset)
            except UnicodeEncodeError:
                return
            if "¥" not in value or encoded.decode(charset) == value:
                assert echo(value) == value
            else:
                assert echo(value) == encoded.decode(charset)

        check()


@only("mysql")
@pytest.mark.parametrize("mode", ["", "NO_BACKSLASH_ESCAPES"])
def test_values_of_other_types_stay_data(
    backend: Backend, path: Path, mode: str
) -> None:
    with echoing(backend, path, {"sql_mode": mode}, "") as echo:
        for text in (*VALUES, "¥ 表"):
            assert echo(Unknown(text)) == text
            assert echo(text.encode()) == text.encode()
        assert echo(decimal.Decimal("1.5")) == decimal.Decimal("1.5")
        day = datetime.date(2024, 2, 29)
        assert echo(day) == "2024-02-29"
        assert echo(None) is None


@only("mysql")
def test_a_nul_in_a_value(backend: Backend, path: Path) -> None:
    for mode in ("", "NO_BACKSLASH_ESCAPES"):
        with echoing(backend, path, {"sql_mode": mode}, "") as echo:
            assert echo("a\0'b") == "a\0'b"


@only("mysql")
async def test_the_charset_is_told_to_the_server(make_database: MakeDatabase) -> None:
    """It may ignore what the greeting says, and then backslashes hide in characters."""
    for name in ("gbk", "sjis", "utf8mb4", "latin1"):
        database = make_database(charset=name, init_command="SET @a = 1")
        sql = "SELECT @@character_set_client, @@character_set_connection"
        assert await database.aio_execute_sql(sql) == [(name, name)]


@pytest.fixture(scope="module")
def odd_server() -> Iterator[Server]:
    """A server of its own: what these tests need is set for all who use one."""
    try:
        with private_mysql(
            {},
            **{
                "sql-mode": "NO_BACKSLASH_ESCAPES",
                "character-set-client-handshake": "0",
                "character-set-server": "gbk",
                "collation-server": "gbk_chinese_ci",
            },
        ) as server:
            yield server
    except Unavailable as missing:
        give_up("mysql", missing)


@pytest.mark.parametrize("mode", [None, "", "STRICT_TRANS_TABLES"])
@pytest.mark.parametrize("charset", ["utf8mb4", "gbk", "latin1"])
async def test_a_server_with_its_own_mode_and_charset(
    odd_server: Server, mode: str | None, charset: str
) -> None:
    """It does not listen to the charset in the greeting."""
    options: dict[str, Any] = {"sql_mode": mode, "charset": charset}
    database = MySQLDatabase("mysql", **odd_server.options | options)
    encoding = {"latin1": "cp1252", "utf8mb4": "utf8"}.get(charset, charset)
    for value in (*VALUES, "é'\\' OR 1=1 -- ", "縗' OR 1=1 -- ", "俿'"):
        if value.encode(encoding, "replace").decode(encoding) == value:
            ((back, found),) = await database.aio_execute_sql(
                "SELECT %s, @@sql_mode", (value,)
            )
            assert back == value
            assert found == ("NO_BACKSLASH_ESCAPES" if mode is None else mode)
    await database.aio_close()


@only("postgres")
async def test_strings_that_become_standard(make_database: MakeDatabase) -> None:
    """psycopg2 would quote for the strings that were there when it connected."""
    options = "-c standard_conforming_strings=off"
    database = make_database(pooled=False, options=options)
    await database.aio_execute_sql("SET standard_conforming_strings = on")
    with pytest.raises(peewee.NotSupportedError, match="values cannot be quoted"):
        await database.aio_execute_sql("SELECT %s", ("\\' OR 1=1 --",))
    assert await database.aio_execute_sql("SELECT %s", ("\\'",)) == [("\\'",)]


# Values are not logged


@contextmanager
def quiet_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that nobody logs a value above DEBUG, nor a password at all."""
    caplog.set_level(logging.DEBUG)
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    yield
    for record in caplog.records:
        text = logging.Formatter().format(record)
        assert SECRET not in text
        if record.levelno > logging.DEBUG:
            assert VALUE not in text, record
    assert complaints == []


VALUE = "a-value-of-the-user"


async def fail(told: str) -> None:
    raise ValueError(told)


async def test_failed_statements_log_no_values(
    objects: Manager, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    database = objects.database
    place = "?" if backend.name == "sqlite" else "%s"
    with quiet_logs(caplog):
        await objects.create(User, name=VALUE)
        with pytest.raises(peewee.IntegrityError):
            await objects.create(User, name=VALUE)
        with pytest.raises(peewee.IntegrityError):
            async with objects.atomic():
                await objects.create(User, name=VALUE)
        with pytest.raises(peewee.DatabaseError):
            await database.aio_execute_sql(f"SELECT {place} FROM nowhere", (VALUE,))
    assert any(VALUE in repr(record.msg) for record in caplog.records)  # at DEBUG


async def test_failed_callbacks_log_no_values(
    objects: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    with quiet_logs(caplog), pytest.raises(ValueError, match=VALUE):
        async with objects.atomic():
            objects.database.after_commit(partial(fail, VALUE))
            objects.database.after_commit(lambda: fail(VALUE))
            await objects.get_or_none(User, name=VALUE)
    assert "partial failed after the commit: ValueError" in caplog.text


@servers_only
async def test_lost_transactions_log_no_values(
    objects: Manager, backend: Backend, sync: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def lose() -> None:
        await objects.get_or_none(User, name=VALUE)
        end_other_sessions(backend, sync)
        await objects.create(User, name=VALUE)

    with quiet_logs(caplog):
        with pytest.raises(peewee.PeeweeException):
            async with objects.atomic():
                await lose()
        with pytest.raises(ValueError, match=VALUE):
            async with objects.atomic():
                with pytest.raises(peewee.PeeweeException):
                    await lose()
                raise ValueError(VALUE)
        assert await objects.count(User) == 0
    assert "A transaction ends with ValueError and is lost" in caplog.text


async def test_cancelled_blocks_log_no_values(
    objects: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    started = asyncio.Event()

    async def wait() -> None:
        async with objects.atomic():
            await objects.create(User, name=VALUE)
            started.set()
            await asyncio.Event().wait()

    with quiet_logs(caplog):
        task = asyncio.create_task(wait())
        await started.wait()
        task.cancel()
        await asyncio.wait([task])
        assert await objects.count(User) == 0


# Passwords


def everything(error: BaseException | None) -> str:
    """Give all that an error tells in any way, with all those behind it."""
    told = ""
    while error is not None:
        notes = getattr(error, "__notes__", "")
        told += f"{error} {error!r} {error.args} {notes} {vars(error)}"
        told += "".join(traceback.format_exception(error))
        told += "".join(variables(error))
        assert everything(error.__cause__) is not None
        if error.__context__ is not error.__cause__:
            told += everything(error.__context__)
        error = error.__cause__
    return told


def variables(error: BaseException) -> Iterator[str]:
    """Give what tools show of the frames of an error, but for those of this test."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename != __file__:
            yield from map(repr, frame.f_locals.values())


async def check_silence(
    database: AioDatabase, secret: str, caplog: pytest.LogCaptureFixture
) -> str:
    """Fail to connect in each way; give what was told, which has no secret in it."""
    caplog.set_level(logging.DEBUG)
    objects = Manager(database)
    told = ""
    calls: list[Callable[[], Any]] = [
        objects.connect,
        lambda: objects.get(User),
        lambda: objects.atomic().__aenter__(),
        lambda: database.detached().__aenter__(),
        lambda: anext(database.aio_iterator(User.select())),
    ]
    for call in calls:
        with pytest.raises(peewee.PeeweeException) as caught:
            await call()
        told += everything(caught.value)
    pool = database.ready_sessions().pool
    things = [database, objects, pool, pool.options, database.ready_sessions()]
    things += [*vars(pool).values(), database._dialect, objects.atomic()]
    told += " ".join(map(repr, things))
    await database.aio_close()
    told += caplog.text + " ".join(map(repr, caplog.records))
    for form in {secret, quote(secret, safe=""), repr(secret)[1:-1]}:
        assert form not in told
    return told


@servers_only
async def test_a_password_that_is_refused(
    make_database: MakeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    user = f"nobody_{secrets.token_hex(4)}"
    database = make_database(user=user, password=SECRET)
    assert user in await check_silence(database, SECRET, caplog)


@servers_only
async def test_a_password_in_a_url(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    server = backend.server
    assert server is not None
    for secret in (SECRET, "s3cr%t/with@all:kinds?of#signs ü"):
        there = f"nobody:{quote(secret, safe='')}@{server.host}:{server.port}/nowhere"
        for unquoted in (True, False):
            url = f"{backend.name}+pool+async://{there}"
            database = connect(url, unquote_password=unquoted)
            await check_silence(database, secret, caplog)


@only("postgres")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("postgresql://nobody:{secret}@{host}:{port}/nowhere", {}),
        ("postgresql://nobody:{secret}%zz@{host}:{port}/nowhere", {}),
        ("postgresql://nobody:{secret}@{host}:{port}/nowhere?nonsense=1", {}),
        ("postgresql://nobody:{secret}@x@{host}:{port}/nowhere", {}),
        ("postgresql://{host}:{port}/nowhere?user=nobody&password={secret}", {}),
        ("postgres://nobody:{secret}@{host}:{port}/nowhere", {}),
        ("host={host} port={port} password={secret} user=nobody", {}),
        ("nowhere", {"dsn": "host={host} port={port} user=nobody password={secret}"}),
        ("nowhere", {"dsn": "host={host} password='{secret} user=nobody"}),
        ("nowhere", {"dsn": "password=a {secret} user=nobody"}),
    ],
)
async def test_a_password_in_a_string_of_libpq(
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
    name: str,
    options: dict[str, str],
) -> None:
    server = backend.server
    assert server is not None
    filled = partial(str.format, secret=SECRET, host=server.host, port=server.port)
    options = {key: filled(value) for key, value in options.items()}
    if "host" in name and not name.startswith("postgresql://"):
        options |= {"host": server.host, "port": str(server.port), "user": "nobody"}
    database = POOLED["postgres"](filled(name), **options)
    await check_silence(database, SECRET, caplog)


@only("postgres")
async def test_a_password_of_the_environment(
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = backend.server
    assert server is not None
    monkeypatch.setenv("PGPASSWORD", SECRET)
    database = POOLED["postgres"](
        "nowhere", host=server.host, port=server.port, user="nobody"
    )
    await check_silence(database, SECRET, caplog)


@servers_only
@pytest.mark.parametrize("secret", [SECRET, "p\"w'\\", "pü", "p@ss %41", "kurz"])
async def test_a_password_that_the_server_repeats(
    backend: Backend, caplog: pytest.LogCaptureFixture, secret: str
) -> None:
    text = f"no account for (nobody, {secret})".encode()
    rogue: Rogue
    if backend.name == "mysql":
        rogue = RogueMySQL()
        rogue.greeting = packet(0, b"\xff\x15\x04" + text)
    else:
        rogue = RoguePostgres()
        rogue.greeting = message(b"E", b"SFATAL\0C28000\0M" + text + b"\0\0")
    more = {} if backend.name == "mysql" else {"sslmode": "disable"}
    async with rogue.listening() as port:
        database = POOLED[backend.name](
            "unit", host=HOST, port=port, user="nobody", password=secret, **more
        )
        told = await check_silence(database, secret, caplog)
        assert "no account for (nobody, ***)" in told


@servers_only
async def test_a_password_that_cannot_be_encoded(
    make_database: MakeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    database = make_database(password=f"{SECRET}\udc80")
    await check_silence(database, SECRET, caplog)


@only("mysql")
async def test_a_password_of_a_key(
    make_database: MakeDatabase, caplog: pytest.LogCaptureFixture, path: Path
) -> None:
    file = path.parent
    database = make_database(ssl_cert=str(file), ssl_key_password=SECRET)
    await check_silence(database, SECRET, caplog)


@servers_only
async def test_an_option_that_is_none(
    make_database: MakeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    database = make_database(password=SECRET, nonsense=1)
    assert "nonsense" in await check_silence(database, SECRET, caplog)
