"""Somebody at a browser without JavaScript: follows redirects, keeps cookies, sends the forms of the pages."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any, Protocol

import httpx

from tests.hub.conftest import PREFIX


class Hub(Protocol):
    """Where people log in."""

    url: str


class Form(HTMLParser):
    """The forms of a page: action to fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: dict[str, dict[str, str]] = {}
        self._open: dict[str, str] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = self.forms.setdefault(given.get("action", ""), {})
        elif tag == "input" and self._open is not None and "name" in given:
            self._open[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None


class Visitor:
    """One person's browser."""

    def __init__(self, hub: Hub, name: str, password: str = "x", prefix: str = PREFIX) -> None:
        """`prefix`: where the hub's proxy has the dashboard."""
        self.hub = hub
        self.prefix = prefix
        self.name = name
        self._password = password
        self.http = httpx.Client(base_url=hub.url, follow_redirects=True, timeout=30, trust_env=False)

    def log_in(self, path: str = "") -> httpx.Response:
        """Open a page of the dashboard and log in at the hub's own form, which leads back to it."""
        page = self.http.get(self.prefix + path)
        assert page.url.path == "/hub/login", (page.url, page.text[:500])
        [(action, fields)] = [item for item in Form(page.text).forms.items() if "_xsrf" in item[1]]
        filled = {**fields, "username": self.name, "password": self._password}
        return self.http.post(str(page.url.join(unescape(action))), data=filled)

    def page(self, path: str = "", **query: str) -> httpx.Response:
        return self.http.get(self.prefix + path, params=query or None)

    def press(self, page: httpx.Response, action: str, **changes: str) -> httpx.Response:
        """Send a form of a page, as a browser does."""
        return self.send(action, {**Form(page.text).forms[self.prefix + action], **changes})

    def send(self, action: str, fields: dict[str, str], **headers: str) -> httpx.Response:
        return self.http.post(self.prefix + action, data=fields, headers={"Origin": self.hub.url, **headers})

    def close(self) -> None:
        self.http.close()


def ids(page: httpx.Response, kind: str, prefix: str = PREFIX) -> set[str]:
    """The ids that links or forms of a page name."""
    return set(re.findall(rf"{prefix}{kind}/([0-9a-f-]{{8,}})", page.text))


__all__: Any = ["Form", "Visitor", "ids"]
