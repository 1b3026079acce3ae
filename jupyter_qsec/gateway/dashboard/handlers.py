"""Requests of browsers: who is logged in, what is refused before anything is done, and the pages' frame."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jinja2
from tornado.web import HTTPError

from jupyter_qsec.application.ports import Identities, Identity
from jupyter_qsec.domain.errors import DeniedError, InvalidRequestError, QsecError, UnauthenticatedError
from jupyter_qsec.gateway.connections import AttendedHandler
from jupyter_qsec.gateway.control import STATUS
from jupyter_qsec.gateway.dashboard.login import HubLogin, Site
from jupyter_qsec.gateway.dashboard.sealing import LOGIN_LIFE, SESSION_LIFE, Seals, Session
from jupyter_qsec.gateway.dashboard.visit import Visit

if TYPE_CHECKING:
    from jupyter_qsec.bootstrap import Gateway

_log = logging.getLogger(__name__)

_STATIC = Path(__file__).with_name("static")
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_SESSION, _LOGIN = "qsec-session", "qsec-login"
_MAX_FORM = 16 << 10
_MAX_TARGET = 1000
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@dataclass(frozen=True, slots=True)
class Dashboard:
    """What all pages share."""

    gateway: Gateway
    identities: Identities
    site: Site
    login: HubLogin
    seals: Seals
    templates: jinja2.Environment


@dataclass(frozen=True, slots=True)
class Page:
    """A template and what it shows."""

    template: str
    context: Mapping[str, Any]


View = Callable[[Visit], Awaitable[Page]]
Deed = Callable[[Visit], Awaitable[str]]
"""Does something and returns the path of the page, below the prefix, that shows it."""


class DashboardHandler(AttendedHandler):
    """The frame of all answers."""

    SUPPORTED_METHODS = ("GET", "POST")

    def initialize(self, dashboard: Dashboard, operation: str = "unknown", **rest: Any) -> None:
        self.dashboard = dashboard
        self.exchange.door, self.exchange.operation = "dashboard", operation
        self._visit: Visit | None = None
        self._session: Session | None = None
        self._set_up(**rest)

    def _set_up(self, **rest: Any) -> None:
        """What a kind of handler needs besides."""

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("X-Content-Type-Options", "nosniff")
        # With no-referrer, browsers say "Origin: null" when a form is sent, and the origin could not be checked.
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cross-Origin-Opener-Policy", "same-origin")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Request-Id", self.exchange.id)

    def check_xsrf_cookie(self) -> None:
        """Forms carry a token of their own, bound to the session; see `DeedHandler`."""

    def compute_etag(self) -> str | None:
        return None

    # -- cookies
    def _keep(self, name: str, sealed: str, seconds: float) -> None:
        self.set_cookie(
            name,
            sealed,
            path=self.dashboard.site.prefix,
            max_age=int(seconds),
            httponly=True,
            secure=self._https,
            samesite="Lax",
        )

    def _drop(self, name: str) -> None:
        self.clear_cookie(name, path=self.dashboard.site.prefix)

    @property
    def _https(self) -> bool:
        """Whether the browser came over TLS, as the outermost proxy says."""
        forwarded = self.request.headers.get("X-Forwarded-Proto", self.request.protocol or "http")
        return bool(forwarded.partition(",")[0].strip().lower() == "https")

    # -- who
    async def _identify(self) -> Identity:
        """Who is logged in. `UnauthenticatedError` for nobody, `DeniedError`, `UnavailableError`."""
        now = self.dashboard.gateway.clock.now()
        session = self.dashboard.seals.open_session(self.get_cookie(_SESSION, "") or "", now)
        if session is None:
            raise UnauthenticatedError("You are not logged in.", remedy="Log in at the hub.")
        identity = await self.dashboard.identities.identify(session.token)
        self._session = session
        self.exchange.principal = identity.principal.id
        self._visit = Visit(
            self.dashboard.gateway,
            identity,
            self.request.remote_ip or "",
            {},
            {},
        )
        return identity

    def _send_to_login(self) -> None:
        asked = self.request.uri or ""
        target = asked if len(asked) <= _MAX_TARGET else self.dashboard.site.prefix
        login, sealed = self.dashboard.seals.login(target, self.dashboard.gateway.clock.now())
        self._drop(_SESSION)
        self._keep(_LOGIN, sealed, LOGIN_LIFE.total_seconds())
        self.redirect(self.dashboard.login.address(login), status=HTTPStatus.FOUND)

    # -- answers
    def _render(self, page: Page, status: int = 200) -> None:
        site, visit, session = self.dashboard.site, self._visit, self._session
        self.set_status(status)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(
            self.dashboard.templates.get_template(page.template).render(
                prefix=site.prefix,
                hub=site.hub,
                visit=visit,
                form_token=self.dashboard.seals.form_token(session) if session else "",
                now=self.dashboard.gateway.clock.now(),
                **page.context,
            )
        )

    def _problem(self, error: QsecError) -> None:
        self.exchange.code = error.code
        status = STATUS.get(error.code, 500)
        title = {404: "Not found", 403: "Not allowed", 401: "Not logged in", 503: "Not available now"}.get(
            status, "That did not work"
        )
        reasons = error.reasons if isinstance(error, DeniedError) else ()
        context = {"title": title, "error": error, "reasons": reasons, "section": ""}
        self._render(Page("problem.html", context), status)

    def _broken(self) -> None:
        _log.exception("%s failed", self.exchange.operation)
        self._problem(QsecError("The request failed here.", remedy="The gateway's log says why."))

    async def _rejected(self, error: QsecError) -> None:
        """On record under what was asked for and why it was refused: what is the same is counted, not repeated."""
        await self.dashboard.gateway.recorder.rejected(
            f"dashboard {self.exchange.operation}",
            self.request.remote_ip or "",
            error.reasons[0] if isinstance(error, DeniedError) and error.reasons else error.code,
            error.message,
            principal=self.exchange.principal,
            subject=self.exchange.operation,
            request_id=self.exchange.id,
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """What tornado itself refuses: another method, a malformed request."""
        failure = InvalidRequestError if status_code < HTTPStatus.INTERNAL_SERVER_ERROR else QsecError
        self._problem(failure("This request makes no sense here."))
        self.set_status(status_code)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Tornado would log the request with its query."""
        if not isinstance(value, HTTPError):
            _log.error("%s failed", self.exchange.operation, exc_info=(typ, value, tb))


