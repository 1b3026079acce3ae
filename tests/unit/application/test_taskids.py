"""What tasks are called: unique, in the form that the SDK knows, and in the order of their time."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from jupyter_qsec.application.taskids import new_task_id

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("at", [NOON, datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
def test_it_is_a_uuid_of_version_7_with_its_millisecond(at: datetime) -> None:
    made = uuid.UUID(new_task_id(at))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == int(at.timestamp() * 1000)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(made))


def test_later_ones_come_later_and_no_two_are_the_same() -> None:
    made = [new_task_id(NOON + timedelta(milliseconds=n)) for n in range(1000)]
    assert made == sorted(made)
    assert len({new_task_id(NOON) for _ in range(10_000)}) == 10_000


def test_what_is_no_time_is_chance() -> None:
    bits = [uuid.UUID(new_task_id(NOON)).int for _ in range(200)]
    free = [*range(62), *range(64, 76)]
    assert all(len({value >> place & 1 for value in bits}) == 2 for place in free)
