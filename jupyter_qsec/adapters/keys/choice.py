"""Chooses where the root secrets lie, once for each state directory."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from jupyter_qsec.adapters.keys.brought import OWN, brought
from jupyter_qsec.adapters.keys.files import SUFFIX, FileKeyStore
from jupyter_qsec.adapters.keys.oskeyring import KeyringKeyStore, choose_backend, is_refused, is_system_backend
from jupyter_qsec.adapters.privatefiles import create_private, ensure_private_directory, read_private
from jupyter_qsec.application.ports import KeyStore
from jupyter_qsec.domain.errors import StateDirectoryError

MARKER = "keyring.id"
"""In `keys/`: the random name under which the keyring holds the keys of this state directory, and the backend."""

_PROBE_SECONDS = 5.0


def open_key_store(choice: str, home: Path) -> KeyStore:
    """The key store of the state directory `home`; its description says which it is, and why.

    `choice` is `auto`, `keyring`, `file`, or the name of an entry point of the group `jupyter_qsec.key_stores`. `auto`
    takes the operating system's keyring where one answers and key files elsewhere, and then stays with what was chosen:
    a log must not change its key because somebody logged in over SSH today. `StateDirectoryError` when the store of
    that choice cannot be used.
    """
    directory = home / "keys"
    choice = choice.lower() if choice.lower() in OWN else choice
    if choice == "file":
        return FileKeyStore(directory, because="chosen by the user")
    if choice == "keyring":
        return _keyring(directory, lambda backend: not is_refused(backend))
    if choice != "auto":
        return brought(choice, home)
    if (directory / MARKER).exists():
        return _keyring(directory, lambda backend: not is_refused(backend))
    if any(directory.glob(f"*{SUFFIX}")):
        return FileKeyStore(directory, because="this state directory was set up with key files")
    try:
        ensure_private_directory(directory)
        KeyringKeyStore("jupyter-qsec", directory, choose_backend(is_system_backend)).probe(_PROBE_SECONDS)
    except StateDirectoryError as error:
        return FileKeyStore(directory, because=error.message)
    return _keyring(directory, is_system_backend)


def _keyring(directory: Path, acceptable: Callable[[object], bool]) -> KeyStore:
    """The store that the marker names, or a new one on the best acceptable backend."""
    ensure_private_directory(directory)
    marker = directory / MARKER
    content = read_private(marker, 200)
    if content is None:
        backend = choose_backend(acceptable)  # where none will do, no marker is left behind
        content = create_private(marker, f"{secrets.token_hex(8)} {type(backend).__module__}".encode())
    identity, _, module = content.decode("ascii", "replace").partition(" ")
    chosen = choose_backend(lambda backend: not is_refused(backend) and type(backend).__module__ == module)
    return KeyringKeyStore(f"jupyter-qsec:{identity}", directory, chosen)
