"""PostgreSQL over TCP as administrators run it: TLS that is verified, a login by SCRAM, and no way around either."""

from __future__ import annotations

import shutil
import socket
import ssl
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from jupyter_qsec.adapters.store import PostgresDatabase, SqlStore
from jupyter_qsec.domain.errors import StateDirectoryError, UnavailableError
from jupyter_qsec.gateway.certificates import AUTHORITY, CERTIFICATE, KEY, make_certificates
from jupyter_qsec.gateway.databaseurl import database_url
from tests.contract.builders import event
from tests.contract.conftest import SIGNER
from tests.contract.postgres import PostgresServer, binaries
from tests.contract.wiretap import SSL_REQUEST, enciphered, tapped
from tests.fakes.clock import FakeClock
from tests.fakes.tls_server import BAD, certificates_of_one_authority
from tests.fakes.waiting import wait_for

PASSWORD = "p@ss:/?#%20wörd"
RULES = """
local all qsec trust
hostssl all ada 127.0.0.1/32 scram-sha-256
host all bob 127.0.0.1/32 scram-sha-256
"""

DISCONNECT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ada'"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = certificates_of_one_authority(tmp_path_factory.mktemp("certificates")) / "good"
    make_certificates(folder.with_name("stranger"), ["localhost"])
    return folder


@pytest.fixture(scope="module")
def server(postgres_server: PostgresServer, certificates: Path) -> Iterator[PostgresServer]:
    """`postgres_server` says whether PostgreSQL is there; this one listens on loopback."""
    programs = binaries()
    assert programs is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"listen_addresses": "127.0.0.1", "ssl": "on", "password_encryption": "scram-sha-256"}
    made = PostgresServer(programs, settings, port)
    try:
        install(made, certificates)
        made.settings |= {"ssl_cert_file": CERTIFICATE, "ssl_key_file": KEY}
        (made.folder / "data" / "pg_hba.conf").write_text(RULES)
        made.start()
        quoted = PASSWORD.replace("'", "''")
        made.run(f"CREATE ROLE ada LOGIN PASSWORD '{quoted}'", "CREATE ROLE bob LOGIN PASSWORD 'bobs own'")
        made.run(
            "CREATE DATABASE qsec OWNER ada", "CREATE DATABASE turning OWNER ada", "CREATE DATABASE bobs OWNER bob"
        )
        yield made
    finally:
        made.delete()


def install(server: PostgresServer, certificates: Path) -> None:
    for name in (CERTIFICATE, KEY):
        copy = Path(shutil.copy(certificates / name, server.folder / "data"))
        copy.chmod(0o600)
        if server.account:
            shutil.chown(copy, server.account)


@contextmanager
def presenting(server: PostgresServer, certificates: Path, kind: str) -> Iterator[None]:
    """The running server has another certificate, and nobody is connected."""
    try:
        for name in (kind, certificates.name):
            install(server, certificates.with_name(name))
            wanted = ssl.PEM_cert_to_DER_cert((certificates.with_name(name) / CERTIFICATE).read_text())
            server.run("SELECT pg_reload_conf()", DISCONNECT)
            wait_for(partial(presents, server, wanted), "the server to take its certificate")
            if name == kind:
                yield
    finally:
        install(server, certificates)


def presents(server: PostgresServer, wanted: bytes) -> bool:
    return presented(server) == wanted


def presented(server: PostgresServer) -> bytes | None:
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", server.port), 10) as plain:
        plain.sendall(SSL_REQUEST)
        assert plain.recv(1) == b"S"
        with anybody.wrap_socket(plain) as secured:
            return secured.getpeercert(binary_form=True)


def opened_with(url: str, home: Path, password: str | None = PASSWORD) -> SqlStore:
    """As a gateway does it: the password lies in a file. What does not pass by itself must not be waited for."""
    environ = {"JUPYTER_QSEC_DATABASE_URL": url}
    if password is not None:
        file = home / "password"
        file.write_text(f"{password}\n", "utf-8")
        environ["JUPYTER_QSEC_DATABASE_PASSWORD_FILE"] = str(file)
    database = PostgresDatabase(database_url(environ))
    return SqlStore(
        database, signer=SIGNER, clock=FakeClock(), checkpoint_dir=home / "checkpoints", patience=float("inf")
    )


