"""Bearer tokens of leases and the synthetic AWS credentials derived from them. Pure functions of root keys and a time.

Bearer token: `qsec-lease.LEASE_ID.SECRET`, the secret being 256 random bits in URL-safe base64.
Session token, version 1: `qsec1.` and the URL-safe base64 of lease id (16 bytes), access key id (10 bytes), expiry in
Unix seconds (8 bytes, big-endian) and an HMAC-SHA256 of what precedes it, version included. A later version gets
another prefix; tokens of an unknown version are refused.
Secret access key: `qsecKey/` and 192 bits of a keyed hash in base64, 40 characters as AWS's. All three are shaped so
that `scanning.rules` recognises them wherever they are printed.

Within half an hour a lease gets the same credentials however often it asks, and those to come can be told in advance:
so whoever looks for them exactly, in any encoding, knows them before the lease's holder does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from jupyter_qsec.domain.errors import ExpiredSignatureError, SignatureError
from jupyter_qsec.domain.lease import NEW_LEASE_HINT, UNLEASED, Lease

CREDENTIAL_LIFETIME = timedelta(minutes=60)
"""At least. botocore refetches on every call once less than 15 minutes are left; see the lease for what ends access."""
_PERIOD = 30 * 60
"""Seconds in which a lease gets the same credentials."""
_AHEAD = 2
"""Periods to come that are told in advance."""

_LEASE_ID = re.compile(r"[0-9a-f]{32}\Z")
_BEARER = re.compile(r"qsec-lease\.([0-9a-f]{32})\.[A-Za-z0-9_-]{43}\Z")
_ACCESS_KEY = re.compile(r"ASIA[A-Z2-7]{16}\Z")
_VERSION = "qsec1."
_SECRET_MARK = "qsecKey/"  # noqa: S105 - the mark of a secret, not one
_BODY = 16 + 10 + 8
_MAC = 32
_LAST = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp())
_LEAST_ROOT = 32
_ROOTS = 3
"""Root keys that can be in use at once, more or less."""
_TOKEN_LENGTH = len(_VERSION) + 4 * ((_BODY + _MAC) // 3)  # 66 bytes: no padding


@dataclass(frozen=True)
class AwsCredentials:
    access_key_id: str
    secret_access_key: str
    session_token: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"AwsCredentials({self.access_key_id}, expires_at={self.expires_at})"


@dataclass(frozen=True)
class SigningCredential:
    lease_id: str
    secret_access_key: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"SigningCredential(lease {self.lease_id}, expires_at={self.expires_at})"


def is_lease_id(text: str) -> bool:
    return _LEASE_ID.match(text) is not None


def new_bearer(lease_id: str) -> str:
    return f"qsec-lease.{lease_id}.{secrets.token_urlsafe(32)}"


def lease_of_bearer(token: str) -> str:
    """The lease id that a well-formed bearer token names, else an empty text. Proves nothing yet."""
    found = _BEARER.match(token)
    return found.group(1) if found else ""


def is_of_lease(token: str) -> bool:
    """Whether a token is that of a lease, or what its holder has until it comes; anything else is a person's."""
    return token.startswith(UNLEASED) or bool(lease_of_bearer(token))


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def with_confinement(lease: Lease, confinement: str) -> Lease:
    return replace(lease, confinement=confinement)


@dataclass(frozen=True, slots=True)
class _Keys:
    """What is derived from one root key."""

    mac: bytes
    secret: bytes
    access: bytes

    @classmethod
    def under(cls, root: bytes) -> _Keys:
        if len(root) < _LEAST_ROOT:
            raise ValueError(f"the lease key must have at least {_LEAST_ROOT} bytes")
        names = (b"session token v1", b"secret access key v1", b"access key id v1")
        return cls(*(hmac.digest(root, b"jupyter-qsec " + name, "sha256") for name in names))


