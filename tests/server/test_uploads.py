"""Uploads to a real Jupyter Server, whole and in chunks: what is on disk, and what is found."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from jupyter_qsec.server import uploads
from tests.server.conftest import Guard
from tests.server.saves import KEY, Reports, a_notebook, put


@pytest.mark.parametrize("format_", ["text", "base64"])
async def test_a_notebook_uploaded_as_a_file_is_redacted(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path, format_: str
) -> None:
    guarded()
    text = json.dumps(a_notebook(f"key = '{KEY}' # é"))
    content = base64.b64encode(text.encode()).decode() if format_ == "base64" else text
    await put(jp_fetch, "up.ipynb", type="file", format=format_, content=content)
    saved = json.loads((jp_root_dir / "up.ipynb").read_text(encoding="utf-8"))
    assert "".join(saved["cells"][0]["source"]) == "key = '[REDACTED:aws-access-key]' # é"


async def test_a_secret_behind_a_json_escape_or_a_repeated_key_is_not_saved(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path
) -> None:
    guarded()
    cell = f'{{"cell_type":"raw","id":"a","metadata":{{}},"source":"{KEY}","source":"\\u0041{KEY[1:]}"}}'
    text = f'{{"cells":[{cell}],"metadata":{{}},"nbformat":4,"nbformat_minor":5}}'
    await put(jp_fetch, "up.ipynb", type="file", format="text", content=text)
    saved = (jp_root_dir / "up.ipynb").read_text()
    assert KEY not in saved and KEY[1:] not in saved


async def test_a_notebook_uploaded_in_chunks_is_redacted(guarded: Guard, jp_fetch: Any, jp_root_dir: Path) -> None:
    guarded()
    raw = json.dumps(a_notebook(f"key = '{KEY}'")).encode()
    middle = raw.index(KEY.encode()) + 9
    parts = {1: raw[:40], 2: raw[40:middle], -1: raw[middle:]}
    for number, part in parts.items():
        content = base64.b64encode(part).decode()
        await put(jp_fetch, "big.ipynb", type="file", format="base64", content=content, chunk=number)
        assert number == -1 or not (jp_root_dir / "big.ipynb").exists()
    saved = json.loads((jp_root_dir / "big.ipynb").read_text())
    assert "".join(saved["cells"][0]["source"]) == "key = '[REDACTED:aws-access-key]'"


async def test_chunks_out_of_order_are_refused(guarded: Guard, jp_fetch: Any, jp_root_dir: Path) -> None:
    guarded()
    with pytest.raises(HTTPClientError) as caught:
        await put(jp_fetch, "big.ipynb", type="file", format="text", content="{}", chunk=2)
    assert caught.value.code == 400 and not (jp_root_dir / "big.ipynb").exists()


async def test_other_files_are_uploaded_in_chunks_as_ever(guarded: Guard, jp_fetch: Any, jp_root_dir: Path) -> None:
    guarded()
    for number, part in ((1, "a,b\n"), (2, "1,2\n"), (-1, "3,4\n")):
        await put(jp_fetch, "data.csv", type="file", format="text", content=part, chunk=number)
    assert (jp_root_dir / "data.csv").read_text() == "a,b\n1,2\n3,4\n"


async def chunk(fetch: Any, path: str, number: int, part: bytes) -> Any:
    return await put(fetch, path, type="file", format="base64", content=base64.b64encode(part).decode(), chunk=number)


async def refused_chunk(fetch: Any, path: str, number: int, part: bytes) -> int:
    with pytest.raises(HTTPClientError) as caught:
        await chunk(fetch, path, number, part)
    return int(caught.value.code)


HALVES = f"a,b\nkey,{KEY[:9]}".encode(), f"{KEY[9:]}\n".encode()


@pytest.mark.parametrize("format_", ["text", "base64"])
async def test_a_secret_over_the_border_of_two_chunks_of_any_file_is_found(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path, reports: Reports, format_: str
) -> None:
    guarded()
    for number, part in ((1, HALVES[0]), (-1, HALVES[1])):
        content = base64.b64encode(part).decode() if format_ == "base64" else part.decode()
        await put(jp_fetch, "data.csv", type="file", format=format_, content=content, chunk=number)
    [(findings, action)] = reports.calls
    assert [(finding.kind, finding.line, finding.column) for finding in findings] == [("aws-access-key", 2, 5)]
    assert action == "warned" and (jp_root_dir / "data.csv").read_bytes() == b"".join(HALVES)


async def test_a_chunk_that_is_refused_is_refused_again(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path, reports: Reports
) -> None:
    guarded("refuse")
    await chunk(jp_fetch, "data.csv", 1, HALVES[0])
    assert [await refused_chunk(jp_fetch, "data.csv", -1, HALVES[1]) for _ in range(2)] == [422, 422]
    assert reports.actions() == ["refused", "refused"]
    await chunk(jp_fetch, "data.csv", -1, b"...\n")
    assert (jp_root_dir / "data.csv").read_bytes() == HALVES[0] + b"...\n"


async def test_a_secret_that_comes_one_character_a_chunk_is_found(
    guarded: Guard, jp_fetch: Any, reports: Reports
) -> None:
    guarded()
    for number, character in enumerate(KEY + "\n", start=1):
        await chunk(jp_fetch, "data.csv", number if character != "\n" else -1, character.encode())
    assert "aws-access-key" in {finding.kind for findings, _ in reports.calls for finding in findings}


async def test_what_is_found_in_later_chunks_is_told_once_and_by_its_line_in_the_file(
    guarded: Guard, jp_fetch: Any, reports: Reports
) -> None:
    guarded()
    lines = [b"line %d\n" % number for number in range(1, 3001)]
    lines[999] = lines[1999] = f"key = {KEY}\n".encode()
    for number, start in ((1, 0), (2, 1005), (-1, 2005)):
        await chunk(jp_fetch, "data.log", number, b"".join(lines[start : {1: 1005, 2: 2005, -1: 3000}[number]]))
    assert [finding.line for findings, _ in reports.calls for finding in findings] == [1000, 2000]


async def test_later_chunks_of_a_binary_file_are_not_searched_and_those_of_a_text_are_whatever_they_hold(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path, reports: Reports
) -> None:
    guarded("refuse")
    for number, part in ((1, b"\x89PNG\0"), (2, KEY.encode()), (-1, b"end")):
        await chunk(jp_fetch, "p.png", number, part)
    assert (jp_root_dir / "p.png").read_bytes().endswith(b"end") and reports.calls == []
    await chunk(jp_fetch, "d.log", 1, b"a text\n")
    assert await refused_chunk(jp_fetch, "d.log", -1, b"\0\nkey = " + KEY.encode()) == 422


async def test_chunks_of_any_file_have_to_follow_one_another(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded()
    monkeypatch.setattr(uploads, "_MOST_FILES", 2)
    assert await refused_chunk(jp_fetch, "a.csv", 2, b"b") == 400
    for name in ("a.csv", "b.csv", "c.csv"):
        await chunk(jp_fetch, name, 1, b"a")
    assert await refused_chunk(jp_fetch, "a.csv", 2, b"b") == 400, "of too many files at once the oldest is given up"
    assert await refused_chunk(jp_fetch, "b.csv", 3, b"b") == 400
    await chunk(jp_fetch, "b.csv", -1, b"b")
    assert (jp_root_dir / "b.csv").read_bytes() == b"ab"


async def test_a_later_chunk_whose_report_fails_or_that_cannot_be_decoded_is_not_saved(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path
) -> None:
    def failing(findings: Any, action: str) -> None:
        raise OSError("no room")

    guarded(report=failing)
    await chunk(jp_fetch, "data.csv", 1, HALVES[0])
    assert await refused_chunk(jp_fetch, "data.csv", -1, HALVES[1]) == 422
    with pytest.raises(HTTPClientError) as caught:
        await put(jp_fetch, "data.csv", type="file", format="base64", content="a", chunk=-1)
    assert caught.value.code == 400
    assert (jp_root_dir / "data.csv").read_bytes() == HALVES[0]


async def test_a_whole_save_between_two_chunks_ends_the_upload(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path, reports: Reports
) -> None:
    guarded("refuse")
    await chunk(jp_fetch, "f.txt", 1, b"x\n")
    await put(jp_fetch, "f.txt", type="file", format="text", content=HALVES[0].decode())
    assert await refused_chunk(jp_fetch, "f.txt", -1, HALVES[1]) == 400
    assert (jp_root_dir / "f.txt").read_bytes() == HALVES[0]
