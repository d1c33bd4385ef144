"""Servers on loopback that say what a test tells them to, right or wrong."""

from __future__ import annotations

import asyncio
import struct
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter

HOST = "127.0.0.1"


class Rogue(ABC):
    """Lets anybody in and answers each statement with the same bytes.

    greeting, answer: what is said instead of the right thing; None is the right thing.
    hangs_up: whether the connection ends after what is wrong; if not, there is silence,
    unless it goes_on. heard: all that came.
    """

    greeting: bytes | None = None
    answer: bytes | None = None
    hangs_up = True
    goes_on = False

    def __init__(self) -> None:
        self.heard = b""
        self.connections = 0
        self._writers: list[Writer] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Serve at a port of its own."""
        server = await asyncio.start_server(self._accept, HOST, 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            await server.wait_closed()

    async def _accept(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        self._writers.append(writer)
        with suppress(OSError, EOFError):
            await self._talk(reader, writer)
        writer.close()

    async def _talk(self, reader: Reader, writer: Writer) -> None:
        if self.greeting is not None:
            await self._say_wrong(reader, writer, self.greeting)
            return
        await self.let_in(reader, writer)
        while True:
            statement = await self.hear(reader)
            if self.answer is None or self.is_own(statement):
                writer.write(self.right_answer(statement))
            elif self.goes_on:
                writer.write(self.answer)
            else:
                await self._say_wrong(reader, writer, self.answer)
                return

    async def _say_wrong(self, reader: Reader, writer: Writer, words: bytes) -> None:
        writer.write(words)
        if self.hangs_up:
            await writer.drain()
            return
        while more := await reader.read(65536):
            self.heard += more

    async def take(self, reader: Reader, size: int) -> bytes:
        taken = await reader.readexactly(size)
        self.heard += taken
        return taken

    @abstractmethod
    async def let_in(self, reader: Reader, writer: Writer) -> None:
        """Greet a client and let it in."""

    @abstractmethod
    async def hear(self, reader: Reader) -> bytes:
        """Wait for a statement."""

    @abstractmethod
    def is_own(self, statement: bytes) -> bool:
        """Whether it is the driver's own: that is answered rightly."""

    @abstractmethod
    def right_answer(self, statement: bytes) -> bytes:
        """Give the reply to a statement: one row with the number 7, if it selects."""


def packet(number: int, payload: bytes) -> bytes:
    """Make a packet of MySQL."""
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


OK = b"\x00\x00\x00\x02\x00\x00\x00"
EOF = b"\xfe\x00\x00\x02\x00"
COLUMN = (
    b"\x03def\x00\x00\x00\x01n\x00\x0c"
    + struct.pack("<HIBHB", 63, 11, 3, 0, 0)
    + b"\x00\x00"
)
HEAD = packet(1, b"\x01") + packet(2, COLUMN) + packet(3, EOF)
SEVEN = HEAD + packet(4, b"\x017") + packet(5, EOF)


class RogueMySQL(Rogue):
    # What it can do; bit 11, which is left out, is TLS.
    abilities = 0x0081A20D

    async def let_in(self, reader: Reader, writer: Writer) -> None:
        low, high = struct.pack("<I", self.abilities)[:2], self.abilities >> 16
        writer.write(
            packet(
                0,
                b"\x0a8.0.30\x00\x01\x00\x00\x00"
                + b"saltsalt\x00"
                + low
                + b"\x2d\x02\x00"
                + struct.pack("<HB", high, 21)
                + b"\x00" * 10
                + b"saltsaltsalt\x00mysql_native_password\x00",
            )
        )
        await self.hear(reader)
        writer.write(packet(2, OK))

    async def hear(self, reader: Reader) -> bytes:
        head = await self.take(reader, 4)
        return await self.take(reader, struct.unpack("<I", head[:3] + b"\x00")[0])

    def is_own(self, statement: bytes) -> bool:
        return statement.startswith((b"\x03SET ", b"\x0e"))  # a ping

    def right_answer(self, statement: bytes) -> bytes:
        return SEVEN if statement.startswith(b"\x03SELECT") else packet(1, OK)


def message(kind: bytes, body: bytes) -> bytes:
    """Make a message of PostgreSQL."""
    return kind + struct.pack(">i", len(body) + 4) + body


READY = message(b"Z", b"I")
ROW_OF = message(b"T", b"\x00\x01n\x00" + struct.pack(">ihihih", 0, 0, 23, 4, -1, 0))
SEVEN_OF = message(b"D", b"\x00\x01\x00\x00\x00\x017")
PARAMETERS = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO, MDY",
    "server_version": "16.0",
    "standard_conforming_strings": "on",
}


class RoguePostgres(Rogue):
    async def let_in(self, reader: Reader, writer: Writer) -> None:
        while True:
            (size,) = struct.unpack(">i", await self.take(reader, 4))
            asked = await self.take(reader, size - 4)
            if size > 8:
                break
            writer.write(b"N")  # neither TLS nor Kerberos
        assert asked.startswith(b"\x00\x03\x00\x00")
        writer.write(message(b"R", b"\x00\x00\x00\x00"))
        for name, value in PARAMETERS.items():
            writer.write(message(b"S", f"{name}\0{value}\0".encode()))
        writer.write(message(b"K", b"\x00\x00\x00\x01\x00\x00\x00\x02") + READY)

    async def hear(self, reader: Reader) -> bytes:
        _, size = struct.unpack(">ci", await self.take(reader, 5))
        return await self.take(reader, size - 4)

    def is_own(self, statement: bytes) -> bool:
        return False

    def right_answer(self, statement: bytes) -> bytes:
        if statement.startswith(b"SELECT"):
            return ROW_OF + SEVEN_OF + message(b"C", b"SELECT 1\0") + READY
        return message(b"C", b"SET\0") + READY
