"""A text as it stands once backspaces and lone carriage returns have gone back over it, with a way back.

A backspace is read in several ways. Terminals go back by a column, and what comes next takes the place of what stands
there; they show two columns of a wide character and none of what nobody sees. JupyterLab takes the character before it
away, and where a return has gone back also the one that stands there; to it every character is one. Others take away
first and go back then, or leave backspaces out. A carriage return goes to where the line begins; what is not written
over stays.
"""

from __future__ import annotations

import bisect
import dataclasses
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from jupyter_qsec.scanning.hit import Hit
from jupyter_qsec.scanning.joined import (
    before_unfinished,
    has_controls,
    has_unseen,
    in_columns,
    without_controls,
    without_unseen,
)

_PIECE = 1 << 15
"""Characters; no single operation goes over many more, as it would hold up every other thread of a server."""
_GOES_BACK = re.compile(r"\x08|\r(?!\n)")
_STOP = re.compile(r"(\r?\n|\x08+|\r+)")
_BOUNDS = frozenset("\r\n")
_LINE_ENDS = frozenset(("\n", "\r\n"))
_TAKEN_BACK = re.compile(r"[^\x08\r\n]\x08|(?<![^\r\n])\x08+")
_STOP_TAKING = re.compile(r"([\r\n]|\x08+)")
_BACKSPACES = re.compile(r"(\x08+)")
_SHORT = 4_096
"""Characters of a text that is looked over for bars that show progress first."""
_ROUNDS = 8
"""What is taken back within what is taken back so often is rare."""

Span = tuple[int, int]


class Reading:
    """What can be seen of a text."""

    def __init__(
        self, text: str, cursor: int, spans: Callable[[], list[Span]], outer: Callable[[int, int], Span] | None = None
    ) -> None:
        """`spans` of the original, of which the text consists; asked for when something was found. `outer` translates
        them further."""
        self.text = text
        self.cursor = cursor
        """Index in the text at which more would go on."""
        self.taken_back = False
        """Whether backspaces have taken characters away, and may take more."""
        self.ends: int | None = None
        """Where in the original it ends, if not with it."""
        self._make = spans
        self._outer = outer
        self._spans: list[Span] | None = None
        self._starts = array("q")

    def origin(self, start: int, end: int) -> Span:
        """The span of the original in which all characters of this one stand."""
        if self._spans is None:
            self._spans = self._make()
            self._starts = array("q", accumulate((stop - begin for begin, stop in self._spans), initial=0))
        first = bisect.bisect_right(self._starts, start) - 1
        low, high = self._spans[first][1], 0
        for n in range(first, bisect.bisect_left(self._starts, end)):
            offset = self._spans[n][0] - self._starts[n]
            low = min(low, offset + max(start, self._starts[n]))
            high = max(high, offset + min(end, self._starts[n + 1]))
        return (low, high) if self._outer is None else self._outer(low, high)

    def back(self, hits: Iterable[Hit], size: int) -> list[Hit]:
        """The same hits in the original of that size. One at the end of what was printed also holds what was taken
        away behind it."""
        result = []
        for hit in hits:
            start, end = self.origin(hit.start, hit.end)
            if hit.end == self.cursor == len(self.text):
                end = size if self.ends is None else self.ends
            result.append(dataclasses.replace(hit, start=start, end=end))
        return result


def goes_back(text: str) -> bool:
    """Whether something may have been printed over; cheap."""
    if "\r" not in text and "\x08" not in text:
        return False
    for start in range(0, len(text), _PIECE):
        # One more, as a line feed may follow a return.
        found = _GOES_BACK.search(text, start, start + _PIECE + 1)
        if found is not None and (found.start() < start + _PIECE or found.end() == len(text)):
            return True
    return False


def readings(text: str) -> list[Reading]:
    """What can be seen of a text in which something goes back, in each way to read it; empty when that is nothing but
    one of its own pieces, as with the bars that show progress."""
    if not goes_back(text):
        return []
    found = _readings(text, None)
    if has_unseen(text):
        return found + _without_unseen(text)
    return found if text.isascii() else found + _by_width(text, None)


