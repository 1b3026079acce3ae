"""The engine: text in, matches out. Immutable, thread-safe, built once a process."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from jupyter_qsec.scanning import allowlist, pem
from jupyter_qsec.scanning.finding import Match, marker
from jupyter_qsec.scanning.hit import LIVE, Hit
from jupyter_qsec.scanning.joined import has_unseen, joined, rendered, without_marks, without_unseen
from jupyter_qsec.scanning.live import Known
from jupyter_qsec.scanning.overprinted import Reading, readings, without_taken_back
from jupyter_qsec.scanning.partials import Partials
from jupyter_qsec.scanning.plugins import Confirm, lazy_plugins
from jupyter_qsec.scanning.prefilter import CompiledRule, CompiledShape, Prefilter, flat, without
from jupyter_qsec.scanning.rules import RULES, Rule
from jupyter_qsec.scanning.shapes import SHAPES, Shape

_NAME_CHARACTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.")
SHORTEST = 6
"""Characters of the shortest text in which a rule or shape finds anything."""
_NAME_REACH = 40
_WINDOW_AFTER = 1
_MAX_JUDGED = 1024
_SHORT = 4_096
"""Bytes of a text that is looked over as a whole first: most short ones hold nothing to judge."""
_ARMOUR = frozenset(trigger.encode() for trigger in pem.TRIGGERS)

Judgements = dict[tuple[int, bytes, int, int, int, int], bool]
"""What was decided about a rule's match within one text, of which many repeat what they say: by the bytes around it,
and where in them name, trigger, value and its end stand."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """Text with its secrets replaced by `[REDACTED:kind]`."""

    text: str
    matches: tuple[Match, ...] = ()
    secrets: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """(kind, secret) of each match, for fingerprinting; never shown, logged or stored."""


@dataclass(slots=True)
class Work:
    """What a scan cost; bounds are asserted on these counters."""

    candidates: int = 0
    attempts: int = 0
    plugin_calls: int = 0
    plugin_characters: int = 0
    grown_characters: int = 0


class Engine:
    """Finds secrets by rules, detect-secrets' plugins and, when given, exact live secrets."""

    def __init__(
        self,
        rules: Iterable[Rule] = RULES,
        shapes: Iterable[Shape] = SHAPES,
        *,
        plugins: Mapping[str, Confirm],
        live: Known | None = None,
    ) -> None:
        self.rules = tuple(CompiledRule(rule, priority) for priority, rule in enumerate(rules))
        self.shapes = tuple(CompiledShape(shape, len(self.rules) + n) for n, shape in enumerate(shapes))
        self.prefilter = Prefilter(self.rules, pem.TRIGGERS, self.shapes)
        self.plugins = plugins
        self.live = live
        ungated = Prefilter(self.rules, pem.TRIGGERS, (), gated=False)
        self.partials = Partials(ungated, self.rules, pem.TRIGGERS)
        joining = [compiled for compiled in self.rules if compiled.rule.joins]
        self._joining = Prefilter(joining, (), ())
        self.joining_partials = Partials(Prefilter(joining, (), (), gated=False), joining, ())

    @classmethod
    def default(cls, *, live: Known | None = None) -> Engine:
        """The engine with all rules and plugins; its expressions are compiled once a process.

        `plugins.warm()` imports detect-secrets ahead of the first candidate.
        """
        base = _shared()
        return base if live is None else base.with_live(live)

    def with_live(self, live: Known) -> Engine:
        """The same rules, and these live secrets besides."""
        other = object.__new__(Engine)
        other.__dict__.update(self.__dict__, live=live)
        return other

    def scan(self, text: str, *, allow: bool = False) -> list[Match]:
        """The secrets of a text, sorted and not overlapping.

        `allow` respects `pragma: allowlist secret` comments: for source code and files that people own, never for
        output, which anyone can print.
        """
        hits = self.hits(text)
        if allow and hits:
            hits = allowlist.without_allowed(text, hits)
        return [Match(hit.kind, hit.start, hit.end) for hit in hits]

    def scan_markup(self, text: str, *, marks: bool = False) -> list[Match]:
        """As `scan`, for HTML and SVG, with `marks` for Markdown and LaTeX: also what only a reader of the page sees in
        one piece."""
        hits = self.printed_hits(text, readings(text))
        page = rendered(text) if "<" in text or "&" in text else None
        if page is not None and page.changed:
            hits = merge(hits + page.back(self.printed_hits(page.text, readings(page.text))))
        if marks:
            hits = merge(hits + self._unmarked_hits(text))
            if page is not None and page.changed:
                hits = merge(hits + page.back(self._unmarked_hits(page.text)))
        return [Match(hit.kind, hit.start, hit.end) for hit in hits]

    def _unmarked_hits(self, text: str) -> list[Hit]:
        plain = without_marks(text)
        hits = plain.back(self.hits(plain.text)) if plain.changed else []
        if has_unseen(text):  # which may stand beside a mark
            visible = without_unseen(text)
            plain = without_marks(visible.text)
            hits += visible.back(plain.back(self.hits(plain.text))) if plain.changed else []
        return hits

    def printed_hits(self, text: str, read: Sequence[Reading]) -> list[Hit]:
        """As `hits`, for what a program prints: also in its `readings`."""
        hits = self.hits(text)
        for reading in read:
            hits = merge(hits + reading.back(self.hits(reading.text), len(text)))
        return hits

    def scan_printed(self, text: str) -> list[Match]:
        """As `scan`, for what a program prints, or what viewers show as if it were printed."""
        return [Match(hit.kind, hit.start, hit.end) for hit in self.printed_hits(text, readings(text))]

    def redact(self, text: str, *, allow: bool = False) -> Redaction:
        """The text with every secret replaced."""
        return replace(text, self.scan(text, allow=allow))

    def hits(self, text: str, work: Work | None = None) -> list[Hit]:
        """As `scan`, with what streams need besides; `work` counts what was done."""
        found = self.found(text, work)
        return merge(found) if found else found

    def found(self, text: str, work: Work | None = None) -> list[Hit]:
        """As `hits`, as they come: what one rule found may lie within what another did."""
        if len(text) < SHORTEST:
            return self._live_hits(text)
        work = work if work is not None else Work()
        data = flat(text)
        found = self._plain_hits(data, work)
        if has_unseen(text):
            visible = without_unseen(text)
            found += visible.back(self._plain_hits(flat(*visible.parts), work) + self._live_hits(visible.text))
        if 0 <= text.find("\n") < len(text) - 1 and self._may_be_broken(data):
            found += self._joined_hits(text, found, work)
        return found + self._live_hits(text)

    def scan_live(self, text: str) -> list[Match]:
        """The secrets that are known exactly, and no others: for what rules must not judge."""
        if self.live is None:
            return []
        hits = self._live_hits(text)
        for reading in readings(text):
            hits += reading.back(self._live_hits(reading.text), len(text))
        return [Match(hit.kind, hit.start, hit.end) for hit in merge(hits)] if hits else []

    def alive(self, data: bytes) -> bool:
        """Whether a secret that is known exactly is in it; for short ASCII texts, of which hardly any holds one."""
        if self.live is None or not self.live.may_be_in(data):
            return False
        return bool(self._live_hits(data.decode("latin-1")))

    def _live_hits(self, text: str) -> list[Hit]:
        if self.live is None:
            return []
        return [Hit(match.kind, match.start, match.end, LIVE) for match in self.live.scan(text)]

    def _may_be_broken(self, data: bytes) -> bool:
        """Whether any joining rule has something to look at once all lines are one: as a rule none has, and finding out
        costs a tenth of joining the right ones."""
        return next(self._joining.hits(without(data, b"\r\n")), None) is not None

    def _joined_hits(self, text: str, found: list[Hit], work: Work) -> list[Hit]:
        """Distinctive secrets whose characters were broken over lines."""
        together = joined(text)
        if together is None:
            return []
        data = flat(*together.parts)
        known = {hit.start for hit in found}
        hits = [hit for hit in together.back(self._rule_hits(data, self._joining, work)) if hit.start not in known]
        return [hit for hit in hits if "\n" in text[hit.start : hit.end]]

    def _plain_hits(self, data: bytes, work: Work) -> list[Hit]:
        if len(data) <= _SHORT and not self.prefilter.any_in(data):
            return []
        found = self._rule_hits(data, self.prefilter, work)
        for position in self.prefilter.shape_hits(data):
            found += self._shape_hits(data, position, work)
        return found

    def _rule_hits(self, data: bytes, prefilter: Prefilter, work: Work) -> list[Hit]:
        found: list[Hit] = []
        judged: Judgements = {}
        covered: dict[int, int] = {}
        keys = pem.PrivateKeys(data)
        key_end = 0
        for position, trigger, rules in prefilter.hits(data):
            work.candidates += 1
            if trigger in _ARMOUR and position >= key_end and (key := keys.match(position)):
                start, key_end, complete = key
                found.append(Hit(pem.KIND, start, key_end, 0, "" if complete else pem.KIND, not complete))
            if position < key_end:
                continue
            for compiled in rules:
                if position < covered.get(compiled.priority, 0):
                    continue
                hit = self._try(compiled, data, position, work, judged)
                if hit is not None:
                    found.append(hit)
                    covered[compiled.priority] = hit.end
        return found

    def _try(self, compiled: CompiledRule, data: bytes, position: int, work: Work, judged: Judgements) -> Hit | None:
        rule = compiled.rule
        if compiled.not_after and compiled.barred_after(data[max(0, position - 2) : position]):
            return None
        work.attempts += 1
        match = compiled.full.match(data, position, position + rule.span)
        if match is None:
            return None
        last, (start, end) = match[0][1], match[1]
        if compiled.not_before and end < len(data) and data[end] in compiled.not_before:
            return None
        name = _name_start(data, position)
        first = name - 1 if name else 0
        seen = data[first : last + _WINDOW_AFTER]
        case = (compiled.priority, seen, name - first, position - first, start - first, end - first)
        secret = judged.get(case)
        if secret is None:
            if len(judged) >= _MAX_JUDGED:
                judged.clear()
            secret = judged[case] = self._judged(rule, seen.decode("latin-1"), case[2:], work)
        if not secret:
            return None
        if compiled.grows and end < len(data) and data[end] in compiled.grows:
            # Only now: growth is unbounded, and what has grown is not looked at again by this rule.
            grown = compiled.growing.match(data, end)
            if grown is not None:  # it matches the empty text, too
                work.grown_characters += grown[0][1] - end
                end = grown[0][1]
        return Hit(rule.kind, start, end, compiled.priority, rule.grows, compiled.open)

    def _judged(self, rule: Rule, seen: str, places: tuple[int, int, int, int], work: Work) -> bool:
        """Whether a match is a secret: `places` are those of name, trigger, value and end in what was `seen`."""
        at, position, start, end = places
        name, value = seen[at:start], seen[start:end]
        if not rule.check(name, value, seen[start - 1 : start] if start else ""):
            return False
        if not rule.plugin:
            return True
        probe = rule.probe.format(window=seen[position:], identifier=_identifier(name), value=value)
        return self._confirmed(rule.plugin, probe, work)

    def _shape_hits(self, data: bytes, position: int, work: Work) -> Iterable[Hit]:
        for compiled in self.shapes:
            match = compiled.full.match(data, position)
            if match is None:
                continue
            end = match[0][1]
            if end < len(data) and data[end] in compiled.not_before:
                continue
            plugin, value = compiled.shape.plugin, data[position:end].decode("latin-1")
            if compiled.shape.check("", value, "") and (not plugin or self._confirmed(plugin, value, work)):
                yield Hit(compiled.shape.kind, position, end, compiled.priority, open=True)

    def _confirmed(self, plugin: str, window: str, work: Work) -> bool:
        work.plugin_calls += 1
        work.plugin_characters += len(window)
        return self.plugins[plugin](window)


