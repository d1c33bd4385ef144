"""Whether there is something to read on a socket."""

from __future__ import annotations

import select
import socket

import pytest

from peewee_async.io.sockets import Watch


@pytest.mark.parametrize("has_poll", [True, False])
def test_what_has_come_in_and_the_end_can_be_read(
    has_poll: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_poll:
        monkeypatch.delattr(select, "poll", raising=False)
    one, other = socket.socketpair()
    with one, other:
        watch = Watch(one.fileno())
        assert not watch.readable()
        other.send(b"x")
        assert watch.readable()
        assert one.recv(10) == b"x"
        assert not watch.readable()
        other.close()
        assert watch.readable()
