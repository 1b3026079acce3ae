"""What a `jupyterhub_config.py` calls: see `configure`."""

from jupyter_qsec.hub.configuration import configure

__all__ = ["configure"]
