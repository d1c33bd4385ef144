"""Servers that mean ill: an error of peewee's, and no half-used connection."""

from __future__ import annotations

import logging
import random
import struct
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_async import AioDatabase, MySQLDatabase, PostgresqlDatabase
from tests.integration.backends import Backend
from tests.integration.checks import limit, only, statistics
from tests.integration.rogues import (
    COLUMN,
    EOF,
    HEAD,
    HOST,
    OK,
    READY,
    ROW_OF,
    SEVEN,
    SEVEN_OF,
    Rogue,
    RogueMySQL,
    RoguePostgres,
    message,
    packet,
)

KINDS: dict[str, Any] = {
    "mysql": (RogueMySQL, MySQLDatabase),
    "postgres": (RoguePostgres, PostgresqlDatabase),
}


def noise(seed: int, size: int = 200) -> bytes:
    return random.Random(seed).randbytes(size)


def error_of_mysql(text: bytes) -> bytes:
    return packet(1, b"\xff" + struct.pack("<H", 1064) + b"#42000" + text)


def error_of_postgres(text: bytes) -> bytes:
    return message(b"E", b"SERROR\0C42601\0M" + text + b"\0\0") + READY


ANSWERS: dict[str, dict[str, bytes]] = {
    "mysql": {
        **{f"noise {seed}": noise(seed) for seed in range(20)},
        **{f"noise in a packet {seed}": packet(1, noise(seed)) for seed in range(20)},
        "nothing": b"",
        "half a header": b"\x01\x00",
        "a packet cut off": SEVEN[:3] + b"\x01",
        "half a reply": SEVEN[:-20],
        "an empty packet": packet(1, b""),
        "a wrong number": packet(9, OK),
        "the number 0": packet(0, OK),
        "an OK that is too short": packet(1, b"\x00\x00"),
        "an OK without its status": packet(1, b"\x00" + b"\xfe" * 7),
        "an error that is too short": packet(1, b"\xff"),
        "an error without its text": packet(1, b"\xff\x28"),
        "an end at the start": packet(1, EOF),
        "no column": packet(1, b"\x01") + packet(2, b""),
        "a column cut off": packet(1, b"\x01") + packet(2, COLUMN[:9]),
        "a column of NULLs": packet(1, b"\x01") + packet(2, b"\xfb" * 30),
        "a name that is no text": packet(1, b"\x01")
        + packet(2, COLUMN.replace(b"\x01n", b"\x01\xff")),
        "rows where the end of the columns should be": HEAD[:-9] + packet(3, b"\x017"),
        "a row that is longer than its packet": HEAD + packet(4, b"\xfa7"),
        "a number that is none": HEAD + packet(4, b"\x02ab"),
        "a number that is not even text": HEAD + packet(4, b"\x02\xff\xfe"),
        "an error in the middle of rows": HEAD + packet(4, b"\xff\x01"),
        "the wrong number in the middle": HEAD + packet(7, b"\x017"),
    },
    "postgres": {
        **{f"noise {seed}": noise(seed) for seed in range(20)},
        **{f"noise in a row {seed}": message(b"D", noise(seed)) for seed in range(10)},
        "nothing": b"",
        "half a header": b"T\x00",
        "half a row": ROW_OF + SEVEN_OF[:-1],
        "a size below zero": b"T\xff\xff\xff\xff",
        "a size of nothing": b"T\x00\x00\x00\x00",
        "an enormous size": b"T\x7f\xff\xff\xff" + noise(1),
        "an unknown message": message(b"!", b"what"),
        "a number that is none": ROW_OF
        + SEVEN_OF[:-1]
        + b"x"
        + message(b"C", b"SELECT 1\0"),
        "columns without end": message(b"T", b"\x7f\xffn"),
        "a row longer than its message": ROW_OF
        + message(b"D", b"\x00\x01\x00\x00\x00\x097"),
    },
}
GREETINGS: dict[str, bytes] = {
    **{f"noise {seed}": noise(seed) for seed in range(8)},
    "nothing": b"",
    "http": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "zeros": b"\x00" * 300,
    "an error of mysql": packet(0, b"\xff\x69\x04Host is blocked"),
    "a greeting cut off": packet(0, b"\x0a8.0.30\x00\x01"),
    "a greeting without end": packet(0, b"\x0a8.0.30\x00" + b"\x01" * 12),
    "a version that is none": packet(0, b"\x0aabc\x00" + b"\x01" * 60),
    "an old protocol": packet(0, b"\x093.23\x00" + b"\x01" * 20),
    "authentication of postgres": message(b"R", b"\x00\x00\x00\x63"),
    "an error of postgres": message(b"E", b"SFATAL\0C08P01\0Mnonsense\0\0"),
    "TLS that is none": b"S" + noise(3),
}
EACH_ANSWER = [
    pytest.param(name, text, id=f"{name}-{title}")
    for name, answers in ANSWERS.items()
    for title, text in answers.items()
]


