"""Writes what the default simulators say about themselves into the data files beside this module.

The gateway reads the files, because asking the simulators costs two seconds and 150 MB of imports that only the workers
need. A test compares the files with the installed simulators. After an update of amazon-braket-default-simulator run
`python -m jupyter_qsec.adapters.devices.capture`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILES = {"braket_sv": "state-vector.json", "braket_dm": "density-matrix.json"}


def properties() -> dict[str, dict[str, Any]]:
    """The capabilities documents of the installed simulators by backend name."""
    from braket.default_simulator import DensityMatrixSimulator, StateVectorSimulator

    simulators = {"braket_sv": StateVectorSimulator(), "braket_dm": DensityMatrixSimulator()}
    return {name: json.loads(simulator.properties.json()) for name, simulator in simulators.items()}


def main() -> None:
    for name, document in properties().items():
        path = Path(__file__).with_name(FILES[name])
        path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
