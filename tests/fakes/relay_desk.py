"""Both ways through the relay without sockets, under a clock that moves when told to."""

from __future__ import annotations

from typing import Any

from jupyter_qsec.kernels.relay.hygiene import Reporter
from jupyter_qsec.kernels.relay.incoming import Incoming
from jupyter_qsec.kernels.relay.outgoing import Outgoing
from jupyter_qsec.kernels.relay.wire import Envelope, dump_object, load_object
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.finding import Fingerprinter
from jupyter_qsec.scanning.policy import SourcePolicy


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """Both ways with a clock that moves when told to, and the events they sent."""

    def __init__(self, language: str = "python", policy: SourcePolicy | None = None) -> None:
        self.clock = Clock()
        self.events: list[dict[str, Any]] = []
        scanner = Engine.default()
        reporter = Reporter(Fingerprinter(b"k" * 32), self.events.append)
        self.outgoing = Outgoing(scanner, reporter, self.clock)
        self.incoming = Incoming(scanner, policy or SourcePolicy(), reporter, language=language, clock=self.clock)

    def publish(
        self, kind: str, content: dict[str, Any] | bytes, *, request: str = "r1", **parts: Any
    ) -> list[tuple[str, Any]]:
        messages = self.outgoing.handle(envelope(kind, content, parent=request, **parts), published=True)
        return [(load_object(message[1])["msg_type"], load_object(message[4])) for message in messages]

    def stream(self, text: str, *, request: str = "r1", name: str = "stdout") -> str:
        said = self.publish("stream", {"name": name, "text": text}, request=request)
        return "".join(content["text"] for _, content in said)

    def ask(
        self, kind: str, content: dict[str, Any], *, message_id: str = "r1", subshell: str | None = None
    ) -> list[tuple[str, str, dict[str, Any]]]:
        """(way, message type, content) of each step."""
        message = envelope(kind, content, message_id=message_id, subshell=subshell)
        return self.told(self.incoming.handle("shell", message))

    def answered(self, message_id: str) -> list[tuple[str, str, dict[str, Any]]]:
        """What follows the kernel's answer to a request."""
        return self.told(self.incoming.replied(dump_object({"msg_id": message_id})))

    @staticmethod
    def told(steps: list[Any]) -> list[tuple[str, str, dict[str, Any]]]:
        def read(part: Any) -> Any:
            return load_object(part) if isinstance(part, bytes) else part

        return [(step[0], read(step[2])["msg_type"], read(step[5])) for step in steps]


def envelope(
    kind: str,
    content: dict[str, Any] | bytes,
    *,
    message_id: str = "m1",
    parent: str = "",
    buffers: list[bytes] | None = None,
    topic: bytes = b"topic",
    subshell: str | None = None,
) -> Envelope:
    header = dump_object({"msg_id": message_id, "session": "s", "msg_type": kind, "subshell_id": subshell})
    about = dump_object({"msg_id": parent, "session": "s", "msg_type": "execute_request"}) if parent else b"{}"
    body = content if isinstance(content, bytes) else dump_object(content)
    return Envelope([topic], header, about, b"{}", body, buffers or [])


def execute(code: str) -> dict[str, Any]:
    return {"code": code, "silent": False, "user_expressions": {}, "allow_stdin": True}
