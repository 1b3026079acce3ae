"""What goes over the wire to the control API and back: records, requests, problem details. No input or output here.

The records are those of `docs/interfaces.md`: fields may be added there, never renamed, so unknown fields are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypedDict, cast
from urllib.parse import quote, urlencode

from jupyter_qsec.domain import errors

Json = dict[str, Any]


class LeaseRecord(TypedDict):
    """A lease as the gateway tells it; times are ISO 8601 in UTC with `Z`, or null."""

    id: str
    principal: str
    tenant: str
    project: str
    label: str
    holder: str
    parent: str
    state: Literal["active", "revoked", "expired"]
    issued_at: str
    expires_at: str
    max_expires_at: str
    ttl_seconds: int
    revoked_at: str | None
    revoked_because: str
    confinement: str


class WaitRecord(TypedDict):
    code: str
    text: str


class TaskRecord(TypedDict):
    """A quantum task; money is a decimal string in US dollars."""

    id: str
    arn: str
    tenant: str
    project: str
    principal: str
    lease_id: str
    state: str
    device_arn: str
    device_name: str
    shots: int
    qubits: int
    created_at: str
    queued_at: str | None
    started_at: str | None
    ended_at: str | None
    estimate_usd: str
    cost_usd: str | None
    duration_ms: int | None
    failure_reason: str
    tags: dict[str, str]
    waiting: list[WaitRecord]
    output_s3_uri: str


class PrincipalRecord(TypedDict):
    id: str
    name: str
    roles: list[str]


class ProjectRecord(TypedDict):
    id: str
    name: str


class TenantRecord(TypedDict):
    id: str
    name: str
    account: str
    projects: list[ProjectRecord]


class StatusRecord(TypedDict):
    version: str
    instance: str
    started_at: str
    keystore: str
    principal: PrincipalRecord
    tenants: list[TenantRecord]
    tasks: dict[str, int]


class RootSecretRecord(TypedDict):
    """One generation of a root secret, without the secret."""

    name: str
    generation: int
    state: Literal["coming", "present", "replaced"]
    created_at: str
    starts_at: str
    due_at: str | None
    principal: str
    because: str


def is_overdue(record: RootSecretRecord) -> bool:
    """Whether it should have been replaced: of those that are used, and not one that stays."""
    due = record["due_at"]
    return record["state"] == "present" and due is not None and datetime.fromisoformat(due) <= datetime.now(UTC)


class RootSecretsRecord(TypedDict):
    place: str
    secrets: list[RootSecretRecord]


class RoleRecord(TypedDict):
    """What came of taking one tenant's role at the provider."""

    tenant: str
    role: str
    session: str | None
    expires_at: str | None
    problem: str


class FindingRecord(TypedDict):
    """A finding as it is reported: where and what kind, never the secret."""

    found_at: str
    lease_id: str
    path: str
    cell: str
    place: str
    line: int
    kind: str
    preview: str
    fingerprint: str
    action: str


_PLACES: Mapping[str, str] = {"error": "output", "reply": "output", "widget": "output", "input": "source"}
_ACTIONS: Mapping[str, str] = {"reported": "warned"}
"""The record's words for what the relay distinguishes more finely."""


def finding_record(
    *,
    found_at: str,
    place: str,
    line: int,
    kind: str,
    preview: str,
    fingerprint: str,
    action: str,
    lease_id: str = "",
    path: str = "",
    cell: str = "",
) -> FindingRecord:
    """A finding within the record's words and bounds."""
    return {
        "found_at": found_at,
        "lease_id": lease_id,
        "path": path[:1000],
        "cell": cell[:200],
        "place": _PLACES.get(place, place),
        "line": line,
        "kind": kind,
        "preview": preview[:64],
        "fingerprint": fingerprint,
        "action": _ACTIONS.get(action, action),
    }


