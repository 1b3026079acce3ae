"""How a gateway command ends: exit codes are those of `docs/interfaces.md`, errors are one line on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable

from jupyter_qsec.domain.errors import QsecError, RecordingError, StateDirectoryError, UnavailableError

EXIT_OK, EXIT_USE, EXIT_STATE, EXIT_PORT, EXIT_KEYS, EXIT_MISSING = 0, 2, 3, 4, 5, 6


class PortTakenError(QsecError):
    """Another program listens on the port."""

    code = "port-taken"


def exit_code(work: Callable[[], int]) -> int:
    """The code that `work` returns, or the one for the error that it raises, which is told."""
    try:
        return work()
    except PortTakenError as error:
        return _fail(EXIT_PORT, error)
    except StateDirectoryError as error:
        return _fail(EXIT_KEYS if error.code == "key-store" else EXIT_STATE, error)
    except (RecordingError, UnavailableError) as error:
        return _fail(EXIT_STATE, error)
    except QsecError as error:
        return _fail(EXIT_USE, error)
    except OSError as error:
        return _fail(EXIT_STATE, StateDirectoryError(f"The gateway cannot use its state directory: {error.strerror}."))


def _fail(code: int, error: QsecError) -> int:
    print(" ".join(str(error).split()), file=sys.stderr)  # noqa: T201 - a command's one line for its user
    return code
