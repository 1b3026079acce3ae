"""Checkpoints as C2SP signed notes (c2sp.org/tlog-checkpoint, c2sp.org/signed-note): text, parsing, the log of them.

A note is `ORIGIN`, the size in decimal, the root in base64, each on a line; a blank line; one or more signature lines
`— NAME BASE64`, where the base64 holds a four-byte key id and the signature. Signature lines of unknown keys are
ignored, so that lines of other algorithms can be added without breaking older verifiers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from jupyter_qsec.domain.audit import Checkpoint
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.domain.merkle import HASH_SIZE

MAX_NOTE_BYTES = 64 * 1024
MAX_SIGNATURES = 16
ED25519 = 0x01
"""Signature type of plain Ed25519 in C2SP signed notes."""

_ORIGIN = re.compile(r"[!-*,-~]{1,200}\Z")  # printable ASCII without space and plus
_SIZE = re.compile(r"(0|[1-9][0-9]{0,17})\Z")
_SIGNATURE = re.compile(r"— ([!-*,-~]{1,200}) ([A-Za-z0-9+/]+={0,2})\Z")

RawVerify = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) -> whether it is good; injected: the domain knows no cryptography library."""


@dataclass(frozen=True, slots=True)
class NoteSignature:
    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        return f"— {self.name} {base64.b64encode(self.key_id + self.signature).decode()}"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key as text: `NAME+KEYID+BASE64` (vkey of c2sp.org/signed-note)."""

    name: str
    algorithm: int
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        material = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public_key
        return hashlib.sha256(material).digest()[:4]

    def __str__(self) -> str:
        key = base64.b64encode(bytes([self.algorithm]) + self.public_key).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """`InvalidRequestError` unless the text is a well-formed Ed25519 key whose id is right."""
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        raw = _decode(encoded, "verifier key")
        if not _ORIGIN.match(name) or len(raw) != 33 or raw[0] != ED25519:
            raise InvalidRequestError("The verifier key is not a named Ed25519 key.")
        key = cls(name=name, algorithm=raw[0], public_key=raw[1:])
        if not hmac.compare_digest(key.key_id.hex(), key_id):
            raise InvalidRequestError("The verifier key's id does not belong to its name and key.")
        return key


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """The text that is signed, with its final newline."""
    if not _ORIGIN.match(origin):
        raise InvalidRequestError(f"{origin!r} cannot be the origin of a log: printable ASCII without space and '+'.")
    if size < 0 or len(root) != HASH_SIZE:
        raise InvalidRequestError("A checkpoint needs a size of 0 or more and a 32-byte root.")
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def format_note(text: str, signature_lines: Iterable[str]) -> str:
    """The note: text, blank line, signature lines."""
    lines = list(signature_lines)
    if not lines or not all(_SIGNATURE.match(line) for line in lines):
        raise InvalidRequestError("A note needs at least one well-formed signature line.")
    return text + "\n" + "".join(f"{line}\n" for line in lines)


def parse_checkpoint(note: str) -> Checkpoint:
    """Read a note strictly; says nothing about its signatures. `InvalidRequestError` when it is no checkpoint."""
    if len(note) > MAX_NOTE_BYTES:
        raise InvalidRequestError("The checkpoint is too long.")
    text, separator, _ = note.partition("\n\n")
    lines = text.split("\n")
    # Lines after the third are extensions, which a verifier must carry but may ignore.
    if not separator or len(lines) < 3 or not all(lines):
        raise InvalidRequestError("The checkpoint has not the form origin, size, root, blank line, signatures.")
    origin, size, encoded = lines[:3]
    if not _ORIGIN.match(origin) or not _SIZE.match(size):
        raise InvalidRequestError("The checkpoint's origin or size is malformed.")
    root = _decode(encoded, "root")
    if len(root) != HASH_SIZE:
        raise InvalidRequestError("The checkpoint's root is not 32 bytes.")
    note_signatures(note)
    return Checkpoint(origin=origin, size=int(size), root=root, note=note)


def note_signatures(note: str) -> tuple[NoteSignature, ...]:
    """The signature lines of a note. `InvalidRequestError` when there is none, too many or a malformed one."""
    _, separator, tail = note.partition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise InvalidRequestError("The note has no complete signature lines.")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise InvalidRequestError("The note has too many signatures.")
    found = []
    for line in lines:
        match = _SIGNATURE.match(line)
        raw = _decode(match[2], "signature") if match else b""
        if match is None or len(raw) < 5:
            raise InvalidRequestError("A signature line of the note is malformed.")
        found.append(NoteSignature(name=match[1], key_id=raw[:4], signature=raw[4:]))
    return tuple(found)


def signed_by(note: str, key: VerifierKey, verify: RawVerify) -> bool:
    """Whether the note is well formed, of the key's name, and carries a good signature by exactly this key."""
    try:
        checkpoint = parse_checkpoint(note)
        signatures = note_signatures(note)
    except InvalidRequestError:
        return False
    if checkpoint.origin != key.name:
        return False
    text = (note.partition("\n\n")[0] + "\n").encode()
    own = [sig for sig in signatures if sig.name == key.name and hmac.compare_digest(sig.key_id, key.key_id)]
    return bool(own) and all(verify(key.public_key, text, sig.signature) for sig in own)


def split_notes(data: str) -> tuple[list[str], str]:
    """Split a checkpoint log (notes, each followed by an empty line) into notes and what an interrupted write left
    behind at its end."""
    pieces = data.split("\n\n")
    rest = pieces.pop()
    if len(pieces) % 2:
        rest = f"{pieces.pop()}\n\n{rest}"
    return [f"{pieces[i]}\n\n{pieces[i + 1]}\n" for i in range(0, len(pieces), 2)], rest


def _decode(text: str, what: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError(f"The {what} is not base64.") from error
    if base64.b64encode(raw).decode() != text:  # one encoding for one value
        raise InvalidRequestError(f"The {what} is not canonical base64.")
    return raw
