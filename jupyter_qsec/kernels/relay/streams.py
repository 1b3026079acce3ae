"""Text streams of a kernel: one redactor for each request and stream, and the messages that carry what it lets go."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

from jupyter_qsec.kernels.relay.headers import Header
from jupyter_qsec.kernels.relay.hygiene import Reporter
from jupyter_qsec.kernels.relay.wire import dump_object, new_header
from jupyter_qsec.scanning.engine import Engine, Redaction
from jupyter_qsec.scanning.stream import StreamRedactor

Parts = tuple[list[bytes], bytes, bytes, bytes, bytes]
"""Identities, header, parent, metadata, content: a message that is not signed yet."""

_MAX_STREAMS = 256


class _Stream:
    __slots__ = ("identities", "line", "name", "parent", "redactor", "request", "session")

    def __init__(self, name: str, request: str, redactor: StreamRedactor) -> None:
        self.name = name
        self.request = request
        self.redactor = redactor
        self.line = 1
        self.identities: list[bytes] = []
        self.parent = b"{}"
        self.session = ""


class Streams:
    """All streams of one kernel."""

    def __init__(self, engine: Engine, reporter: Reporter, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._reporter = reporter
        self._clock = clock
        self._streams: OrderedDict[tuple[str, str], _Stream] = OrderedDict()
        self._holding: dict[tuple[str, str], _Stream] = {}

    def write(
        self, identities: list[bytes], header: Header, parent: bytes, request: str, name: str, text: str
    ) -> Iterator[Parts]:
        """Take a chunk; gives the messages that may go out now."""
        key = (request, name)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = _Stream(name, request, StreamRedactor(self._engine, clock=self._clock))
            if len(self._streams) > _MAX_STREAMS:
                yield from self._drop(next(iter(self._streams)))
        stream.identities, stream.parent, stream.session = identities, parent, header.session
        yield from self._out(stream, stream.redactor.feed(text), header)
        if stream.redactor.pending():
            self._holding[key] = stream
        else:
            self._holding.pop(key, None)

    def flush(self, request: str) -> Iterator[Parts]:
        """Everything held of one request, before another message of it."""
        if not self._holding:
            return
        for key in [key for key in self._holding if key[0] == request]:
            stream = self._holding.pop(key)
            yield from self._out(stream, stream.redactor.flush())

    def flush_all(self) -> Iterator[Parts]:
        for key in list(self._holding):
            stream = self._holding.pop(key)
            yield from self._out(stream, stream.redactor.flush())

    def due(self) -> Iterator[Parts]:
        """Everything whose deadline has passed."""
        now = self._clock()
        for key, stream in list(self._holding.items()):
            deadline = stream.redactor.deadline
            if deadline is not None and deadline <= now:
                yield from self._out(stream, stream.redactor.release_due())
                if not stream.redactor.pending():
                    del self._holding[key]

    def deadline(self) -> float | None:
        """When `due` must be called next, in the clock's seconds."""
        deadlines = [stream.redactor.deadline for stream in self._holding.values()]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def _drop(self, key: tuple[str, str]) -> Iterator[Parts]:
        stream = self._streams.pop(key)
        self._holding.pop(key, None)
        yield from self._out(stream, stream.redactor.flush())

    def _out(self, stream: _Stream, redaction: Redaction, header: Header | None = None) -> Iterator[Parts]:
        if redaction.secrets:
            self._reporter.found(
                [(kind, secret, stream.line) for kind, secret in redaction.secrets],
                place="output",
                action="redacted",
                message_id=stream.request,
            )
        if not redaction.text:
            return
        stream.line += redaction.text.count("\n")
        content = {"name": stream.name, "text": redaction.text}
        yield (
            stream.identities,
            dump_object(new_header("stream", stream.session)) if header is None else header.encoded,
            stream.parent,
            b"{}",
            dump_object(content),
        )
