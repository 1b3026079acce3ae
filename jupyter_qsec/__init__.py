"""Leases instead of credentials, secret-free notebooks and a recorded gateway for quantum programs in Jupyter."""

from jupyter_qsec._version import __version__

__all__ = ["__version__"]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Where the built JupyterLab extension lies in a source tree, for `jupyter labextension develop`."""
    return [{"src": "labextension", "dest": "jupyter_qsec"}]
