"""Passwords and tokens that only the name they are given to gives away: the last word, after every known format."""

from __future__ import annotations

from jupyter_qsec.scanning import plausible
from jupyter_qsec.scanning.rules.rule import ASSIGN, CHANGE, OPAQUE, Rule
from jupyter_qsec.scanning.severity import Severity

_PASSWORD_NAMES = (
    *("api_key", "apikey", "auth_key", "authkey", "service_key", "servicekey", "account_key", "accountkey", "db_key"),
    *(
        "dbkey",
        "database_key",
        "priv_key",
        "private_key",
        "client_key",
        "db_pass",
        "dbpass",
        "database_pass",
        "key_pass",
    ),
    *("password", "passwd", "pwd", "secret", "contrasena", "passphrase"),
)
_TOKEN_NAMES = ("token", "api_key", "apikey", "api-key", "access_key", "accesskey", "encryption_key", "signing_key")
_SHELL_NAMES = ("password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "access_key", "credential")
_PHRASE = r"[^\s'\"`\\]{1,120}(?: [^\s'\"`\\]{1,60}){0,8}"

RULES: tuple[Rule, ...] = (
    Rule(
        "assigned-secret",
        _PASSWORD_NAMES,
        _PHRASE,
        lead=rf"(?i:{'|'.join(_PASSWORD_NAMES)})\w{{0,40}}[\]'\"]{{0,2}}[ \t]{{0,8}}"
        r"(?::[ \t]?[A-Za-z]{1,12}[ \t]?=|=>|:=|={1,3}|!==?|:)[ \t]{0,8}[bru]?[\"'`]",
        tail=r"[\"'`]",
        plugin="KeywordDetector",
        probe='{identifier} = "{value}"',
        check=plausible.password_like,
        severity=Severity.MEDIUM,
        description="password or secret given to a name",
        advice=CHANGE,
        examples=('password = "{a12}"', "db_pass: '{a12}'"),
        never=('password = "your-password"', "password = os.environ['PASSWORD']", 'secret_name = "prod/db"'),
    ),
    Rule(
        "assigned-token",
        _TOKEN_NAMES,
        rf"{OPAQUE}{{16,}}",
        lead=rf"(?i:{'|'.join(_TOKEN_NAMES)})\w{{0,24}}{ASSIGN}",
        check=plausible.opaque_token,
        grows=OPAQUE[1:-1],
        severity=Severity.MEDIUM,
        description="token or key given to a name",
        examples=('token = "{a32}"', "'api_key': '{h32}'"),
        never=("max_tokens = 4096", "next_token = '{a32}'", "token = get_token(client_id)"),
    ),
    Rule(
        "assigned-secret",
        _SHELL_NAMES,
        r"[^\s'\"`\\,;)(}{]{6,200}",
        lead=r"(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|ACCESS_KEY|CREDENTIAL)[A-Z0-9_]{0,24}=",
        check=plausible.password_like,
        not_after="a-z",
        grows=r"^\s'\"`\\,;)(}{",
        severity=Severity.MEDIUM,
        description="password or secret given to a name",
        advice=CHANGE,
        examples=("export DB_PASSWORD={a12}",),
    ),
)
