"""The first schema: leases, tasks, quota, findings, audit log."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _numbers(*names: str, nullable: bool = False) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=nullable) for name in names]


def upgrade() -> None:
    _leases()
    _tasks()
    _quota()
    _findings()
    _audit()


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column("id", sa.Text, primary_key=True),
        *_text("principal", "tenant", "project"),
        *_numbers("issued_at", "expires_at", "max_expires_at", "ttl"),
        *_text("label", "holder", "parent", "confinement"),
        *_numbers("revoked_at", nullable=True),
        *_text("revoked_because", "token_digest"),
        sa.Column("revision", sa.Integer, nullable=False),
    )
    op.create_index("leases_issued", "leases", ["issued_at", "id"])
    op.create_index("leases_tenant_issued", "leases", ["tenant", "issued_at", "id"])


def _tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.Text, primary_key=True),
        *_text("tenant", "project", "principal", "lease_id", "lane", "region", "account", "device_arn"),
        *_numbers("shots"),
        sa.Column("qubits", sa.Integer, nullable=False),
        *_text("action_digest", "request_digest"),
        sa.Column("client_token", sa.Text),
        *_text("output_bucket", "output_prefix"),
        *_numbers("created_at"),
        *_text("state"),
        *_numbers("queued_at", "started_at", "ended_at", nullable=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        *_text("failure_reason", "tags", "estimate_usd"),
        sa.Column("cost_usd", sa.Text),
        *_numbers("duration_ms", nullable=True),
        *_text("result_digest", "user_agent"),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.UniqueConstraint("tenant", "client_token", name="tasks_tenant_client_token"),
    )
    op.create_index("tasks_created", "tasks", ["created_at", "id"])
    op.create_index("tasks_tenant_created", "tasks", ["tenant", "created_at", "id"])
    op.create_index("tasks_lease_created", "tasks", ["lease_id", "created_at", "id"])
    op.create_index("tasks_state_created", "tasks", ["state", "created_at", "id"])
    op.create_table(
        "payloads",
        sa.Column("task_id", sa.Text, sa.ForeignKey("tasks.id"), primary_key=True),
        *_text("action", "device_parameters"),
    )


def _quota() -> None:
    op.create_table(
        "reservations",
        sa.Column("task_id", sa.Text, sa.ForeignKey("tasks.id"), primary_key=True),
        *_text("charges"),
        sa.Column("actual", sa.Text),
        sa.Column("settled", sa.Integer, nullable=False),
        sa.CheckConstraint("settled IN (0, 1)", name="reservations_settled_once"),
    )
    op.create_table(
        "quota_counters",
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("metric", sa.Text, primary_key=True),
        sa.Column("window", sa.Text, primary_key=True),
        *_numbers("used"),
        *_numbers("ceiling", nullable=True),
        sa.CheckConstraint("used >= 0", name="quota_counters_not_negative"),
    )


def _findings() -> None:
    op.create_table(
        "findings",
        sa.Column("id", sa.Text, primary_key=True),
        *_numbers("found_at"),
        *_text("tenant", "lease_id", "path", "cell", "place"),
        sa.Column("line", sa.Integer, nullable=False),
        *_text("kind", "preview", "fingerprint", "action"),
    )
    op.create_index("findings_found", "findings", ["found_at", "id"])
    op.create_index("findings_tenant_found", "findings", ["tenant", "found_at", "id"])
    op.create_index("findings_lease_found", "findings", ["lease_id", "found_at", "id"])


def _audit() -> None:
    index = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    blobs = ("leaf", "leaf_hash", "chain")
    op.create_table(
        "audit_records",
        sa.Column("idx", index, primary_key=True, autoincrement=False),
        *[sa.Column(name, sa.LargeBinary, nullable=False) for name in blobs],
    )
    op.create_table(
        "audit_nodes",
        sa.Column("height", sa.Integer, primary_key=True),
        sa.Column("idx", sa.BigInteger, primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, primary_key=True),
        *_numbers("size"),
        *[sa.Column(name, sa.LargeBinary, nullable=False) for name in ("root", "nodes", "chain")],
        *_numbers("appended_at"),
        sa.CheckConstraint("id = 1", name="audit_head_one_row"),
    )
    empty_root = hashlib.sha256().digest()
    start = {"id": 1, "size": 0, "root": empty_root, "nodes": b"", "chain": bytes(32), "appended_at": 0}
    op.bulk_insert(head, [start])


def downgrade() -> None:
    """Back to an empty database; what refers to another table goes before it."""
    for name in (
        "audit_head",
        "audit_nodes",
        "audit_records",
        "findings",
        "quota_counters",
        "reservations",
        "payloads",
        "tasks",
        "leases",
    ):
        op.drop_table(name)
