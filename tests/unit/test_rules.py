"""The rules of the architecture, checked on the syntax tree."""

from __future__ import annotations

import ast
import doctest
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import peewee_async

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "peewee_async"
CORE = sorted(PACKAGE.glob("core/*.py"))
MODULES = [*sorted(PACKAGE.rglob("*.py")), ROOT / "peewee_asyncext.py"]
NO_ADAPTERS = (
    "__init__",
    "abandoned",
    "background",
    "connecting",
    "errors",
    "pool",
    "protocols",
    "runner",
    "session",
    "sessions",
    "sockets",
    "spool",
)
WITH_PRIMITIVES = [
    PACKAGE / f"io/{name}.py"
    for name in ("abandoned", "background", "connecting", "pool", "session")
]
ADAPTERS = [
    path for path in sorted(PACKAGE.glob("io/*.py")) if path.stem not in NO_ADAPTERS
]
DRIVERS = {"aiomysql", "aiopg", "aiosqlite", "psycopg2", "pymysql"}
NOT_PURE = DRIVERS | {
    "asyncio",
    "atexit",
    "contextvars",
    "datetime",
    "os",
    "random",
    "socket",
    "sqlite3",
    "threading",
    "time",
    "uuid",
    "weakref",
}
# Types of values, and a reference that keeps nothing alive: no clock, no chance.
PURE = {
    "datetime.date",
    "datetime.datetime",
    "datetime.time",
    "datetime.timedelta",
    "uuid.UUID",
    "weakref.ref",
}
PRIMITIVES = {
    "Barrier",
    "Condition",
    "Event",
    "Future",
    "Lock",
    "Queue",
    "Semaphore",
    "TaskGroup",
    "call_at",
    "call_later",
    "call_soon",
    "create_future",
    "create_task",
    "ensure_future",
    "gather",
    "shield",
    "timeout",
    "timeout_at",
    "to_thread",
    "wait",
    "wait_for",
}


def each(paths: list[Path]) -> pytest.MarkDecorator:
    names = [path.relative_to(ROOT).as_posix() for path in paths]
    return pytest.mark.parametrize("path", paths, ids=names)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> set[str]:
    """The modules that a module imports, and the names that it takes from them."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def top(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def own(names: set[str]) -> set[str]:
    return {name for name in names if name.startswith("peewee_async.")}


def attributes(path: Path) -> Iterator[str]:
    """The names that are read off something, as in `something.name`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute):
            yield node.attr


def test_the_paths_are_there() -> None:
    assert len(CORE) > 8
    assert {"aiomysql", "aiopg", "aiosqlite"} <= {path.stem for path in ADAPTERS}


@each(CORE)
def test_the_core_does_no_io(path: Path) -> None:
    names = imports(path)
    assert not top(names - PURE) & NOT_PURE
    assert not {"now", "today", "utcnow", "uuid1", "uuid4"} & set(attributes(path))
    assert all(name.startswith("peewee_async.core.") for name in own(names))
    known = set(sys.stdlib_module_names) | {"peewee", "playhouse", "peewee_async"}
    assert top(names) <= known


@each(CORE)
def test_the_core_never_waits(path: Path) -> None:
    waits = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert not [node for node in ast.walk(tree(path)) if isinstance(node, waits)]


@each(CORE)
def test_the_core_never_uses_a_database(path: Path) -> None:
    """Its own plans are called `execute` too: by module, never by a database."""
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        assert node.func.attr not in ("execute_sql", "connect", "cursor")
        if node.func.attr == "execute":
            assert isinstance(node.func.value, ast.Name)
            assert node.func.value.id in ("plans", "prefetching")


@each(ADAPTERS)
def test_an_adapter_imports_its_driver_and_no_other_room(path: Path) -> None:
    names = imports(path)
    driver = path.stem.split("_")[0]
    family = {
        "aiomysql": {"aiomysql", "pymysql"},
        "aiopg": {"aiopg", "psycopg2"},
        "aiosqlite": {"aiosqlite", "sqlite3"},
    }[driver]
    assert top(names) & (DRIVERS | {"sqlite3"}) <= family
    allowed = (
        "peewee_async.core.boundary.",
        "peewee_async.io.errors.",
        "peewee_async.io.sockets.",
        "peewee_async.io.spool.",
        f"peewee_async.io.{driver}_",
    )
    assert all(name.startswith(allowed) for name in own(names))
    assert top(names) <= set(sys.stdlib_module_names) | DRIVERS | {"peewee_async"}


