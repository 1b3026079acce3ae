"""Clients to kernel: what must not run is stopped here, before the kernel has seen it."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Literal

from jupyter_qsec.kernels.relay.hygiene import Reporter
from jupyter_qsec.kernels.relay.judgement import judge
from jupyter_qsec.kernels.relay.wire import Envelope, Json, WireError, dump_object, load_object, new_header
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.mimebundle import redact_json
from jupyter_qsec.scanning.policy import SourcePolicy

Way = Literal["kernel", "reply", "publish"]
Step = tuple[Way, list[bytes], Json | bytes, bytes, Json | bytes, Json | bytes, list[bytes]]
"""Where to, identities, header, parent, metadata, content, buffers."""

_ABORT_WINDOW = 0.1
"""Seconds after a stopped cell in which queued cells still count as queued behind it: clients send them in one burst,
a person cannot start another cell that fast."""
_REMEDY = "Nothing of this cell was run. Take the secret out of the notebook, for example into a file outside of it."
_RUNNING = frozenset({"execute_request", "comm_msg", "comm_open", "debug_request"})
"""Kinds of message that make a kernel run something."""
_MOST_SHOWN = 256


class Incoming:
    """The way in of one kernel."""

    def __init__(
        self,
        engine: Engine,
        policy: SourcePolicy,
        reporter: Reporter,
        *,
        language: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._policy = policy
        self._reporter = reporter
        self._python = language.lower().startswith("python")
        self._clock = clock
        self._running: set[str] = set()
        self._stopped: dict[str, object] = {}
        """Stopped cells that the kernel has yet to answer, by message id, each with its subshell."""
        self._waiting: deque[tuple[Envelope, Json, str]] = deque()
        self._abort_until = float("-inf")
        self._count = 0
        self._shown: OrderedDict[str, str] = OrderedDict()
        """What clients are shown instead of a source that was changed, by message id."""

    def handle(self, channel: str, envelope: Envelope) -> list[Step]:
        """What to do about a message of a client. `WireError` when it cannot be read."""
        header = load_object(envelope.header)
        kind, message_id = str(header.get("msg_type", "")), str(header.get("msg_id", ""))
        if kind == "execute_request":
            self._reporter.request(message_id, load_object(envelope.metadata))
        if kind == "input_reply":
            # Refused, it would leave the kernel at its prompt for ever, and what a person types there is not run.
            self._note_input(message_id, envelope)
            return [_forward(envelope)]
        envelope, refusal = self._judged(kind, message_id, envelope)
        if channel == "shell" and not self._python:
            return self._in_turn(envelope, header, refusal)
        if kind == "execute_request" and self._python:
            return self._to_python(channel, envelope, header, refusal)
        return self._refuse(envelope, header, refusal) if refusal else [_forward(envelope)]

    def follow(self, policy: SourcePolicy) -> None:
        """From now on this is done about secrets in sources."""
        self._policy = policy

    def replied(self, parent: bytes) -> list[Step]:
        """The kernel answered a request: what waited behind it may go on."""
        try:
            message_id = str(load_object(parent).get("msg_id", ""))
        except WireError:
            return []
        if not self._python:
            self._running.discard(message_id)
            return self._go_on()
        if message_id not in self._stopped:
            return []
        subshell = self._stopped.pop(message_id)
        behind = [item for item in self._waiting if item[1].get("subshell_id") == subshell]
        self._waiting = deque(item for item in self._waiting if item[1].get("subshell_id") != subshell)
        return [step for envelope, header, _ in behind for step in self._abort(envelope, header)]

    def counted(self, execution_count: object) -> None:
        """The newest execution count that the kernel published."""
        if isinstance(execution_count, int):
            self._count = execution_count

    # -- policy
    def _judged(self, kind: str, message_id: str, envelope: Envelope) -> tuple[Envelope, str]:
        """The message as it may go to the kernel, and why it must not; that is empty when it may."""
        try:
            judged = judge(kind, envelope, self._engine, self._policy, python=self._python)
        except Exception:  # noqa: BLE001 - what cannot be scanned must not run
            return envelope, f"its source could not be scanned. {_REMEDY}" if kind in _RUNNING else ""
        if judged.shown:
            self._shown[message_id] = judged.shown
            while len(self._shown) > _MOST_SHOWN:
                self._shown.popitem(last=False)
        for action, secrets in judged.told(kind):
            self._reporter.found(secrets, place="source", action=action, message_id=message_id)
        return judged.envelope, f"{judged.refusal} {_REMEDY}" if judged.refusal else ""

    def echoed(self, envelope: Envelope) -> Envelope:
        """The kernel's echo of a source, as the person wrote it but for its secrets."""
        shown = None
        if self._shown:
            shown = self._shown.pop(str(load_object(envelope.parent).get("msg_id", "")), None)
        content = load_object(envelope.content)
        self.counted(content.get("execution_count"))
        return envelope if shown is None else replace(envelope, content=dump_object({**content, "code": shown}))

    def _note_input(self, message_id: str, envelope: Envelope) -> None:
        """A person typed a secret at a prompt: the kernel gets it, the finding says so."""
        try:
            _, _, found = redact_json(load_object(envelope.content), self._engine)
        except Exception:  # noqa: BLE001 - only a report depends on it
            return
        if found:
            items = [(name, secret, 1) for name, secret in found]
            self._reporter.found(items, place="input", action="reported", message_id=message_id)

    def _to_python(self, channel: str, envelope: Envelope, header: Json, refusal: str) -> list[Step]:
        """A cell for a kernel that can raise the refusal itself.

        IPython aborts only what has reached it by then: what comes behind a stopped cell is kept until it is answered.
        The control channel has no such queue.
        """
        subshell = header.get("subshell_id")
        queued = channel == "shell"
        if queued and subshell in self._stopped.values():
            self._waiting.append((envelope, header, refusal))
            return []
        if not refusal:
            return [_forward(envelope)]
        if queued and _stops_the_queue(envelope):
            self._stopped[str(header.get("msg_id", ""))] = subshell
        return [_forward(envelope, content=_raising(envelope.content, refusal))]

    # -- refusing without the kernel's help
    def _in_turn(self, envelope: Envelope, header: Json, refusal: str) -> list[Step]:
        """Keep the order of the shell channel: a stopped cell fails when its turn comes and takes the queue with it."""
        self._waiting.append((envelope, header, refusal))
        return self._go_on()

    def _go_on(self) -> list[Step]:
        steps: list[Step] = []
        while self._waiting:
            envelope, header, refusal = self._waiting[0]
            kind = str(header.get("msg_type", ""))
            if refusal:
                if self._running:
                    break
                steps += self._refuse(envelope, header, refusal)
                if kind == "execute_request" and _stops_the_queue(envelope):
                    self._abort_until = self._clock() + _ABORT_WINDOW
            elif kind == "execute_request" and self._clock() < self._abort_until:
                steps += self._abort(envelope, header)
            else:
                # Kernels answer this one always; waiting for one that they do not know would be for ever.
                if kind == "execute_request":
                    self._running.add(str(header.get("msg_id", "")))
                steps.append(_forward(envelope))
            self._waiting.popleft()
        return steps

    def _refuse(self, envelope: Envelope, header: Json, refusal: str) -> list[Step]:
        kind = str(header.get("msg_type", ""))
        error: Json = {"ename": "CellBlocked", "evalue": refusal, "traceback": [f"CellBlocked: {refusal}"]}
        if kind == "execute_request":
            silent = bool(load_object(envelope.content).get("silent", False))
            published: list[tuple[str, Json]] = [] if silent else [("error", error)]
            reply = {"status": "error", "execution_count": self._count, "payload": [], "user_expressions": {}} | error
            return self._answer(envelope, header, published, reply)
        if not kind.endswith("_request"):
            return self._answer(envelope, header, [("error", error)], None)
        return self._answer(envelope, header, [], _EMPTY_REPLIES.get(kind, {"status": "error"} | error))

    def _abort(self, envelope: Envelope, header: Json) -> list[Step]:
        reply: Json = {"status": "aborted", "execution_count": self._count, "payload": [], "user_expressions": {}}
        return self._answer(envelope, header, [], reply)

    def _answer(
        self, envelope: Envelope, header: Json, published: Iterable[tuple[str, Json]], reply: Json | None
    ) -> list[Step]:
        """What a kernel would send about a request: busy, what is published, the reply, idle."""
        session = str(header.get("session", ""))
        messages = [("status", {"execution_state": "busy"}), *published]
        steps = [self._published(envelope, session, kind, content) for kind, content in messages]
        if reply is not None:
            kind = str(header["msg_type"]).removesuffix("_request") + "_reply"
            steps.append(("reply", envelope.identities, new_header(kind, session), envelope.header, b"{}", reply, []))
        steps.append(self._published(envelope, session, "status", {"execution_state": "idle"}))
        return steps

    @staticmethod
    def _published(envelope: Envelope, session: str, kind: str, content: Json) -> Step:
        return ("publish", [f"qsec.{kind}".encode()], new_header(kind, session), envelope.header, b"{}", content, [])


