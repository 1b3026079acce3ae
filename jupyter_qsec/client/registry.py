"""Files of registered secrets: changed under a lock, read again when they have changed.

One lies in the state directory and belongs to its key. Another one, which holds its own key, may be shared by the
servers of many people: `JUPYTER_QSEC_SHARED_SECRETS` names it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from jupyter_qsec.client import drafts
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.domain.errors import ConflictError, InvalidRequestError, NotFoundError
from jupyter_qsec.scanning.finding import Match
from jupyter_qsec.scanning.live import MAX_SECRETS, Together
from jupyter_qsec.scanning.registered import Registered, SecretSet, parsed, searching, stored

SHARED = "JUPYTER_QSEC_SHARED_SECRETS"
_MAX_BYTES = 4 << 20
_KEY_BYTES = 32

Identity = tuple[int, ...] | None


class SecretsFile:
    """What is registered for one state directory. Missing means nothing is; damaged means that nothing may pass."""

    def __init__(self, home: QsecHome) -> None:
        self._home = home
        self.path: Path = home.path / "registered-secrets.json"

    def read(self) -> SecretSet | None:
        """None when there is no file. Raises `InvalidRequestError` with its name when it cannot be read or
        understood."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise InvalidRequestError(f"{self.path} cannot be read: {error.strerror}.") from None
        with os.fdopen(descriptor, "rb") as file:
            self._check(os.fstat(descriptor))
            content = file.read(_MAX_BYTES)
        try:
            return parsed(content, self._key())
        except InvalidRequestError as error:
            remedy = "Restore it, or delete it and register the secrets anew."
            raise InvalidRequestError(f"{self.path}: {error.message}", remedy=remedy) from None

    def names(self) -> list[Registered]:
        """What is registered there."""
        known = self.read()
        return [] if known is None else list(known.secrets)

    def add(self, name: str, value: str) -> None:
        """Raises `ConflictError` when the name is taken, `InvalidRequestError` for what cannot be searched for."""

        def added(known: SecretSet) -> list[Registered]:
            new = Registered.of(name, value, known.key)
            if any(secret.name == name for secret in known.secrets):
                raise ConflictError(f"There is a registered secret {name} already.", remedy="Remove it first.")
            if len(known.secrets) >= MAX_SECRETS:
                raise ConflictError(f"More than {MAX_SECRETS} registered secrets.")
            return [*known.secrets, new]

        self._change(added)

    def remove(self, name: str) -> None:
        """Raises `NotFoundError` when there is none of that name."""

        def removed(known: SecretSet) -> list[Registered]:
            left = [secret for secret in known.secrets if secret.name != name]
            if len(left) == len(known.secrets):
                raise NotFoundError(f"There is no registered secret {name}.")
            return left

        self._change(removed)

    def identity(self) -> Identity:
        """Another one when the file has changed; None when there is none, and an empty one when nobody can tell, which
        `read` explains."""
        try:
            status = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return ()
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _check(self, status: os.stat_result) -> None:
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise InvalidRequestError(f"{self.path} is open to others.", remedy=f"Run: chmod 600 {self.path}")

    def _key(self) -> bytes:
        """The key of what is registered, where the file does not hold it."""
        return self._home.fingerprint_key()

    def _change(self, change: Callable[[SecretSet], list[Registered]]) -> None:
        self._home.ensure()
        self._locked(change)

    def _locked(self, change: Callable[[SecretSet], list[Registered]]) -> None:
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            known = self.read() or SecretSet(self._key() or secrets.token_bytes(_KEY_BYTES), ())
            self._write(change(known), known.key)
        finally:
            os.close(descriptor)

    def _write(self, registered: list[Registered], key: bytes) -> None:
        drafts.replace(self.path, stored(registered), 0o600)


class SharedSecretsFile(SecretsFile):
    """What an administrator registers for the servers of many people, who can read it and must not change it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _check(self, status: os.stat_result) -> None:
        if status.st_uid not in (0, os.geteuid()) or stat.S_IMODE(status.st_mode) & 0o022:
            text = f"{self.path} could be changed by others: only its owner may write it, who is root or you."
            raise InvalidRequestError(text, remedy=f"Run: chmod 640 {self.path}")

    def _key(self) -> bytes:
        return b""

    def _change(self, change: Callable[[SecretSet], list[Registered]]) -> None:
        try:
            self._locked(change)
        except OSError as error:
            raise InvalidRequestError(f"{self.path} cannot be written: {error.strerror}.") from None

    def _write(self, registered: list[Registered], key: bytes) -> None:
        """With the group and the mode that it has: they say who reads it."""
        before = self.path.stat() if self.path.exists() else None
        mode = stat.S_IMODE(before.st_mode) if before is not None else 0o640
        with drafts.drafted(self.path, stored(registered, key), mode) as draft:
            if before is not None:
                os.chown(draft, -1, before.st_gid)
            draft.replace(self.path)


def _shared_file(environ: Mapping[str, str]) -> SharedSecretsFile | None:
    named = environ.get(SHARED, "")
    return SharedSecretsFile(Path(named)) if named else None


def shared_sets(environ: Mapping[str, str] = os.environ) -> tuple[SecretSet, ...]:
    """What is shared with this process. Raises `InvalidRequestError` when that cannot be read or understood, or is
    missing: a file that was named and is not there may be a mistake."""
    file = _shared_file(environ)
    if file is None:
        return ()
    known = file.read()
    if known is None:
        remedy = f"Make it: jupyter qsec secrets add NAME --file {file.path}"
        raise InvalidRequestError(f"{file.path} does not exist, which {SHARED} names.", remedy=remedy)
    return (known,)


class Registry:
    """All that is registered for a state directory."""

    def __init__(self, home: QsecHome) -> None:
        self._own = SecretsFile(home)
        self._shared = _shared_file(os.environ)

    @property
    def keyed_here(self) -> bool:
        """Whether anything is registered with the state directory's own key."""
        return self._own.identity() is not None

    def identity(self) -> tuple[Identity, Identity]:
        """Another one when anything has changed."""
        return self._own.identity(), None if self._shared is None else self._shared.identity()

    def sets(self) -> tuple[SecretSet, ...]:
        """Raises `QsecError` when a file cannot be read or understood, or a shared one is missing."""
        own = self._own.read()
        return (*(() if own is None else (own,)), *shared_sets())


class RegisteredHere:
    """Implements `Known`: what is registered on this machine at any time. A damaged file makes every scan fail."""

    def __init__(self, home: QsecHome) -> None:
        self._registry = Registry(home)
        self._identity: object = None
        self._known = Together()

    def scan(self, text: str) -> list[Match]:
        """As the newest files say. Raises `QsecError`."""
        return self._newest().scan(text)

    def hold_from(self, text: str) -> int:
        """As `scan`."""
        return self._newest().hold_from(text)

    def may_be_in(self, data: bytes) -> bool:
        """As `scan`."""
        return self._newest().may_be_in(data)

    def state(self) -> object:
        """As `scan`."""
        return self._newest().state()

    def _newest(self) -> Together:
        identity = self._registry.identity()
        if identity != self._identity:
            self._known = searching(self._registry.sets())
            self._identity = identity
        return self._known
