"""the place of an engagement

Revision: 3c9d51e7b0a4, after b81e5f3a9c60.
"""

import sqlalchemy as sa
from alembic import op

revision = "3c9d51e7b0a4"
down_revision = "b81e5f3a9c60"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("engagements", sa.Column("place", sa.String(length=200), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("engagements") as batch_op:
        batch_op.drop_column("place")
