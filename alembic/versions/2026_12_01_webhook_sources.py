"""webhooks of a portal: told of the records of one source

Revision: c50e92d86b1f, after 8a41d7f3c05e.
"""

import sqlalchemy as sa
from alembic import op

revision = "c50e92d86b1f"
down_revision = "8a41d7f3c05e"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("webhooks") as batch_op:
        batch_op.add_column(sa.Column("source", sa.String(length=100), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("webhooks") as batch_op:
        batch_op.drop_column("source")
