"""What browsers and clients of HTTP send: tokens, passwords in addresses and headers, databases' addresses."""

from __future__ import annotations

from jupyter_qsec.scanning import plausible, webtokens
from jupyter_qsec.scanning.rules.rule import ASSIGN, CHANGE, OPAQUE, Rule
from jupyter_qsec.scanning.severity import Severity

_SCHEMES = "bearer|basic|token|apikey|api-token|digest|negotiate|ntlm|key|oauth"
_HEADER = rf"(?:{ASSIGN}(?i:{_SCHEMES})[ :]{{1,4}}|{ASSIGN})"
_USER = r"[^:/?#\[\]@!$&'()*+,;=\s\"`<>{}]{0,64}"

RULES: tuple[Rule, ...] = (
    Rule(
        "jwt",
        ("eyj",),
        r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){4}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_/+-]*)?",
        gate="[A-Za-z0-9_-]{8}",
        not_after="A-Za-z0-9_-",
        check=webtokens.json_web_token,
        span=4096,
        grows="A-Za-z0-9_.-",
        joins=True,
        severity=Severity.MEDIUM,
        description="JSON web token",
        examples=("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ{b40}.{b43}",),
        never=("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "eyJ{a20}.{a20}", "data:application/json;base64,eyJ{a40}"),
    ),
    Rule(
        "jwt",
        ("zxlk",),
        r"ZXlK[A-Za-z0-9+/_-]{40,}={0,2}",
        gate="[A-Za-z0-9+/_-]{20}",
        not_after="A-Za-z0-9+/",
        check=webtokens.encoded_web_token,
        span=4096,
        grows="A-Za-z0-9+/_=-",
        severity=Severity.MEDIUM,
        description="JSON web token",
        examples=("ZXlKaGJHY2lPaUpJVXpJMU5pSXNJblI1Y0NJNklrcFhWQ0o5LmV5SnpkV0lpT2lJeE1qTTBOVFkzT0Rrd0luMC{a80}",),
        never=("ZXlK{a20}", "ZXlKdXN0IGEgd29yZCwgYW5kIHRoZW4gc29tZSBtb3JlIHRleHQgdGhhdCBpcyBubyB0b2tlbg=="),
    ),
    Rule(
        "basic-auth",
        ("://",),
        r"[^/?#\[\]@()*,;\s\"'`<>]{1,200}",
        lead=rf"://{_USER}:",
        tail="@",
        gate=r"[^\s/@\"'<>]{1,128}@",
        plugin="BasicAuthDetector",
        probe="://user:{value}@host",
        check=plausible.not_placeholder,
        severity=Severity.MEDIUM,
        description="password in a URL",
        advice=CHANGE,
        examples=("postgresql://ada:{a12}@db.example.org/x",),
        never=("https://user@example.org:443/path", "ssh://git@github.com:22/user/repo.git"),
    ),
    Rule(
        "basic-auth",
        ("://",),
        r"[^/?#@\s\"'`<>:]{4,64}",
        lead=r"://[^/?#@:\s\"'`<>]{1,64}@[^/?#@:\s\"'`<>]{1,64}:",
        tail="@",
        gate=r"[^\s/@\"'<>]{1,64}@[^\s/@\"'<>]{1,128}@",
        check=plausible.not_placeholder,
        severity=Severity.MEDIUM,
        description="password in a URL",
        advice=CHANGE,
        examples=("smtps://ada@example.org:{a12}@smtp.example.org",),
        never=("https://ada@example.org:8443/docs", "sftp://ada@example.org:${SFTP_PASSWORD}@sftp.example.org"),
    ),
    Rule(
        "authorization-header",
        ("authorization", "x-api-key", "x-auth-token", "x-access-token", "private-token", "api-token"),
        rf"{OPAQUE}{{10,}}",
        lead=rf"(?i:(?:proxy-)?authorization|x-api-key|x-auth-token|x-access-token|private-token|api-token){_HEADER}",
        check=plausible.credentials,
        grows=OPAQUE[1:-1],
        severity=Severity.MEDIUM,
        description="credentials in an HTTP header",
        examples=('headers = {"Authorization": "Basic {a24}"}', "Authorization: token {h40}"),
        never=(
            "headers = {'Authorization': f'Bearer {token}'}",
            "x-api-key: ${API_KEY_2}",
            "Access-Control-Allow-Headers: Authorization, X-Api-Key, X-Amz-Security-Token",
            "Authorization: AWS4-HMAC-SHA256 Credential=<key>/20240101/us-east-1/braket/aws4_request",
        ),
    ),
    Rule(
        "authorization-header",
        ("bearer ", "bearer%20"),
        rf"{OPAQUE}{{16,}}",
        lead=r"(?i:bearer(?: {1,4}|%20))[\"']?",
        check=plausible.credentials,
        grows=OPAQUE[1:-1],
        severity=Severity.MEDIUM,
        description="credentials in an HTTP header",
        examples=("curl --oauth2-bearer x -H 'X: Bearer {a32}'",),
        never=('curl -H "X: Bearer $TOKEN_2"', "bearer authentication_is_described_below", "Bearer <access token>"),
    ),
    Rule(
        "basic-auth",
        ("curl ",),
        r"[^\s\"'`]{4,128}",
        lead=r"(?i:curl)(?:[^\n]|\\\n){0,300}?[ \t](?:-u|--user|--proxy-user|-U)[ =]{0,4}"
        r"[\"'{]{0,2}[^\s\"':]{0,64}[\"'}]{0,2}:[\"'{]{0,2}",
        check=plausible.not_placeholder,
        severity=Severity.MEDIUM,
        description="password of a command",
        advice=CHANGE,
        examples=("curl -s -u ada:{a12} https://example.org", "curl --user ada:'{a12}' -X PATCH"),
        never=("curl -u ada:$PASSWORD https://example.org", "curl -u ada https://example.org:8443/x"),
    ),
    Rule(
        "web-key",
        ('"kty"', "'kty'"),
        r"[A-Za-z0-9_-]{20,}",
        lead=r"[\"']kty[\"'][^}]{0,400}?[\"'](?:d|k|p|q|dp|dq|qi)[\"']\s{0,4}:\s{0,4}[\"']",
        grows="A-Za-z0-9_-",
        severity=Severity.CRITICAL,
        description="private JSON web key",
        examples=('{{"kty": "EC", "crv": "P-256", "d": "{b43}"}}',),
        never=(
            '{"kty": "RSA", "n": "{b43}", "e": "AQAB"}',
            '{"kty": "EC", "x": "{b43}", "y": "{b43}", "kid": "{b22}"}',
        ),
    ),
)
