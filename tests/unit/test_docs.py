"""Documents are held against the tree: each test that a promise names exists, each link leads somewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from traitlets import HasTraits

from jupyter_qsec.adapters.catalogue import parse
from jupyter_qsec.gateway.control_evidence import EVENT_KINDS
from jupyter_qsec.kernels.provisioner import QsecProvisioner
from jupyter_qsec.server.extension import QsecExtension

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def named_tests() -> list[tuple[str, str]]:
    return sorted(set(_TEST.findall((ROOT / "docs/promises.md").read_text("utf-8"))))


def promises() -> list[list[str]]:
    """The cells of each row: the promise, what keeps it, and what shows that this could fail."""
    lines = (ROOT / "docs/promises.md").read_text("utf-8").splitlines()
    return [line.strip("| ").split(" | ") for line in lines if re.match(r"\| \d+\. ", line)]


def test_the_page_of_promises_has_them_all() -> None:
    numbers = [int(promise.partition(".")[0]) for promise, *_ in promises()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 16


@pytest.mark.parametrize("cells", promises(), ids=lambda cells: cells[0][:40])
def test_a_promise_names_a_test_that_keeps_it_and_one_without_its_control(cells: list[str]) -> None:
    _, kept, without = cells
    assert _TEST.search(kept) and _TEST.search(without)


@pytest.mark.parametrize(("file", "name"), named_tests())
def test_every_test_that_a_promise_names_exists(file: str, name: str) -> None:
    assert name in functions(ROOT / file)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(document: Path) -> None:
    missing = [link for link in _LINK.findall(document.read_text("utf-8")) if not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("owner", [QsecExtension, QsecProvisioner], ids=lambda owner: owner.__name__)
def test_the_page_of_configuration_names_every_setting(owner: type[HasTraits]) -> None:
    page = (ROOT / "docs/configuration.md").read_text("utf-8")
    ours = {cls for cls in owner.__mro__ if cls.__module__.startswith("jupyter_qsec.")}
    own = [name for name, trait in owner.class_traits(config=True).items() if trait.this_class in ours]
    assert own
    assert [name for name in own if f"`{owner.__name__}.{name}`" not in page] == []


def test_the_page_of_interfaces_names_every_kind_of_event() -> None:
    page = (ROOT / "docs/interfaces.md").read_text("utf-8")
    [listed] = re.findall(r"^\| `POST /api/v1/events`.*kinds: `([^`]+)`", page, re.MULTILINE)
    assert sorted(listed.split()) == sorted(EVENT_KINDS)


def test_the_tenants_of_the_page_of_configuration_can_be_loaded() -> None:
    page = (ROOT / "docs/configuration.md").read_text("utf-8")
    examples = [each for each in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "[[tenant]]" in each]
    assert len(examples) == 3
    for example in examples:
        (tenant,) = parse(example, "configuration.md").tenants()
        assert tenant.id == "chemistry"
