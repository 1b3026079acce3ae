"""Reads `/metrics` as Prometheus does: parsed by prometheus_client's own parser."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.gateway.livegateway import ControlAccess


@dataclass(frozen=True)
class Scrape:
    """One scrape. Names are given without the prefix `jupyter_qsec_`."""

    text: str
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    """By sample name, such as `…_total` and `…_bucket`."""
    families: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Type and help by family name."""

    @classmethod
    def of(cls, gateway: ControlAccess, token: str | None = None) -> Scrape:
        answer = gateway.get("/metrics", token)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        scrape = cls(answer.text)
        for family in text_string_to_metric_families(answer.text):
            scrape.families[family.name] = (family.type, family.documentation)
            for sample in family.samples:
                scrape.samples.setdefault(sample.name, []).append(sample)
        return scrape

    def value(self, name: str, **labels: str) -> float:
        """The sum over all series with these labels; `AssertionError` when the metric is not there."""
        found = self.samples.get(f"jupyter_qsec_{name}") or self.samples.get(name)
        assert found, f"there is no metric {name}"
        return sum(sample.value for sample in found if labels.items() <= sample.labels.items())

    def has(self, name: str) -> bool:
        return f"jupyter_qsec_{name}" in self.samples

    @property
    def series(self) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        return {
            (sample.name, tuple(sorted(sample.labels.items())))
            for samples in self.samples.values()
            for sample in samples
        }
