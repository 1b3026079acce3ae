from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.adapters.keys.signing import NoteSigner, verify_ed25519
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.domain.notes import (
    NoteSignature,
    VerifierKey,
    checkpoint_text,
    format_note,
    note_signatures,
    parse_checkpoint,
    signed_by,
    split_notes,
)

ROOT = hashlib.sha256(b"root").digest()
SIGNER = NoteSigner(b"s" * 32, instance="test")
KEY = VerifierKey.parse(SIGNER.verifier_key)


def note_of(size: int = 7, signer: NoteSigner = SIGNER) -> str:
    text = checkpoint_text(signer.origin, size, ROOT)
    return format_note(text, signer.sign(text))


def test_a_note_has_the_published_form() -> None:
    lines = note_of().split("\n")
    assert lines[:4] == ["jupyter-qsec/test", "7", base64.b64encode(ROOT).decode(), ""]
    assert lines[4].startswith("— jupyter-qsec/test ")
    assert lines[5:] == [""]


def test_the_verifier_key_of_the_signed_note_specification_is_read() -> None:
    # The example key of the signed-note specification's Go implementation.
    key = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert (key.name, key.key_id.hex()) == ("PeterNeumann", "c74f20a3")
    assert str(key) == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_a_signature_of_the_reference_implementation_verifies() -> None:
    # Text and signature as the same implementation publishes them.
    key = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    line = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    raw = base64.b64decode(line)
    assert raw[:4] == key.key_id
    assert verify_ed25519(key.public_key, text.encode(), raw[4:])
    assert not verify_ed25519(key.public_key, text.encode() + b" ", raw[4:])


def test_a_signed_note_verifies_with_its_key_alone() -> None:
    other = VerifierKey.parse(NoteSigner(b"o" * 32, instance="test").verifier_key)
    renamed = VerifierKey("jupyter-qsec/other", KEY.algorithm, KEY.public_key)
    assert signed_by(note_of(), KEY, verify_ed25519)
    assert not signed_by(note_of(), other, verify_ed25519)
    assert not signed_by(note_of(), renamed, verify_ed25519)


@given(st.integers(0, 1000), st.integers(0, 7))
def test_a_note_changed_in_any_place_does_not_verify(place: int, bit: int) -> None:
    data = bytearray(note_of().encode())
    data[place % len(data)] ^= 1 << bit
    assert not signed_by(data.decode("utf-8", "replace"), KEY, verify_ed25519)


def test_further_signatures_of_unknown_algorithms_are_carried_and_ignored() -> None:
    foreign = NoteSignature("jupyter-qsec/test", b"mlds", b"m" * 2420).line()
    note = note_of() + foreign + "\n"
    assert signed_by(note, KEY, verify_ed25519)
    assert len(note_signatures(parse_checkpoint(note).note)) == 2
    only_foreign = format_note(checkpoint_text(SIGNER.origin, 7, ROOT), [foreign])
    assert not signed_by(only_foreign, KEY, verify_ed25519)


def test_one_bad_signature_of_our_key_spoils_a_note_with_a_good_one() -> None:
    bad = NoteSignature(KEY.name, KEY.key_id, b"b" * 64).line()
    assert not signed_by(note_of() + bad + "\n", KEY, verify_ed25519)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "origin\n7\n",
        note_of().replace("\n7\n", "\n07\n"),
        note_of().replace("\n7\n", "\n-7\n"),
        note_of().replace("\n7\n", "\n9999999999999999999\n"),
        note_of().replace("jupyter-qsec/test\n", "with space\n"),
        note_of().replace("=\n\n", "\n\n"),
        note_of().replace("\n\n", "\n\n\n"),
        note_of()[:-1],
        note_of() + "x\n",
        note_of() + "— name !!\n",
        note_of() * 1000,
    ],
)
def test_what_is_no_checkpoint_is_refused(note: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_checkpoint(note)
    assert not signed_by(note, KEY, verify_ed25519)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000+AA==",
        SIGNER.verifier_key.replace("jupyter", "other"),
        SIGNER.verifier_key[:-4],
        SIGNER.verifier_key.replace("+", " "),
    ],
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        VerifierKey.parse(text)


@pytest.mark.parametrize(
    ("origin", "size", "root"), [("a b", 1, ROOT), ("a+b", 1, ROOT), ("a", -1, ROOT), ("a", 1, b"")]
)
def test_a_checkpoint_that_could_not_be_read_back_is_not_written(origin: str, size: int, root: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        checkpoint_text(origin, size, root)


def test_a_note_without_signature_is_not_written() -> None:
    with pytest.raises(InvalidRequestError):
        format_note(checkpoint_text("a", 1, ROOT), [])


@given(st.lists(st.integers(0, 10**9), max_size=5), st.integers(0, 400))
def test_a_checkpoint_log_splits_into_its_notes_wherever_a_write_broke_off(counts: list[int], cut: int) -> None:
    notes = [note_of(size) for size in counts]
    log = "".join(f"{note}\n" for note in notes)
    assert split_notes(log) == (notes, "")
    unfinished = f"{note_of(1)}\n"[:-1][:cut]
    assert split_notes(log + unfinished) == (notes, unfinished)


def test_the_origin_stays_with_the_key() -> None:
    first, again, other = NoteSigner(b"k" * 32), NoteSigner(b"k" * 32), NoteSigner(b"l" * 32)
    assert first.origin == again.origin != other.origin
    assert first.origin.startswith("jupyter-qsec/")
