"""Signs requests by the specification of AWS Signature Version 4, and lets a test deviate from it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jupyter_qsec.application.leasing import AwsCredentials

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Signer:
    """Signs with one credential, for one region, service and host."""

    access_key_id: str
    secret: str
    token: str
    service: str = "braket"
    region: str = "us-east-1"
    host: str = "127.0.0.1:8000"

    @classmethod
    def of(cls, credentials: AwsCredentials, **changes: Any) -> Signer:
        return cls(credentials.access_key_id, credentials.secret_access_key, credentials.session_token, **changes)

    def headers(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        at: datetime,
        extra: Mapping[str, str] | None = None,
        unsigned: Sequence[str] = (),
        scope_region: str = "",
        scope_date: str = "",
        payload: str = "",
    ) -> Headers:
        """All headers of a signed request.

        `unsigned` names are sent without being signed, `scope_region` is claimed instead of the region that was signed
        for, `scope_date` stands in the scope instead of the day of `at`, `payload` is signed instead of the body's
        digest."""
        digest = hashlib.sha256(body).hexdigest()
        stamp = at.strftime("%Y%m%dT%H%M%SZ")
        values = {"host": self.host, "x-amz-date": stamp, **{k.lower(): v for k, v in (extra or {}).items()}}
        if self.token:
            values.setdefault("x-amz-security-token", self.token)
        if self.service == "s3":
            values.setdefault("x-amz-content-sha256", payload or digest)
        if body:
            values["content-length"] = str(len(body))
        left_out = {"content-length", "user-agent", "expect", *unsigned}
        signed = sorted(name for name in values if name not in left_out)
        path, _, query = target.partition("?")
        canonical = "\n".join(
            [
                method,
                path if self.service == "s3" else path.replace("%", "%25"),
                "&".join(sorted(part if "=" in part else part + "=" for part in query.split("&") if part)),
                *(f"{name}:{values[name].strip()}" for name in signed),
                "",
                ";".join(signed),
                payload or digest,
            ]
        )
        date = scope_date or stamp[:8]
        scope = f"{date}/{self.region}/{self.service}/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode("latin-1")).hexdigest()])
        signature = hmac.new(self._key(date), text.encode(), "sha256").hexdigest()
        claimed = scope.replace(self.region, scope_region) if scope_region else scope
        authorization = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key_id}/{claimed}, "
            f"SignedHeaders={';'.join(signed)}, Signature={signature}"
        )
        return [*values.items(), ("authorization", authorization)]

    def _key(self, date: str) -> bytes:
        key = ("AWS4" + self.secret).encode()
        for part in (date, self.region, self.service, "aws4_request"):
            key = hmac.new(key, part.encode(), "sha256").digest()
        return key


def replaced(headers: Headers, name: str, value: str) -> Headers:
    """The headers with another value for one name."""
    assert any(key == name for key, _ in headers), name
    return [(key, value if key == name else old) for key, old in headers]


def without(headers: Headers, name: str) -> Headers:
    assert any(key == name for key, _ in headers), name
    return [(key, value) for key, value in headers if key != name]
