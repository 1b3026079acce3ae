"""The audit log's nouns: events, records, checkpoints and proofs, and the canonical form in which events are hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jupyter_qsec.domain import merkle
from jupyter_qsec.domain.errors import InvalidRequestError, TooLargeError

MAX_LEAF_BYTES = 64 * 1024
LEAF_VERSION = 1
CHAIN_START = bytes(merkle.HASH_SIZE)


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that happened or was decided. Never carries payloads, results or secrets."""

    kind: str
    """`NOUN.VERB` in the past tense: `task.submitted`, `task.refused`, `lease.issued`, `request.rejected`."""
    at: datetime
    principal: str = ""
    tenant: str = ""
    project: str = ""
    lease_id: str = ""
    subject: str = ""
    """What it was about: a task ARN, a lease id, a bucket and key."""
    outcome: str = ""
    """`allowed`, `denied`, `failed`, `completed`, …"""
    rules: tuple[str, ...] = ()
    """Ids of the policies that decided."""
    details: Mapping[str, str | int | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """An event in its place in the log. `leaf` is the canonical JSON that was hashed."""

    index: int
    leaf: bytes
    leaf_hash: bytes

    @property
    def event(self) -> AuditEvent:
        return event_from_leaf(self.leaf)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed log head (never a notebook checkpoint)."""

    origin: str
    size: int
    root: bytes
    note: str
    """The C2SP signed note: origin, size, base64 root, blank line, signature lines."""


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """RFC 9162 section 2.1.3: that a leaf is in the tree of that size."""

    index: int
    size: int
    leaf_hash: bytes
    path: tuple[bytes, ...]

    def holds(self, root: bytes) -> bool:
        """Whether it leads from the leaf to this root."""
        return merkle.inclusion_holds(self.index, self.size, self.leaf_hash, self.path, root)


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """RFC 9162 section 2.1.4: that the smaller tree is a prefix of the larger one."""

    old_size: int
    new_size: int
    path: tuple[bytes, ...]

    def holds(self, old_root: bytes, new_root: bytes) -> bool:
        """Whether it leads from the old root to the new one."""
        return merkle.consistency_holds(self.old_size, self.new_size, self.path, old_root, new_root)


_TEXT_FIELDS = {
    "kind": "kind",
    "lease": "lease_id",
    "outcome": "outcome",
    "principal": "principal",
    "project": "project",
    "subject": "subject",
    "tenant": "tenant",
}
"""Field of the leaf to field of the event."""


def canonical_leaf(event: AuditEvent) -> bytes:
    """The bytes that are hashed: JSON with sorted keys, no spaces, in UTF-8; empty fields are left out.

    `v` is the version: fields may be added within a version, never renamed or removed. Text that is not valid Unicode
    (lone surrogates from a hostile request) is escaped, so that it can be recorded too. `InvalidRequestError` for
    values that are no text, whole number or truth value, `TooLargeError` over `MAX_LEAF_BYTES`.
    """
    leaf: dict[str, Any] = {"at": _format_time(event.at), "v": LEAF_VERSION}
    for name, attribute in _TEXT_FIELDS.items():
        if value := getattr(event, attribute):
            leaf[name] = value
    if event.rules:
        leaf["rules"] = list(event.rules)
    if event.details:
        details: dict[Any, Any] = dict(event.details)
        for name, value in details.items():
            if not isinstance(name, str) or not isinstance(value, str | int):
                raise InvalidRequestError(f"Detail {name!r} of an audit event must be text, int or bool.")
        leaf["details"] = details
    text = json.dumps(leaf, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    # A lone surrogate becomes \udNNN, which is its JSON escape.
    data = text.encode("utf-8", "backslashreplace")
    if len(data) > MAX_LEAF_BYTES:
        raise TooLargeError(f"An audit event of {len(data)} bytes is over the bound of {MAX_LEAF_BYTES}.")
    return data


def event_from_leaf(leaf: bytes) -> AuditEvent:
    """Read a leaf back; fields of later versions are ignored. `InvalidRequestError` when it is no leaf."""
    if len(leaf) > MAX_LEAF_BYTES:
        raise TooLargeError(f"A leaf of {len(leaf)} bytes is over the bound of {MAX_LEAF_BYTES}.")
    try:
        data = json.loads(leaf.decode("utf-8"))
        if not isinstance(data, dict) or not isinstance(data.get("v"), int):
            raise InvalidRequestError("The leaf is not a versioned JSON object.")
        texts = {attribute: data.get(name, "") for name, attribute in _TEXT_FIELDS.items()}
        rules, details = data.get("rules", []), data.get("details", {})
        if not all(isinstance(text, str) for text in (*texts.values(), *rules)):
            raise InvalidRequestError("A text field of the leaf is not text.")
        if not isinstance(details, dict) or not all(isinstance(value, str | int) for value in details.values()):
            raise InvalidRequestError("The details of the leaf are not text, int or bool.")
        at = datetime.fromisoformat(data["at"])
        if at.tzinfo is None:
            raise InvalidRequestError("The time of the leaf has no zone.")
        return AuditEvent(at=at.astimezone(UTC), rules=tuple(rules), details=details, **texts)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise InvalidRequestError(f"The leaf cannot be read ({type(error).__name__}).") from error


def chain_next(previous: bytes, leaf_hash: bytes) -> bytes:
    """The running hash beside each record. It names the first record that was changed, removed or moved, where the
    tree's root alone says only that something was; it protects nothing by itself."""
    return hashlib.sha256(b"\x02" + previous + leaf_hash).digest()


def _format_time(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise InvalidRequestError("The time of an audit event needs a zone.")
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
