"""Frames between the gateway and a simulator worker: kind, length of the JSON head, length of the body, head, body.

Private to one installation (both ends are the same version), so it may change at any time. Lengths are bounded before
anything is read, so neither side can make the other one allocate at will.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, BinaryIO

_PREFIX = struct.Struct(">cIQ")
MAX_HEAD_BYTES = 4 << 20
MAX_JOB_BYTES = 16 << 20
"""Bound of what the gateway sends: an action is smaller still."""


class Kind(Enum):
    READY = b"R"
    JOB = b"J"
    DONE = b"D"
    FAILED = b"F"


@dataclass(frozen=True, slots=True)
class Frame:
    kind: Kind
    head: Mapping[str, Any]
    body: bytes = b""


class FrameError(Exception):
    """The other side sent something that is no frame, or closed in the middle of one."""


def encode(frame: Frame) -> tuple[bytes, bytes]:
    """Prefix with head, and body: two pieces, so that a large body is not copied."""
    head = json.dumps(frame.head, separators=(",", ":")).encode()
    if len(head) > MAX_HEAD_BYTES:
        raise FrameError("the head is too large")
    return _PREFIX.pack(frame.kind.value, len(head), len(frame.body)) + head, frame.body


def _lengths(prefix: bytes, max_body: int) -> tuple[Kind, int, int]:
    kind, head_length, body_length = _PREFIX.unpack(prefix)
    if head_length > MAX_HEAD_BYTES or body_length > max_body:
        raise FrameError("a frame is larger than its bound")
    try:
        return Kind(kind), head_length, body_length
    except ValueError:
        raise FrameError("a frame of unknown kind") from None


def _head(data: bytes) -> dict[str, Any]:
    try:
        head = json.loads(data)
    except (ValueError, RecursionError):
        raise FrameError("the head of a frame is not JSON") from None
    if not isinstance(head, dict):
        raise FrameError("the head of a frame is not an object")
    return head


async def receive(stream: asyncio.StreamReader, *, max_body: int) -> Frame:
    """The next frame; `FrameError` when there is none."""
    try:
        kind, head_length, body_length = _lengths(await stream.readexactly(_PREFIX.size), max_body)
        head = _head(await stream.readexactly(head_length))
        return Frame(kind, head, await stream.readexactly(body_length) if body_length else b"")
    except (asyncio.IncompleteReadError, ConnectionError):
        raise FrameError("the stream ended") from None


def _read(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) != length:
        raise FrameError("the stream ended")
    return data


def read(stream: BinaryIO, *, max_body: int) -> Frame:
    """The next frame of a buffered blocking stream; `FrameError` when there is none."""
    kind, head_length, body_length = _lengths(_read(stream, _PREFIX.size), max_body)
    return Frame(kind, _head(_read(stream, head_length)), _read(stream, body_length))


def write(stream: BinaryIO, frame: Frame) -> None:
    for piece in encode(frame):
        stream.write(piece)
    stream.flush()
