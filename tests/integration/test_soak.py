"""A load with kills, cancels and a restart of the server: `make soak`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.integration.backends import NAMES, Backend
from tests.integration.checks import ROOT, give_up, python_path
from tests.integration.load import MODELS
from tests.servers import Unavailable

# The seconds that it lasts.
SECONDS = float(os.environ.get("PEEWEE_ASYNC_SOAK", "10"))


@contextmanager
def restartable(name: str) -> Iterator[tuple[Backend, Callable[[], None]]]:
    if name == "sqlite":
        yield Backend(name, name), lambda: None
        return
    with servers.restartable(name) as running:
        server = running.server

        def restart() -> None:
            running.stop()
            running.start()

        yield Backend(name, server.description, server, server.database), restart


def create_tables(sync: Any) -> None:
    with sync.bind_ctx(MODELS, False, False), sync.connection_context():
        sync.create_tables(MODELS)


@pytest.mark.timeout(SECONDS * 3 + 90)
@pytest.mark.parametrize("name", NAMES)
def test_what_was_acknowledged_is_there_once(name: str, path: Path) -> None:
    try:
        with restartable(name) as (backend, restart):
            create_tables(backend.make_sync(path))
            soak(backend, path, restart)
    except Unavailable as missing:
        give_up(name, missing)


def soak(backend: Backend, path: Path, restart: Callable[[], None]) -> None:
    arguments = ["soak", str(SECONDS), "7", backend.source(path, pooled=True)]
    arguments.append(backend.sync_source(path))
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.integration.load", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(python_path())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if process.stdout.readline() == "restart\n":
                restart()
                process.stdin.write("restarted\n")
                process.stdin.flush()
            said, errors = process.communicate()
        finally:
            process.kill()
    assert errors == ""
    assert process.returncode == 0
    print(f"{backend.description}: {said}")
