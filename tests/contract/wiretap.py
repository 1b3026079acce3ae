"""Stands between a client and a server, and keeps what the client sent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
"""PostgreSQL's question whether the server speaks TLS."""
_APPLICATION_DATA = 23


class Wiretap:
    def __init__(self, port: int) -> None:
        self.sent: list[bytearray] = []
        """By connection."""
        self._behind = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._opened: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._behind))
                self._opened += [client, server]
                kept = bytearray()
                self.sent.append(kept)
                for pair in ((client, server, kept), (server, client, None)):
                    self._threads.append(threading.Thread(target=self._copy, args=pair))
                    self._threads[-1].start()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket, kept: bytearray | None) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if kept is not None:
                    kept += data
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for opened in (self._listener, *self._opened):
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for opened in (self._listener, *self._opened):
            opened.close()


@contextmanager
def tapped(port: int) -> Iterator[Wiretap]:
    tap = Wiretap(port)
    try:
        yield tap
    finally:
        tap.close()


def enciphered(sent: bytes | bytearray) -> int:
    """How many bytes of content a client sent that began TLS at once; `AssertionError` for anything in the clear."""
    assert sent.startswith(SSL_REQUEST)
    found, rest = 0, sent[len(SSL_REQUEST) :]
    while rest:
        kind, length = rest[0], int.from_bytes(rest[3:5], "big")
        assert 20 <= kind <= 23, "this is no TLS"
        found += length if kind == _APPLICATION_DATA else 0
        rest = rest[5 + length :]
    return found
