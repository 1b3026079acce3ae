"""Which root secrets there are, since when, and from when on each is used.

Only a table is added, so that a gateway of the version before goes on while this one starts; the first gateway that
starts writes down the keys that it finds. Gateways of the version before know of no replacement and go on with the
first key: replace keys when all are of one version."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "root_secrets",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("generation", sa.Integer, primary_key=True),
        sa.Column("entry", sa.Text, nullable=False, unique=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("starts_at", sa.BigInteger, nullable=False),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("because", sa.Text, nullable=False),
        sa.Column("check", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("root_secrets")
