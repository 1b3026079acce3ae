"""The scanner under atheris: coverage leads to texts that nobody thought of. Started by `make fuzz`, not by pytest."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["jupyter_qsec.scanning"]):
    from tests.fuzz.properties import check, split, text_of


def one(raw: bytes) -> None:
    """One input of the fuzzer."""
    data = atheris.FuzzedDataProvider(raw)
    text = text_of(data.ConsumeIntInRange, data.ConsumeUnicode)
    check(text, split(text, [data.ConsumeIntInRange(0, len(text)) for _ in range(data.ConsumeIntInRange(0, 6))]))


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
