"""Private keys in armour: the one secret of many lines.

Everything from the BEGIN line to the END line is secret, or to the end of the text when no END follows (a key printed
in pieces). A BEGIN line that is plainly a constant of a program (`if "-----BEGIN PRIVATE KEY-----" in text`) is none.
"""

from __future__ import annotations

import bisect

import re2
import regex

KIND = "private-key"
TRIGGERS = ("-----begin ", "---- begin ", "putty-user-key-file-")
CARRY = 80
"""Characters of swallowed text that may hold the first half of an END line."""

_BEGIN = (
    r"(?:-----BEGIN (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----|---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----)"
)
_PUTTY = r"PuTTY-User-Key-File-[23]: ?"
_END = (
    r"(?:-----END (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
    r"|---- END SSH2 ENCRYPTED PRIVATE KEY ----|Private-MAC: ?[0-9a-fA-F]{40,64})"
)
_LOG_PREFIX = r"(?:\\{1,4}n|\n)#?[0-9][0-9 .:TZ/-]{0,40}[ \t]"
_GAP = rf"(?:{_LOG_PREFIX}|\\{{1,4}}[nrt]|[\s\"'`,+()\[\]>|#*-]|<br ?/?>)"
_HEADER = rf"(?:(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset|Subject|X-[A-Za-z-]{{1,32}}): [^\n\\]*{_GAP}+)"
_OPENING = rf"{_BEGIN}{_GAP}*{_HEADER}*"
_BODY = r"[A-Za-z0-9+/=]{12}"
_SPACE_ONLY = rf"{_BEGIN}(?:\\{{1,4}}[nrt]|\s)*[A-Za-z0-9+/=]{{0,11}}"
_TOY_BODY = r"[A-Za-z0-9+/=\s\\\"'`,.+…?-]*[A-Za-z0-9]{3}[A-Za-z0-9+/=\s\\\"'`,.+…?-]*"

_latin1 = re2.Options()
_latin1.encoding = re2.Options.Encoding.LATIN1

_begin = re2.compile(_BEGIN.encode("latin-1"), _latin1)
_putty = re2.compile(_PUTTY.encode("latin-1"), _latin1)
_end = re2.compile(_END.encode("latin-1"), _latin1)
_with_body = re2.compile((_OPENING + _BODY).encode("latin-1"), _latin1)
_space_only = re2.compile(_SPACE_ONLY.encode("latin-1"), _latin1)
_toy_body = re2.compile(_TOY_BODY.encode("latin-1", "replace"), _latin1)
_opening_or_less = regex.compile(rf"(?:{_OPENING}{_BODY}|{_PUTTY})")
_end_line = regex.compile(_END)

_OPENING_WINDOW = 2048
_TOY_WINDOW = 4096


class PrivateKeys:
    """Finds the keys in one text; made anew for every scan, so that END lines are searched only once."""

    __slots__ = ("_data", "_ends", "_starts")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._ends: list[int] | None = None
        self._starts: list[int] = []

    def match(self, position: int) -> tuple[int, int, bool] | None:
        """(start, end, whether its END line was seen) of the key whose armour begins at `position`."""
        data = self._data
        window_end = min(len(data), position + _OPENING_WINDOW)
        if _putty.match(data, position, window_end):
            end = self._end_after(position)
            return (position, end[1], True) if end else (position, len(data), False)
        begin = _begin.match(data, position, window_end)
        if begin is None:
            return None
        end = self._end_after(begin.end())
        stop = end[0] if end else len(data)
        if _with_body.match(data, position, min(stop, window_end)) or self._small(begin.end(), position, end):
            return (position, end[1], True) if end else (position, len(data), False)
        return None

    def _small(self, after: int, position: int, end: tuple[int, int] | None) -> bool:
        data = self._data
        if end is None:
            return len(data) - position < _OPENING_WINDOW and _space_only.fullmatch(data, position) is not None
        between = data[after : end[0]]
        return len(between) < _TOY_WINDOW and b" = " not in between and _toy_body.fullmatch(between) is not None

    def _end_after(self, position: int) -> tuple[int, int] | None:
        if self._ends is None:
            spans = [match.span() for match in _end.finditer(self._data)]
            self._starts = [start for start, _ in spans]
            self._ends = [end for _, end in spans]
        at = bisect.bisect_left(self._starts, position)
        return (self._starts[at], self._ends[at]) if at < len(self._starts) else None


def undecided(tail: str, position: int) -> bool:
    """Whether the armour beginning at `position` may still turn out to open a key."""
    match = _opening_or_less.match(tail, position, partial=True)
    return match is not None and match.partial


def end_of_key(swallowed: str) -> int | None:
    """Where the key being swallowed ends, if its END line is complete."""
    match = _end_line.search(swallowed)
    return match.end() if match else None
