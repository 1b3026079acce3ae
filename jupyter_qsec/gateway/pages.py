"""Page tokens: where a listing goes on, sealed so that nobody can make one or use another tenant's."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable

from jupyter_qsec.domain.errors import InvalidRequestError

_MAC = 16


class PageTokens:
    """Seals and opens under a key that all processes of a gateway have: any of them goes on with a listing. When it is
    replaced, listings start again."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._key = key

    def seal(self, tenant: str, listing: str, position: str) -> str:
        """`listing` names the query, so that a token cannot move between queries."""
        text = position.encode("utf-8")
        return base64.urlsafe_b64encode(self._mac(tenant, listing, text) + text).decode("ascii")

    def open(self, tenant: str, listing: str, token: str) -> str:
        """The position, or `InvalidRequestError`."""
        wrong = InvalidRequestError("The page token is not valid for this listing. Start the listing again.")
        if len(token) > 4096 or not token.isascii():
            raise wrong
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise wrong from None
        mac, text = raw[:_MAC], raw[_MAC:]
        if not hmac.compare_digest(mac, self._mac(tenant, listing, text)):
            raise wrong
        return text.decode("utf-8")

    def _mac(self, tenant: str, listing: str, text: bytes) -> bytes:
        scope = f"{len(tenant)}:{tenant}{len(listing)}:{listing}".encode()
        return hmac.digest(self._key(), scope + text, "sha256")[:_MAC]
