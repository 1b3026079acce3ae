"""`python -m jupyter_qsec.gateway audit-export`: the audit log as JSON lines, for a verifier that needs no database.

It reads with the database's driver alone and checks nothing, so that it also works on a log that the gateway refuses to
open. Lines:

1. `{"kind":"jupyter-qsec-audit-export","version":1,"origin":…,"public_key":…}`; the key is that of
   `checkpoints/log.pub`, empty when there is none.
2. For each record, in the order of their indices, `{"index":…,"leaf":…,"leaf_hash":"hex","chain":"hex"}`; a leaf that
   is not UTF-8 comes as `leaf_base64`.
3. The stored head, `{"head":{"size":…,"root":"hex","chain":"hex"}}`; `{"head":null}` when there is none.

An export that ends without a head line was interrupted. Fields may be added within a version.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from jupyter_qsec.domain.errors import QsecError

EXIT_OK, EXIT_STATE = 0, 3
_MAX_KEY_BYTES = 4096


def run(home: Path, out: TextIO | None = None) -> int:
    """Write the export to `out` (standard output by default). 0 when it is complete, 3 when the state directory or the
    database cannot be read, with one line on standard error."""
    out = sys.stdout if out is None else out
    try:
        lines = _export(home)
        for line in lines:
            out.write(json.dumps(line, separators=(",", ":"), sort_keys=True) + "\n")
        out.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except (sqlite3.Error, OSError, QsecError) as error:
        with contextlib.suppress(OSError):
            out.flush()
        print(f"The audit log in {home} cannot be read: {str(error).rstrip('.')}.", file=sys.stderr)  # noqa: T201  # a command's output
        return EXIT_STATE
    return EXIT_OK


def _export(home: Path) -> Iterator[dict[str, Any]]:
    if os.environ.get("JUPYTER_QSEC_DATABASE_URL"):
        yield from _export_from_server(home)
        return
    database = home / "state.db"
    if not database.is_file():
        raise FileNotFoundError(f"there is no {database.name}")
    yield _header(home / "checkpoints" / "log.pub")
    uri = f"{database.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10)) as connection:
        connection.execute("PRAGMA query_only=1")
        connection.execute("BEGIN")  # records and head of one moment
        for row in connection.execute("SELECT idx, leaf, leaf_hash, chain FROM audit_records ORDER BY idx"):
            yield _record(*row)
        head = connection.execute("SELECT size, root, chain FROM audit_head WHERE id = 1").fetchone()
        yield _head(head)


def _export_from_server(home: Path) -> Iterator[dict[str, Any]]:
    # These take a while to load, and SQLite needs none of them.
    from jupyter_qsec.adapters.store import PostgresDatabase, stored_log
    from jupyter_qsec.gateway.databaseurl import database_url

    with stored_log(PostgresDatabase(database_url(os.environ))) as log:
        yield _header(home / "checkpoints" / "log.pub")
        for row in log.records():
            yield _record(*row)
        yield _head(log.head())


def _head(head: Any) -> dict[str, Any]:
    return {"head": None if head is None else {"size": head[0], "root": _hex(head[1]), "chain": _hex(head[2])}}


def _header(public_key: Path) -> dict[str, Any]:
    key = ""
    if public_key.is_file():
        with public_key.open("rb") as file:
            key = file.read(_MAX_KEY_BYTES).decode("ascii", "replace").strip()
    return {
        "kind": "jupyter-qsec-audit-export",
        "version": 1,
        "origin": key.partition("+")[0],
        "public_key": key,
    }


def _record(index: int, leaf: Any, leaf_hash: Any, chain: Any) -> dict[str, Any]:
    """One line; whatever types a tampered row has, the verifier gets to see it."""
    data = _bytes(leaf)
    try:
        content = {"leaf": data.decode("utf-8")}
    except UnicodeDecodeError:
        content = {"leaf_base64": base64.b64encode(data).decode()}
    return {"index": index, **content, "leaf_hash": _hex(leaf_hash), "chain": _hex(chain)}


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "backslashreplace")


def _hex(value: Any) -> str:
    return _bytes(value).hex()
