"""The environments of the competitors."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import competing


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(competing, "ROOT", tmp_path)
    return tmp_path


def test_an_environment_that_is_ready(root: Path) -> None:
    folder = root / ".venv-bench-ours"
    folder.mkdir()
    (folder / "ready").touch()
    # What pip warned of is no reason.
    folder.with_suffix(".log").write_text("WARNING: running as root\n")
    found = competing.environment("ours")
    assert (found.python, found.reason) == (folder / "bin" / "python", None)


def test_one_that_was_never_made() -> None:
    reason = competing.environment("ours").reason
    assert reason == "not installed: there is no .venv-bench-ours: run `make bench`"


def test_one_that_could_not_be_installed(root: Path) -> None:
    (root / ".venv-bench-ours.log").write_text("ERROR: one\nERROR: the last\n")
    assert competing.environment("ours").reason == "not installed: ERROR: the last"


def test_each_competitor_has_a_module() -> None:
    for name in competing.COMPETITORS:
        assert find_spec(f"benchmarks.competitors.{name}") is not None
