"""What a process shows to a gateway elsewhere: where it comes from, and when it is fetched again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.client.shown import JobToken, TokenFile, source_of
from jupyter_qsec.domain.errors import InvalidRequestError, UnavailableError
from tests.fakes.issuer import Issuer

GATEWAY = "https://qsec.example.org"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


def github(issuer: Issuer, **more: str) -> dict[str, str]:
    return {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{issuer.url}/job",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "bearer-of-the-job",
        **more,
    }


def test_a_hubs_token_comes_first_then_a_file_then_the_jobs_own(issuer: Issuer, tmp_path: Path) -> None:
    file = {"JUPYTER_QSEC_TOKEN_FILE": str(tmp_path / "t")}
    assert source_of({**github(issuer), **file, "JUPYTERHUB_API_TOKEN": "hub"}, GATEWAY) == "hub"
    assert source_of({**github(issuer), **file}, GATEWAY) == TokenFile(tmp_path / "t")
    assert isinstance(source_of(github(issuer), GATEWAY), JobToken)
    assert source_of({"ACTIONS_ID_TOKEN_REQUEST_URL": "https://x"}, GATEWAY) is None
    assert source_of({}, GATEWAY) is None


def test_a_file_is_read_each_time(tmp_path: Path) -> None:
    source = TokenFile(tmp_path / "token")
    for text in ("first", "second\n"):
        (tmp_path / "token").write_text(text)
        assert source() == text.strip()


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"x" * 8193, b"\xff", b"a\nb"])
def test_a_file_without_a_token_is_told_and_not_shown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(UnavailableError, match="JUPYTER_QSEC_TOKEN_FILE") as refused:
        TokenFile(tmp_path / "token")()
    assert "words" not in str(refused.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="No such file"):
        TokenFile(tmp_path / "none")()


def test_a_jobs_token_is_kept_until_it_is_about_to_end(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own times say for how long; that of this machine may be wrong."""
    now, elsewhere = time.monotonic(), 4_000_000_000
    claims = {"iat": elsewhere, "exp": elsewhere + 300}
    issuer.answers["/job"] = (200, lambda query: {"value": issuer.sign({"aud": query["audience"], **claims})})
    source = source_of(github(issuer), GATEWAY)
    assert callable(source)
    first = source()
    assert source() == first
    assert issuer.asked == ["/job?audience=https%3A%2F%2Fqsec.example.org"]
    assert issuer.bearers == ["Bearer bearer-of-the-job"]
    monkeypatch.setattr(time, "monotonic", lambda: now + 241)
    source()
    assert len(issuer.asked) == 2
    assert "bearer-of-the-job" not in repr(source) and first not in repr(source)


@pytest.mark.parametrize("value", ["no-jwt", "a.b.c", "a.e30.c"])
def test_one_that_does_not_say_when_it_ends_is_asked_for_each_time(issuer: Issuer, value: str) -> None:
    issuer.answers["/job"] = (200, {"value": value})
    source = JobToken(f"{issuer.url}/job", "bearer", GATEWAY)
    assert [source(), source()] == [value, value]
    assert len(issuer.asked) == 2


@pytest.mark.parametrize(
    "answer", [(403, {"value": "x"}), (200, {}), (200, [1]), (200, b"<"), (200, {"value": 3}), (302, {"value": "x"})]
)
def test_a_job_without_permission_is_told_what_it_needs(issuer: Issuer, answer: tuple[int, Any]) -> None:
    issuer.answers["/job"] = answer
    with pytest.raises(UnavailableError, match="id-token: write"):
        JobToken(f"{issuer.url}/job", "bearer", GATEWAY)()


def test_the_jobs_own_secret_is_sent_in_clear_to_nobody() -> None:
    with pytest.raises(InvalidRequestError, match="not an https address"):
        JobToken("http://example.org/job", "bearer", GATEWAY)
