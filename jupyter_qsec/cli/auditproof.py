"""Inclusion proofs as files: `c2sp.org/tlog-proof@v1` text, or the same as JSON.

The text form carries the record itself (canonical JSON) as its `extra` data. Both can be checked without the log.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from jupyter_qsec.domain import merkle
from jupyter_qsec.domain.audit import Checkpoint, InclusionProof
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.domain.notes import RawVerify, VerifierKey, parse_checkpoint, signed_by

MAX_PROOF_BYTES = 1 << 20
_HEADER = "c2sp.org/tlog-proof@v1"
_MAX_PATH = 64


@dataclass(frozen=True, slots=True)
class ProofFile:
    """That a record is in the log that a checkpoint signed."""

    index: int
    leaf: bytes
    path: tuple[bytes, ...]
    checkpoint: Checkpoint
    public_key: str = ""
    """The key that came with the proof; it says nothing about who signed."""

    def problem(self, key: VerifierKey, verify: RawVerify) -> str:
        """Why the proof does not hold; empty when it does."""
        if not signed_by(self.checkpoint.note, key, verify):
            return f"The checkpoint in the proof is not signed by the key {key.name}."
        size = self.checkpoint.size
        proof = InclusionProof(self.index, size, merkle.leaf_hash(self.leaf), self.path)
        if not proof.holds(self.checkpoint.root):
            return f"Record {self.index} is not in the log of {size} records that the checkpoint signed."
        return ""

    def as_text(self) -> str:
        lines = [_HEADER, f"extra {_encode(self.leaf)}", f"index {self.index}", *map(_encode, self.path)]
        return "\n".join(lines) + f"\n\n{self.checkpoint.note}"

    def as_json(self) -> dict[str, Any]:
        return {
            "version": 1,
            "index": self.index,
            "size": self.checkpoint.size,
            "leaf": self.leaf.decode("utf-8", "replace"),
            "leaf_base64": _encode(self.leaf),
            "leaf_hash": merkle.leaf_hash(self.leaf).hex(),
            "path": [step.hex() for step in self.path],
            "checkpoint": self.checkpoint.note,
            "public_key": self.public_key,
        }


def parse_proof(data: bytes) -> ProofFile:
    """Either form. `InvalidRequestError` when it is none."""
    try:
        text = data.decode("utf-8")
        return _from_json(json.loads(text)) if text.lstrip().startswith("{") else _from_text(text)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidRequestError("The proof cannot be read.") from error


def _from_json(value: Any) -> ProofFile:
    if value["version"] != 1 or isinstance(value["index"], bool) or not isinstance(value["index"], int):
        raise InvalidRequestError("The proof is not of version 1.")
    return ProofFile(
        index=value["index"],
        leaf=base64.b64decode(value["leaf_base64"], validate=True),
        path=_path([bytes.fromhex(step) for step in value["path"]]),
        checkpoint=parse_checkpoint(value["checkpoint"]),
        public_key=str(value.get("public_key", "")),
    )


def _from_text(text: str) -> ProofFile:
    proof, separator, note = text.partition("\n\n")
    lines = proof.split("\n")
    if not separator or len(lines) < 3 or lines[0] != _HEADER:
        raise InvalidRequestError(f"The proof does not begin with {_HEADER}.")
    if not lines[1].startswith("extra ") or not lines[2].startswith("index "):
        raise InvalidRequestError("The proof does not carry its record and index.")
    return ProofFile(
        index=_index(lines[2].removeprefix("index ")),
        leaf=base64.b64decode(lines[1].removeprefix("extra "), validate=True),
        path=_path([base64.b64decode(line, validate=True) for line in lines[3:]]),
        checkpoint=parse_checkpoint(note),
    )


def _index(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidRequestError("The proof's index is malformed.")
    return int(text)


def _path(steps: list[bytes]) -> tuple[bytes, ...]:
    if len(steps) > _MAX_PATH or any(len(step) != merkle.HASH_SIZE for step in steps):
        raise InvalidRequestError("The proof's path is malformed.")
    return tuple(steps)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
