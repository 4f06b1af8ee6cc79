"""life of a demand

Revision: 5d1f7a20c3e4, after 4b7f2a90c1d3.
"""

import sqlalchemy as sa
from alembic import op

revision = "5d1f7a20c3e4"
down_revision = "4b7f2a90c1d3"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("demands", sa.Column("expires_on", sa.Date(), nullable=True))
    op.add_column("demands", sa.Column("wanted_partners", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("demands", sa.Column("field", sa.String(length=50), nullable=True))
    op.add_column("demand_transitions", sa.Column("reason", sa.String(length=30), nullable=True))
    op.create_table(
        "demand_contacts",
        sa.Column("demand_id", sa.String(length=36), nullable=False),
        sa.Column("person", sa.String(length=50), nullable=True),
        sa.Column("mobile", sa.String(length=50), nullable=True),
        sa.Column("email", sa.String(length=200), nullable=True),
        sa.ForeignKeyConstraint(
            ["demand_id"], ["demands.id"], name=op.f("fk_demand_contacts_demand_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("demand_id", name=op.f("pk_demand_contacts")),
    )
    op.create_table(
        "projects",
        sa.Column("demand_id", sa.String(length=36), nullable=False),
        sa.Column("contract_number", sa.String(length=100), nullable=True),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["demand_id"], ["demands.id"], name=op.f("fk_projects_demand_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("demand_id", name=op.f("uq_projects_demand_id")),
    )


def downgrade() -> None:
    op.drop_table("projects")
    op.drop_table("demand_contacts")
    op.drop_column("demand_transitions", "reason")
    op.drop_column("demands", "field")
    op.drop_column("demands", "wanted_partners")
    op.drop_column("demands", "expires_on")
