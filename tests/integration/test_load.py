"""Many tasks that are cancelled and lose their connections: nothing is lost."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.integration.backends import Backend
from tests.integration.checks import only, quiet, run_python
from tests.integration.conftest import CreateTables
from tests.integration.load import MODELS
from tests.integration.watching import until_no_transactions, until_sessions


def run_load(backend: Backend, path: Path, what: str, seconds: float, seed: int) -> str:
    """Run a load in a process of its own, which must say nothing on stderr."""
    made = backend.source(path, pooled=True)
    own = backend.sync_source(path)
    program = (
        "import runpy; runpy.run_module('tests.integration.load', None, '__main__')"
    )
    arguments = (what, str(seconds), str(seed), made, own)
    return quiet(run_python(program, *arguments))


@pytest.fixture
def load_tables(tables: CreateTables) -> None:
    tables(*MODELS)


async def nothing_left(backend: Backend, sync: Any) -> None:
    if backend.name != "sqlite":
        await until_sessions(backend, sync, 0)
    await until_no_transactions(backend, sync)


async def test_a_thousand_operations_that_are_cancelled(
    backend: Backend, path: Path, sync: Any, load_tables: None
) -> None:
    said = run_load(backend, path, "storm", 0, 1)
    _, cancelled, broken, _ = map(int, re.findall(r"\d+", said)[:4])
    assert cancelled >= 1000
    assert broken == 0
    await nothing_left(backend, sync)


@only("postgres", "mysql")
async def test_bank_transfers(
    backend: Backend, path: Path, sync: Any, load_tables: None
) -> None:
    sync.close()  # or it would be killed as well
    said = run_load(backend, path, "bank", 5, 3)
    operations, cancelled, broken, killed = map(int, re.findall(r"\d+", said)[:4])
    assert min(operations, cancelled, broken, killed) > 0
    await nothing_left(backend, sync)
