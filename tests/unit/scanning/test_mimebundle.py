"""JSON values of messages: every string, key and list of lines, within bounds."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_qsec.domain.errors import TooLargeError
from jupyter_qsec.scanning import mimebundle
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.finding import Match
from jupyter_qsec.scanning.live import LiveSecrets
from jupyter_qsec.scanning.mimebundle import redact_json
from tests.unit.scanning.planted import AWS_KEY, AWS_SECRET, JWT, RSA_KEY

SCANNER = Engine.default()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def test_every_string_of_a_bundle_is_redacted() -> None:
    bundle = {
        "text/plain": f"key {AWS_KEY}",
        "text/html": [f"<b>{JWT}</b>\n", "<i>ok</i>"],
        "application/json": {"deep": [{"AccessKeyId": AWS_KEY, "n": 1}, None, True]},
    }
    before = copy.deepcopy(bundle)
    new, matches, secrets = redact_json(bundle, SCANNER)
    assert new == {
        "text/plain": "key [REDACTED:aws-access-key]",
        "text/html": ["<b>[REDACTED:jwt]</b>\n", "<i>ok</i>"],
        "application/json": {"deep": [{"AccessKeyId": "[REDACTED:aws-access-key]", "n": 1}, None, True]},
    }
    assert bundle == before
    assert [match.kind for match in matches] == [kind for kind, _ in secrets]
    assert secrets == [("aws-access-key", AWS_KEY), ("jwt", JWT), ("aws-access-key", AWS_KEY)]


def test_a_key_tells_what_its_value_is() -> None:
    value = {"SecretAccessKey": AWS_SECRET, "password": "hunter2", "Comment": AWS_SECRET[::-1]}
    new, _, _ = redact_json(value, SCANNER)
    assert new == {
        "SecretAccessKey": "[REDACTED:aws-secret-key]",
        "password": "[REDACTED:assigned-secret]",
        "Comment": AWS_SECRET[::-1],
    }


def test_secrets_used_as_keys_are_redacted_and_keep_their_values_apart() -> None:
    other = AWS_KEY[:-1] + "X"
    new, _, _ = redact_json({AWS_KEY: 1, other: 2}, SCANNER)
    assert sorted(new.values()) == [1, 2]
    assert AWS_KEY not in json.dumps(new) and other not in json.dumps(new)


def test_however_many_keys_are_secrets_each_costs_the_same() -> None:
    mark = "[REDACTED:aws-access-key]"
    planted = {f"AKIA{''.join(some)}QSEC7PLANTED": 1 for some in product("KLMNPQRSTUVW", repeat=4)}
    odd = {f"{mark}'{n}": -1 for n in range(2, 50)}
    new, matches, _ = redact_json(planted | odd, SCANNER)
    assert len(matches) == len(planted) and sorted(new.values()) == sorted((planted | odd).values())
    assert all(key.startswith(mark) and len(key) < len(mark) + 9 for key in new), "not a mark more for each"


def test_a_secret_broken_over_the_lines_of_a_traceback_leaves_one_marker() -> None:
    new, _, secrets = redact_json({"traceback": ["Error:", *RSA_KEY.splitlines(), "done"]}, SCANNER)
    assert "".join(new["traceback"]) == "Error:[REDACTED:private-key]done"
    assert len(new["traceback"]) == len(RSA_KEY.splitlines()) + 2
    assert secrets == [("private-key", RSA_KEY)]


def test_an_image_is_neither_scanned_by_rules_nor_broken() -> None:
    image = base64.b64encode(b"\x89PNG" + bytes(range(256)) * 20).decode() + AWS_KEY
    assert redact_json({"image/png": image, "application/pdf": image}, SCANNER)[0] == {
        "image/png": image,
        "application/pdf": image,
    }
    assert redact_json({"image/svg+xml": f"<svg>{AWS_KEY}</svg>"}, SCANNER)[0]["image/svg+xml"].count("REDACTED") == 1


PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20
PLAIN_PNG = base64.b64encode(PNG).decode()


@pytest.mark.parametrize("mime", ["image/png", "image/jpeg", "audio/wav", "font/woff", "application/octet-stream"])
@pytest.mark.parametrize(
    "text",
    [
        f"{AWS_KEY}\n{'A' * 600}",
        f"{'A' * 600}\n{AWS_KEY}\n",
        f"{PLAIN_PNG}\n{AWS_KEY}\n",
        f"{PLAIN_PNG} {AWS_KEY} {PLAIN_PNG}",
        f"{PLAIN_PNG[:76]}\n{AWS_KEY}\n{PLAIN_PNG}",
        f"{base64.encodebytes(PNG[:-2]).decode()}{AWS_KEY}",
        f"{base64.encodebytes(PNG[:5130]).decode()}{AWS_KEY}\n",
    ],
    ids=range(7),
)
def test_a_key_in_clear_is_found_beside_what_may_be_an_image(mime: str, text: str) -> None:
    new, _, secrets = redact_json({mime: text}, SCANNER)
    assert new[mime] == text.replace(AWS_KEY, "[REDACTED:aws-access-key]") and ("aws-access-key", AWS_KEY) in secrets


ENCODED = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    "image/gif": b"GIF89a\1\0\1\0",
    "image/webp": b"RIFF\x24\0\0\0WEBPVP8 ",
    "image/bmp": b"BM\x46\0\0\0\0\0\0\0\x36",
    "image/tiff": b"II*\0\x08\0\0\0",
    "image/x-icon": b"\0\0\1\0\1\0\x10\x10",
    "application/pdf": b"%PDF-1.7\n",
    "application/zip": b"PK\3\4\x14\0",
    "audio/ogg": b"OggS\0\2",
    "video/mp4": b"\0\0\0\x20ftypisom",
    "font/woff2": b"wOF2\0\1\0\0",
}


@pytest.mark.parametrize("mime", ENCODED)
def test_what_begins_as_its_kind_does_is_judged_by_no_rule(mime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def noted(engine: Engine, text: str, **_: Any) -> list[Match]:
        looked.append(text)
        return []

    monkeypatch.setattr(Engine, "scan_markup", noted)
    data = ENCODED[mime] + bytes(range(256)) * 2000
    for text in (base64.b64encode(data).decode(), base64.encodebytes(data).decode()):
        assert redact_json({mime: text}, SCANNER)[0] == {mime: text}
    assert all(len(text) <= 77 for text in looked), "but for the last row"


def test_a_live_secret_is_found_even_in_an_image() -> None:
    live = LiveSecrets()
    live.add("live-lease-token-0001", "lease-token")
    image = base64.b64encode(b"\x89PNG..live-lease-token-0001..").decode()
    new, _, _ = redact_json({"image/png": image}, SCANNER.with_live(live))
    assert "[REDACTED:lease-token]" in new["image/png"]


def test_what_is_too_deep_or_too_large_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    deep: Any = "x"
    for _ in range(mimebundle.MAX_DEPTH + 2):
        deep = [deep]
    monkeypatch.setattr(mimebundle, "MAX_CHARACTERS", 1000)
    monkeypatch.setattr(mimebundle, "MAX_VALUES", 1000)
    for value in (deep, ["x" * 600, {"a": "x" * 600}], [0] * 1001):
        with pytest.raises(TooLargeError):
            redact_json(value, SCANNER)


@settings(max_examples=150)
@given(JSON)
def test_a_value_without_secrets_comes_back_equal(value: Any) -> None:
    new, matches, secrets = redact_json(value, SCANNER)
    if not matches:
        assert new == value and secrets == []


@settings(max_examples=100)
@given(JSON, st.text(max_size=10), st.booleans())
def test_a_planted_key_never_survives(value: Any, key: str, in_list: bool) -> None:
    planted = {key: [value, f"\n{AWS_KEY}\n", value] if in_list else f"{AWS_KEY} "}
    assert AWS_KEY not in json.dumps(redact_json(planted, SCANNER)[0])


HIDDEN_IN_MARKUP = [
    f"<p>{AWS_KEY[:4]}<b>{AWS_KEY[4:]}</b></p>",
    f"<p>{AWS_KEY[:9]}<span class='x' style=\"color: red\">{AWS_KEY[9:]}</span></p>",
    f"<p>{AWS_KEY[:9]}<wbr/>{AWS_KEY[9:]}</p>",
    f"<p>{AWS_KEY[:9]}<!-- x -->{AWS_KEY[9:]}</p>",
    f"<p>{''.join(f'&#{ord(c)};' for c in AWS_KEY)}</p>",
    f"<p>{''.join(f'&#x{ord(c):X}' for c in AWS_KEY)}</p>",
    f"<p>&#65;{AWS_KEY[1:-1]}&#69;</p>",
    f"<p>{AWS_KEY[:9]}<ins>{AWS_KEY[9:]}</ins></p>",
    f"<p>{AWS_KEY[:9]}<x-y>{AWS_KEY[9:]}</x-y></p>",
    f"<p>{AWS_KEY[:9]}<font color='a>b'>{AWS_KEY[9:]}</font></p>",
    f"<p>{AWS_KEY[:9]}<!-- <b> -->{AWS_KEY[9:]}</p>",
    f"<p>{'&ZeroWidthSpace;'.join(AWS_KEY)}</p>",
    f"<p>{AWS_KEY[:9]}&shy{AWS_KEY[9:]}</p>",
]


@pytest.mark.parametrize("markup", HIDDEN_IN_MARKUP)
@pytest.mark.parametrize(
    "bundle",
    [
        lambda markup: {"application/vnd.plotly.v1+json": {"layout": {"title": {"text": markup}}}},
        lambda markup: {"application/vnd.vegalite.v5+json": {"title": ["A chart", f"{markup}"]}},
        lambda markup: {"state": {"_view_name": "HTMLView", "value": markup}},
        lambda markup: {"application/geo+json": {"features": [{"properties": {"popup": markup}}]}},
    ],
    ids=["plotly", "vega", "widget", "map"],
)
def test_nor_does_it_in_a_string_that_some_viewer_shows_as_a_page(
    markup: str, bundle: Callable[[str], dict[str, Any]]
) -> None:
    new, matches, _ = redact_json(bundle(markup), Engine.default())
    assert len(matches) == 1
    assert "[REDACTED:" in str(new)


@pytest.mark.parametrize("markup", HIDDEN_IN_MARKUP)
@pytest.mark.parametrize("mime", ["text/html", "image/svg+xml", "text/markdown"])
def test_markup_within_a_secret_does_not_hide_it(markup: str, mime: str) -> None:
    new, matches, secrets = redact_json({mime: markup}, Engine.default())
    assert new[mime].startswith("<p>[REDACTED:aws-access-key]") and new[mime].endswith("</p>")
    assert [match.kind for match in matches] == ["aws-access-key"] and len(secrets) == 1
    lines = markup.replace("><", ">\n<").splitlines(keepends=True)
    new, _, _ = redact_json({mime: lines}, Engine.default())
    assert "REDACTED" in "".join(new[mime])


def test_cells_of_a_table_are_not_one_word() -> None:
    table = f"<tr><td>{AWS_KEY[:9]}</td><td>{AWS_KEY[9:]}</td></tr><li>{AWS_KEY[:9]}</li>\n<li>{AWS_KEY[9:]}</li>"
    assert redact_json({"text/html": table}, Engine.default())[0] == {"text/html": table}


@pytest.mark.parametrize(
    "mark",
    [
        *(
            "\u200b",
            "\u200c",
            "\u200d",
            "\u2060",
            "\ufeff",
            "\u00ad",
            "\u200b\u200b",
            "\ufe0f",
            "\u200e",
            "\u202c",
            "\u2063",
        ),
        *(
            "\u180e",
            "\u034f",
            "\u061c",
            "\u115f",
            "\u17b4",
            "\u3164",
            "\uffa0",
            "\U0001d173",
            "\U000e0041",
            "\U000e0100",
        ),
        *(
            "\x1b7",
            "\x1b8",
            "\x1bPq\x1b\\",
            "\x1b_x\x1b\\",
            "\x1b^x\x1b\\",
            "\x1bXx\x1b\\",
            "\x1bP\x07\x1b\\",
            "\x9b0m",
            "\x90q\x9c",
        ),
    ],
    ids=ascii,
)
def test_characters_without_width_do_not_hide_a_secret(mark: str) -> None:
    text = f"key {mark.join(AWS_KEY)} end"
    new, _, secrets = redact_json({"text/plain": text}, Engine.default())
    assert new == {"text/plain": "key [REDACTED:aws-access-key] end"}
    assert secrets == [("aws-access-key", AWS_KEY)]


def test_a_large_image_with_something_else_at_its_end_is_scanned() -> None:
    image = base64.b64encode(bytes(300_000)).decode()
    assert redact_json({"image/png": image + "\n"}, SCANNER)[0] == {"image/png": image + "\n"}
    assert AWS_KEY not in redact_json({"image/png": f"{image} ! {AWS_KEY}"}, SCANNER)[0]["image/png"]


def test_a_key_of_the_protocol_hides_no_secret_below_it() -> None:
    new, _, found = redact_json({"data": {"text/plain": AWS_KEY}, AWS_KEY: "code"}, SCANNER)
    assert AWS_KEY not in repr(new)
    assert len(found) == 2


GOING_BACK = ["\b".join(AWS_KEY), "".join(f"x\b{c}" for c in AWS_KEY), f"    {AWS_KEY[4:]}\r{AWS_KEY[:4]}"]


@pytest.mark.parametrize("text", GOING_BACK, ids=["backspaces", "taken back", "return"])
@pytest.mark.parametrize(
    "content",
    [
        lambda text: {"data": {"text/plain": text}},
        lambda text: {"data": {"text/html": text, "text/markdown": [text, "x"]}},
        lambda text: {"ename": "ValueError", "evalue": text, "traceback": ["x", text]},
        lambda text: {"state": {"outputs": [{"output_type": "stream", "name": "stdout", "text": text}]}},
    ],
    ids=["result", "page", "exception", "widget"],
)
def test_what_was_printed_over_is_read_as_viewers_show_it(content: Callable[[str], dict[str, Any]], text: str) -> None:
    new, matches, secrets = redact_json(content(text), SCANNER)
    expected, _, _ = redact_json(content(AWS_KEY), SCANNER)
    assert len(matches) == str(expected).count("[REDACTED:aws-access-key]") == str(new).count("[REDACTED:")
    assert AWS_KEY[4:] not in str(new)
    assert all(kind == "aws-access-key" for kind, _ in secrets)


def test_a_key_tells_what_its_value_is_once_it_was_printed_over() -> None:
    for text in (f"wrong\b\b\b\b\b{AWS_SECRET}", f"    {AWS_SECRET[4:]}\r{AWS_SECRET[:4]}"):
        new, _, _ = redact_json({"SecretAccessKey": text}, SCANNER)
        assert "[REDACTED:aws-secret-key]" in new["SecretAccessKey"] and AWS_SECRET[4:] not in new["SecretAccessKey"]


def test_a_live_secret_that_was_printed_over_is_found_where_no_rule_may_judge() -> None:
    live = LiveSecrets()
    live.add("qsl_4f9Kd-2Lw_7TzQm8VbX1", "lease-token")
    engine = Engine.default(live=live)
    text = "\b".join("qsl_4f9Kd-2Lw_7TzQm8VbX1")
    assert [match.kind for match in engine.scan_live(text)] == ["lease-token"]
    assert redact_json({"text/plain": text}, engine)[0] == {"text/plain": "[REDACTED:lease-token]"}


@pytest.mark.parametrize(
    "text", [" 1%|  |\r50%|# |\r99%|##|\r", "one\r\ntwo\r\n", "a\bb", "\U0001f600\b\b:)"], ids=ascii
)
def test_what_goes_back_and_holds_nothing_stays(text: str) -> None:
    for content in ({"text/plain": text}, {"text/html": text}, {"token": [text, text]}):
        assert redact_json(content, SCANNER)[0] == content


def test_what_nobody_sees_beside_a_mark_does_not_hide_a_secret() -> None:
    new, _, _ = redact_json({"text/markdown": f"{AWS_KEY[:4]}**\u200b{AWS_KEY[4:9]}**{AWS_KEY[9:]}"}, SCANNER)
    assert new == {"text/markdown": "[REDACTED:aws-access-key]"}
