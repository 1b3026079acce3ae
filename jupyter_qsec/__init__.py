"""Leases instead of credentials, secret-free notebooks and a recorded gateway for quantum programs in Jupyter."""

from __future__ import annotations

import importlib
import os
from typing import Any

from jupyter_qsec._version import __version__

__all__ = ["__version__"]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Jupyter Server's way to the extension. By name, because this module is imported by every part, and most parts
    must come without a server."""
    module = "jupyter_qsec.server.extension"
    try:
        app = importlib.import_module(module).QsecExtension
    except BaseException:
        # The server only logs this and goes on. Its kernels must not run with its credentials for want of a package.
        os.environ["JUPYTER_DEFAULT_PROVISIONER_NAME"] = "qsec-provisioner"
        raise
    return [{"module": module, "app": app}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Where the built JupyterLab extension lies in a source tree, for `jupyter labextension develop`."""
    return [{"src": "labextension", "dest": "jupyter_qsec"}]
