"""Whether a value that stands beside a telling name is likely to be a secret rather than a placeholder or a name."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Callable

Check = Callable[[str, str, str], bool]
"""(name before and around the trigger, value, character before the value) -> whether this is a secret."""

_PLACEHOLDER = re.compile(
    r"\[REDACTED|your|change.?me|placeholder|dummy|insert|replace|todo|redacted|xxxx|\*\*\*|\.\.\.|…|<[^>]*>|\{[^}]*\}"
    r"|\$\(|\$\w|%\(|^%[sd]|^(?:none|null|true|false|undefined|test|secret|password|passwd|pass|token|string|str|str2|bytes"
    r"|bearer|key|api.?key|value|optional|required|example|hidden|masked|input|prompt|basic|digest|int|float|bool)$",
    re.IGNORECASE,
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_LABEL = re.compile(r"\b(?:secret|password|passphrase|token|key|credential)s?\b", re.IGNORECASE)
_REFERENCE = re.compile(r"^(?:arn:|https?:|s3:|file:|/|\.{1,2}/|~/|sha\d+[:-]|os\.|env[.(:]|self\.|cls\.)")
_FILE = re.compile(r"[\w.-]*(?:/[\w.-]+)+\.[a-z]{1,8}")
_CALL_OR_INDEX = re.compile(r"[\w.]+[(\[]")
_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_CONSTANT_NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_NOT_A_SECRET_NAME = re.compile(
    r"(?:client|next|page|pagination|continuation|start|starting|end|request|idempotency|pad|eos|bos|unk|sep|mask|cls|stop"
    r"|special|max|min|num|total|prompt|completion|input|output)[_-]?tokens?(?![a-z])"
    r"|tokens?[_-]?(?:id|ids|type|count|counts|file|path|url|uri|limit|budget|list|len|length|size|name|env|expiry|expires|ttl)"
    r"|(?:secret|password|passwd|pwd|pass|key|token|credential)s?[_-]?(?:name|id|ids|arn|path|file|filename|url|uri|field"
    r"|label|env|var|variable|type|hash|digest|sha\d*|prompt|message|text|policy|format|length|regex|pattern|help|title"
    r"|provider|store|manager|version|prefix|suffix|expires?|ttl|required|reset|hint)(?![a-z])"
    r"|cell[_-]?id|public[_-]?key",
    re.IGNORECASE,
)


def entropy(value: str) -> float:
    """Shannon entropy in bits a character."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values()) if total else 0.0


def placeholder(value: str) -> bool:
    return len(value) < 4 or bool(_PLACEHOLDER.search(value)) or len(set(value)) < 4


def has_letter_and_digit(value: str) -> bool:
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def telling_name(name: str) -> bool:
    """The name speaks of a secret, not of something about one (`token_count`, `next_token`, `secret_name`)."""
    return not _NOT_A_SECRET_NAME.search(name)


def _reference(value: str) -> bool:
    return bool(_REFERENCE.match(value) or _CONSTANT_NAME.fullmatch(value) or _FILE.fullmatch(value))


def _expression(value: str) -> bool:
    """A bare word of a program: a call, an index, an attribute or a variable."""
    return bool(_CALL_OR_INDEX.match(value)) or bool(
        _DOTTED_NAME.fullmatch(value) and not any(c.isdigit() for c in value)
    )


def quoted(before: str) -> bool:
    return before in {'"', "'", "`", ";", "2"}  # the last two end `&quot;` and `%22`


def password_like(name: str, value: str, before: str) -> bool:
    """A literal given to a name that says password or secret."""
    if not telling_name(name) or placeholder(value) or _reference(value) or value.lower() in name.lower():
        return False
    if value.count(" ") > 5 or (" " in value and _LABEL.search(value)):  # a sentence, a label or a prompt
        return False
    if quoted(before):
        return True
    return len(value) >= 6 and not _expression(value)


def opaque_token(name: str, value: str, before: str) -> bool:
    """A long random-looking value given to a name that says token or key."""
    if not telling_name(name) or placeholder(value) or _reference(value) or _UUID.fullmatch(value):
        return False
    if not has_letter_and_digit(value) or (not quoted(before) and _expression(value)):
        return False
    return entropy(value) >= (2.5 if len(value) < 24 else 3.0)


def provider_token(name: str, value: str, before: str) -> bool:
    """A value given to a variable that a provider documents for its token: only obvious non-values are let go."""
    if placeholder(value) or _reference(value):
        return False
    return has_letter_and_digit(value) and (quoted(before) or not _expression(value))


def aws_secret(name: str, value: str, before: str) -> bool:
    """40 random base64 characters: of all three kinds of character, so no digest in hex."""
    kinds = (any(c.isupper() for c in value), any(c.islower() for c in value), any(c.isdigit() for c in value))
    return telling_name(name) and all(kinds) and entropy(value) >= 3.5


def anything(name: str, value: str, before: str) -> bool:
    return True


def not_placeholder(name: str, value: str, before: str) -> bool:
    return not placeholder(value)


def with_letter_and_digit(name: str, value: str, before: str) -> bool:
    return has_letter_and_digit(value)


def json_web_token(name: str, value: str, before: str) -> bool:
    """The first part decodes to a JOSE header (RFC 7515 section 4), as random base64 does not."""
    header = value.partition(".")[0]
    try:
        decoded = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return False
    return isinstance(decoded, dict) and not decoded.keys().isdisjoint({"alg", "enc", "typ", "kid"})
