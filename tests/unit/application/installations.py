"""One database and one key store, and gateways' root secrets on them."""

from __future__ import annotations

from jupyter_qsec.application.leasing import Leasing
from jupyter_qsec.application.rootsecrets import RootSecrets
from jupyter_qsec.application.rotation import Rotation
from jupyter_qsec.application.tokens import CredentialForge
from jupyter_qsec.domain.principal import Principal, Role
from jupyter_qsec.domain.rootsecret import AUDIT_LOG, LEASES, RootSecret
from tests.fakes.catalogue import FakeCatalogue
from tests.fakes.clock import FakeClock
from tests.fakes.keystore import FakeKeyStore
from tests.fakes.policy import FakePolicy
from tests.fakes.store import FakeStore

ADMIN = Principal("os:ada", "ada", roles=frozenset({Role.WORKSPACE_ADMIN, Role.DEVELOPER}))


class Process(RootSecrets):
    """The root secrets of one gateway process, with what hangs on them."""

    def __init__(self, here: Installation) -> None:
        super().__init__(here.store, here.keys, here.policy, here.clock, ADMIN, answer_seconds=0.2)
        self.forge = CredentialForge(self.of(LEASES))
        self.leasing = Leasing(here.store, FakeCatalogue(), here.policy, here.clock, self.forge)
        self._rotation = Rotation(self, self.leasing, here.clock)

    async def rotate(self, because: str = "", *, at_once: bool = False, name: str = LEASES) -> RootSecret:
        return await self._rotation.rotate(ADMIN, name, because, at_once=at_once)


class Installation:
    def __init__(self, store: FakeStore | None = None) -> None:
        self.clock = FakeClock()
        self.store = store or FakeStore()
        self.keys = FakeKeyStore()
        self.keys.entries[AUDIT_LOG] = b"a" * 32  # whoever opens the store has a signer
        self.policy = FakePolicy()

    async def process(self) -> Process:
        """Another gateway process that has started."""
        process = Process(self)
        await self.store.open()
        await process.open()
        return process

    def kinds(self) -> list[tuple[str, str, object]]:
        """Of all records: kind, root secret, generation."""
        events = [event for event in self.store.events if event.kind.startswith("root-secret.")]
        return [(event.kind, event.subject, event.details["generation"]) for event in events]
