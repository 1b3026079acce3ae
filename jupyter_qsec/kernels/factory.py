"""Makes this package's provisioner the one for every kernelspec of a process, also for those that name another."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

from jupyter_client.provisioning.factory import KernelProvisionerFactory

PROVISIONER = "qsec-provisioner"


class QsecProvisionerFactory(KernelProvisionerFactory):
    """Chooses the qsec provisioner always: a kernelspec is a file that a kernel can write."""

    def _get_provisioner_config(self, kernel_spec: Any) -> dict[str, Any]:
        named = kernel_spec.metadata.get("kernel_provisioner", {})
        asked = named.get("provisioner_name", PROVISIONER) if isinstance(named, dict) else PROVISIONER
        if asked not in (PROVISIONER, "local-provisioner"):
            self.log.warning(
                "Kernel '%s' asks for the provisioner '%s'; it is started on this machine by '%s' instead.",
                kernel_spec.display_name,
                asked,
                PROVISIONER,
            )
        # The configuration that a kernelspec brings is dropped with its choice, and for the same reason.
        return {"provisioner_name": PROVISIONER, "config": {}}


def install_default_provisioner(parent: Any = None) -> None:
    """Replace the process's provisioner factory. Call it before the first kernel starts; calling it again is harmless.

    `parent` is the application whose configuration and log are used.
    """
    if QsecProvisionerFactory.initialized() and type(KernelProvisionerFactory.instance()) is QsecProvisionerFactory:
        return
    # Both: an instance of the subclass alone would be taken for installed while the base class makes a plain one.
    QsecProvisionerFactory.clear_instance()
    KernelProvisionerFactory.clear_instance()
    factory = QsecProvisionerFactory.instance(parent=parent)
    factory.default_provisioner_name = PROVISIONER
    # The metadata of an installation that was moved or half updated may lack the entry point.
    entry = EntryPoint(PROVISIONER, "jupyter_qsec.kernels.provisioner:QsecProvisioner", factory.GROUP_NAME)
    factory.provisioners.setdefault(PROVISIONER, entry)
