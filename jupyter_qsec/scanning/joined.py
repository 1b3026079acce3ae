"""A text without what stands between the characters of a secret (line breaks, terminal colours), with a way back."""

from __future__ import annotations

import bisect
import dataclasses
import re
from collections.abc import Iterable

from jupyter_qsec.scanning.hit import Hit

_ESCAPE = re.compile(r"\x1b\[[0-?]{0,64}[ -/]{0,4}[@-~]|\x1b[ -/]{1,4}[0-~]|\x1b\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)")
_BREAK = re.compile(r"(?<=[A-Za-z0-9_.+/=-])\r?\n(?=[A-Za-z0-9_.+/=-])")


@dataclasses.dataclass(frozen=True, slots=True)
class Collapsed:
    """`text` is the original without `removed`; `back` translates spans."""

    text: str
    _starts: tuple[int, ...]
    """Index in `text` at which each removed piece stood."""
    _shifts: tuple[int, ...]
    """How many characters had been removed up to and with that piece."""

    def origin(self, index: int) -> int:
        """Where the character at `index` stood in the original."""
        at = bisect.bisect_right(self._starts, index)
        return index + (self._shifts[at - 1] if at else 0)

    def back(self, hits: Iterable[Hit]) -> list[Hit]:
        return [
            dataclasses.replace(hit, start=self.origin(hit.start), end=self.origin(hit.end - 1) + 1) for hit in hits
        ]


def without_escapes(text: str) -> Collapsed:
    """Without terminal control sequences."""
    return _collapse(text, _ESCAPE)


def joined(text: str) -> Collapsed | None:
    """Without the line breaks that stand between two characters of a token; None when there is no such break."""
    collapsed = _collapse(text, _BREAK)
    return collapsed if collapsed._starts else None


def _collapse(text: str, what: re.Pattern[str]) -> Collapsed:
    parts, starts, shifts, at, removed = [], [], [], 0, 0
    for match in what.finditer(text):
        parts.append(text[at : match.start()])
        starts.append(match.start() - removed)
        removed += match.end() - match.start()
        shifts.append(removed)
        at = match.end()
    parts.append(text[at:])
    return Collapsed("".join(parts), tuple(starts), tuple(shifts))
