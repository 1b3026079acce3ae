"""What can go wrong, as one clear line: the magics show no traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from jupyter_qsec.domain.certificates import certificate_problem

AWAY = (
    "The gateway does not answer. The Jupyter server starts it again by itself within seconds; "
    "if this stays, run 'jupyter qsec doctor'."
)
NO_LEASE = (
    "This kernel has no lease. Start it from a Jupyter server with jupyter_qsec enabled, "
    "or run the notebook under 'jupyter qsec exec'."
)


class QsubmitError(Exception):
    """A refusal or mistake, for a person. IPython shows the message alone."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: the lines to show instead of a traceback."""
        return [str(self)]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the closest known word, or nothing."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""


def one_line(text: str) -> str:
    return " ".join(text.split())


def away(error: Exception) -> str:
    """Why there is no answer; what is wrong with a certificate does not pass by itself."""
    problem = certificate_problem(error)
    return f"The gateway cannot be reached ({problem}). Tell an administrator." if problem else AWAY


def aws_problem(error: Exception) -> QsubmitError | None:
    """What an exception of boto3 means, or `None` when it is something else."""
    # Known by name, so that this module does not import botocore.
    names = {kind.__name__ for kind in type(error).__mro__}
    if "ClientError" in names:
        response: dict[str, Any] = getattr(error, "response", {})
        details = response.get("Error", {})
        message = one_line(str(details.get("Message") or details.get("Code") or error))
        return QsubmitError(message, code=str(details.get("Code", "")))
    if names & {
        "EndpointConnectionError",
        "ConnectionClosedError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "SSLError",
    }:
        return QsubmitError(away(error), code="unavailable")
    if names & {"NoCredentialsError", "CredentialRetrievalError", "MetadataRetrievalError"}:
        return QsubmitError(one_line(str(error)), code="no-credentials")
    return None
