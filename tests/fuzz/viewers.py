"""What viewers show of what a program prints, a character after the other: the measure for what the scanner reads."""

from __future__ import annotations

import unicodedata

from jupyter_qsec.scanning.joined import unseen_so_far


def jupyterlab(text: str) -> str:
    """Every character is one. A backspace takes away what stands before the cursor, and what stands at it."""
    done: list[str] = []
    line: list[str] = []
    at = 0
    for character in text:
        if character == "\n":
            done += [*line, "\n"]
            line, at = [], 0
        elif character == "\r":
            at = 0
        elif character != "\b":
            line[at : at + 1] = [character]
            at += 1
        elif at:
            at -= 1
            del line[at : at + 2]
    return "".join(done + line)


def terminal(text: str) -> str:
    """Cells of one column. Wide characters have two, shown as blanks here; what nobody sees and what combines with
    other characters have none."""
    done: list[str] = []
    line: list[str] = []
    at = 0
    for character in unseen_so_far(text).text:
        if character == "\n":
            done += [*line, "\n"]
            line, at = [], 0
        elif character == "\r":
            at = 0
        elif character == "\b":
            at = max(0, at - 1)
        elif unicodedata.category(character) not in ("Mn", "Me"):
            cells = "  " if unicodedata.east_asian_width(character) in "WF" else character
            line[at : at + len(cells)] = cells
            at += len(cells)
    return "".join(done + line)


VIEWERS = (jupyterlab, terminal)
