"""A small client of the gateway's control API, with the kernel's own lease. Standard library only."""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jupyter_qsec.magics.problems import NO_LEASE, QsubmitError, away, one_line

TIMEOUT_SECONDS = 15.0
_MAX_ANSWER = 8 << 20


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The lease token goes to the gateway and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    """Straight to the gateway, past all proxies. Like the AWS SDKs it trusts those that AWS_CA_BUNDLE names."""
    trust = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or None)
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust), _NoRedirect
    )


class Control:
    """Calls with the token that lies in the file at the time of the call, since a new lease puts a new one there."""

    def __init__(self, base: str, token_file: Path) -> None:
        self._base = base.rstrip("/")
        self._token_file = token_file
        self._opener = _opener()

    @classmethod
    def of_this_kernel(cls) -> Control:
        base = os.environ.get("JUPYTER_QSEC_GATEWAY", "")
        token_file = os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "")
        if not base or not token_file:
            raise QsubmitError(NO_LEASE, code="no-lease")
        return cls(base, Path(token_file))

    def devices(self) -> list[dict[str, Any]]:
        return list(self._call("GET", "/devices")["devices"])

    def estimate(self, device: str, shots: int, openqasm: str = "") -> dict[str, Any]:
        body: dict[str, Any] = {"device": device, "shots": shots}
        if openqasm:
            body["openqasm"] = openqasm
        return self._call("POST", "/estimates", body)

    def task(self, task_id: str) -> dict[str, Any]:
        return dict(self._call("GET", f"/tasks/{quote(task_id, safe='')}")["task"])

    def tasks(self, **query: str | int) -> list[dict[str, Any]]:
        return list(self._call("GET", f"/tasks?{urlencode(query)}")["tasks"])

    def cancel(self, task_id: str) -> None:
        self._call("POST", f"/tasks/{quote(task_id, safe='')}/cancel", {})

    def lease(self) -> dict[str, Any]:
        return dict(self._call("GET", "/leases/self")["lease"])

    def quotas(self) -> list[dict[str, Any]]:
        return list(self._call("GET", "/quotas")["usages"])

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            token = self._token_file.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            raise QsubmitError(NO_LEASE, code="no-lease") from None
        request = urllib.request.Request(  # noqa: S310  # the base is our own gateway's, from our own provisioner
            f"{self._base}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return self._document(answer.read(_MAX_ANSWER))
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise self._problem(refusal) from None
        except (OSError, ValueError) as error:
            raise QsubmitError(away(error), code="unavailable") from None

    @staticmethod
    def _document(content: bytes) -> dict[str, Any]:
        document = json.loads(content)
        if not isinstance(document, dict):
            raise ValueError("the answer is not an object")
        return document

    @classmethod
    def _problem(cls, refusal: urllib.error.HTTPError) -> QsubmitError:
        try:
            document = cls._document(refusal.read(1 << 16))
        except (OSError, ValueError):
            return QsubmitError(f"The gateway refused the request with status {refusal.code}.")
        said = [str(document.get(name) or "") for name in ("detail", "remedy")]
        message = one_line(" ".join(part for part in said if part)) or str(document.get("title", "refused"))
        return QsubmitError(message, code=str(document.get("code", "")))
