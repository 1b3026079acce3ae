"""The filters of SearchQuantumTasks: all of them must hold; of one filter's values, any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from jupyter_qsec.application.ports import TaskQuery
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.domain.task import QuantumTask, TaskState
from jupyter_qsec.gateway.fields import checked_text

_EQUAL = ("deviceArn", "status", "quantumTaskArn", "jobArn")
_OPERATORS = {"LT": 1, "LTE": 1, "EQUAL": 10, "GT": 1, "GTE": 1, "BETWEEN": 2}
"""With how many values each operator may come, at most."""


@dataclass(frozen=True, slots=True)
class TaskFilter:
    devices: frozenset[str] | None = None
    states: frozenset[TaskState] | None = None
    arns: frozenset[str] | None = None
    no_match: bool = False
    """Set when a filter names something that no task here has, such as a job."""
    created: tuple[tuple[str, tuple[datetime, ...]], ...] = ()

    def __str__(self) -> str:
        return repr((sorted(self.devices or ()), sorted(self.states or ()), self.no_match, self.created))

    def matches(self, task: QuantumTask) -> bool:
        return (
            not self.no_match
            and (self.devices is None or task.device_arn in self.devices)
            and (self.states is None or task.state in self.states)
            and (self.arns is None or task.arn in self.arns)
            and all(_holds(operator, values, task.created_at) for operator, values in self.created)
        )

    def query(self, tenant: str, limit: int, before: tuple[datetime, str] | None) -> TaskQuery:
        """A store query that finds at least what matches; `matches` decides exactly."""
        after = [min(values) for operator, values in self.created if operator not in ("LT", "LTE")]
        until = [max(values) for operator, values in self.created if operator not in ("GT", "GTE")]
        moment = timedelta(seconds=1)
        return TaskQuery(
            tenant=tenant,
            states=tuple(sorted(self.states or ())),
            device_arn=next(iter(self.devices)) if self.devices is not None and len(self.devices) == 1 else "",
            created_after=max(after) - moment if after else None,
            created_before=min(until) + moment if until else None,
            limit=limit,
            before=before,
        )


def read_filters(filters: Sequence[Any]) -> TaskFilter:
    """`InvalidRequestError` naming the filter that cannot be read."""
    wanted = TaskFilter()
    for entry in filters:
        if not isinstance(entry, dict):
            raise InvalidRequestError("filters: each filter must be an object.")
        name = checked_text(entry.get("name"), "filters: name", 1, 64)
        operator = entry.get("operator")
        if operator not in _OPERATORS:
            raise InvalidRequestError(f"filters: {name} needs one of the operators {', '.join(_OPERATORS)}.")
        values = entry.get("values")
        if not isinstance(values, list) or not 1 <= len(values) <= _OPERATORS[operator]:
            raise InvalidRequestError(f"filters: {name} has the wrong number of values for {operator}.")
        texts = [checked_text(value, f"filters: {name}", 1, 256) for value in values]
        wanted = _with(wanted, name, operator, texts)
    return wanted


def _with(wanted: TaskFilter, name: str, operator: str, texts: list[str]) -> TaskFilter:
    if name == "createdAt":
        if operator == "BETWEEN" and len(texts) != 2:
            raise InvalidRequestError("filters: createdAt BETWEEN needs two values.")
        return _replace(wanted, created=(*wanted.created, (operator, tuple(_moment(text) for text in texts))))
    if name not in _EQUAL:
        raise InvalidRequestError(f"filters: {name} cannot be filtered for.")
    if operator != "EQUAL":
        raise InvalidRequestError(f"filters: {name} takes only EQUAL.")
    if name == "jobArn":
        return _replace(wanted, no_match=True)
    if name == "deviceArn":
        return _replace(wanted, devices=_narrow(wanted.devices, frozenset(texts)))
    if name == "quantumTaskArn":
        return _replace(wanted, arns=_narrow(wanted.arns, frozenset(texts)))
    try:
        states = frozenset(TaskState(text) for text in texts)
    except ValueError as error:
        raise InvalidRequestError("filters: status must name states of a quantum task.") from error
    return _replace(wanted, states=_narrow(wanted.states, states))


def _narrow(known: frozenset[Any] | None, more: frozenset[Any]) -> frozenset[Any]:
    return more if known is None else known & more


def _replace(wanted: TaskFilter, **changes: Any) -> TaskFilter:
    changed = replace(wanted, **changes)
    empty = frozenset() in (changed.devices, changed.states, changed.arns)
    return replace(changed, no_match=changed.no_match or empty)


def _holds(operator: str, values: tuple[datetime, ...], moment: datetime) -> bool:
    match operator:
        case "LT":
            return moment < values[0]
        case "LTE":
            return moment <= values[0]
        case "GT":
            return moment > values[0]
        case "GTE":
            return moment >= values[0]
        case "BETWEEN":
            return min(values) <= moment <= max(values)
        case _:
            return moment in values


def _moment(text: str) -> datetime:
    """ISO 8601, or seconds since the epoch."""
    try:
        moment = datetime.fromtimestamp(float(text), UTC) if text[0].isdigit() and "-" not in text else None
        moment = moment or datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidRequestError("filters: createdAt must be an ISO 8601 time.") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
