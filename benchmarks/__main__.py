"""Run benchmarks: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.competing import COMPETITORS, DRIVER, FAMILIES, ROOT, environment
from benchmarks.report import as_json, lines
from benchmarks.running import Outcome, Task, run
from benchmarks.workloads import PEOPLE, QUICK_PEOPLE, WORKLOADS
from tests import servers

ROUNDS, QUICK_ROUNDS = 9, 3


@contextmanager
def _place(family: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Give a database, as the options to reach it, and what it is called."""
    if family == "sqlite":
        with tempfile.TemporaryDirectory(dir=servers.place()) as folder:
            yield {"database": f"{folder}/bench.db"}, "SQLite, a temporary file, WAL"
        return
    start = servers.private_postgres if family == "postgres" else servers.private_mysql
    with start() as server:
        place = {**server.options, "database": server.database}
        yield place, f"{server.description}, without syncs to the disk"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    for option, names in (
        ("backends", FAMILIES),
        ("workloads", WORKLOADS),
        ("competitors", COMPETITORS),
    ):
        parser.add_argument(
            f"--{option}",
            nargs="+",
            choices=names,
            default=list(names),
            metavar="NAME",
            help=f"of {', '.join(names)}; all by default",
        )
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--rounds", type=int, help="repetitions that count")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "build" / "bench.json", help="where it goes"
    )
    return parser.parse_args()


def _task(given: argparse.Namespace) -> Task:
    competitors = [name for name in COMPETITORS if name in given.competitors]
    if DRIVER not in competitors:
        competitors.append(DRIVER)
    return Task(
        workloads=tuple(name for name in WORKLOADS if name in given.workloads),
        competitors=tuple(competitors),
        rounds=given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS),
        quick=given.quick,
        people=QUICK_PEOPLE if given.quick else PEOPLE,
    )


def _run(task: Task, family: str) -> Outcome | None:
    """Run a task on a backend and print what came of it; None if there is no server."""
    try:
        with _place(family) as (place, server):
            outcome = Outcome(family, server)
            run(task, outcome, place)
    except servers.Unavailable as reason:
        print(f"== {FAMILIES[family]} is missing: {reason}", flush=True)
        return None
    print("\n".join(lines(outcome, task)), end="\n\n", flush=True)
    return outcome


def main() -> None:
    given = _arguments()
    task = _task(given)
    if reason := environment(DRIVER).reason:
        sys.exit(f"Without the bare drivers there is nothing to measure by: {reason}")
    begin = time.monotonic()
    outcomes = [outcome for family in given.backends if (outcome := _run(task, family))]
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(as_json(outcomes, task), indent=1))
    print(f"{time.monotonic() - begin:.0f} s; all figures are in {given.json}")


if __name__ == "__main__":
    main()