@dataclass(frozen=True, slots=True)
class LeaseAsk:
    """What a holder asks for. Empty tenant: the gateway's first; empty project: the tenant's first."""

    tenant: str = ""
    project: str = ""
    label: str = ""
    holder: str = ""
    parent: str = ""
    ttl: timedelta = timedelta(minutes=5)
    max_ttl: timedelta = timedelta(hours=12)
    confinement: str = ""

    def limited(self, max_ttl: timedelta) -> LeaseAsk:
        """The same within another limit, which is never under the ten seconds that a lease lasts at least."""
        limit = max(timedelta(seconds=10), min(self.max_ttl, max_ttl))
        return replace(self, max_ttl=limit, ttl=min(self.ttl, limit))

    def body(self) -> Json:
        fields: Json = {
            "tenant": self.tenant,
            "project": self.project,
            "label": self.label,
            "holder": self.holder,
            "parent": self.parent,
            "confinement": self.confinement,
        }
        return {name: value for name, value in fields.items() if value} | {
            "ttl_seconds": int(self.ttl.total_seconds()),
            "max_ttl_seconds": int(self.max_ttl.total_seconds()),
        }


@dataclass(frozen=True, slots=True)
class Issued:
    """A new lease with its bearer token, which is shown this once."""

    lease: LeaseRecord
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the control API."""

    method: Literal["GET", "POST"]
    path: str
    """With the query, percent-encoded."""
    body: Json | None = None
    repeatable: bool = False
    """Sending it twice does no harm: it is sent again once when a kept-alive connection turns out to be dead."""
    token: str = field(default="", repr=False)
    """Another token than the client's own, for this call alone."""


def get(path: str, **query: str | int) -> Request:
    """A `GET`; empty query values are left out."""
    filled = {name: value for name, value in query.items() if value != ""}
    return Request("GET", f"{path}?{urlencode(filled)}" if filled else path, repeatable=True)


def post(path: str, body: Json | None = None, *, repeatable: bool = False) -> Request:
    return Request("POST", path, body if body is not None else {}, repeatable)


def segment(value: str) -> str:
    """A value as one path segment; nothing in it can reach another route."""
    if value in ("", ".", ".."):
        raise errors.InvalidRequestError(f"{value!r} is not an id.")
    return quote(value, safe="")


_BY_CODE: Mapping[str, type[errors.QsecError]] = {
    kind.code: kind
    for kind in (
        errors.InvalidRequestError,
        errors.TooLargeError,
        errors.UnauthenticatedError,
        errors.SignatureError,
        errors.ExpiredSignatureError,
        errors.ReplayedRequestError,
        errors.LeaseRevokedError,
        errors.LeaseExpiredError,
        errors.DeniedError,
        errors.QuotaExceededError,
        errors.NotFoundError,
        errors.ConflictError,
        errors.ClaimLostError,
        errors.RecordingError,
        errors.StateDirectoryError,
        errors.KeyStoreError,
        errors.UnavailableError,
    )
}


def answer(status: int, content: bytes) -> Json:
    """The JSON object of a successful answer; problem details become the domain error of their code."""
    try:
        value = json.loads(content) if content else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise errors.UnavailableError(f"The gateway's answer (HTTP {status}) is not the JSON object it should be.")
    if 200 <= status < 300:
        return cast(Json, value)
    raise _problem(status, value)


def part(value: Json, name: str) -> Any:
    """A field that an answer must have."""
    if name not in value:
        raise errors.UnavailableError(f"The gateway's answer has no {name!r}.", remedy="See 'jupyter qsec doctor'.")
    return value[name]


def texts(value: Json, name: str) -> list[str]:
    """A field that an answer must have, and that is a list of texts."""
    found = part(value, name)
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise errors.UnavailableError(f"{name!r} in the gateway's answer is no list of texts.")
    return found


def _problem(status: int, value: Json) -> errors.QsecError:
    text = str(value.get("detail") or value.get("title") or f"The gateway answered HTTP {status}.")
    kind = _BY_CODE.get(str(value.get("code", "")))
    if kind is None:
        kind = errors.UnavailableError if status >= 500 else errors.InvalidRequestError
    return kind(text, remedy=str(value.get("remedy") or ""))


def lost(reason: str) -> errors.UnavailableError:
    """The gateway could not be asked. `reason` names no address and no header."""
    return errors.UnavailableError(
        f"The qsec gateway cannot be reached ({reason}).", remedy="See 'jupyter qsec doctor'."
    )
