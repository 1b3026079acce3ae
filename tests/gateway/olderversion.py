"""A gateway of an older version: this package with its newest migrations, and what came with them, taken out."""

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
    # It knew its keys from the key store alone, and wrote down nowhere which there are.
    "store.py": r"(?s)await self\._writer\.commit\(operations\.AddRoot.*?\)\)(.*?)return \[rows\.root_.*?\]\n",
}
_IN_ITS_PLACE = {
    "store.py": r"self.__dict__.setdefault('_made', []).append(made)\1return list(self.__dict__.get('_made', []))\n",
    "database.py": f'"{OLDER}"',
}


def older_version(folder: Path) -> Path:
    """What to put on the path of a process that is to be of that version."""
    assert SCHEMA_VERSION == "0007", "take out here what the newest migration brought"
    shutil.copytree(
        Path(jupyter_qsec.__file__).parent,
        folder / "jupyter_qsec",
        ignore=shutil.ignore_patterns("__pycache__", "labextension"),
    )
    store = folder / _STORE
    for newer in ("v0006_lease_claims.py", "v0007_root_secrets.py"):
        (store / "migrations" / "versions" / newer).unlink()
    for name, pattern in {**_TAKEN_OUT, "database.py": f'"{SCHEMA_VERSION}"'}.items():
        present = (store / name).read_text("utf-8")
        changed, count = re.subn(pattern, _IN_ITS_PLACE.get(name, ""), present)
        assert count == (2 if name == "rows.py" else 1), name
        (store / name).write_text(changed, "utf-8")
    return folder
