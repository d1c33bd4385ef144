"""What several test modules look at, or run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import peewee
import pytest

from peewee_async import AioDatabase
from peewee_async.core.pool import Statistics
from tests.integration.backends import required

ROOT = Path(__file__).parents[2]

both_kinds = pytest.mark.parametrize(
    "pooled", [True, False], ids=["pooled", "single"], indirect=True
)


def give_up(name: str, reason: object) -> NoReturn:
    """Skip a test for want of a server; fail it if the backend is required."""
    if name in required():
        pytest.fail(f"This backend is required. {name}: {reason}", pytrace=False)
    pytest.skip(f"{name}: {reason}")


def only(*names: str) -> pytest.MarkDecorator:
    """Run a test on these backends."""
    return pytest.mark.parametrize("backend", names, indirect=True)


def statistics(database: AioDatabase) -> Statistics:
    """Count the connections that the database has in the running event loop."""
    return database.ready_sessions().pool.statistics()


def limit(database: AioDatabase, **seconds: Any) -> None:
    """Change the limits of the open pool, for a part of a test.

    What is not to run out of time has as much of it as it likes, on any machine.
    """
    pool = database.ready_sessions().pool
    pool.options = replace(pool.options, **seconds)


def seen(value: Any) -> Any:
    """Take a value apart, so that two can be compared: objects by all they hold."""
    return _seen(value, {})


def _seen(value: Any, met: dict[int, int]) -> Any:
    if isinstance(value, list | tuple):
        names = getattr(value, "_fields", None)  # of a named tuple
        return type(value).__name__, names, [_seen(item, met) for item in value]
    if isinstance(value, dict):
        # In their order, which two dicts are equal without; but in JSON there is none.
        return [
            (key, item if isinstance(item, dict) else _seen(item, met))
            for key, item in value.items()
        ]
    if isinstance(value, memoryview):
        return memoryview, bytes(value)  # two of them compare by their formats too
    if isinstance(value, type):
        return type, value.__qualname__
    if not isinstance(value, peewee.Model):
        return type(value), value
    # Prefetched objects refer to one another in circles.
    if id(value) in met:
        return "the same as number", met[id(value)]
    met[id(value)] = len(met)
    late = {"_dirty": dirty(value), "__rel__": value.__rel__}  # on demand
    state = vars(value) | late
    parts = [(name, _seen(state[name], met)) for name in sorted(state)]
    return type(value).__qualname__, parts


def dirty(instance: Any) -> list[str]:
    """Give what an object says is not saved, which peewee's stubs leave out."""
    return sorted(instance._dirty)


def run_python(
    source: str | Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program, with every warning an error."""
    program = [str(source)] if isinstance(source, Path) else ["-c", source]
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", *program, *arguments],
        cwd=ROOT,
        env=os.environ | usual_environment() | environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def usual_environment() -> dict[str, str]:
    environment = {"PYTHONPATH": os.pathsep.join(python_path())}
    if sys.dont_write_bytecode:
        # Each program would compile it all, which may take longer than to run it.
        environment["PYTHONDONTWRITEBYTECODE"] = ""
        environment["PYTHONPYCACHEPREFIX"] = compiled().name
    return environment


@cache
def compiled() -> tempfile.TemporaryDirectory[str]:
    """Make a folder for what the programs of one run compile."""
    return tempfile.TemporaryDirectory(prefix="peewee-async-compiled-")


def python_path() -> list[str]:
    given = os.environ.get("PYTHONPATH")
    return [str(ROOT), given] if given else [str(ROOT)]


def quiet(done: subprocess.CompletedProcess[str]) -> str:
    """Give what a program printed, which must have ended well and said nothing else."""
    # An event loop in debug mode says so whenever the machine is busy.
    said = re.sub(r"^Executing <.*> took [\d.]+ seconds\n", "", done.stderr, flags=re.M)
    assert said == "", said
    assert done.returncode == 0
    return done.stdout
