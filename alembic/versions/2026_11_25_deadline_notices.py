"""deadline notices

Revision: e7b3c51d9f04, after c2a4d6f81b39.
"""

import sqlalchemy as sa
from alembic import op

revision = "e7b3c51d9f04"
down_revision = "c2a4d6f81b39"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deadline_notices",
        sa.Column("demand_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("silent_since", sa.Date(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["demand_id"], ["demands.id"], name=op.f("fk_deadline_notices_demand_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deadline_notices")),
        sa.UniqueConstraint(
            "demand_id", "kind", "silent_since", name=op.f("uq_deadline_notices_demand_id_kind_silent_since")
        ),
    )


def downgrade() -> None:
    op.drop_table("deadline_notices")
