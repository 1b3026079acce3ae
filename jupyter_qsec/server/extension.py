"""The extension app: configuration, and who starts and stops what.

Order is safety here. Linking sets the provisioner first, so that whatever fails afterwards, no kernel starts with the
server's credentials: it starts scrubbed and without a lease, or not at all.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from traitlets import Bool, CaselessStrEnum, Dict, Float, Unicode
from traitlets.config import Config

from jupyter_qsec.client.hardening import forbid_dumps
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.kernels.factory import install_default_provisioner
from jupyter_qsec.server.assembly import Defaults, ExtensionParts, assemble, guard_saves
from jupyter_qsec.server.routes import ROUTES
from jupyter_qsec.server.state import SETTING


class QsecExtension(ExtensionApp):
    """Leases instead of credentials for the kernels of this server."""

    name = "jupyter_qsec"
    load_other_extensions = True
    file_url_prefix = "/lab/tree"

    home = Unicode(
        config=True,
        help="The state directory. Default: the environment variable JUPYTER_QSEC_HOME, else 'qsec' below the Jupyter "
        "data directory.",
    )
    gateway = Bool(
        True,
        config=True,
        help="Start a gateway when none runs on the state directory. Without one, kernels get no lease.",
    )
    keystore = Unicode(
        "auto",
        config=True,
        help="Where the gateway's root secrets lie: 'keyring' (the system's), 'file' (private files below the state "
        "directory), or a store that a package brings. 'auto' keeps to what was used before, and prefers the keyring.",
    )
    tenant = Unicode(config=True, help="The tenant that new kernels work for. Default: the gateway's.")
    project = Unicode(config=True, help="The project of that tenant. Default: its first.")
    idle_minutes = Float(
        60.0, config=True, help="A session without activity is ended after so many minutes; 0 means never."
    )
    absolute_hours = Float(12.0, config=True, help="A session is ended after so many hours at last; 0 means never.")
    warn_minutes = Float(5.0, config=True, help="How long before its end a session is warned.")
    tenant_limits = Dict(
        value_trait=Dict(value_trait=Float(), key_trait=Unicode()),
        key_trait=Unicode(),
        config=True,
        help="""These three by tenant, such as {"chemistry": {"idle_minutes": 15}}; what is not named is as above.
        They also hold for terminals, which belong to `tenant`.""",
    )
    on_save = CaselessStrEnum(
        ["redact", "refuse", "warn"],
        "redact",
        config=True,
        help="What to do when a notebook with a secret in it is saved: take the secret out, refuse to save, or save "
        "and only report it.",
    )
    confinement = CaselessStrEnum(
        ["auto", "off", "required"],
        "auto",
        config=True,
        help="Keep kernels away from credential files, keyring, the gateway's state and this server's runtime files: "
        "where the system can (and say so where it cannot), never, or start no kernel without it.",
    )

    _parts: ExtensionParts | None = None

    def _link_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Protect kernels first; then read the configuration."""
        try:
            install_default_provisioner(serverapp)
            forbid_dumps()
            super()._link_jupyter_server_extension(serverapp)
            if self.home:
                # The provisioner and the command line below this server must agree with us.
                os.environ["JUPYTER_QSEC_HOME"] = str(Path(self.home).expanduser().absolute())
            if "confinement" not in serverapp.config.get("QsecProvisioner", {}):
                serverapp.update_config(Config({"QsecProvisioner": {"confinement": self.confinement}}))
        except Exception:
            serverapp.log.critical("jupyter_qsec could not be set up: kernels run without leases, or do not start")
            raise

    def initialize_settings(self) -> None:
        """Build everything and hand it to the web application; nothing here waits for the gateway."""
        serverapp = self.serverapp
        if serverapp is None or not self._linked:
            # Without its configuration the extension would run with limits that nobody chose.
            raise RuntimeError("The extension is not linked to a server.")
        try:
            self._assemble(serverapp)
        except Exception:
            serverapp.log.critical("jupyter_qsec could not be set up: kernels run without leases, or do not start")
            raise

    def _assemble(self, serverapp: ServerApp) -> None:
        defaults = Defaults(
            tenant=self.tenant,
            project=self.project,
            idle_minutes=self.idle_minutes,
            absolute_hours=self.absolute_hours,
            warn_minutes=self.warn_minutes,
            on_save=self.on_save,
            tenant_limits=self.tenant_limits,
        )
        options = ["--keystore", self.keystore]
        parts = self._parts = assemble(serverapp, QsecHome.default(), defaults, options, self.log)
        guard_saves(serverapp.contents_manager, parts, self.log)
        self.settings[SETTING] = parts.state
        serverapp.io_loop.add_callback(self._begin)

    def initialize_handlers(self) -> None:
        self.handlers.extend(ROUTES)

    async def _begin(self) -> None:
        """On the running event loop, beside the server's own start."""
        if self._parts is not None:
            await self._parts.begin(asyncio.get_running_loop(), with_gateway=self.gateway)

    async def stop_extension(self) -> None:
        """Give up all leases and end the gateway, if it is ours."""
        if self._parts is not None:
            await self._parts.end()

    def current_activity(self) -> Any:
        """Nothing of ours keeps a server alive."""
        return None


main = QsecExtension.launch_instance
