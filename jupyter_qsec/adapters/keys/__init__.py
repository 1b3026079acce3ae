"""Where the gateway's root secrets lie, and the key that signs the audit log."""

from jupyter_qsec.adapters.keys.choice import open_key_store
from jupyter_qsec.adapters.keys.files import FileKeyStore
from jupyter_qsec.adapters.keys.oskeyring import KeyringKeyStore
from jupyter_qsec.adapters.keys.signing import NoteSigner

__all__ = ["FileKeyStore", "KeyringKeyStore", "NoteSigner", "open_key_store"]
