"""portal keys: bound to a source, and perhaps to organizations

Revision: 8a41d7f3c05e, after 5b1e8c04d7f2.
"""

import sqlalchemy as sa
from alembic import op

revision = "8a41d7f3c05e"
down_revision = "5b1e8c04d7f2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("api_keys") as batch_op:
        batch_op.add_column(sa.Column("source", sa.String(length=100), nullable=True))
        batch_op.add_column(sa.Column("organization_ids", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("api_keys") as batch_op:
        batch_op.drop_column("organization_ids")
        batch_op.drop_column("source")
