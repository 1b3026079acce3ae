"""Values of labels. Each has few: a client can choose among them, never add one."""

from __future__ import annotations

from collections.abc import Iterable

from jupyter_qsec.application.ports import Catalogue
from jupyter_qsec.scanning.kinds import KINDS

OTHER = "other"
_ACTIONS = frozenset({"redacted", "blocked", "warned", "refused"})


class Tenants:
    """Names tenants as the catalogue has them; those that left it are one."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def __call__(self, tenant_id: str) -> str:
        return tenant_id if self.knows(tenant_id) else OTHER

    def knows(self, tenant_id: str) -> bool:
        return self._catalogue.tenant(tenant_id) is not None

    def all_of(self, *found: Iterable[str]) -> list[str]:
        """The catalogue's tenants, and `other` when one was found that is none of them."""
        names = [tenant.id for tenant in self._catalogue.tenants()]
        strangers = any(self(tenant_id) == OTHER for group in found for tenant_id in group)
        return [*names, OTHER] if strangers and OTHER not in names else names


def finding_kind(kind: str) -> str:
    """Reports come from kernels: a kind that no scanner of ours finds is `other`."""
    return kind if kind in KINDS else OTHER


def finding_action(action: str) -> str:
    return action if action in _ACTIONS else OTHER


def status_class(status: int) -> str:
    return f"{status // 100}xx" if 100 <= status < 600 else OTHER
