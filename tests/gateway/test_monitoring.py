"""The dashboard, the alerts and the page of metrics speak of metrics that exist, with the labels that they have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gateway.livegateway import LiveGateway, run_bell
from tests.gateway.promql import used
from tests.gateway.scraping import Scrape

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/monitoring.md").read_text("utf-8")
DASHBOARD: dict[str, Any] = json.loads((ROOT / "examples/grafana/jupyter-qsec.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
_YAML = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
SCRAPING, ALERTS = (yaml.safe_load(block) for block in _YAML.findall(PAGE))
RULES: list[dict[str, Any]] = ALERTS["groups"][0]["rules"]
_VARIABLE = {"type": "prometheus", "uid": "${datasource}"}
_OF_PROMETHEUS = {"up": {"job", "instance"}}
_TARGET = {"job", "instance"}
"""Labels that Prometheus gives to what it scrapes."""


@pytest.fixture(scope="module")
def labels(shared_gateway: LiveGateway) -> dict[str, set[str]]:
    """Labels by sample name, of a gateway at which everything happened that is counted."""
    lease = shared_gateway.lease()
    run_bell(shared_gateway, lease)
    finding = {
        "found_at": "2026-03-01T12:00:00Z",
        "path": "a.ipynb",
        "place": "stream",
        "line": 2,
        "kind": "aws-access-key",
        "preview": "AKIA…",
        "fingerprint": "ab" * 16,
        "action": "redacted",
    }
    assert shared_gateway.post("/api/v1/findings", {"findings": [finding]}, lease.token).status_code == 201
    shared_gateway.get("/api/v1/status", "")
    scrape = Scrape.of(shared_gateway)
    return {name: {label for s in samples for label in s.labels} for name, samples in scrape.samples.items()}


EXPRESSIONS = [
    *[(f"{panel['title']} {target['refId']}", target["expr"]) for panel in PANELS for target in panel["targets"]],
    *[(rule["alert"], rule["expr"]) for rule in RULES],
]


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_an_expression_asks_for_what_there_is(labels: dict[str, set[str]], where: str, expression: str) -> None:
    found = used(expression)
    known = {**labels, **_OF_PROMETHEUS}
    assert set(found.metrics) <= set(known), where
    for name, matched in found.metrics.items():
        assert matched <= known[name] | _TARGET, where
    assert found.groups <= set.union(*(known[name] for name in found.metrics)) | _TARGET, where


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_an_expression_adds_up_what_adds_up_over_gateways(where: str, expression: str) -> None:
    """Counters only ever grow, so rates of them; what gateways share counts once, however many tell it."""
    for name, around in used(expression).around.items():
        if name.endswith(("_total", "_bucket", "_sum", "_count")):
            assert around and around <= {"rate", "increase"}, where
        if name.startswith("jupyter_qsec_shared_"):
            assert around == {"max"}, where


def test_panels_have_ids_places_units_and_a_data_source_that_can_be_chosen() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels if panel["type"] == "timeseries"}) == sum(
        panel["type"] == "timeseries" for panel in panels
    )
    for panel in PANELS:
        assert panel["datasource"] == _VARIABLE, panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
        assert all(target["datasource"] == _VARIABLE for target in panel["targets"])
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    assert DASHBOARD["uid"] == "jupyter-qsec"


def test_no_two_panels_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_variables_of_the_dashboard_ask_for_what_there_is(labels: dict[str, set[str]]) -> None:
    (query,) = (variable for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query")
    asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", query["definition"])
    assert asked and asked[2] in labels[asked[1]]


def test_the_page_lists_each_metric_as_it_is(shared_gateway: LiveGateway, labels: dict[str, set[str]]) -> None:
    listed = {
        name: (kind, set(re.findall(r"`(\w+)`", row_labels)))
        for name, kind, row_labels in re.findall(r"^\| `(jupyter_qsec_\w+)` \| (\w+) \|([^|]*)\|", PAGE, re.MULTILINE)
    }
    suffix = {"counter": "_total", "histogram": "_bucket", "gauge": ""}
    there = {}
    for name, (kind, text) in Scrape.of(shared_gateway).families.items():
        if name.startswith("jupyter_qsec_"):
            assert text.endswith("."), name
            full = name + ("_total" if kind == "counter" else "")
            there[full] = (kind, labels[name + suffix[kind]] - {"le"})
    assert listed == there


def test_alerts_have_names_and_say_what_is_wrong() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES) >= 8
    assert all(rule["annotations"]["summary"].endswith((".", "?")) for rule in RULES)
    assert SCRAPING["scrape_configs"][0]["job_name"] == "jupyter-qsec"
    assert f'job="{SCRAPING["scrape_configs"][0]["job_name"]}"' in RULES[0]["expr"]


@pytest.mark.parametrize(
    "expression",
    [
        "sum(rate(x_total[5m])",
        "sum(rate(x_total[5m])))",
        "rates(x_total[5m])",
        "sum by (a)",
        "1 + 1",
        "rate(x_total)",
        "sum(x_total[5m])",
        "histogram_quantile(rate(x_bucket[5m]))",
        "x{a=b}",
        'x{a="b"} ? y',
    ],
)
def test_what_is_no_expression_would_be_noticed(expression: str) -> None:
    with pytest.raises(AssertionError):
        used(expression)


def test_the_reader_of_expressions_finds_metrics_and_labels() -> None:
    found = used('sum by (le, d) (rate(x_bucket{a="1", b=~"$t"}[5m])) / max(y) and on (c) z > 0.5')
    assert found.metrics == {"x_bucket": {"a", "b"}, "y": set(), "z": set()}
    assert found.groups == {"le", "d", "c"}
    assert found.around == {"x_bucket": {"rate"}, "y": {"max"}, "z": set()}
    joined = used("(x + ignoring (a) group_left (b) y) > 1 or -max_over_time(x[$__rate_interval])")
    assert (joined.groups, joined.around) == ({"a", "b"}, {"x": {"max_over_time"}, "y": set()})
