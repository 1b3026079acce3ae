"""What tasks are called: unique, in the form that the SDK knows, and beside those of their time."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from jupyter_qsec.application.taskids import new_task_id

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("at", [NOON, datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
def test_it_is_a_uuid_with_its_hour(at: datetime) -> None:
    made = uuid.UUID(new_task_id(at))
    assert (made.version, made.variant) == (8, uuid.RFC_4122)
    assert made.int >> 116 == int(at.timestamp()) // 3600 % 4096
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(made))


def test_those_of_an_hour_lie_together_and_the_next_hours_behind_them() -> None:
    made = [new_task_id(NOON + timedelta(minutes=n))[:3] for n in range(120)]
    assert len(set(made[:60])) == len(set(made[60:])) == 1 and made == sorted(made)


def test_what_is_no_time_is_chance_also_in_what_people_see() -> None:
    bits = [uuid.UUID(new_task_id(NOON)).int for _ in range(200)]
    free = [*range(62), *range(64, 76), *range(80, 116)]
    assert all(len({value >> place & 1 for value in bits}) == 2 for place in free)
    assert len({new_task_id(NOON)[:8] for _ in range(100)}) >= 95