async def seven(database: AioDatabase) -> Any:
    return await database.aio_execute_sql("SELECT 7 AS n")


@pytest.mark.parametrize(("name", "text"), EACH_ANSWER)
@pytest.mark.parametrize("hangs_up", [True, False], ids=["hangs up", "waits"])
async def test_nonsense_instead_of_a_reply(
    name: str, text: bytes, hangs_up: bool
) -> None:
    rogue: Rogue = KINDS[name][0]()
    async with rogue.listening() as port:
        database = KINDS[name][1]("unit", host=HOST, port=port, user="u")
        assert await seven(database) == [(7,)]
        limit(database, query_timeout=0.3)
        first = rogue.connections
        rogue.answer, rogue.hangs_up = text, hangs_up
        # What looks like a whole reply is one: the next is none.
        with pytest.raises(peewee.PeeweeException):
            await seven(database)
            await seven(database)
        limit(database, query_timeout=None)
        rogue.answer = None
        assert await seven(database) == [(7,)]
        assert rogue.connections > first
        count = statistics(database)
        assert (count.busy, count.waiting) == (0, 0)
        await database.aio_close()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("text", GREETINGS.values(), ids=GREETINGS)
@pytest.mark.parametrize("hangs_up", [True, False], ids=["hangs up", "waits"])
async def test_nonsense_instead_of_a_greeting(
    name: str, text: bytes, hangs_up: bool
) -> None:
    rogue: Rogue = KINDS[name][0]()
    rogue.greeting, rogue.hangs_up = text, hangs_up
    async with rogue.listening() as port:
        database = KINDS[name][1](
            "unit", host=HOST, port=port, user="u", connect_timeout=0.3
        )
        with pytest.raises(peewee.OperationalError, match=f"^Cannot connect .*{port}"):
            await seven(database)
        assert statistics(database).size == 0
        limit(database, connect_timeout=10)
        rogue.greeting = None
        assert await seven(database) == [(7,)]
        await database.aio_close()


# Files


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "private"
    path.write_text("the content of a private file")
    return path


async def asked_for(file: Path, sql: str, **options: Any) -> bytes:
    """Have a server ask for a file; give all that it heard."""
    rogue = RogueMySQL()
    async with rogue.listening() as port:
        database = MySQLDatabase("unit", host=HOST, port=port, user="u", **options)
        await database.aio_connect()
        rogue.answer = packet(1, b"\xfb" + str(file).encode())
        rogue.hangs_up = False
        text = "(?i)local_infile|LOAD_LOCAL|took longer"
        with pytest.raises(peewee.OperationalError, match=text):
            await database.aio_execute_sql(sql)
        count = statistics(database)
        assert (count.busy, count.idle) == (0, 0)
        limit(database, query_timeout=None)
        rogue.answer = None
        assert await seven(database) == [(7,)]
        await database.aio_close()
    return rogue.heard


async def test_a_server_gets_no_file(file: Path) -> None:
    heard = await asked_for(file, "SELECT 7 AS n")
    assert b"content" not in heard


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 7 AS n",
        "INSERT INTO t VALUES ('LOAD DATA LOCAL INFILE')",
        "/* LOAD DATA LOCAL INFILE */ SELECT 1",
        "LOAD DATA INFILE 'x' INTO TABLE t",
    ],
)
async def test_a_server_gets_no_file_for_another_statement(
    file: Path, sql: str
) -> None:
    heard = await asked_for(file, sql, local_infile=True)
    assert b"content" not in heard


