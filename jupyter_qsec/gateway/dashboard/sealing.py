"""What a browser keeps for the dashboard: sealed cookies that nobody else can read or make, and form tokens.

All processes of a gateway derive the same keys, so any of them takes up what another began. Nothing is kept here.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SESSION_LIFE = timedelta(hours=8)
"""The hub may end a session at any time; this ends it whatever the hub says."""
LOGIN_LIFE = timedelta(minutes=10)
MAX_SEALED = 4000
"""Characters; browsers keep no more in a cookie."""
_NONCE = 12


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who logged in: known to the hub by this token, asked anew for each request."""

    token: str = field(repr=False)
    id: str
    """Random; form tokens are bound to it."""


@dataclass(frozen=True, slots=True)
class Login:
    """A login that has begun in this browser and comes back with `state` from the hub."""

    state: str
    verifier: str = field(repr=False)
    """The PKCE code verifier (RFC 7636): the code that comes back is worth nothing without it."""
    target: str
    """The page that was asked for."""


class Seals:
    """Seals cookies with AES-256-GCM, each kind under its own name, so that none can stand for another. When the key is
    replaced, people log in again."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._key = key

    # -- session
    def session(self, token: str, now: datetime) -> str:
        return self._seal("session", {"token": token, "id": secrets.token_urlsafe(16)}, now + SESSION_LIFE)

    def open_session(self, sealed: str, now: datetime) -> Session | None:
        """`None` for anything that is not a session of ours that lives."""
        found = self._open("session", sealed, now, ("token", "id"))
        return None if found is None else Session(found["token"], found["id"])

    # -- login
    def login(self, target: str, now: datetime) -> tuple[Login, str]:
        """A new login and its cookie."""
        login = Login(secrets.token_urlsafe(24), secrets.token_urlsafe(48), target)
        fields = {"state": login.state, "verifier": login.verifier, "target": target}
        return login, self._seal("login", fields, now + LOGIN_LIFE)

    def open_login(self, sealed: str, state: str, now: datetime) -> Login | None:
        """The login that began in this browser, when the hub's answer belongs to it."""
        found = self._open("login", sealed, now, ("state", "verifier", "target"))
        if found is None or not hmac.compare_digest(found["state"].encode(), state.encode("utf-8", "replace")):
            return None
        return Login(**found)

    # -- forms
    def form_token(self, session: Session) -> str:
        """What each form of a session carries; another site cannot know it."""
        return hmac.digest(self._derived(b"forms"), session.id.encode(), "sha256").hex()

    def form_holds(self, session: Session, token: str) -> bool:
        return hmac.compare_digest(self.form_token(session).encode(), token.encode("utf-8", "replace"))

    # -- inside
    def _derived(self, what: bytes) -> bytes:
        return hmac.digest(self._key(), what, "sha256")

    def _cookies(self) -> AESGCM:
        return AESGCM(self._derived(b"cookies"))

    def _seal(self, kind: str, fields: dict[str, str], until: datetime) -> str:
        text = json.dumps({**fields, "until": until.timestamp()}, separators=(",", ":"))
        nonce = secrets.token_bytes(_NONCE)
        sealed = nonce + self._cookies().encrypt(nonce, text.encode(), kind.encode())
        return base64.urlsafe_b64encode(sealed).decode("ascii").rstrip("=")

    def _open(self, kind: str, sealed: str, now: datetime, names: tuple[str, ...]) -> dict[str, str] | None:
        if not 0 < len(sealed) <= MAX_SEALED or not sealed.isascii():
            return None
        try:
            raw = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
            found: dict[str, Any] = json.loads(self._cookies().decrypt(raw[:_NONCE], raw[_NONCE:], kind.encode()))
        except (binascii.Error, InvalidTag, ValueError):
            return None
        if now.timestamp() >= found.pop("until", 0):
            return None
        return {name: found[name] for name in names}
