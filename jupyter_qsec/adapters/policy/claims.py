"""Which claims policies look for, and which of them somebody lacks who was refused.

Nothing here decides: whoever is refused stays so, and is told what was looked for. That is found by trying: a claim is
named when the answer would have been another one with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice
from typing import Any

from jupyter_qsec.domain.principal import Principal

Claim = tuple[str, str]
"""Name and value."""
_SETS = ("contains", "containsAll", "containsAny")
_MOST_CLAIMS, _MOST_TOGETHER = 6, 3
"""Of one policy, as many are tried, and as many of these together."""
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Look:
    """What one policy looks for."""

    policy: str
    permits: bool
    actions: frozenset[str]
    """Empty: the policy is about all."""
    claims: tuple[Claim, ...]

    def could_permit(self, action: str) -> bool:
        return self.permits and (not self.actions or action in self.actions)


def looks_of(documents: Collection[Mapping[str, Any]]) -> tuple[Look, ...]:
    """Those of the policies, in Cedar's JSON form, that look for claims."""
    found = (
        Look(
            str(document["annotations"]["id"]),
            document["effect"] == "permit",
            frozenset(_actions(document["action"])),
            tuple(sorted(set(_claims(document["conditions"])))),
        )
        for document in documents
    )
    return tuple(look for look in found if look.claims)


def lacked(
    look: Look, principal: Principal, suffices: Callable[[Principal], bool], most: int
) -> list[tuple[Claim, ...]]:
    """The smallest sets of claims of a policy that would suffice, all of one size, after at most `most` questions."""
    lacking = [(name, value) for name, value in look.claims if principal.claims.get(name) != value][:_MOST_CLAIMS]
    found: list[tuple[Claim, ...]] = []
    for some in islice(_together(lacking), most):
        if found and len(some) > len(found[0]):
            break
        if suffices(replace(principal, claims={**principal.claims, **dict(some)})):
            found.append(some)
    return found


def told(look: Look, principal: Principal, needed: Sequence[Sequence[Claim]]) -> str:
    """A sentence: which claims were looked for, and what there is instead. Which values would do is not told: they may
    name somebody."""
    either = " or ".join(dict.fromkeys(" and ".join(name for name, _ in some) for some in needed))
    names = sorted({name for some in needed for name, _ in some})
    there = [_there(name, principal.claims.get(name)) for name in names]
    return f"{look.policy} looks for {either}: {', '.join(there)}."


def _there(name: str, value: str | None) -> str:
    return f"{name} is missing" if value is None else f"{name} is {value[:_SHOWN]}"


def _together(claims: Sequence[Claim]) -> Iterator[tuple[Claim, ...]]:
    for size in range(1, _MOST_TOGETHER + 1):
        for some in combinations(claims, size):
            if len(dict(some)) == size:  # nobody has two values of one claim
                yield some


def _actions(scope: Mapping[str, Any]) -> Iterator[str]:
    entities = [scope["entity"]] if "entity" in scope else scope.get("entities", [])
    for entity in entities:
        yield str(entity["id"])


def _claims(conditions: Any) -> Iterator[Claim]:
    """What is looked for in `principal.claims`, and the second factor for `principal.mfa`."""
    line: list[Any] = [conditions]
    while line:
        node = line.pop()
        if isinstance(node, list):
            line += node
        elif isinstance(node, dict):
            line += node.values()
            if _is_of_principal(node, "mfa"):
                yield "mfa", "true"
            for name in _SETS:
                asked = node.get(name)
                if isinstance(asked, dict) and _is_of_principal(asked.get("left"), "claims"):
                    yield from _literals(asked.get("right"))


def _is_of_principal(node: Any, attribute: str) -> bool:
    return isinstance(node, dict) and node.get(".") == {"left": {"Var": "principal"}, "attr": attribute}


def _literals(node: Any) -> Iterator[Claim]:
    for one in node.get("Set", [node]):
        value = one.get("Value")
        if isinstance(value, str) and "=" in value:
            name, _, wanted = value.partition("=")
            yield name, wanted
