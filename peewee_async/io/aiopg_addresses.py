"""The addresses of PostgreSQL servers, looked up while the event loop runs on."""

from __future__ import annotations

from asyncio import get_running_loop
from ipaddress import ip_address
from socket import SOCK_STREAM
from typing import Any


async def with_addresses(options: dict[str, Any]) -> dict[str, Any]:
    """Look the host up, which libpq would do without letting the event loop run."""
    host = options.get("host")
    if not host or "hostaddr" in options or not _is_name(host):
        return options
    found = await get_running_loop().getaddrinfo(host, None, type=SOCK_STREAM)
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    # One host for each address, as libpq wants it; the name is what TLS verifies.
    hosts = ",".join([host] * len(addresses))
    return options | {"host": hosts, "hostaddr": ",".join(addresses)}


def _is_name(host: str) -> bool:
    if "," in host or host.startswith(("/", "@")):
        return False  # several hosts, or the folder of a unix socket
    try:
        ip_address(host)
    except ValueError:
        return True
    return False
