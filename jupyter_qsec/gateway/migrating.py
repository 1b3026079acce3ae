"""`python -m jupyter_qsec.gateway migrate`: brings the schema of the PostgreSQL database up before gateways start.

Gateways do that themselves, whichever comes first. The command is for those who want it done, and seen to be done, in a
step of its own.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from jupyter_qsec.adapters.store import PostgresDatabase, bring_up
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.gateway.databaseurl import database_url
from jupyter_qsec.gateway.exits import EXIT_OK, exit_code


def run(environ: MutableMapping[str, str]) -> int:
    """The exit code: 0 when the schema is the one of this version, 2 when no database is named or it cannot be one, 3
    when it cannot be used or is newer. One line on standard output or, for an error, on standard error."""
    return exit_code(lambda: _run(environ))


def _run(environ: MutableMapping[str, str]) -> int:
    url = database_url(environ)
    if not url:
        raise InvalidRequestError(
            "No database is named.",
            remedy="Put its URL into JUPYTER_QSEC_DATABASE_URL. A gateway on SQLite migrates its file when it starts.",
        )
    before, after = bring_up(PostgresDatabase(url))
    done = f"already has schema {after}" if before == after else f"went from schema {before or 'none'} to {after}"
    print(f"The state database {done}.")  # noqa: T201 - a command's one line for its user
    return EXIT_OK
