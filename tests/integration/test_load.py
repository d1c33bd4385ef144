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
from tests.integration.watching import open_transactions, sessions


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


def test_a_thousand_operations_that_are_cancelled(
    backend: Backend, path: Path, sync: Any, load_tables: None
) -> None:
    said = run_load(backend, path, "storm", 0, 1)
    assert said.startswith("1000 operations")
    assert open_transactions(backend, sync) == 0
    if backend.name != "sqlite":
        assert sessions(backend, sync) == 0


@only("postgres", "mysql")
def test_bank_transfers(
    backend: Backend, path: Path, sync: Any, load_tables: None
) -> None:
    sync.close()  # or it would be killed as well
    said = run_load(backend, path, "bank", 5, 3)
    operations, cancelled, broken, killed = map(int, re.findall(r"\d+", said)[:4])
    assert min(operations, cancelled, broken, killed) > 0
    assert open_transactions(backend, sync) == 0
