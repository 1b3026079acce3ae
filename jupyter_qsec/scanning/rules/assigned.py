"""Passwords and tokens that only the name they are given to gives away: the last word, after every known format."""

from __future__ import annotations

from jupyter_qsec.scanning import plausible
from jupyter_qsec.scanning.rules.rule import ASSIGN, CHANGE, OPAQUE, TAGGED, Rule
from jupyter_qsec.scanning.severity import Severity

_LITERAL = "password or secret given to a name"
_OPAQUE_LITERAL = "token or key given to a name"
_KEYWORD_NAMES = (
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
_MISSPELT = "passworsd", "pasword", "psword", "pssword", "paswd", "paswrd", "pswrd", "psswrd", "passwrd"
_NAMES = (
    *_MISSPELT,
    *("password", "passwort", "passwd", "psswd", "pswd", "pwd", "passphrase", "passcode", "contrasena", "secret"),
    *("credential", "api_key", "apikey", "api-key", "private_key", "privatekey", "private-key", "db_pass", "dbpass"),
)
_SHORT_NAMES = (
    "pass",
    "pw",
    *(f"{where}pass" for where in ("mysql", "sql", "pg", "user", "root", "admin", "smtp", "ftp", "key", "store")),
)
_TOKEN_NAMES = (
    *(
        "token",
        "api_key",
        "apikey",
        "api-key",
        "access_key",
        "accesskey",
        "access-key",
        "encryption_key",
        "signing_key",
    ),
    *("signing-key", "license_key", "license-key"),
)
_SHELL_NAMES = ("password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "access_key", "credential")
_LOOSE_NAMES = "key", "auth", "salt", "nonce", "credential", "_api", "otp"
_PHRASE = r"[^\s'\"`\\]{1,120}(?: [^\s'\"`\\]{1,60}){0,8}"
_AFTER_NAME = r"[\w.-]{0,32}(?:\[\d{0,4}\])?"
_DEFAULT = r"[\"']?\)?[ \t]{1,4}(?:or|\|\||\?\?)[ \t]{1,4}"
_CALL = r"(?:\.\w{1,16})?\("
_TO_QUOTE = rf"(?:{ASSIGN}|{_DEFAULT}|{_CALL}|[\"'][ \t]{{1,4}}value=|[ \t]{{1,8}})@?"
_BARE = r"[^\s\"'`;<>\x1b]"
_SEPARATOR = r"[\"'\]]{0,3}[ \t]{0,8}(?:===?|!==?|:=|=>|=|:)[ \t]{0,8}"
_COMPARED = (
    r"[\"'`][ \t]{0,4}(?:===?|!==?)[ \t]{0,4}[\w.]{0,24}(?i:password|passwd|pwd|secret|private_?key|api_?key|token)"
)


def _quoted(quote: str, example: str, never: tuple[str, ...], *, long: bool = False) -> Rule:
    """`long`: one that is longer than the end could be looked for."""
    return Rule(
        "assigned-secret",
        _NAMES,
        rf"[^{quote}\s\\\x1b]{{201}}" if long else rf"[^{quote}\n\\]{{4,200}}",
        lead=rf"(?i:{'|'.join(_NAMES)}){_AFTER_NAME}{_TO_QUOTE}[bru]?{quote}",
        tail="" if long else quote,
        grows=rf"^{quote}\s\\" if long else "",
        check=plausible.password_like,
        severity=Severity.MEDIUM,
        description=_LITERAL,
        advice=CHANGE,
        examples=(example,),
        never=never,
    )


RULES: tuple[Rule, ...] = (
    Rule(
        "assigned-secret",
        _KEYWORD_NAMES,
        _PHRASE,
        lead=rf"(?i:{'|'.join(_KEYWORD_NAMES)})\w{{0,40}}[\]'\"]{{0,2}}[ \t]{{0,8}}"
        r"(?::[ \t]?[A-Za-z]{1,12}[ \t]?=|=>|:=|={1,3}|!==?|:)[ \t]{0,8}[bru]?[\"'`]",
        tail=r"[\"'`]",
        plugin="KeywordDetector",
        probe='{identifier} = "{value}"',
        check=plausible.password_like,
        severity=Severity.MEDIUM,
        description=_LITERAL,
        advice=CHANGE,
        examples=('password = "{a12}"', "db_pass: '{a12}'"),
        never=('password = "your-password"', "password = os.environ['PASSWORD']", 'secret_name = "prod/db"'),
    ),
    Rule(
        "assigned-secret",
        _NAMES,
        r"[^\s\"'`]{5,200}",
        lead=rf"(?i:{'|'.join(_NAMES)})\w{{0,16}}[ \t]{{0,4}}(?::=|=)[ \t]{{0,4}}[\w.]{{0,24}}(?i:getenv|get|env)"
        r"\([\"']\w{1,64}[\"'],[ \t]{0,4}[\"']",
        tail=r"[\"']",
        check=plausible.password_like,
        severity=Severity.MEDIUM,
        description="secret as the default of a setting",
        advice=CHANGE,
        examples=('SECRET = os.environ.get("SERVICE", "{a12}")',),
        never=('SECRET = os.environ.get("SERVICE", "changeme")', 'secret = config.get("path", "/run/secrets/db")'),
    ),
    Rule(
        "assigned-secret",
        ("<password", "<passwd", "<passphrase"),
        r"[^\s<>\"'&]{6,120}",
        lead=r"<(?i:password|passwd|passphrase)(?:[ \t][^<>\n]{0,80})?>\s{0,24}",
        tail=r"\s{0,24}</",
        gate=r"[ \t>]",
        check=plausible.password_like,
        severity=Severity.MEDIUM,
        description="password in XML",
        advice=CHANGE,
        examples=("<password>{a12}</password>", '<password encrypted="false">\n  {a12}\n</password>'),
        never=("<password>${{db.password}}</password>", "<password>required</password>"),
    ),
    _quoted(
        '"',
        'if (getenv("DB_PASSWORD") or "{a12}")',
        never=(
            'digest.update(password.encode("utf-8"))',
            '{\n  "format": "password",\n  "minLength": 8\n}',
            'columns = ["id", "pwd", "email"]',
            'api_key = get_secret("prod")',
            'load_secret("braket")',
            'get_password("db_prod")',
            'client.get_secret_value("name1")',
        ),
    ),
    _quoted(
        "'",
        "std::string secret('{a12}');",
        never=(
            "credentials.get('username')",
            "{'input': 'password', 'name': 'field1'}",
            "if passphrase.startswith('argon2:'):",
            "vault.readSecret('lab/db 1')",
            "x = find_api_key('service7')",
        ),
    ),
    _quoted(
        "`",
        "password := `{a12}`",
        never=(
            "secret = `${process.env.SECRET}`",
            "fetch(url, {credentials: `include`})",
            "await fetchSecret(`prod/braket`)",
        ),
    ),
    *(
        _quoted(quote, f"client_secret: {quote}{{a250}}{quote}", long=True, never=never)
        for quote, never in (
            ('"', (f'secret = "{"a" * 250}"', f'secret_name = "{"lab/db1-" * 30}"')),
            ("'", (f"secret = '{'a' * 250}'", f"secret_name = '{'lab/db1-' * 30}'")),
        )
    ),
    Rule(
        "assigned-token",
        _TOKEN_NAMES,
        rf"{OPAQUE}{{10,}}",
        lead=rf"(?i:{'|'.join(_TOKEN_NAMES)})\w{{0,24}}(?:{ASSIGN}|{TAGGED}|[\"'][ \t]{{1,4}}value=[\"'])",
        check=plausible.opaque_token,
        grows=OPAQUE[1:-1],
        severity=Severity.MEDIUM,
        description=_OPAQUE_LITERAL,
        examples=('token = "{a32}"', "'api_key': '{h32}'", "<ApiToken>\n  {a32}\n</ApiToken>"),
        never=("max_tokens = 4096", "next_token = '{a32}'", "token = get_token(client_id)"),
    ),
    Rule(
        "assigned-token",
        _LOOSE_NAMES,
        rf"{OPAQUE}{{16,}}",
        lead=rf"(?i:{'|'.join(_LOOSE_NAMES)})\w{{0,16}}{ASSIGN}",
        gate=r"\w{0,16}[^\w\n]{1,16}[A-Za-z0-9_.+/~=-]{16}",
        not_before=">",
        check=plausible.some_key,
        grows=OPAQUE[1:-1],
        span=256,
        severity=Severity.LOW,
        description=_OPAQUE_LITERAL,
        examples=("hmac_key = '{a40}'",),
        never=(
            "s3_key = 'results/2024/task.json'",
            "partition_key = '{a40}'",
            "<Future: finished, type: float, key: inc-{h32}>",
        ),
    ),
    Rule(
        "assigned-secret",
        _SHELL_NAMES,
        r"[^\s'\"`\\,;)(}{\x1b]{6,200}",
        lead=r"(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|ACCESS_KEY|CREDENTIAL)[A-Z0-9_]{0,24}=",
        check=plausible.password_like,
        not_after="a-z",
        grows=r"^\s'\"`\\,;)(}{",
        severity=Severity.MEDIUM,
        description=_LITERAL,
        advice=CHANGE,
        examples=("export DB_PASSWORD={a12}",),
        never=("export DB_PASSWORD=$(cat /run/secrets/db1)", "API_KEY=${API_KEY:-}", "ACCESS_TOKEN=changeme1"),
    ),
    Rule(
        "assigned-secret",
        (*_NAMES, "token"),
        rf"{_BARE}{{5,200}}",
        lead=rf"(?i:{'|'.join(_NAMES)}|token){_AFTER_NAME}{_SEPARATOR}",
        check=plausible.bare_secret,
        grows=_BARE[1:-1],
        severity=Severity.LOW,
        description=_LITERAL,
        advice=CHANGE,
        examples=("password: {a12}", "secret={a16}"),
        never=(
            *("password: str", "password = getpass.getpass()", "secret = config.secret_value", "password: 12345678"),
            'SecretId="arn:aws:secretsmanager:us-east-1:123456789012:secret:MyTestSecret-a1b2c3"',
            '"Resource": "arn:aws:secretsmanager:*:123456789012:secret:MyTestSecret-??????"',
            '"valueFrom": "arn:aws:secretsmanager:us-east-1:123456789012:secret:LabDb-{a6}:password::"',
        ),
    ),
    Rule(
        "assigned-secret",
        _SHORT_NAMES,
        rf"{_BARE}{{5,200}}",
        lead=rf"(?i:{'|'.join(_SHORT_NAMES)})\d{{0,2}}{_SEPARATOR}[\"']?",
        gate=r"\d{0,2}[\"'\]]{0,3}[ \t]{0,8}[:=]",
        not_after="A-Za-z0-9",
        check=plausible.bare_secret,
        grows=_BARE[1:-1],
        severity=Severity.LOW,
        description=_LITERAL,
        advice=CHANGE,
        examples=("ID:ada, PW:{a12}", 'user_pass = "{a12}"'),
        never=("pw = 0.5 * width", "pass = True"),
    ),
    Rule(
        "assigned-secret",
        ('if ("', "if ('", 'if "', "if '"),
        r"[^\"'`\n]{6,120}",
        lead=r"(?i:if) \(?[\"']",
        tail=_COMPARED,
        check=plausible.password_like,
        severity=Severity.MEDIUM,
        description=_LITERAL,
        advice=CHANGE,
        examples=('if ("{a16}" == user.password) {{', "if '{a16}' == my_secret:"),
        never=("if 'password' == field.name:", 'if "your password" == user.password {'),
    ),
)
