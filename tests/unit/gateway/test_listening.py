"""Where a gateway listens: never in clear on a network, never with a certificate that clients would refuse."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.gateway.certificates import make_certificates
from jupyter_qsec.gateway.exits import PortTakenError
from jupyter_qsec.gateway.listening import Place, listen

NAMES = ["qsec.example.org", "*.hub.example.org", "10.1.2.3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listening") / "tls"
    make_certificates(folder, NAMES)
    return folder


def secured(folder: Path, url: str = "", **more: object) -> Place:
    return Place(url=url, certificate=folder / "gateway.pem", key=folder / "gateway.key", **more)  # type: ignore[arg-type]  # field by field


def test_by_default_it_is_plain_http_on_loopback() -> None:
    listening = listen(Place())
    with listening.socket:
        assert listening.socket.getsockname()[0] == "127.0.0.1"
        assert listening.tls is None
        assert listening.authorities == {f"127.0.0.1:{listening.port}", f"localhost:{listening.port}"}


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1"])
def test_plain_http_elsewhere_is_refused(address: str) -> None:
    with pytest.raises(InvalidRequestError, match="plain http"):
        listen(Place(bind=address))


def test_an_inherited_socket_elsewhere_is_refused_too_and_stays_open() -> None:
    with socket.create_server(("0.0.0.0", 0)) as given:
        with pytest.raises(InvalidRequestError, match="plain http"):
            listen(Place(fd=given.fileno()))
        assert given.getsockname()[1]


@pytest.mark.parametrize("kind", ["closed", "unconnected", "unix"])
def test_what_is_no_listening_socket_is_refused(kind: str) -> None:
    given = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    number = given.fileno()
    if kind == "closed":
        given.close()
    with pytest.raises(InvalidRequestError, match="is not a socket"):
        listen(Place(fd=number))
    given.close()


def test_with_a_certificate_it_may_be_anywhere(folder: Path) -> None:
    listening = listen(secured(folder, "https://qsec.example.org:8443", bind="0.0.0.0"))
    with listening.socket:
        assert listening.tls is not None
        assert listening.tls.minimum_version >= ssl.TLSVersion.TLSv1_2
        assert "qsec.example.org:8443" in listening.authorities


@pytest.mark.parametrize("host", ["qsec.example.org", "QSEC.example.org", "a.hub.example.org", "10.1.2.3"])
def test_names_of_the_certificate_are_taken(folder: Path, host: str) -> None:
    listen(secured(folder, f"https://{host}")).socket.close()


@pytest.mark.parametrize(
    "host", ["example.org", "a.b.hub.example.org", "hub.example.org", "10.1.2.4", "xqsec.example.org"]
)
def test_a_certificate_for_another_name_is_refused(folder: Path, host: str) -> None:
    with pytest.raises(InvalidRequestError, match="is not for"):
        listen(secured(folder, f"https://{host}"))


def test_an_expired_certificate_and_one_of_the_future_are_refused(folder: Path) -> None:
    later, earlier = datetime.now(UTC) + timedelta(days=400), datetime.now(UTC) - timedelta(days=1)
    with pytest.raises(InvalidRequestError, match="expired on"):
        listen(secured(folder), now=later)
    with pytest.raises(InvalidRequestError, match="not valid before"):
        listen(secured(folder), now=earlier)


def test_one_that_ends_soon_is_warned_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    listen(secured(folder), now=datetime.now(UTC) + timedelta(days=390)).socket.close()
    assert "the certificate expires on" in caplog.text


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (Place(url="https://qsec"), "has no certificate"),
        (Place(url="qsec:80"), "must be scheme, host and port"),
        (Place(url="http://qsec/path"), "must be scheme, host and port"),
        (Place(url="http://qsec:x"), "must be scheme, host and port"),
        (Place(bind="localhost"), "is not an IP address"),
        (Place(certificate=Path("/c")), "go together"),
        (Place(certificate=Path("/no/c"), key=Path("/no/k")), "cannot be read"),
    ],
)
def test_what_cannot_work_is_refused(place: Place, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        listen(place)


def test_http_with_a_certificate_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidRequestError, match="has a certificate"):
        listen(secured(folder, "http://qsec.example.org"))


def test_an_open_key_a_foreign_key_and_no_certificate_are_refused(folder: Path, tmp_path: Path) -> None:
    make_certificates(tmp_path / "other", NAMES)
    foreign = tmp_path / "other" / "gateway.key"
    with pytest.raises(InvalidRequestError, match="cannot be used together"):
        listen(Place(certificate=folder / "gateway.pem", key=foreign))
    with pytest.raises(InvalidRequestError, match="no certificate in PEM form"):
        listen(Place(certificate=foreign, key=foreign))
    foreign.chmod(0o644)
    with pytest.raises(InvalidRequestError, match="open to everybody"):
        listen(Place(certificate=tmp_path / "other" / "gateway.pem", key=foreign))


def test_the_hubs_certificate_is_used_when_no_other_is_named(folder: Path) -> None:
    environ = {
        "JUPYTERHUB_SSL_CERTFILE": str(folder / "gateway.pem"),
        "JUPYTERHUB_SSL_KEYFILE": str(folder / "gateway.key"),
    }
    place = Place(bind="0.0.0.0", url="https://qsec.example.org").with_hub_certificate(environ)
    with listen(place).socket as opened:
        assert opened.getsockname()[0] == "0.0.0.0"
    named = secured(folder)
    assert named.with_hub_certificate({"JUPYTERHUB_SSL_CERTFILE": "/x", "JUPYTERHUB_SSL_KEYFILE": "/y"}) == named
    assert Place().with_hub_certificate({}) == Place()


def test_a_taken_port_and_a_foreign_address_are_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortTakenError, match="is taken"):
        listen(Place(port=taken.getsockname()[1]))
