"""Reads Cedar policy files and says, by file and line, what is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import cedarpy

from jupyter_qsec.adapters.policy.claims import Look, looks_of
from jupyter_qsec.domain.errors import InvalidRequestError

_MAX_FILE = 1 << 20
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|;|\n')
_ID = re.compile(r"[a-z0-9][a-z0-9-]{2,79}\Z")


@dataclass(frozen=True, slots=True)
class PolicySource:
    """One policy file."""

    name: str
    """The file's name, as errors show it."""
    text: str


def shipped_schema() -> str:
    """The Cedar schema of this package, in Cedar's own syntax."""
    return (files("jupyter_qsec.adapters.policy") / "qsec.cedarschema").read_text(encoding="utf-8")


def shipped_policies() -> tuple[PolicySource, ...]:
    """The policies of this package."""
    folder = files("jupyter_qsec.adapters.policy") / "policies"
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".cedar")]
    return tuple(PolicySource(e.name, e.read_text(encoding="utf-8")) for e in sorted(found, key=lambda e: e.name))


def policies_in(folder: Path) -> tuple[PolicySource, ...]:
    """The `*.cedar` files of a folder, in order of their names; they replace the shipped ones.

    An empty tuple when there is no such file. `InvalidRequestError` when one cannot be read."""
    sources: list[PolicySource] = []
    for path in sorted(folder.glob("*.cedar")):
        try:
            if path.stat().st_size > _MAX_FILE:
                raise InvalidRequestError(f"The policy file {path} is larger than 1 MiB.")
            sources.append(PolicySource(str(path), path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequestError(f"The policy file {path} cannot be read: {error}.") from error
    return tuple(sources)


@dataclass(frozen=True, slots=True)
class PolicyBook:
    """Checked policies, parsed once."""

    policies: cedarpy.PolicySet
    schema: cedarpy.Schema
    schema_text: str
    looks: tuple[Look, ...]
    """What they look for among claims, for refusals that say so."""


def load(sources: Sequence[PolicySource], schema_text: str) -> PolicyBook:
    """Parse and validate all sources together; `InvalidRequestError` names the file and line of the first mistake."""
    schema = cedarpy.Schema.from_str(schema_text)
    seen: dict[str, str] = {}
    documents: list[Mapping[str, Any]] = []
    for source in sources:
        for line, statement in _statements(source.text):
            place = f"{source.name}, line {line}"
            policy_id, document = _checked(statement, schema, place)
            documents.append(document)
            if policy_id in seen:
                raise InvalidRequestError(
                    f"Policy error in {place}: @id {policy_id!r} is used in {seen[policy_id]} too."
                )
            seen[policy_id] = place
    if not seen:
        raise InvalidRequestError("There is no policy, so nothing would be allowed.", remedy="Add a *.cedar file.")
    whole = "\n".join(source.text for source in sources)
    return PolicyBook(cedarpy.PolicySet.from_str(whole), schema, schema_text, looks_of(documents))


def _checked(statement: str, schema: cedarpy.Schema, place: str) -> tuple[str, Mapping[str, Any]]:
    """The policy's id, and the policy in Cedar's JSON form."""
    result = cedarpy.validate_policies(statement, schema)
    if not result.validation_passed:
        detail = "; ".join(error.error for error in result.errors)[:500]
        raise InvalidRequestError(f"Policy error in {place}: {detail}.")
    document: dict[str, Any] = json.loads(cedarpy.policies_to_json_str(statement))
    if document.get("templates"):
        raise InvalidRequestError(f"Policy error in {place}: templates are not supported.")
    policies = list(document["staticPolicies"].values())
    policy_id = policies[0].get("annotations", {}).get("id") or "" if len(policies) == 1 else ""
    if not _ID.match(policy_id):
        raise InvalidRequestError(
            f"Policy error in {place}: every policy needs a stable id.",
            remedy='Write @id("permit-something") before it.',
        )
    return str(policy_id), policies[0]


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each policy of a file with the line on which it starts. What follows the last semicolon counts as one."""
    line, start, start_line = 1, 0, 1
    for token in _TOKEN.finditer(text):
        line += token.group().count("\n")
        if token.group() == ";":
            yield start_line + _blank_lines(text[start : token.end()]), text[start : token.end()]
            start, start_line = token.end(), line
    rest = re.sub(r"//[^\n]*", "", text[start:]).strip()
    if rest:
        yield start_line + _blank_lines(text[start:]), text[start:]


def _blank_lines(statement: str) -> int:
    """How many lines of space and comments precede a statement's first word."""
    return (re.match(r"(?:\s|//[^\n]*(?:\n|\Z))*", statement) or [""])[0].count("\n")
