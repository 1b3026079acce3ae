"""How fast the scanner is, beside detect-secrets on the same files in the same run.

It takes some ten seconds. Rates are CPU time of one process.
"""

from __future__ import annotations

import argparse
import base64
import functools
import inspect
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.table import Row, render
from jupyter_qsec.scanning import plugins, rules, stream
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.scanner import Scanner
from jupyter_qsec.scanning.stream import StreamRedactor
from jupyter_qsec.server.beside import is_large

_MEGABYTE = 1 << 20
_SAMPLE = 64 << 10


def code() -> str:
    """Source code of the standard library."""
    modules = (argparse, json, random, inspect, subprocess, tempfile, rules, stream)
    return "\n".join(inspect.getsource(module) for module in modules)


def output() -> str:
    """What cells print: counts, numbers, task ids, log lines."""
    chosen = random.Random(1)
    lines: list[str] = []
    while len(lines) < 8000:
        lines += [
            f"step {len(lines)} loss {chosen.random():.6f} accuracy {chosen.random():.4f}",
            json.dumps({f"{chosen.randrange(16):04b}": chosen.randrange(1000) for _ in range(8)}),
            f"arn:aws:braket:us-east-1:123456789012:quantum-task/{chosen.getrandbits(128):032x} COMPLETED",
            f"2026-03-01 12:00:00 INFO auth: token refreshed for session {chosen.getrandbits(32):08x}",
        ]
    return "\n".join(lines)


def image() -> str:
    return base64.b64encode(random.Random(2).randbytes(_MEGABYTE)).decode()


def keywords() -> str:
    return "\n".join(f"the token of step {n} is a key to the secret password" for n in range(12_000))


HOSTILE = {
    "spaces": " ",
    "quotes": '"',
    "one long line": "a",
    "nested repeats": '[{"a":((((',
    "a keyword a line": "password = \n",
    "letters that are taken back": "a\b\n",
    "a line written over": "a\rb\r",
}
"""Texts that consist of what costs a scanner most."""


def varied() -> str:
    """A keyword and a value in every line, of which none is like another."""
    chosen = random.Random(3)
    return "\n".join(f"password={chosen.getrandbits(32):08x}"[:12] for _ in range(80_000))


def slowest() -> tuple[float, str]:
    """The lowest rate over hostile texts, in megabytes a second, and the text's name."""
    return min([(rate_of(unit), name) for name, unit in HOSTILE.items()] + [(_rate(varied()), "a new value a line")])


def rate_of(unit: str) -> float:
    """The rate over a megabyte of the same again and again."""
    return _rate((unit * (_MEGABYTE // len(unit) + 1))[:_MEGABYTE])


def _rate(text: str) -> float:
    return rate(functools.partial(Engine.default().scan_printed, text), len(text), 0.3)


def rate(work: Callable[[], object], characters: int, seconds: float = 0.6) -> float:
    """Megabytes a second, by CPU time."""
    rounds, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds or not rounds:
        work()
        rounds += 1
    return rounds * characters / spent / 1e6


def theirs(text: str) -> float:
    """detect-secrets' `scan_file` on a sample."""
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import default_settings

    sample = text[:_SAMPLE]
    with tempfile.TemporaryDirectory() as folder, default_settings():
        file = Path(folder, "sample.py")
        file.write_text(sample, encoding="utf-8")
        return rate(lambda: list(scan_file(str(file))), len(sample), 0.3)


def saves() -> dict[str, dict[str, Any]]:
    """Notebooks that are slow to scan: large, small with many values, and of text that packs triggers."""
    text = (output() + "\x1b[0m\N{RIGHTWARDS ARROW}\n") * (10_000_000 // len(output()))
    page = {"text/html": text.replace("\n", "<br>")}
    printed = {"output_type": "stream", "name": "stdout", "text": text}
    return {
        "10 MB of output": _notebook([printed, _shown(page)]),
        "a plot": _notebook([_shown({"application/vnd.plotly.v1+json": {"data": [{"y": [1.5] * 500_000}]}})]),
        "keys": _notebook([_shown({"application/json": {f"key {n}": n for n in range(100_000)}})]),
        "tiny cells": {"cells": _notebook([])["cells"] * 5_000},
        "64 KB of pwd=": _notebook([], "pwd=" * (64 << 8)),
        "the slowest that needs no thread": _notebook([], "pwd=" * 236),
    }


def _notebook(outputs: list[dict[str, Any]], source: str = "") -> dict[str, Any]:
    return {"cells": [{"cell_type": "code", "source": source, "metadata": {}, "outputs": outputs}]}


def _shown(data: dict[str, Any]) -> dict[str, Any]:
    return {"output_type": "display_data", "data": data, "metadata": {}}


def longest_stop() -> tuple[float, str]:
    """Milliseconds for which the event loop waits at most while a notebook is saved, and which one."""
    return max((_stop(notebook), name) for name, notebook in saves().items())


def _stop(notebook: dict[str, Any]) -> float:
    """As in a save: of a small one the whole scan (CPU time), of a large one for as long as the scan keeps this thread
    waiting. The interpreter itself lets a thread wait 5 ms for another one."""
    began = time.thread_time()
    scan = threading.Thread(target=Scanner().redact_notebook, args=(notebook,))
    if not is_large(notebook):
        scan.run()
        return (time.thread_time() - began) * 1e3
    longest, last = time.thread_time() - began, time.perf_counter()
    scan.start()
    while scan.is_alive():
        time.sleep(0.0005)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    return longest * 1e3


def start_milliseconds() -> float:
    """CPU time from nothing to a built scanner, in a new process; the best of three."""
    program = (
        "import time; t = time.process_time()\n"
        "from jupyter_qsec.scanning.engine import Engine\n"
        "Engine.default(); print((time.process_time() - t) * 1e3)"
    )
    runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, check=True) for _ in range(3)]
    return min(float(run.stdout) for run in runs)


def microseconds(work: Callable[[], object], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) / times * 1e6


def rows() -> list[Row]:
    """Rates against detect-secrets, the cost of small texts, and the time to a built scanner."""
    engine = Engine.default()
    plugins.warm()
    result = []
    for name, text in (("code", code()), ("output", output()), ("base64", image()), ("keywords", keywords())):
        ours = rate(functools.partial(engine.scan, text), len(text))
        other = theirs(text)
        result.append(Row(f"scan: {name}", ours, "MB/s", f"detect-secrets {other:.2f} MB/s", ours / other))
    cell, stream_of_text = code()[:1024], StreamRedactor(engine)
    line, bar = "step 12: loss 0.1234 ok\n", "\r 45%|####     | 45/100"
    started = start_milliseconds()
    worst, name = slowest()
    stop, save = longest_stop()
    return [
        *result,
        Row(f"scan: worst text, {name}", worst, "MB/s", target="1 MB/s or more", ok=worst >= 1),
        Row("scan: a finding a line", rate_of("password: aB3$xY7!q\n"), "MB/s"),
        Row("scan: a cell of 1 KB", microseconds(lambda: engine.scan(cell), 2000), "us"),
        Row("stream: a printed line", microseconds(lambda: stream_of_text.feed(line), 5000), "us"),
        Row("stream: a progress bar", microseconds(lambda: stream_of_text.feed(bar), 5000), "us"),
        Row(f"save: the event loop waits, {save}", stop, "ms", target="20 ms or less", ok=stop <= 20),
        Row("scanner: import and build", started, "ms", target="120 ms or less", ok=started <= 120),
    ]


if __name__ == "__main__":
    print(render(rows()))
