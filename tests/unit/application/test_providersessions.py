"""Sessions under the tenants' roles: who may have them tried, and that none is had without a record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest

from jupyter_qsec.application.providersessions import ProviderSessions
from jupyter_qsec.domain.access import Action
from jupyter_qsec.domain.errors import DeniedError, InvalidRequestError, RecordingError, UnavailableError
from jupyter_qsec.domain.provider import (
    CredentialSource,
    ProviderAccess,
    ProviderRole,
    ProviderSession,
    StaticCredential,
)
from tests.fakes.catalogue import FakeCatalogue
from tests.unit.application.installations import ADMIN, Installation, Process

KEY = StaticCredential("AKIAQSECEXAMPLEROOT1", "r" * 40)
ROLE = ProviderRole("alpha", "arn:aws:iam::123456789012:role/qsec-alpha")


class FakeRoles:
    """Implements the `ProviderRoles` port; `asked` has what roles were taken with."""

    def __init__(self, here: Installation) -> None:
        self.asked: list[tuple[str, StaticCredential | None]] = []
        self.problem: Exception | None = None
        self._here = here

    async def assume(
        self, role: ProviderRole, session: str, tags: Mapping[str, str], root: StaticCredential | None
    ) -> ProviderSession:
        self.asked.append((role.arn, root))
        if self.problem is not None:
            raise self.problem
        expires_at = self._here.clock.now() + timedelta(hours=1)
        return ProviderSession(f"{role.arn}/{session}", expires_at, "ASIA", "secret", "token")


class Provided:
    """A process with roles at the provider."""

    def __init__(self, here: Installation, process: Process, access: ProviderAccess | None) -> None:
        self.here, self.roles = here, FakeRoles(here)
        self.sessions = ProviderSessions(access, self.roles, process, here.store, FakeCatalogue(), here.clock)

    @classmethod
    async def with_role(cls, source: CredentialSource = CredentialSource.STORED) -> Provided:
        here = Installation()
        return cls(here, await here.process(), ProviderAccess(source, "eu-west-2", roles=(ROLE,)))


async def test_a_key_of_another_process_is_used_at_once() -> None:
    provided = await Provided.with_role()
    other = Provided(provided.here, await provided.here.process(), provided.sessions._access)
    await other.sessions.store_credential(ADMIN, KEY, "first")
    (check,) = await provided.sessions.check(ADMIN)
    assert check.problem == "" and provided.roles.asked == [(ROLE.arn, KEY)]


async def test_what_is_found_where_it_runs_needs_no_key() -> None:
    provided = await Provided.with_role(CredentialSource.AMBIENT)
    await provided.sessions.check(ADMIN)
    assert provided.roles.asked == [(ROLE.arn, None)]
    with pytest.raises(InvalidRequestError):
        await provided.sessions.store_credential(ADMIN, KEY, "first")


async def test_without_a_record_nobody_gets_a_session() -> None:
    provided = await Provided.with_role(CredentialSource.AMBIENT)
    provided.here.store.fail_with = RecordingError("The disk is full.")
    tenant = FakeCatalogue().tenant("alpha")
    assert tenant is not None
    with pytest.raises(RecordingError):
        await provided.sessions.open(tenant, ADMIN)


async def test_a_refusal_is_on_record_and_no_secret_is() -> None:
    provided = await Provided.with_role()
    await provided.sessions.store_credential(ADMIN, KEY, "first")
    await provided.sessions.check(ADMIN)
    provided.roles.problem = UnavailableError("AWS cannot be asked for the role (ConnectTimeoutError).")
    (check,) = await provided.sessions.check(ADMIN)
    assert check.session is None and "ConnectTimeoutError" in check.problem
    kinds = [event.kind for event in provided.here.store.events if event.kind.startswith("provider-session")]
    assert kinds == ["provider-session.opened", "provider-session.refused"]
    told = repr([provided.here.store.events, await provided.sessions.check(ADMIN), KEY])
    assert KEY.secret_access_key not in told and "token" not in told


async def test_only_those_who_may_replace_keys_have_roles_tried_or_give_keys() -> None:
    provided = await Provided.with_role()
    provided.here.policy.denied = {Action.KEY_ROTATE}
    before = dict(provided.here.keys.entries)
    with pytest.raises(DeniedError):
        await provided.sessions.check(ADMIN)
    with pytest.raises(DeniedError):
        await provided.sessions.store_credential(ADMIN, KEY, "first")
    assert provided.here.keys.entries == before and not provided.roles.asked


async def test_without_roles_it_says_where_to_name_them() -> None:
    here = Installation()
    provided = Provided(here, await here.process(), None)
    with pytest.raises(InvalidRequestError) as caught:
        await provided.sessions.check(ADMIN)
    assert "aws_role" in caught.value.remedy and provided.sessions.source == ""
