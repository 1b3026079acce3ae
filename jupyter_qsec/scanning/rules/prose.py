"""Secrets in sentences: nothing is assigned, somebody just says them."""

from __future__ import annotations

from jupyter_qsec.scanning import plausible
from jupyter_qsec.scanning.rules.rule import ASSIGN, CHANGE, Rule
from jupyter_qsec.scanning.severity import Severity

_WORDS = (
    *("password", "passwort", "passwd", "passcode", "passphrase", "pwd", "secret", "token", "api key", "access key"),
    *("secret key", "credentials", "login"),
)
_SHORT_WORDS = "pass", "pw"
_NAMED = tuple(
    f"{word} "
    for word in (
        "api key",
        "api token",
        "access key",
        "access token",
        "auth token",
        "secret key",
        "password",
        "passphrase",
    )
)
_PAIRS = "id/p", "id / p", "id pw", "id(pw", "user/p", "user / p", "login/p"
_VALUE = r"[^\s\"'`<>,]"
_SAID = (
    r"[ \t]{0,4}(?:[:=]|->|=>|[ \t](?:is|was|are|to|ist|es|est)(?:[ \t]?:)?[ \t])"
    r"[ \t]{0,4}(?:\r?\n[ \t]{0,8})?[\"'`(<\[*]{0,3}"
)
_ABOUT = r"(?:[ \t](?:for|of|to|on|in)[ \t][^\n:=\"']{1,48}?[ \t]{0,4}(?:[:=]|[ \t]is[ \t])[ \t]{0,4}[\"'`]?)"


def _said(words: tuple[str, ...], gate: str, examples: tuple[str, ...], never: tuple[str, ...] = ()) -> Rule:
    return Rule(
        "told-secret",
        words,
        rf"{_VALUE}{{5,120}}",
        lead=rf"(?i:{'|'.join(words)})(?:{_SAID}|{_ABOUT})",
        gate=gate,
        not_after="A-Za-z0-9_",
        check=plausible.told_in_words,
        grows=_VALUE[1:-1],
        severity=Severity.LOW,
        description="secret that a sentence tells",
        advice=CHANGE,
        examples=examples,
        never=never,
    )


RULES: tuple[Rule, ...] = (
    _said(
        _WORDS,
        "",
        (
            "The password is {a12}.",
            "password for the cluster: {a12}",
            "Login: ada\nPassword: {a12}",
            "Das Passwort ist Sommer20{d2}!",
        ),
        ("The password is required.", "the token is invalid", "password: see the wiki", "a secret is something hidden"),
    ),
    _said(
        _SHORT_WORDS,
        r"[ \t]{0,4}(?:[:=]|-|[ \t](?:is|was|for))",
        ("my pw is {a12}", "pw: {a12}"),
        ("pw is wrong", "PASS: test_counts_of_bell_pair_2"),
    ),
    Rule(
        "told-secret",
        _NAMED,
        r"[A-Za-z0-9_+/=.~-]{16,120}",
        lead=rf"(?i:{'|'.join(_NAMED)})[\"'`(]{{0,2}}",
        gate=r"[\"'`(]{0,2}[A-Za-z0-9_+/=.~-]{16}",
        not_after="A-Za-z0-9_",
        check=plausible.told_in_words,
        grows="A-Za-z0-9_+/=.~-",
        severity=Severity.LOW,
        description="secret that a sentence tells",
        advice=CHANGE,
        examples=("Please use the API key {a32} until Friday", "log in with password `{a20}`"),
        never=("the access token authentication_flow_of_2021", "see access key documentation/overview/keys.html"),
    ),
    Rule(
        "told-secret",
        _PAIRS,
        rf"{_VALUE}{{5,60}}",
        lead=r"(?i:id|user|login)[ \t]?[/( ][ \t]?(?i:password|passwd|pass|pwd|pw)"
        r"\)?[ \t]{0,3}[:(=]?[ \t]{0,3}(?:[\w.-]{1,16}:)?"
        r"[\w.@-]{1,40}[ \t]{0,2}(?:[/,(:|]{1,2}|[ \t])[ \t]{0,2}",
        not_after="A-Za-z0-9_",
        check=plausible.told_in_words,
        grows=_VALUE[1:-1],
        severity=Severity.LOW,
        description="secret that a sentence tells",
        advice=CHANGE,
        examples=("ID/PW: ada/{a12}", "user/password ada {a12}"),
        never=("User/Password must not be empty", "columns: id / pw_hash / created_at"),
    ),
    Rule(
        "product-key",
        tuple(
            f"{name}{end}"
            for name in ("activation key", "product key", "licence key", "license key", "serial key")
            for end in ("", "s")
        ),
        r"(?:[0-9A-Z]{5}-){3,5}[0-9A-Z]{5}",
        lead=r"(?i:(?:activation|product|licen[cs]e|serial) keys?)(?:[ \t]{0,4}[:=]|[ \t]is)?[ \t]{0,4}[\"'`]?",
        gate=r"[^\n]{0,8}[0-9A-Z]{5}-",
        not_before="A-Za-z0-9-",
        check=plausible.not_placeholder,
        severity=Severity.MEDIUM,
        description="licence key of a program",
        examples=("Activation key: {u5}-{u5}-{u5}-{u5}-{u5}",),
        never=("product key: XXXXX-XXXXX", "the product key is printed on the box"),
    ),
    Rule(
        "bundler-credentials",
        ("contribsys__com", "contribsys.com"),
        r"[0-9a-f]{8}:[0-9a-f]{8}",
        lead=rf"(?i:contribsys(?:__|\.)com)\w{{0,12}}(?:{ASSIGN}|\W{{1,8}})",
        description="Sidekiq credentials",
        examples=("BUNDLE_GEMS__CONTRIBSYS__COM={h8}:{h8}",),
        never=(
            "source 'https://gems.contribsys.com/' do",
            "BUNDLE_GEMS__CONTRIBSYS__COM=${SIDEKIQ_USER}:${SIDEKIQ_PASSWORD}",
        ),
    ),
)
