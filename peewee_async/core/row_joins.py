"""The lines that make the instances of a joined row, and hang them together.

They follow `ModelCursorWrapper.process_row` of peewee, with all that is the same for
each row decided beforehand. An instance that nothing else hangs on is made only where
the row has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import peewee

from peewee_async.core.row_objects import Instance, is_descriptor
from peewee_async.core.row_shapes import Unfit
from peewee_async.core.row_text import RowText, indented

# Its stubs leave out what is not documented.
_peewee: Any = peewee


class Edge(NamedTuple):
    """One instance becomes an attribute of another; both by their number.

    reached: the numbers of all that hang on the second.
    """

    source: int
    attribute: str
    target: int
    is_outer: bool
    is_key: bool
    reached: tuple[int, ...]


def joined(text: RowText, wrapper: Any) -> tuple[list[str], str]:
    """Write the lines for a row, and the name of the instance that it becomes."""
    return _Joins(text, wrapper).written()


class _Joins:
    __slots__ = ("_dirty", "_edges", "_instances", "_keys", "_root", "_text")

    def __init__(self, text: RowText, wrapper: Any) -> None:
        self._text = text
        numbers = {key: n for n, (key, _, _) in enumerate(wrapper._constructor_list)}
        self._root = numbers[wrapper.model]
        columns: list[list[tuple[int, str]]] = [[] for _ in numbers]
        # The columns that tell whether an instance is there at all.
        self._keys: list[list[int]] = [[] for _ in numbers]
        for index, key, attribute, _ in wrapper._row_spec:
            columns[numbers.get(key, self._root)].append((index, attribute))
            if key in numbers:
                self._keys[numbers[key]].append(index)
        self._instances = [
            Instance(text, f"o{n}", _model(constructor), columns[n])
            for n, (_, constructor, _) in enumerate(wrapper._constructor_list)
        ]
        self._edges = [_edge(numbers, wrapper, *item) for item in wrapper.src_to_dest]
        self._dirty = {n for n, it in enumerate(self._instances) if it.dirties}

    def written(self) -> tuple[list[str], str]:
        lines: list[str] = []
        leaves = self._leaves()
        for number, instance in enumerate(self._instances):
            if number not in leaves:
                lines += instance.lines()
        for edge in self._edges:
            lines += self._hung(edge, edge.target in leaves)
        for number in sorted(self._dirty):
            lines.append(f"{self._instances[number].name}._dirty.clear()")
        return lines, self._instances[self._root].name

    def _leaves(self) -> set[int]:
        """Give those that need not be made in a row that does not have them."""
        inner = {self._root, *(edge.source for edge in self._edges)}
        return {
            number
            for number, instance in enumerate(self._instances)
            if number not in inner and instance.is_silent()
        }

    def _hung(self, edge: Edge, is_leaf: bool) -> Iterator[str]:
        source, target = self._instances[edge.source], self._instances[edge.target]
        made = target.lines() if is_leaf else []
        yield f"if {self._is_present(edge)}:"
        yield from indented([*made, *self._assigned(edge, source, target)])
        if edge.is_outer:
            yield f"elif {self._has(edge.source)}:"
            yield from indented([self._absent(edge, source)])

    def _is_present(self, edge: Edge) -> str:
        present = " or ".join(map(self._has, (edge.target, *edge.reached)))
        if edge.is_outer and edge.reached:
            either = f"{self._has(edge.source)} or {self._has(edge.target)}"
            return f"({present}) and ({either})"
        return present

    def _has(self, number: int) -> str:
        tests = [f"c{index} is not None" for index in self._keys[number]]
        return f"({' or '.join(tests)})" if tests else "False"

    def _assigned(self, edge: Edge, source: Instance, target: Instance) -> list[str]:
        accessor = source.accessor(edge.attribute) if edge.is_key else None
        if accessor is None or not _sets(accessor, target.model):
            return [self._set(edge, source, target.name)]
        field = accessor.field.rel_field
        if isinstance(field, peewee.ForeignKeyField) or not target.accessor(field.name):
            raise Unfit
        key = f"{target.name}.__data__.get({field.name!r})"
        return [
            f"{source.name}.__data__[{edge.attribute!r}] = {key}",
            f"{source.name}.__rel__[{edge.attribute!r}] = {target.name}",
        ]

    def _absent(self, edge: Edge, source: Instance) -> str:
        if edge.is_key:
            return f"{source.name}.__rel__[{edge.attribute!r}] = None"
        return self._set(edge, source, "None")

    def _set(self, edge: Edge, source: Instance, value: str) -> str:
        if is_descriptor(source.model, edge.attribute):
            self._dirty.add(edge.source)
        return source.assigned(edge.attribute, value)


def _sets(accessor: Any, model: Any) -> bool:
    """Whether an accessor takes an instance of a model for what its key points to."""
    is_key = type(accessor).__set__ is _peewee.ForeignKeyAccessor.__set__
    return is_key and issubclass(model, accessor.rel_model)


def _model(constructor: Any) -> Any:
    """Give the model behind a constructor, for an alias only passes its call on."""
    if isinstance(constructor, peewee.ModelAlias):
        return constructor.model
    return constructor


def _edge(
    numbers: dict[Any, int],
    wrapper: Any,
    source: Any,
    attribute: str,
    target: Any,
    is_dict: bool,
    is_outer: bool,
    is_key: bool,
) -> Edge:
    if source not in numbers or is_dict:
        raise Unfit
    reached = wrapper._dest_reachable.get(target, ())
    others = sorted(numbers[key] for key in reached if key in numbers)
    return Edge(
        numbers[source], attribute, numbers[target], is_outer, is_key, tuple(others)
    )
