"""`python readonlyroot.py FOLDER… -- COMMAND…`: run a command that can write below these folders only, as in a
container whose root file system is read-only. Linux with Landlock."""

from __future__ import annotations

import os
import sys

from jupyter_qsec.kernels.confine import landlock, syscalls


def main(arguments: list[str]) -> None:
    split = arguments.index("--")
    syscalls.no_new_privileges()
    ruleset = syscalls.landlock_ruleset(landlock._WRITES, 0)
    for folder in (*arguments[:split], "/dev"):
        landlock._allow(ruleset, folder, landlock._WRITES)
    syscalls.landlock_restrict(ruleset)
    os.close(ruleset)
    command = arguments[split + 1 :]
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
