"""What can be told of a socket at once, without reading from it."""

from __future__ import annotations

import select


def readable(number: int) -> bool:
    """Tell whether there is anything to read on a socket, its end included."""
    if not hasattr(select, "poll"):
        return bool(select.select([number], [], [], 0)[0])
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))
