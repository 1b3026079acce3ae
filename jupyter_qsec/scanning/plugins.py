"""detect-secrets' plugins, called one at a time on the few characters that a rule has already bounded.

Never `scan_line` (its eager entropy search flags nearly every notebook cell) and never a whole line of unknown length:
several of the plugins' expressions backtrack without bound on runs of spaces.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

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


def load_plugins() -> Mapping[str, Confirm]:
    """Every plugin by class name as a function that tells whether it finds anything in a short text.

    Imports detect-secrets, which takes some 90 ms: called once, when the first scanner is built.
    """
    confirmations = {}
    for name, module in _MODULES.items():
        plugin = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)()
        confirmations[name] = _confirmation(plugin.analyze_string)
    return MappingProxyType(confirmations)


def _confirmation(analyze: Callable[[str], Iterable[str]]) -> Confirm:
    def confirm(window: str) -> bool:
        return any(analyze(window[:MAX_WINDOW]))

    return confirm


SECRET_TYPES: Mapping[str, str] = {
    "artifactory-credentials": "Artifactory Credentials",
    "aws-access-key": "AWS Access Key",
    "aws-secret-key": "AWS Access Key",
    "azure-storage-key": "Azure Storage Account access key",
    "basic-auth": "Basic Auth Credentials",
    "cloudant-credentials": "Cloudant Credentials",
    "discord-bot-token": "Discord Bot Token",
    "github-token": "GitHub Token",
    "gitlab-token": "GitLab Token",
    "ibm-cloud-key": "IBM Cloud IAM Key",
    "ibm-cos-hmac": "IBM COS HMAC Credentials",
    "jwt": "JSON Web Token",
    "assigned-secret": "Secret Keyword",
    "mailchimp-key": "Mailchimp Access Key",
    "npm-token": "NPM tokens",
    "openai-token": "OpenAI Token",
    "private-key": "Private Key",
    "pypi-token": "PyPI Token",
    "sendgrid-key": "SendGrid API Key",
    "slack-token": "Slack Token",
    "softlayer-credentials": "SoftLayer Credentials",
    "square-oauth-secret": "Square OAuth Secret",
    "stripe-key": "Stripe Access Key",
    "telegram-bot-token": "Telegram Bot Token",
    "twilio-key": "Twilio API Key",
}
"""Our kinds as detect-secrets names them in a baseline."""
