"""The end of a transport, with TLS or without, in an event loop or after it."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from typing import Any


def drop(transport: Any, loop: AbstractEventLoop) -> None:
    """Close a transport at once, though its event loop may be closed."""
    if not loop.is_closed():
        transport.abort()
        return
    # Without its loop a transport cannot close itself, only complain.
    if (tls := getattr(transport, "_ssl_protocol", None)) is not None:
        transport._closed, transport = True, tls._transport
    if hasattr(transport, "_sock"):
        transport._sock.close()
        transport._sock, transport._closing = None, True
