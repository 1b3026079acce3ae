"""A home directory as people have them: credentials where they lie, a keyring that answers, a Jupyter runtime."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

# Not credentials of anything.
PLANTED_KEY_ID = "AKIAPLANTEDQSEC00001"
PLANTED_SECRET = "pLaNtEdRoOt/K7MDENG+bPxRfiCYqsecPLANTED0"
SERVER_TOKEN = "5e2f0c1d9b8a7766554433221100ffeeddccbbaa99887766"

PRIVATE_KEY = "\n".join(
    [
        "-----BEGIN RSA PRIVATE KEY-----",
        "MIIEpAIBAAKCAQEA0nMZ2QqwyvJ3kPLzX1tUe5bHcDfGhIjKlMnOpQrStUvWxYz0",
        "12AbCdEfGhIjKlMnOpQrStUvWxYz0123456789+ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "-----END RSA PRIVATE KEY-----",
    ]
)


class KernelHome:
    """Planted below one folder. `close` ends the sockets."""

    def __init__(self, root: Path) -> None:
        self.path = root / "home"
        self.runtime = root / "runtime"
        # Unix socket paths are short, and the folders of tests are not.
        self.session = Path(tempfile.mkdtemp(prefix="qsec-run-"))
        self.secret_files = [
            self._write(self.path / ".aws" / "credentials", f"aws_secret_access_key = {PLANTED_SECRET}\n"),
            self._write(self.path / ".config" / "dwave" / "dwave.conf", f"token = {PLANTED_SECRET}\n"),
            self._write(self.path / ".qiskit" / "qiskit-ibm.json", f'{{"token": "{PLANTED_SECRET}"}}'),
            self._write(self.path / ".qcs" / "secrets.toml", f'access_token = "{PLANTED_SECRET}"\n'),
            self._write(self.path / ".local" / "share" / "keyrings" / "login.keyring", PLANTED_SECRET),
            self._write(self.path / ".local" / "share" / "python_keyring" / "keyring_pass.cfg", PLANTED_SECRET),
            self._write(self.runtime / "jpserver-1.json", f'{{"token": "{SERVER_TOKEN}"}}'),
            self._write(self.path / "elsewhere" / "credentials", PLANTED_SECRET),
            *self._state_of_a_gateway(),
        ]
        (self.path / ".azure").symlink_to(self._write(root / "linked" / "azure" / "tokens.json", PLANTED_SECRET).parent)
        self.secret_files.append(self.path / ".azure" / "tokens.json")
        self.bus = self.session / "bus"
        self._bus = socket.socket(socket.AF_UNIX)
        self._bus.bind(str(self.bus))
        self._bus.listen(64)

    @property
    def environment(self) -> dict[str, str]:
        """What a server that belongs to this home has in its environment."""
        return {
            "HOME": str(self.path),
            "XDG_RUNTIME_DIR": str(self.session),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={self.bus}",
            "JUPYTER_QSEC_HOME": str(self.path / "qsec"),
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "JUPYTER_DATA_DIR": str(self.path / "jupyter-data"),
            "JUPYTER_CONFIG_DIR": str(self.path / "jupyter-config"),
            "IPYTHONDIR": str(self.path / ".ipython"),
            "AWS_ACCESS_KEY_ID": PLANTED_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": PLANTED_SECRET,
            "AWS_SHARED_CREDENTIALS_FILE": str(self.path / "elsewhere" / "credentials"),
            "JUPYTER_TOKEN": SERVER_TOKEN,
            "TOKENIZERS_PARALLELISM": "false",
        }

    def close(self) -> None:
        self._bus.close()
        self.bus.unlink(missing_ok=True)
        self.session.rmdir()

    def _state_of_a_gateway(self) -> list[Path]:
        state = self.path / "qsec"
        files = [state / "control.token", state / "state.db", state / "keys" / "root.key"]
        for file in files:
            self._write(file, PLANTED_SECRET)
            file.parent.chmod(0o700)
        return files

    @staticmethod
    def _write(path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        return path
