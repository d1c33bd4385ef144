"""What can be told of a socket at once, without reading from it."""

from __future__ import annotations

import select


class Watch:
    """A look at one socket, by its number, to be used as often as one likes."""

    __slots__ = ("_number", "_poll")

    def __init__(self, number: int) -> None:
        self._number = number
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(number, select.POLLIN)

    def readable(self) -> bool:
        """Tell whether there is anything to read, the end of everything included."""
        if self._poll is None:
            return bool(select.select([self._number], [], [], 0)[0])
        return bool(self._poll.poll(0))
