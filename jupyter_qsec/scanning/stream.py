"""Redaction of a text that arrives in pieces.

Only a suffix that could still become a secret is held back, at most 256 characters for at most 150 ms. Then it goes out
but for what may be a live secret or one with an anchor: of that four characters, the rest with the text or message that
follows. What was released stays in memory as context, so a secret that is recognised late loses at least its rest. A
secret without a fixed length is swallowed until a character that cannot belong to it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import regex

from jupyter_qsec.scanning import pem
from jupyter_qsec.scanning.engine import Engine, Redaction, bare
from jupyter_qsec.scanning.finding import Match, marker
from jupyter_qsec.scanning.hit import Hit
from jupyter_qsec.scanning.holding import WIDEST, anchored_from, hold_from
from jupyter_qsec.scanning.joined import before_unfinished, through_unseen, unseen_to_the_end
from jupyter_qsec.scanning.overprinted import Reading, readings

MAX_HELD = 256
"""Characters."""
MAX_SECONDS = 0.150
SHOWN_LATE = 4
"""Characters of what may become a secret that go out when its time is over."""
_CONTEXT = 256
_MAX_CONTEXT = 1024
_MAX_REMEMBERED = 65_536
_TOKEN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+/=.")

_MAY_BE_TAKEN_BACK = re.compile(rf"[^\x08\r\n]{{1,{WIDEST}}}\x08{{0,{WIDEST}}}\Z")


@dataclass(slots=True)
class _Swallowing:
    """A secret whose marker is out and whose end has not come yet."""

    kind: str
    start: int
    """In the whole stream."""
    seen: str
    goes_on: regex.Pattern[str] | None
    """None: armour, which ends with its END line."""
    before: str
    """What stands before it in the stream."""
    held: str
    """What nobody sees, or nobody any more, after which the secret may go on or not."""
    told: bool
    """Whether the finding was given out; then what follows is only dropped."""
    shown: int = 0
    """Characters of `held` that are out."""

    def tell(self, end: int, done: list[tuple[Match, str]]) -> None:
        if not self.told:
            done.append((Match(self.kind, self.start, end), bare(self.kind, self.seen)))
            self.told = True


class StreamRedactor:
    """Redacts one text stream. Not thread-safe: one for each stream of each parent message.

    The matches and secrets of a returned `Redaction` are those that were completed by it, or by the flush that ended
    the wait for their end; their offsets count from the beginning of the stream.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._clock = clock
        self._buffer = ""
        self._base = 0  # offset of the buffer in the stream
        self._begins_line = True  # the buffer, and not within one
        self._read: list[Reading] = []  # of the buffer
        self._out = 0  # index in the buffer up to which everything went out, as it is or as a marker
        self._swallowing: _Swallowing | None = None
        self._told: tuple[str, int] | None = None  # kind and start of the last secret that was told, in the stream
        self._deadline: float | None = None

    @property
    def deadline(self) -> float | None:
        """When `release_due` has something to give, in the clock's seconds; None: nothing is held."""
        return self._deadline

    def pending(self) -> bool:
        """Whether text is held, or a finding whose secret may go on."""
        state = self._swallowing
        if state is not None and (state.shown < len(state.held) or not state.told):
            return True
        return self._out < len(self._buffer)

    def feed(self, text: str) -> Redaction:
        """Take a piece; give what may go out now."""
        return self._advance(text)

    def flush(self) -> Redaction:
        """Give everything that is held, redacted. To be called before any other message of the same parent."""
        return self._end(lambda hits: len(self._buffer), len)

    def release_due(self) -> Redaction:
        """Give what is held if its time is over, but for what may be on its way to a secret; else nothing."""
        if self._deadline is None or self._clock() < self._deadline:
            return Redaction("")
        redaction = self._end(self._hold_late, _finished)
        self._deadline = None  # what is left waits for what follows
        return redaction

    def _advance(self, text: str) -> Redaction:
        done: list[tuple[Match, str]] = []
        self._take(text, done)
        shown = self._release(done, self._hold)
        self._time(shown != "")
        return _redaction(shown, done)

    def _end(self, hold: Callable[[list[Hit]], int], give: Callable[[str], int]) -> Redaction:
        """Nothing more may come: also what is being swallowed is told. `give`: how much of what it holds goes out."""
        done: list[tuple[Match, str]] = []
        shown = self._release(done, hold)
        state = self._swallowing
        if state is not None:
            end = max(state.shown, give(state.held))
            shown += state.held[state.shown : end]
            state.shown = end
            state.tell(self._base, done)
        self._time(shown != "")
        return _redaction(shown, done)

    def _release(self, done: list[tuple[Match, str]], hold: Callable[[list[Hit]], int]) -> str:
        if self._out >= len(self._buffer):
            return ""
        self._read = readings(self._buffer)
        hits = [hit for hit in self._engine.printed_hits(self._buffer, self._read) if hit.end > self._out]
        return self._emit(hits, hold(hits), done)

    def _take(self, text: str, done: list[tuple[Match, str]]) -> None:
        """Drop what still belongs to the secret that is being swallowed; put the rest into the buffer."""
        state = self._swallowing
        if state is None or not text:
            self._buffer += text
            return
        if state.goes_on is None:
            carry = state.seen[-pem.CARRY :]
            end = pem.end_of_key(carry + text)
            size = len(text) if end is None else max(0, end - len(carry))
            over = end is not None
        else:
            text = state.held + text
            match = state.goes_on.match(text)
            size = match.end() if match else 0
            over = size < len(text) and not _hides_the_rest(text, size, state.seen + text[:size])
            state.held, state.shown = text[size:], max(0, state.shown - size)
        state.seen = (state.seen + text[:size])[-_MAX_REMEMBERED:]
        self._base += size
        if over:
            state.tell(self._base, done)
            self._resume(state, text[size:])

    def _resume(self, state: _Swallowing, rest: str) -> None:
        """The secret may be part of a longer one that only the rest tells, so it becomes context of the rest."""
        context = state.before + state.seen
        cut = max(0, len(context) - _MAX_CONTEXT)
        if cut:
            self._begins_line = context[cut - 1] == "\n"
            context = context[cut:]
        self._buffer = context + rest
        self._base -= len(context)
        self._out = len(context) + state.shown
        self._swallowing = None

    def _hold(self, hits: list[Hit]) -> int:
        size = len(self._buffer)
        hold = max(self._out, hold_from(self._engine, self._buffer, self._read))
        for hit in hits:
            if (hit.open and _reaches_end(hit, self._buffer)) or hit.start < hold < hit.end:
                hold = min(hold, max(self._out, hit.start))
        if size - hold <= MAX_HELD:
            return hold
        if any(_reaches_end(hit, self._buffer) and max(hit.start, self._out) <= hold for hit in hits):
            return size  # already a secret, and too long to wait for its end
        hold = size - MAX_HELD
        return next((hit.start for hit in hits if hit.start < hold < hit.end and hit.start >= self._out), hold)

    def _hold_late(self, hits: list[Hit]) -> int:
        """How far the text may go out once its time is over. A secret that is complete goes out as a marker."""
        size = len(self._buffer)
        begun = anchored_from(self._engine, self._buffer, self._read)
        if begun >= size:
            return size
        return max(self._out, min(size, begun + SHOWN_LATE), size - MAX_HELD)

    def _emit(self, hits: list[Hit], hold: int, done: list[tuple[Match, str]]) -> str:
        buffer, parts, at = self._buffer, [], self._out
        for hit in hits:
            start = max(hit.start, self._out)
            if start >= hold:
                break
            told = self._told == (hit.kind, self._base + hit.start)
            if not told:  # else its marker went out when its time was over, and this is the rest
                parts += [buffer[at:start], marker(hit.kind)]
                self._told = hit.kind, self._base + hit.start
            at = hit.end
            if hit.grows and _reaches_end(hit, buffer):
                self._begin_swallowing(hit, told)
                return "".join(parts)
            if not told:
                done.append(
                    (
                        Match(hit.kind, self._base + hit.start, self._base + hit.end),
                        bare(hit.kind, buffer[hit.start : hit.end]),
                    )
                )
        if at < hold:
            parts.append(buffer[at:hold])
        self._settle(max(at, hold))
        return "".join(parts)

    def _begin_swallowing(self, hit: Hit, told: bool) -> None:
        """From now on the buffer is empty, and the stream goes on where the secret so far ends."""
        start, buffer = self._base + hit.start, self._buffer
        seen, held = buffer[hit.start : hit.end], buffer[hit.end :]
        self._settle(hit.start)
        goes_on = None if hit.grows == pem.KIND else through_unseen(hit.grows)
        self._swallowing = _Swallowing(hit.kind, start, seen, goes_on, self._buffer[: self._out], held, told)
        self._buffer, self._base, self._out = "", start + len(seen), 0

    def _settle(self, out: int) -> None:
        """Remember what went out as context, and forget what is too old."""
        cut = self._context_start(out)
        if cut:
            self._begins_line = self._buffer[cut - 1] == "\n"
            self._buffer = self._buffer[cut:]
            self._base += cut
        self._out = out - cut

    def _time(self, advanced: bool) -> None:
        """Set the deadline: anew when something has gone out, as what is held now came later."""
        if not self.pending():
            self._deadline = None
        elif advanced or self._deadline is None:
            self._deadline = self._clock() + MAX_SECONDS

    def _context_start(self, out: int) -> int:
        cut = min(max(0, out - _CONTEXT), self._line_start(out))
        while cut > 0 and out - cut < _MAX_CONTEXT and self._buffer[cut - 1] in _TOKEN:
            cut -= 1
        return cut

    def _line_start(self, out: int) -> int:
        """Where the line begins that what follows may be printed over; when that is too long ago, where it was begun
        anew, so that at least the columns are right."""
        start = self._buffer.rfind("\n", 0, out) + 1
        if (start or self._begins_line) and out - start <= _MAX_CONTEXT:
            return start
        latest = max(0, out - _CONTEXT)
        return (self._buffer.rfind("\r", max(0, out - _MAX_CONTEXT), latest) + 1) or latest


def _reaches_end(hit: Hit, text: str) -> bool:
    """Whether nothing that a reader sees follows the secret. Armour ends with a line of its own."""
    if hit.end == len(text):
        return True
    return hit.grows != pem.KIND and _hides_the_rest(text, hit.end, text[hit.start : hit.end])


def _hides_the_rest(text: str, start: int, secret: str) -> bool:
    """Whether nothing but what nobody sees follows, or what may be taken back as something within the secret was."""
    if len(text) - start > MAX_HELD:
        return False
    return unseen_to_the_end(text, start) or ("\x08" in secret and _MAY_BE_TAKEN_BACK.match(text, start) is not None)


def _finished(held: str) -> int:
    """How much of what is held behind a secret may go out: not what may be taken back, nor half a control sequence, as
    neither would be looked through with its other half behind it."""
    return len(before_unfinished(held)) if unseen_to_the_end(held, 0) else 0


def _redaction(text: str, done: list[tuple[Match, str]]) -> Redaction:
    return Redaction(text, tuple(match for match, _ in done), tuple((match.kind, secret) for match, secret in done))
