"""The gateway of the version before: this package with its newest migration, and what came with it, taken out."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import jupyter_qsec
from jupyter_qsec.adapters.store.database import SCHEMA_VERSION

OLDER = "0005"
_STORE = Path("jupyter_qsec") / "adapters" / "store"
_TAKEN_OUT = {
    "tables.py": r'    Column\("claims", Text, nullable=False, server_default="{}"\),\n',
    "rows.py": r' +(?:"claims": json\.dumps|values\["claims"\] = ).*\n',
}


def older_version(folder: Path) -> Path:
    """What to put on the path of a process that is to be of that version."""
    assert SCHEMA_VERSION == "0006", "take out here what the newest migration brought"
    shutil.copytree(
        Path(jupyter_qsec.__file__).parent,
        folder / "jupyter_qsec",
        ignore=shutil.ignore_patterns("__pycache__", "labextension"),
    )
    store = folder / _STORE
    (store / "migrations" / "versions" / "v0006_lease_claims.py").unlink()
    for name, pattern in {**_TAKEN_OUT, "database.py": '"0006"'}.items():
        present = (store / name).read_text("utf-8")
        changed, count = re.subn(pattern, f'"{OLDER}"' if name == "database.py" else "", present)
        assert count == (2 if name == "rows.py" else 1), name
        (store / name).write_text(changed, "utf-8")
    return folder
