"""What each kind of secret is, how bad its leak is, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jupyter_qsec.scanning import pem
from jupyter_qsec.scanning.rules import RULES, Rule
from jupyter_qsec.scanning.rules.rule import REVOKE
from jupyter_qsec.scanning.severity import Severity
from jupyter_qsec.scanning.shapes import SHAPES, Shape


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of secret as reports explain it."""

    name: str
    severity: Severity
    description: str
    """A noun phrase, for example `AWS access key id`."""
    advice: str
    """What to do when one has leaked, in one sentence."""


_KEY_PAIR = "Make a new key pair, and remove the public half of this one wherever it is trusted."
_LEASE = "End the lease (`jupyter qsec leases revoke`); the kernel gets a new one."


def _kinds() -> Iterator[Kind]:
    yield Kind(pem.KIND, Severity.CRITICAL, "private key", _KEY_PAIR)
    yield Kind("lease-token", Severity.HIGH, "lease of a kernel", _LEASE)
    patterns: tuple[Rule | Shape, ...] = (*RULES, *SHAPES)
    for described in patterns:
        yield Kind(described.kind, described.severity, described.description, described.advice)


def _worst(kinds: Iterator[Kind]) -> dict[str, Kind]:
    table: dict[str, Kind] = {}
    for kind in kinds:
        known = table.get(kind.name)
        if known is None or known.severity < kind.severity:
            table[kind.name] = kind
    return table


KINDS: Mapping[str, Kind] = MappingProxyType(_worst(_kinds()))
"""Every kind that a rule of ours finds; where several find it, the worst says how bad it is."""


def kind_of(name: str) -> Kind:
    """The kind with this name. One that no rule has is a live secret that somebody registered: as bad as can be."""
    return KINDS.get(name) or Kind(name, Severity.CRITICAL, "secret that is known to be alive", REVOKE)
