"""detect-secrets' plugins, called one at a time on the few characters that a rule has already bounded.

Never `scan_line` (its eager entropy search flags nearly every notebook cell) and never a whole line of unknown length:
several of the plugins' expressions backtrack without bound on runs of spaces.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

MAX_WINDOW = 1024
"""Most characters that a plugin is ever given."""

_MODULES: Mapping[str, str] = {
    "ArtifactoryDetector": "artifactory",
    "AWSKeyDetector": "aws",
    "AzureStorageKeyDetector": "azure_storage_key",
    "BasicAuthDetector": "basic_auth",
    "CloudantDetector": "cloudant",
    "DiscordBotTokenDetector": "discord",
    "GitHubTokenDetector": "github_token",
    "IbmCloudIamDetector": "ibm_cloud_iam",
    "IbmCosHmacDetector": "ibm_cos_hmac",
    "KeywordDetector": "keyword",
    "MailchimpDetector": "mailchimp",
    "PypiTokenDetector": "pypi_token",
    "SendGridDetector": "sendgrid",
    "SoftlayerDetector": "softlayer",
    "SquareOAuthDetector": "square_oauth",
    "StripeDetector": "stripe",
    "TelegramBotTokenDetector": "telegram_token",
    "TwilioKeyDetector": "twilio",
}

Confirm = Callable[[str], bool]


def lazy_plugins() -> Mapping[str, Confirm]:
    """Every plugin by class name as a function that tells whether it finds anything in a short text.

    detect-secrets itself is imported by the first call (90 ms, most of it for an HTTP library that is never used).
    """
    return MappingProxyType({name: _confirmation(name) for name in _MODULES})


def _confirmation(name: str) -> Confirm:
    def confirm(window: str) -> bool:
        return any(_plugin(name).analyze_string(window[:MAX_WINDOW]))

    return confirm


@functools.cache
def _plugin(name: str) -> Any:
    return getattr(importlib.import_module(f"detect_secrets.plugins.{_MODULES[name]}"), name)()


def warm() -> None:
    """Import every plugin now, for instance on a thread while a process starts."""
    for name in _MODULES:
        _plugin(name)
