"""Secrets that no word gives away: only their shape does."""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_qsec.scanning import plausible
from jupyter_qsec.scanning.plausible import Check
from jupyter_qsec.scanning.rules.rule import REVOKE
from jupyter_qsec.scanning.severity import Severity


@dataclass(frozen=True, slots=True)
class Shape:
    """A secret without a telling word. Searched over the whole text in one pass, so it begins at a word's start."""

    kind: str
    body: str
    plugin: str = ""
    check: Check = plausible.issued
    hold_after: int = 12
    """A stream holds a text back once this many characters fit; fewer are too common and say nothing."""
    not_before: str = "A-Za-z0-9_"
    severity: Severity = Severity.HIGH
    description: str = ""
    """As for rules."""
    advice: str = REVOKE
    example: str = ""
    """A text in which it is found, in the notation of the rules' examples."""
    never: tuple[str, ...] = ()
    """Texts that look alike and hold none."""


SHAPES: tuple[Shape, ...] = (
    Shape(
        "discord-bot-token",
        r"[MNO][a-zA-Z0-9_-]{23,25}\.[a-zA-Z0-9_-]{6}\.[a-zA-Z0-9_-]{27,38}",
        "DiscordBotTokenDetector",
        description="Discord bot token",
        example="M{b23}.{b6}.{b27}",
        never=("M{b23}.{b6}.{b12}", "NumericalIntegrationMixin.solver.adaptive_step_size_controller"),
    ),
    Shape(
        "telegram-bot-token",
        r"[0-9]{8,10}:[0-9A-Za-z_-]{35}",
        "TelegramBotTokenDetector",
        description="Telegram bot token",
        example="{d10}:{b35}",
        never=("{d10}:{b20}", "{d4}:{b35}"),
    ),
    Shape(
        "telegram-bot-token",
        r"(?:bot)?[0-9]{5,16}:A[0-9A-Za-z_-]{34}",
        description="Telegram bot token",
        example="bot{d9}:A{b34}",
        never=("bot{d9}:A{b20}", "robot{d9}:A{b34}"),
    ),
    Shape(
        "azure-client-secret",
        r"[a-zA-Z0-9_~.]{3}[0-9]Q~[a-zA-Z0-9_~.-]{31,34}",
        description="Microsoft Entra client secret",
        example="{a3}8Q~{a33}",
        never=("{a3}8Q~{a20}", "{a3}Q~{a33}"),
    ),
    Shape(
        "mailgun-key",
        r"[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}",
        description="Mailgun key",
        example="{h32}-{h8}-{h8}",
        never=("{h8}-{h4}-{h4}-{h4}-{h12}", "{h32}-{h8}"),
    ),
    Shape(
        "newrelic-key",
        r"(?:[0-9a-f]{36}|eu01x[0-9a-f]{31,32})NRAL",
        description="New Relic key",
        example="{h36}NRAL",
        never=("{h32}NRAL", "{h36}NRAM"),
    ),
    Shape(
        "facebook-token",
        r"[0-9]{15,16}\|[A-Za-z0-9_-]{27}",
        description="Facebook app token",
        example="{d15}|{b27}",
        never=("{d10}|{b27}", "{d15}|{b12}", "| {d16} | {b27} |"),
    ),
    Shape(
        "twilio-key",
        r"(?:SK|AC)(?:[a-z0-9]{32}|[A-F0-9]{32})",
        check=plausible.anything,
        description="Twilio API key or account",
        example="SK{h32}",
        never=("SK{h20}", "SK{h40}", "task_SK{h32}"),
    ),
    Shape(
        "mailchimp-key",
        r"[0-9a-z]{32}-us[0-9]{1,2}",
        "MailchimpDetector",
        description="Mailchimp API key",
        example="{h32}-us12",
        never=("{h32}-us", "{h32}-eu12", "{h16}-us12"),
    ),
    Shape(
        "twitter-token",
        r"A{22}[A-Za-z0-9%+/=]{80,100}",
        hold_after=24,
        not_before="A-Za-z0-9%+/=",
        check=plausible.no_zeroes,
        description="Twitter bearer token",
        example="AAAAAAAAAAAAAAAAAAAAAA{a90}",
        never=(
            "AAAAAAAAAAAAAAAAAAAAAA{a40}",
            '"bdata": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAPA/AAAAAAAAAEAAAAAAAAAIQA'
            'AAAAAAABBAAAAAAAAAFEAAAAAAAAAYQAAAAAAAABxAAAAAAAAAIEA="',
        ),
    ),
    Shape(
        "qbraid-token",
        r"[a-z0-9]{2,24}_[a-z2-7]{4,64}\.[0-9a-f]{64}",
        not_before="A-Za-z0-9_.",
        description="qBraid API key",
        example="acme_abcd2345.{h64}",
        never=("acme_abcd2345.{h40}", "acme_abcd0189.{h64}", "layer_norm.{h8}"),
    ),
)
