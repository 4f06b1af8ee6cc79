"""exclusions

Revision: 7c41d09be35a, after e2632ad02058.
"""

import sqlalchemy as sa
from alembic import op

revision = "7c41d09be35a"
down_revision = "e2632ad02058"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "exclusions",
        sa.Column("organization_id", sa.String(length=36), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=True),
        sa.Column("excluded_organization_id", sa.String(length=36), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("actor_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.CheckConstraint(
            "(profile_id IS NULL) <> (excluded_organization_id IS NULL)", name=op.f("ck_exclusions_one_target")
        ),
        sa.ForeignKeyConstraint(
            ["excluded_organization_id"],
            ["organizations.id"],
            name=op.f("fk_exclusions_excluded_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_exclusions_organization_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["profile_id"], ["profiles.id"], name=op.f("fk_exclusions_profile_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exclusions")),
        sa.UniqueConstraint(
            "organization_id",
            "excluded_organization_id",
            name=op.f("uq_exclusions_organization_id_excluded_organization_id"),
        ),
        sa.UniqueConstraint("organization_id", "profile_id", name=op.f("uq_exclusions_organization_id_profile_id")),
    )
    with op.batch_alter_table("exclusions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_exclusions_organization_id"), ["organization_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_exclusions_profile_id"), ["profile_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("exclusions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_exclusions_profile_id"))
        batch_op.drop_index(batch_op.f("ix_exclusions_organization_id"))

    op.drop_table("exclusions")
