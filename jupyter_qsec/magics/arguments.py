"""The options of `%qsubmit` and `%%qsubmit`."""

from __future__ import annotations

import argparse
import keyword
import shlex
from dataclasses import dataclass
from typing import NoReturn

from jupyter_qsec.magics.problems import QsubmitError, did_you_mean

OPTIONS = ("--device", "--shots", "--out", "--no-plot", "--plot")
USAGE = "%%qsubmit [--device NAME|ARN] [--shots N] [--out VARIABLE] [--no-plot | --plot bars|matplotlib]"


@dataclass(frozen=True, slots=True)
class Options:
    device: str
    shots: int
    out: str
    """Name of the variable that gets the result; empty for none."""
    plot: str
    """`bars`, `matplotlib` or `none`."""
    target: str
    """What to run: a Python expression. Empty when the cell holds the program."""


class _Parser(argparse.ArgumentParser):
    """Raises instead of ending the kernel."""

    def error(self, message: str) -> NoReturn:
        unknown = message.rpartition(" ")[2] if message.startswith("unrecognized") else ""
        raise QsubmitError(f"{message}.{did_you_mean(unknown, OPTIONS) if unknown else ''} Use: {USAGE}")


def _parser() -> _Parser:
    parser = _Parser(prog="qsubmit", add_help=False, allow_abbrev=False)
    parser.add_argument("--device", "-d", default="sv1")
    parser.add_argument("--shots", "-s", default="1000")
    parser.add_argument("--out", "--name", "-o", default="")
    parser.add_argument("--no-plot", action="store_true")
    parser.add_argument("--plot", choices=("bars", "matplotlib"), default="bars")
    parser.add_argument("target", nargs="*")
    return parser


def parse(line: str) -> Options:
    """`QsubmitError` with one line for anything that cannot be meant."""
    try:
        words = shlex.split(line, posix=True)
    except ValueError as problem:
        raise QsubmitError(f"The options cannot be read: {str(problem).lower()}. Use: {USAGE}") from None
    found, unknown = _parser().parse_known_args(words)
    if unknown:
        raise QsubmitError(f"There is no option {unknown[0]}.{did_you_mean(unknown[0], OPTIONS)} Use: {USAGE}")
    if found.out and (not found.out.isidentifier() or keyword.iskeyword(found.out)):
        raise QsubmitError(f"--out needs the name of a variable; {found.out!r} is none.")
    return Options(
        device=found.device,
        shots=_shots(found.shots),
        out=found.out,
        plot="none" if found.no_plot else found.plot,
        target=" ".join(found.target),
    )


def _shots(text: str) -> int:
    try:
        shots = int(text.replace("_", "").replace(",", ""))
    except ValueError:
        raise QsubmitError(f"--shots needs a whole number; {text!r} is none.") from None
    if shots < 1:
        raise QsubmitError(
            f"--shots must be 1 or more, not {shots}: counts need samples. "
            "For exact results call AwsDevice(…).run(circuit, shots=0)."
        )
    return shots
