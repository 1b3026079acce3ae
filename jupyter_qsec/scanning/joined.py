"""A text as a reader sees it (without colours, invisible characters, markup or line breaks), with a way back."""

from __future__ import annotations

import bisect
import dataclasses
import html
import re
from array import array
from collections.abc import Callable, Iterable, Iterator

import re2
import regex

from jupyter_qsec.scanning.hit import Hit

_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\x80-\x84\x86-\x8f\x91-\x97\x99\x9a\x9c"
)
"""As in a class: what Unicode calls Default_Ignorable_Code_Point, and the C1 controls that stand alone."""
_CSI = r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,4}"
_OSC = r"(?:\x1b\]|\x9d)[^\x07\x1b\x90\x98\x9c-\x9f]{0,512}+"
_DCS = r"(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x90\x98\x9c-\x9f]{0,512}+"
"""And SOS, PM and APC. No such string goes over the beginning of another: looking for ends takes linear time."""
_CONTROL = (
    rf"{_CSI}[@-~]|\x1b(?:[ -/]{{1,4}}[0-~]|[0-?DEHMNOZ\\`-cno|-~])|{_OSC}(?:\x07|\x1b\\|\x9c)|{_DCS}(?:\x1b\\|\x9c)"
)
_CONTROLS = re.compile(_CONTROL)
_UNSEEN = re.compile(rf"{_CONTROL}|[{_INVISIBLE}]+")
_UNFINISHED = re.compile(rf"(?:{_CSI}|\x1b[ -/]{{0,4}}|{_OSC}\x1b?|{_DCS}\x1b?)\Z")
_LONGEST_CONTROL = 516
# Of `regex`, here and below: up to Python 3.11.4 `re` loses its place in a group that gives nothing back.
_UNSEEN_TO_THE_END = regex.compile(rf"(?>(?:{_UNSEEN.pattern}|\x08)*)(?:{_UNFINISHED.pattern})?\Z")
_TAKEN_BACK = "|".join(rf"[^\x08\r\n]{{{size}}}\x08{{{size}}}" for size in range(1, 9))
_WIDE = regex.compile(r"[\p{East_Asian_Width=W}\p{East_Asian_Width=F}]")
_OTHER_WIDTHS = regex.compile(rf"{_WIDE.pattern}|[\p{{Mn}}\p{{Me}}]")
_NOT_SEEN = re2.compile(f"[{_INVISIBLE}\x90\x98\x9b\x9d-\x9f]".encode())
"""Every character but escape with which `_UNSEEN` may begin, in UTF-8: an automaton goes over it ten times as fast."""
_BREAK = re.compile(r"(?<=[A-Za-z0-9_.+/=-])\r?\n(?=[A-Za-z0-9_.+/=-])")
_SEPARATING = (
    "address|article|aside|blockquote|body|br|button|canvas|caption|center|col|colgroup|dd|desc|details|dialog|dir|div|dl"
    "|dt|fieldset|figcaption|figure|footer|foreignobject|form|frameset|g|h[1-6]|head|header|hgroup|hr|html|iframe|legend"
    "|li|listing|main|menu|nav|noembed|noframes|noscript|ol|optgroup|option|p|plaintext|pre|script|search|section|select"
    "|style|summary|svg|table|tbody|td|template|text|textarea|tfoot|th|thead|title|tr|ul|video|xmp"
)
"""Elements whose texts a browser shows apart from those beside them, or not at all."""
_ATTRIBUTES = r"""(?:[^<>=]{1,256}+|=\s{0,16}+(?:"[^"]{0,512}+"|'[^']{0,512}+')?+){0,32}+"""
_COMMENT = r"(?:[^<-]|<(?!!--)|-(?!-!?>)){0,512}+"
_MARKUP = regex.compile(
    rf"</?(?!(?:{_SEPARATING})[\s/>])[a-z][^\s/<>]{{0,63}}+(?:[\s/]{_ATTRIBUTES})?+>"
    r"|&(?:#[0-9]{1,32};?|#x[0-9a-f]{1,32};?|[a-z][a-z0-9]{1,30};|[a-z][a-z0-9]{1,5})"
    rf"|<!--(?:-?>|{_COMMENT}(?:<!--{_COMMENT}){{0,4}}+--!?>)|<!\[CDATA\[|\]\]>|<(?:\?|!(?!--)|/(?![a-z]))[^<>]{{0,512}}+>",
    regex.IGNORECASE | regex.ASCII,
)
"""What joins the texts beside it: elements in the flow of a line (all but those that separate, also ones that nobody
knows), character references, comments and what browsers take for one. Nothing that may begin another is gone over more
than some thirty times."""


