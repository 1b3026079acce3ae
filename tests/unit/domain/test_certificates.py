"""What is said of a certificate that was not taken; real handshakes are in the tests of those who make them."""

from __future__ import annotations

import ssl
import urllib.error

import pytest

from jupyter_qsec.domain.certificates import certificate_problem


def refused(code: int, message: str = "") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (9, "its certificate is not valid yet"),
        (10, "its certificate has expired"),
        (62, "its certificate is for another name"),
        (64, "its certificate is for another name"),
        (20, "its certificate is not trusted here: unable to get local issuer certificate"),
    ],
)
def test_each_reason_has_its_words(code: int, words: str) -> None:
    assert certificate_problem(refused(code, "unable to get local issuer certificate")) == words


def test_it_is_found_below_what_libraries_raise() -> None:
    assert certificate_problem(urllib.error.URLError(refused(10))) == "its certificate has expired"
    try:
        try:
            raise refused(10)
        except OSError:
            raise ConnectionError("no connection") from None
    except ConnectionError as error:
        assert certificate_problem(error) == "its certificate has expired"


def test_other_failures_have_none() -> None:
    assert certificate_problem(ConnectionRefusedError()) == ""
    assert certificate_problem(urllib.error.URLError("refused")) == ""
    around = ConnectionError()
    around.__cause__ = ValueError()
    around.__cause__.__cause__ = around
    assert certificate_problem(around) == ""
