"""What tasks are called."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime


def new_task_id(at: datetime) -> str:
    """A UUID of version 7 (RFC 9562, 5.7): milliseconds of `at`, then 74 random bits. Tasks of one time lie together in
    the indexes of the store, so that a submission touches as few pages among a million tasks as among a thousand."""
    milliseconds = int(at.timestamp() * 1000) & ((1 << 48) - 1)
    chance = secrets.randbits(74)
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | chance >> 62 << 64 | 2 << 62 | chance & ((1 << 62) - 1)))
