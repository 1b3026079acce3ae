"""Leases instead of credentials, secret-free notebooks and a recorded gateway for quantum programs in Jupyter."""

from jupyter_qsec._version import __version__

__all__ = ["__version__"]