def verified(
    server: PostgresServer, certificates: Path, host: str = "localhost", authority: str = "good", port: int = 0
) -> str:
    trusted = certificates.with_name(authority) / AUTHORITY
    return f"postgresql://ada@{host}:{port or server.port}/qsec?sslmode=verify-full&sslrootcert={trusted}"


async def refused(store: SqlStore) -> str:
    """What is said; the password is in none of it."""
    with pytest.raises(StateDirectoryError) as failed:
        await store.open()
    told = "".join(traceback.format_exception(failed.value))
    assert PASSWORD not in told
    await store.close()
    return failed.value.message


async def test_a_gateway_logs_in_with_a_password_over_verified_tls(
    server: PostgresServer, certificates: Path, home: Path
) -> None:
    store = opened_with(verified(server, certificates), home)
    await store.open()
    await store.record([event()])
    assert await store.audit_size() == 1
    await store.close()


@pytest.mark.parametrize("password", ["another", "", None])
async def test_a_wrong_or_missing_password_is_told_at_once(
    server: PostgresServer, certificates: Path, home: Path, password: str | None
) -> None:
    said = await refused(opened_with(verified(server, certificates), home, password))
    assert 'password authentication failed for user "ada"' in said


async def test_a_certificate_for_another_name_is_told_at_once(
    server: PostgresServer, certificates: Path, home: Path
) -> None:
    said = await refused(opened_with(verified(server, certificates, host="127.0.0.1"), home))
    assert "certificate is not valid for '127.0.0.1'" in said


async def test_a_certificate_by_another_authority_is_told_at_once(
    server: PostgresServer, certificates: Path, home: Path
) -> None:
    said = await refused(opened_with(verified(server, certificates, authority="stranger"), home))
    assert "certificate verify failed" in said


SAID = {"expired": "certificate has expired", "other-name": "certificate is not valid for 'localhost'"}
LOGIN = 60
"""Bytes: less than the first message of one, which names account, database and settings."""


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_certificate_is_told_at_once_and_nobody_logs_in(
    server: PostgresServer, certificates: Path, home: Path, kind: str
) -> None:
    with presenting(server, certificates, kind), tapped(server.port) as tap:
        said = await refused(opened_with(verified(server, certificates, port=tap.port), home))
    assert SAID[kind] in said and "\n" not in said
    assert tap.sent and all(enciphered(sent) < LOGIN for sent in tap.sent)
    assert not (home / "checkpoints").exists()


async def test_with_a_good_certificate_the_same_way_leads_to_a_login(
    server: PostgresServer, certificates: Path, home: Path
) -> None:
    with tapped(server.port) as tap:
        store = opened_with(verified(server, certificates, port=tap.port), home)
        await store.open()
        await store.close()
    assert all(enciphered(sent) > LOGIN for sent in tap.sent)


@pytest.mark.parametrize("kind", BAD)
async def test_a_certificate_that_turns_bad_is_told_at_the_next_write_which_did_nothing(
    server: PostgresServer, certificates: Path, home: Path, kind: str
) -> None:
    store = opened_with(verified(server, certificates).replace("/qsec?", "/turning?"), home)
    await store.open()
    try:
        before = await store.audit_size()
        with presenting(server, certificates, kind), pytest.raises(UnavailableError, match=SAID[kind]):
            await store.record([event()])
        await store.record([event()])
        assert await store.audit_size() == before + 1
        await store.checkpoint()
    finally:
        await store.close()


async def test_a_server_that_wants_tls_is_not_talked_to_without(server: PostgresServer, home: Path) -> None:
    said = await refused(opened_with(f"postgresql://ada@localhost:{server.port}/qsec", home))
    assert "no pg_hba.conf entry" in said and "no encryption" in said


async def test_on_loopback_a_password_alone_does(server: PostgresServer, home: Path) -> None:
    store = opened_with(f"postgresql://bob@localhost:{server.port}/bobs", home, "bobs own")
    await store.open()
    await store.record([event()])
    await store.close()
