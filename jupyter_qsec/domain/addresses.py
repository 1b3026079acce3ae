"""Which addresses stay on this machine: plain text may go there and nowhere else."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_tls_or_loopback(address: str) -> bool:
    """Whether nobody on the way can change what comes from an http address."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))


def is_loopback(host: str) -> bool:
    """Whether a host name or IP address is this machine's own. Of names only `localhost` is: others may resolve to
    anything."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
