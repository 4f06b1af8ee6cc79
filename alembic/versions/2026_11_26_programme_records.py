"""programme records

Revision: 5e0d97c2b418, after c07e59b8f2d4.
"""

import sqlalchemy as sa
from alembic import op

revision = "5e0d97c2b418"
down_revision = "c07e59b8f2d4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "programme_records",
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("external_id", sa.String(length=100), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("organization_id", sa.String(length=36), nullable=True),
        sa.Column("profile_id", sa.String(length=36), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=True),
        sa.Column("cluster", sa.String(length=50), nullable=True),
        sa.Column("started_on", sa.Date(), nullable=False),
        sa.Column("ended_on", sa.Date(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.CheckConstraint("ended_on >= started_on", name=op.f("ck_programme_records_days")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_programme_records_organization_id")
        ),
        sa.ForeignKeyConstraint(
            ["profile_id"], ["profiles.id"], name=op.f("fk_programme_records_profile_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_programme_records")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_programme_records_source_external_id")),
    )
    for columns in (["kind", "started_on"], ["organization_id"], ["profile_id"]):
        op.create_index(op.f(f"ix_programme_records_{'_'.join(columns)}"), "programme_records", columns, unique=False)


def downgrade() -> None:
    op.drop_table("programme_records")
