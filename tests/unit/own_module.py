"""Each core module is covered by its own test module alone.

As a pytest plugin it labels what coverage measures with the test module that runs,
collected imports, fixtures and hypothesis included: coverage's own `test_function`
contexts lose the last two. As a program it judges the recorded data.
"""

import importlib
import io
import pkgutil
import re
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from coverage import Coverage

ROOT = Path(__file__).parents[2]


labels = [""]


def label(node: pytest.Item | pytest.Collector) -> None:
    name = node.path.relative_to(ROOT).as_posix()
    # A switch is slow, for coverage stores what it has by then.
    if name != labels[-1] and (running := Coverage.current()):
        running.switch_context(name)
        labels.append(name)


def pytest_collection() -> None:
    """Import the core before any test module does: definitions belong to nobody."""
    core = importlib.import_module("peewee_async.core")
    for module in pkgutil.iter_modules(core.__path__, "peewee_async.core."):
        importlib.import_module(module.name)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    label(collector)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    label(item)
    return (yield)


def uncovered(module: Path) -> str:
    """Return the report of what its own tests miss, empty when that is nothing."""
    own = re.escape(f"tests/unit/core/test_{module.name}")
    measured, report = Coverage(), io.StringIO()
    measured.load()
    contexts = ["^$", f"^{own}$"]
    rate = measured.report([str(module)], file=report, contexts=contexts)
    return "" if rate == 100 else report.getvalue()


def main() -> int:
    modules = sorted((ROOT / "peewee_async/core").glob("[!_]*.py"))
    missed = {module.name: uncovered(module) for module in modules}
    for name, report in missed.items():
        if report:
            print(f"core/{name} is not covered by test_{name} alone:\n{report}")
    return int(any(missed.values()))


if __name__ == "__main__":
    sys.exit(main())
