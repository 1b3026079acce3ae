"""What a tenant's policy says about one message on its way to the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from jupyter_qsec.kernels.relay.hygiene import line_of
from jupyter_qsec.kernels.relay.source import without_secrets
from jupyter_qsec.kernels.relay.wire import Envelope, Json, dump_object, load_object
from jupyter_qsec.scanning import binary
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.engine import replace as replaced
from jupyter_qsec.scanning.finding import Match
from jupyter_qsec.scanning.mimebundle import redact_json
from jupyter_qsec.scanning.policy import Action, SourcePolicy

Secret = tuple[str, str, int]
"""Kind, secret, line."""

_CHANGED_AS_JSON = frozenset({"comm_open", "comm_msg", "comm_close", "complete_request", "inspect_request"})
"""Kinds of message in which a marker may stand for a secret: nothing of them is run as code."""
_ASKING = frozenset({"complete_request", "inspect_request", "is_complete_request"})
"""These come with every key that a person types: a finding for each would bury the others."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A message and what becomes of it."""

    envelope: Envelope
    """As it may be forwarded: without what the policy takes out."""
    refusal: str = ""
    """Why it must not be; empty when it may."""
    shown: str = ""
    """The source as clients are to see it, where it was changed."""
    secrets: list[Secret] = field(default_factory=list, repr=False)
    policy: SourcePolicy = field(default_factory=SourcePolicy)

    def told(self, kind: str) -> Iterator[tuple[str, list[Secret]]]:
        """(action, secrets) to report."""
        strict = [secret for secret in self.secrets if self.policy.action(secret[0]) >= Action.REDACT]
        warned = [secret for secret in self.secrets if self.policy.action(secret[0]) is Action.WARN]
        if strict and (self.refusal or kind not in _ASKING):
            yield ("blocked" if self.refusal else "redacted"), strict
        if warned and kind == "execute_request":
            yield "warned", warned


def judge(kind: str, envelope: Envelope, engine: Engine, policy: SourcePolicy, *, python: bool) -> Judged:
    """Raises whatever a scan raises: then the message must not pass."""
    content = load_object(envelope.content)
    source = content.pop("code") if kind == "execute_request" and isinstance(content.get("code"), str) else None
    secrets: list[Secret] = []

    def stays(name: str, secret: str) -> bool:
        secrets.append((name, secret, 1))
        return policy.action(name) < Action.REDACT

    clean, _, taken = redact_json(content, engine, stays)
    for buffer in envelope.buffers:
        secrets += [(name, "", 1) for name, _ in binary.cleaned(engine, buffer)[1]]
    matches = engine.scan(source, allow=True) if source is not None else []
    if source is not None:
        secrets = [(m.kind, source[m.start : m.end], line_of(source, m.start)) for m in matches] + secrets
    judged = Judged(envelope, secrets=secrets, policy=policy)
    strict = [secret for secret in secrets if policy.action(secret[0]) >= Action.REDACT]
    if not strict:
        return judged
    in_source = [match for match in matches if policy.action(match.kind) >= Action.REDACT]
    shown = replaced(source, in_source).text if source is not None else ""
    name, _, line = next((s for s in strict if policy.action(s[0]) is Action.BLOCK), strict[0])
    where = f"line {line}: {name.replace('-', ' ')} in the source"
    if policy.action(name) is Action.BLOCK:
        return replace(judged, refusal=f"{where}.", shown=shown)
    # What stands beside a source, such as user expressions, is code, too, but of a kind that nobody sees.
    whole = len(in_source) == len(strict) if source is not None else len(taken) == len(strict)
    changed = _changed(kind, source, in_source, clean, whole=whole, python=python)
    if changed is None:
        return replace(judged, refusal=f"{where}, where nothing can stand in its place.", shown=shown)
    return replace(judged, envelope=replace(envelope, content=dump_object(changed)), shown=shown)


def _changed(
    kind: str, source: str | None, matches: list[Match], clean: Json, *, whole: bool, python: bool
) -> Json | None:
    """The content without its secrets; `None` where that is not possible. `whole`: they are all where they can be
    replaced."""
    if not whole:
        return None
    if source is None:
        return clean if kind in _CHANGED_AS_JSON else None
    instead = without_secrets(source, matches) if python and matches else None
    return {**clean, "code": instead.code} if instead is not None else None
