"""Sources with something in place of their secrets: what runs, what raises, what is refused."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.kernels.relay.source import Replaced, without_secrets
from jupyter_qsec.scanning.engine import Engine

KEY = "AKIA" + "QSEC7PLANTED5Q2X"
MARK = "[REDACTED:aws-access-key]"


def replaced(code: str) -> Replaced | None:
    matches = Engine.default().scan(code)
    assert matches
    return without_secrets(code, matches)


def ran(code: str) -> dict[str, Any]:
    instead = replaced(code)
    assert instead is not None and KEY not in instead.code and instead.shown == code.replace(KEY, MARK)
    names: dict[str, Any] = {}
    exec(instead.code, names)
    return names


def test_it_may_be_stored_and_passed_on() -> None:
    names = ran(f"def same(x): return x\nkey = same('{KEY}')\nkeys = [key, {{'a': key}}]\nafter = 1")
    assert names["after"] == 1 and names["keys"][0] is names["key"]


@pytest.mark.parametrize(
    "use",
    [
        "str(key)",
        "repr(key)",
        "f'{key}'",
        "'%s' % key",
        "key + 'x'",
        "'x' + key",
        "key == 'x'",
        "key[0]",
        "len(key)",
        "list(key)",
        "key.encode()",
        "{key: 1}",
        "bool(key)",
        "'a' in key",
        "open(key)",
        "__import__('json').dumps(str(key))",
        "__import__('pickle').dumps(key)",
    ],
)
def test_it_raises_when_it_is_used(use: str) -> None:
    names = ran(f"key = '{KEY}'")
    with pytest.raises(ValueError, match=r"aws-access-key\) was taken out") as caught:
        eval(use, names)
    assert type(caught.value).__name__ == "RedactedSecret"


@pytest.mark.parametrize("literal", [f"b'{KEY}'", f'"""{KEY}"""', f"r'{KEY}'", f"'''\none\n{KEY}\n'''", f"u'{KEY}'"])
def test_errors_keep_their_line(literal: str) -> None:
    code = f"x = 1\nkey = ({literal}, 2)\n\n1 / 0"
    instead = replaced(code)
    assert instead is not None and KEY not in instead.code
    with pytest.raises(ZeroDivisionError) as caught:
        exec(instead.code, {})
    assert traceback.extract_tb(caught.tb)[-1].lineno == code.count("\n") + 1


def test_a_comment_gets_a_marker() -> None:
    code = f"x = 1  # {KEY}\n"
    assert replaced(code) == Replaced(code.replace(KEY, MARK), code.replace(KEY, MARK))


def test_magics_and_shell_lines_elsewhere_do_not_matter() -> None:
    code = f"%matplotlib inline\nfiles = !ls\nkey = '{KEY}'\nif 1:\n    !date\nkey?\n"
    instead = replaced(code)
    assert instead is not None and KEY not in instead.code
    assert instead.code.startswith("%matplotlib inline\nfiles = !ls\nkey = type(")
    assert instead.code.endswith("if 1:\n    !date\nkey?\n")


@pytest.mark.parametrize(
    "code",
    [
        f"%env KEY='{KEY}'",
        f"!echo '{KEY}'",
        f"out = !echo '{KEY}'",
        f"%%bash\necho '{KEY}'",
        f"print(f'{KEY} {{1}}')",
        f"key = '{KEY}' 'more'",
        f"key = {KEY}",
        f"key = '{KEY}",
        f"x = (\nkey = '{KEY}'",
        f"!ls\nkey = '{KEY}",
        f"match x:\n    case '{KEY}':\n        pass",
    ],
)
def test_where_it_cannot_be_done_surely_it_is_not_done(code: str) -> None:
    assert replaced(code) is None


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_stands_around_it_the_key_is_gone_or_the_code_refused(before: str, after: str) -> None:
    code = f"{before}\nkey = '{KEY}'\n{after}"
    instead = without_secrets(code, Engine.default().scan(code))
    assert instead is None or (KEY not in instead.code and KEY not in instead.shown)
