"""projects

Revision: a6d80c37e512, after 91f4be27d0a6.
"""

import sqlalchemy as sa
from alembic import op

revision = "a6d80c37e512"
down_revision = "91f4be27d0a6"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("contract_amount_wan", sa.Double(), nullable=True))
    op.add_column("projects", sa.Column("results", sa.Text(), nullable=True))
    op.create_table(
        "project_partners",
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=50), nullable=True),
        sa.Column("profile_id", sa.String(length=36), nullable=True),
        sa.Column("organization_id", sa.String(length=36), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_project_partners_organization_id")
        ),
        sa.ForeignKeyConstraint(
            ["profile_id"], ["profiles.id"], name=op.f("fk_project_partners_profile_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_project_partners_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_partners")),
    )
    for column in ("organization_id", "profile_id", "project_id"):
        op.create_index(op.f(f"ix_project_partners_{column}"), "project_partners", [column], unique=False)
    op.create_table(
        "project_milestones",
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("done_on", sa.Date(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_project_milestones_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_milestones")),
    )
    op.create_index(op.f("ix_project_milestones_project_id"), "project_milestones", ["project_id"], unique=False)
    op.create_index(
        op.f("ix_project_milestones_done_on_due_on"), "project_milestones", ["done_on", "due_on"], unique=False
    )


def downgrade() -> None:
    op.drop_table("project_milestones")
    op.drop_table("project_partners")
    op.drop_column("projects", "results")
    op.drop_column("projects", "contract_amount_wan")
