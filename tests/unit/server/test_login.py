"""Whether a login still counts, with the hub's answers given; a real hub is asked in `tests/hub`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tornado.web import HTTPError

from jupyter_qsec.domain.errors import UnavailableError
from jupyter_qsec.server.login import LoginRequiredError, require_login


class Hub:
    """As much of JupyterHub's `HubOAuth` as is asked."""

    hub_host = "https://hub.example.org"
    hub_prefix = "/hub/"

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def get_token(self, handler: Any) -> str | None:
        return "the-token"

    def get_session_id(self, handler: Any) -> str:
        return ""

    async def user_for_token(self, token: str, *, use_cache: bool, session_id: str, sync: bool) -> Any:
        assert not use_cache and not sync
        self.asked.append(token)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def handler(hub: Hub | None) -> Any:
    provider = SimpleNamespace() if hub is None else SimpleNamespace(hub_auth=hub)
    return SimpleNamespace(identity_provider=provider)


async def test_a_login_that_the_hub_knows_counts() -> None:
    hub = Hub({"name": "ada"})
    await require_login(handler(hub))
    assert hub.asked == ["the-token"]


async def test_one_that_it_does_not_know_has_to_be_renewed_at_its_page() -> None:
    with pytest.raises(LoginRequiredError) as caught:
        await require_login(handler(Hub(None)))
    assert caught.value.login_url == "https://hub.example.org/hub/login?next=/hub/home"


async def test_a_hub_that_does_not_answer_lets_nobody_go_on() -> None:
    with pytest.raises(UnavailableError):
        await require_login(handler(Hub(HTTPError(500))))


async def test_without_a_hub_nothing_is_asked() -> None:
    await require_login(handler(None))
