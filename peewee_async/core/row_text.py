"""The text of a function that reads rows, while it is being written.

The function puts what it makes into a list that it is given, so that what came before
an error is there. What it was made of may change afterwards: a method of a field is
replaced, a field is added. So it begins by looking at all that it relies on, and gives
False, for it to be made anew, if anything is not as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peewee_async.core.conversions import OVERRIDABLE, chain, handed_on, is_stock
from peewee_async.core.row_columns import Column, Source

INDENT = "    "


class RowText:
    """Collects names, conditions and lines, and puts them together.

    columns: those of the rows, known as c0, c1 and so on in the lines; without any,
        their values stay as they are. count: how many there are.
    """

    __slots__ = (
        "_columns",
        "_conditions",
        "_count",
        "_names",
        "names",
    )

    def __init__(self, columns: Sequence[Column], count: int) -> None:
        self._columns = columns
        self._count = count
        self._names: dict[int, str] = {}
        self._conditions: dict[str, None] = {}
        self.names: dict[str, Any] = {}

    def name(self, prefix: str, thing: Any) -> str:
        """Give the name that stands for a thing in the text."""
        name = self._names.get(id(thing))
        if name is None:
            name = self._names[id(thing)] = f"{prefix}{len(self.names)}"
            self.names[name] = thing
        return name

    def requires(self, expression: str, thing: Any) -> None:
        """Have the function rely on an expression to be that very thing."""
        self._conditions[f"{expression} is not {self.name('r', thing)}"] = None

    def refuses(self, expression: str) -> None:
        """Have the function rely on an expression to be false."""
        self._conditions[expression] = None

    def value(self, index: int) -> str:
        """Write the expression for the converted value of a column."""
        value = f"c{index}"
        if not self._columns:
            return value
        column = self._columns[index]
        if column.by_name is not None:
            self._requires_name(column)
        if column.source is Source.AS_IS:
            return value
        if column.source is Source.EXTRA:
            return f"x{column.extra}({value})"
        return self._converted(column, value)

    def _requires_name(self, column: Column) -> None:
        combined = self.name("d", column.model._meta.combined)
        self.requires(f"{combined}.get({column.by_name!r})", column.field)

    def _converted(self, column: Column, value: str) -> str:
        known = handed_on(column.field)
        if known is not None:
            self._requires_stock(column.field)
        if known is object or (known is not None and known is column.made):
            return value
        converted = f"{self._converter(column, known)}({value})"
        if known is None:
            return converted
        # To call type() takes as long as all the rest of a column.
        passes = f"{value}.__class__ is {self.name('t', known)} or {value} is None"
        return f"({value} if {passes} else {converted})"

    def _converter(self, column: Column, known: type | None) -> str:
        field = f"{self.name('f', column.field)}.python_value"
        if column.source is Source.FIELD:
            return field
        if known is None:
            bound = self.name("b", column.field.python_value)
            self._conditions[f"{field} != {bound}"] = None
        return self.name("k", column.converter)

    def _requires_stock(self, field: Any) -> None:
        for part in chain(field):
            own = self.name("d", vars(part))
            for method in OVERRIDABLE:
                self._conditions[f"{method!r} in {own}"] = None

    def is_no_model(self, index: int) -> bool:
        """Whether a column's values cannot be instances of models."""
        column = self._columns[index]
        if column.source is Source.AS_IS:
            return True
        return column.source is Source.FIELD and is_stock(column.field)

    def row(self) -> str:
        """Write the expression for a tuple of all columns."""
        values = "".join(f"{self.value(index)}, " for index in range(self._count))
        return f"({values})"

    def whole(self, expression: str) -> str:
        """Write the function that makes all rows what an expression says."""
        return self._function([f"made.extend({expression})"])

    def loop(self, lines: Sequence[str], item: str) -> str:
        """Write the function that makes an item of each row by some lines."""
        body = [*lines, f"append({item})"]
        row = f"for {self._row()} in rows:"
        return self._function(["append = made.append", row, *indented(body)])

    def each(self, item: str) -> str:
        """Write the function that makes each row what an expression says."""
        return self.loop([], item)

    def _row(self) -> str:
        return "".join(f"c{index}, " for index in range(self._count))

    def _function(self, lines: Sequence[str]) -> str:
        conditions = " or ".join(self._conditions)
        checks = [f"if {conditions}:", f"{INDENT}return False"] if conditions else []
        body = [*checks, *self._extras(), *lines, "return True"]
        return "\n".join(["def read(rows, extras, made):", *indented(body), ""])

    def _extras(self) -> list[str]:
        count = sum(column.source is Source.EXTRA for column in self._columns)
        return [f"x{index} = extras[{index}]" for index in range(count)]


def indented(lines: Sequence[str]) -> list[str]:
    return [INDENT + line for line in lines]