@each([path for path in ADAPTERS if "_" not in path.stem])
def test_an_adapter_is_thin(path: Path) -> None:
    """What a driver gets wrong is beside it, in modules of their own."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 100


@each(sorted(PACKAGE.glob("io/*.py")))
def test_io_knows_nothing_of_what_uses_it(path: Path) -> None:
    allowed = ("peewee_async.core.", "peewee_async.io.")
    assert all(name.startswith(allowed) for name in own(imports(path)))


@each([path for path in MODULES if path not in ADAPTERS])
def test_only_adapters_import_drivers(path: Path) -> None:
    assert not top(imports(path)) & DRIVERS


@each(MODULES)
def test_context_variables_live_in_one_module(path: Path) -> None:
    if path != PACKAGE / "io/sessions.py":
        # An empty context is no variable.
        assert {it for it in imports(path) if "contextvars" in it} <= {
            "contextvars.Context"
        }


@each(
    [path for path in MODULES if path not in ADAPTERS and path not in WITH_PRIMITIVES]
)
def test_asyncio_primitives_live_in_few_modules(path: Path) -> None:
    allowed = {"blocks.py": {"shield", "timeout"}}.get(path.name, set())
    from_asyncio = {
        node.attr
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "asyncio"
    }
    from_asyncio |= {
        name.removeprefix("asyncio.")
        for name in imports(path)
        if name.startswith("asyncio.")
    }
    assert from_asyncio & PRIMITIVES <= allowed
    of_loops = {name for name in PRIMITIVES if "_" in name}
    assert not set(attributes(path)) & of_loops


@each([path for path in MODULES if path.parent == PACKAGE])
def test_above_io_the_event_loop_is_only_named(path: Path) -> None:
    if path.name == "blocks.py":
        return
    names = {
        node.attr
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "asyncio"
    }
    assert names <= {"AbstractEventLoop", "get_running_loop"}


@each(MODULES)
def test_no_assert(path: Path) -> None:
    for node in ast.walk(tree(path)):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}"


def test_text_is_executed_in_one_module() -> None:
    executed = {
        path
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Name) and node.id in ("exec", "eval", "compile")
    }
    assert executed == {PACKAGE / "core/compiling.py"}


def test_the_public_names() -> None:
    assert peewee_async.__all__ == [
        "AioDatabase",
        "AioModel",
        "Manager",
        "MySQLDatabase",
        "NoDatabase",
        "PooledMySQLDatabase",
        "PooledPostgresqlDatabase",
        "PooledPostgresqlExtDatabase",
        "PooledSqliteDatabase",
        "PostgresqlDatabase",
        "PostgresqlExtDatabase",
        "SqliteDatabase",
        "SyncNotAllowed",
        "aio_prefetch",
        "atomic",
        "count",
        "delete",
        "execute",
        "insert",
        "prefetch",
        "prepared",
        "raw_query",
        "savepoint",
        "scalar",
        "select",
        "slot",
        "transaction",
        "update",
    ]
    for name in peewee_async.__all__:
        assert getattr(peewee_async, name).__name__ == name


def test_importing_the_package_imports_no_adapter() -> None:
    """peewee itself imports the sync drivers that are installed."""
    program = (
        "import sys, peewee, playhouse.postgres_ext, playhouse.db_url; "
        "before = set(sys.modules); import peewee_async, peewee_asyncext; "
        "new = set(sys.modules) - before; "
        "print(sorted(n for n in new if n.split('.')[0] in "
        f"{sorted(DRIVERS)} or n in {[f'peewee_async.io.{d}' for d in DRIVERS]}))"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def modules_with_examples() -> list[str]:
    """The modules whose examples need neither a server nor a driver."""
    paths = [*CORE, *(PACKAGE / name for name in ("guard.py", "databases.py"))]
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in paths
        if ">>> " in path.read_text(encoding="utf-8")
    ]
    assert "peewee_async.core.execution" in names
    return names


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_in_docstrings(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried > 0
    assert failed == 0
