"""Reading JSON bodies at the trust boundary: bounded, typed, and every complaint names the field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from jupyter_qsec.domain.errors import InvalidRequestError


class JsonBody:
    """The object in a request body. Unknown members are ignored, as AWS does."""

    def __init__(self, body: bytes) -> None:
        """`InvalidRequestError` unless the body is one JSON object in UTF-8 without repeated names."""
        try:
            value = json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise InvalidRequestError(f"The request body is not valid JSON: {_reason(error)}") from error
        if not isinstance(value, dict):
            raise InvalidRequestError("The request body must be a JSON object.")
        self._members: Mapping[str, Any] = value

    def text(self, name: str, least: int, most: int) -> str:
        """A required string of `least` to `most` characters."""
        value = self._members.get(name)
        if value is None:
            raise InvalidRequestError(f"{name} is missing.")
        return checked_text(value, name, least, most)

    def optional_text(self, name: str, least: int, most: int) -> str:
        """A string, or an empty text when the member is missing or null."""
        return "" if self._members.get(name) is None else self.text(name, least, most)

    def whole(self, name: str, least: int, most: int, default: int | None = None) -> int:
        """A whole number; required unless there is a default."""
        value = self._members.get(name)
        if value is None and default is not None:
            return default
        if value is None:
            raise InvalidRequestError(f"{name} is missing.")
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidRequestError(f"{name} must be a whole number.")
        if not least <= value <= most:
            raise InvalidRequestError(f"{name} must be between {least} and {most}.")
        return value

    def items(self, name: str, most: int, *, required: bool = False) -> list[Any]:
        """An array of at most `most` elements, empty when missing."""
        value = self._members.get(name)
        if value is None:
            if required:
                raise InvalidRequestError(f"{name} is missing.")
            return []
        if not isinstance(value, list) or len(value) > most:
            raise InvalidRequestError(f"{name} must be an array of at most {most} elements.")
        return value

    def mapping(self, name: str, most: int, *, required: bool = False) -> dict[str, str]:
        """An object of strings with at most `most` members, empty when missing."""
        value = self._members.get(name)
        if value is None:
            if required:
                raise InvalidRequestError(f"{name} is missing.")
            return {}
        if not isinstance(value, dict) or len(value) > most:
            raise InvalidRequestError(f"{name} must be an object of at most {most} members.")
        if not all(isinstance(item, str) for item in value.values()):
            raise InvalidRequestError(f"Each value of {name} must be a string.")
        return dict(value)

    def raw(self, name: str) -> Any:
        return self._members.get(name)


def checked_text(value: Any, name: str, least: int, most: int) -> str:
    """A string of `least` to `most` characters that can be encoded, or `InvalidRequestError` naming the field."""
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be a string.")
    if not least <= len(value) <= most:
        raise InvalidRequestError(f"{name} must have {least} to {most} characters.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRequestError(f"{name} holds half of a surrogate pair.") from error
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name comes twice in one object")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}."
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}."
    return "nested too deeply." if isinstance(error, RecursionError) else f"{error}."