_MARK = (
    r"\*{1,3}|~{1,2}|`{1,3}|\${1,2}|[{}]|!?\["
    r"|\](?:\([^()\n]{0,1024}+(?:\([^()\n]{0,64}+\)[^()\n]{0,256}+){0,2}+\)|\[[^\[\]]{0,64}+\])?"
    r"|\\(?:textcolor|color|colorbox|href|class|style|cssId|[hv]space|[hv]?phantom)\*?\{[^{}]{0,256}+\}"
    r"|\\fcolorbox\{[^{}]{0,64}+\}\{[^{}]{0,64}+\}|\\rule(?:\[[^\[\]]{0,16}+\])?\{[^{}]{0,16}+\}\{[^{}]{0,16}+\}"
    r"|\\(?:m?kern|m?skip|hskip|raise|lower)\s?-?[0-9.]{1,8}+[a-z]{2}\s?|[_^]\{\}|%[^\n]{0,256}+\n\s{0,16}+"
    r"|\\[a-zA-Z]{1,24}+\*?\s?|\\[,:;!>()\[\]]|\\(?=[_.+/=-])"
)
"""Of Markdown: emphasis, code, links, pictures and escapes; of LaTeX: formulas, groups, fine space, commands (of some
with their arguments), empty scripts and comments."""
_MARKS = regex.compile(rf"(?<=[A-Za-z0-9_.+/=-])(?:{_MARK}){{1,8}}+(?=[A-Za-z0-9_.+/=-])")

