"""`configure`: what a hub is told, whatever the file has said before."""

from __future__ import annotations

import copy
import os
import re
import ssl
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from jupyter_qsec.client import endpoints, registry
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.gateway.__main__ import _parser
from jupyter_qsec.gateway.certificates import make_certificates
from jupyter_qsec.hub import configuration, configure
from jupyter_qsec.hub.trust import PROXY_VARIABLE, trust_gateway

WRITE = "custom:qsec:write"


def lazy(value: Any) -> Any:
    """What traitlets would merge into the trait's default."""
    return value if isinstance(value, (list, dict)) else value.to_dict()


def configured(c: Config | None = None, **options: Any) -> Config:
    c = c if c is not None else Config()
    configure(c, **options)
    return c


def service(c: Config) -> dict[str, Any]:
    services = c.JupyterHub.services
    found = services if isinstance(services, list) else services._extend
    [own] = [entry for entry in found if entry["name"] == "qsec"]
    return dict(own)


def test_the_command_of_the_service_is_one_that_the_gateway_takes(tmp_path: Path) -> None:
    c = configured(state=tmp_path / "state", config=tmp_path, url="http://127.0.0.1:9000")
    command = service(c)["command"]
    assert command[1:3] == ["-m", "jupyter_qsec.gateway"]
    options = _parser().parse_args(command[3:])
    assert (options.identity, options.port, options.bind) == ("hub", 9000, "127.0.0.1")
    assert (options.home, options.config, options.url) == (str(tmp_path / "state"), tmp_path, "http://127.0.0.1:9000")


def test_with_tls(tmp_path: Path) -> None:
    c = configured(
        url="https://qsec.example.org",
        bind="0.0.0.0",
        certificate=tmp_path / "c",
        key=tmp_path / "k",
        ca=tmp_path / "ca",
    )
    options = _parser().parse_args(service(c)["command"][3:])
    assert (options.port, options.bind, options.certificate, options.key) == (
        443,
        "0.0.0.0",
        tmp_path / "c",
        tmp_path / "k",
    )
    assert lazy(c.Spawner.environment)["update"]["JUPYTER_QSEC_GATEWAY_CA"] == str(tmp_path / "ca")


def test_servers_learn_of_shared_secrets(tmp_path: Path) -> None:
    c = configured(registered_secrets=tmp_path / "secrets.json")
    assert lazy(c.Spawner.environment)["update"][registry.SHARED] == str(tmp_path / "secrets.json")
    assert registry.SHARED not in lazy(configured().Spawner.environment)["update"]


def test_servers_learn_where_the_gateway_is_under_the_names_that_they_read() -> None:
    environment = lazy(configured().Spawner.environment)["update"]
    assert environment[endpoints.URL_VARIABLE] == "http://127.0.0.1:8765"
    assert environment["JUPYTER_DEFAULT_PROVISIONER_NAME"] == "qsec-provisioner"


def test_a_gateway_elsewhere_gets_a_token_and_no_command() -> None:
    own = service(configured(url="https://qsec:8443", api_token="t" * 32))
    assert own["api_token"] == "t" * 32
    assert "command" not in own


def test_the_hubs_proxy_has_the_dashboard_where_it_can_reach_the_gateway(tmp_path: Path) -> None:
    """A hub ends itself when it does not reach a service with an address that it started."""
    own = service(configured())
    assert (own["url"], own["oauth_no_confirm"], own["display"]) == ("http://127.0.0.1:8765", True, True)
    assert own["oauth_client_allowed_scopes"] == [WRITE]
    assert service(configured(url="https://qsec:8443", api_token="t" * 32))["url"] == "https://qsec:8443"
    elsewhere = configured(url="https://qsec:8443", ca=tmp_path / "a-file-of-peoples-servers.pem")
    for c in (elsewhere, internal(url="https://qsec:8443", certificate="c", key="k"), configured(dashboard=False)):
        assert "url" not in service(c)
        assert "access:services" not in str(c.JupyterHub.load_roles)
    assert "url" in service(configured(url="https://qsec:8443", ca=tmp_path / "ca", dashboard=True))


def internal(**options: Any) -> Config:
    """Of a hub that has certificates of its own."""
    c = Config()
    c.JupyterHub.internal_ssl = True
    return configured(c, **options)


