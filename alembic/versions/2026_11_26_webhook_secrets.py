"""webhook secrets that follow one another, and an index by which events are pruned

Revision: c07e59b8f2d4, after a6d80c37e512.
"""

import sqlalchemy as sa
from alembic import op

revision = "c07e59b8f2d4"
down_revision = "a6d80c37e512"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("webhooks", sa.Column("old_secret", sa.String(length=100), nullable=True))
    op.add_column("webhooks", sa.Column("old_secret_until", sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_webhook_deliveries_seq"), "webhook_deliveries", ["seq"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_webhook_deliveries_seq"), "webhook_deliveries")
    op.drop_column("webhooks", "old_secret_until")
    op.drop_column("webhooks", "old_secret")
