"""`%%qsubmit`, `%qsubmit` and `%qstatus` for notebooks: `%load_ext jupyter_qsec.magics`.

Loading registers names and imports nothing heavy; boto3 and the Braket SDK are imported at the first use.
"""

from __future__ import annotations

from typing import Any


def load_ipython_extension(ipython: Any) -> None:
    """Called by `%load_ext jupyter_qsec.magics`, or at the start of a kernel by its configuration."""
    from jupyter_qsec.magics.iopub import keep_every_message
    from jupyter_qsec.magics.magic import QsecMagics

    keep_every_message(ipython)
    ipython.register_magics(QsecMagics)


__all__ = ["load_ipython_extension"]
