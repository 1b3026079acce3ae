"""Secrets in commands, statements and calls: the place in which they stand says what they are."""

from __future__ import annotations

from jupyter_qsec.scanning import plausible
from jupyter_qsec.scanning.plausible import Check
from jupyter_qsec.scanning.rules.rule import CHANGE, Rule
from jupyter_qsec.scanning.severity import Severity

_OPTIONS = (
    *("password", "passwd", "passphrase", "pass", "pwd", "pw", "secret", "token", "api-key", "apikey"),
    *("storepass", "keypass", "srcstorepass", "deststorepass"),
)
_SECURE_STRING = r"(?i:convertto-securestring)(?:[ \t]{1,4}-\w{1,16}){0,4}[ \t]{1,4}"
"""What begins with a dash and stands in no quotes is an option, not the secret."""
_GAP = r"[ \t]{1,4}(?:\\\r?\n[ \t]{0,16})?"
"""Also with a line that goes on."""
_WORDS = rf"(?:\.exe)?(?:{_GAP}[^\s;|&<>\"'`]{{1,48}}){{0,8}}?"
"""Of a command, before the option that matters."""
_TAKES_PASSWORDS = (
    r"(?:sudo[ \t](?:[^\s|;&<>]{1,48}[ \t]{1,4}){0,4}?(?:-\w{0,6}S|--stdin)\b|[^|;&\n]{1,160}--(?:password-)?stdin\b"
    r"|(?:kinit|smbpasswd[ \t]|gpg[ \t][^|;&\n]{0,80}--passphrase-fd))"
)
_CALLED = "auth=(", "auth = (", "basicauth(", "httpdigestauth(", "httpproxyauth("
_SECRET_NAMES = (
    *("password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "api_key", "api-key", "access_key"),
    *("access-key", "secretkey", "secret_key", "secret-key"),
)


def _option(
    description: str,
    *commands: str,
    option: str,
    glued: bool,
    example: str,
    never: tuple[str, ...],
    check: Check = plausible.of_a_command,
) -> Rule:
    """A password behind a short option of certain commands; `glued`: only without a space between them."""
    gap = "" if glued else r"[ \t]{0,4}"
    return Rule(
        "command-secret",
        commands,
        r"[^\s\"'`;|&<>-][^\s\"'`;|&<>]{3,199}",
        lead=rf"(?i:{'|'.join(commands)}){_WORDS}{_GAP}{option}{gap}[\"']?",
        not_after="A-Za-z0-9_-",
        span=1024,
        check=check,
        severity=Severity.MEDIUM,
        description=description,
        advice=CHANGE,
        examples=(example,),
        never=never,
    )


RULES: tuple[Rule, ...] = (
    Rule(
        "command-secret",
        tuple(f"{mark}{option}" for mark in "-_" for option in _OPTIONS),
        r"[^\s\"'`]{5,200}",
        lead=rf"[-_](?i:{'|'.join(_OPTIONS)})[\w-]{{0,16}}[ \t]{{1,4}}[\"']?",
        gate=r"[\w-]{0,16}[ \t]",
        check=plausible.after_dashes,
        grows=r"^\s\"'`",
        severity=Severity.MEDIUM,
        description="secret on a command line",
        advice=CHANGE,
        examples=("mysql -u root --password {a12}", "tool --auth-token '{a32}'", "keytool -list -storepass {a12}"),
        never=("tool --password-file /run/secret", "tool --token $TOKEN", "tool --password --verbose"),
    ),
    Rule(
        "command-secret",
        ("identified by", "identified with", "login password", "password '", 'password "', "password e'"),
        r"[^\s\"';]{4,120}",
        lead=r"(?i:identified by|login password|password"
        r"|identified with[ \t]{1,4}[\"']?\w{1,40}[\"']?[ \t]{1,4}(?:by|as))"
        r"[ \t]{1,4}(?:password[ \t]{1,4}|values?[ \t]{1,4})?e?[\"']?",
        check=plausible.in_statement,
        severity=Severity.MEDIUM,
        description="password in SQL",
        advice=CHANGE,
        examples=(
            "CREATE USER ada IDENTIFIED BY '{a12}';",
            "ALTER ROLE ada WITH PASSWORD '{a12}';",
            "CREATE ROLE ada LOGIN PASSWORD {a12};",
            "ALTER USER ada IDENTIFIED WITH mysql_native_password BY '{a12}'",
        ),
        never=("ALTER ROLE ada IDENTIFIED BY '<password>'", "tumors identified by their features"),
    ),
    Rule(
        "command-secret",
        ("curlopt_password", "curlopt_xoauth2_bearer", "curlopt_userpwd", "curlopt_proxyuserpwd", "curlopt_keypasswd"),
        r"[^\s\"']{5,400}",
        lead=r"(?i:curlopt_\w{4,20})[ \t]{0,4}(?:,|=>)[ \t]{0,4}[\"'](?:[^\s\"':]{1,64}:)?",
        check=plausible.not_placeholder,
        severity=Severity.MEDIUM,
        description="password of libcurl",
        advice=CHANGE,
        examples=('curl_easy_setopt(curl, CURLOPT_USERPWD, "root:{a12}");',),
        never=(
            "curl_easy_setopt(curl, CURLOPT_USERPWD, userpwd1);",
            'curl_easy_setopt(curl, CURLOPT_PASSWORD, "<password>");',
        ),
    ),
    Rule(
        "command-secret",
        ("convertto-securestring",),
        r"[^\s\"'\\]{5,200}",
        lead=rf"{_SECURE_STRING}\\?[\"']",
        check=plausible.not_placeholder,
        severity=Severity.MEDIUM,
        description="password in PowerShell",
        advice=CHANGE,
        examples=("ConvertTo-SecureString -String '{a12}' -AsPlainText", "ConvertTo-SecureString '-{a12}'"),
        never=("ConvertTo-SecureString '$password' -AsPlainText", 'ConvertTo-SecureString "<password>" -Force'),
    ),
    Rule(
        "command-secret",
        ("convertto-securestring",),
        r"[^\s\"'\\-][^\s\"'\\]{4,199}",
        lead=_SECURE_STRING,
        check=plausible.not_placeholder,
        severity=Severity.MEDIUM,
        description="password in PowerShell",
        advice=CHANGE,
        examples=("ConvertTo-SecureString {a12} -AsPlainText", "ConvertTo-SecureString -Force -String {a12}"),
        never=(
            "ConvertTo-SecureString $password -AsPlainText",
            "ConvertTo-SecureString $env:DB_PASSWORD -Force",
            "ConvertTo-SecureString -AsPlainText -Force",
        ),
    ),
    Rule(
        "command-secret",
        ("define ", "define\t"),
        r"[^\s\"'`]{8,200}",
        lead=r"(?i:define)[ \t]{1,4}\w{0,24}(?i:password|passwd|secret|token|api_?key)\w{0,8}[ \t]{1,8}[\"']?",
        gate=r"[ \t]{0,3}\w{0,24}(?:password|passwd|secret|token|api_?key)\w{0,8}[ \t]",
        check=plausible.bare_secret,
        severity=Severity.MEDIUM,
        description="secret given to a macro",
        advice=CHANGE,
        examples=("%define token {h40}", '#define API_KEY "{a32}"'),
        never=("#define TOKEN_SIZE 4096", "#define PASSWORD_PROMPT please_enter_it"),
    ),
    _option(
        "password on a command line",
        *("mysql", "mysqldump", "mysqladmin", "mysqlimport", "mariadb", "mariadb-dump", "mariadb-admin"),
        option="-p",
        glued=True,
        example="mysql -u root -p{a12} lab",
        never=("mysql -u root -p lab", "mysql -u root -p$MYSQL_PASSWORD lab", "mysqldump -p --all-databases"),
    ),
    _option(
        "password on a command line",
        "sshpass",
        option="-p",
        glued=False,
        example="sshpass -p {a12} ssh ada@lab.example.org",
        never=("sshpass -p $SSHPASS ssh ada@lab", "sshpass -p '<password>' ssh ada@lab"),
    ),
    _option(
        "password of a registry",
        *("docker login", "podman login", "nerdctl login", "buildah login", "skopeo login", "helm registry login"),
        option="-p",
        glued=False,
        example="docker login -u ada -p {a12} registry.example.org",
        never=("docker login -u ada -p ${{ secrets.REGISTRY }}", "docker login -u ada -p $(cat token)"),
    ),
    _option(
        "password of Redis",
        "redis-cli",
        option="-a",
        glued=False,
        example="redis-cli -h cache -a {a16} ping",
        never=("redis-cli -a $REDIS_PASSWORD ping", "redis-cli -h cache -a password ping"),
    ),
    _option(
        "password of a directory",
        *("ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami", "ldappasswd"),
        option="-w",
        glued=False,
        example="ldapsearch -x -D cn=admin,dc=lab -w {a12} -b dc=lab",
        never=("ldapsearch -x -D cn=admin -w $LDAP_PASSWORD -b dc=lab", "ldapsearch -x -D cn=admin -W -b dc=lab"),
    ),
    _option(
        "password of a login",
        *("az login", "oc login", "cf login", "ibmcloud login", "heroku login", "twine upload", "rdesktop"),
        *("mongosh", "mongo", "mongodump", "mongorestore", "mongoexport", "mongoimport", "cqlsh", "rabbitmqadmin"),
        option="-p",
        glued=False,
        example="az login -u ada -p {a12} --tenant lab",
        never=(
            "docker run --name mongo -p 27017:27017 mongo:7",
            "az login -u ada -p $AZ_PASSWORD",
            "oc login -u ada -p <password>",
            "mongo mkdir -p /data/db/configuration",
        ),
        check=plausible.of_a_login,
    ),
    _option(
        "password of a login",
        *("sqlcmd", "bcp", "ipmitool", "mosquitto_pub", "mosquitto_sub", "ssh-keygen"),
        option="-P",
        glued=False,
        example="sqlcmd -S db -U sa -P {a12}",
        never=("sqlcmd -S db -U sa -P %SA_PASSWORD%", "mosquitto_pub -h lab -p 1883 -P secret", "ipmitool -P '<pw>'"),
        check=plausible.of_a_login,
    ),
    _option(
        "password of a remote desktop",
        *("xfreerdp", "xfreerdp3", "wfreerdp"),
        option="/p:",
        glued=True,
        example="xfreerdp /u:ada /p:{a12} /v:lab",
        never=("xfreerdp /u:ada /p:$RDP_PASSWORD /v:lab", "xfreerdp /u:ada /port:33890 /v:lab"),
    ),
    _option(
        "password of a Windows share",
        *("smbclient", "rpcclient", "winexe", "smbget", "smbcacls", "net rpc", "net ads"),
        option=r"(?:-U|--user)[ =]{0,4}[\"']?[^\s\"'%]{1,64}%",
        glued=True,
        example="smbclient //lab/share -U ada%{a12}",
        never=("smbclient //lab/share -U ada%$PASSWORD", "smbclient //lab/share -U %USERNAME%", "rpcclient -U ada lab"),
    ),
    _option(
        "password of a transfer",
        "lftp",
        option=r"-u[ \t]{0,4}[\"']?[^\s\"',]{1,64},",
        glued=True,
        example="lftp -u ada,{a12} sftp://lab.example.org",
        never=("lftp -u ada,$PASSWORD sftp://lab.example.org", "lftp -u ada sftp://lab.example.org"),
    ),
    _option(
        "password of a web server",
        "htpasswd",
        option=r"-\w{0,6}b\w{0,6}[ \t]{1,4}[^\s;|&<>]{1,128}[ \t]{1,4}[^\s;|&<>]{1,64}[ \t]{1,4}",
        glued=True,
        example="htpasswd -bc /etc/htpasswd ada {a12}",
        never=("htpasswd -bc /etc/htpasswd ada $PASSWORD", "htpasswd -c /etc/htpasswd ada"),
    ),
    Rule(
        "command-secret",
        ("echo ", "echo\t", "printf "),
        r"[^\s\"'`|;&<>$][^\s\"'`|;&<>]{3,199}",
        lead=r"(?i:echo|printf)[ \t]{1,4}(?:-\w{1,4}[ \t]{1,4})?[\"']?",
        tail=rf"[\"']?[ \t]{{0,4}}\|[ \t]{{0,4}}{_TAKES_PASSWORDS}",
        not_after="A-Za-z0-9_-",
        check=plausible.of_a_login,
        severity=Severity.MEDIUM,
        description="password that is handed to a command",
        advice=CHANGE,
        examples=("echo {a12} | sudo -S apt update", "echo '{a12}' | docker login -u ada --password-stdin lab"),
        never=("echo $PASSWORD | sudo -S apt update", "echo done | sudo tee log", "echo password | sudo -S ls"),
    ),
    Rule(
        "command-secret",
        ("echo ", "echo\t", "printf "),
        r"[^\s\"'`|;&<>$][^\s\"'`|;&<>]{3,199}",
        lead=r"(?i:echo|printf)[ \t]{1,4}(?:-\w{1,4}[ \t]{1,4})?[\"']?[A-Za-z_][\w.-]{0,31}:",
        tail=r"[\"']?[ \t]{0,4}\|[ \t]{0,4}(?:sudo[ \t]{1,4})?chpasswd",
        not_after="A-Za-z0-9_-",
        check=plausible.of_a_command,
        severity=Severity.MEDIUM,
        description="password of an account",
        advice=CHANGE,
        examples=('echo "ada:{a12}" | chpasswd', "echo ada:{a12} | sudo chpasswd"),
        never=('echo "ada:$PASSWORD" | chpasswd', 'echo "ada:<password>" | sudo chpasswd'),
    ),
    Rule(
        "netrc-password",
        ("machine ", "machine\t", "machine\n", "default login"),
        r"[^\s\"]{4,200}",
        lead=r"(?i:machine\s{1,8}[\w:-]{1,64}\.[\w.:-]{1,64}|default\s{1,8}login\s{1,8}\S{1,128})\s{1,16}password\s{1,8}\"?",
        gate=r"\s{0,8}\S{1,128}\s",
        not_after="A-Za-z0-9_",
        check=plausible.of_a_login,
        severity=Severity.HIGH,
        description="password of a .netrc file",
        advice=CHANGE,
        examples=("machine lab.example.org password {a12}", "default login ada password {a12}"),
        never=(
            "machine learning password reset",
            "default login name password <password>",
            "default login anonymous password user@site",
        ),
    ),
    Rule(
        "netrc-password",
        ("machine ", "machine\t", "machine\n"),
        r"[^\s\"]{4,200}",
        lead=r"(?i:machine)\s{1,8}[\w.:-]{1,64}\s{1,16}(?:(?:login|account)\s{1,8}\S{1,128}\s{1,16}){1,2}password\s{1,8}\"?",
        gate=r"\s{0,8}[\w.:-]{1,64}\s{1,16}(?:login|account)\s",
        not_after="A-Za-z0-9_",
        span=1024,
        check=plausible.not_placeholder,
        severity=Severity.HIGH,
        description="password of a .netrc file",
        advice=CHANGE,
        examples=("machine lab.example.org login ada password {a12}", "machine lab\n  login ada\n  password {a12}"),
        never=("machine learning login password reset", "machine lab.example.org login ada password <password>"),
    ),
    Rule(
        "assigned-secret",
        _SECRET_NAMES,
        r"[^\s\"'#][^\s]{5,199}",
        lead=rf"(?i:{'|'.join(_SECRET_NAMES)})[\"']?:[ \t]{{1,4}}[|>][+-]?[ \t]{{0,4}}\r?\n[ \t]{{1,24}}",
        grows=r"^\s",
        gate=r"[\"']?:[ \t]{1,4}[|>]",
        check=plausible.bare_secret,
        severity=Severity.MEDIUM,
        description="secret in a block of YAML",
        advice=CHANGE,
        examples=("db:\n  password: |\n    {a12}\n", "client_secret: >-\n  {a32}\n"),
        never=("password: |\n  {{ vault_password }}\n", "token: >\n  see the manual for how to get one\n"),
    ),
    Rule(
        "called-secret",
        _CALLED,
        r"[^\"'\n]{4,200}",
        lead=r"(?i:auth[ ]?=[ ]?\(|basicauth\(|httpdigestauth\(|httpproxyauth\()\s{0,16}"
        r"[uU]?[\"'][^\"'\n]{0,80}[\"']\s{0,4},\s{0,16}(?:password[ ]?=[ ]?)?[uU]?[\"']",
        tail=r"[\"']",
        check=plausible.in_a_call,
        severity=Severity.MEDIUM,
        description="password in a call",
        advice=CHANGE,
        examples=("requests.get(url, auth=('ada', '{a12}'))", 'HTTPBasicAuth("ada", "{a12}")'),
        never=(
            "requests.get(url, auth=('user', 'pass'))",
            "requests.get(url, auth=('user', 'password'))",
            "auth=('ada', '<password>')",
            "HTTPBasicAuth('apikey', '{api_key}')",
        ),
    ),
)
