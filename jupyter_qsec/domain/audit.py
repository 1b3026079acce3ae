"""The audit log's nouns: events, records, checkpoints and proofs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


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


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """RFC 9162 section 2.1.4: that the smaller tree is a prefix of the larger one."""

    old_size: int
    new_size: int
    path: tuple[bytes, ...]
