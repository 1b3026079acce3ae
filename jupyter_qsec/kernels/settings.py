"""What administrators and people may set about their kernels."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import CaselessStrEnum, Dict, List, Unicode

from jupyter_qsec.kernels.listed import Listed, listed_folders
from jupyter_qsec.kernels.policies import SourcePolicies


class KernelSettings(LocalProvisioner):
    """The configurable part of `QsecProvisioner`."""

    confinement = CaselessStrEnum(
        ["auto", "off", "required"],
        default_value="auto",
        config=True,
        help="""Hide credential files, keyrings, the gateway's state and the server's runtime files from kernels.
        'auto': as far as the system allows; the panel says 'unconfined' and why when it does not.
        'required': what cannot be confined does not start. 'off': kernels can read all of these.""",
    )
    hidden_paths = List(
        Unicode(), config=True, help="Further files and directories to hide from confined kernels; '~' is understood."
    )
    keep_environment = List(
        Unicode(),
        config=True,
        help="Environment variables that kernels get although they are named like secrets.",
    )
    kernel_transport = CaselessStrEnum(
        ["auto", "ipc", "tcp"],
        default_value="auto",
        config=True,
        help="""How the relay talks to the kernel. 'ipc': sockets in a private folder. 'tcp': loopback ports, to which
        other programs of this machine can listen. 'auto': ipc for Python kernels, tcp for others: not all know ipc.""",
    )
    source_policy = Dict(
        value_trait=Unicode(),
        key_trait=Unicode(),
        config=True,
        help="""What is done about a secret in a cell before it runs, by severity (low, medium, high, critical) or kind:
        'allow', 'warn', 'redact' (something that raises when it is used takes its place) or 'block'. What is not named
        stays as it is by default: a private key blocks, everything else warns.""",
    )
    tenant_source_policy = Dict(
        value_trait=Dict(value_trait=Unicode(), key_trait=Unicode()),
        key_trait=Unicode(),
        config=True,
        help="The same for single tenants, by their id; each changes what `source_policy` says.",
    )
    file_access = CaselessStrEnum(
        ["hidden", "listed"],
        default_value="hidden",
        config=True,
        help="""'hidden': kernels can use all files but those that are hidden from them. 'listed': they can write to
        their working directory, temporary folders and `writable_folders` alone, and read those, `readable_folders`, the
        system's programs and the packages of their environment. Needs Landlock (Linux 5.19).""",
    )
    writable_folders = List(Unicode(), config=True, help="With file_access = 'listed'; '~' is understood.")
    readable_folders = List(Unicode(), config=True, help="With file_access = 'listed'; '~' is understood.")

    @functools.cached_property
    def policies(self) -> SourcePolicies:
        """Raises `InvalidRequestError`: with a policy that nobody understands no kernel starts."""
        return SourcePolicies.of(self.source_policy, self.tenant_source_policy)

    def listed(self, cwd: str | None, program: str, environ: Mapping[str, str]) -> Listed | None:
        """What a kernel in this working directory may use, when its access is by list."""
        if self.file_access != "listed":
            return None
        return listed_folders(cwd, program, environ, self.readable_folders, self.writable_folders)
