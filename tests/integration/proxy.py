"""A TCP proxy between a test and its server, which fails in the ways networks do.

Everything is passed on, in both directions, until the test says otherwise: at once, or
after a number of bytes.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any

HOST = "127.0.0.1"


class Direction(Enum):
    """Which way bytes go."""

    UP = "to the server"
    DOWN = "to the client"

    @property
    def back(self) -> Direction:
        return Direction.DOWN if self is Direction.UP else Direction.UP


UP, DOWN = Direction.UP, Direction.DOWN


class Fault(Enum):
    """What happens to a link.

    CUT: both ends are told that it is over. RESET: likewise, by an error. STALL: no
    byte goes in that direction any more. HALF_OPEN: the server's end is gone, and the
    client's end is told nothing.
    """

    CUT = "cut"
    RESET = "reset"
    STALL = "stalled"
    HALF_OPEN = "half-open"


@dataclass(frozen=True)
class Armed:
    """A fault that waits for its byte: the one after so many in its direction."""

    fault: Fault
    direction: Direction
    after: int


class End(asyncio.Protocol):
    """One of the two sockets of a link; what it reads goes in one direction."""

    def __init__(self, link: Link, direction: Direction) -> None:
        self.link = link
        self.direction = direction
        self.transport: Any = None
        self.lost = asyncio.get_running_loop().create_future()
        self.stalled = False
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.link.ends[self.direction] = self

    def data_received(self, data: bytes) -> None:
        if self.stalled:
            self._held += data
        else:
            self.link.proxy.passing(self, data)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(None)
        if not self.link.gone:
            self.link.end(Fault.RESET if error else Fault.CUT)

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def stall(self) -> None:
        self.stalled = True
        self.transport.pause_reading()

    def resume(self) -> None:
        self.stalled = False
        held, self._held = self._held, b""
        if held:
            self.link.proxy.passing(self, held)
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def close(self, fault: Fault) -> None:
        if fault is Fault.CUT:
            self.transport.close()
            return
        raw = self.transport.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            never_wait = struct.pack("ii", 1, 0)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, never_wait)
        self.transport.abort()


class Link:
    """A client and the server, one end each."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.ends: dict[Direction, End] = {}
        self.gone = False

    def end(self, fault: Fault) -> None:
        self.gone = True
        for end in self.ends.values():
            end.close(fault)

    def suffer(self, fault: Fault, direction: Direction) -> None:
        if fault is Fault.STALL:
            if direction in self.ends:
                self.ends[direction].stall()
        elif fault is Fault.HALF_OPEN:
            self.gone = True  # nobody is told of the end of the server's end
            self.ends[UP].stall()
            if DOWN in self.ends:
                self.ends[DOWN].close(Fault.RESET)
        else:
            self.end(fault)


class Proxy:
    """Use it by `async with`; `port` on 127.0.0.1 leads to the server.

    sent: all bytes that went to the server. silent: whether new links lead nowhere, as
    if the server accepted and said nothing.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.silent = False
        self.links: list[Link] = []
        self.sent = bytearray()
        self._passed = {UP: 0, DOWN: 0}
        self._armed: Armed | None = None
        self.struck = asyncio.Event()

    async def __aenter__(self) -> Proxy:
        await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.refuse()
        while self._tasks:
            await asyncio.wait(self._tasks)
        self.strike(Fault.RESET)
        for link in self.links:
            for end in link.ends.values():
                end.close(Fault.RESET)
                await end.lost

    async def listen(self) -> None:
        """Accept clients, at the same port as before."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Accept nobody any more; links that are open go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def strike(self, fault: Fault, direction: Direction = UP) -> None:
        """Have something happen to all open links, at once."""
        for link in self.open_links:
            link.suffer(fault, direction)

    def stall(self) -> None:
        """Let no byte pass any more, in both directions, on links that are open."""
        for direction in Direction:
            self.strike(Fault.STALL, direction)

    def resume(self) -> None:
        """Let pass what was stalled."""
        for link in self.open_links:
            for end in link.ends.values():
                if end.stalled:
                    end.resume()

    def arm(self, fault: Fault, direction: Direction, after: int = 0) -> None:
        """Have something happen once, to the link whose byte is the next after so many.

        Bytes are counted from now on; that one does not pass any more.
        """
        self.start_counting()
        self._armed = Armed(fault, direction, after)

    def start_counting(self) -> None:
        """Forget what has passed, and what was to happen."""
        self._passed = {UP: 0, DOWN: 0}
        self._armed = None
        self.sent.clear()
        self.struck.clear()

    @property
    def passed(self) -> dict[Direction, int]:
        """The number of bytes that passed in each direction since the last count."""
        return dict(self._passed)

    @property
    def open_links(self) -> list[Link]:
        return [link for link in self.links if not link.gone]

    def passing(self, source: End, data: bytes) -> None:
        """Pass bytes on, or as many of them as may pass."""
        direction, armed = source.direction, self._armed
        strikes = False
        if armed is not None and armed.direction is direction:
            left = armed.after - self._passed[direction]
            strikes = len(data) > left
            data, rest = (data[:left], data[left:]) if strikes else (data, b"")
        self._passed[direction] += len(data)
        if direction is UP:
            self.sent += data
        source.link.ends[direction.back].write(data)
        if strikes and armed is not None:
            self._armed = None
            source.link.suffer(armed.fault, direction)
            if source.stalled:
                source.data_received(rest)
            self.struck.set()

    def _accept(self) -> End:
        link = Link(self)
        self.links.append(link)
        return Client(link, UP)

    def connect(self, link: Link) -> None:
        """Join a client to the server."""
        if not self.silent:
            task = asyncio.get_running_loop().create_task(self._connect(link))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, link: Link) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: End(link, DOWN), *self._target)
        except OSError:
            link.end(Fault.CUT)
            return
        if link.gone:
            link.end(Fault.CUT)
        elif not link.ends[UP].stalled:
            link.ends[UP].resume()


class Client(End):
    """The client's end, which is not read from until the server's end is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.pause_reading()
        self.link.proxy.connect(self.link)
