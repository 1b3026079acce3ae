"""A corpus of planted secrets by kind, and of texts that only look like secrets. All values are made up."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import uuid

_random = random.Random(20260301)
_ALNUM = string.ascii_letters + string.digits


def _some(alphabet: str, length: int) -> str:
    """A random string that holds a letter and a digit."""
    while True:
        text = "".join(_random.choices(alphabet, k=length))
        if any(c.isdigit() for c in text) and any(c.isalpha() for c in text):
            return text


def _b64url(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


AWS_KEY = "AKIA" + "QSEC7PLANTED5Q2Z"
AWS_TEMPORARY_KEY = "ASIAQNZGKIQY56JQ7WML"
AWS_SECRET = "pLaNtEdSeCrEt/K7MDENG/bPxRfiCYqsecPLANT0"
AWS_TOKEN = "IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJH" + _some(_ALNUM + "/+", 380) + "=="
JWT = f"{_b64url({'alg': 'HS256', 'typ': 'JWT'})}.{_b64url({'sub': '1234567890', 'name': 'Ada'})}.{_some(_ALNUM, 43)}"
LONG_JWT = (
    f"{_b64url({'alg': 'RS256', 'kid': 'k1'})}.{_b64url({'scp': _some(_ALNUM, 900)})}.{_some(_ALNUM + '-_', 342)}"
)
_BODY = "\n".join(
    ["MII" + _some(_ALNUM + "+/", 61), *(_some(_ALNUM + "+/", 64) for _ in range(11)), _some(_ALNUM, 30) + "=="]
)
RSA_KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{_BODY}\n-----END RSA PRIVATE KEY-----"
SSH_KEY = f"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r{_BODY}\n-----END OPENSSH PRIVATE KEY-----"
LOCKED_KEY = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123456789ABCDEF\n\n"
    f"{_BODY}\n-----END RSA PRIVATE KEY-----"
)
PGP_KEY = f"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\n\n{_BODY}\n-----END PGP PRIVATE KEY BLOCK-----"
PUTTY_KEY = (
    f"PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\nPrivate-Lines: 8\n{_BODY}\n"
    f"Private-MAC: {hashlib.sha1(b'mac', usedforsecurity=False).hexdigest()}"
)
_HEX48, _HEX64 = hashlib.sha384(b"a").hexdigest()[:48], hashlib.sha256(b"a").hexdigest()
GITHUB = "ghp_" + _some(_ALNUM, 36)
IBM = _some(_ALNUM + "_-", 42) + "x1"
OPAQUE = _some(_ALNUM, 32)
OWN_SECRET = "qsecKey/" + _some(_ALNUM + "+/", 32)
OWN_TOKEN = "qsec1." + _some(_ALNUM + "-_", 88)
OWN_LEASE = f"qsec-lease.{uuid.UUID(int=7, version=4).hex}.{_some(_ALNUM + '-_', 43)}"

PLANTED: tuple[tuple[str, str, str], ...] = (
    # (kind, secret, a text that holds it)
    ("aws-secret-key", OWN_SECRET, f"{OWN_SECRET}\n"),
    ("aws-secret-key", OWN_SECRET, f"ReadOnlyCredentials(access_key='x', secret_key='{OWN_SECRET}', account_id=None)"),
    ("aws-session-token", OWN_TOKEN, f"got {OWN_TOKEN}"),
    ("qsec-lease-token", OWN_LEASE, f"Authorization: Bearer {OWN_LEASE}"),
    ("aws-access-key", AWS_KEY, f"{AWS_KEY}\n"),
    ("aws-access-key", AWS_TEMPORARY_KEY, f"export AWS_ACCESS_KEY_ID={AWS_TEMPORARY_KEY}"),
    ("aws-access-key", AWS_KEY, f"{{'AccessKeyId': '{AWS_KEY}', 'n': 1}}"),
    ("aws-access-key", AWS_KEY, f"https://b.s3.amazonaws.com/k?AWSAccessKeyId={AWS_KEY}&Signature=x"),
    ("aws-access-key", AWS_KEY, json.dumps(f"id\n{AWS_KEY}\n")),
    ("aws-secret-key", AWS_SECRET, f'aws_secret_access_key = "{AWS_SECRET}"'),
    ("aws-secret-key", AWS_SECRET, f"[default]\naws_secret_access_key={AWS_SECRET}\n"),
    ("aws-secret-key", AWS_SECRET, f'os.environ["AWS_SECRET_ACCESS_KEY"] = "{AWS_SECRET}"'),
    ("aws-secret-key", AWS_SECRET, f"{{'SecretAccessKey': '{AWS_SECRET}', 'a': 1}}"),
    ("aws-secret-key", AWS_SECRET, json.dumps(json.dumps({"SecretAccessKey": AWS_SECRET}))),
    ("aws-secret-key", AWS_SECRET, f"ReadOnlyCredentials(access_key='x', secret_key='{AWS_SECRET}', token=None)"),
    ("aws-secret-key", AWS_SECRET, f"<td>SecretAccessKey=&quot;{AWS_SECRET}&quot;</td>"),
    ("aws-secret-key", AWS_SECRET, f"SecretAccessKey        {AWS_SECRET}"),
    ("aws-secret-key", AWS_SECRET, f"aws_key = '{AWS_SECRET}'"),
    ("aws-secret-key", AWS_SECRET, f"SECRET = '{AWS_SECRET}'"),
    ("aws-session-token", AWS_TOKEN, f"AWS_SESSION_TOKEN={AWS_TOKEN}\n"),
    ("aws-session-token", AWS_TOKEN, AWS_TOKEN),
    ("aws-session-token", OPAQUE, f'"SessionToken": "{OPAQUE}"'),
    ("private-key", RSA_KEY, f"key = '''{RSA_KEY}'''"),
    ("private-key", SSH_KEY, SSH_KEY),
    ("private-key", LOCKED_KEY, LOCKED_KEY + "\n"),
    ("private-key", PGP_KEY, PGP_KEY),
    ("private-key", PUTTY_KEY, PUTTY_KEY),
    ("private-key", RSA_KEY.replace("\n", "\\n"), json.dumps({"private_key": RSA_KEY})),
    ("private-key", RSA_KEY[:300], RSA_KEY[:300]),
    ("jwt", JWT, f"Authorization: Bearer {JWT}\n"),
    ("jwt", LONG_JWT, f"print({LONG_JWT!r})"),
    ("jupyter-token", _HEX48, f"http://127.0.0.1:8888/lab?token={_HEX48}"),
    ("jupyter-token", OPAQUE, f"JUPYTERHUB_API_TOKEN={OPAQUE}"),
    ("jupyter-token", _HEX48, f"c.IdentityProvider.token = '{_HEX48}'"),
    ("basic-auth", "s3cr3t-w0rd", "postgresql://ada:s3cr3t-w0rd@db.example.org/x"),
    ("authorization-header", "YWRhOmxvdmVsYWNl", 'headers = {"Authorization": "Basic YWRhOmxvdmVsYWNl"}'),
    ("github-token", GITHUB, f'token = "{GITHUB}"'),
    ("github-token", "github_pat_" + OPAQUE + "_" + OPAQUE, f"github_pat_{OPAQUE}_{OPAQUE}"),
    ("gitlab-token", "glpat-" + OPAQUE[:20], f"glpat-{OPAQUE[:20]} "),
    ("slack-token", "xoxb-123456789012-123456789012-abcDEF123456", "xoxb-123456789012-123456789012-abcDEF123456"),
    ("slack-token", "T0000AAAA/B0000BBBB/" + OPAQUE, f"https://hooks.slack.com/services/T0000AAAA/B0000BBBB/{OPAQUE}"),
    ("npm-token", "npm_" + GITHUB[4:], f"//registry.example.org/:_authToken=npm_{GITHUB[4:]}"),
    ("pypi-token", "pypi-AgEIcHlwaS5vcmc" + OPAQUE * 3, f"password = pypi-AgEIcHlwaS5vcmc{OPAQUE * 3}"),
    ("openai-token", f"sk-{OPAQUE[:20]}T3BlbkFJ{OPAQUE[:20]}", f"sk-{OPAQUE[:20]}T3BlbkFJ{OPAQUE[:20]}"),
    ("stripe-key", "sk_live_" + OPAQUE[:24], f"stripe.api_key = 'sk_live_{OPAQUE[:24]}'"),
    ("sendgrid-key", f"SG.{OPAQUE[:22]}.{OPAQUE}{OPAQUE[:11]}", f"SG.{OPAQUE[:22]}.{OPAQUE}{OPAQUE[:11]}"),
    ("square-oauth-secret", "sq0csp-" + _HEX48[:43], f"sq0csp-{_HEX48[:43]}"),
    ("artifactory-credentials", "AKCp5" + OPAQUE, f'"AKCp5{OPAQUE}"'),
    ("google-api-key", "AIza" + _HEX48[:35], f"key=AIza{_HEX48[:35]}"),
    ("huggingface-token", "hf_" + GITHUB[4:], f"login('hf_{GITHUB[4:]}')"),
    (
        "discord-bot-token",
        f"MTk4{OPAQUE[:20]}.{OPAQUE[:6]}.{OPAQUE[:27]}",
        f"bot MTk4{OPAQUE[:20]}.{OPAQUE[:6]}.{OPAQUE[:27]}",
    ),
    ("telegram-bot-token", f"110201543:AAH{OPAQUE}", f"bot 110201543:AAH{OPAQUE}"),
    ("twilio-key", "SK" + _HEX64[:32], f"twilio SK{_HEX64[:32]}"),
    ("mailchimp-key", _HEX64[:32] + "-us12", f"{_HEX64[:32]}-us12"),
    ("azure-storage-key", "A1b/" * 22, f"AccountName=x;AccountKey={'A1b/' * 22};"),
    ("ibm-cloud-key", IBM, f'apikey: "{IBM}"'),
    ("ibm-cos-hmac", _HEX48, f"cos_hmac_secret_access_key = '{_HEX48}'"),
    ("cloudant-credentials", _HEX64, f"cloudant_password = '{_HEX64}'"),
    ("softlayer-credentials", _HEX64, f"softlayer_api_key = '{_HEX64}'"),
    ("dwave-token", "DEV-" + _HEX48[:40], f"DEV-{_HEX48[:40]}"),
    ("dwave-token", "julia-" + _HEX48[:40], f"DWAVE_API_TOKEN=julia-{_HEX48[:40]}"),
    ("ibm-quantum-token", IBM, f"%env QISKIT_IBM_TOKEN={IBM}"),
    ("ibm-quantum-token", IBM, f"export IQP_API_TOKEN='{IBM}'"),
    (
        "azure-quantum-key",
        OPAQUE,
        f"SubscriptionId=s;ResourceGroupName=r;WorkspaceName=w;ApiKey={OPAQUE};QuantumEndpoint=https://x",
    ),
    ("qbraid-token", "qbr_" + _HEX48[:32], f"QbraidProvider(api_key='qbr_{_HEX48[:32]}')"),
    ("qbraid-token", "lab_mfrggzdf." + _HEX64, f"lab_mfrggzdf.{_HEX64}"),
    ("rigetti-token", OPAQUE, f"QCS_SETTINGS_REFRESH_TOKEN = '{OPAQUE}'"),
    ("xanadu-token", OPAQUE, f"XANADU_CLOUD_REFRESH_TOKEN={OPAQUE}"),
    ("ionq-api-key", OPAQUE, f'os.environ.setdefault("IONQ_API_KEY", "{OPAQUE}")'),
    ("ionq-api-key", OPAQUE, f"Authorization: apiKey {OPAQUE}"),
    ("iqm-token", OPAQUE, f"IQM_TOKEN={OPAQUE}"),
    ("bluequbit-token", OPAQUE, f"BLUEQUBIT_API_TOKEN: {OPAQUE}"),
    ("oqc-token", OPAQUE, f'OQC_AUTH_TOKEN="{OPAQUE}"'),
    ("strangeworks-key", OPAQUE, f"STRANGEWORKS_API_KEY={OPAQUE}"),
    ("quantinuum-token", OPAQUE, f"QUANTINUUM_TOKEN={OPAQUE}"),
    ("quantum-inspire-token", OPAQUE, f"QI_TOKEN={OPAQUE}"),
    ("pasqal-password", "tr0ub4dor-and-3", "PASQAL_PASSWORD=tr0ub4dor-and-3"),
    ("alice-bob-key", OPAQUE, f"ALICE_BOB_API_KEY={OPAQUE}"),
    ("assigned-token", OPAQUE, f"OQCClient(url=u, authentication_token='{OPAQUE}')"),
    ("assigned-token", OPAQUE, f'{{"refresh_token": "{OPAQUE}"}}'),
    ("assigned-secret", "hunter2", 'password = "hunter2"'),
    ("assigned-secret", "correct horse battery staple", "db_password: 'correct horse battery staple'"),
    ("assigned-secret", "hunter2!", 'password: str = "hunter2!"'),
    ("assigned-secret", "hunter22", "DB_PASSWORD=hunter22\n"),
)

_UUIDS = [str(uuid.UUID(int=_random.getrandbits(128), version=4)) for _ in range(20)]
_PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + _random.randbytes(30_000)).decode()

BENIGN: tuple[tuple[str, str], ...] = (
    ("uuids", "\n".join(_UUIDS)),
    ("quoted uuids", "\n".join(f'task_token = "{u}"' for u in _UUIDS)),
    ("task ids", "\n".join(f"arn:aws:braket:us-east-1:123456789012:quantum-task/{u}" for u in _UUIDS)),
    ("client tokens", "\n".join(f'clientToken="{u}", "client_token": "{u}"' for u in _UUIDS)),
    ("digests", "\n".join(f"{hashlib.sha256(u.encode()).hexdigest()}  {u}.ipynb" for u in _UUIDS)),
    ("quoted digests", "\n".join(f'"sha256": "{hashlib.sha256(u.encode()).hexdigest()}",' for u in _UUIDS)),
    (
        "short digests",
        "\n".join(f"commit {hashlib.sha1(u.encode(), usedforsecurity=False).hexdigest()}" for u in _UUIDS),
    ),
    ("keyed digests", "\n".join(f'cache_key = "sha256:{hashlib.sha256(u.encode()).hexdigest()}"' for u in _UUIDS)),
    ("integrity", f'"integrity": "sha512-{base64.b64encode(hashlib.sha512(b"x").digest()).decode()}"'),
    ("account ids", "accounts = ['123456789012', '210987654321']; bucket = 'amazon-braket-us-east-1-123456789012'"),
    ("base64 image", _PNG),
    ("html image", f'<img src="data:image/png;base64,{_PNG}"/>'),
    ("numbers", "\n".join(" ".join(f"{_random.random():.17f}" for _ in range(8)) for _ in range(200))),
    ("bit strings", json.dumps({f"{n:020b}": _random.randrange(1000) for n in range(200)})),
    ("hex dump", "\n".join(_random.randbytes(16).hex(" ") for _ in range(200))),
    ("hex lines", "\n".join(_random.randbytes(32).hex() for _ in range(200))),
    ("base32 lines", "\n".join(base64.b32encode(_random.randbytes(35)).decode() for _ in range(50))),
    ("armour in code", 'if "-----BEGIN RSA PRIVATE KEY-----" in text:\n    raise PermissionError(text)\n'),
    ("armour constants", 'HEAD = "-----BEGIN PRIVATE KEY-----"\nFOOT = "-----END PRIVATE KEY-----"\n'),
    ("armour pattern", r'P = re.compile("-----BEGIN PRIVATE KEY-----.*?-----END PRIVATE KEY-----", re.S)'),
    ("public key", f"-----BEGIN PUBLIC KEY-----\n{_BODY}\n-----END PUBLIC KEY-----"),
    ("certificate", f"-----BEGIN CERTIFICATE-----\n{_BODY}\n-----END CERTIFICATE-----"),
    (
        "references",
        'password = os.environ["DB_PASSWORD"]\napi_key=api_key\ntoken = get_token(session)\nsecret = vault.read("x")\n',
    ),
    (
        "placeholders",
        'password = "<your password>"\ntoken="YOUR_TOKEN_HERE_1234"\napi_key = "${API_KEY}"\npassword = "********"\n',
    ),
    (
        "names",
        'secret_name = "prod/db/main1"\ntoken_file = "/run/secrets/t1"\npassword_field = "p1"\nkey_id = "alias/k"\n',
    ),
    ("prompts", 'password = getpass("Password: ")\ntoken = input("Paste your token: ")\n'),
    ("tokenizers", "max_tokens=4096, pad_token='<pad>', eos_token_id=50256, tokens_per_second=123456789.25\n"),
    ("paging", 'next_token = "AQoEXAMPLEH4aoAH0gNCAPyJxz4BlCFFxWNE1OPTgk5TthT"'),
    ("links", "https://example.org/a?tokens=3 git@github.com:user/repo.git http://user@host:80/path"),
    ("signed urls", "see https://docs.example.org/page#token and s3://bucket/key=1/token=2/part-0001.parquet"),
    ("marker", 'key = "[REDACTED:aws-access-key]"\nAWS_SECRET_ACCESS_KEY=[REDACTED:aws-secret-key]\n'),
    ("annotations", "def login(user: str, password: str = None, token: Optional[str] = None) -> Credentials: ...\n"),
    (
        "braket output",
        "AwsQuantumTask('id/taskArn':'arn:aws:braket:us-east-1:123456789012:quantum-task/" + _UUIDS[0] + "')",
    ),
    ("qasm", "OPENQASM 3.0;\nqubit[2] q;\nbit[2] b;\nh q[0];\ncnot q[0], q[1];\nb[0] = measure q[0];\n"),
    ("prose", "The secret of a good token economy: passwords expire, keys rotate, and credentials stay at home."),
    ("log lines", "2026-03-01 12:00:00 INFO auth: token refreshed for session 0af92b, expires in 3600 s\n" * 5),
    ("pandas", "   key   count\n0  a1b2  17\n1  c3d4  23\n2  secret  12\n"),
)
