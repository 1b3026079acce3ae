"""What the use cases need from the outside world. Adapters implement these, and so do the fakes of the tests."""

from jupyter_qsec.application.ports.executing import (
    Device,
    Devices,
    ExecutionFailure,
    ExecutionLimits,
    ExecutionResult,
    Executor,
    ResultStore,
    StoredObject,
)
from jupyter_qsec.application.ports.secrets import CheckpointSigner, KeyStore, ProviderRoles
from jupyter_qsec.application.ports.storing import (
    Duplicate,
    Finding,
    Refused,
    Store,
    StoreFigures,
    Submitted,
    TaskQuery,
)
from jupyter_qsec.application.ports.surroundings import (
    Catalogue,
    Clock,
    Departed,
    Identities,
    Identity,
    Policy,
    Roster,
)

__all__ = [
    "Catalogue",
    "CheckpointSigner",
    "Clock",
    "Departed",
    "Device",
    "Devices",
    "Duplicate",
    "ExecutionFailure",
    "ExecutionLimits",
    "ExecutionResult",
    "Executor",
    "Finding",
    "Identities",
    "Identity",
    "KeyStore",
    "Policy",
    "ProviderRoles",
    "Refused",
    "ResultStore",
    "Roster",
    "Store",
    "StoreFigures",
    "StoredObject",
    "Submitted",
    "TaskQuery",
]