async def test_a_server_gets_no_file_while_rows_are_streamed(file: Path) -> None:
    rogue = RogueMySQL()
    async with rogue.listening() as port:
        database = MySQLDatabase("unit", host=HOST, port=port, user="u")
        await database.aio_connect()
        rogue.answer = packet(1, b"\xfb" + str(file).encode())
        rogue.hangs_up = False
        with pytest.raises(peewee.OperationalError):
            async for _ in database.aio_iterator(peewee.Table("t", ["n"]).select()):
                pass
        await database.aio_close()
    assert b"content" not in rogue.heard


async def test_a_file_that_is_to_be_sent(file: Path) -> None:
    sql = f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE t"
    heard = await asked_for(file, sql, local_infile=True, query_timeout=0.5)
    assert b"the content of a private file" in heard


@only("mysql")
async def test_a_file_that_is_loaded(backend: Backend, file: Path, sync: Any) -> None:
    sync.execute_sql("CREATE TABLE loaded (line TEXT)")
    database = backend.make(file, pooled=False, local_infile=True)
    try:
        sql = f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE loaded"
        assert await database.aio_execute_sql(sql) == 1
        rows = await database.aio_execute_sql("SELECT line FROM loaded")
        assert rows == [("the content of a private file",)]
    finally:
        await database.aio_close()
        sync.execute_sql("DROP TABLE loaded")


# What it says it can do, and what it says at all


@pytest.mark.parametrize(
    "options", [{"ssl_ca": None, "ssl": {"verify_mode": "none"}}, {"ssl_key": "x"}]
)
async def test_no_tls_where_it_has_to_be(options: dict[str, Any]) -> None:
    """Nothing is said in the clear, not even who is there."""
    rogue = RogueMySQL()
    async with rogue.listening() as port:
        database = MySQLDatabase("unit", host=HOST, port=port, user="ada", **options)
        with pytest.raises(peewee.OperationalError, match="TLS is required"):
            await database.aio_connect()
        await database.aio_close()
    assert rogue.heard == b""


async def test_a_wrong_number_is_not_waited_for_to_get_right() -> None:
    rogue = RogueMySQL()
    async with rogue.listening() as port:
        database = MySQLDatabase("unit", host=HOST, port=port, user="u")
        await database.aio_connect()
        rogue.answer, rogue.hangs_up = HEAD + packet(7, b"\x017"), False
        with pytest.raises(peewee.InternalError, match="number wrong"):
            await seven(database)
        await database.aio_close()


async def test_what_is_said_when_nobody_asked() -> None:
    rogue = RogueMySQL()
    async with rogue.listening() as port:
        database = MySQLDatabase("unit", host=HOST, port=port, user="u")
        await database.aio_connect()
        rogue.answer, rogue.hangs_up = SEVEN + SEVEN, False
        assert await seven(database) == [(7,)]
        assert statistics(database).idle == 0
        rogue.answer = None
        assert await seven(database) == [(7,)]
        await database.aio_close()
    assert rogue.connections == 2


async def test_what_is_half_said_when_nobody_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("peewee_async.io.session.PING_LIMIT", 0.1)
    rogue = RogueMySQL()
    async with rogue.listening() as port:
        database = MySQLDatabase("unit", host=HOST, port=port, user="u")
        with pytest.raises(peewee.OperationalError, match="transaction is lost"):
            async with database.aio_atomic():
                rogue.answer, rogue.hangs_up = SEVEN + b"\x07", False
                assert await seven(database) == [(7,)]
                await seven(database)
        rogue.answer = None
        assert await seven(database) == [(7,)]
        await database.aio_close()


@pytest.mark.parametrize("name", KINDS)
async def test_an_error_with_anything_in_it(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    make = error_of_mysql if name == "mysql" else error_of_postgres
    rogue: Rogue = KINDS[name][0]()
    caplog.set_level(logging.INFO)
    async with rogue.listening() as port:
        database = KINDS[name][1]("unit", host=HOST, port=port, user="u")
        await database.aio_connect()
        rogue.goes_on = True
        for text in (b"a\r\nb\x1b[31m\x07 %s {0} \xc2\x85", b"x" * 1_000_000):
            rogue.answer = make(text)
            with pytest.raises(peewee.DatabaseError):
                async with database.aio_atomic():
                    await seven(database)
        await database.aio_close()
    for record in caplog.records:
        line = record.getMessage()
        assert line.isprintable()
        assert len(line) < 1000
