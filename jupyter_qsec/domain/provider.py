"""How the gateway reaches the provider's account of a tenant: under a role of its own, for an hour at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from jupyter_qsec.domain.errors import InvalidRequestError

_ROLE = re.compile(r"arn:aws[a-z-]{0,20}:iam::[0-9]{12}:role/[\w+=,.@/-]{1,576}\Z", re.ASCII)
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]{2,12}){1,3}-[0-9]{1,2}\Z")
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}\Z", re.ASCII)
_STS = re.compile(r"https://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?/?\Z|http://(?:127\.0\.0\.1|\[::1\]):[0-9]{1,5}/?\Z")
_KEY_ID = re.compile(r"AKIA[A-Z0-9]{16}\Z")
_SECRET = re.compile(r"[A-Za-z0-9/+=]{40}\Z")


class CredentialSource(StrEnum):
    """Where the credentials come from with which the gateway takes the tenants' roles."""

    AMBIENT = "ambient"
    """From where it runs: an instance profile, the role of a container or pod, a web identity, a profile."""
    STORED = "stored"
    """The root secret `aws`: for one machine that has nothing else."""


@dataclass(frozen=True, slots=True)
class ProviderRole:
    """The role of one tenant. Formats: AWS IAM and STS API references."""

    tenant: str
    arn: str
    external_id: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not _ROLE.match(self.arn):
            raise InvalidRequestError(
                f"aws_role of tenant {self.tenant} is no ARN of a role.",
                remedy="It looks like arn:aws:iam::123456789012:role/NAME.",
            )
        if self.external_id and not _EXTERNAL_ID.match(self.external_id):
            raise InvalidRequestError(f"aws_external_id of tenant {self.tenant} is no external id.")


@dataclass(frozen=True, slots=True)
class ProviderAccess:
    """Where roles are taken, and from what."""

    source: CredentialSource
    region: str
    endpoint: str = ""
    """Of STS; empty: AWS's own in that region."""
    roles: tuple[ProviderRole, ...] = ()

    def __post_init__(self) -> None:
        if not _REGION.match(self.region):
            raise InvalidRequestError(f"aws.region {self.region[:40]!r} is no region.", remedy="Such as us-east-1.")
        if self.endpoint and not _STS.match(self.endpoint):
            raise InvalidRequestError("aws.sts must be an https URL without a path.")


@dataclass(frozen=True, slots=True)
class StaticCredential:
    """A long-term key of AWS."""

    access_key_id: str
    secret_access_key: str = field(repr=False)

    def __post_init__(self) -> None:
        if not _KEY_ID.match(self.access_key_id):
            raise InvalidRequestError(
                "That is no access key id of a long-term key.", remedy="It has 20 characters and begins with AKIA."
            )
        if not _SECRET.match(self.secret_access_key):
            raise InvalidRequestError("That is no secret access key.", remedy="It has 40 characters.")


@dataclass(frozen=True, slots=True)
class ProviderSession:
    """Temporary credentials under a tenant's role."""

    arn: str
    """Who one is with them, `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`."""
    expires_at: datetime
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
