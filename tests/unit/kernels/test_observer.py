"""What a kernel's report says of its confinement."""

from __future__ import annotations

from typing import Literal

from jupyter_qsec.domain.lease import MAX_TEXT
from jupyter_qsec.kernels.observer import KernelReport


def report(state: Literal["confined", "unconfined"], *reasons: str) -> KernelReport:
    return KernelReport("k1", "python3", "a.ipynb", None, "", state, reasons)


def test_confinement_as_a_lease_records_it() -> None:
    assert report("confined").confinement == "confined"
    assert report("unconfined", "no Landlock", "no token").confinement == "unconfined: no Landlock; no token"


def test_many_reasons_are_cut_to_what_a_lease_takes() -> None:
    """A renewal that told more would be refused, and the lease would end in the middle of the work."""
    many = report("unconfined", *(f"/home/ada/.secret-{number} can be read" for number in range(40)))
    assert len(many.confinement) == MAX_TEXT
    assert many.confinement.startswith("unconfined: /home/ada/.secret-0 ")
