"""From a place in a notebook to the line of its file, for tools that show files line by line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import regex

from jupyter_qsec.scanning.finding import Finding

# Possessive: a text of 100 MB would otherwise leave as many places to come back to.
_TOKEN = regex.compile(r'"(?:[^"\\]++|\\.)*+"|[{}\[\],:]|[^\s"{}\[\],:]+')


def with_file_lines(findings: list[Finding], text: str) -> list[Finding]:
    """The findings of a notebook, each with `file_line`. `text` is the notebook's JSON, which must be valid.

    A text that is stored as a list of lines has a line of the file for each; one that is stored as one string has one.
    """
    if not findings:
        return findings
    exact = {finding: f"{finding.pointer}/{finding.line - 1}" for finding in findings}
    wanted = {*exact.values(), *(finding.pointer for finding in findings)}
    lines = _lines(text, wanted)
    return [replace(f, file_line=lines.get(exact[f], lines.get(f.pointer, 1))) for f in findings]


def _lines(text: str, wanted: Iterable[str]) -> dict[str, int]:
    """The line of each value that one of these pointers names."""
    paths = {tuple(pointer.split("/")[1:]): pointer for pointer in wanted}
    steps: list[str] = []
    keyed: list[bool] = []  # of each open value: whether it is an object
    key_next = False
    found: dict[str, int] = {}
    line, at = 1, 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in "]}":
            keyed.pop()
            steps.pop()
            key_next = False
        elif mark == ",":
            key_next = keyed[-1]
            if not keyed[-1]:
                steps[-1] = str(int(steps[-1]) + 1)
        elif mark == ":":
            key_next = False
        elif key_next:
            steps[-1] = _key(mark)
        else:
            pointer = paths.get(tuple(steps))
            if pointer is not None:
                line += text.count("\n", at, token.start())
                at = token.start()
                found[pointer] = line
            if mark in "[{":
                keyed.append(mark == "{")
                steps.append("" if mark == "{" else "0")
                key_next = mark == "{"
    return found


def _key(token: str) -> str:
    """A key as in a pointer. Escapes stay as they are: no notebook writes the keys that it needs with any."""
    return token[1:-1].replace("~", "~0").replace("/", "~1")
