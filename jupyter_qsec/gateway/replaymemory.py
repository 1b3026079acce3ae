"""What a gateway that is alone has seen of signatures, from its orderly end to its next start.

The next start reads the file and removes it for good before it serves: so what it says is always complete, and after a
kill there is none, and nothing from before the start is taken. Nothing is written while the gateway serves.
"""

from __future__ import annotations

import hmac
import json
import logging
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jupyter_qsec.adapters.privatefiles import read_private, replace_private, sync_directory
from jupyter_qsec.domain.errors import StateDirectoryError

_log = logging.getLogger(__name__)

VERSION = 1
_PURPOSE = b"jupyter_qsec seen signatures\n"
_MAC = 32
_SEEN = struct.Struct(">32sqd")
"""A signature, the minute in which it was made, the second at which it was seen first."""
_MOST_BYTES = 64 << 20
"""More than the front doors remember."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one front door."""

    sealed_at: datetime
    """From then on it saw nothing more."""
    floor: datetime
    """Of what was signed before, nothing is known."""
    seen: Mapping[int, Mapping[bytes, float]]
    """By the minute of their making, signatures and when they were seen first (seconds since 1970)."""


class MemoryFile:
    """The file between an end and a start. Without one, or with one that is not whole, nothing is remembered."""

    def __init__(self, path: Path, key: Callable[[], bytes]) -> None:
        """`key` gives the one in force. A file that was sealed with another is as good as none."""
        self._path = path
        self._key = key

    def keep(self, memories: Mapping[str, Memory], instance: str) -> None:
        """By the name of the front door, as the gateway of that name ends. A disk that takes no file costs the memory,
        not the end."""
        try:
            content = _written(memories, instance)
            replace_private(self._path, self._mac(content) + content)
        except StateDirectoryError as error:
            _log.error("the signatures that were seen are not kept for the next start: %s", error.message)

    def take(self, last: str) -> dict[str, Memory]:
        """What the last end kept, once. `last` is the gateway whose end is the last thing on record: what another one
        kept is as good as nothing, because something may have served since."""
        try:
            content = read_private(self._path, _MOST_BYTES + _MAC)
            if content is None:
                return {}
            self._path.unlink()
            sync_directory(self._path.parent)  # or it might be there again after a power failure
            mac, content = content[:_MAC], content[_MAC:]
            return _read(content, last) if hmac.compare_digest(mac, self._mac(content)) else {}
        except (StateDirectoryError, OSError) as error:
            _log.error("the signatures that were seen before cannot be read: %s", error)
            return {}

    def _mac(self, content: bytes) -> bytes:
        return hmac.digest(self._key(), _PURPOSE + content, "sha256")


def _written(memories: Mapping[str, Memory], instance: str) -> bytes:
    heads, seen = {}, []
    for name, memory in memories.items():
        rows = [
            _SEEN.pack(signature, minute, first)
            for minute, bucket in memory.seen.items()
            for signature, first in bucket.items()
        ]
        heads[name] = [memory.sealed_at.timestamp(), memory.floor.timestamp(), len(rows)]
        seen += rows
    return json.dumps({"version": VERSION, "instance": instance, "doors": heads}).encode() + b"\n" + b"".join(seen)


def _read(content: bytes, last: str) -> dict[str, Memory]:
    """Of content that this program wrote; of another version, or of another gateway than the last one, nothing."""
    line, _, rows = content.partition(b"\n")
    document = json.loads(line)
    if document["version"] != VERSION or not last or document["instance"] != last:
        return {}
    found, start = {}, 0
    for name, (sealed_at, floor, count) in document["doors"].items():
        seen: dict[int, dict[bytes, float]] = {}
        end = start + count * _SEEN.size
        for signature, minute, first in _SEEN.iter_unpack(rows[start:end]):
            seen.setdefault(minute, {})[signature] = first
        found[name] = Memory(datetime.fromtimestamp(sealed_at, UTC), datetime.fromtimestamp(floor, UTC), seen)
        start = end
    return found
