"""Two stages on bytes: one pass for the triggers of all rules, then only a trigger's own rules, anchored at it.

Texts become bytes one to one: characters outside Latin-1 turn into `?`, so offsets need no translation and the bulk of
a scan costs one pass of google-re2 over flat memory.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Iterator, Sequence
from re import _parser  # type: ignore[attr-defined]  # the only thing that tells how long a match may be
from typing import Any

import re2
import regex

from jupyter_qsec.scanning.expressions import Expression
from jupyter_qsec.scanning.rules import Rule
from jupyter_qsec.scanning.shapes import Shape

_MAX_MEMORY = 64 << 20
_PIECE = 1 << 16
_HEADS = (8, 4, 2)
"""Triggers are told apart by as many of their first bytes as they have of these, before they are compared."""
_CONTROLS = frozenset((0x1B, *range(0x80, 0xA0)))
"""Bytes with which a control sequence begins, and those of their kind."""
_NOTHING = r"[^\x00-\xff]"


def _options(**settings: Any) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _MAX_MEMORY
    for name, value in settings.items():
        setattr(options, name, value)
    return options


_READ_AS = {
    **dict.fromkeys("\u201c\u201d\u201e\u201f", '"'),
    **dict.fromkeys("\u2018\u2019\u201a\u201b", "'"),
    **dict.fromkeys("\uff1a\uff1d", ":"),
    **dict.fromkeys(("비밀번호", "패스워드", "暗証番号"), "pwd_"),
    **dict.fromkeys(("비번", "암호", "密码", "密碼", "口令"), "pw"),
    **dict.fromkeys(("пароль", "Пароль", "пароля"), "passwd"),
    "パスワード": "pwd__",
}
_foreign = re.compile("|".join(sorted(_READ_AS, key=len, reverse=True)))


def flat(*parts: str) -> bytes:
    """One byte a character. Typographic quotes, and "password" in other scripts, are read as what the rules know. No
    word of another script may stand between two parts."""
    if len(parts) == 1 and len(parts[0]) <= _PIECE:
        return _flat(parts[0])
    data = io.BytesIO()
    for part in parts:
        for piece in _pieces(part):
            data.write(_flat(piece))
    return data.getvalue()


def _flat(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return _foreign.sub(lambda match: _READ_AS[match[0]], text).encode("latin-1", "replace")


def without(data: bytes, characters: bytes) -> bytes:
    """All but these characters."""
    left = io.BytesIO()
    for start in range(0, len(data), _PIECE):
        left.write(data[start : start + _PIECE].translate(None, characters))
    return left.getvalue()


def _pieces(text: str) -> Iterator[str]:
    """The text in parts between which no word of another script stands: one operation on all of a large text would hold
    up every other thread of a server."""
    start = 0
    while start < len(text):
        end = start + _PIECE
        while end < len(text) and text[end - 1] > "\x7f":
            end += 1
        yield text[start:end]
        start = end


def word_begun(text: str) -> int:
    """Where a word begins at the end of the text that `flat` will read as another one once it is complete."""
    if text[-1:] < "\u0100":
        return len(text)
    sizes = [size for word in _READ_AS for size in range(1, len(word)) if text.endswith(word[:size])]
    return len(text) - max(sizes, default=0)


class CompiledRule:
    """A rule with its expressions: `full` for bulk work, `prefix` to tell whether a text may become a match."""

    def __init__(self, rule: Rule, priority: int) -> None:
        self.rule = rule
        self.priority = priority
        self.not_after = _class_of(rule.not_after)
        self.not_before = _class_of(rule.not_before)

    @functools.cached_property
    def open(self) -> bool:
        """Whether what follows a match decides about it: it goes on, something must not follow, or it may be longer
        and has no tail that ends it. Found when first asked for: to measure a pattern takes as long as many matches."""
        if self.rule.grows or self.rule.not_before:
            return True
        shortest, longest = _parser.parse(self.rule.body).getwidth()
        return bool(shortest < longest) and not self.rule.tail

    @functools.cached_property
    def grows(self) -> frozenset[int]:
        """With which bytes the secret may go on past the shortest match. A control sequence is none of it, whatever its
        characters: it may stand within."""
        return _class_of(self.rule.grows) - _CONTROLS

    @functools.cached_property
    def full(self) -> Expression:
        """The expression from trigger to tail; its group is the secret. Compiled when its trigger is first met."""
        return Expression(self.whole, _options())

    @property
    def whole(self) -> bytes:
        """The pattern of `full`."""
        return f"(?:{self.rule.lead})({self.rule.body})(?:{self.rule.tail})".encode("latin-1")

    @functools.cached_property
    def growing(self) -> Expression:
        """The expression with which the secret goes on past the shortest match."""
        return Expression(b"[%s]*" % b"".join(b"\\x%02x" % code for code in sorted(self.grows)), _options())

    @functools.cached_property
    def prefix(self) -> Any:
        """The expression for partial matches; its empty first group marks where the secret begins. Compiled when first
        needed: streams alone use it, and each takes a millisecond."""
        return regex.compile(f"(?:{self.rule.lead})()({self.rule.body})(?:{self.rule.tail})")

    @functools.cached_property
    def lead(self) -> Any:
        """The lead alone, for partial matches that have more than one reading."""
        return regex.compile(self.rule.lead)

    @functools.cached_property
    def rest(self) -> Any:
        """Body and tail."""
        return regex.compile(f"(?:{self.rule.body})(?:{self.rule.tail})")

    def barred_after(self, before: bytes) -> bool:
        """Whether the trigger cannot count behind these two characters. The letter of an escape (`\\n`) is none."""
        return bool(self.not_after and before) and before[-1] in self.not_after and before[:-1] != b"\\"


class CompiledShape:
    """A shape, searched by the common pass and delimited here."""

    def __init__(self, shape: Shape, priority: int) -> None:
        self.shape = shape
        self.priority = priority
        self.full = Expression(shape.body.encode("latin-1"), _options())
        self.not_before = _class_of(shape.not_before)

    @functools.cached_property
    def prefix(self) -> Any:
        """As for rules."""
        return regex.compile(self.shape.body)


@functools.cache
def _class_of(body: str) -> frozenset[int]:
    if not body:
        return frozenset()
    one = re2.compile(f"[{body}]".encode("latin-1"), _options())
    return frozenset(code for code in range(256) if one.fullmatch(bytes([code])))


class _Triggered:
    """The rules of one trigger, and a set of their expressions that tells in one go which of them match."""

    def __init__(self, rules: tuple[CompiledRule, ...], *, sifted: bool) -> None:
        self._rules = rules
        self._span = max((compiled.rule.span for compiled in rules), default=0)
        self._set = re2.Set.MatchSet(_options(never_capture=True)) if sifted and rules else None
        if self._set is not None:
            for compiled in rules:
                self._set.Add(compiled.whole)
            self._set.Compile()

    def matching(self, data: bytes, position: int) -> tuple[CompiledRule, ...]:
        """Those that match there; all of them where nothing was to be sifted."""
        if self._set is None:
            return self._rules
        found = self._set.Match(data[position : position + self._span])
        if not found:
            return ()
        return (self._rules[found[0]],) if len(found) == 1 else tuple(self._rules[n] for n in sorted(found))


def _either(gates: set[str]) -> str:
    return "" if "" in gates else f"(?:{'|'.join(sorted(gates))})"


class Prefilter:
    """The first stage over a fixed set of triggers. Safe to share between threads.

    Triggers that are common words count only where the gate of their rules follows. Without `gated` they always count:
    for texts that go on.
    """

    def __init__(
        self,
        rules: Sequence[CompiledRule],
        extra: Sequence[str],
        shapes: Sequence[CompiledShape],
        *,
        gated: bool = True,
    ) -> None:
        gates: dict[str, set[str]] = {literal: {""} for literal in extra}
        for compiled in rules:
            for trigger in compiled.rule.triggers:
                gates.setdefault(trigger, set()).add(compiled.rule.gate if gated else "")
        literals = sorted(gates)
        alike: dict[str, list[str]] = {}
        for literal in literals:
            alike.setdefault(_either(gates[literal]), []).append(re2.escape(literal))
        triggers = "|".join(f"(?:{'|'.join(same)}){gate}" for gate, same in alike.items()) or _NOTHING
        self._search = Expression(triggers.encode("latin-1"), _options(case_sensitive=False, longest_match=True))
        self._alike: dict[bytes, list[bytes]] = {}
        for literal in sorted(literals, key=len, reverse=True):
            size = next(size for size in _HEADS if size <= len(literal))
            self._alike.setdefault(literal[:size].encode("latin-1"), []).append(literal.encode("latin-1"))
        self._longest = max(map(len, literals), default=0)
        self._rules = tuple(rules)
        self._by_trigger: dict[bytes, _Triggered] = {}
        self._always = frozenset(literal.encode("latin-1") for literal in extra)
        self._gated = gated
        begun = f"(?:^|[^A-Za-z0-9_-])({'|'.join(shape.shape.body for shape in shapes)})"
        self._shapes = Expression(begun.encode("latin-1"), _options()) if shapes else None
        self._either = f"(?i:{triggers})|{begun if shapes else _NOTHING}"

    @functools.cached_property
    def _any(self) -> Expression:
        return Expression(self._either.encode("latin-1"), _options(never_capture=True))

    def any_in(self, data: bytes) -> bool:
        """Whether there is a trigger or a shape at all: one search for both."""
        return self._any.search(data, 0) is not None

    def hits(self, data: bytes, start: int = 0) -> Iterator[tuple[int, bytes, tuple[CompiledRule, ...]]]:
        """(position, trigger in lower case, its rules), also for triggers that overlap."""
        position = start
        while (found := self._search.search(data, position)) is not None:
            begin = found[0][0]
            trigger = self._trigger_at(data, begin)
            rules = self._triggered(trigger).matching(data, begin)
            if rules or trigger in self._always:
                yield begin, trigger, rules
            position = begin + 1

    def _trigger_at(self, data: bytes, begin: int) -> bytes:
        """The longest trigger there: the search has found that there is one."""
        there = data[begin : begin + self._longest].lower()
        for size in _HEADS:
            for trigger in self._alike.get(there[:size], ()):
                if there.startswith(trigger):
                    return trigger
        raise AssertionError("the search found no trigger")

    def _triggered(self, trigger: bytes) -> _Triggered:
        """Also the rules of shorter triggers with which this one begins; found when first met, then remembered."""
        known = self._by_trigger.get(trigger)
        if known is None:
            literal = trigger.decode("latin-1")
            rules = tuple(compiled for compiled in self._rules if literal.startswith(compiled.rule.triggers))
            self._by_trigger[trigger] = known = _Triggered(rules, sifted=self._gated)
        return known

    def shape_hits(self, data: bytes) -> Iterator[int]:
        """Positions where some shape begins."""
        position = 0
        while self._shapes is not None and (found := self._shapes.search(data, position)) is not None:
            position = found[1][0]
            yield position
            position += 1
