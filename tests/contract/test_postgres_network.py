"""PostgreSQL over TCP as administrators run it: TLS that is verified, a login by SCRAM, and no way around either."""

from __future__ import annotations

import shutil
import socket
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_qsec.adapters.store import PostgresDatabase, SqlStore
from jupyter_qsec.domain.errors import StateDirectoryError
from jupyter_qsec.gateway.certificates import AUTHORITY, CERTIFICATE, KEY, make_certificates
from jupyter_qsec.gateway.databaseurl import database_url
from tests.contract.builders import event
from tests.contract.conftest import SIGNER
from tests.contract.postgres import PostgresServer, binaries
from tests.fakes.clock import FakeClock

PASSWORD = "p@ss:/?#%20wörd"
RULES = """
local all qsec trust
hostssl all ada 127.0.0.1/32 scram-sha-256
host all bob 127.0.0.1/32 scram-sha-256
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates") / "server"
    make_certificates(folder, ["localhost"])
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
        for name in (CERTIFICATE, KEY):
            copy = Path(shutil.copy(certificates / name, made.folder / "data"))
            copy.chmod(0o600)
            if made.account:
                shutil.chown(copy, made.account)
        made.settings |= {"ssl_cert_file": CERTIFICATE, "ssl_key_file": KEY}
        (made.folder / "data" / "pg_hba.conf").write_text(RULES)
        made.start()
        quoted = PASSWORD.replace("'", "''")
        made.run(f"CREATE ROLE ada LOGIN PASSWORD '{quoted}'", "CREATE ROLE bob LOGIN PASSWORD 'bobs own'")
        made.run("CREATE DATABASE qsec OWNER ada", "CREATE DATABASE bobs OWNER bob")
        yield made
    finally:
        made.delete()


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


def verified(server: PostgresServer, certificates: Path, host: str = "localhost", authority: str = "server") -> str:
    trusted = certificates.with_name(authority) / AUTHORITY
    return f"postgresql://ada@{host}:{server.port}/qsec?sslmode=verify-full&sslrootcert={trusted}"


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


async def test_a_server_that_wants_tls_is_not_talked_to_without(server: PostgresServer, home: Path) -> None:
    said = await refused(opened_with(f"postgresql://ada@localhost:{server.port}/qsec", home))
    assert "no pg_hba.conf entry" in said and "no encryption" in said


async def test_on_loopback_a_password_alone_does(server: PostgresServer, home: Path) -> None:
    store = opened_with(f"postgresql://bob@localhost:{server.port}/bobs", home, "bobs own")
    await store.open()
    await store.record([event()])
    await store.close()
