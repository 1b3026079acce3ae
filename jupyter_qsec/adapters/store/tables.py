"""The schema, for SQLite and PostgreSQL alike.

Times are whole microseconds since 1970 in UTC: exact, sortable and the same in every database. Money is decimal text,
small structures are JSON text. The migrations build these tables; a test holds both against each other.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

leases = Table(
    "leases",
    metadata,
    Column("id", Text, primary_key=True),
    Column("principal", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("max_expires_at", BigInteger, nullable=False),
    Column("ttl", BigInteger, nullable=False),  # microseconds
    Column("label", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("parent", Text, nullable=False),
    Column("confinement", Text, nullable=False),
    Column("revoked_at", BigInteger),
    Column("revoked_because", Text, nullable=False),
    Column("token_digest", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("claims", Text, nullable=False, server_default="{}"),
    Index("leases_issued", "issued_at", "id"),
    Index("leases_tenant_issued", "tenant", "issued_at", "id"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("lease_id", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("device_arn", Text, nullable=False),
    Column("shots", BigInteger, nullable=False),
    Column("qubits", Integer, nullable=False),
    Column("action_digest", Text, nullable=False),
    Column("request_digest", Text, nullable=False),
    Column("client_token", Text),  # NULL: none was given, so nothing can be its duplicate
    Column("output_bucket", Text, nullable=False),
    Column("output_prefix", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("queued_at", BigInteger),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("attempt", Integer, nullable=False),
    Column("failure_reason", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("estimate_usd", Text, nullable=False),
    Column("cost_usd", Text),
    Column("duration_ms", BigInteger),
    Column("result_digest", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    UniqueConstraint("tenant", "client_token", name="tasks_tenant_client_token"),
    Index("tasks_created", "created_at", "id"),
    Index("tasks_tenant_created", "tenant", "created_at", "id"),
    Index("tasks_lease_created", "lease_id", "created_at", "id"),
    Index("tasks_state_created", "state", "created_at", "id"),
)

payloads = Table(
    "payloads",
    metadata,
    Column("task_id", Text, ForeignKey("tasks.id"), primary_key=True),
    Column("action", Text, nullable=False),
    Column("device_parameters", Text, nullable=False),
)

reservations = Table(
    "reservations",
    metadata,
    Column("task_id", Text, ForeignKey("tasks.id"), primary_key=True),
    Column("charges", Text, nullable=False),  # JSON: [[scope, metric, window, amount], …] as reserved
    Column("actual", Text),  # the same form, when settled
    Column("settled", Integer, nullable=False),
    CheckConstraint("settled IN (0, 1)", name="reservations_settled_once"),
)

counters = Table(
    "quota_counters",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("window", Text, primary_key=True),
    Column("used", BigInteger, nullable=False),
    Column("ceiling", BigInteger),  # the limit of the latest charge; NULL: none
    CheckConstraint("used >= 0", name="quota_counters_not_negative"),
)

findings = Table(
    "findings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("found_at", BigInteger, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("lease_id", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("cell", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("line", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("preview", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("action", Text, nullable=False),
    Index("findings_found", "found_at", "id"),
    Index("findings_tenant_found", "tenant", "found_at", "id"),
    Index("findings_lease_found", "lease_id", "found_at", "id"),
)

audit_records = Table(
    "audit_records",
    metadata,
    Column("idx", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("chain", LargeBinary, nullable=False),  # running hash, see domain.audit.chain_next
)

audit_nodes = Table(
    # Complete inner nodes of the Merkle tree whose height is a multiple of NODE_STEP; the others are computed.
    "audit_nodes",
    metadata,
    Column("height", Integer, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("nodes", LargeBinary, nullable=False),  # right edge of the tree: concatenated hashes, largest subtree first
    Column("chain", LargeBinary, nullable=False),
    Column("appended_at", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="audit_head_one_row"),
)

audit_key = Table(
    # Who signs this log's checkpoints: gateways with other root keys could not read each other's leases.
    "audit_key",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("verifier_key", Text, nullable=False),
    CheckConstraint("id = 1", name="audit_key_one_row"),
)

root_secrets = Table(
    # Every generation of every root secret; what it is lies in the key store.
    "root_secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("entry", Text, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("starts_at", BigInteger, nullable=False),
    Column("principal", Text, nullable=False),
    Column("because", Text, nullable=False),
    Column("check", Text, nullable=False),
)

write_groups = Table(
    # The number of the group that each writer committed last.
    "write_groups",
    metadata,
    Column("writer", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

tenant_pauses = Table(
    "tenant_pauses",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("principal", Text, nullable=False),
    Column("paused_at", BigInteger, nullable=False),
    Column("because", Text, nullable=False),
)

# What gateway processes on one database share. Where one process has the database for itself, these stay empty.

gateway_workers = Table(
    "gateway_workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("beats", BigInteger, nullable=False),  # counts up while the worker lives: no clocks are compared
    Column("capacity", Integer, nullable=False),
)

task_queue = Table(
    # One row for each task that has not ended.
    "task_queue",
    metadata,
    Column("task_id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("queued_at", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),  # estimated simulator time in ms
    Column("arrived", BigInteger, nullable=False),  # the virtual time then
    Column("claimed_by", Text, nullable=False),  # the worker that runs it; empty: it waits
    Index("task_queue_turns", "claimed_by", "tenant", "queued_at", "task_id"),
)

fair_flows = Table(
    # Each tenant's finish tag (domain/fairness.py), in thousandths of a ms by weight; the empty tenant is virtual time.
    "fair_flows",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("finish", BigInteger, nullable=False),
)

seen_signatures = Table(
    "seen_signatures",
    metadata,
    Column("signature", LargeBinary, primary_key=True),
    Column("request", Text, nullable=False),  # tells a repeated attempt to write this row from another request
    Column("signed_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),  # by the database's clock
    Index("seen_signatures_signed", "signed_at"),
)

NODE_STEP = 8
"""Every inner node whose height is a multiple of this is stored: one row for 255 records, 255 reads for a proof."""
