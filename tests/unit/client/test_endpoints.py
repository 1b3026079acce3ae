"""Where a gateway elsewhere is: good addresses, and a reason for each bad one."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_qsec.client.endpoints import Endpoints, RemoteAddress
from jupyter_qsec.domain.errors import InvalidRequestError

TOKEN = "f00d" * 8


def environment(url: str, token: str = TOKEN, ca: str = "") -> dict[str, str]:
    return {"JUPYTER_QSEC_GATEWAY_URL": url, "JUPYTERHUB_API_TOKEN": token, "JUPYTER_QSEC_GATEWAY_CA": ca}


def test_without_the_variable_an_account_has_its_own_gateway() -> None:
    assert RemoteAddress.of_environment({"JUPYTERHUB_API_TOKEN": TOKEN}) is None


@pytest.mark.parametrize(
    "url",
    ["https://qsec.example.org:8443", "https://qsec", "http://127.0.0.1:8765", "http://localhost:1", "http://[::1]:1"],
)
def test_good_addresses(url: str) -> None:
    address = RemoteAddress.of_environment(environment(url + "/"))
    assert address is not None and address.url == url
    assert TOKEN not in repr(address)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://qsec.example.org:8765", "without https"),
        ("http://10.0.0.7:8765", "without https"),
        ("http://127.0.0.1.example.org", "without https"),
        ("ftp://127.0.0.1", "is not an address"),
        ("qsec.example.org:8443", "is not an address"),
        ("https://", "is not an address"),
        ("https://qsec:0", "is not an address"),
        ("https://qsec:http", "is not an address"),
        ("https://qsec/api", "nothing after them"),
        ("https://qsec?x=1", "nothing after them"),
        ("https://ada:secret@qsec", "nothing after them"),
    ],
)
def test_bad_addresses_are_refused_with_the_variables_name(url: str, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said) as caught:
        RemoteAddress.of_environment(environment(url))
    assert "JUPYTER_QSEC_GATEWAY_URL" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_address_without_a_token_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="neither JUPYTERHUB_API_TOKEN nor JUPYTER_QSEC_TOKEN_FILE is"):
        RemoteAddress.of_environment(environment("https://qsec", token=""))


def test_a_missing_or_empty_authority_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    with pytest.raises(InvalidRequestError, match="is not a file"):
        RemoteAddress.of_environment(environment("https://qsec", ca=str(missing)))
    missing.write_text("nothing\n")
    address = RemoteAddress.of_environment(environment("https://qsec", ca=str(missing)))
    assert address is not None
    with pytest.raises(InvalidRequestError, match="holds no certificates"):
        address.trust()


def test_a_gateway_of_this_machine_serves_credentials_itself() -> None:
    told = Endpoints.on_loopback("http://127.0.0.1:4711")
    assert told == Endpoints("http://127.0.0.1:4711", "http://127.0.0.1:4711/credentials", "")
