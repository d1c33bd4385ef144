"""Packets of MySQL that have arrived already, taken without waiting."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import lru_cache
from struct import Struct
from typing import Any

import aiomysql
from aiomysql.connection import FieldDescriptorPacket, MysqlPacket
from pymysql.connections import MAX_PACKET_LEN

from peewee_async.io.aiomysql_errors import lost

# The number of packets, one for each row, after which other tasks get a turn. Packets
# have numbers from 0 to 255, so that this one is seen without counting.
_TURN = 0

# The size in three bytes, and the number.
_head = Struct("<I").unpack_from

# Columns are described anew with each reply; most replies have the same ones.
_field = lru_cache(maxsize=1000)(FieldDescriptorPacket)


class Packets(aiomysql.Connection):  # type: ignore[misc]
    """A connection that takes what is there as it is.

    aiomysql asks the stream twice for each packet, by four coroutines, though most of
    them come with the one before; and it reads whatever has arrived in one go, however
    long that takes.
    """

    _next_seq_id: int

    async def _read_packet(self, packet_type: Any = MysqlPacket) -> Any:
        data = self._arrived()
        if data is None or self._next_seq_id == _TURN:
            await self._wait(data is None)
            data = self._arrived() if data is None else data
        if data is None:
            return await super()._read_packet(packet_type)
        if packet_type is FieldDescriptorPacket and data[:1] != b"\xff":
            return _field(data, self._encoding)
        packet = packet_type(data, self._encoding)
        if data[:1] == b"\xff":
            if self._result is not None:
                self._result.unbuffered_active = False
            packet.raise_for_error()
        return packet

    async def _wait(self, for_data: bool) -> None:
        """Let other tasks go on, until there is more data or just for a turn."""
        reader = self._reader
        try:
            if not for_data:
                await asyncio.sleep(0)
            elif not (reader._buffer or reader._eof or reader._exception):
                # What is read next tells of an error, in better words.
                with suppress(OSError):
                    await reader._wait_for_data("_read_packet")
        except asyncio.CancelledError:
            self._close_on_cancel()
            raise

    def _arrived(self) -> bytes | None:
        """Take the next packet off the stream, if the whole of it is there."""
        reader = self._reader
        if reader is None:  # given up by another task
            raise lost()
        buffer: bytearray = reader._buffer
        if len(buffer) < 4 or reader._exception is not None:
            return None
        (head,) = _head(buffer)
        size, number = head & MAX_PACKET_LEN, head >> 24
        end = 4 + size
        if size == MAX_PACKET_LEN or len(buffer) < end or number != self._next_seq_id:
            return None
        data = bytes(memoryview(buffer)[4:end])
        del buffer[:end]
        reader._maybe_resume_transport()
        self._next_seq_id = (number + 1) % 256
        return data
