"""What a rule is, and the forms that most rules have.

Every pattern is RE2 syntax, so its cost is linear in the text whoever wrote that text. A rule is anchored at one of its
triggers: `lead` runs from the trigger to the secret and is no secret itself; an empty lead means the secret begins with
the trigger. Formats come from the providers' documentation and, where named, from detect-secrets' plugins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jupyter_qsec.scanning import plausible
from jupyter_qsec.scanning.plausible import Check
from jupyter_qsec.scanning.severity import Severity

QUOTE = r"""(?:\\{0,4}["'`]|&quot;|&#39;|&#x27;|&#34;|%22)"""
_CLOSE = rf"{QUOTE}?[\])}}]{{0,2}}"
_OPEN = rf"[(\[]?(?:\r?\n[ \t]{{0,24}})?[bBrRuUfF]{{0,2}}{QUOTE}{{0,3}}"
_TYPED = r":[ \t]?[A-Za-z\[\]]{1,20}[ \t]?=|[ \t][A-Za-z]{1,12}[ \t]=[ \t]"
OPERATOR = rf"(?:{_TYPED}|={{1,3}}>?|!==?|[?+.|]=|:{{1,3}}=|->|[:,]|%3[aAdD])"
"""`=`, `:`, `:=`, `=>`, `?=`, `.=`, `==`, `!=`, `: str =`, ` string = `, `", "`, and percent-encoded ones."""
ASSIGN = rf"{_CLOSE}[ \t]{{0,8}}{OPERATOR}[ \t]{{0,8}}{_OPEN}"
"""From a name to its value, also with JSON- and HTML-escaped quotes."""
TAGGED = r"[\"']?>\s{0,24}"
"""From the name of an element to its text."""
ASSIGN_OR_SPACE = rf"(?:{ASSIGN}|{_CLOSE}[ \t|]{{1,24}}{_OPEN})"
OPAQUE = "[A-Za-z0-9_.+/~=-]"
B64 = "A-Za-z0-9+/"
B64URL = "A-Za-z0-9_-"
WORD = "A-Za-z0-9"

REVOKE = "Revoke it where it was issued, and keep the new one out of notebooks."
CHANGE = "Change it where it is used, and read the new one from the environment or a prompt."


@dataclass(frozen=True, slots=True)
class Rule:
    """One shape of secret."""

    kind: str
    triggers: tuple[str, ...]
    """Lower-case literals, matched without regard to case; `lead` or `body` begins with one of them."""
    body: str
    """The secret itself."""
    lead: str = ""
    tail: str = ""
    """What must follow the secret, without being part of it."""
    gate: str = ""
    """What must follow the trigger for the text to be worth a look: for triggers that are common words."""
    plugin: str = ""
    """The detect-secrets plugin that must confirm the finding."""
    probe: str = "{window}"
    """What the plugin is shown: the text from trigger to tail, or something made of `{identifier}` and `{value}`."""
    check: Check = plausible.anything
    not_after: str = ""
    """Character class body: none of these may stand before the trigger."""
    not_before: str = ""
    """Character class body: none of these may follow the secret."""
    grows: str = ""
    """Character class body with which the secret goes on past the shortest match; empty: its length is fixed."""
    span: int = 512
    """How far from the trigger a shortest match may end; what `grows` reaches further."""
    joins: bool = False
    """Distinctive enough to be recognised across line breaks (a key printed in pieces)."""
    severity: Severity = Severity.HIGH
    description: str = ""
    """A noun phrase, for example `AWS access key id`."""
    advice: str = REVOKE
    """What to do when one has leaked, in one sentence."""
    examples: tuple[str, ...] = ()
    """Texts in which this rule finds a secret. `{h40}` stands for 40 random hex digits; the other letters are in
    `tests/unit/scanning/examples.py`. No example holds a secret."""
    never: tuple[str, ...] = ()
    """Texts that look alike and hold none, in the same notation: what somebody would fear to be flagged."""


def token(
    kind: str, description: str, body: str, *triggers: str, example: str, never: tuple[str, ...], **more: Any
) -> Rule:
    """A token that its own first characters give away. `body` begins with one of the triggers."""
    settings: dict[str, Any] = {"not_after": WORD, "joins": True, "check": plausible.issued, **more}
    names = tuple(trigger.lower() for trigger in triggers)
    return Rule(kind, names, body, description=description, examples=(example,), never=never, **settings)


def named(
    kind: str,
    description: str,
    *names: str,
    never: tuple[str, ...],
    body: str = rf"{OPAQUE}{{12,}}",
    **more: Any,
) -> Rule:
    """A secret that only its documented variable gives away, and that is no call."""
    settings: dict[str, Any] = {
        "check": plausible.provider_token,
        "grows": OPAQUE[1:-1],
        "not_before": r"(\[",
        **more,
    }
    triggers = tuple(name.lower() for name in names)
    lead = rf"(?i:{'|'.join(names)})\w{{0,12}}(?:{ASSIGN_OR_SPACE}|{TAGGED})"
    settings.setdefault("examples", (f"{names[0]}='{{a32}}'",))
    return Rule(kind, triggers, body, lead=lead, description=description, never=never, **settings)
