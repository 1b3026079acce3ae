"""What tasks are called."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime

_HOUR_BITS = 12


def new_task_id(at: datetime) -> str:
    """A UUID of version 8 (RFC 9562, 5.8): the hour of `at` in three digits, which come again after half a year, and
    110 random bits. Tasks of one hour lie together in the indexes of the store, so that submissions touch few
    pages of them, however many tasks are stored; and by the first eight digits people still tell them apart."""
    hour = int(at.timestamp()) // 3600 % (1 << _HOUR_BITS)
    chance = secrets.randbits(128 - _HOUR_BITS)
    version, variant = 0xF << 76, 0x3 << 62
    return str(uuid.UUID(int=(hour << 128 - _HOUR_BITS | chance) & ~(version | variant) | 8 << 76 | 2 << 62))