class PageHandler(DashboardHandler):
    """Shows a page; who is not logged in is sent to the hub first."""

    def _set_up(self, **rest: Any) -> None:
        self._view: View = rest["view"]

    async def get(self, **path: str) -> None:
        try:
            self._require_navigation()
            try:
                await self._identify()
            except UnauthenticatedError:
                self._send_to_login()
                return
            assert self._visit is not None  # noqa: S101  # `_identify` raises or sets it
            self._visit.path, self._visit.arguments = path, self.request.query_arguments
            self._render(await self._view(self._visit))
        except QsecError as error:
            self._problem(error)
        except Exception:  # noqa: BLE001  # a defect must answer as a refusal, and its text must not reach the browser
            self._broken()

    def _require_navigation(self) -> None:
        """Pages are for tabs: a script or frame of another page on the hub's host gets none."""
        mode, place = (self.request.headers.get(f"Sec-Fetch-{name}") for name in ("Mode", "Dest"))
        if mode not in (None, "navigate") or place not in (None, "document"):
            raise DeniedError("This page opens in a tab of its own only.", reasons=("no-navigation",))


class DeedHandler(DashboardHandler):
    """Does what a button says: only for a form of this dashboard, sent by the session that it was made for."""

    def _set_up(self, **rest: Any) -> None:
        self._deed: Deed = rest["deed"]

    async def post(self, **path: str) -> None:
        try:
            self._require_own_page()
            identity = await self._identify()
            self._require_form_token()
            if not identity.may_write:
                raise DeniedError("Your login may only read.", reasons=("hub-scope",))
            assert self._visit is not None  # noqa: S101  # `_identify` raises or sets it
            self._visit.path, self._visit.arguments = path, self.request.body_arguments
            self.redirect(self.dashboard.site.prefix + await self._deed(self._visit), status=HTTPStatus.SEE_OTHER)
        except QsecError as error:
            if isinstance(error, DeniedError | UnauthenticatedError):
                await self._rejected(error)
            self._problem(error)
        except Exception:  # noqa: BLE001  # as above
            self._broken()

    def _require_own_page(self) -> None:
        origin = urlsplit(self.request.headers.get("Origin", "")).netloc
        site = self.request.headers.get("Sec-Fetch-Site", "same-origin")
        if not origin or origin.lower() != self.request.host.lower() or site != "same-origin":
            raise DeniedError("The form was sent from another site.", reasons=("foreign-origin",))
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded" or len(self.request.body) > _MAX_FORM:
            raise InvalidRequestError("This is not a form of the dashboard.")

    def _require_form_token(self) -> None:
        given = self.request.body_arguments.get("form_token", [b""])[-1].decode("utf-8", "replace")
        if self._session is None or not self.dashboard.seals.form_holds(self._session, given):
            raise DeniedError(
                "The form is from another session.",
                reasons=("form-token",),
                remedy="Load the page again and repeat it.",
            )


class CallbackHandler(DashboardHandler):
    """Where the hub sends browsers back to."""

    async def get(self) -> None:
        seals, now = self.dashboard.seals, self.dashboard.gateway.clock.now()
        try:
            login = seals.open_login(self.get_cookie(_LOGIN, "") or "", self._argument("state"), now)
            self._drop(_LOGIN)
            if login is None:
                raise UnauthenticatedError("This login did not begin in this browser, or too long ago.")
            if not (code := self._argument("code")):
                raise UnauthenticatedError(
                    "The hub did not let you in here.", remedy="Ask an administrator of the hub."
                )
            token = await self.dashboard.login.token(code, login)
            await self.dashboard.identities.identify(token)
        except QsecError as error:
            if not isinstance(error, DeniedError):
                await self._rejected(error)
            self._problem(error)
            return
        except Exception:  # noqa: BLE001  # as above
            self._broken()
            return
        self._keep(_SESSION, seals.session(token, now), SESSION_LIFE.total_seconds())
        self.redirect(login.target, status=HTTPStatus.SEE_OTHER)

    def _argument(self, name: str) -> str:
        return self.request.query_arguments.get(name, [b""])[-1].decode("utf-8", "replace")[:500]


class StaticHandler(DashboardHandler):
    """The style sheet and the script: the same for everybody."""

    async def get(self, name: str) -> None:
        path = _STATIC / name
        self.set_header("Content-Type", _TYPES[path.suffix])
        self.set_header("Cache-Control", "public, max-age=600")
        self.finish(path.read_bytes())


class NothingHandler(DashboardHandler):
    async def get(self, **_: str) -> None:
        self.exchange.code = "not-found"
        self._render(
            Page(
                "problem.html",
                {"title": "Not found", "error": QsecError("There is no such page."), "reasons": (), "section": ""},
            ),
            404,
        )

    post = get
