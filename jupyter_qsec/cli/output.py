"""What the commands share: `--format`, tables, times, durations, and the gateway's client."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from jupyter_qsec.domain.errors import InvalidRequestError, NotFoundError

if TYPE_CHECKING:
    from jupyter_qsec.client.api import ControlClient

_F = TypeVar("_F", bound=Callable[..., Any])
_DURATION = re.compile(r"(\d{1,9})\s*(s|m|h)?\Z")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_SHORT = 8
_LISTED = 10


def format_option(command: _F) -> _F:
    """Adds `--format text|json`, passed as `output`."""
    return click.option(
        "--format",
        "output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="Readable text, or JSON for scripts.",
    )(command)


def emit_json(value: object) -> None:
    """In ASCII: records may hold text that no terminal encoding has, or that steers one."""
    click.echo(json.dumps(value, indent=2))


def plain(value: object) -> str:
    """One line, and nothing in it that could steer a terminal or that no encoding has: records carry what strangers
    sent."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(value))


def emit_table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Columns as wide as their content; `empty` when there is no row."""
    table = [[plain(cell) for cell in row] for row in rows]
    if not table:
        click.echo(empty)
        return
    widths = [max(len(row[column]) for row in [list(headers), *table]) for column in range(len(headers))]
    for row in [list(headers), *table]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def emit_fields(fields: Iterable[tuple[str, object]]) -> None:
    """One `name  value` line each; empty values are left out."""
    shown = [(name, plain(value)) for name, value in fields if value not in ("", None, {}, [])]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{name.ljust(width)}  {value}")


def short_id(identifier: str) -> str:
    return identifier[:_SHORT]


def age(moment: str | None, now: datetime | None = None) -> str:
    """How long ago, or `in …` for the future: `12 s`, `3 min`, `2 h`, `4 d`."""
    if not moment:
        return ""
    try:
        then = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    except ValueError:
        return moment
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    amount = abs(seconds)
    size, unit = next((unit for unit in _UNITS if amount >= unit[0]), _UNITS[-1])
    text = f"{int(amount // size)} {unit}"
    return text if seconds >= 0 else f"in {text}"


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click alone
    """`90s`, `15m`, `12h`; a bare number is seconds."""

    name = "duration"

    def __init__(self, least: timedelta | None = None, most: timedelta | None = None) -> None:
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = _DURATION.match(str(value))
        if match is None or int(match[1]) == 0:
            self.fail(f"{value!r} is not a duration such as 90s, 15m or 12h.", param, ctx)
        given = timedelta(seconds=int(match[1]) * _SECONDS[match[2] or "s"])
        if self._least is not None and given < self._least:
            self.fail(f"{value} is too short: at least {in_units(self._least)}.", param, ctx)
        if self._most is not None and given > self._most:
            self.fail(f"{value} is too long: at most {in_units(self._most)}.", param, ctx)
        return given


def in_units(duration: timedelta) -> str:
    """As `Duration` takes it: `90s`, `15m`, `12h`."""
    seconds = int(duration.total_seconds())
    unit = next(unit for unit in ("h", "m", "s") if seconds % _SECONDS[unit] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"


def gateway_client(timeout: float = 10) -> ControlClient:
    """A client of the gateway that runs on this state directory, which waits `timeout` seconds for an answer;
    `UnavailableError` when none does."""
    from jupyter_qsec.client.gateways import connect  # here: httpx costs a tenth of a second that `scan` does not need
    from jupyter_qsec.client.home import QsecHome

    return connect(QsecHome.default(), timeout=timeout)


def by_prefix(wanted: str, identifiers: Iterable[str], noun: str) -> str:
    """The one id that begins like this (an ARN stands for its last part)."""
    prefix = wanted.rpartition("/")[2].strip().lower()
    if not prefix:
        raise InvalidRequestError(f"An empty {noun} id names nothing.")
    found = sorted({identifier for identifier in identifiers if identifier.lower().startswith(prefix)})
    if prefix in found:
        return prefix
    if not found:
        raise NotFoundError(f"There is no {noun} {plain(wanted)}.")
    if len(found) > 1:
        raise InvalidRequestError(f"{len(found)} {noun}s begin with {plain(prefix)}.", remedy="Give more of the id.")
    return found[0]


def require_tenant(client: ControlClient, tenant: str, project: str = "") -> None:
    """`InvalidRequestError` that tells which there are, when the gateway knows no such tenant or project."""
    tenants = {known["id"]: known["projects"] for known in client.status()["tenants"]}
    if tenant and tenant not in tenants:
        raise InvalidRequestError(f"There is no tenant {plain(repr(tenant))}.", remedy=there_are(tenants))
    if tenant and project and project not in (projects := [known["id"] for known in tenants[tenant]]):
        raise InvalidRequestError(f"Tenant {tenant} has no project {plain(repr(project))}.", remedy=there_are(projects))


def there_are(names: Iterable[str]) -> str:
    """A sentence that lists what exists, the first ten of many."""
    known = [plain(name) for name in names]
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"There are: {', '.join(known[:_LISTED])}{more}." if known else "There are none."
