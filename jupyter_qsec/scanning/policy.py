"""What is done about a secret in code that is about to run."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.scanning.kinds import KINDS, kind_of
from jupyter_qsec.scanning.severity import Severity


class Action(enum.IntEnum):
    """From the most lenient to the strictest."""

    ALLOW = 0
    """Nothing: it runs, and nobody is told."""
    WARN = 1
    """It runs, and a finding tells of it."""
    REDACT = 2
    """It runs with something in place of the secret that raises when it is used."""
    BLOCK = 3
    """It does not run, and what is queued behind it neither."""

    @property
    def label(self) -> str:
        """The name in configuration, for example `block`."""
        return self.name.lower()


DEFAULT: Mapping[str, str] = MappingProxyType(
    {"private-key": "block", "critical": "warn", "high": "warn", "medium": "warn", "low": "warn"}
)
"""Code often has to name a secret; a whole private key in a notebook it never has."""


@dataclass(frozen=True, slots=True)
class SourcePolicy:
    """An action for each severity and, before that, for single kinds."""

    actions: Mapping[str, Action] = field(default_factory=lambda: _parsed(DEFAULT))

    @classmethod
    def of(cls, *settings: Mapping[str, str]) -> SourcePolicy:
        """The default, changed by each of these in turn. `InvalidRequestError` names what is no severity, kind or
        action."""
        merged = dict(DEFAULT)
        for setting in settings:
            merged |= dict(setting)
        return cls(_parsed(merged))

    def settings(self) -> dict[str, str]:
        """What `of` takes."""
        return {name: action.label for name, action in self.actions.items()}

    def stricter(self, *others: SourcePolicy) -> SourcePolicy:
        """The strictest action of all of these for each severity and each kind that one of them names."""
        together = (self, *others)
        names = {name for policy in together for name in policy.actions}
        return SourcePolicy({name: max(policy._named(name) for policy in together) for name in names})

    def _named(self, name: str) -> Action:
        return self.actions[name] if name in self.actions else self.action(name)

    def action(self, kind: str) -> Action:
        """What to do about a secret of this kind. A kind that no rule has is a live secret: critical."""
        own = self.actions.get(kind)
        return own if own is not None else self.actions[kind_of(kind).severity.label]


_SEVERITIES = frozenset(severity.label for severity in Severity)
_ACTIONS = {action.label: action for action in Action}


def _parsed(settings: Mapping[str, str]) -> Mapping[str, Action]:
    for name, action in settings.items():
        if name not in _SEVERITIES and name not in KINDS:
            raise InvalidRequestError(
                f"{name!r} is neither a severity nor a kind of secret.",
                remedy=f"Severities are {', '.join(severity.label for severity in Severity)}; kinds are in reports.",
            )
        if action not in _ACTIONS:
            raise InvalidRequestError(f"{action!r} is no action.", remedy=f"Actions are {', '.join(_ACTIONS)}.")
    return MappingProxyType({name: _ACTIONS[action] for name, action in settings.items()})
