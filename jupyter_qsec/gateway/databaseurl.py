"""The database that the environment names."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

from jupyter_qsec.adapters.store import with_password
from jupyter_qsec.domain.errors import InvalidRequestError


def database_url(environ: MutableMapping[str, str]) -> str:
    """The URL that JUPYTER_QSEC_DATABASE_URL holds, or nothing; taken out of the environment, because it may carry a
    password. A command line would show it to every account of the machine."""
    url = environ.pop("JUPYTER_QSEC_DATABASE_URL", "")
    file = environ.pop("JUPYTER_QSEC_DATABASE_PASSWORD_FILE", "")
    if not url or not file:
        return url
    try:
        password = Path(file).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeError):
        raise InvalidRequestError("The file that JUPYTER_QSEC_DATABASE_PASSWORD_FILE names cannot be read.") from None
    return with_password(url, password)
