"""A kernel of another language: it prints what it is told to run, and takes as long as it is told."""

from __future__ import annotations

import time
from typing import Any

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel


class EchoKernel(Kernel):
    implementation = "echo"
    implementation_version = "1"
    language = "echo"
    language_version = "1"
    language_info = {"name": "echo", "mimetype": "text/plain", "file_extension": ".txt"}  # noqa: RUF012 - as ipykernel has it
    banner = "echo"

    def do_execute(  # type: ignore[override]  # ipykernel takes kernels that answer at once as well
        self, code: str, silent: bool, *args: Any, **options: Any
    ) -> dict[str, Any]:
        if code.startswith("sleep "):
            time.sleep(float(code.split()[1]))
        said = {"name": "stdout", "text": code}
        self.send_response(self.iopub_socket, "stream", said)  # type: ignore[no-untyped-call]  # ipykernel's
        return {"status": "ok", "execution_count": self.execution_count, "payload": [], "user_expressions": {}}


if __name__ == "__main__":
    IPKernelApp.launch_instance(kernel_class=EchoKernel)
