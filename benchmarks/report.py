"""Outcomes as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.competing import COMPETITORS, DRIVER, OURS, SYNC
from benchmarks.measures import Figures, figures
from benchmarks.running import Outcome, Task
from benchmarks.targets import FASTER_THAN_SYNC, TARGETS
from benchmarks.workloads import WORKLOADS

MEASURES = ("median", "low", "cpu")
Table = dict[tuple[str, str], Figures]


def figures_of(outcome: Outcome, task: Task) -> Table:
    return {
        key: figures(repetitions, task.size(WORKLOADS[key[0]]))
        for key, repetitions in outcome.repetitions.items()
    }


def ratio(table: Table, workload: str, name: str, measure: str) -> float | None:
    """Give a competitor's time over the bare driver's; None if one is missing."""
    ours, bare = table.get((workload, name)), table.get((workload, DRIVER))
    if ours is None or bare is None:
        return None
    found: float = getattr(ours, measure) / getattr(bare, measure)
    return found


def lines(outcome: Outcome, task: Task) -> Iterator[str]:
    """Write an outcome down."""
    table = figures_of(outcome, task)
    yield f"== {outcome.server}"
    for name, about in outcome.about.items():
        yield f"   {COMPETITORS[name]}: {about}"
    yield from ("", "Time over the bare driver's; c: client CPU; 20%: low quantile")
    yield from aligned(_ratios(outcome, task, table))
    yield from ("", "Microseconds for one unit: 20% quantile, median, client CPU")
    yield from aligned(_times(task, table))
    yield from ("", *_missing(outcome))
    yield from _verdict(outcome, task, table)
    unsteady = sum(found.unsteady for found in table.values())
    yield (
        f"rounds: {task.rounds}; repetitions taken again because the machine's speed "
        f"changed: {outcome.retaken}; kept although it did: {unsteady}"
    )


def _ratios(outcome: Outcome, task: Task, table: Table) -> Iterator[list[str]]:
    others = [name for name in task.competitors if name not in (OURS, DRIVER)]
    yield [
        *("workload", "target", "ours", "20%", "c"),
        *(head for name in others for head in (COMPETITORS[name], "c")),
    ]
    for name in task.workloads:
        target = TARGETS[outcome.family].get(name)
        yield [
            f"{name} {WORKLOADS[name].title}",
            "" if target is None else f"{target:g}",
            *(_short(ratio(table, name, OURS, m)) for m in ("median", "low", "cpu")),
            *(
                _short(ratio(table, name, other, measure))
                for other in others
                for measure in ("median", "cpu")
            ),
        ]


def _short(number: float | None) -> str:
    return "-" if number is None else f"{number:.2f}"


def _times(task: Task, table: Table) -> Iterator[list[str]]:
    yield ["workload", *(COMPETITORS[name] for name in task.competitors)]
    for name in task.workloads:
        cells = (table.get((name, other)) for other in task.competitors)
        yield [f"{name} per {WORKLOADS[name].unit}", *map(_time, cells)]


def _time(found: Figures | None) -> str:
    if found is None:
        return "-"
    return " ".join(f"{t * 1e6:.4g}" for t in (found.low, found.median, found.cpu))


def aligned(rows: Iterator[list[str]]) -> Iterator[str]:
    """Lay a table out: the first column to the left, the others to the right."""
    cells = list(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        line = [first.ljust(widths[0])]
        line += [cell.rjust(w) for cell, w in zip(others, widths[1:], strict=True)]
        yield "  ".join(line).rstrip()


def _missing(outcome: Outcome) -> Iterator[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for (workload, name), reason in outcome.missing.items():
        reasons.setdefault((name, reason), []).append(workload)
    for (name, reason), workloads in reasons.items():
        yield f"missing: {COMPETITORS[name]} on {', '.join(workloads)}: {reason}"


def over_target(
    table: Table, family: str, workloads: Sequence[str], measure: str
) -> list[str]:
    """Name the workloads that take more of the driver's time than they may."""
    found = []
    for name in workloads:
        target, now = TARGETS[family].get(name), ratio(table, name, OURS, measure)
        if target is not None and now is not None and now > target:
            found.append(f"{name} {now:.2f} > {target:g}")
    return found


def slower_than(
    table: Table, other: str, workloads: Sequence[str], measure: str
) -> list[str]:
    """Name the workloads on which another one is faster than we, by how much."""
    found = []
    for name in workloads:
        ours, others = table.get((name, OURS)), table.get((name, other))
        if ours is None or others is None:
            continue
        times = getattr(ours, measure) / getattr(others, measure)
        if times > 1:
            found.append(f"{name} x{times:.2f}")
    return found


def _verdict(outcome: Outcome, task: Task, table: Table) -> Iterator[str]:
    for measure, title in (("median", "by the clock"), ("cpu", "by CPU")):
        over = over_target(table, outcome.family, task.workloads, measure)
        yield f"over target {title}: {', '.join(over) or 'none'}"
    for other in task.competitors:
        if other in (OURS, DRIVER):
            continue
        compared = FASTER_THAN_SYNC if other == SYNC else task.workloads
        where = [name for name in compared if name in task.workloads]
        clock, cpu = (
            ", ".join(slower_than(table, other, where, measure)) or "nowhere"
            for measure in ("median", "cpu")
        )
        yield f"slower than {COMPETITORS[other]}: {clock}; by CPU: {cpu}"


def as_json(outcomes: Sequence[Outcome], task: Task) -> dict[str, Any]:
    """Give everything that was found, down to each repetition."""
    return {
        "task": asdict(task),
        "backends": {one.family: _backend(one, task) for one in outcomes},
    }


def _backend(outcome: Outcome, task: Task) -> dict[str, Any]:
    table = figures_of(outcome, task)
    return {
        "server": outcome.server,
        "about": outcome.about,
        "targets": TARGETS[outcome.family],
        "retaken": outcome.retaken,
        "missing": [
            {"workload": workload, "competitor": name, "reason": reason}
            for (workload, name), reason in outcome.missing.items()
        ],
        "results": [
            {
                "workload": workload,
                "competitor": name,
                "unit": WORKLOADS[workload].unit,
                "seconds": asdict(found),
                "over_driver": {
                    measure: ratio(table, workload, name, measure)
                    for measure in MEASURES
                },
                "repetitions": [
                    asdict(one) for one in outcome.repetitions[workload, name]
                ],
            }
            for (workload, name), found in table.items()
        ],
    }
