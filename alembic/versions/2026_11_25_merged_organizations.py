"""merged organizations

Revision: 8b90e2f6a715, after 5d1f7a20c3e4.
"""

import sqlalchemy as sa
from alembic import op

revision = "8b90e2f6a715"
down_revision = "5d1f7a20c3e4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("organizations", schema=None) as batch_op:
        batch_op.add_column(sa.Column("cluster", sa.String(length=50), nullable=True))
        batch_op.add_column(sa.Column("merged_into", sa.String(length=36), nullable=True))
        batch_op.create_foreign_key(
            batch_op.f("fk_organizations_merged_into"), "organizations", ["merged_into"], ["id"]
        )
        batch_op.create_index(batch_op.f("ix_organizations_merged_into"), ["merged_into"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("organizations", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_organizations_merged_into"))
        batch_op.drop_constraint(batch_op.f("fk_organizations_merged_into"), type_="foreignkey")
        batch_op.drop_column("merged_into")
        batch_op.drop_column("cluster")
