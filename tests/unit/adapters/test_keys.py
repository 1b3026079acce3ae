from __future__ import annotations

import os
import secrets
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.errors import KeyringLocked, NoKeyringError

from jupyter_qsec.adapters.keys import FileKeyStore, KeyringKeyStore, NoteSigner, brought, open_key_store
from jupyter_qsec.application.ports import KeyStore
from jupyter_qsec.domain.errors import StateDirectoryError


def root_key(store: KeyStore, name: str) -> bytes:
    """What lies there, made when there is nothing."""
    found = store.read(name)
    return store.create(name, secrets.token_bytes(32)) if found is None else found


class MemoryKeyring:
    """Behaves as a backend of the keyring library. It is none by class, because the library would then offer it to
    every other test of this process."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}
        self.problem: Exception | None = None

    def _check(self) -> None:
        if self.problem is not None:
            raise self.problem

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        self.entries[service, username] = password


def from_module(name: str, **attributes: Any) -> Any:
    """A backend whose class says that it comes from that module, as the library's own do."""
    return type("Keyring", (MemoryKeyring,), {"__module__": name, **attributes})()


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> MemoryKeyring:
    """A desktop session: the library finds a keyring of the operating system."""
    backend: MemoryKeyring = from_module("keyring.backends.SecretService")
    monkeypatch.setattr(keyring, "get_keyring", lambda: backend)
    return backend


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No session: the library finds the backend that fails."""
    monkeypatch.setattr(keyring, "get_keyring", lambda: from_module("keyring.backends.fail"))


class TestKeyFiles:
    def test_a_key_is_made_once_and_closed_to_others(self, tmp_path: Path) -> None:
        previous = os.umask(0)
        try:
            key = root_key(FileKeyStore(tmp_path / "keys"), "audit-log")
        finally:
            os.umask(previous)
        file = tmp_path / "keys" / "audit-log.key"
        assert (len(key), file.read_bytes()) == (32, key)
        assert root_key(FileKeyStore(tmp_path / "keys"), "audit-log") == key
        assert root_key(FileKeyStore(tmp_path / "keys"), "leases") != key
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert sorted(path.name for path in file.parent.iterdir()) == ["audit-log.key", "leases.key"]

    def test_all_who_start_together_get_the_same_key(self, tmp_path: Path) -> None:
        barrier = threading.Barrier(8)

        def start(_: int) -> bytes:
            barrier.wait()
            return root_key(FileKeyStore(tmp_path / "keys"), "audit-log")

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(start, range(8)))) == 1

    @pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o601])
    def test_a_key_that_others_could_read_or_write_is_refused(self, tmp_path: Path, mode: int) -> None:
        store = FileKeyStore(tmp_path / "keys")
        root_key(store, "audit-log")
        (tmp_path / "keys" / "audit-log.key").chmod(mode)
        with pytest.raises(StateDirectoryError, match="by others"):
            root_key(store, "audit-log")

    def test_a_directory_that_others_could_enter_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "keys").mkdir(mode=0o755)
        (tmp_path / "keys").chmod(0o755)
        with pytest.raises(StateDirectoryError, match="by others"):
            root_key(FileKeyStore(tmp_path / "keys"), "audit-log")

    def test_links_are_not_followed(self, tmp_path: Path) -> None:
        store = FileKeyStore(tmp_path / "keys")
        root_key(store, "audit-log")
        (tmp_path / "keys" / "leases.key").symlink_to(tmp_path / "keys" / "audit-log.key")
        (tmp_path / "linked").symlink_to(tmp_path / "keys")
        with pytest.raises(StateDirectoryError):
            root_key(store, "leases")
        with pytest.raises(StateDirectoryError):
            root_key(FileKeyStore(tmp_path / "linked"), "audit-log")

    def test_a_file_that_is_too_large_for_a_secret_is_refused_and_kept(self, tmp_path: Path) -> None:
        store = FileKeyStore(tmp_path / "keys")
        root_key(store, "audit-log")
        file = tmp_path / "keys" / "audit-log.key"
        file.write_bytes(b"x" * 10_000)
        with pytest.raises(StateDirectoryError):
            store.read("audit-log")
        assert len(file.read_bytes()) == 10_000

    def test_what_lies_there_is_never_replaced(self, tmp_path: Path) -> None:
        store = FileKeyStore(tmp_path / "keys")
        assert store.create("aws", b"first") == store.create("aws", b"second") == store.read("aws") == b"first"

    @pytest.mark.parametrize("name", ["", "../x", "a/b", "A", "-a", "a" * 65, "a\n"])
    def test_a_name_cannot_leave_the_directory(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(StateDirectoryError):
            root_key(FileKeyStore(tmp_path / "keys"), name)


class TestKeyring:
    def store(self, tmp_path: Path, backend: Any) -> KeyringKeyStore:
        return KeyringKeyStore("jupyter-qsec:test", tmp_path / "keys", backend)

    def test_a_key_is_made_once_and_read_again(self, tmp_path: Path) -> None:
        backend = MemoryKeyring()
        key = root_key(self.store(tmp_path, backend), "audit-log")
        assert root_key(self.store(tmp_path, backend), "audit-log") == key
        assert backend.entries == {("jupyter-qsec:test", "audit-log"): key.hex()}

    @pytest.mark.parametrize("problem", [NoKeyringError("none"), KeyringLocked("locked"), OSError("no bus")])
    def test_a_keyring_that_cannot_be_used_is_a_domain_error(self, tmp_path: Path, problem: Exception) -> None:
        backend = MemoryKeyring()
        backend.problem = problem
        with pytest.raises(StateDirectoryError) as caught:
            root_key(self.store(tmp_path, backend), "audit-log")
        assert "--keystore file" in caught.value.remedy

    @pytest.mark.parametrize("content", ["zz", "0", "ü"])
    def test_an_entry_that_is_no_secret_of_ours_is_refused_and_kept(self, tmp_path: Path, content: str) -> None:
        backend = MemoryKeyring()
        backend.entries["jupyter-qsec:test", "audit-log"] = content
        with pytest.raises(StateDirectoryError):
            root_key(self.store(tmp_path, backend), "audit-log")
        assert list(backend.entries.values()) == [content]

    def test_a_keyring_that_forgets_is_refused(self, tmp_path: Path) -> None:
        forgetful = from_module("keyring.backends.kwallet", set_password=lambda *_: None)
        with pytest.raises(StateDirectoryError, match="did not keep"):
            root_key(self.store(tmp_path, forgetful), "audit-log")

    @pytest.mark.parametrize(
        "module", ["keyring.backends.fail", "keyring.backends.null", "keyrings.alt.file", "keyrings.alt.Gnome"]
    )
    def test_backends_that_protect_nothing_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
    ) -> None:
        unsafe = from_module(module)
        monkeypatch.setattr(keyring, "get_keyring", lambda: unsafe)
        with pytest.raises(StateDirectoryError):
            self.store(tmp_path, unsafe)
        with pytest.raises(StateDirectoryError):
            open_key_store("keyring", tmp_path)
        assert not (tmp_path / "keys" / "keyring.id").exists()
        assert unsafe.entries == {}


class TestChoice:
    def test_the_keyring_of_the_system_is_preferred(self, tmp_path: Path, system: MemoryKeyring) -> None:
        store = open_key_store("auto", tmp_path)
        key = root_key(store, "audit-log")
        assert store.description == "the operating system's keyring (SecretService)"
        assert key.hex() in system.entries.values()
        assert not list((tmp_path / "keys").glob("*.key"))
        assert root_key(open_key_store("auto", tmp_path), "audit-log") == key
        assert root_key(open_key_store("keyring", tmp_path), "audit-log") == key

    def test_two_state_directories_do_not_share_keys(self, tmp_path: Path, system: MemoryKeyring) -> None:
        one, other = (root_key(open_key_store("auto", tmp_path / name), "audit-log") for name in ("one", "other"))
        assert one != other

    @pytest.mark.usefixtures("headless")
    def test_without_a_keyring_key_files_are_used_and_the_reason_is_told(self, tmp_path: Path) -> None:
        store = open_key_store("auto", tmp_path)
        assert root_key(store, "audit-log") == (tmp_path / "keys" / "audit-log.key").read_bytes()
        assert "mode 0600" in store.description
        assert "No keyring of the operating system works here (found: keyring.backends.fail)" in store.description

    @pytest.mark.usefixtures("headless")
    def test_a_keyring_that_was_asked_for_is_not_replaced_by_files(self, tmp_path: Path) -> None:
        with pytest.raises(StateDirectoryError, match="No keyring"):
            open_key_store("keyring", tmp_path)

    def test_a_locked_keyring_counts_as_none(self, tmp_path: Path, system: MemoryKeyring) -> None:
        system.problem = KeyringLocked("locked")
        assert "KeyringLocked" in open_key_store("auto", tmp_path).description

    def test_a_backend_that_somebody_else_made_is_not_taken_unasked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        foreign = from_module("somebody.else")
        monkeypatch.setattr(keyring, "get_keyring", lambda: foreign)
        assert "key files" in open_key_store("auto", tmp_path / "auto").description
        assert open_key_store("keyring", tmp_path / "asked").description == "the keyring backend somebody.else"

    def test_a_chain_is_taken_apart(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        plain, good = from_module("keyrings.alt.file"), from_module("keyring.backends.libsecret")
        chain = from_module("keyring.backends.chainer", backends=[plain, good])
        monkeypatch.setattr(keyring, "get_keyring", lambda: chain)
        root_key(open_key_store("auto", tmp_path), "audit-log")
        assert (len(plain.entries), len(good.entries), len(chain.entries)) == (0, 1, 0)

    def test_what_was_chosen_stays_so(
        self, tmp_path: Path, system: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as without:
            without.setattr(keyring, "get_keyring", lambda: from_module("keyring.backends.fail"))
            in_files = root_key(open_key_store("auto", tmp_path / "files"), "audit-log")
        assert root_key(open_key_store("auto", tmp_path / "files"), "audit-log") == in_files

        in_keyring = root_key(open_key_store("auto", tmp_path / "keyring"), "audit-log")
        with monkeypatch.context() as without:
            without.setattr(keyring, "get_keyring", lambda: from_module("keyring.backends.fail"))
            with pytest.raises(StateDirectoryError):
                open_key_store("auto", tmp_path / "keyring")
        assert root_key(open_key_store("auto", tmp_path / "keyring"), "audit-log") == in_keyring

    @pytest.mark.usefixtures("system")
    def test_key_files_can_be_chosen(self, tmp_path: Path) -> None:
        store = open_key_store("file", tmp_path)
        root_key(store, "audit-log")
        assert "chosen by the user" in store.description
        assert (tmp_path / "keys" / "audit-log.key").exists()

    def test_a_stray_key_file_does_not_change_where_the_keys_are_looked_for(
        self, tmp_path: Path, system: MemoryKeyring
    ) -> None:
        key = root_key(open_key_store("auto", tmp_path), "audit-log")
        root_key(open_key_store("file", tmp_path), "audit-log")  # by mistake, once
        assert root_key(open_key_store("auto", tmp_path), "audit-log") == key

    @pytest.mark.parametrize("name", ["file", "File", "FILE"])
    def test_own_names_may_be_written_in_capitals(self, tmp_path: Path, name: str) -> None:
        assert "chosen by the user" in open_key_store(name, tmp_path).description


class Vault:
    """What a package brings: an object with the three members of the port."""

    asked = 0

    def __init__(self, home: Path) -> None:
        self.entries: dict[str, Any] = {}

    @property
    def description(self) -> str:
        Vault.asked += 1
        return "a vault"

    def read(self, name: str) -> Any:
        return self.entries.get(name)

    def create(self, name: str, secret: bytes) -> Any:
        return self.entries.setdefault(name, secret)


class Broken(Vault):
    def read(self, name: str) -> Any:
        raise RuntimeError("the token hvs.abc is not valid")


class Forgetful(Vault):
    def create(self, name: str, secret: bytes) -> Any:
        return secret


class Loose(Vault):
    def read(self, name: str) -> Any:
        return "text"


Brings = Callable[..., None]


class TestBrought:
    @pytest.fixture
    def brings(self, monkeypatch: pytest.MonkeyPatch) -> Brings:
        """`brings(*entry points)` are those that packages declare."""

        def bring(*values: str) -> None:
            points = [EntryPoint("vault", f"{__name__}:{value}", brought.GROUP) for value in values]
            monkeypatch.setattr(brought, "entry_points", lambda group: points)
            monkeypatch.setattr(EntryPoint, "load", lambda point: globals()[point.value.partition(":")[2]])

        return bring

    def test_it_is_used_and_asked_for_its_description_once(self, brings: Brings, tmp_path: Path) -> None:
        brings("Vault")
        Vault.asked = 0
        store = open_key_store("vault", tmp_path)
        assert root_key(store, "leases") == root_key(store, "leases")
        assert {store.description for _ in range(3)} == {"vault: a vault"} and Vault.asked == 1
        assert not (tmp_path / "keys").exists()

    def test_two_of_one_name_are_refused(self, brings: Brings, tmp_path: Path) -> None:
        brings("Vault", "Broken")
        with pytest.raises(StateDirectoryError, match="Several packages"):
            open_key_store("vault", tmp_path)

    @pytest.mark.parametrize("value", ["Broken", "Forgetful", "Loose"])
    def test_what_it_does_wrong_is_an_error_without_its_words(self, brings: Brings, tmp_path: Path, value: str) -> None:
        brings(value)
        with pytest.raises(StateDirectoryError) as caught:
            root_key(open_key_store("vault", tmp_path), "leases")
        assert "vault" in caught.value.message and "hvs" not in str(caught.value)
        assert caught.value.__cause__ is None

    @pytest.mark.parametrize("name", ["../x", "A", ""])
    def test_no_other_names_reach_it(self, brings: Brings, tmp_path: Path, name: str) -> None:
        brings("Vault")
        with pytest.raises(StateDirectoryError):
            open_key_store("vault", tmp_path).read(name)


def test_the_signer_comes_from_the_key_store(tmp_path: Path) -> None:
    store = FileKeyStore(tmp_path / "keys")
    signer = NoteSigner(root_key(store, "audit-log"))
    assert signer.verifier_key == NoteSigner(root_key(store, "audit-log")).verifier_key
    assert signer.verifier_key.startswith(signer.origin)
