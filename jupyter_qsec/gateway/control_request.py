"""The control API's requests: who asks, and typed fields out of path, query and JSON body."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from jupyter_qsec.application.callers import Caller, Operator
from jupyter_qsec.domain.errors import InvalidRequestError, TooLargeError, UnauthenticatedError
from jupyter_qsec.domain.principal import Principal

if TYPE_CHECKING:
    from jupyter_qsec.bootstrap import Gateway

MAX_BODY = 1 << 20
_MISSING = object()


class Access(Enum):
    """Who may call an endpoint."""

    OPEN = "nobody is asked"
    OPERATOR = "control token"
    LEASE = "control token or lease token"
    LEASE_ONLY = "lease token"
    METRICS = "control token or metrics token"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method on one path; `{name}` in the path is a parameter."""

    method: str
    path: str
    access: Access
    handle: Callable[[Call], Awaitable[Answer | Text]]

    @property
    def pattern(self) -> str:
        return re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]{1,200})", re.escape(self.path)) + r"\Z"


@dataclass(frozen=True, slots=True)
class Answer:
    body: Mapping[str, Any]
    status: int = 200


@dataclass(frozen=True, slots=True)
class Text:
    """An answer that is not JSON."""

    content: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request."""

    gateway: Gateway
    asker: Caller | Operator | None
    path: Mapping[str, str]
    query: Fields
    body: Fields
    token: str = ""
    """The lease token that came with the request; only what gives out credentials needs it."""

    @property
    def caller(self) -> Caller | None:
        """Set when a lease token was used: everything is limited to that lease's tenant."""
        return self.asker if isinstance(self.asker, Caller) else None

    @property
    def principal(self) -> Principal:
        return self.known.principal

    @property
    def known(self) -> Caller | Operator:
        if self.asker is None:
            raise UnauthenticatedError("This call needs a token.")
        return self.asker

    @property
    def operator(self) -> Operator:
        if not isinstance(self.asker, Operator):
            raise UnauthenticatedError("This call needs the control token.")
        return self.asker


class Fields:
    """Reads named fields of one JSON object or query; `end` refuses what nobody asked for.

    Each method raises `InvalidRequestError` with the field's name."""

    def __init__(self, values: Mapping[str, Any], where: str = "") -> None:
        self._values = dict(values)
        self._where = where

    def text(self, name: str, default: str | None = None, *, most: int = 200) -> str:
        value = self._take(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, "must be a text")
        if len(value) > most or "\x00" in value or not _is_text(value):
            raise self._wrong(name, f"must be a text of at most {most} characters")
        return value

    def word(self, name: str, words: tuple[str, ...], default: str | None = None) -> str:
        value = self.text(name, default)
        if value not in words and value != default:
            raise self._wrong(name, f"must be one of {', '.join(words)}")
        return value

    def number(self, name: str, default: int | None = None, *, least: int = 0, most: int = 1 << 53) -> int:
        """A whole number; in a query, written in decimal digits."""
        value = self._take(name, default)
        if isinstance(value, str) and self._where == "query." and re.fullmatch(r"[0-9]{1,18}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self._wrong(name, f"must be a whole number from {least} to {most}")
        return value

    def truth(self, name: str, default: bool) -> bool:
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "must be true or false")
        return value

    def has(self, name: str) -> bool:
        return name in self._values

    def moment(self, name: str) -> datetime:
        text = self.text(name, most=40)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise self._wrong(name, "must be a time in ISO 8601") from None
        if moment.tzinfo is None:
            raise self._wrong(name, "must name its time zone, such as Z")
        return moment.astimezone(UTC)

    def objects(self, name: str, *, most: int) -> list[Fields]:
        value = self._take(name, None)
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self._wrong(name, "must be a list of objects")
        if len(value) > most:
            raise self._wrong(name, f"has more than {most} entries")
        return [Fields(entry, f"{self._where}{name}[{number}].") for number, entry in enumerate(value)]

    def facts(self, name: str, *, most: int = 20) -> dict[str, str | int | bool]:
        """A flat object of texts, whole numbers and truth values."""
        value = self._take(name, {})
        if not isinstance(value, dict) or len(value) > most:
            raise self._wrong(name, f"must be an object of at most {most} fields")
        for key, entry in value.items():
            short = isinstance(entry, str) and len(entry) <= 500 and _is_text(entry)
            small = isinstance(entry, int) and abs(entry) < 1 << 53
            if len(key) > 64 or not _is_text(key) or not (short or small):
                raise self._wrong(f"{name}.{key[:64]}", "must be a short text, a whole number or a truth value")
        return value

    def end(self) -> None:
        if self._values:
            raise self._wrong(min(self._values)[:64], "is not a known field")

    def _take(self, name: str, default: Any) -> Any:
        value = self._values.pop(name, _MISSING)
        if value is _MISSING:
            if default is None:
                raise self._wrong(name, "is missing")
            return default
        return value

    def _wrong(self, name: str, what: str) -> InvalidRequestError:
        return InvalidRequestError(f"{self._where}{name} {what}.")


def body_fields(content: bytes) -> Fields:
    """The fields of a JSON object; an empty body is an empty object."""
    if len(content) > MAX_BODY:
        raise TooLargeError("The body is larger than 1 MB.")
    if not content.strip():
        return Fields({})
    try:
        value = json.loads(content, parse_constant=_no_constant, object_pairs_hook=_no_repeats)
    except RecursionError:
        raise InvalidRequestError("The body is nested too deeply.") from None
    except UnicodeDecodeError:
        raise InvalidRequestError("The body is not UTF-8.") from None
    except ValueError as error:
        place = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidRequestError(f"The body is not JSON{place}.") from None
    if not isinstance(value, dict):
        raise InvalidRequestError("The body must be a JSON object.")
    return Fields(value)


def query_fields(arguments: Mapping[str, list[bytes]]) -> Fields:
    """The fields of a query; each may stand there once."""
    values: dict[str, str] = {}
    for name, given in arguments.items():
        if len(given) != 1:
            raise InvalidRequestError(f"query.{name[:64]} is given more than once.")
        try:
            values[name] = given[0].decode()
        except UnicodeDecodeError:
            raise InvalidRequestError(f"query.{name[:64]} is not UTF-8.") from None
    return Fields(values, "query.")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is given twice")
    return found


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # lone surrogates cannot be stored
        return False
    return True
