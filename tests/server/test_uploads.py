"""Uploads to a real Jupyter Server, whole and in chunks: what is on disk, and what is found."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from tests.server.saves import KEY, Reports, a_notebook, put


@pytest.mark.parametrize("format_", ["text", "base64"])
async def test_a_notebook_uploaded_as_a_file_is_redacted(
    guarded: Any, jp_fetch: Any, jp_root_dir: Path, format_: str
) -> None:
    guarded()
    text = json.dumps(a_notebook(f"key = '{KEY}' # é"))
    content = base64.b64encode(text.encode()).decode() if format_ == "base64" else text
    await put(jp_fetch, "up.ipynb", type="file", format=format_, content=content)
    saved = json.loads((jp_root_dir / "up.ipynb").read_text(encoding="utf-8"))
    assert "".join(saved["cells"][0]["source"]) == "key = '[REDACTED:aws-access-key]' # é"


async def test_a_secret_behind_a_json_escape_or_a_repeated_key_is_not_saved(
    guarded: Any, jp_fetch: Any, jp_root_dir: Path
) -> None:
    guarded()
    cell = f'{{"cell_type":"raw","id":"a","metadata":{{}},"source":"{KEY}","source":"\\u0041{KEY[1:]}"}}'
    text = f'{{"cells":[{cell}],"metadata":{{}},"nbformat":4,"nbformat_minor":5}}'
    await put(jp_fetch, "up.ipynb", type="file", format="text", content=text)
    saved = (jp_root_dir / "up.ipynb").read_text()
    assert KEY not in saved and KEY[1:] not in saved


async def test_a_notebook_uploaded_in_chunks_is_redacted(guarded: Any, jp_fetch: Any, jp_root_dir: Path) -> None:
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


async def test_chunks_out_of_order_are_refused(guarded: Any, jp_fetch: Any, jp_root_dir: Path) -> None:
    guarded()
    with pytest.raises(HTTPClientError) as caught:
        await put(jp_fetch, "big.ipynb", type="file", format="text", content="{}", chunk=2)
    assert caught.value.code == 400 and not (jp_root_dir / "big.ipynb").exists()


async def test_other_files_are_uploaded_in_chunks_as_ever(guarded: Any, jp_fetch: Any, jp_root_dir: Path) -> None:
    guarded()
    for number, part in ((1, "a,b\n"), (2, "1,2\n"), (-1, "3,4\n")):
        await put(jp_fetch, "data.csv", type="file", format="text", content=part, chunk=number)
    assert (jp_root_dir / "data.csv").read_text() == "a,b\n1,2\n3,4\n"


@pytest.mark.parametrize("mode", ["redact", "refuse"])
async def test_a_secret_in_a_later_chunk_of_any_file_is_found(
    guarded: Any, jp_fetch: Any, jp_root_dir: Path, reports: Reports, mode: str
) -> None:
    guarded(mode)
    await put(jp_fetch, "data.csv", type="file", format="text", content=f"a,b\nkey,{KEY[:9]}", chunk=1)
    assert reports.calls == []
    content = base64.b64encode(f"{KEY[9:]}\n".encode()).decode()
    second = put(jp_fetch, "data.csv", type="file", format="base64", content=content, chunk=-1)
    if mode == "redact":
        await second
    else:
        with pytest.raises(HTTPClientError) as caught:
            await second
        assert caught.value.code == 422
        assert KEY not in (jp_root_dir / "data.csv").read_text()
    (findings, action) = reports.calls[0]
    assert [finding.kind for finding in findings] == ["aws-access-key"]
    assert action == {"redact": "warned", "refuse": "refused"}[mode]


async def test_later_chunks_of_a_binary_file_are_not_searched(
    guarded: Any, jp_fetch: Any, jp_root_dir: Path, reports: Reports
) -> None:
    guarded("refuse")
    for number, part in ((1, b"\x89PNG\0"), (2, KEY.encode()), (-1, b"end")):
        content = base64.b64encode(part).decode()
        await put(jp_fetch, "p.png", type="file", format="base64", content=content, chunk=number)
    assert (jp_root_dir / "p.png").read_bytes().endswith(b"end") and reports.calls == []
