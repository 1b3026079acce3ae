"""The file of registered secrets in the state directory: changed under a lock, read again when it has changed."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

from jupyter_qsec.client import drafts
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.domain.errors import ConflictError, InvalidRequestError, NotFoundError
from jupyter_qsec.scanning.finding import Match
from jupyter_qsec.scanning.live import MAX_SECRETS
from jupyter_qsec.scanning.registered import Registered, RegisteredSecrets, parsed, stored

_MAX_BYTES = 4 << 20


class SecretsFile:
    """What is registered on this machine. Missing means nothing is; damaged means that nothing may pass."""

    def __init__(self, home: QsecHome) -> None:
        self._home = home
        self.path: Path = home.path / "registered-secrets.json"

    def read(self) -> list[Registered]:
        """Raises `InvalidRequestError` with the file's name when it cannot be read or understood."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise InvalidRequestError(f"{self.path} cannot be read: {error.strerror}.") from None
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
                raise InvalidRequestError(f"{self.path} is open to others.", remedy=f"Run: chmod 600 {self.path}")
            content = file.read(_MAX_BYTES)
        try:
            return parsed(content)
        except InvalidRequestError as error:
            remedy = "Restore it, or delete it and register the secrets anew."
            raise InvalidRequestError(f"{self.path}: {error.message}", remedy=remedy) from None

    def add(self, name: str, value: str) -> None:
        """Raises `ConflictError` when the name is taken, `InvalidRequestError` for what cannot be searched for."""
        new = Registered.of(name, value, self._home.ensure().fingerprint_key())

        def added(known: list[Registered]) -> list[Registered]:
            if any(secret.name == name for secret in known):
                raise ConflictError(f"There is a registered secret {name} already.", remedy="Remove it first.")
            if len(known) >= MAX_SECRETS:
                raise ConflictError(f"More than {MAX_SECRETS} registered secrets.")
            return [*known, new]

        self._change(added)

    def remove(self, name: str) -> None:
        """Raises `NotFoundError` when there is none of that name."""

        def removed(known: list[Registered]) -> list[Registered]:
            left = [secret for secret in known if secret.name != name]
            if len(left) == len(known):
                raise NotFoundError(f"There is no registered secret {name}.")
            return left

        self._change(removed)

    def identity(self) -> tuple[int, ...] | None:
        """Another one when the file has changed; None when there is none, and an empty one when nobody can tell, which
        `read` explains."""
        try:
            status = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return ()
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _change(self, change: Callable[[list[Registered]], list[Registered]]) -> None:
        self._home.ensure()
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            drafts.replace(self.path, stored(change(self.read())))
        finally:
            os.close(descriptor)


class RegisteredHere:
    """Implements `Known`: what is registered on this machine at any time. A damaged file makes every scan fail."""

    def __init__(self, home: QsecHome) -> None:
        self._home = home
        self._file = SecretsFile(home)
        self._identity: tuple[int, ...] | None = None
        self._known = RegisteredSecrets((), b"")

    def scan(self, text: str) -> list[Match]:
        """As the newest file says. Raises `QsecError`."""
        return self._newest().scan(text)

    def hold_from(self, text: str) -> int:
        """As `scan`."""
        return self._newest().hold_from(text)

    def _newest(self) -> RegisteredSecrets:
        identity = self._file.identity()
        if identity != self._identity:
            found = self._file.read()
            self._known = RegisteredSecrets(found, self._home.fingerprint_key() if found else b"")
            self._identity = identity
        return self._known
