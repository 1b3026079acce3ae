"""How one gateway is set up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jupyter_qsec.adapters.identity.hubaddress import HubAddress
from jupyter_qsec.adapters.providers.daskaddress import DaskCluster
from jupyter_qsec.adapters.store import PATIENCE_SECONDS
from jupyter_qsec.application.health import FRESH_SECONDS as HEALTH_FRESH_SECONDS
from jupyter_qsec.application.ports import (
    ExecutionLimits,
)

CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class GatewayConfig:
    """How one gateway is set up."""

    home: Path
    """The state directory: exists, mode 0700, checked."""
    settings: Path | None = None
    """Where `tenants.toml` and `policies/` lie, only read; `None`: in the state directory."""
    shared: Path | None = None
    """Where keys, results and checkpoints lie, when gateways with state directories of their own share them and the
    database; `None`: in the state directory."""
    keystore: str = "auto"
    """`auto`, `keyring`, `file`, or the name of one that a package brings."""
    workers: int = 0
    """Simulator processes of its own; 0: as many as there are CPUs, 4 at most."""
    dask: DaskCluster | None = None
    """The Dask cluster that runs the simulations instead."""
    limits: ExecutionLimits = field(default_factory=ExecutionLimits)
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    witness: Path | None = None
    """A file elsewhere, best on another disk or host, that gets each published checkpoint too."""
    hub: HubAddress | None = None
    """The JupyterHub whose people and services use this gateway."""
    ambient: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The variables `AWS_*` that the gateway was started with."""
    database: str = field(default="", repr=False)
    """URL of a PostgreSQL database, which may hold a password; empty: SQLite in the state directory."""
    patience: float = PATIENCE_SECONDS
    """How long, in seconds, a database that went away is waited for."""
    health_seconds: float = HEALTH_FRESH_SECONDS
    """How long `/health` remembers what it saw."""
