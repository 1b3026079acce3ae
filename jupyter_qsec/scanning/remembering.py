"""An engine that remembers short texts in which it found nothing: the messages of one kernel repeat most of theirs."""

from __future__ import annotations

from collections import OrderedDict

from jupyter_qsec.scanning.engine import Engine, Work
from jupyter_qsec.scanning.hit import Hit
from jupyter_qsec.scanning.live import Known

LONGEST = 4_096
"""Characters of a text that is remembered."""
MOST = 256
"""Texts that are remembered."""


class RememberingEngine(Engine):
    """Finds what the default engine finds. For one thread, as it keeps a memory of its own.

    The memory lasts for as long as the live secrets stay what they are: a new one may stand in a text that was clean.
    """

    def __init__(self, live: Known) -> None:
        self.__dict__.update(Engine.default().__dict__)
        self.live: Known = live
        self._state: object = None
        self._clean: OrderedDict[str, None] = OrderedDict()

    def hits(self, text: str, work: Work | None = None) -> list[Hit]:
        """As the default engine does."""
        if len(text) > LONGEST:
            return super().hits(text, work)
        state = self.live.state()
        if state != self._state:
            self._clean.clear()
            self._state = state
        if text in self._clean:
            self._clean.move_to_end(text)
            return []
        found = super().hits(text, work)
        if not found:
            self._clean[text] = None
            if len(self._clean) > MOST:
                self._clean.popitem(last=False)
        return found
