"""A database that holds many ended tasks already: written in bulk, in the shape that the gateway itself leaves behind.

For each task: its row, payload and settled reservation, the counters of its day, and one audit record in a log whose
tree, running hash and head are computed with the gateway's own functions. `SqlStore.open` holds records and head
against each other, so a log that was filled wrongly would not open. Tasks of a real gateway have about three records.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pg8000.native

from benchmarks.bench_store import SCOPES
from jupyter_qsec.adapters.store import PostgresDatabase
from jupyter_qsec.adapters.store.database import migrate
from jupyter_qsec.adapters.store.tables import NODE_STEP
from jupyter_qsec.domain import merkle
from jupyter_qsec.domain.audit import CHAIN_START, chain_next
from jupyter_qsec.domain.quota import Metric
from tests.contract.postgres import PORT

_DAY = "2026-02-28"
_CHUNK = 20_000
"""Audit records of one COPY."""
_CHARGES = json.dumps([[scope, metric.value, _DAY, 1] for scope in SCOPES for metric in Metric], separators=(",", ":"))
_TAGS = json.dumps({"qsec:tenant": "sandbox", "qsec:project": "playground", "qsec:principal": "os:ada"})

_TASKS = """
INSERT INTO tasks (id, tenant, project, principal, lease_id, lane, region, account, device_arn, shots, qubits,
    action_digest, request_digest, client_token, output_bucket, output_prefix, created_at, state, queued_at, started_at,
    ended_at, attempt, failure_reason, tags, estimate_usd, cost_usd, duration_ms, result_digest, user_agent, revision)
SELECT hour || substr(chance, 1, 5) || '-' || substr(chance, 6, 4) || '-8' || substr(chance, 10, 3) || '-8'
    || substr(chance, 13, 3) || '-' || substr(chance, 16, 12),
    'sandbox', 'playground', 'os:ada', md5((number / 100)::text),
    'tutorial/sandbox/simulator',
    'us-east-1', '100000000001', 'arn:aws:braket:::device/quantum-simulator/amazon/sv1', 1, 2, repeat('a', 64),
    repeat('b', 64), gen_random_uuid()::text, 'amazon-braket-us-east-1-100000000001', 'tasks', moment, 'COMPLETED',
    moment, moment + 5000, moment + 9000, 1, '', '{tags}', '0.0375', '0.0375', 4, repeat('c', 64), 'BraketSdk', 2
FROM (
    SELECT number, moment, lpad(to_hex(moment / 3600000000 % 4096), 3, '0') AS hour, md5(random()::text) AS chance
    FROM (
        SELECT number, 1772236800000000 + number * 80000 AS moment
        FROM generate_series(1::bigint, {count}) AS number
    ) AS moments
) AS numbers
"""
_PAYLOADS = "INSERT INTO payloads SELECT id, repeat('x', 600), '{}' FROM tasks"
_COUNTER = "INSERT INTO quota_counters VALUES (:scope, :metric, :day, :count, NULL)"
_RESERVATIONS = "INSERT INTO reservations SELECT id, '{charges}', '{charges}', 1 FROM tasks"


def fill(url: str, folder: str, database: str, count: int, seconds: float) -> None:
    """Migrate the empty database and put `count` ended tasks into it; `pg8000`'s error when one statement takes longer
    than `seconds`."""
    made = PostgresDatabase(url)
    engine = made.engine()
    migrate(made, engine)
    engine.dispose()
    with pg8000.native.Connection(
        "qsec", unix_sock=f"{folder}/.s.PGSQL.{PORT}", database=database, ssl_context=False
    ) as connection:
        connection.run(f"SET statement_timeout = '{seconds:.0f}s'")
        connection.run("SET synchronous_commit = off")
        connection.run(_TASKS.format(count=count, tags=_TAGS))
        connection.run(_PAYLOADS)
        connection.run(_RESERVATIONS.format(charges=_CHARGES))
        for scope in SCOPES:
            for metric in Metric:
                connection.run(_COUNTER, scope=scope, metric=metric.value, day=_DAY, count=count)
        _fill_log(connection, count)
        connection.run("VACUUM (ANALYZE)")


def _fill_log(connection: pg8000.native.Connection, count: int) -> None:
    tree, chain = merkle.CompactTree(), CHAIN_START
    for start in range(0, count, _CHUNK):
        records, nodes = io.BytesIO(), io.BytesIO()
        for index in range(start, min(start + _CHUNK, count)):
            leaf = (
                b'{"at":"2026-02-28T00:00:00Z","kind":"task.submitted","principal":"os:ada","tenant":"sandbox","n":%d}'
                % index
            )
            hashed = merkle.leaf_hash(leaf)
            chain = chain_next(chain, hashed)
            records.write(_line(index, leaf, hashed, chain))
            for height, place, value in tree.append(hashed):
                if height % NODE_STEP == 0:
                    nodes.write(_line(height, place, value))
        for table, lines in (("audit_records", records), ("audit_nodes", nodes)):
            lines.seek(0)
            connection.run(f"COPY {table} FROM STDIN", stream=lines)
    connection.run(
        "UPDATE audit_head SET size = :size, root = :root, nodes = :nodes, chain = :chain WHERE id = 1",
        size=count,
        root=tree.root(),
        nodes=b"".join(tree.nodes),
        chain=chain,
    )


def _line(*values: int | bytes) -> bytes:
    """One row in COPY's text form."""
    return b"\t".join(_cells(values)) + b"\n"


def _cells(values: tuple[int | bytes, ...]) -> Iterator[bytes]:
    for value in values:
        yield b"%d" % value if isinstance(value, int) else b"\\\\x" + value.hex().encode()
