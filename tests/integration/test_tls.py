"""Options of TLS: one set of them for the sync and the async side."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peewee
import pytest
from playhouse.db_url import connect

from peewee_async import MySQLDatabase, PostgresqlDatabase
from tests.integration.checks import give_up, quiet, run_python
from tests.servers import (
    Server,
    Unavailable,
    guarded_postgres,
    private_mysql,
)

pytest.importorskip("cryptography")
pytest.importorskip("aiopg")
pytest.importorskip("aiomysql")

from tests.integration.certificates import Authority

CIPHER = "SHOW STATUS LIKE 'Ssl_cipher'"
IN_TLS = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@dataclass(frozen=True)
class Guarded:
    """A server with TLS, and the files that a client may have."""

    server: Server
    right: str
    wrong: str
    certificate: str
    key: str


def guarded(
    folder: Path, start: Callable[..., AbstractContextManager[Server]], **settings: str
) -> Iterator[Guarded]:
    authority, other = Authority("right"), Authority("wrong")
    mine = authority.certify("server", address="127.0.0.1")
    client = authority.certify("tester")
    files = {"ca.pem": authority.text, "cert.pem": mine.text, "key.pem": mine.key}
    texts = {
        "right": authority.text,
        "wrong": other.text,
        "certificate": client.text,
        "key": client.key,
    }
    paths = {name: folder / f"{name}.pem" for name in texts}
    for name, text in texts.items():
        paths[name].touch(mode=0o600)
        paths[name].write_text(text)
    try:
        with start(files, **settings) as server:
            yield Guarded(server, **{name: str(path) for name, path in paths.items()})
    except Unavailable as missing:
        give_up(folder.name.rstrip("0123456789"), missing)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    yield from guarded(
        tmp_path_factory.mktemp("postgres"),
        guarded_postgres,
        ssl="on",
        ssl_ca_file="{home}/ca.pem",
        ssl_cert_file="{home}/cert.pem",
        ssl_key_file="{home}/key.pem",
    )


@pytest.fixture(scope="module")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    settings = {
        "ssl-ca": "{home}/ca.pem",
        "ssl-cert": "{home}/cert.pem",
        "ssl-key": "{home}/key.pem",
    }
    yield from guarded(tmp_path_factory.mktemp("mysql"), private_mysql, **settings)


def on(kind: Any, guarded: Guarded, **options: Any) -> Any:
    return kind(guarded.server.database, **guarded.server.options | options)


async def told(database: Any, sql: str) -> list[Any]:
    """Ask something of the sync and of the async connection."""
    with database.allow_sync():
        said = [database.execute_sql(sql).fetchone()]
    said += await database.aio_execute_sql(sql)
    await database.aio_close()
    return said


async def refused(database: Any, text: str = "") -> None:
    with pytest.raises(peewee.OperationalError, match=text) as caught:
        await database.aio_connect()
    assert caught.value.__cause__ is not None
    await database.aio_close()
    with database.allow_sync(), pytest.raises(peewee.OperationalError):
        database.connect()


# PostgreSQL


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_postgres_with_the_right_root(postgres: Guarded, mode: str) -> None:
    options = {"sslmode": mode, "sslrootcert": postgres.right}
    database = on(PostgresqlDatabase, postgres, **options)
    assert await told(database, IN_TLS) == [(True,), (True,)]


async def test_postgres_that_is_required_to_have_tls(postgres: Guarded) -> None:
    database = on(PostgresqlDatabase, postgres, sslmode="require")
    assert await told(database, IN_TLS) == [(True,), (True,)]


async def test_postgres_without_tls(postgres: Guarded) -> None:
    database = on(PostgresqlDatabase, postgres, sslmode="disable")
    assert await told(database, IN_TLS) == [(False,), (False,)]


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_postgres_with_a_wrong_root(postgres: Guarded, mode: str) -> None:
    options = {"sslmode": mode, "sslrootcert": postgres.wrong}
    await refused(on(PostgresqlDatabase, postgres, **options), "certificate verify")


async def test_postgres_with_a_wrong_name(postgres: Guarded) -> None:
    options = {"host": "localhost", "sslrootcert": postgres.right}
    full = on(PostgresqlDatabase, postgres, sslmode="verify-full", **options)
    await refused(full, "localhost")
    known = on(PostgresqlDatabase, postgres, sslmode="verify-ca", **options)
    assert await told(known, IN_TLS) == [(True,), (True,)]


async def test_postgres_with_a_certificate_of_the_client(postgres: Guarded) -> None:
    options = {"sslcert": postgres.certificate, "sslkey": postgres.key}
    database = on(PostgresqlDatabase, postgres, sslmode="require", **options)
    sql = "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert await told(database, sql) == [("/CN=tester",), ("/CN=tester",)]


async def test_postgres_by_a_url(postgres: Guarded) -> None:
    server = postgres.server
    place = f"{server.user}:{server.password}@{server.host}:{server.port}"
    url = f"postgresql+async://{place}/{server.database}?sslmode=verify-full"
    database = connect(f"{url}&sslrootcert={postgres.right}")
    assert await told(database, IN_TLS) == [(True,), (True,)]
    await refused(connect(f"{url}&sslrootcert={postgres.wrong}"), "certificate verify")


# MySQL and MariaDB

ENCRYPTING: list[dict[str, Any]] = [
    {"ssl_ca": "right"},
    {"ssl_ca": "right", "ssl_verify_cert": True},
    {"ssl_ca": "right", "ssl_verify_cert": "required", "ssl_verify_identity": True},
    {"ssl_ca": "right", "ssl_verify_cert": "yes"},
    {"ssl_ca": "wrong"},
    {"ssl_ca": "wrong", "ssl_verify_cert": False},
    {"ssl_cert": "certificate", "ssl_key": "key"},
    {"ssl_ca": "right", "ssl_cert": "certificate", "ssl_key": "key"},
    {"ssl": {"ca": "right"}},
    {"ssl": {"ca": "right", "check_hostname": False}},
    {"ssl": {"ca": "wrong", "check_hostname": False, "verify_mode": "none"}},
    {"ssl": {"check_hostname": False, "cipher": "HIGH"}},
]
REFUSING: list[dict[str, Any]] = [
    {"ssl_ca": "wrong", "ssl_verify_cert": True},
    {"ssl_ca": "wrong", "ssl_verify_cert": "required"},
    {"ssl_ca": "wrong", "ssl_verify_identity": True},
    {"ssl_verify_cert": True},
    {"ssl": {"ca": "wrong"}},
    {"ssl": {"ca": "wrong", "check_hostname": False}},
    {"ssl_ca": "right", "ssl_verify_identity": True, "host": "localhost"},
]


def placed(guarded: Guarded, options: dict[str, Any]) -> dict[str, Any]:
    """Put the paths of files in for their names."""
    return {
        name: placed(guarded, value)
        if isinstance(value, dict)
        else getattr(guarded, str(value), value)
        for name, value in options.items()
    }


@pytest.mark.parametrize("options", ENCRYPTING, ids=str)
async def test_mysql_in_tls(mysql: Guarded, options: dict[str, Any]) -> None:
    database = on(MySQLDatabase, mysql, **placed(mysql, options))
    said = await told(database, CIPHER)
    assert said[0] == said[1]
    assert said[0][1] != ""


@pytest.mark.parametrize("options", REFUSING, ids=str)
async def test_mysql_that_is_not_who_it_should_be(
    mysql: Guarded, options: dict[str, Any]
) -> None:
    database = on(MySQLDatabase, mysql, **placed(mysql, options))
    await refused(database, "(?i)certificate verify failed")


async def test_mysql_with_a_context(mysql: Guarded) -> None:
    context = ssl.create_default_context(cafile=mysql.right)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    said = await told(on(MySQLDatabase, mysql, ssl=context), CIPHER)
    assert said[0][1] == said[1][1] != ""


async def test_mysql_without_tls(mysql: Guarded) -> None:
    options = {"ssl_disabled": True, "ssl_ca": mysql.right}
    database = on(MySQLDatabase, mysql, **options)
    assert await told(database, CIPHER) == [("Ssl_cipher", ""), ("Ssl_cipher", "")]


async def test_mysql_prefers_tls(mysql: Guarded) -> None:
    ((_, cipher),) = await on(MySQLDatabase, mysql).aio_execute_sql(CIPHER)
    assert cipher != ""


async def test_mysql_asked_for_its_name_without_a_root(mysql: Guarded) -> None:
    """Unlike PyMySQL, which then leaves the name out without a word."""
    database = on(MySQLDatabase, mysql, ssl_verify_identity=True)
    with pytest.raises(peewee.OperationalError, match="certificate verify failed"):
        await database.aio_connect()


async def test_mysql_by_an_option_file(mysql: Guarded, tmp_path: Path) -> None:
    server = mysql.server
    for root, works in ((mysql.right, True), (mysql.wrong, False)):
        file = tmp_path / "my.cnf"
        file.write_text(f"[client]\npassword = {server.password}\nssl-ca = {root}\n")
        database = on(MySQLDatabase, mysql, read_default_file=str(file))
        if works:
            assert (await told(database, CIPHER))[1][1] != ""
        else:
            await refused(database, "certificate verify failed")


async def test_mysql_by_a_url(mysql: Guarded) -> None:
    server = mysql.server
    place = f"{server.user}:{server.password}@{server.host}:{server.port}"
    url = f"mysql+async://{place}/{server.database}?ssl_verify_cert=true&ssl_ca="
    assert (await told(connect(url + mysql.right), CIPHER))[1][1] != ""
    await refused(connect(url + mysql.wrong), "certificate verify failed")


async def test_mysql_with_a_root_that_is_missing(mysql: Guarded) -> None:
    database = on(MySQLDatabase, mysql, ssl_ca="/nowhere/ca.pem")
    with pytest.raises(peewee.OperationalError, match="No such file"):
        await database.aio_connect()


def test_mysql_in_tls_outlives_its_event_loop(mysql: Guarded) -> None:
    options = mysql.server.options | {"ssl_ca": mysql.right}
    program = f"""
import asyncio, peewee_async
database = peewee_async.MySQLDatabase({mysql.server.database!r}, **{options!r})
loop = asyncio.new_event_loop()
print(loop.run_until_complete(database.aio_execute_sql("SELECT 7")))
loop.close()
print(asyncio.run(database.aio_execute_sql("SELECT 8")))
"""
    assert quiet(run_python(program)) == "[(7,)]\n[(8,)]\n"


async def test_mysql_in_tls_is_dropped_and_opened_again(mysql: Guarded) -> None:
    database = on(MySQLDatabase, mysql, ssl_ca=mysql.right)
    number = "SELECT CONNECTION_ID()"
    ((first,),) = await database.aio_execute_sql(number)
    with pytest.raises(peewee.OperationalError):
        await database.aio_execute_sql(f"KILL {first}")
    ((second,),) = await database.aio_execute_sql(number)
    assert second != first
    await database.aio_close()
