"""Kernel to clients: no message leaves without having been read, and none that cannot be read leaves as it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from jupyter_qsec.kernels.relay.headers import Header, Headers
from jupyter_qsec.kernels.relay.hygiene import UNSCANNABLE, Reporter
from jupyter_qsec.kernels.relay.streams import Parts, Streams
from jupyter_qsec.kernels.relay.wire import Envelope, Json, WireError, dump_object, load_object
from jupyter_qsec.scanning import binary
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.mimebundle import redact_json

Message = tuple[list[bytes], bytes, bytes, bytes, bytes, list[bytes]]
"""Identities, header, parent, metadata, content, buffers: not signed yet."""

_STATES = frozenset({"busy", "idle", "starting"})
_KNOWN_STATES = {
    f'{{"execution_state":{space}"{state}"}}'.encode(): f'{{"execution_state":"{state}"}}'.encode()
    for state in sorted(_STATES)
    for space in ("", " ")
}
"""The most frequent contents, of which no scan can find anything."""
_MAX_TOPIC = 256
_PLACES = {"comm_open": "widget", "comm_msg": "widget", "comm_close": "widget"}


class Outgoing:
    """The way out of one kernel."""

    def __init__(self, engine: Engine, reporter: Reporter, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._reporter = reporter
        self.streams = Streams(engine, reporter, clock)
        self._headers = Headers(engine, reporter)

    def handle(self, envelope: Envelope, *, published: bool) -> Iterator[Message]:
        """The messages that go out for one that came; `published` ones have a topic, the others a client's address.

        Raises `WireError` when header or parent cannot be read: no client could read such a message either.
        """
        header = self._headers.cleaned(envelope.header)
        parent, request = self._headers.cleaned_parent(envelope.parent)
        kind = header.kind
        identities = self._cleaned_topic(envelope.identities) if published else envelope.identities
        if published and kind != "stream":
            yield from self._flushed(request)
        try:
            if kind == "stream" and published:
                for parts in list(self._stream(identities, header, parent, request, envelope)):
                    yield (*parts, [])
                return
            metadata, content, buffers = self._body(kind, request, envelope)
        except Exception:  # noqa: BLE001 - whatever went wrong in a scan, the message must not pass as it is
            self._reporter.found([("unscannable", kind, 1)], place="output", action="redacted", message_id=request)
            metadata, content, buffers = b"{}", dump_object(withheld(kind, envelope.content)), []
        yield identities, header.encoded, parent, metadata, content, buffers

    def before_reply(self, envelope: Envelope) -> Iterator[Message]:
        """What is still held of the request that is being answered, to be published before the answer."""
        _, request = self._headers.cleaned_parent(envelope.parent)
        return self._flushed(request)

    def _flushed(self, request: str) -> Iterator[Message]:
        for parts in self.streams.flush(request):
            yield (*parts, [])

    def _stream(
        self, identities: list[bytes], header: Header, parent: bytes, request: str, envelope: Envelope
    ) -> Iterator[Parts]:
        content = load_object(envelope.content)
        name, text = content.get("name"), content.get("text")
        if not isinstance(name, str) or not isinstance(text, str):
            raise WireError("A stream message holds no text.")
        name = self._engine.redact(name[:64]).text
        return self.streams.write(identities, header, parent, request, name, text)

    def _body(self, kind: str, request: str, envelope: Envelope) -> tuple[bytes, bytes, list[bytes]]:
        """Metadata, content and buffers without secrets."""
        if (
            kind == "status"
            and (told := _KNOWN_STATES.get(envelope.content)) is not None
            and envelope.metadata == b"{}"
        ):
            return b"{}", told, []
        secrets: list[tuple[str, str]] = []
        parts = []
        for part in (envelope.metadata, envelope.content):
            if part == b"{}":
                parts.append(part)
                continue
            value, _, found = redact_json(load_object(part), self._engine)
            secrets += found
            parts.append(dump_object(value))
        buffers = []
        for buffer in envelope.buffers:
            clean, found = binary.cleaned(self._engine, buffer)
            secrets += found
            buffers.append(clean)
        if secrets:
            self._reporter.found(
                [(secret_kind, secret, 1) for secret_kind, secret in secrets],
                place=_PLACES.get(kind, "reply" if kind.endswith("_reply") else "output"),
                action="redacted",
                message_id=request,
            )
        return parts[0], parts[1], buffers

    def _cleaned_topic(self, identities: list[bytes]) -> list[bytes]:
        topic = identities[0][:_MAX_TOPIC] if identities else b""
        if self._engine.scan(topic.decode("latin-1")):
            topic = b"redacted"
        return [topic]


def withheld(kind: str, original: bytes) -> Json:
    """What goes out instead of a message that could not be scanned; of the kind that its receiver waits for."""
    if kind == "stream":
        return {"name": "stderr", "text": UNSCANNABLE + "\n"}
    if kind in ("display_data", "update_display_data"):
        return {"data": {"text/plain": UNSCANNABLE}, "metadata": {}, "transient": {}}
    if kind == "execute_result":
        return {"data": {"text/plain": UNSCANNABLE}, "metadata": {}, "execution_count": 0}
    if kind == "status":
        return {"execution_state": _state(original)}
    if kind == "input_request":
        return {"prompt": UNSCANNABLE, "password": False}
    if kind == "execute_input":
        return {"code": UNSCANNABLE, "execution_count": 0}
    error: Json = {"ename": "Unscannable", "evalue": UNSCANNABLE, "traceback": [UNSCANNABLE]}
    if kind == "error":
        return error
    if kind.endswith("_reply"):
        return {"status": "error", "execution_count": 0, "success": False, "message": UNSCANNABLE} | error
    return {}


def _state(original: bytes) -> str:
    """A kernel's state is one of three words; anything else is taken for idle, so that no client waits for ever."""
    try:
        state = load_object(original).get("execution_state")
    except WireError:
        state = None
    return state if isinstance(state, str) and state in _STATES else "idle"