@functools.cache
def _shared() -> Engine:
    return Engine(plugins=lazy_plugins())


def _name_start(data: bytes, position: int) -> int:
    start = position
    while start > 0 and position - start < _NAME_REACH and data[start - 1] in _NAME_CHARACTERS:
        start -= 1
    return start


def _identifier(name: str) -> str:
    """The first word of a name and what follows it up to the value."""
    size = next((n for n, c in enumerate(name) if not (c.isalnum() or c in "_.-")), len(name))
    return name[:size]


def merge(hits: list[Hit]) -> list[Hit]:
    """Sorted and without overlap: hits that meet become one, named by the most specific."""
    merged: list[Hit] = []
    for hit in sorted(hits, key=lambda h: (h.start, -h.end)):
        if merged and hit.start < merged[-1].end:
            last = merged[-1]
            best = min(last, hit, key=lambda h: h.priority)
            longest = max(last, hit, key=lambda h: h.end)
            merged[-1] = Hit(best.kind, last.start, longest.end, best.priority, longest.grows, longest.open)
        else:
            merged.append(hit)
    return merged


def replace(text: str, matches: Iterable[Match]) -> Redaction:
    """Put a marker in place of each match."""
    matches = tuple(matches)
    if not matches:
        return Redaction(text)
    parts, at = [], 0
    for match in matches:
        parts += [text[at : match.start], marker(match.kind)]
        at = match.end
    parts.append(text[at:])
    return Redaction("".join(parts), matches, tuple((m.kind, bare(m.kind, text[m.start : m.end])) for m in matches))


def bare(kind: str, secret: str) -> str:
    """The secret without the line breaks, colours and invisible characters between its own, so that its fingerprint
    stays the same."""
    if kind == pem.KIND or not ("\n" in secret or "\x08" in secret or has_unseen(secret)):
        return secret
    secret = without_taken_back(secret)
    return without_unseen(secret).text.replace("\r", "").replace("\n", "")
