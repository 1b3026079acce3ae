"""What several gateway processes share: the queue, who serves it, the fair shares, the signatures that were seen.

Only tables are added, so that a gateway of the version before goes on while this one starts."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gateway_workers",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("beats", sa.BigInteger, nullable=False),
        sa.Column("capacity", sa.Integer, nullable=False),
    )
    op.create_table(
        "task_queue",
        sa.Column("task_id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        *[sa.Column(name, sa.BigInteger, nullable=False) for name in ("queued_at", "cost", "arrived")],
        sa.Column("claimed_by", sa.Text, nullable=False),
    )
    op.create_index("task_queue_turns", "task_queue", ["claimed_by", "tenant", "queued_at", "task_id"])
    op.create_table(
        "fair_flows",
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("finish", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "seen_signatures",
        sa.Column("signature", sa.LargeBinary, primary_key=True),
        sa.Column("request", sa.Text, nullable=False),
        *[sa.Column(name, sa.BigInteger, nullable=False) for name in ("signed_at", "seen_at")],
    )
    op.create_index("seen_signatures_signed", "seen_signatures", ["signed_at"])


def downgrade() -> None:
    for name in ("seen_signatures", "fair_flows", "task_queue", "gateway_workers"):
        op.drop_table(name)
