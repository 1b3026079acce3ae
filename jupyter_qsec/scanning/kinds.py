"""What each kind of secret is, how bad its leak is, and what to do about it."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType


class Severity(enum.IntEnum):
    """How much harm a leak does; ordered, so that a policy can say "from here on"."""

    LOW = 1
    """May be a secret: only the words around it say so."""
    MEDIUM = 2
    """A secret of unknown reach."""
    HIGH = 3
    """Opens one service or account."""
    CRITICAL = 4
    """Opens a cloud account, a machine or many services."""

    @property
    def label(self) -> str:
        """The name in reports and configuration, for example `high`."""
        return self.name.lower()

    @classmethod
    def labelled(cls, label: str) -> Severity:
        """The severity with this label. Raises `KeyError` for another word."""
        return cls[label.upper()]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of secret as reports explain it."""

    name: str
    severity: Severity
    description: str
    """A noun phrase, for example `AWS access key id`."""
    advice: str
    """What to do when one has leaked, in one sentence."""


_REVOKE = "Revoke it where it was issued, and keep the new one out of notebooks."
_CHANGE = "Change it where it is used, and read the new one from the environment or a prompt."
_AWS = "Deactivate it in IAM; a kernel with a lease needs none."
_LEASE = "End the lease (`jupyter qsec leases revoke`); the kernel gets a new one."
_KEY_PAIR = "Make a new key pair, and remove the public half of this one wherever it is trusted."

_TABLE = (
    (Severity.CRITICAL, "private-key", "private key", _KEY_PAIR),
    (Severity.CRITICAL, "aws-access-key", "AWS access key id", _AWS),
    (Severity.CRITICAL, "aws-secret-key", "AWS secret access key", _AWS),
    (Severity.CRITICAL, "aws-session-token", "AWS session token", _AWS),
    (Severity.CRITICAL, "azure-storage-key", "Azure storage account key", _REVOKE),
    (Severity.CRITICAL, "ibm-cloud-key", "IBM Cloud API key", _REVOKE),
    (Severity.CRITICAL, "softlayer-credentials", "SoftLayer API key", _REVOKE),
    (Severity.HIGH, "qsec-lease-token", "lease of a kernel", _LEASE),
    (Severity.HIGH, "lease-token", "lease of a kernel", _LEASE),
    (Severity.HIGH, "alice-bob-key", "Alice & Bob API key", _REVOKE),
    (Severity.HIGH, "artifactory-credentials", "Artifactory credentials", _REVOKE),
    (Severity.HIGH, "azure-quantum-key", "Azure Quantum key", _REVOKE),
    (Severity.HIGH, "bluequbit-token", "BlueQubit token", _REVOKE),
    (Severity.HIGH, "cloudant-credentials", "Cloudant credentials", _REVOKE),
    (Severity.HIGH, "discord-bot-token", "Discord bot token", _REVOKE),
    (Severity.HIGH, "dwave-token", "D-Wave token", _REVOKE),
    (Severity.HIGH, "github-token", "GitHub token", _REVOKE),
    (Severity.HIGH, "gitlab-token", "GitLab token", _REVOKE),
    (Severity.HIGH, "google-api-key", "Google API key", _REVOKE),
    (Severity.HIGH, "huggingface-token", "Hugging Face token", _REVOKE),
    (Severity.HIGH, "ibm-cos-hmac", "IBM Cloud Object Storage key", _REVOKE),
    (Severity.HIGH, "ibm-quantum-token", "IBM Quantum token", _REVOKE),
    (Severity.HIGH, "ionq-api-key", "IonQ API key", _REVOKE),
    (Severity.HIGH, "iqm-token", "IQM token", _REVOKE),
    (Severity.HIGH, "jupyter-token", "token of a Jupyter server or hub", _REVOKE),
    (Severity.HIGH, "mailchimp-key", "Mailchimp API key", _REVOKE),
    (Severity.HIGH, "npm-token", "npm token", _REVOKE),
    (Severity.HIGH, "openai-token", "OpenAI API key", _REVOKE),
    (Severity.HIGH, "oqc-token", "OQC token", _REVOKE),
    (Severity.HIGH, "pasqal-password", "Pasqal password or token", _REVOKE),
    (Severity.HIGH, "pypi-token", "PyPI token", _REVOKE),
    (Severity.HIGH, "qbraid-token", "qBraid API key", _REVOKE),
    (Severity.HIGH, "quantinuum-token", "Quantinuum password or token", _REVOKE),
    (Severity.HIGH, "quantum-inspire-token", "Quantum Inspire token", _REVOKE),
    (Severity.HIGH, "rigetti-token", "Rigetti QCS token", _REVOKE),
    (Severity.HIGH, "sendgrid-key", "SendGrid API key", _REVOKE),
    (Severity.HIGH, "slack-token", "Slack token or webhook", _REVOKE),
    (Severity.HIGH, "square-oauth-secret", "Square OAuth secret", _REVOKE),
    (Severity.HIGH, "strangeworks-key", "Strangeworks API key", _REVOKE),
    (Severity.HIGH, "stripe-key", "Stripe secret key", _REVOKE),
    (Severity.HIGH, "telegram-bot-token", "Telegram bot token", _REVOKE),
    (Severity.HIGH, "twilio-key", "Twilio API key", _REVOKE),
    (Severity.HIGH, "xanadu-token", "Xanadu Cloud token", _REVOKE),
    (Severity.MEDIUM, "jwt", "JSON web token", _REVOKE),
    (Severity.MEDIUM, "basic-auth", "password in a URL", _CHANGE),
    (Severity.MEDIUM, "authorization-header", "credentials in an HTTP header", _REVOKE),
    (Severity.MEDIUM, "assigned-secret", "password or secret given to a name", _CHANGE),
    (Severity.MEDIUM, "assigned-token", "token or key given to a name", _REVOKE),
)


def _kinds() -> Iterator[tuple[str, Kind]]:
    for severity, name, description, advice in _TABLE:
        yield name, Kind(name, severity, description, advice)


KINDS: Mapping[str, Kind] = MappingProxyType(dict(_kinds()))
"""Every kind that a rule of ours finds."""


def kind_of(name: str) -> Kind:
    """The kind with this name. One that no rule has is a live secret that somebody registered: as bad as can be."""
    return KINDS.get(name) or Kind(name, Severity.CRITICAL, "secret that is known to be alive", _REVOKE)