def _without_unseen(text: str) -> list[Reading]:
    """As terminals show it, on which what nobody sees takes no column; some think so of control sequences alone."""
    whole = before_unfinished(text)
    plain = without_unseen(whole)
    found = _readings(plain.text, plain.span)
    if has_controls(text):
        printed = without_controls(whole)
        found += _readings(printed.text, printed.span) if printed.text != plain.text else []
    if not plain.text.isascii():
        found += _by_width(plain.text, plain.span)
    for reading in found:
        reading.ends = len(whole)
    return found


def _by_width(text: str, outer: Callable[[int, int], Span] | None) -> list[Reading]:
    """As terminals show it that count the columns of wide and of combining characters."""
    columns = in_columns(text)
    if not columns.changed:
        return []

    def origin(start: int, end: int) -> Span:
        span = columns.span(start, end)
        return span if outer is None else outer(*span)

    printing = _Printing(columns.text)
    return [printing.reading(origin)] if printing.mixed else []


def without_taken_back(text: str) -> str:
    """Without the characters that a backspace takes away."""
    parts, at = [], 0
    while at < len(text):
        end = len(text) if len(text) - at <= _PIECE else text.rfind("\n", at, at + _PIECE) + 1
        end = end or text.find("\n", at) + 1 or len(text)
        piece = text[at:end]
        at = end
        for _ in range(_ROUNDS if len(piece) <= _PIECE else 0):
            if "\x08" not in piece:
                break
            piece = _TAKEN_BACK.sub("", piece)
        if "\x08" in piece:
            piece = "".join([piece[start:end] for start, end in _left_behind(piece)])
        parts.append(piece)
    return "".join(parts)


def _readings(text: str, outer: Callable[[int, int], Span] | None) -> list[Reading]:
    if "\x08" not in text:
        return _written_over(text, outer)
    every = text.replace("\x08", "")
    left_out = Reading(every, len(every), lambda: [step[:2] for step in _steps(text, _BACKSPACES)], outer)
    left = without_taken_back(text)
    erased = Reading(left, len(left), lambda: _left_behind(text), outer)
    erased.taken_back = True
    terminal = _Printing(text).reading(outer)
    found = {reading.text: reading for reading in (left_out, terminal, *_written_over(left, erased.origin), erased)}
    if goes_back(every):  # by returns
        stepped = _Printing(text, erases=True).reading(outer)
        stepped.taken_back = True
        found.setdefault(stepped.text, stepped)
    return list(found.values())


def _written_over(text: str, outer: Callable[[int, int], Span] | None) -> list[Reading]:
    """Of a text in which nothing is taken back."""
    if not goes_back(text) or (len(text) <= _SHORT and _is_bar(text)):
        return []
    printing = _Printing(text)
    return [printing.reading(outer)] if printing.mixed else []


def _left_behind(text: str) -> list[Span]:
    """The spans of a text that are left when each backspace has taken a character away."""
    left: list[Span] = []
    for start, middle, stop in _steps(text, _STOP_TAKING):
        if start < middle:
            left.append((start, middle))
        if stop[:1] != "\x08":
            left.append((middle, middle + len(stop)))
            continue
        taken = len(stop)
        while taken and left and text[left[-1][0] : left[-1][1]] not in _BOUNDS:
            begin, end = left.pop()
            if end - begin > taken:
                left.append((begin, end - taken))
            taken -= min(taken, end - begin)
    return left


def _steps(text: str, stops: re.Pattern[str]) -> Iterator[tuple[int, int, str]]:
    """What is printed, by where it begins and ends, and what stops it."""
    end = 0
    for begin in range(0, len(text), _PIECE):
        fields = iter([*stops.split(text[begin : begin + _PIECE]), ""])
        for printed, stop in zip(fields, fields, strict=True):
            start = end
            middle = start + len(printed)
            end = middle + len(stop)
            yield start, middle, stop


