"""What the identity source vouched for when a lease was issued or renewed.

Only a column with a default is added, so that a gateway of the version before goes on while this one starts: the leases
that it issues have no claims, and a claim that is missing is never assumed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("leases", sa.Column("claims", sa.Text, nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("leases", "claims")