class CredentialForge:
    """Makes and opens synthetic credentials under the root key that counts when they expire."""

    def __init__(self, root: Callable[[float], bytes]) -> None:
        """`root` tells the root key for credentials that expire at that Unix time."""
        self._root = root
        self._derived: dict[bytes, _Keys] = {}

    def issue(self, lease_id: str, now: datetime) -> AwsCredentials:
        """The credentials of a lease at that moment, valid for `CREDENTIAL_LIFETIME` or up to half an hour longer."""
        return self._until(lease_id, _expiry(now))

    def known(self, lease_id: str, now: datetime) -> list[AwsCredentials]:
        """All that a lease can hold at that moment or within the next half hour, the oldest first."""
        last = int(told_until(now).timestamp())
        first = (int(now.timestamp()) // _PERIOD + 1) * _PERIOD
        return [self._until(lease_id, expires) for expires in range(first, last + 1, _PERIOD)]

    def open(self, access_key_id: str, session_token: str, now: datetime) -> SigningCredential:
        """The secret behind a session token. `SignatureError` for any that was not made here for that access key,
        `ExpiredSignatureError` for one whose time is over, whoever made it."""
        wrong = SignatureError("The security token included in the request is invalid.", remedy=NEW_LEASE_HINT)
        if len(session_token) != _TOKEN_LENGTH or not session_token.startswith(_VERSION):
            raise wrong
        if not _ACCESS_KEY.match(access_key_id):
            raise wrong
        try:
            raw = base64.b64decode(session_token[len(_VERSION) :], altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise wrong from None
        body, mac = raw[:_BODY], raw[_BODY:]
        expires = int.from_bytes(body[26:34], "big")
        if expires > _LAST:
            raise wrong
        if now.timestamp() >= expires:  # before any key is asked for: those of long ago may be gone
            raise ExpiredSignatureError("The security token included in the request is expired.", remedy=NEW_LEASE_HINT)
        keys = self._keys(expires)
        genuine = hmac.compare_digest(mac, _mac(keys, body))
        if not genuine or not hmac.compare_digest(_access_key(body[16:26]), access_key_id):
            raise wrong
        return SigningCredential(body[:16].hex(), _secret(keys, body), datetime.fromtimestamp(expires, UTC))

    def _until(self, lease_id: str, expires: int) -> AwsCredentials:
        keys = self._keys(expires)
        about = bytes.fromhex(lease_id) + expires.to_bytes(8, "big")
        key_bytes = hmac.digest(keys.access, about, "sha256")[:10]
        body = bytes.fromhex(lease_id) + key_bytes + expires.to_bytes(8, "big")
        token = _VERSION + base64.urlsafe_b64encode(body + _mac(keys, body)).decode()
        return AwsCredentials(_access_key(key_bytes), _secret(keys, body), token, datetime.fromtimestamp(expires, UTC))

    def _keys(self, expires: int) -> _Keys:
        root = self._root(expires)
        found = self._derived.get(root)
        if found is None:
            if len(self._derived) >= _ROOTS:
                self._derived.clear()  # some belong to roots that nothing is under any more
            found = self._derived[root] = _Keys.under(root)
        return found


def told_until(now: datetime) -> datetime:
    """When the last credentials expire that are told at that moment."""
    return datetime.fromtimestamp(_expiry(now) + _AHEAD * _PERIOD, UTC)


def seamless_from(now: datetime) -> datetime:
    """From when on a new root key can count without anybody noticing: all credentials that were told in advance, also
    by a process that has not heard of it for half an hour, expire before."""
    return told_until(now) + timedelta(seconds=2 * _PERIOD)


def _mac(keys: _Keys, body: bytes) -> bytes:
    return hmac.digest(keys.mac, _VERSION.encode() + body, "sha256")


def _secret(keys: _Keys, body: bytes) -> str:
    return _SECRET_MARK + base64.b64encode(hmac.digest(keys.secret, body, "sha256")[:24]).decode()


def _expiry(now: datetime) -> int:
    """In Unix seconds: the end of this period, and `CREDENTIAL_LIFETIME` after that."""
    return (int(now.timestamp()) // _PERIOD + 1) * _PERIOD + int(CREDENTIAL_LIFETIME.total_seconds())


def _access_key(key_bytes: bytes) -> str:
    return "ASIA" + base64.b32encode(key_bytes).decode()
