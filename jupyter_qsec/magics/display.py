"""What the magics show: a card with progress, then bars. HTML and SVG in the colours of the theme, with plain text for
consoles and for readers of the saved notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from html import escape
from typing import Any

MAX_BARS = 32
_INK = "var(--jp-ui-font-color1, currentColor)"
_FONT = "font-family:var(--jp-ui-font-family, sans-serif)"
_QUIET = "var(--jp-ui-font-color2, #808080)"
_BAR = "var(--jp-brand-color1, #3b82d6)"
_GROUND = "var(--jp-layout-color3, rgba(128, 128, 128, 0.25))"
_BAD = "var(--jp-error-color1, #d64545)"
_FRACTIONS = {"": 0.05, "CREATED": 0.1, "QUEUED": 0.25, "RUNNING": 0.6, "CANCELLING": 0.8}
_WORDS = {
    "": "submitting",
    "CREATED": "accepted",
    "QUEUED": "waiting",
    "RUNNING": "running",
    "COMPLETED": "completed",
    "FAILED": "failed",
    "CANCELLING": "being cancelled",
    "CANCELLED": "cancelled",
}
Bundle = dict[str, str]


def money(text: object) -> str:
    """A decimal string as dollars: `$0.0038`."""
    try:
        amount = Decimal(str(text))
    except InvalidOperation:
        return str(text)
    shown = f"{amount:,.4f}".rstrip("0").rstrip(".")
    return f"${shown if '.' not in shown or len(shown.rpartition('.')[2]) > 1 else shown + '0'}"


def task_card(estimate: Mapping[str, Any], shots: int, task: Mapping[str, Any], elapsed: float) -> Bundle:
    """One task: what it is, what it costs, where it stands, why it waits."""
    state = str(task.get("state", ""))
    title = f"{estimate['device_name']} · {shots:,} shots · estimate {money(estimate['amount_usd'])}"
    status = f"{_WORDS.get(state, state.lower())} · {elapsed:.1f} s"
    if state == "COMPLETED" and task.get("duration_ms") is not None:
        cost = f" · cost {money(task['cost_usd'])}" if task.get("cost_usd") is not None else ""
        status = f"completed in {int(task['duration_ms']):,} ms{cost}"
    lines = [str(task["arn"])] if task.get("arn") else []
    lines += [str(entry.get("text", "")) for entry in task.get("waiting") or ()]
    note = str(estimate.get("basis", "")) + f" Prices: {estimate.get('source', '')}."
    fraction = 1.0 if state in ("COMPLETED", "FAILED", "CANCELLED") else _FRACTIONS.get(state, 0.5)
    return _card(title, status, lines, fraction, bad=state in ("FAILED", "CANCELLED"), note=note)


def batch_card(device: str, shots: int, done: int, failed: int, total: int, estimate: object, elapsed: float) -> Bundle:
    """Many tasks as one bar."""
    title = f"{device} · {total:,} tasks of {shots:,} shots · estimate {money(estimate)}"
    parts = [f"{done:,} of {total:,} completed", *([f"{failed:,} failed"] if failed else []), f"{elapsed:.1f} s"]
    return _card(title, " · ".join(parts), [], (done + failed) / total, bad=bool(failed), note="")


def _card(title: str, status: str, lines: Sequence[str], fraction: float, *, bad: bool, note: str) -> Bundle:
    percent = round(100 * min(1.0, max(0.0, fraction)))
    details = "".join(
        f'<div style="color:{_QUIET};font-size:0.85em;overflow-wrap:anywhere">{escape(line)}</div>' for line in lines
    )
    html = (
        f'<div class="jp-qsec-task" style="max-width:44em;color:{_INK};{_FONT};line-height:1.5;margin:2px 0">'
        f'<div style="display:flex;justify-content:space-between;gap:1em;flex-wrap:wrap">'
        f'<span title="{escape(note, quote=True)}">{escape(title)}</span>'
        f'<span role="status">{escape(status)}</span></div>'
        f'<div role="progressbar" aria-label="Progress of the task" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{percent}" style="height:4px;border-radius:2px;background:{_GROUND};margin:3px 0">'
        f'<div style="width:{percent}%;height:100%;border-radius:2px;background:{_BAD if bad else _BAR}"></div></div>'
        f"{details}</div>"
    )
    filled = percent // 5
    text = "\n".join([f"{title}", f"[{'#' * filled}{'.' * (20 - filled)}] {status}", *lines])
    return {"text/html": html, "text/plain": text}


def bars(counts: Mapping[str, int], title: str) -> Bundle:
    """Counts as horizontal bars in the order of the outcomes; beyond `MAX_BARS` the most frequent ones."""
    total = sum(counts.values())
    shown = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_BARS]
    shown.sort()
    left_out = len(counts) - len(shown)
    rest = (
        f"and {left_out:,} rarer outcomes with {total - sum(count for _, count in shown):,} counts" if left_out else ""
    )
    return {"text/html": _bars_svg(shown, total, title, rest), "text/plain": _bars_text(shown, total, title, rest)}


def _bars_svg(shown: Sequence[tuple[str, int]], total: int, title: str, rest: str) -> str:
    label_width = 9 * max((len(outcome) for outcome, _ in shown), default=1) + 12
    row, bar_width, number_width = 22, 320, 130
    most = max((count for _, count in shown), default=1)
    width, height = label_width + bar_width + number_width, row * len(shown) + 8
    mono = "font-family:var(--jp-code-font-family, monospace);font-size:13px"
    rows = []
    for index, (outcome, count) in enumerate(shown):
        y, length = 4 + index * row, max(1.0, bar_width * count / most)
        share = f"{count:,} ({100 * count / total:.1f} %)"
        rows.append(
            f"<g><title>{escape(outcome)}: {share}</title>"
            f'<text x="{label_width - 8}" y="{y + 15}" text-anchor="end" style="fill:{_INK};{mono}">'
            f"{escape(outcome)}</text>"
            f'<rect x="{label_width}" y="{y + 3}" width="{length:.1f}" height="{row - 7}" rx="2" '
            f'style="fill:{_BAR}"></rect>'
            f'<text x="{label_width + length + 8:.1f}" y="{y + 15}" style="fill:{_QUIET};{mono}">{share}</text></g>'
        )
    caption = f'<figcaption style="color:{_INK};margin-bottom:2px">{escape(title)}</figcaption>'
    footer = f'<div style="color:{_QUIET};font-size:0.85em">{escape(rest)}</div>' if rest else ""
    return (
        f'<figure class="jp-qsec-bars" style="margin:4px 0;max-width:{width}px;{_FONT}">{caption}'
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="100%" role="img" '
        f'aria-label="{escape(title, quote=True)}">{"".join(rows)}</svg>{footer}</figure>'
    )


def _bars_text(shown: Sequence[tuple[str, int]], total: int, title: str, rest: str) -> str:
    most = max((count for _, count in shown), default=1)
    lines = [
        f"{outcome}  {'█' * max(1, round(30 * count / most)):<30}  {count:,} ({100 * count / total:.1f} %)"
        for outcome, count in shown
    ]
    return "\n".join([title, *lines, *([rest] if rest else [])])


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Bundle:
    """A small table."""
    widths = [max(len(line[column]) for line in (headings, *rows)) for column in range(len(headings))]
    text = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
                     for line in (headings, *rows))  # fmt: skip
    cell = 'style="text-align:left;padding:2px 12px 2px 0"'
    head = "".join(f"<th {cell}>{escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td {cell}>{escape(value)}</td>" for value in line) + "</tr>" for line in rows)
    html = (
        f'<div style="color:{_INK};{_FONT}"><div>{escape(title)}</div>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
    return {"text/html": html, "text/plain": f"{title}\n{text}"}


def matplotlib_figure(counts: Mapping[str, int], title: str) -> Any:
    """The counts as a matplotlib figure, for those who want to work on with it."""
    from matplotlib.figure import Figure

    shown = sorted(sorted(counts.items(), key=lambda item: -item[1])[:MAX_BARS])
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.bar([outcome for outcome, _ in shown], [count for _, count in shown])
    axes.set(title=title, xlabel="outcome", ylabel="counts")
    if any(len(outcome) > 4 for outcome, _ in shown) and len(shown) > 6:
        axes.tick_params(axis="x", labelrotation=90)
    return figure