def test_a_hub_with_internal_ssl_reaches_no_gateway_over_tls(ca: Path) -> None:
    for how in ({}, {"certificate": "c", "key": "k"}, {"api_token": "t" * 32}):
        c = internal(url="https://localhost:8443", ca=ca, **how)
        assert "url" not in service(c)
        assert "JupyterHubHTTPClient" not in c
    assert "url" in service(internal(api_token="t" * 32)), "over plain loopback"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls") / "own"
    make_certificates(folder, ["localhost"])
    return folder


@pytest.fixture
def ca(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An authority of one's own, and an environment in which nobody has told the proxy of another."""
    monkeypatch.setenv(PROXY_VARIABLE, "")  # so that what `configure` sets is taken back
    monkeypatch.delenv(PROXY_VARIABLE)
    return made / "ca.pem"


def private(ca: Path, c: Config | None = None, **options: Any) -> Config:
    """With a gateway whose certificate that authority has signed."""
    return configured(c, url="https://localhost:8443", certificate="c", key="k", ca=ca, **options)


def handshake(trust: ssl.SSLContext, certificates: Path, name: str) -> None:
    """As a client that trusts so, with a server that has this certificate; raises what the client would."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificates / "gateway.pem", certificates / "gateway.key")
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [trust.wrap_bio(back, there, server_hostname=name), server.wrap_bio(there, back, server_side=True)]
    for side in (*sides, *sides):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()


def test_hub_and_proxy_are_told_of_an_authority_of_ones_own(made: Path, ca: Path, tmp_path: Path) -> None:
    c = private(ca)
    assert "url" in service(c)
    assert os.environ[PROXY_VARIABLE] == str(ca)
    trust = copy.deepcopy(c).JupyterHubHTTPClient.connector_options["ssl"]
    handshake(trust, made, "localhost")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"doesn't match|mismatch"):
        handshake(trust, made, "127.0.0.1")
    make_certificates(tmp_path / "others", ["localhost"])
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(trust, tmp_path / "others", "localhost")


def test_nobody_is_told_without_a_dashboard(ca: Path) -> None:
    assert "JupyterHubHTTPClient" not in private(ca, dashboard=False)
    assert PROXY_VARIABLE not in os.environ


def test_a_proxy_that_cannot_be_told_has_no_dashboard_unless_one_says_so(
    ca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere() -> Config:
        c = Config()
        c.ConfigurableHTTPProxy.should_start = False
        return c

    def another() -> Config:
        c = Config()
        c.JupyterHub.proxy_class = "traefik_redis"
        return c

    for make in (elsewhere, another):
        assert "url" not in service(private(ca, make()))
        told = private(ca, make(), dashboard=True)
        assert "url" in service(told) and "ssl" in told.JupyterHubHTTPClient.connector_options


def test_a_proxy_that_was_told_of_others_is_told_no_more(
    made: Path, ca: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Node takes one file. Who has one already puts the authority into it."""
    make_certificates(tmp_path / "others", ["localhost"])
    present = tmp_path / "others" / "ca.pem"
    monkeypatch.setenv(PROXY_VARIABLE, str(present))
    assert "url" not in service(private(ca))
    present.write_text(present.read_text() + ca.read_text())
    assert "url" in service(private(ca))
    assert os.environ[PROXY_VARIABLE] == str(present)


def test_what_the_file_says_of_the_hubs_requests_stays(ca: Path) -> None:
    c = Config()
    c.JupyterHubHTTPClient.connector_options = {"limit": 7}
    options = private(ca, c).JupyterHubHTTPClient.connector_options
    assert options["limit"] == 7 and isinstance(options["ssl"], ssl.SSLContext)


def test_a_file_without_certificates_is_refused(ca: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    with pytest.raises(InvalidRequestError, match="holds no certificates"):
        private(tmp_path / "empty.pem")


@pytest.mark.parametrize(("hub", "has"), [("5.4.6", False), ("6.0.0", True)])
def test_hubs_before_6_cannot_be_told(ca: Path, hub: str, has: bool) -> None:
    told = trust_gateway(Config(), "https://localhost:8443", ca=ca, wanted=None, hub=hub)
    assert told is has


def test_the_database_is_handed_on_and_stays_out_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_QSEC_DATABASE_URL", "postgresql://qsec:secret@db/qsec")
    own = service(configured())
    assert own["environment"] == {"JUPYTER_QSEC_DATABASE_URL": "postgresql://qsec:secret@db/qsec"}
    assert "secret" not in " ".join(own["command"])


@pytest.mark.parametrize(
    "name", ["JUPYTER_QSEC_DASK_SCHEDULER", "JUPYTER_QSEC_LOG_FORMAT", "JUPYTER_QSEC_METRICS_TOKEN_FILE"]
)
def test_so_is_whatever_else_the_gateway_goes_by(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "as it is")
    monkeypatch.setenv("JUPYTER_QSEC_HOME", "the hub's own")
    monkeypatch.setenv("AWS_PROFILE", "of the hub")
    assert service(configured())["environment"] == {name: "as it is"}


def test_every_variable_of_the_page_that_a_gateway_reads_is_handed_on() -> None:
    page = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text("utf-8")
    table = page.partition("## Environment")[2].partition("###")[0]
    named = set(re.findall(r"`(JUPYTER_QSEC_(?:DATABASE|DASK|LOG|METRICS|WITNESS)\w*)`", table))
    assert named <= set(configuration._HANDED_ON) and len(named) >= 6


@pytest.mark.parametrize(("source", "handed"), [("ambient", {"AWS_PROFILE": "roles"}), ("stored", {})])
def test_what_roles_at_aws_are_taken_with_is_handed_on_where_it_is_wanted(
    source: str, handed: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = (files("jupyter_qsec.adapters") / "tenants.toml").read_text("utf-8")
    (tmp_path / "tenants.toml").write_text(f'[aws]\nsource = "{source}"\nregion = "eu-west-2"\n{shipped}')
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", "roles")
    assert service(configured(config=tmp_path))["environment"] == handed


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("tenants.toml", "[[tenant]", "not valid TOML"),
        ("policies/own.cedar", "permit (", "own.cedar"),
    ],
)
def test_a_mistake_in_the_settings_stops_the_hub_before_it_starts(
    tmp_path: Path, path: str, text: str, words: str
) -> None:
    file = tmp_path / path
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    with pytest.raises(InvalidRequestError, match=words):
        configured(config=tmp_path)
    configured(config=tmp_path, api_token="elsewhere")


def test_what_the_file_said_before_stays() -> None:
    c = Config()
    c.JupyterHub.services = [{"name": "ci"}]
    c.JupyterHub.load_roles = [{"name": "user", "scopes": ["self", "read:users"]}, {"name": "other", "scopes": []}]
    c.JupyterHub.custom_scopes = {"custom:x:y": {"description": "z"}}
    c.Spawner.environment = {"A": "1"}
    c.Spawner.server_token_scopes = ["access:servers!server"]
    configured(c, services=["ci"], claims=True)
    assert [entry["name"] for entry in c.JupyterHub.services] == ["ci", "qsec"]
    roles = {role["name"]: role for role in c.JupyterHub.load_roles}
    assert roles["user"]["scopes"] == ["self", "read:users", WRITE, "access:services!service=qsec"]
    assert roles["qsec-gateway"]["scopes"] == [
        *("list:users", "read:users:groups", "read:services:name"),
        "admin:auth_state",
    ]
    assert roles["qsec-automation"] == {"name": "qsec-automation", "scopes": [WRITE], "services": ["ci"]}
    assert set(c.JupyterHub.custom_scopes) == {"custom:x:y", WRITE, "custom:qsec:read"}
    assert c.Spawner.environment["A"] == "1"
    assert c.Spawner.server_token_scopes == ["access:servers!server", WRITE]


def test_scopes_that_a_function_gives_are_extended() -> None:
    c = Config()
    c.Spawner.server_token_scopes = lambda spawner: [f"read:users!user={spawner}"]
    configured(c)
    assert c.Spawner.server_token_scopes("ada") == ["read:users!user=ada", WRITE]


@pytest.mark.parametrize("url", ["qsec:8443", "ftp://qsec", "https://qsec:port"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequestError, match="is not an address"):
        configured(url=url)
