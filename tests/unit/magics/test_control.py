"""The magics' small client of the control API, against a small server."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.magics.backend import Backend
from jupyter_qsec.magics.control import Control
from jupyter_qsec.magics.problems import AWAY, NO_LEASE, QsubmitError, aws_problem
from tests.fakes.tls_server import BAD, certificates_of_one_authority, serving


class Server:
    """Answers every request with what the test has set, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes, dict[str, str]] = (200, b"{}", {})
        self.seen: list[tuple[str, str, str | None, bytes]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.seen.append((self.command, self.path, self.headers.get("Authorization"), body))
                status, content, headers = server.answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _any

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def control(server: Server, tmp_path: Path) -> Control:
    (tmp_path / "token").write_text("first-token")
    return Control(server.url, tmp_path / "token")


def test_sends_the_token_that_is_in_the_file_now(control: Control, server: Server, tmp_path: Path) -> None:
    server.answer = (200, b'{"devices": [{"name": "SV1"}]}', {})
    assert control.devices() == [{"name": "SV1"}]
    (tmp_path / "token").write_text("second-token")
    control.devices()
    assert [seen[2] for seen in server.seen] == ["Bearer first-token", "Bearer second-token"]


def test_asks_for_an_estimate(control: Control, server: Server) -> None:
    server.answer = (200, b'{"amount_usd": "0.0038"}', {})
    assert control.estimate("sv1", 10, "qubit q;")["amount_usd"] == "0.0038"
    method, path, _, body = server.seen[0]
    assert (method, path) == ("POST", "/api/v1/estimates")
    assert json.loads(body) == {"device": "sv1", "shots": 10, "openqasm": "qubit q;"}


def test_ids_cannot_leave_their_place(control: Control, server: Server) -> None:
    server.answer = (200, b'{"task": {}}', {})
    control.task("../leases/x?y")
    assert server.seen[0][1] == "/api/v1/tasks/..%2Fleases%2Fx%3Fy"


def test_a_problem_document_becomes_one_line(control: Control, server: Server) -> None:
    problem = {"title": "Gone", "detail": "Lease x was\nrevoked.", "remedy": "Get a new one.", "code": "lease-revoked"}
    server.answer = (403, json.dumps(problem).encode(), {"Content-Type": "application/problem+json"})
    with pytest.raises(QsubmitError) as refusal:
        control.lease()
    assert str(refusal.value) == "Lease x was revoked. Get a new one."
    assert refusal.value.code == "lease-revoked"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{", b"\xff"])
def test_an_answer_that_is_no_document_is_a_gateway_that_is_away(control: Control, server: Server, body: bytes) -> None:
    server.answer = (200, body, {})
    with pytest.raises(QsubmitError, match="does not answer"):
        control.lease()
    server.answer = (502, body, {})
    with pytest.raises(QsubmitError, match="status 502"):
        control.lease()


def test_the_token_follows_no_redirect(control: Control, server: Server) -> None:
    with Server() as elsewhere:
        server.answer = (302, b"", {"Location": f"{elsewhere.url}/steal"})
        with pytest.raises(QsubmitError):
            control.lease()
        assert elsewhere.seen == []


def test_the_token_passes_no_proxy(control: Control, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        server.answer = (200, b'{"lease": {"id": "x"}}', {})
        assert control.lease() == {"id": "x"}
        assert proxy.seen == []


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_certificate_is_named_and_no_token_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    made = certificates_of_one_authority(tmp_path)
    (tmp_path / "token").write_text("first-token")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(made / "good" / "ca.pem"))
    with serving(made / kind) as server, pytest.raises(QsubmitError) as refusal:
        Control(server.url, tmp_path / "token").lease()
    assert str(refusal.value) == f"The gateway cannot be reached ({BAD[kind]}). Tell an administrator."
    assert server.refused and server.was_told == []


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # boto3 leaves its connections to the garbage collector
@pytest.mark.parametrize("kind", BAD)
def test_so_it_is_in_what_boto3_says(tmp_path: Path, kind: str) -> None:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import SSLError

    made = certificates_of_one_authority(tmp_path)
    with serving(made / kind) as server, pytest.raises(SSLError) as failed:
        boto3.Session("AKIAQSEC7EXAMPLE0001", "s" * 40, region_name="us-east-1").client(
            "braket",
            endpoint_url=server.url,
            verify=str(made / "good" / "ca.pem"),
            config=Config(retries={"total_max_attempts": 1}),
        ).search_quantum_tasks(filters=[])
    assert str(aws_problem(failed.value)) == f"The gateway cannot be reached ({BAD[kind]}). Tell an administrator."
    assert server.was_told == []


def test_without_a_token_there_is_no_lease(control: Control, tmp_path: Path) -> None:
    (tmp_path / "token").unlink()
    with pytest.raises(QsubmitError) as refusal:
        control.lease()
    assert str(refusal.value) == NO_LEASE


def test_errors_of_boto3_become_one_line() -> None:
    from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

    denied = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "Not\nallowed."}}, "CreateQuantumTask")
    found = aws_problem(denied)
    assert found is not None
    assert (str(found), found.code) == ("Not allowed.", "AccessDeniedException")
    assert str(aws_problem(EndpointConnectionError(endpoint_url="http://x"))) == AWAY
    assert str(aws_problem(NoCredentialsError())) == "Unable to locate credentials"
    assert aws_problem(ZeroDivisionError()) is None


def test_a_defect_of_the_sdk_keeps_its_traceback() -> None:
    class Broken:
        def result(self) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Backend().result_of(Broken())


def test_loading_the_extension_imports_nothing_heavy() -> None:
    code = (
        "import sys, jupyter_qsec.magics.magic\n"
        "heavy = {'boto3', 'botocore', 'braket', 'numpy', 'matplotlib', 'httpx'} & sys.modules.keys()\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
