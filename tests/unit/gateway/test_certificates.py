"""An authority of one's own, and certificates by it that ordinary clients accept."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from jupyter_qsec.domain.errors import InvalidRequestError, StateDirectoryError
from jupyter_qsec.gateway.__main__ import main
from jupyter_qsec.gateway.certificates import make_certificates


def handshake(folder: Path, name: str, authority: Path | None = None) -> None:
    """TLS in memory, verified as a client does it. `ssl.SSLError` when it fails."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "gateway.pem", folder / "gateway.key")
    client = ssl.create_default_context(cafile=authority or folder / "ca.pem")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname=name)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        done = []
        for side in (one, other):
            try:
                side.do_handshake()
                done.append(side)
            except ssl.SSLWantReadError:
                pass
        if len(done) == 2:
            return
    raise AssertionError("the handshake does not end")


@pytest.mark.parametrize("name", ["qsec.example.org", "10.1.2.3", "::1"])
def test_clients_that_trust_the_authority_accept_it(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "tls"
    make_certificates(folder, ["qsec.example.org", "10.1.2.3", "::1"])
    handshake(folder, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(folder, "other.example.org")


def test_everything_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    make_certificates(folder, ["qsec"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == dict.fromkeys(
        ("ca.pem", "ca.key", "gateway.pem", "gateway.key"), 0o600
    )


def test_again_it_renews_by_the_same_authority(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    make_certificates(folder, ["old"])
    authority, before = (folder / "ca.pem").read_bytes(), (folder / "gateway.pem").read_bytes()
    make_certificates(folder, ["new"])
    assert (folder / "ca.pem").read_bytes() == authority
    assert (folder / "gateway.pem").read_bytes() != before
    handshake(folder, "new")


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    folder, now = tmp_path / "tls", datetime.now(UTC)
    make_certificates(folder, ["qsec"], now=now - timedelta(days=3600))
    make_certificates(folder, ["qsec"], now=now)
    leaf, authority = (
        x509.load_pem_x509_certificate((folder / name).read_bytes()) for name in ("gateway.pem", "ca.pem")
    )
    assert leaf.not_valid_after_utc == authority.not_valid_after_utc
    with pytest.raises(InvalidRequestError, match="expired on"):
        make_certificates(folder, ["qsec"], now=now + timedelta(days=100))


@pytest.mark.parametrize("name", ["", "a b", "-" * 300, "ex*mple.org", "a..b", "https://qsec"])
def test_what_is_no_name_is_refused_and_nothing_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequestError):
        make_certificates(tmp_path / "tls", [name])
    assert not (tmp_path / "tls").exists()


def test_half_an_authority_or_two_halves_are_told(tmp_path: Path) -> None:
    make_certificates(tmp_path / "one", ["qsec"])
    make_certificates(tmp_path / "two", ["qsec"])
    (tmp_path / "one" / "ca.key").write_bytes((tmp_path / "two" / "ca.key").read_bytes())
    with pytest.raises(InvalidRequestError, match="do not belong together"):
        make_certificates(tmp_path / "one", ["qsec"])
    (tmp_path / "one" / "ca.key").write_bytes(b"nonsense")
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        make_certificates(tmp_path / "one", ["qsec"])
    (tmp_path / "one" / "ca.key").unlink()
    with pytest.raises(InvalidRequestError, match=r"ca\.key is missing"):
        make_certificates(tmp_path / "one", ["qsec"])


def test_a_folder_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(StateDirectoryError, match="can be read by others"):
        make_certificates(tmp_path / "open", ["qsec"])


def test_the_command_says_what_is_for_whom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certificates", str(tmp_path / "tls"), "qsec.example.org"]) == 0
    assert "ca.pem is for its clients" in capsys.readouterr().out
    assert main(["certificates", str(tmp_path / "tls"), "not a name"]) == 2
    assert "neither a host name nor an IP address" in capsys.readouterr().err
