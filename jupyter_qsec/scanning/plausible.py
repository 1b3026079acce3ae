"""Whether a value that stands beside a telling name is likely to be a secret rather than a placeholder or a name."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable

import re2

Check = Callable[[str, str, str], bool]
"""(name before and around the trigger, value, character before the value) -> whether this is a secret."""


def _search(pattern: str) -> Callable[[str], bool]:
    """Whether a pattern occurs, in any case, in linear time: names and values may be as long as somebody likes."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.case_sensitive = False
    options.never_capture = True
    compiled = re2.compile(pattern.encode("latin-1"), options)

    def occurs(text: str) -> bool:
        return compiled.search(text.encode("latin-1", "replace")) is not None

    return occurs


_is_placeholder = _search(
    r"\[REDACTED|\byour|your[_-]|change.?me|placeholder|dummy|insert|replace|todo|redacted|xxxx"
    r"|\*\*\*|\.\.\.|^user@[\w.]*$|^<[^>]*>$|<[a-z][\w -]*>|^<[A-Za-z][\w-]*$"
    r"|\$?\{\{?\s*[A-Za-z_][\w.-]{2,}[^{}\n]{0,40}\}|^\$?\{.*\}$|\$\(|(?:^|[^A-Za-z0-9#])\$[A-Za-z_]\w{2,}|%\(\w|^%[sd]"
    r"|^(?:none|null|true|false|undefined|test|secret|password|passwd|pass|token|string|str|str2|bytes"
    r"|bearer|key|api.?key|value|optional|required|example|hidden|masked|input|prompt|basic|digest|int|float|bool|include|omit|same-origin)$"
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_has_label = _search(r"\b(?:secret|password|passphrase|token|key|credential)s?\b")
_REFERENCE = re.compile(
    r"^(?:arn:|https?:|s3:|gs:|file:|\.{1,2}/|~/|sha\d+(?:[:-]|~$)|os\.|env[.(:]|self\.|cls\.|this\.|projects/|vault:|secret:)"
)
_PATH = re.compile(r"/?(?:[\w.-]+/)+[\w.-]*|/[\w.-]+")
_FILE = re.compile(
    r"[\w.-]*(?:/[\w.-]+)+\.[a-z]{1,8}|[\w-]+\.(?:json|ya?ml|toml|txt|py|pem|crt|cfg|ini|env|csv|js|ts|md|html?|pub|ipynb)"
)
_CALL_OR_INDEX = re.compile(r"[\w.:]+[(\[]|[\w.]+->")
_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_CONSTANT_NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_SNAKE = re.compile(r"_?[A-Za-z]+\d*(?:[_.-][A-Za-z]+\d*|[_.-]\d+)*_?")
_is_about_secrets = _search(
    r"(?:client|next|page|pagination|continuation|start|starting|end|request|idempotency|pad|eos|bos|unk|sep|mask|cls|stop"
    r"|special|max|min|num|total|prompt|completion|input|output|per|new|img|image|user_input|csrf|xsrf)[_-]?tokens?(?:[^a-z]|$)"
    r"|tokens?[_-]?(?:id|ids|type|count|counts|file|path|url|uri|limit|budget|list|len|length|size|name|env|expiry|expires|ttl"
    r"|ize|izer|ization|used|usage|per)"
    r"|(?:secret|password|passwd|pwd|pass|key|token|credential)s?[_-]?(?:name|id|ids|arn|path|file|filename|url|uri|field"
    r"|label|env|var|variable|type|hash|digest|sha\d*|prompt|message|text|policy|format|length|regex|pattern|help|title"
    r"|provider|store|manager|version|prefix|suffix|expires?|ttl|required|reset|hint|stdin|_words?|error|func|fn|col|column"
    r"|map|press|board|frame|point|points|chain|ring|space)(?:[^a-z]|$)"
    r"|[_-](?:uri|url|path|file|filename|dir|endpoint|arn)s?(?:[^a-z]|$)"
    r"|hashed[_-]?(?:secret|password|passwd|token|key)s?|cell[_-]?id|public[_-]?key|ssh[_-]?pub|partition[_-]?key|sort[_-]?key|primary[_-]?key|foreign[_-]?key|hash[_-]?key"
    r"|cache[_-]?key|idempotency[_-]?key|dedup\w*[_-]?key|object[_-]?key|s3[_-]?key|lookup[_-]?key|keyword|keyerror|monkey|turkey"
    r"|hotkey|bypass|compass|encompass|surpass|by[_-]?pass|passes|passed|passing|passive|passenger|passage|passport"
)
_may_give_uuids = _search(
    r"api[_-]?(?:key|token)|access[_-]?token|auth(?:orization)?\b|secret|password"
    r"|heroku|snyk|postmark|plaid|kraken|sumo|fastly|looker|okta|jfrog|hubspot|messagebird|bitbucket|squarespace|settlemint"
    r"|dapr|octopus|airtable|mapbox|finicity|nytimes|sendbird|zoom|asana|buildkite|circle|logz|pinecone|kucoin|dialog"
)
_asks_for_it = _search(
    r"\.(?:get|pop|getlist|encode|decode|startswith|endswith|r?split|[lr]?strip|removeprefix|removesuffix|join|find|count|index"
    r"|add_argument)\([bru]?[\"'`]$"
)
_gets_it = _search(
    r"(?:^|[._])(?:get|load|fetch|read|find|look_?up|retrieve|resolve)\w*(?:secret|passw|passphrase|credential|token|key)\w*"
    r"\([bru]?[\"'`]$"
)
_END_OF_ARN = re.compile(r"([\w/+=.@-]+)-(?:[A-Za-z0-9]{6}|\?{1,6}|\*)(?::[\w-]*){0,3}")
_BEHIND_COMMA = re.compile(r"""\s*[bBrRuUfF]{0,2}["'`]""")
_FIELDS = re.compile(
    r"class|data|database|db|default|description|e?mail|format|group|host|hostname|id|items|kind|label|login|metadata|name"
    r"|params|placeholder|port|properties|required|roles?|scopes?|status|title|type|url|user|username|version",
    re.IGNORECASE,
)
_PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_GENE = frozenset("ACGTN")
_DIGIT = re.compile(r"\d")
_LETTER = re.compile(r"[^\W\d_]")
_MARKS = frozenset("!@#$^~%&*?+")


def entropy(value: str) -> float:
    """Shannon entropy in bits a character."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values()) if total else 0.0


def placeholder(value: str) -> bool:
    return len(value) < 4 or len(set(value)) < 4 or "EXAMPLE" in value or _is_placeholder(value)


def has_letter_and_digit(value: str) -> bool:
    return bool(_DIGIT.search(value) and _LETTER.search(value))


def _of_three_kinds(value: str) -> bool:
    return value != value.upper() and value != value.lower() and bool(_DIGIT.search(value))


def telling_name(name: str) -> bool:
    """The name speaks of a secret, not of something about one (`token_count`, `next_token`, `secret_name`)."""
    return not _is_about_secrets(name)


def generated(value: str) -> bool:
    """Made by a machine, or a person who was told to use all kinds of characters: short pieces of changing kind.

    Names, words and numbers with units are made of few and longer pieces.
    """
    pieces = _PIECES.findall(value)
    size = sum(map(len, pieces))
    if size < 5 or len(pieces) < 2:
        return False
    digits = sum(c.isdigit() for c in value)
    marks = sum(c in _MARKS for c in value)
    if not digits and not marks:
        return len(pieces) >= 4 and size / len(pieces) < 3 and len(value) >= 8
    if digits == size or not any(c.isalpha() for c in value):
        return False
    if marks:
        return size / len(pieces) < 5
    if _SNAKE.fullmatch(value) and value == value.lower():
        return len(value) >= 20 and digits >= 3 and size / len(pieces) < 4
    return size / len(pieces) < 2.7 and len(pieces) >= 3


def _words(value: str) -> bool:
    """Four and more words between dashes, dots and underscores, with few digits."""
    if not _SNAKE.fullmatch(value) or sum(value.count(mark) for mark in "-._") < 3:
        return False
    pieces = _PIECES.findall(value)
    return sum(map(len, pieces)) >= 3 * len(pieces) and 8 * sum(c.isdigit() for c in value) < len(value)


def _neighbour(name: str, value: str) -> bool:
    """Another name, which follows the first one in a list or an object."""
    comma, between = name.rpartition(",")[1:]
    if not comma or not _BEHIND_COMMA.fullmatch(between):
        return False
    return bool(_FIELDS.fullmatch(value)) or (
        "\n" in between and bool(_SNAKE.fullmatch(value)) and not generated(value)
    )


def _reference(value: str) -> bool:
    return bool(
        _REFERENCE.match(value)
        or _CONSTANT_NAME.fullmatch(value)
        or _FILE.fullmatch(value)
        or (
            _PATH.fullmatch(value)
            and (value.count("/") > 1 or len(value) < 20)
            and not (generated(value) or _opaque_run(value))
        )
    )


def _expression(value: str) -> bool:
    """A bare word of a program: a call, an index, an attribute or a variable."""
    if _CALL_OR_INDEX.match(value):
        return True
    return bool(_DOTTED_NAME.fullmatch(value)) and not generated(value) and not _opaque_run(value)


def _opaque_run(value: str) -> bool:
    """Holds letters and digits in a row that are too many for a name."""
    longest = max(re.findall(r"[A-Za-z0-9]+", value), key=len, default="")
    return len(longest) >= 24 and sum(c.isdigit() for c in longest) >= 3


def _names_one(name: str, value: str) -> bool:
    """By what name a program asks for a secret, or AWS knows it: `get_secret("lab")`, `arn:…:secret:lab-a1b2c3`."""
    if name == "secret:" and (arn := _END_OF_ARN.fullmatch(value)):
        return not generated(arn[1])
    if "(" not in name or not _gets_it(name):
        return False
    return bool(_UUID.fullmatch(value)) or not any(
        generated(word) or _opaque_run(word) for word in re.split("[./:@ ]", value)
    )


def quoted(before: str) -> bool:
    return before in {'"', "'", "`", ";", "2"}  # the last two end `&quot;` and `%22`


def password_like(name: str, value: str, before: str) -> bool:
    """A literal given to a name that says password or secret."""
    if not telling_name(name) or placeholder(value) or _reference(value) or value.lower() in name.lower():
        return False
    if value.count(" ") > 5 or (" " in value and _has_label(value)):  # a sentence, a label or a prompt
        return False
    if ("(" in name and _asks_for_it(name)) or _names_one(name, value) or _neighbour(name, value):
        return False
    if _UUID.fullmatch(value):
        return _may_give_uuids(name)
    return True


def bare_secret(name: str, value: str, before: str) -> bool:
    """A word without quotes behind a name that says password, secret or token: more must speak for it."""
    whole, value = value, _without_punctuation(value)
    if placeholder(whole) or not password_like(name, value, before) or _expression(value):
        return False
    if name.isupper() and not quoted(before) and "=" in name:
        return True
    if "," in value:
        return sum(c in _MARKS for c in value) >= 4
    return generated(value) or strong(value)


def _without_punctuation(value: str) -> str:
    """The word without what a sentence or a program puts behind it; a mark that makes a password strong stays."""
    return value.rstrip(",.;:)]}")


def strong(value: str) -> bool:
    """Long and random."""
    return len(value) >= 16 and has_letter_and_digit(value) and not _SNAKE.fullmatch(value) and entropy(value) >= 3.2


def opaque_token(name: str, value: str, before: str) -> bool:
    """A long random-looking value given to a name that says token or key."""
    if not telling_name(name) or placeholder(value) or _reference(value):
        return False
    if _UUID.fullmatch(value):
        return _may_give_uuids(name)
    if value.isdigit():
        return len(value) >= 15 and len(set(value)) > 4 and value[:3] != "000"
    if not has_letter_and_digit(value) or (not quoted(before) and ("," in name or _expression(value))):
        return False
    if len(value) < 16:
        return generated(value)
    return entropy(value) >= (2.5 if len(value) < 24 else 3.0)


def some_key(name: str, value: str, before: str) -> bool:
    """A value given to a name that says only key, auth, salt or nonce: it must be random beyond doubt."""
    if not telling_name(name) or placeholder(value) or _reference(value) or _UUID.fullmatch(value):
        return False
    if len(value) >= 16 and _of_three_kinds(value):
        return generated(value) and entropy(value) >= 3.3
    return len(value) >= 28 and has_letter_and_digit(value) and not _SNAKE.fullmatch(value) and entropy(value) >= 3.0


def provider_token(name: str, value: str, before: str) -> bool:
    """A value given to a variable that a provider documents for its token: only obvious non-values are let go."""
    if placeholder(value) or _REFERENCE.match(value) or _CONSTANT_NAME.fullmatch(value) or _FILE.fullmatch(value):
        return False
    return (
        has_letter_and_digit(value)
        and (quoted(before) or not _CALL_OR_INDEX.match(value))
        and not _word_and_number(value)
    )


def _word_and_number(value: str) -> bool:
    return bool(_SNAKE.fullmatch(value)) and len(value) < 16 and not generated(value)


def vendor_key(name: str, value: str, before: str) -> bool:
    """A value given to a name that holds a provider's name."""
    if placeholder(value) or not telling_name(name) or _reference(value):
        return False
    if _UUID.fullmatch(value):
        return _may_give_uuids(name)
    if value.isdigit():
        return len(value) >= 15
    if not has_letter_and_digit(value) or (not quoted(before) and _expression(value)):
        return False
    return (generated(value) or strong(value)) and entropy(value) >= 2.8


def after_dashes(name: str, value: str, before: str) -> bool:
    """The value of a command's option: `--password x`."""
    if not name.startswith("-") or not telling_name(name) or placeholder(value) or _reference(value):
        return False
    return value[0] != "-" and (quoted(before) or generated(value) or strong(value) or bool(_UUID.fullmatch(value)))


def of_a_command(name: str, value: str, before: str) -> bool:
    """A password behind a command's short option; nothing that a shell or a template puts there."""
    return not placeholder(value) and value[0] not in "$%<{(" and not _reference(value) and not _names_one(name, value)


def of_a_login(name: str, value: str, before: str) -> bool:
    """As of a command, where words and numbers of ports stand, too."""
    return of_a_command(name, value, before) and (quoted(before) or generated(value) or strong(value))


def at_a_prompt(name: str, value: str, before: str) -> bool:
    """What answers a question for a password, where commands follow, too: not a word, nor several."""
    return of_a_command(name, value, before) and (generated(value) or strong(value)) and " " not in value


def in_a_call(name: str, value: str, before: str) -> bool:
    """A literal in the place of a password; documentation writes words there."""
    return not placeholder(value) and value[0] not in "$%<{" and (generated(value) or strong(value) or " " in value)


def in_statement(name: str, value: str, before: str) -> bool:
    """The password of an SQL statement: a literal, or a word that can be nothing else."""
    value = _without_punctuation(value)
    return not placeholder(value) and (quoted(before) or generated(value) or strong(value))


_WORD_AND_YEAR = re.compile(r"(?=[A-Z]?[a-z]+[0-9])[A-Za-z]{4,20}(?:19|20)[0-9]{2}[!$#?*&%@]{0,3}")
"""What people make up who have to change a password."""


def told_in_words(name: str, value: str, before: str) -> bool:
    """What a sentence says a password is."""
    if placeholder(value) or _reference(value) or _CALL_OR_INDEX.match(value) or not telling_name(name.split(" ")[0]):
        return False
    if _names_one(name, value) or "://" in value or value.endswith((".py", ".json")):
        return False
    return generated(value) or strong(value) or _WORD_AND_YEAR.fullmatch(value.rstrip(".")) is not None


def shuffled(name: str, value: str, before: str) -> bool:
    """Letters and digits in no order."""
    return not placeholder(value) and generated(value)


def issued(name: str, value: str, before: str) -> bool:
    """What a machine gives out: no row of `x`, and no words between dashes, dots or underscores."""
    return "xxxxxx" not in value.lower() and not _words(value)


def no_word_of_an_example(name: str, value: str, before: str) -> bool:
    return "example" not in value.lower() and "xxxx" not in value.lower()


def no_zeroes(name: str, value: str, before: str) -> bool:
    """As issued, and no base64 of small numbers, most of which is `A`. Some tokens begin with 22 of these."""
    rest = value[22:]
    return issued(name, value, before) and rest.count("A") * 3 < len(rest)


def no_published_example(name: str, value: str, before: str) -> bool:
    """AWS's documentation marks the keys in it."""
    return "EXAMPLE" not in value


def access_key_id(name: str, value: str, before: str) -> bool:
    """No gene, no filler, no zeroes in base64, and without a digit nothing within a row of capital letters, such as a
    protein or a list of words."""
    body = value[4:]
    if value.endswith("EXAMPLE") or "XXXXXX" in body or _GENE.issuperset(body):
        return False
    if body.count("A") > 5:
        return False
    return not before.isupper() or bool(_DIGIT.search(body))


def aws_secret(name: str, value: str, before: str) -> bool:
    """40 random base64 characters: of all three kinds of character, so no digest in hex."""
    published = not no_published_example(name, value, before)
    return not published and telling_name(name) and _of_three_kinds(value) and entropy(value) >= 3.5


def anything(name: str, value: str, before: str) -> bool:
    return True


def not_placeholder(name: str, value: str, before: str) -> bool:
    return not placeholder(value)


def with_letter_and_digit(name: str, value: str, before: str) -> bool:
    return has_letter_and_digit(value) and issued(name, value, before)


def credentials(name: str, value: str, before: str) -> bool:
    """What follows the name of a header or a scheme."""
    if placeholder(value) or _reference(value) or _CALL_OR_INDEX.match(value) or value == "AWS4-HMAC-SHA256":
        return False
    return has_letter_and_digit(value) or value.endswith("=") or generated(value)
