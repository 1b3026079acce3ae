"""Bytes that need not be text: a secret in them is overwritten, and chance makes none."""

from __future__ import annotations

import random
import zlib

import pytest

from jupyter_qsec.scanning.binary import cleaned
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.live import LiveSecrets
from tests.fakes.kernel_home import PRIVATE_KEY
from tests.unit.scanning.planted import PLANTED

MEGABYTE = 1 << 20
KEY = "AKIA" + "QSEC7PLANTED5Q2X"
NOISE = bytes(range(128, 256))
ENGINE = Engine.default()
CHANCE = {
    "a name, and noise behind it": b"\x86\xaePW=\\\xe8\xb1\xb8\x14\x9dnU\x1b\xd0\xf2\xb4\x7f\x19\xa5^",
    "a name and few letters between noise": b"\x86\xaePW=nU1x7q\xd0",
    "noise in quotes": b"\x02\xe0secret='" + NOISE + b"'\x01",
    "a name behind letters with zeros, and noise": b"P\0\0W\0=\0" + NOISE + b"1xU",
}


@pytest.mark.parametrize("seed", range(64))
def test_a_megabyte_of_random_bytes_stays_as_it_is(seed: int) -> None:
    data = random.Random(seed).randbytes(MEGABYTE)
    assert cleaned(ENGINE, data) == (data, [])


@pytest.mark.parametrize("width", [1, 2, 8])
@pytest.mark.parametrize("seed", range(8))
def test_an_array_of_small_numbers_stays_as_it_is(width: int, seed: int) -> None:
    numbers = random.Random(seed).randbytes(MEGABYTE // 2).translate(bytes(byte & 127 for byte in range(256)))
    data = b"".join(bytes((number,)) + bytes(width - 1) for number in numbers)
    assert cleaned(ENGINE, data) == (data, [])


@pytest.mark.parametrize("seed", range(4))
def test_a_picture_stays_as_it_is(seed: int) -> None:
    source = random.Random(seed)
    rows = b"".join(b"\0" + bytes(source.choices(range(32, 200), k=1023)) for _ in range(1024))
    chunks = ((b"IHDR", bytes(13)), (b"tEXt", b"Title\0a figure"), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in chunks:
        data += len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
    assert cleaned(ENGINE, data) == (data, [])


@pytest.mark.parametrize("data", CHANCE.values(), ids=CHANCE)
def test_a_name_with_noise_behind_it_gives_nothing_away(data: bytes) -> None:
    assert ENGINE.scan(data.replace(b"\0", b"").decode("latin-1")), "as text it would be something"
    assert cleaned(ENGINE, data) == (data, [])


@pytest.mark.parametrize(
    ("kind", "secret", "text"), PLANTED, ids=[f"{n}-{kind}" for n, (kind, _, _) in enumerate(PLANTED)]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-32-be"])
def test_every_planted_secret_is_overwritten_between_noise_and_nothing_else_is(
    kind: str, secret: str, text: str, encoding: str
) -> None:
    data = NOISE + text.encode(encoding) + NOISE
    clean, found = cleaned(ENGINE, data)
    assert [name for name, _ in found] == [kind]
    assert secret.encode(encoding) not in clean
    assert len(clean) == len(data) and clean.startswith(NOISE)
    assert clean.endswith(NOISE) or (kind == "private-key" and "END" not in secret), "an unfinished key has no end"


@pytest.mark.parametrize(
    "around", [b"%b", b"\0%b\0", b"\xff\x01%b\xfe", b"\x94\x8c\x14%b\x94."], ids=["alone", "zeros", "noise", "pickled"]
)
@pytest.mark.parametrize(
    "said", [KEY, PRIVATE_KEY, "password='hunter22'", 'password = "Schlüssel22!"', "password = '\x1b[31mhunter22'"]
)
def test_a_short_text_between_other_bytes_is_read(around: bytes, said: str) -> None:
    data = around % said.encode()
    assert cleaned(ENGINE, data)[0] != data


def test_a_word_without_quotes_is_read_in_a_longer_text() -> None:
    config = b"\0\xffhost: db.example.org\npassword: Tr0ub4dor3xy\nport: 5432\nretries: 3\0"
    assert cleaned(ENGINE, config)[0] == config.replace(b"Tr0ub4dor3xy", b"*" * 12)


def test_what_is_alone_may_be_shorter() -> None:
    assert cleaned(ENGINE, b"pw=Tr0ub4dor3") == (b"pw=**********", [("assigned-secret", "Tr0ub4dor3")])


def test_what_is_known_exactly_is_found_between_any_bytes() -> None:
    live = LiveSecrets()
    live.add("kn0wn-value", "session-token")
    assert cleaned(ENGINE.with_live(live), b"\xffkn0wn-value\xff")[0] == b"\xff" + b"*" * 11 + b"\xff"


def test_zeros_before_a_wide_secret_do_not_move_it() -> None:
    data = bytes(10_001) + b"\1" * 5000 + KEY.encode("utf-16-be") + b"\xff" * 9
    clean, found = cleaned(ENGINE, data)
    assert found == [("aws-access-key", KEY)]
    assert clean == bytes(10_001) + b"\1" * 5000 + bytes(40) + b"\xff" * 9


def test_many_wide_secrets_are_overwritten_each_in_its_place() -> None:
    line = "a = 1; password='hunter22x'\n"
    clean, found = cleaned(ENGINE, (line * 2000).encode("utf-16-le"))
    assert len(found) == 2000
    assert clean.decode("utf-16-le") == line.replace("hunter22x", "\0" * 9) * 2000
