"""Puts the relay's parts together. Importing this imports the scanner, which takes longer than everything else."""

from __future__ import annotations

from collections.abc import Callable

from jupyter_qsec.kernels.relay.config import RelayConfig, RelayUpdate
from jupyter_qsec.kernels.relay.hygiene import LEASES, LiveToken, Reporter
from jupyter_qsec.kernels.relay.incoming import Incoming
from jupyter_qsec.kernels.relay.outgoing import Outgoing
from jupyter_qsec.kernels.relay.sockets import Sockets
from jupyter_qsec.kernels.relay.switchboard import Switchboard
from jupyter_qsec.kernels.relay.wire import Json
from jupyter_qsec.scanning.finding import Fingerprinter
from jupyter_qsec.scanning.live import LiveSecrets, Together
from jupyter_qsec.scanning.registered import searching
from jupyter_qsec.scanning.remembering import RememberingEngine


def assemble(config: RelayConfig, sockets: Sockets, note: Callable[[Json], None]) -> Switchboard:
    """A switchboard that is ready to run; the lease token is known as a live secret from the first message on."""
    live = LiveSecrets()
    live.follow(config.issued)
    token = LiveToken(config.token_file, live)
    token.refresh(at_once=True)
    known = Together(live, *searching(config.registered).sets)
    engine = RememberingEngine(known)
    reporter = Reporter(Fingerprinter(config.fingerprint_key), note)
    incoming = Incoming(engine, config.source_policy, reporter, language=config.language)

    def follow(update: RelayUpdate) -> None:
        incoming.follow(update.source_policy)
        known.sets = (live, *searching(update.registered).sets)
        # Tokens of leases before stay known: what was printed with them may be shown again.
        live.follow(update.issued, but=(LEASES,))

    return Switchboard(config, sockets, Outgoing(engine, reporter), incoming, token, follow, note)