_EMPTY_REPLIES: dict[str, Json] = {
    "complete_request": {"status": "ok", "matches": [], "cursor_start": 0, "cursor_end": 0, "metadata": {}},
    "inspect_request": {"status": "ok", "found": False, "data": {}, "metadata": {}},
    "is_complete_request": {"status": "unknown"},
    "debug_request": {"success": False, "message": "CellBlocked", "type": "response", "body": {}},
}


def _stops_the_queue(envelope: Envelope) -> bool:
    """Whether an error of this cell aborts what is queued behind it, as the messaging protocol has it."""
    content = load_object(envelope.content)
    return bool(content.get("stop_on_error", True)) and not content.get("silent", False)


def _forward(envelope: Envelope, content: bytes | None = None) -> Step:
    return (
        "kernel",
        envelope.identities,
        envelope.header,
        envelope.parent,
        envelope.metadata,
        envelope.content if content is None else content,
        envelope.buffers,
    )


def _raising(content: bytes, refusal: str) -> bytes:
    """The request with code that raises one clear error in IPython: order, abort of queued cells and echo stay right.

    One statement that leaves no name behind; `_render_traceback_` is IPython's hook for errors that explain themselves.
    """
    line = f"CellBlocked: {refusal}"
    code = f"raise type('CellBlocked', (Exception,), {{'_render_traceback_': lambda self: [{line!r}]}})({refusal!r})"
    return dump_object({**load_object(content), "code": code, "user_expressions": {}})
