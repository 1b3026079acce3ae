"""Where any of many byte strings may begin, found in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import re2

from jupyter_qsec.scanning.expressions import Expression

SIZE = 3
"""Bytes of each that are looked at: in text that is not made for it, one place in a thousand begins like this."""
_MAX_MEMORY = 256 << 20


class Heads:
    """The beginnings of a set of byte strings. Immutable and thread-safe."""

    def __init__(self, wholes: Iterable[bytes], size: int = SIZE) -> None:
        """`size`: how many bytes of each are looked at; all of them have as many."""
        self._size = size
        heads = {whole[:size] for whole in wholes}
        self._begun = frozenset(head[:size] for head in heads for size in range(1, len(head)))
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.max_mem = _MAX_MEMORY
        options.never_capture = True
        pattern = "|".join(_escaped(head) for head in sorted(heads))
        self._search = Expression(pattern.encode("ascii"), options) if heads else None

    def first(self, data: bytes, position: int = 0) -> int | None:
        """The next place from `position` on where one begins with its first bytes."""
        found = None if self._search is None else self._search.search(data, position)
        return None if found is None else found[0][0]

    def places(self, data: bytes) -> Iterator[int]:
        """Every such place."""
        start = self.first(data)
        while start is not None:
            yield start
            start = self.first(data, start + 1)

    def starts(self, data: bytes) -> Iterator[int]:
        """Every such place, and those where the data ends before so many bytes."""
        yield from self.places(data)
        for position in range(max(0, len(data) - self._size + 1), len(data)):
            if data[position:] in self._begun:
                yield position


def _escaped(raw: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in raw)
