"""What the documentation shows is run: README, docstrings, the demo."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

import peewee_async
from tests.integration.backends import Backend
from tests.integration.checks import ROOT, only, quiet, run_python

README = ROOT / "README.md"


def python_blocks(document: Path) -> list[tuple[int, str]]:
    """Give the ```python blocks of a document, each with its line number."""
    text = document.read_text()
    blocks = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, block.start()) + 1, block[1]) for block in blocks]


BLOCKS = python_blocks(README)


def test_the_readme_has_blocks() -> None:
    assert BLOCKS


@only("sqlite")
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    "block", [pytest.param(text, id=f"line{number}") for number, text in BLOCKS]
)
def test_a_block_of_the_readme(block: str) -> None:
    quiet(run_python(block))


def modules() -> list[ModuleType]:
    """Give the package's modules but the adapters, which need drivers of their own."""
    names = [
        module.name
        for module in pkgutil.walk_packages(peewee_async.__path__, "peewee_async.")
        if not module.name.startswith("peewee_async.io.aio")
    ]
    return [importlib.import_module(name) for name in ["peewee_async", *names]]


DOCTESTS = [
    test
    for module in modules()
    for test in doctest.DocTestFinder(exclude_empty=True).find(module)
    if test.examples
]


@only("sqlite")
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("example", DOCTESTS, ids=lambda example: example.name)
def test_an_example_of_a_docstring(example: doctest.DocTest) -> None:
    result = doctest.DocTestRunner(verbose=False).run(example)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_demo(backend: Backend) -> None:
    """It prints an account of what it does, on each backend."""
    printed = quiet(run_python(ROOT / "examples" / "demo.py", backend.name))
    assert len(printed.splitlines()) >= 5
