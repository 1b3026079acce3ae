"""What the provisioner tells the relay, once, on standard input."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.scanning.policy import SourcePolicy
from jupyter_qsec.scanning.registered import SecretSet

CHANNELS = ("shell", "control", "stdin", "iopub", "hb")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One side's connection information, as in a connection file."""

    transport: str
    ip: str
    ports: dict[str, int]
    key: bytes
    signature_scheme: str = "hmac-sha256"
    curve_publickey: bytes = b""
    curve_secretkey: bytes = b""

    def url(self, channel: str) -> str:
        separator = ":" if self.transport == "tcp" else "-"
        return f"{self.transport}://{self.ip}{separator}{self.ports[channel]}"

    def to_json(self) -> dict[str, Any]:
        return {
            "transport": self.transport,
            "ip": self.ip,
            "ports": self.ports,
            "key": self.key.hex(),
            "signature_scheme": self.signature_scheme,
            "curve_publickey": self.curve_publickey.decode("ascii"),
            "curve_secretkey": self.curve_secretkey.decode("ascii"),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Endpoint:
        if value["transport"] not in ("tcp", "ipc"):
            raise InvalidRequestError("The transport must be tcp or ipc.")
        return cls(
            transport=value["transport"],
            ip=str(value["ip"]),
            ports={channel: int(value["ports"][channel]) for channel in CHANNELS},
            key=bytes.fromhex(value["key"]),
            signature_scheme=str(value["signature_scheme"]),
            curve_publickey=str(value["curve_publickey"]).encode("ascii"),
            curve_secretkey=str(value["curve_secretkey"]).encode("ascii"),
        )


@dataclass(frozen=True, slots=True)
class RelayConfig:
    client: Endpoint
    """Where clients connect: the kernel manager's own connection information."""
    kernel: Endpoint
    """Where the kernel listens: sockets in its private folder, with a key of their own."""
    language: str
    """The kernelspec's language; decides how a blocked cell is told."""
    fingerprint_key: bytes
    token_file: str
    """The file with the lease token: its content is a live secret, re-read when the file changes."""
    source_policy: SourcePolicy = field(default_factory=SourcePolicy)
    """What is done about secrets in sources, until an update says otherwise."""
    registered: tuple[SecretSet, ...] = ()
    """Secrets that somebody registered, until an update says otherwise."""
    issued: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the gateway gives to the kernel, each with its kind, until an update says otherwise."""

    def to_line(self) -> bytes:
        value = {
            "client": self.client.to_json(),
            "kernel": self.kernel.to_json(),
            "language": self.language,
            "fingerprint_key": self.fingerprint_key.hex(),
            "token_file": self.token_file,
            "source_policy": self.source_policy.settings(),
            "registered": [one.to_json() for one in self.registered],
            "issued": dict(self.issued),
        }
        return json.dumps(value).encode("ascii") + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> RelayConfig:
        """Raises `InvalidRequestError`; its message never repeats the line, which holds keys."""
        try:
            value = json.loads(line)
            return cls(
                client=Endpoint.from_json(value["client"]),
                kernel=Endpoint.from_json(value["kernel"]),
                language=str(value["language"]),
                fingerprint_key=bytes.fromhex(value["fingerprint_key"]),
                token_file=str(value["token_file"]),
                source_policy=SourcePolicy.of(value["source_policy"]),
                registered=_registered(value["registered"]),
                issued=_issued(value["issued"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise InvalidRequestError("The relay's configuration is malformed.") from None


@dataclass(frozen=True, slots=True)
class RelayUpdate:
    """What may change while a relay runs."""

    source_policy: SourcePolicy
    registered: tuple[SecretSet, ...]
    issued: Mapping[str, str] = field(default_factory=dict, repr=False)

    def to_line(self) -> bytes:
        value = {
            "source_policy": self.source_policy.settings(),
            "registered": [one.to_json() for one in self.registered],
            "issued": dict(self.issued),
        }
        return json.dumps(value).encode("ascii") + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> RelayUpdate:
        """Raises `InvalidRequestError`."""
        try:
            value = json.loads(line)
            policy = SourcePolicy.of(value["source_policy"])
            return cls(policy, _registered(value["registered"]), _issued(value["issued"]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise InvalidRequestError("The relay's update is malformed.") from None


def _issued(value: dict[str, Any]) -> dict[str, str]:
    return {str(secret): str(kind) for secret, kind in value.items()}


def _registered(value: list[Any]) -> tuple[SecretSet, ...]:
    return tuple(SecretSet.from_json(one) for one in value)
