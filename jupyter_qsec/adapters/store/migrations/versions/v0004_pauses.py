"""Tenants whose queue is paused.

Only a table is added, so that a gateway of the version before goes on while this one starts; it pauses nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tenant_pauses",
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("paused_at", sa.BigInteger, nullable=False),
        sa.Column("because", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("tenant_pauses")
