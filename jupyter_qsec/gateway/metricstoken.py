"""The token of the monitoring system, from a file that the environment names."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import MutableMapping

from jupyter_qsec.domain.errors import InvalidRequestError

VARIABLE = "JUPYTER_QSEC_METRICS_TOKEN_FILE"
_TOKEN = re.compile(rb"[\x21-\x7e]{32,512}\Z")
_LIMIT = 4096


def metrics_token(environ: MutableMapping[str, str]) -> str:
    """The token, or nothing when none is named. `InvalidRequestError` for a file that others can read or that holds no
    token; no error quotes it."""
    named = environ.pop(VARIABLE, "")
    if not named:
        return ""
    content = _read(named).strip()
    if not _TOKEN.match(content):
        raise InvalidRequestError(
            f"The file that {VARIABLE} names must hold one token of 32 to 512 printable characters.",
            remedy="Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return content.decode("ascii")


def _read(named: str) -> bytes:
    """Links are followed: a mounted Kubernetes secret is one."""
    try:
        descriptor = os.open(named, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not hold up the start
    except (OSError, ValueError):
        raise InvalidRequestError(f"The file that {VARIABLE} names cannot be read.") from None
    try:
        if not _is_private(os.fstat(descriptor)):
            raise InvalidRequestError(
                f"The file that {VARIABLE} names is not private.",
                remedy="It must be a file of this account that is closed to others (chmod 600), or root's and readable "
                "by a group at most.",
            )
        return os.read(descriptor, _LIMIT)
    finally:
        os.close(descriptor)


def _is_private(status: os.stat_result) -> bool:
    """Ours alone; or root's and shown to us through a group, as Kubernetes mounts secrets (`fsGroup`)."""
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        return False
    if status.st_uid == os.geteuid():
        return not mode & 0o077
    return status.st_uid == 0 and not mode & 0o037
