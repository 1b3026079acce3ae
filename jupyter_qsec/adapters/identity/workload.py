"""Jobs of CI systems and clusters, by the short-lived tokens that their OpenID Connect issuer gives them.

Nothing is stored on either side: the issuer signs who the job is (RFC 7519), this verifies it with the keys that the
issuer publishes (OpenID Connect Discovery 1.0, RFC 7517), and a rule says which service that is. The token is only ever
shown to the control API, to take, renew and revoke leases.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.types import Options
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from jupyter_qsec.application.ports import Clock, Identity
from jupyter_qsec.domain.addresses import is_tls_or_loopback
from jupyter_qsec.domain.errors import DeniedError, UnauthenticatedError, UnavailableError
from jupyter_qsec.domain.membership import Membership
from jupyter_qsec.domain.principal import Principal, PrincipalKind
from jupyter_qsec.domain.workload import WorkloadRule

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures with a key pair; never one with a shared secret, which a published key would then be."""
MAX_TOKEN = 8192
MAX_LIFE = 24 * 3600
"""Seconds: a token that is good for longer is a stored secret."""
LEEWAY = 30
"""Seconds by which the issuer's clock may differ."""
KEYS_SECONDS = 3600.0
ASK_AGAIN_SECONDS = 60.0
"""An unknown key is asked for at most so often, whoever sends tokens with such."""
_AFTER_FAILURE = 5.0
"""Seconds in which an issuer that could not be read is not asked again: anybody may send tokens that name it."""
_MAX_ANSWER = 1 << 20
_MAX_KEYS = 100
_KEY_TYPES = ("RSA", "EC", "OKP")
"""Compared, not hashed: an issuer may publish anything in that place."""
_LEAST_RSA_BITS = 2048
_CONNECT_SECONDS, _ANSWER_SECONDS = 2.0, 5.0
_CLAIM = 256
_FOUND = 200


@dataclass(frozen=True, slots=True)
class _Keys:
    """An issuer's keys by their id."""

    by_id: Mapping[str, Mapping[str, Any]]
    """As JSON (RFC 7517)."""
    read_at: float


