"""Hosts become addresses without the help of libpq, and without a driver."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from peewee_async.io.aiopg_addresses import with_addresses


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"host": None},
        {"host": "127.0.0.1"},
        {"host": "::1"},
        {"host": "/run/postgresql"},
        {"host": "one,two"},
        {"host": "localhost", "hostaddr": "127.0.0.1"},
    ],
)
async def test_what_is_no_name_is_left_alone(options: dict[str, Any]) -> None:
    assert await with_addresses(options) == options


async def test_a_name_goes_along_with_each_of_its_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def getaddrinfo(host: str, port: None, *, type: int) -> list[Any]:  # noqa: A002
        assert (host, type) == ("db", socket.SOCK_STREAM)
        return [(0, 0, 0, "", (address, 0)) for address in ("::1", "127.0.0.1", "::1")]

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    assert await with_addresses({"host": "db", "user": "ada"}) == {
        "host": "db,db",
        "hostaddr": "::1,127.0.0.1",
        "user": "ada",
    }
