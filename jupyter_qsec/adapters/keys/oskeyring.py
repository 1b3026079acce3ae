"""Root secrets in the keyring of the operating system, through the `keyring` library."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from jupyter_qsec.adapters.keys.files import require_name
from jupyter_qsec.adapters.privatefiles import directory_lock, ensure_private_directory
from jupyter_qsec.domain.errors import StateDirectoryError

_SYSTEM_BACKENDS = ("SecretService", "libsecret", "kwallet", "macOS")
"""Modules of `keyring.backends` that encrypt at rest and belong to the operating system or desktop."""

_REMEDY = "Log in to a desktop session with a keyring, or start the gateway with --keystore file."

Answer = TypeVar("Answer")


def _loaded() -> Any:
    try:
        import keyring
    except ImportError as error:  # the package is an extra
        raise StateDirectoryError("The keyring library is not installed.", remedy=_REMEDY) from error
    return keyring


def _parts(backend: Any) -> list[Any]:
    """The single backends of a chain, best first: a chain as such could pass a key on to a backend that stores it in
    clear."""
    name = type(backend).__module__
    return list(backend.backends) if name == "keyring.backends.chainer" else [backend]


def is_system_backend(backend: Any) -> bool:
    package, _, module = type(backend).__module__.rpartition(".")
    return package == "keyring.backends" and module in _SYSTEM_BACKENDS


def is_refused(backend: Any) -> bool:
    """Backends that store nothing, or in clear, or ask at a terminal."""
    module = type(backend).__module__
    return module in ("keyring.backends.fail", "keyring.backends.null") or module.split(".")[0] == "keyrings"


def choose_backend(acceptable: Callable[[Any], bool]) -> Any:
    """The best acceptable backend that the library finds here. `StateDirectoryError` when there is none."""
    keyring = _loaded()
    found = _parts(keyring.get_keyring())
    for backend in found:
        if acceptable(backend):
            return backend
    names = ", ".join(type(backend).__module__ for backend in found) or "none"
    raise StateDirectoryError(f"No keyring of the operating system works here (found: {names}).", remedy=_REMEDY)


class KeyringKeyStore:
    """Implements the `KeyStore` port. Secrets are stored in hex under the service name given, which tells apart the
    state directories of one user."""

    def __init__(self, service: str, lock_directory: Path, backend: Any) -> None:
        """`backend` is a backend object of the keyring library. Its plaintext and null backends are refused with
        `StateDirectoryError`, also when the user configured them."""
        if is_refused(backend):
            raise StateDirectoryError(
                f"The keyring backend {type(backend).__module__} does not protect what it stores.", remedy=_REMEDY
            )
        self._backend = backend
        self._service = service
        self._lock_directory = lock_directory

    @property
    def description(self) -> str:
        module = type(self._backend).__module__
        if is_system_backend(self._backend):
            return f"the operating system's keyring ({module.rpartition('.')[2]})"
        return f"the keyring backend {module}"

    def read(self, name: str) -> bytes | None:
        require_name(name)
        text = self._get(name)
        if text is None:
            return None
        try:
            return bytes.fromhex(text)
        except (ValueError, TypeError):
            raise StateDirectoryError(
                f"The keyring's entry {name!r} of {self._service} is not a secret of ours."
            ) from None

    def create(self, name: str, secret: bytes) -> bytes:
        require_name(name)
        ensure_private_directory(self._lock_directory)
        with directory_lock(self._lock_directory):
            present = self.read(name)
            if present is not None:
                return present
            self._call(lambda: self._backend.set_password(self._service, name, secret.hex()))
            if self.read(name) != secret:
                raise StateDirectoryError("The keyring did not keep the secret.", remedy=_REMEDY)
        return secret

    def probe(self, timeout: float) -> None:
        """Whether the keyring answers within `timeout` seconds. `StateDirectoryError` when it is locked, absent, or
        asks a person who is not there."""
        answer: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

        def ask() -> None:
            try:
                self._get("probe")
                answer.put(None)
            except StateDirectoryError as error:
                answer.put(error)

        # A thread of its own, because a keyring that waits for a person cannot be interrupted.
        threading.Thread(target=ask, name="qsec-keyring-probe", daemon=True).start()
        try:
            problem = answer.get(timeout=timeout)
        except queue.Empty:
            raise StateDirectoryError(f"The keyring did not answer within {timeout:g} s.", remedy=_REMEDY) from None
        if problem is not None:
            raise problem

    def _get(self, name: str) -> str | None:
        text: str | None = self._call(lambda: self._backend.get_password(self._service, name))
        return text

    def _call(self, action: Callable[[], Answer]) -> Answer:
        try:
            return action()
        except Exception as error:  # backends raise what their libraries raise; no key means no start
            raise StateDirectoryError(
                f"The keyring cannot be used ({type(error).__name__}).", remedy=_REMEDY
            ) from error
