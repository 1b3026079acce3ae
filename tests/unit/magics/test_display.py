"""What the magics show."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from jupyter_qsec.magics.display import MAX_BARS, bars, batch_card, matplotlib_figure, money, table, task_card

ESTIMATE = {"device_name": "SV1", "amount_usd": "0.0038", "basis": "3 s.", "source": "a sheet"}
HOSTILE = '<script>alert("x")</script>'


class _Balance(HTMLParser):
    """Fails on markup that is not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


def tags(html: str) -> set[str]:
    parser = _Balance()
    parser.feed(html)
    parser.close()
    assert parser.stack == []
    return parser.tags


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "$0"), ("0.0038", "$0.0038"), ("0.3", "$0.30"), ("0.3800", "$0.38"), ("1234.5", "$1,234.50"), ("12", "$12")],
)
def test_money(amount: str, text: str) -> None:
    assert money(amount) == text


@pytest.mark.parametrize(
    ("state", "percent"),
    [
        ("", 5),
        ("CREATED", 10),
        ("QUEUED", 25),
        ("RUNNING", 60),
        ("COMPLETED", 100),
        ("FAILED", 100),
        ("CANCELLED", 100),
    ],
)
def test_the_progress_of_each_state(state: str, percent: int) -> None:
    bundle = task_card(ESTIMATE, 100, {"state": state}, 1.0)
    assert f'aria-valuenow="{percent}"' in bundle["text/html"]
    assert "SV1 · 100 shots · estimate $0.0038" in bundle["text/plain"]


def test_a_card_says_why_a_task_waits() -> None:
    task = {"state": "QUEUED", "arn": "arn:x", "waiting": [{"code": "fair-turn", "text": "Two tasks are before it."}]}
    bundle = task_card(ESTIMATE, 100, task, 1.0)
    assert "Two tasks are before it." in bundle["text/plain"]
    assert "Two tasks are before it." in bundle["text/html"]


def test_a_card_says_what_it_cost() -> None:
    bundle = task_card(ESTIMATE, 100, {"state": "COMPLETED", "duration_ms": 1234, "cost_usd": "0.3"}, 1.0)
    assert "completed in 1,234 ms · cost $0.30" in bundle["text/plain"]


def test_a_batch_counts_what_failed() -> None:
    bundle = batch_card("SV1", 10, done=3, failed=1, total=8, estimate="0.03", elapsed=2)
    assert "3 of 8 completed · 1 failed" in bundle["text/plain"]
    assert 'aria-valuenow="50"' in bundle["text/html"]


def test_bars_stand_in_order_with_their_shares() -> None:
    bundle = bars({"11": 750, "00": 250}, "1,000 shots")
    lines = bundle["text/plain"].splitlines()
    assert lines[0] == "1,000 shots"
    assert lines[1].startswith("00") and "250 (25.0 %)" in lines[1]
    assert lines[2].startswith("11") and "750 (75.0 %)" in lines[2]
    widths = [float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', bundle["text/html"])]
    assert widths[1] == pytest.approx(3 * widths[0], abs=0.5)


def test_many_outcomes_show_the_most_frequent() -> None:
    counts = {f"{index:06b}": index + 1 for index in range(50)}
    html = bars(counts, "many")["text/html"]
    assert html.count("<rect") == MAX_BARS
    assert "and 18 rarer outcomes with 171 counts" in html
    assert "000000" not in html


def test_colours_are_those_of_the_theme() -> None:
    html = bars({"0": 1}, "t")["text/html"] + task_card(ESTIMATE, 1, {}, 0)["text/html"]
    for colour in re.findall(r"(?:fill|color|background):([^;\"]+)", html):
        assert colour.startswith("var(--jp-"), colour  # and so follows light and dark


@pytest.mark.parametrize(
    "html",
    [
        task_card({**ESTIMATE, "device_name": HOSTILE, "basis": HOSTILE}, 1, {"state": HOSTILE, "arn": HOSTILE}, 0)[
            "text/html"
        ],
        task_card(ESTIMATE, 1, {"state": "QUEUED", "waiting": [{"text": HOSTILE}]}, 0)["text/html"],
        batch_card(HOSTILE, 1, 0, 0, 1, "0", 0)["text/html"],
        bars({HOSTILE: 1}, HOSTILE)["text/html"],
        table(HOSTILE, (HOSTILE,), [(HOSTILE,)])["text/html"],
    ],
)
def test_what_comes_from_elsewhere_is_text(html: str) -> None:
    assert "script" not in tags(html)
    assert HOSTILE not in html


def test_a_table_is_aligned() -> None:
    assert table("T", ("name", "n"), [("a", "10"), ("long name", "2")])["text/plain"].splitlines() == [
        "T",
        "name       n",
        "a          10",
        "long name  2",
    ]


def test_matplotlib_draws_the_counts() -> None:
    figure = matplotlib_figure({"0000000": 3, "1111111": 5}, "title")
    assert [patch.get_height() for patch in figure.axes[0].patches] == [3, 5]
