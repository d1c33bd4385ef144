"""The workloads: what each is called, how much it does, what must come of it."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import data
from benchmarks.data import Sum

KEPT = 100  # a stream's rows are not kept, but every hundredth to check it by


@dataclass(frozen=True)
class Workload:
    """One thing that is timed.

    method: the competitor's, which is timed. size, quick: operations or rows of one
    repetition, and of one in a quick run. given: what the method gets. result: what
    becomes of its result to check it, or None if the table `entry` is looked at.
    fill: whether `entry` has the rows before. expected: the sum that must come out, by
    size and the number of people.
    """

    name: str
    title: str
    unit: str
    method: str
    size: int
    quick: int
    given: str
    result: str | None
    expected: Callable[[int, int], Sum]
    fill: bool = False


def _gets(size: int, people: int) -> Sum:
    return data.people_sum(data.keys(size, people))


def _first(size: int, _people: int) -> Sum:
    return data.people_sum(range(1, size + 1))


def _joined(_size: int, _people: int) -> Sum:
    return data.joined_sum()


def _tree(_size: int, _people: int) -> Sum:
    return data.tree_sum()


def _entries(size: int, _people: int) -> Sum:
    return data.entries_sum(size)


def _changed(size: int, _people: int) -> Sum:
    return data.entries_sum(size, 1)


def _facts(size: int, people: int) -> Sum:
    return data.facts_sum(data.keys(size, people))


def _streamed(size: int, _people: int) -> Sum:
    return Sum(size, data.people_sum(range(KEPT, size + 1, KEPT)).checksum)


_W = Workload
E_ROWS = data.AUTHORS + data.BOOKS + data.REVIEWS
PEOPLE, QUICK_PEOPLE = 100_000, 10_000

# fmt: off
WORKLOADS = {
    work.name: work
    for work in (
        _W("A", "get by key, connection held", "get", "get_held", 600, 100, "keys",
           "people", _gets),
        _W("A2", "get by key, from the pool", "get", "get_pooled", 600, 100, "keys",
           "people", _gets),
        _W("B", "get by key, 32 tasks, pool of 10", "get", "get_tasks", 640, 160,
           "keys", "people", _gets),
        _W("C", "10,000 rows to models", "row", "select", 10_000, 10_000, "size",
           "people", _first),
        _W("D", "5,000 rows joined with their parent", "row", "join", data.JOINED,
           data.JOINED, "size", "joined", _joined),
        _W("E", "prefetch 200, 2,000, 6,000", "row", "prefetch", E_ROWS, E_ROWS,
           "size", "tree", _tree),
        _W("F", "create one by one", "row", "create", 400, 100, "rows", None, _entries),
        _W("G", "bulk insert", "row", "bulk", 10_000, 2_000, "instances",
           None, _entries),
        _W("H", "update of loaded instances", "row", "update", 400, 100, "loaded",
           None, _changed, fill=True),
        _W("I", "block of select and update", "block", "blocks", 200, 50, "numbers",
           None, _changed, fill=True),
        _W("J", "count, scalar and exists", "set of 3", "facts", 200, 50, "questions",
           "facts", _facts),
        _W("K", "stream", "row", "stream", PEOPLE, QUICK_PEOPLE, "size", "streamed",
           _streamed),
    )
}
# fmt: on
