"""The public key that signs the audit log of this database.

Only a table is added, so that a gateway of the version before goes on while this one starts; it looks at no key. The
first gateway that starts fills it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_key",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("verifier_key", sa.Text, nullable=False),
        sa.CheckConstraint("id = 1", name="audit_key_one_row"),
    )


def downgrade() -> None:
    op.drop_table("audit_key")