def _is_bar(text: str) -> bool:
    """Whether one line alone is written over, and by nothing that is shorter."""
    found = _GOES_BACK.search(text)
    if found is None:
        return True
    begin = text.rfind("\n", 0, found.start()) + 1
    end = text.find("\n", begin)
    end = len(text) if end < 0 else end
    pieces = text[begin:end].rstrip("\r").split("\r")
    return len(pieces[-1]) == max(map(len, pieces)) and _GOES_BACK.search(text, end) is None


class _Printing:
    """A text while it is printed. Each step adds a span or two to those of its line, and no step goes over a span that
    it does not take away or put behind the cursor, where one is once: all steps together take linear time."""

    def __init__(self, text: str, *, erases: bool = False) -> None:
        """`erases`: whether a backspace takes away what is on both sides of the cursor, as in JupyterLab, instead of
        going back over what is before it."""
        self._text = text
        self._erases = erases
        self._done: list[Span] = []
        """Of lines that are complete."""
        self._before: list[Span] = []
        """Of this line up to the cursor."""
        self._behind: list[Span] = []
        """And from there on, the nearest last."""
        self._cursor = 0
        self._lines = 0
        self.mixed = False
        """Whether more can be seen than a piece of the text with blanks behind it."""
        self._print()

    def reading(self, outer: Callable[[int, int], Span] | None) -> Reading:
        """What can be seen of it."""
        done, size = self._done, sum(end - start for start, end in self._done[: self._cursor])
        return Reading("".join([self._text[start:end] for start, end in done]), size, lambda: done, outer)

    def _print(self) -> None:
        line_before = line = end = 0
        """Where what is not in `_done` begins, and its last line."""
        moved = False
        for start, middle, stop in _steps(self._text, _STOP):
            end = middle + len(stop)
            ends_line = stop in _LINE_ENDS
            if not moved:
                if ends_line:
                    line = end
                if ends_line or not stop:
                    continue
                self._add(line_before, line)
            self._step(start if moved else line, middle, stop)
            moved = True
            if ends_line:
                self._end_line()
                moved, line_before, line = False, middle, end
        if not moved:
            self._add(line_before, end)
        self._cursor = len(self._done) + len(self._before)
        self._end_line()

    def _add(self, start: int, end: int) -> None:
        if start < end:
            self._done.append((start, end))

    def _step(self, start: int, middle: int, stop: str) -> None:
        if start < middle:
            self._before.append((start, middle))
            if self._behind:
                self._take_behind(middle - start)
        if stop[:1] == "\x08":
            self.mixed = True
            self._go_back(len(stop))
        elif stop[:1] == "\r" and stop[-1] == "\r":
            self._behind += reversed(self._before)
            self._before.clear()

    def _end_line(self) -> None:
        before, behind = self._before, self._behind
        if not before and not behind:
            return
        self._lines += 1
        if not self.mixed:
            size = len(before) + len(behind)
            last = behind[0] if behind else before[-1]
            self.mixed = self._lines > 1 or size > 2 or (size == 2 and not self._text[last[0] : last[1]].isspace())
        self._done += before
        self._done += reversed(behind)
        before.clear()
        behind.clear()

    def _take_behind(self, columns: int) -> None:
        behind = self._behind
        while columns and behind:
            start, end = behind.pop()
            if end - start > columns:
                behind.append((start + columns, end))
                return
            columns -= end - start

    def _go_back(self, columns: int) -> None:
        before, behind = self._before, self._behind
        while columns and before:
            start, end = before.pop()
            size = min(columns, end - start)
            columns -= size
            if end - size > start:
                before.append((start, end - size))
            if self._erases:
                self._take_behind(size)
            elif behind and behind[-1][0] == end:
                behind[-1] = end - size, behind[-1][1]
            else:
                behind.append((end - size, end))
