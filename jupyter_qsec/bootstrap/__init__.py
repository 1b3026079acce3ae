"""Puts a gateway together: what it is set up with, what it then is, and how its parts are wired."""

from jupyter_qsec.bootstrap.config import GatewayConfig
from jupyter_qsec.bootstrap.gateway import Gateway
from jupyter_qsec.bootstrap.wiring import build

__all__ = ["Gateway", "GatewayConfig", "build"]
