"""Commands with their passwords, as people type them: each password is found, from its first character on."""

from __future__ import annotations

import pytest

from jupyter_qsec.scanning.engine import Engine
from tests.unit.scanning.examples import filled

COMMANDS = r"""
7z x -p{a12} data.7z
7z a "my results.7z" -p{a12}
"C:\Program Files\7-Zip\7z.exe" a -p{a12} data.7z
rar a -hp{a12} data.rar
unrar x -p{a12} data.rar
zip -P {a12} data.zip results
zip -erP {a12} data.zip results
unzip -oP {a12} data.zip
openssl enc -d -aes-256-cbc -k {a16} -in data.enc
net use z: \\lab\results {a12} /user:ada
net use \\lab\results /user:ada {a12}
net user ada {a12} /add
schtasks /create /ru ada /rp {a12} /tn measure
schtasks /Create /TN measure /TR "python run.py" /RU ada /RP {a12}
signtool sign /f key.pfx /p {a12} lab.exe
sqlplus -s ada/{a12}@lab
impdp ada/{a12}@lab
rabbitmqctl add_user ada {a12}
rabbitmqctl change_password ada {a12}
mc alias set lab https://store.example.org ada {a16}
nmcli dev wifi connect lab password {a12}
wpa_passphrase lab {a12}
snmpwalk -v3 -l authPriv -u ada -A {a12} lab
snmpget -v3 -l authPriv -u ada -X {a12} lab
security unlock-keychain -p {a12} build.keychain
security add-generic-password -a ada -s lab -w {a12}
http -a ada:{a12} https://lab.example.org
http --auth ada:{a12} https://lab.example.org
npm config set //npm.example.org/:_authToken {a32}
mysql -h "the lab" -p{a12}
psexec \\lab -u ada -p {a12} cmd
cypher-shell -u ada -p {a12}
kadmin -p ada -w {a12}
""".strip().splitlines()
ANSWERS = (
    'child.expect("password:")\nchild.sendline("{a12}")',
    "child.expect_exact('Password: ')\n# of the lab\nchild.sendline('{a12}')",
    "child.expect(['password:', pexpect.EOF], timeout=30)\nchild.sendline('{a12}')",
    'expect "password: "\nsend -- "{a12}\\r"',
    'expect "assword:"\nsend {a12}\\r',
    'expect "password: " { send "{a12}\\r" }',
)
ORDINARY = (
    'print("Wrong password")\nsock.send(b"Login failed, goodbye")',
    'res.status(401).send("Wrong password");\nres.send("Something went wrong here");',
    'logging.info("asking for password")\nclient.send("GET / HTTP/1.1")',
    "Set //registry.npmjs.org/:_authToken environment variables",
    "npm config get //registry.npmjs.org/:_authToken --location=project",
    "./gradlew unzip distZip -Pversion=2.0.1-SNAPSHOT",
    "net user adds 1.2M/month",
    "net user ada /expires:01/02/2025",
    "the library, rarely zipped -P1aX9q2Lm",
)


@pytest.mark.parametrize("template", [*COMMANDS, *ANSWERS])
@pytest.mark.parametrize("seed", range(3))
def test_the_password_is_found_where_it_begins(template: str, seed: int) -> None:
    text = filled(template, seed)
    found = {(match.kind, match.start) for match in Engine.default().scan(text)}
    assert ("command-secret", template.index("{a")) in found, found


@pytest.mark.parametrize("text", ORDINARY)
def test_what_only_reads_like_a_command_is_left_alone(text: str) -> None:
    assert Engine.default().scan(text) == []
