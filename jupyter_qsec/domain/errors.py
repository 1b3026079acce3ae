"""Errors of the domain: each has a stable code, a message for a person and, where there is one, a remedy.

Outer layers translate a code once: to a Braket error shape, to problem details, or to one line on a terminal.
Codes are a contract: they may be added, never renamed.
"""

from __future__ import annotations

from typing import ClassVar


class QsecError(Exception):
    """Base of every error that this package raises on purpose."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class InvalidRequestError(QsecError):
    """The request is malformed or asks for something that does not exist in the protocol."""

    code = "invalid-request"


class TooLargeError(InvalidRequestError):
    """A body, program or field is larger than its bound."""

    code = "too-large"


class UnauthenticatedError(QsecError):
    """No valid proof of identity came with the request."""

    code = "unauthenticated"


class SignatureError(UnauthenticatedError):
    """The AWS Signature Version 4 of a request is missing, malformed or wrong."""

    code = "signature-invalid"


class ExpiredSignatureError(SignatureError):
    """The signature or the credential behind it has expired, or the clocks differ too much."""

    code = "signature-expired"


class ReplayedRequestError(SignatureError):
    """The same signature was seen before."""

    code = "signature-replayed"


class LeaseRevokedError(QsecError):
    """The lease behind the credential was revoked."""

    code = "lease-revoked"


class LeaseExpiredError(QsecError):
    """The lease behind the credential has run out."""

    code = "lease-expired"


class DeniedError(QsecError):
    """Policy refuses the action. `reasons` are the ids of the rules that decided."""

    code = "denied"

    def __init__(self, message: str, *, reasons: tuple[str, ...] = (), remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.reasons = reasons


class QuotaExceededError(QsecError):
    """A quota has no room for the request."""

    code = "quota-exceeded"


class NotFoundError(QsecError):
    """The object does not exist, or belongs to another tenant: both look alike."""

    code = "not-found"


class ConflictError(QsecError):
    """The object is in a state that does not allow the change."""

    code = "conflict"


class ClaimLostError(QsecError):
    """Another worker holds the task, or this one counts as dead: what it wanted to write is of no interest any more."""

    code = "claim-lost"


class RecordingError(QsecError):
    """A decision or an outcome could not be recorded, so the action did not happen."""

    code = "not-recorded"


class StateDirectoryError(QsecError):
    """The state directory is missing, unreadable, too open, or in use by another gateway."""

    code = "state-directory"


class KeyStoreError(StateDirectoryError):
    """The key store cannot be used, or does not hold what was made."""

    code = "key-store"


class UnavailableError(QsecError):
    """Something that the request needs is not there at the moment; the same request may succeed later."""

    code = "unavailable"
