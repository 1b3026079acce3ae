"""The token that a process shows to a gateway elsewhere: a hub's, or one of a workload, which is fetched when it is
needed and stored nowhere."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from jupyter_qsec.domain.addresses import is_tls_or_loopback
from jupyter_qsec.domain.errors import InvalidRequestError, UnavailableError

HUB_VARIABLE, FILE_VARIABLE, AUDIENCE_VARIABLE = (
    "JUPYTERHUB_API_TOKEN",
    "JUPYTER_QSEC_TOKEN_FILE",
    "JUPYTER_QSEC_TOKEN_AUDIENCE",
)
_GITHUB = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
"""GitHub's "OpenID Connect reference": given to jobs with `permissions: id-token: write`."""
_MOST = 8192
_SECONDS = 10.0
_EARLY = 60.0
"""Seconds before its end in which a token is fetched anew."""

TokenSource = str | Callable[[], str]
"""The token, or what gives the one of this moment. `UnavailableError` when there is none."""


def current(source: TokenSource) -> str:
    return source if isinstance(source, str) else source()


def source_of(environ: Mapping[str, str], gateway_url: str) -> TokenSource | None:
    """What the environment names, a hub's token first; `None`: nothing. `InvalidRequestError` for what cannot be."""
    if token := environ.get(HUB_VARIABLE, ""):
        return token
    if path := environ.get(FILE_VARIABLE, ""):
        return TokenFile(Path(path))
    url, bearer = (environ.get(name, "") for name in _GITHUB)
    if url and bearer:
        return JobToken(url, bearer, environ.get(AUDIENCE_VARIABLE, "") or gateway_url)
    return None


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A file that somebody keeps fresh, as Kubernetes does with projected service account tokens. Read each time."""

    path: Path

    def __call__(self) -> str:
        try:
            with self.path.open(encoding="ascii") as file:
                token = file.read(_MOST + 1).strip()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise UnavailableError(f"The token that {FILE_VARIABLE} names cannot be read ({reason}).") from None
        if not token.isprintable() or not 0 < len(token) <= _MOST or " " in token:
            raise UnavailableError(f"The file that {FILE_VARIABLE} names holds no token.")
        return token


@dataclass(frozen=True)
class JobToken:
    """What GitHub Actions gives a job about itself, for minutes; fetched again before it ends."""

    url: str
    bearer: str = field(repr=False)
    audience: str
    _known: list[tuple[float, str]] = field(default_factory=list, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not is_tls_or_loopback(self.url):
            raise InvalidRequestError(f"{_GITHUB[0]} is not an https address.")

    def __call__(self) -> str:
        with self._lock:
            if not self._known or time.monotonic() >= self._known[0][0]:
                asked = time.monotonic()
                token = self._fetch()
                self._known[:] = [(asked + _life(token) - _EARLY, token)]
            return self._known[0][1]

    def _fetch(self) -> str:
        query = {**dict(httpx.QueryParams(urlsplit(self.url).query)), "audience": self.audience}
        try:
            with httpx.Client(timeout=_SECONDS, follow_redirects=False) as client:
                answer = client.get(self.url, params=query, headers={"Authorization": f"Bearer {self.bearer}"})
            token = answer.json().get("value") if answer.status_code == httpx.codes.OK else None
        except (httpx.HTTPError, ValueError, AttributeError, RecursionError):
            token = None
        if not isinstance(token, str) or not 0 < len(token) <= _MOST or not token.isascii():
            raise UnavailableError(
                "GitHub gave this job no token of its own.", remedy="The job needs permissions: id-token: write."
            )
        return token


def _life(token: str) -> float:
    """For how many seconds it is good, as it says itself; 0 when it does not. This machine's time has no say: it may be
    wrong. The gateway is who verifies the token."""
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return float(claims["exp"]) - float(claims["iat"])
    except (IndexError, KeyError, TypeError, ValueError, RecursionError):
        return 0.0