class WorkloadIdentities:
    """Implements the `Identities` port for tokens of issuers that a rule names."""

    def __init__(
        self,
        rules: Sequence[WorkloadRule],
        membership: Membership,
        clock: Clock,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = tuple(rules)
        self._issuers = {rule.issuer for rule in rules}
        self._membership = membership
        self._clock = clock
        self._monotonic = monotonic
        self._keys: dict[str, _Keys] = {}
        self._failed: dict[str, float] = {}
        self._reading = {issuer: asyncio.Lock() for issuer in self._issuers}
        self._client: SimpleAsyncHTTPClient | None = None

    async def identify(self, token: str) -> Identity:
        """`UnauthenticatedError` for a token that is not good now, `DeniedError` for a job that no rule names,
        `UnavailableError` when the issuer's keys cannot be read. No text of the token gets into an error."""
        claims = await self._verified(token)
        issuer, subject = str(claims["iss"]), str(claims["sub"])
        audiences = _audiences(claims["aud"])
        rule = next((rule for rule in self._rules if rule.fits(issuer, audiences, subject, claims)), None)
        if rule is None:
            raise DeniedError(
                "No workload of tenants.toml has this token's issuer, audience, subject and claims.",
                reasons=("no-workload",),
                remedy="Compare them with what the issuer says the job is; docs/workloads.md shows how.",
            )
        standing = self._membership.of_service(rule.service)
        principal = Principal(
            f"service:{rule.service}",
            rule.service,
            PrincipalKind.SERVICE,
            claims={"iss": issuer, "sub": subject},
            tenant_roles=standing.roles,
        )
        return Identity(principal, standing.tenant, standing.project, may_write=True)

    async def _verified(self, token: str) -> dict[str, Any]:
        """The claims of a token whose signature and times are right."""
        try:
            header = jwt.get_unverified_header(token) if len(token) <= MAX_TOKEN else {}
            issuer = jwt.decode(token, options={"verify_signature": False}).get("iss") if header else ""
        except (jwt.PyJWTError, ValueError, RecursionError):
            header, issuer = {}, ""
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS or not isinstance(key_id, str) or "crit" in header:
            raise UnauthenticatedError("That is no token of a workload.", remedy="Show one of the job's issuer.")
        if not isinstance(issuer, str) or issuer not in self._issuers:
            raise UnauthenticatedError("No workload of tenants.toml has this token's issuer.")
        key = await self._key(issuer, key_id, algorithm)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=issuer,
                options=_OPTIONS,
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise UnauthenticatedError(
                "The workload token's signature is wrong, or a claim is missing.", remedy=_NEW
            ) from None
        self._check_times(claims)
        if any(not isinstance(claims[name], str) or len(claims[name]) > _CLAIM for name in ("iss", "sub")):
            # Whose job it was could not be put on record.
            raise UnauthenticatedError(f"The workload token's issuer or subject has more than {_CLAIM} characters.")
        return claims

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        """By the clock of this gateway, which tests can set."""
        now = self._clock.now().timestamp()
        issued, expires = (_seconds(claims[name]) for name in ("iat", "exp"))
        begins = _seconds(claims.get("nbf", issued))
        if max(issued, begins) > now + LEEWAY:
            raise UnauthenticatedError("The workload token is not good yet.", remedy="Compare the machines' clocks.")
        if expires + LEEWAY <= now:
            raise UnauthenticatedError("The workload token has expired.", remedy=_NEW)
        if expires - issued > MAX_LIFE:
            raise UnauthenticatedError(
                "The workload token is good for more than a day.", remedy="Ask the issuer for one that ends sooner."
            )

    # -- keys
    async def _key(self, issuer: str, key_id: str, algorithm: str) -> jwt.PyJWK:
        known = self._fresh(issuer, key_id)
        if known is None:
            async with self._reading[issuer]:  # whoever waited here may find what the one before has read
                known = self._fresh(issuer, key_id) or await self._read_again(issuer)
        published = known.by_id.get(key_id)
        if published is None:
            raise UnauthenticatedError("The workload token is signed with a key that its issuer does not publish.")
        try:
            key = jwt.PyJWK.from_dict(dict(published), published.get("alg") or algorithm)
        except (jwt.PyJWTError, ValueError, TypeError):
            raise UnauthenticatedError("The workload token's key cannot have made such a signature.") from None
        if key.key_type == "RSA" and key.key.key_size < _LEAST_RSA_BITS:
            raise UnauthenticatedError(f"The workload token's key has less than {_LEAST_RSA_BITS} bits.")
        return key

    def _fresh(self, issuer: str, key_id: str) -> _Keys | None:
        """The issuer's keys as they were read, unless it is time to read them again."""
        known = self._keys.get(issuer)
        age = math.inf if known is None else self._monotonic() - known.read_at
        if known is None or age >= KEYS_SECONDS or (key_id not in known.by_id and age >= ASK_AGAIN_SECONDS):
            return None
        return known

    async def _read_again(self, issuer: str) -> _Keys:
        if self._monotonic() - self._failed.get(issuer, -math.inf) < _AFTER_FAILURE:
            raise UnavailableError("The keys of a workload's issuer could not be read a moment ago.", remedy=_LATER)
        try:
            keys = await self._read_keys(issuer)
        except UnavailableError:
            self._failed[issuer] = self._monotonic()
            raise
        self._keys[issuer] = _Keys(keys, self._monotonic())
        return self._keys[issuer]

    async def _read_keys(self, issuer: str) -> dict[str, Mapping[str, Any]]:
        about = await self._get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        where = about.get("jwks_uri")
        if about.get("issuer") != issuer or not isinstance(where, str) or not is_tls_or_loopback(where):
            raise UnavailableError("What a workload's issuer publishes of itself makes no sense here.", remedy=_LATER)
        listed = (await self._get(where)).get("keys")
        return {
            entry["kid"]: entry
            for entry in (listed[:_MAX_KEYS] if isinstance(listed, list) else ())
            if isinstance(entry, dict) and isinstance(entry.get("kid"), str)
            if entry.get("kty") in _KEY_TYPES and entry.get("use", "sig") == "sig"
        }

    async def _get(self, address: str) -> dict[str, Any]:
        if self._client is None:
            # An instance of its own: the shared one may be configured by whatever else runs in this process.
            self._client = SimpleAsyncHTTPClient(force_instance=True, max_body_size=_MAX_ANSWER)
        request = HTTPRequest(
            address,
            headers={"Accept": "application/json"},
            connect_timeout=_CONNECT_SECONDS,
            request_timeout=_ANSWER_SECONDS,
            follow_redirects=False,  # what a redirect leads to is not what the administrator named
        )
        try:
            answer = await self._client.fetch(request, raise_error=False)
            document = json.loads(answer.body) if answer.code == _FOUND else None
        except (OSError, HTTPClientError, ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise UnavailableError("The keys of a workload's issuer cannot be read.", remedy=_LATER)
        return document


_OPTIONS: Options = {
    "require": ["iss", "sub", "aud", "exp", "iat"],
    # The times are looked at below, the audience by the rules.
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
}
_NEW = "Ask the issuer for a new one."
_LATER = "Try again in a moment; an administrator can open the issuer's /.well-known/openid-configuration."


def _audiences(aud: Any) -> frozenset[str]:
    named = aud if isinstance(aud, list) else [aud]
    return frozenset(one for one in named if isinstance(one, str))


def _seconds(value: Any) -> float:
    """A NumericDate (RFC 7519, 2)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UnauthenticatedError("A time of the workload token is not a number.", remedy=_NEW)
    return float(value)
