"""Every route of the extension asks who is there, asks whether they may, and stands in the OpenAPI document."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from jupyter_server.auth.authorizer import Authorizer
from openapi_spec_validator import validate
from tornado.httpclient import HTTPClientError

import jupyter_qsec.server
from jupyter_qsec.server.routes import ROUTES, QsecHandler

METHODS = ("get", "post", "put", "patch", "delete")
DOCUMENT = yaml.safe_load((Path(jupyter_qsec.server.__file__).parent / "rest-api.yml").read_text())


def described(pattern: str) -> str:
    """`/kernels/(?P<kernel_id>…)/lease` as OpenAPI writes it."""
    return re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", pattern)


def implemented(handler: type[QsecHandler]) -> list[str]:
    return [method for method in METHODS if method in vars(handler)]


CALLS = [(method, described(pattern)) for pattern, handler in ROUTES for method in implemented(handler)]


@pytest.fixture
def jp_server_config(qsec_config: dict[str, Any]) -> dict[str, Any]:
    qsec_config["QsecExtension"]["gateway"] = False
    return qsec_config


def url(path: str) -> list[str]:
    return path.format(kernel_id="k1", task_id="t1").strip("/").split("/")


async def refused(fetch: Any, method: str, path: str, **options: Any) -> int:
    with pytest.raises(HTTPClientError) as caught:
        await fetch(*url(path), method=method.upper(), body="{}" if method == "post" else None, **options)
    return int(caught.value.code)


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_nobody_gets_in_without_a_token(jp_fetch: Any, method: str, path: str) -> None:
    assert await refused(jp_fetch, method, path, headers={"Authorization": "", "Cookie": ""}) == 403


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_a_wrong_token_is_none(jp_fetch: Any, method: str, path: str) -> None:
    assert await refused(jp_fetch, method, path, headers={"Authorization": "token 0000"}) == 403


class Reluctant(Authorizer):
    """Lets people log in and do nothing with our resource."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        Reluctant.asked.append((action, resource))
        return resource != "qsec"


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_who_is_logged_in_still_needs_permission(
    jp_fetch: Any, jp_serverapp: Any, method: str, path: str
) -> None:
    Reluctant.asked.clear()
    jp_serverapp.web_app.settings["authorizer"] = Reluctant(parent=jp_serverapp)
    assert await refused(jp_fetch, method, path) == 403
    assert Reluctant.asked == [("write" if method == "post" else "read", "qsec")]


async def test_with_token_and_permission_the_same_call_is_answered(jp_fetch: Any) -> None:
    assert (await jp_fetch("jupyter-qsec", "findings")).code == 200


@pytest.mark.parametrize("handler", [handler for _, handler in ROUTES])
def test_every_method_carries_both_checks(handler: type[QsecHandler]) -> None:
    assert handler.auth_resource == "qsec"
    for method in implemented(handler):
        function = getattr(handler, method)
        assert function.__allow_unauthenticated is False if hasattr(function, "__allow_unauthenticated") else True
        assert hasattr(function, "__wrapped__"), f"{handler.__name__}.{method} has no decorator"


def test_the_document_is_valid_and_lists_exactly_the_routes() -> None:
    validate(DOCUMENT)
    documented = [(method, path) for path, item in DOCUMENT["paths"].items() for method in METHODS if method in item]
    assert sorted(documented) == sorted(CALLS)
