"""The options of `%qsubmit`."""

from __future__ import annotations

import pytest

from jupyter_qsec.magics.arguments import Options, parse
from jupyter_qsec.magics.problems import QsubmitError, did_you_mean


def test_defaults() -> None:
    assert parse("circuit") == Options(device="sv1", shots=1000, out="", plot="bars", target="circuit")


@pytest.mark.parametrize("line", ["-d dm1 -s 1_000 -o r c", "c --device dm1 --shots=1,000 --out r", "--name r c -ddm1"])
def test_options_stand_anywhere(line: str) -> None:
    options = parse(line)
    assert (options.device, options.shots, options.out, options.target) == ("dm1", 1000, "r", "c")


def test_plots() -> None:
    assert parse("c --no-plot").plot == "none"
    assert parse("c --plot matplotlib").plot == "matplotlib"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--shots", "expected one argument"),
        ("--plot pie", "invalid choice"),
        ("--dev sv1", "There is no option --dev. Did you mean '--device'?"),
        ("--out class", "--out needs the name of a variable; 'class' is none."),
        ("--shots 1.5", "--shots needs a whole number; '1.5' is none."),
        ("--shots 0", "--shots must be 1 or more, not 0"),
        ("'", "The options cannot be read"),
    ],
)
def test_a_mistake_is_one_line(line: str, said: str) -> None:
    with pytest.raises(QsubmitError) as problem:
        parse(line)
    assert said in str(problem.value)
    assert "\n" not in str(problem.value)


def test_ipython_shows_the_message_alone() -> None:
    assert QsubmitError("one line")._render_traceback_() == ["one line"]


def test_suggestions_are_close_or_none() -> None:
    assert did_you_mean("SV2", ["sv1", "dm1"]) == " Did you mean 'sv1'?"
    assert did_you_mean("aquila", ["sv1", "dm1"]) == ""
