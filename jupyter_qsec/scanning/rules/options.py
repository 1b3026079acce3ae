"""Passwords behind the options of certain commands, where no word beside them tells what they are."""

from __future__ import annotations

from jupyter_qsec.scanning import plausible
from jupyter_qsec.scanning.plausible import Check
from jupyter_qsec.scanning.rules.rule import CHANGE, Rule
from jupyter_qsec.scanning.severity import Severity

_GAP = r"[ \t]{1,4}(?:\\\r?\n[ \t]{0,16})?"
"""Also with a line that goes on."""
_WORDS = rf"(?:\.exe\"?)?(?:{_GAP}(?:[^\s;|&<>\"'`]{{1,48}}|\"[^\"\n]{{1,80}}\"|'[^'\n]{{1,80}}')){{0,8}}?"
"""Of a command, before the option that matters."""
_ENDS = (" ", "\t", ".exe")
"""Of a command: other words contain many of them."""
_ARGUMENT = r"[^\s;|&<>/-][^\s;|&<>]{0,127}[ \t]{1,4}"
"""One that stands before the password."""
_SWITCH = r"[ \t]{1,4}/(?i:active|add|comment|domain|expires|fullname|times|user|y)"
"""Of `net`: what else may stand before a slash is no command of Windows."""


def _of_windows(name: str, value: str, before: str) -> bool:
    return value[0] != "/" and plausible.of_a_login(name, value, before)


def _no_assignment(name: str, value: str, before: str) -> bool:
    """Builds call steps and their properties as archives are called: `zip -P version=2`."""
    return "=" not in value and plausible.of_a_login(name, value, before)


def _no_script(name: str, value: str, before: str) -> bool:
    return not value.lower().endswith(".sql") and plausible.of_a_login(name, value, before)


def _no_address(name: str, value: str, before: str) -> bool:
    return not value.startswith("//") and plausible.of_a_login(name, value, before)


def _option(
    description: str,
    *commands: str,
    option: str,
    glued: bool,
    example: str,
    never: tuple[str, ...],
    check: Check = plausible.of_a_command,
    words: str = _WORDS,
    tail: str = "",
    not_after: str = "A-Za-z0-9_-",
) -> Rule:
    """A password behind a short option of certain commands; `glued`: only without a space between them. `words` may
    stand between command and option."""
    gap = "" if glued else r"[ \t]{0,4}"
    return Rule(
        "command-secret",
        tuple(f"{command}{end}" for command in commands for end in _ENDS),
        r"[^\s\"'`;|&<>-][^\s\"'`;|&<>]{3,199}",
        lead=rf"(?i:{'|'.join(commands)}){words}{_GAP}{option}{gap}[\"']?",
        tail=tail,
        not_after=not_after,
        span=1024,
        check=check,
        grows=r"^\s\"'`;|&<>",
        severity=Severity.MEDIUM,
        description=description,
        advice=CHANGE,
        examples=(example,),
        never=never,
    )