_PIECE = 1 << 15
"""Characters; no single operation goes over many more, as it would hold up every other thread of a server."""
_LONGEST = 1 << 14
"""Characters; more than any match has, but for a run of invisible characters."""


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """`text` is the original with some pieces replaced by others; `back` translates spans."""

    parts: tuple[str, ...]
    """The text in parts, between which no word of another script stands."""
    _starts: array[int]
    """Index in `text` after each replacement."""
    _origins: array[int]
    """Index in the original after each replaced piece."""
    _sizes: array[int]
    """How many characters each replacement has."""
    _pieces: array[int]
    """How many characters each replaced piece had."""

    @property
    def text(self) -> str:
        """All parts together."""
        return self.parts[0] if len(self.parts) == 1 else "".join(self.parts)

    @property
    def changed(self) -> bool:
        """Whether anything was replaced."""
        return bool(self._starts)

    def origin(self, index: int) -> int:
        """Where the character at `index` stood in the original; of a replacement where its piece began."""
        at = bisect.bisect_right(self._starts, index)
        if at < len(self._starts) and index >= self._starts[at] - self._sizes[at]:
            return self._origins[at] - self._pieces[at]
        return index if at == 0 else self._origins[at - 1] + index - self._starts[at - 1]

    def _end(self, index: int) -> int:
        """Where what the character at `index` stands for ended in the original."""
        at = bisect.bisect_right(self._starts, index)
        if at < len(self._starts) and index >= self._starts[at] - self._sizes[at]:
            return self._origins[at]
        return self.origin(index) + 1

    def back(self, hits: Iterable[Hit]) -> list[Hit]:
        """The same hits in the original."""
        spans = ((hit, self.span(hit.start, hit.end)) for hit in hits)
        return [dataclasses.replace(hit, start=start, end=end) for hit, (start, end) in spans]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where this span stood in the original."""
        return self.origin(start), self._end(end - 1)


def has_unseen(text: str) -> bool:
    """Whether there may be something that `without_unseen` takes out; cheap."""
    if "\x1b" in text or "\u00ad" in text:
        return True
    if text.isascii():
        return False
    pieces = (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))
    return any(_NOT_SEEN.search(piece.encode("utf-8", "surrogatepass")) is not None for piece in pieces)


def without_unseen(text: str) -> Seen:
    """Without terminal control sequences and characters that have no width."""
    return _seen(text, _UNSEEN)


def has_controls(text: str) -> bool:
    """Whether there may be control sequences; cheap."""
    return "\x1b" in text or "\x9b" in text


def without_controls(text: str) -> Seen:
    """Without terminal control sequences alone."""
    return _seen(text, _CONTROLS)


def in_columns(text: str) -> Seen:
    """With a blank behind every character that is two columns wide, and without those that combine with the one before
    them."""
    return _seen(text, _OTHER_WIDTHS, lambda character: f"{character} " if _WIDE.match(character) else "")


def unseen_so_far(text: str) -> Seen:
    """As `without_unseen`, and without a control sequence of which the end is missing at the end of the text."""
    return without_unseen(before_unfinished(text))


def before_unfinished(text: str) -> str:
    """Up to a control sequence of which the end is missing."""
    begun = _UNFINISHED.search(text, max(0, len(text) - _LONGEST_CONTROL))
    return text if begun is None else text[: begun.start()]


def through_unseen(characters: str) -> regex.Pattern[str]:
    """Matches a run of these characters (as in a class) from its beginning, also with what nobody sees between them, or
    nobody any more."""
    between = rf"{_UNSEEN.pattern}|\x08|{_TAKEN_BACK}"
    run = rf"(?:(?![\x1b\x80-\x9f])[{characters}])"
    return regex.compile(rf"{run}*+(?:(?>(?:{between})+){run}++)*+")


def unseen_to_the_end(text: str, start: int) -> bool:
    """Whether from here on there is nothing but what nobody sees, the last of it perhaps without its end."""
    return _UNSEEN_TO_THE_END.match(text, start) is not None


def joined(text: str) -> Seen | None:
    """Without the line breaks that stand between two characters of a token; None when there is no such break."""
    seen = _seen(text, _BREAK)
    return seen if seen.changed else None


def rendered(text: str) -> Seen:
    """HTML, SVG or Markdown without the markup that may stand within a word, and with its character references
    decoded."""
    return _seen(text, _MARKUP, _decoded)


def without_marks(text: str) -> Seen:
    """Markdown or LaTeX without the marks and commands that stand within a word."""
    return _seen(text, _MARKS)


def _decoded(markup: str) -> str:
    if markup[0] in "<]":
        return ""
    return html.unescape(markup)


def _seen(
    text: str, what: re.Pattern[str] | regex.Pattern[str], instead: Callable[[str], str] = lambda piece: ""
) -> Seen:
    seen = _Parts()
    starts, origins, sizes, pieces = array("q"), array("q"), array("q"), array("q")
    at = size = 0
    for match in _matches(what, text):
        new = instead(match[0])
        if new == match[0]:
            continue
        size += match.start() - at + len(new)
        seen.add(text, at, match.start())
        seen.add(new, 0, len(new))
        at = match.end()
        starts.append(size)
        origins.append(at)
        sizes.append(len(new))
        pieces.append(match.end() - match.start())
    seen.add(text, at, len(text))
    return Seen(seen.all(), starts, origins, sizes, pieces)


class _Parts:
    """Puts a text together from slices of others."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._open: list[str] = []
        self._size = 0

    def add(self, text: str, start: int, end: int) -> None:
        while start < end:
            stop = min(end, start + _PIECE)
            self._open.append(text[start:stop])
            self._size += stop - start
            start = stop
            if self._size >= _PIECE and text[stop - 1] <= "\x7f":
                self._close()

    def all(self) -> tuple[str, ...]:
        if self._open or not self._done:
            self._close()
        return tuple(self._done)

    def _close(self) -> None:
        self._done.append("".join(self._open))
        self._open.clear()
        self._size = 0


def _matches(what: re.Pattern[str] | regex.Pattern[str], text: str) -> Iterator[re.Match[str] | regex.Match[str]]:
    """As `finditer`, but piece by piece."""
    at = begin = 0
    while begin < len(text):
        end = begin + _PIECE
        for match in what.finditer(text, at, end + _LONGEST):
            if match.start() >= end:
                break
            endless = match.end() >= end + _LONGEST
            whole = (what.match(text, match.start()) or match) if endless else match
            yield whole
            at = whole.end()
            if at >= end + _LONGEST:
                break
        begin = end
        at = max(at, begin)
