"""An OpenID Connect issuer on loopback: publishes keys and signs tokens, right ones and wrong ones."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

CONFIGURATION = "/.well-known/openid-configuration"
_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)  # once for the run: it takes a while


class Issuer:
    """Serves until `close`. `answers` may be changed; `asked` are the paths in order."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {
            "rsa": _RSA,
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "ed": ed25519.Ed25519PrivateKey.generate(),
        }
        self.asked: list[str] = []
        self.bearers: list[str] = []
        self.answers: dict[str, tuple[int, Any]] = {}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                issuer.asked.append(self.path)
                issuer.bearers.append(self.headers.get("Authorization", ""))
                status, body = issuer.answers.get(parts.path, (404, {}))
                body = body(parse_qs(parts.query)) if callable(body) else body
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"{issuer.url}/elsewhere")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.answers[CONFIGURATION] = (200, {"issuer": self.url, "jwks_uri": f"{self.url}/keys"})
        self.publish("rsa", "ec", "ed")
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def publish(self, *names: str, more: tuple[dict[str, Any], ...] = ()) -> None:
        self.answers["/keys"] = (200, {"keys": [*(self.public(name) for name in names), *more]})

    def public(self, name: str) -> dict[str, Any]:
        """A key as JSON (RFC 7517)."""
        algorithm = jwt.get_algorithm_by_name({"rsa": "RS256", "ec": "ES256", "ed": "EdDSA"}[name])
        return {**algorithm.to_jwk(self.keys[name].public_key(), as_dict=True), "kid": name, "use": "sig"}

    def sign(self, claims: dict[str, Any], key: str = "rsa", **headers: Any) -> str:
        algorithm = {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA"}[key]
        return jwt.encode(claims, self.keys[key], algorithm, headers={"kid": key, **headers})