RULES: tuple[Rule, ...] = (
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
        *("ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami", "ldappasswd", "kadmin"),
        option="-w",
        glued=False,
        example="ldapsearch -x -D cn=admin,dc=lab -w {a12} -b dc=lab",
        never=("ldapsearch -x -D cn=admin -w $LDAP_PASSWORD -b dc=lab", "ldapsearch -x -D cn=admin -W -b dc=lab"),
    ),
    _option(
        "password of a login",
        *("az login", "oc login", "cf login", "ibmcloud login", "heroku login", "twine upload", "rdesktop", "psexec"),
        *(
            "mongosh",
            "mongo",
            "mongodump",
            "mongorestore",
            "mongoexport",
            "mongoimport",
            "cqlsh",
            "rabbitmqadmin",
            "cypher-shell",
        ),
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
    _option(
        "password of an archive",
        *("7z", "7za", "7zr", "7zz"),
        option="-p",
        glued=True,
        example="7z a -p{a12} results.7z results/",
        never=("7z x -p results.7z", "7z x -p$PASSWORD results.7z", "7z a -pPASSWORD results.7z"),
        check=plausible.of_a_login,
    ),
    _option(
        "password of an archive",
        *("rar", "unrar"),
        option="-h?p",
        glued=True,
        example="rar a -hp{a12} results.rar results/",
        never=("rar a -hp results.rar", "unrar x -p- results.rar", "rar a -hp$PASSWORD results.rar"),
        check=plausible.of_a_login,
    ),
    _option(
        "password of an archive",
        *("zip", "unzip", "zipcloak"),
        option=r"-[A-Za-z]{0,6}P[ \t]{1,4}",
        glued=True,
        example="unzip -oP {a12} results.zip",
        never=(
            *("unzip -P $PASSWORD results.zip", "zip -r -P results.zip results/", "zip -p results.zip"),
            *("./gradlew zip -PbuildNumber=1.2.3-rc4", "./gradlew zip -P build=1.2.3-rc4", "mvn zip:zip -P profile2A9"),
        ),
        check=_no_assignment,
        not_after="A-Za-z0-9_:-",
    ),
    _option(
        "passphrase of a key",
        "openssl",
        option="-k",
        glued=False,
        example="openssl enc -d -aes-256-cbc -k {a16} -in results.enc",
        never=(
            "openssl enc -k $PASSPHRASE -in a",
            "openssl enc -kfile passphrase.txt",
            "openssl s_client -k secret.pem",
        ),
        check=plausible.of_a_login,
    ),
    _option(
        "password of a Windows share",
        "net use",
        option=r"(?:[A-Za-z*]:[ \t]{1,4})?\\\\[^\s;|&<>]{1,120}[ \t]{1,4}(?:/(?i:user):\S{1,64}[ \t]{1,4})?",
        glued=True,
        example=r"net use z: \\lab\results {a12} /user:ada",
        never=(
            r"net use z: \\lab\results /user:ada",
            r"net use \\lab\results * /user:lab2\ada",
            "net use of time and space",
        ),
        check=_of_windows,
    ),
    _option(
        "password of an account of Windows",
        "net user",
        option=_ARGUMENT,
        glued=True,
        example="net user ada {a12} /add",
        never=(
            *("net user ada %PASSWORD% /add", "net user ada /delete", "net user ada /times:M-F,8am-6pm /add"),
            *(r"net user ada /homedir:\\srv01\ada$ /add", "net user /domain ada1815x", "net user growth Q3FY24"),
        ),
        check=_of_windows,
        tail=_SWITCH,
    ),
    _option(
        "password of an account of Windows",
        *("schtasks", "signtool"),
        option="/(?i:r?p)",
        glued=False,
        example='schtasks /Create /RU ada /TR "python run.py" /RP {a12}',
        never=(
            "schtasks /create /rp %PASSWORD%",
            "signtool sign /ph results.exe",
            "schtasks /create /rp * /tn measure",
        ),
        check=plausible.of_a_login,
    ),
    _option(
        "password of a message broker",
        *("rabbitmqctl add_user", "rabbitmqctl change_password"),
        option=_ARGUMENT,
        glued=True,
        example="rabbitmqctl add_user ada {a12}",
        never=("rabbitmqctl add_user ada $PASSWORD", "rabbitmqctl add_user ada administrator"),
        check=plausible.of_a_login,
    ),
    _option(
        "password of an object store",
        *("mc alias set", "mc config host add"),
        option=rf"{_ARGUMENT}{_ARGUMENT}{_ARGUMENT}",
        glued=True,
        example="mc alias set lab https://store.example.org ada {a16}",
        never=("mc alias set lab https://store.example.org ada $SECRET", "mc alias set lab https://store.example.org"),
        check=plausible.of_a_login,
    ),
    _option(
        "password of Oracle",
        *("sqlplus", "sqlldr", "expdp", "impdp"),
        option=r"[A-Za-z][\w$#]{0,63}/",
        glued=True,
        example="sqlplus -s ada/{a12}@lab",
        never=(
            *("sqlplus / as sysdba", "sqlplus ada/$PASSWORD@lab", "sqlplus -s /nolog"),
            *("sqlplus ada/results", "sqlplus scripts/r2024Q3x.sql", "impdp 19c/21c3x"),
        ),
        check=_no_script,
    ),
    _option(
        "password of a wireless network",
        "nmcli",
        option="password",
        glued=False,
        example="nmcli dev wifi connect lab password {a12}",
        never=("nmcli dev wifi connect lab password $PSK", "nmcli dev wifi connect lab password"),
        check=plausible.of_a_login,
    ),
    _option(
        "password of a wireless network",
        "wpa_passphrase",
        option=_ARGUMENT,
        glued=True,
        example="wpa_passphrase lab {a12}",
        never=("wpa_passphrase lab $PSK", "wpa_passphrase lab passphrase"),
        check=plausible.of_a_login,
    ),
    _option(
        "passphrase of SNMP",
        *("snmpwalk", "snmpget", "snmpset", "snmpbulkwalk", "snmptrap"),
        option="-[AX]",
        glued=False,
        example="snmpwalk -v3 -l authPriv -u ada -A {a12} -x AES lab",
        never=("snmpwalk -v3 -A $AUTH lab", "snmpget -v3 -X '<passphrase>' lab"),
        check=plausible.of_a_login,
    ),
    _option(
        "password of a keychain",
        *("security add-generic-password", "security add-internet-password"),
        *("security unlock-keychain", "security create-keychain", "security import"),
        option="-[wpP]",
        glued=False,
        example="security unlock-keychain -p {a12} build.keychain",
        never=("security unlock-keychain -p $PASSWORD build.keychain", "security import key.p12 -P ''"),
        check=plausible.of_a_login,
    ),
    _option(
        "password of a web site",
        *("http -a", "https -a", "xh -a", "http --auth", "https --auth", "xh --auth"),
        option=r"[\"']?[\w.@+-]{1,64}:",
        glued=True,
        example="http -a ada:{a12} https://lab.example.org",
        never=(
            *("http -a ada:$PASSWORD https://lab.example.org", "http -a user:password https://lab.example.org"),
            *("http -a ada https://lab.example.org:8443/v1/jobs", "http -a ada:$PW lab X-Trace-Id:9f8e7d6c5b4a"),
        ),
        check=_no_address,
        words="",
    ),
    _option(
        "npm token",
        *("npm config set", "npm set", "pnpm config set", "yarn config set"),
        option=r"[\"']?[^\s\"']{0,120}:_(?i:authtoken|auth|password)[ \t]{1,4}",
        glued=True,
        example="npm config set //npm.example.org/:_authToken {a32}",
        never=(
            "npm config set //npm.example.org/:_authToken $NPM_TOKEN",
            "npm config set //npm.example.org/:_authToken --location user $NPM_TOKEN",
        ),
        check=plausible.of_a_login,
        words="",
    ),
)
