"""Tests reach this machine alone."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

Reach = Callable[[socket.socket, tuple[str, int]], object]
WAYS: dict[str, Reach] = {
    "connect": lambda sender, address: sender.connect(address),
    "connect_ex": lambda sender, address: sender.connect_ex(address),
    "sendto": lambda sender, address: sender.sendto(b"x", address),
    "sendto with flags": lambda sender, address: sender.sendto(b"x", 0, address),
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_leaves_it(way: str) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        with pytest.raises(AssertionError, match=r"tried to reach 192\.0\.2\.1"):
            WAYS[way](sender, ("192.0.2.1", 9))
        with socket.socket(type=socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            WAYS[way](sender, receiver.getsockname())
