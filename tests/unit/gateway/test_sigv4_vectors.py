"""AWS's published Signature Version 4 vectors: each as a header signature and as a query signature."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.domain.errors import SignatureError
from jupyter_qsec.gateway.sigv4 import SignatureVerifier, SignedRequest, SigningRules
from tests.fakes.clock import FakeClock

VECTORS = Path(__file__).resolve().parents[3].parent / "shared" / "vectors" / "sigv4"
CASES = sorted(path.name for path in VECTORS.glob("*") if path.is_dir())
FORMS = ("header", "query")
pytestmark = pytest.mark.skipif(not CASES, reason=f"the published vectors are not at {VECTORS}")


@dataclass(frozen=True)
class Credential:
    lease_id: str
    secret_access_key: str
    expires_at: datetime


def context(case: str) -> dict[str, Any]:
    return dict(json.loads((VECTORS / case / "context.json").read_text()))


def read_request(case: str, form: str) -> SignedRequest:
    """The signed request as it stands in the file, as a server would see it: bytes as Latin-1 characters."""
    raw = (VECTORS / case / f"{form}-signed-request.txt").read_bytes().decode("latin-1")
    head, _, body = raw.partition("\n\n")
    lines = head.split("\n")
    method, _, rest = lines[0].partition(" ")
    headers: list[tuple[str, str]] = []
    for line in lines[1:]:
        if line.startswith(" "):
            name, value = headers.pop()
            headers.append((name, f"{value}\n{line}"))
        else:
            name, _, value = line.partition(":")
            headers.append((name, value))
    digest = hashlib.sha256(body.strip("\n").encode("latin-1")).hexdigest()
    return SignedRequest(method, rest.removesuffix(" HTTP/1.1"), headers, digest)


def verifier(case: str, **changes: Any) -> SignatureVerifier:
    about = context(case)
    now = datetime.fromisoformat(about["timestamp"])
    rules = SigningRules(
        about["service"],
        region=about["region"],
        path_is_opaque=not about["normalize"],
        allow_query_signatures=True,
        allow_odd_paths=True,
        allow_missing_token="token" not in about["credentials"],
        allow_unsigned_token=about.get("omit_session_token", False),
    )
    keys = about["credentials"]

    def credential_for(access_key_id: str, token: str) -> Credential:
        assert access_key_id == keys["access_key_id"]
        assert token == keys.get("token", "")
        return Credential("lease", keys["secret_access_key"], now + timedelta(hours=1))

    return SignatureVerifier(credential_for, FakeClock(now), replace(rules, **changes))


def test_all_published_cases_are_here() -> None:
    assert len(CASES) == 38


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_a_published_signature_is_accepted(case: str, form: str) -> None:
    verified = verifier(case).verify(read_request(case, form))
    assert verified.signature == (VECTORS / case / f"{form}-signature.txt").read_text().strip()
    assert verified.signed_at == datetime(2015, 8, 30, 12, 36, tzinfo=UTC)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("part", ["method", "target", "body", "header"])
def test_a_published_signature_is_refused_for_any_other_request(case: str, form: str, part: str) -> None:
    request = read_request(case, form)
    changed = {
        "method": replace(request, method="PUT"),
        "target": replace(request, target="/other" + request.target),
        "body": replace(request, payload_sha256=hashlib.sha256(b"other").hexdigest()),
        "header": replace(
            request, headers=[(n, "evil.example" if n.lower() == "host" else v) for n, v in request.headers]
        ),
    }[part]
    with pytest.raises(SignatureError):
        verifier(case).verify(changed)


@pytest.mark.parametrize("case", [case for case in CASES if "normalized" in case])
def test_the_strict_rules_refuse_every_path_that_needs_normalising_or_encoding(case: str) -> None:
    request = read_request(case, "header")
    with pytest.raises(SignatureError, match="path"):
        verifier(case, allow_odd_paths=False, path_is_opaque=False).verify(request)


def test_the_strict_rules_refuse_an_unsigned_session_token() -> None:
    request = read_request("post-sts-header-after", "header")
    with pytest.raises(SignatureError, match="x-amz-security-token must be signed"):
        verifier("post-sts-header-after", allow_unsigned_token=False).verify(request)


def test_the_strict_rules_refuse_a_request_without_a_session_token() -> None:
    with pytest.raises(SignatureError, match="session token"):
        verifier("get-vanilla", allow_missing_token=False).verify(read_request("get-vanilla", "header"))


def test_the_strict_rules_refuse_query_signatures() -> None:
    with pytest.raises(SignatureError, match="Presigned"):
        verifier("get-vanilla", allow_query_signatures=False).verify(read_request("get-vanilla", "query"))
