"""Which jobs of elsewhere are which service here: rules over what an OpenID Connect issuer says of a job."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from jupyter_qsec.domain.addresses import is_tls_or_loopback
from jupyter_qsec.domain.errors import InvalidRequestError

_NAMES_SOMEBODY = re.compile(
    r"system:serviceaccount:[^*:/]+:|(?!system:serviceaccount:)(?:[^*:/]+[:/]){2}|[^*]*[^*:/][^*]*\Z"
)
"""Two whole words of a subject, such as a kind and an organisation; of Kubernetes' the namespace. Or no `*` at all."""


@dataclass(frozen=True, slots=True)
class WorkloadRule:
    """A job with a token of that issuer, for that audience and about that subject, acts as that service."""

    issuer: str
    """As in the tokens' `iss`, such as `https://token.actions.githubusercontent.com`."""
    audience: str
    """For whom the tokens must be: a name of this gateway, so that a token for somebody else is worth nothing here."""
    subject: str
    """As in `sub`; `*` stands for any characters."""
    service: str
    """The service that `[[member]]` gives a tenant."""
    claims: Mapping[str, str] = field(default_factory=dict)
    """Further claims that must be exactly so, such as `repository_owner_id`: names can be given away, ids cannot."""

    def __post_init__(self) -> None:
        if not is_tls_or_loopback(self.issuer):
            raise InvalidRequestError(f"The issuer {self.issuer[:200]!r} of a workload is not an https address.")
        if not self.audience or not self.service:
            raise InvalidRequestError("A workload needs an audience and a service.")
        if not self.claims and not _NAMES_SOMEBODY.match(self.subject):
            raise InvalidRequestError(
                f"The subject {self.subject!r} of workload {self.service!r} lets in others than yours.",
                remedy="Name whose job it is before the first *, as in repo:ORGANISATION/*, or demand a claim such as"
                " repository_owner_id.",
            )
        if not self.subject.replace("*", "").strip(":/"):
            raise InvalidRequestError(f"The subject of workload {self.service!r} names nothing.")

    def fits(self, issuer: str, audiences: frozenset[str], subject: str, claims: Mapping[str, object]) -> bool:
        """Whether a verified token is of such a job."""
        pattern = ".*".join(map(re.escape, self.subject.split("*")))
        return (
            issuer == self.issuer
            and self.audience in audiences
            and re.fullmatch(pattern, subject, re.DOTALL) is not None
            and all(claims.get(name) == value for name, value in self.claims.items())
        )
