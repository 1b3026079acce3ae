"""Where a Dask cluster is and how to prove oneself to it; known without Dask."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from jupyter_qsec.domain.addresses import is_loopback
from jupyter_qsec.domain.errors import InvalidRequestError

SCHEDULER = "JUPYTER_QSEC_DASK_SCHEDULER"
_FILES = ("JUPYTER_QSEC_DASK_TLS_CA", "JUPYTER_QSEC_DASK_TLS_CERT", "JUPYTER_QSEC_DASK_TLS_KEY")


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files of mutual TLS: scheduler, workers and gateway all prove themselves to the same authority, which must
    sign for this cluster alone, because Dask compares no host names."""

    authority: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class DaskCluster:
    """`InvalidRequestError` unless the scheduler is `tls://` with certificates, or `tcp://` on this machine: whoever
    reaches a scheduler that asks for no certificate can run code there."""

    scheduler: str
    certificates: Certificates | None = None

    def __post_init__(self) -> None:
        scheme, host = _parts(self.scheduler)
        if scheme == "tls" and self.certificates is None:
            raise InvalidRequestError(
                "A Dask scheduler at a tls:// address needs certificates.", remedy=f"Set {', '.join(_FILES)}."
            )
        if scheme == "tcp" and not is_loopback(host):
            raise InvalidRequestError(
                "A Dask scheduler on another machine must have a tls:// address: tcp:// is neither encrypted nor "
                "authenticated.",
                remedy=f"Give the cluster certificates and set {', '.join(_FILES)}.",
            )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> DaskCluster | None:
        """The cluster that JUPYTER_QSEC_DASK_SCHEDULER names; `None` when it names none."""
        scheduler = environ.get(SCHEDULER, "")
        if not scheduler:
            return None
        named = [environ.get(name, "") for name in _FILES]
        if not any(named):
            return cls(scheduler)
        for name, value in zip(_FILES, named, strict=True):
            if not Path(value).is_absolute() or not Path(value).is_file():
                raise InvalidRequestError(f"{name} must name an existing file.", remedy="Give an absolute path.")
        certificates = Certificates(*map(Path, named))
        _require_usable(certificates)
        return cls(scheduler, certificates)


def _require_usable(files: Certificates) -> None:
    try:
        context = ssl.create_default_context(cafile=files.authority)
        context.load_cert_chain(files.certificate, files.key, password="")  # none, rather than ask at a terminal
    except OSError as error:
        raise InvalidRequestError(
            f"The files that {', '.join(_FILES)} name cannot be used ({error.strerror or type(error).__name__}).",
            remedy="Give PEM files: an authority, a certificate that it signed, and its key without a passphrase.",
        ) from None


def _parts(address: str) -> tuple[str, str]:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    named = f"[{host}]" if ":" in host else host
    # Nothing else may be in it: what urlsplit drops or takes for something else, Dask would read in its own way.
    if (
        parts.scheme not in ("tcp", "tls")
        or not host
        or not port
        or address.lower() != f"{parts.scheme}://{named}:{port}"
    ):
        raise InvalidRequestError(
            "The address of a Dask scheduler is not valid.", remedy=f"Set {SCHEDULER}=tcp://127.0.0.1:PORT or tls://…"
        )
    return parts.scheme, host
