"""`python -m tests.fakes.dask_process scheduler|worker …`: Dask's own command, ended when its standard input closes, so
that it never outlives the tests, however those end."""

from __future__ import annotations

import importlib
import os
import sys
import threading


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_input, daemon=True).start()
    command = importlib.import_module(f"distributed.cli.dask_{sys.argv.pop(1)}")
    command.main()
