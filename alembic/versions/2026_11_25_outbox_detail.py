"""outbox detail

Revision: 3f6b0c8a91d2, after 7c41d09be35a.
"""

import sqlalchemy as sa
from alembic import op

revision = "3f6b0c8a91d2"
down_revision = "7c41d09be35a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox_events", sa.Column("detail", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("outbox_events", "detail")  # in place: a copy of the table would forget which numbers were used
