"""What learners answer, and what the tests of the tutorials look at afterwards."""

from __future__ import annotations

WRONG = {
    ("01", "opposite"): "opposite = Circuit().x(0)",
    ("02", "bounds"): "most, least = 0.94, 0.5",
    ("02", "limit"): "n_max = 7",
    ("02", "mystery-answer"): "p_found = (1 - parity(x_counts)) / 2",
    ("03", "steps"): "steps_for_half_a_dollar = 22",
    ("03", "grouping"): "ungrouped_step = step_price * 2",
    ("03", "converged"): "def converged(energies, error): return max(energies) - min(energies) <= 2 * error",
    ("04", "distinct"): "different_keys = len([entry for entry in findings if entry['kind'] == 'aws-access-key'])",
    ("04", "order"): "order = 'ABCED'",
    ("05", "at-once"): "at_once = 10",
    ("05", "room"): "room = shots_used()[1] // 100_000 + 1",
    ("05", "minutes"): "minutes_left = 4",
}
"""What people answer who missed the point."""

# What the tests look at afterwards, as expressions over the notebook's variables.
FACTS = {
    "01": {},
    "02": {
        "matrices": "[[m.real.tolist(), m.imag.tolist()] for m in matrices.values()]",
        "parities": "parities.tolist()",
        "phis": "phis.tolist()",
        "rows": "[[noise, int(n), float(found)] for noise, n, found, expected, error in rows]",
    },
    "03": {
        "history": "[[float(value) for value in row] for row in history]",
        "spent": "str(budget.spent)",
        "limit": "str(budget.limit)",
        "price": "str(step_price)",
        "exact": "float(E_exact)",
        "refusal": "refusal",
        "careless": "[task.state() for task in tasks]",
    },
    "04": {"findings": "findings"},
    "05": {
        "lease": "lease",
        "times": "times",
        "waiting": "[entry['waiting'] for entry in seen.values()]",
        "counted": "[before, reserved, after, limit]",
        "refused": "refused",
        "greedy": "[task.state() for task in greedy]",
    },
}
