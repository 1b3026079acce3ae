"""The rules, a module a family: which words make a text worth a look, and what a secret beside them looks like."""

from __future__ import annotations

from jupyter_qsec.scanning.rules import (
    ai,
    assigned,
    clouds,
    code,
    commands,
    hosting,
    office,
    options,
    payments,
    pipelines,
    prose,
    quantum,
    services,
    web,
)
from jupyter_qsec.scanning.rules.rule import Rule

RULES: tuple[Rule, ...] = (
    *(*quantum.OWN, *quantum.QUANTUM, *quantum.JUPYTER),
    *(*clouds.RULES, *hosting.RULES, *code.RULES, *pipelines.RULES),
    *(*ai.RULES, *payments.RULES, *services.RULES, *office.RULES),
    *(*web.RULES, *assigned.RULES, *prose.RULES, *options.RULES, *commands.RULES),
)
"""More specific rules first: where two meet, the earlier names the kind."""

__all__ = ["RULES", "Rule"]
