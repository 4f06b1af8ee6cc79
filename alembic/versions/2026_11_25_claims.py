"""claims

Revision: 91f4be27d0a6, after 377f9c740d84.
"""

import sqlalchemy as sa
from alembic import op

revision = "91f4be27d0a6"
down_revision = "377f9c740d84"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "claims",
        sa.Column("demand_id", sa.String(length=36), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=True),
        sa.Column("organization_id", sa.String(length=36), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("offer", sa.Text(), nullable=False),
        sa.Column("price_wan", sa.Double(), nullable=True),
        sa.Column("attachments", sa.JSON(), nullable=False),
        sa.Column("opinion", sa.Text(), nullable=True),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.CheckConstraint("profile_id IS NULL OR organization_id IS NULL", name=op.f("ck_claims_one_claimant")),
        sa.ForeignKeyConstraint(["demand_id"], ["demands.id"], name=op.f("fk_claims_demand_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=op.f("fk_claims_organization_id")),
        sa.ForeignKeyConstraint(
            ["profile_id"], ["profiles.id"], name=op.f("fk_claims_profile_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claims")),
    )
    for column in ("demand_id", "organization_id", "profile_id"):
        op.create_index(op.f(f"ix_claims_{column}"), "claims", [column], unique=False)
    op.create_table(
        "claim_scores",
        sa.Column("claim_id", sa.String(length=36), nullable=False),
        sa.Column("judge", sa.String(length=100), nullable=False),
        sa.Column("points", sa.JSON(), nullable=False),
        sa.Column("total", sa.Double(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("actor_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["claim_id"], ["claims.id"], name=op.f("fk_claim_scores_claim_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claim_scores")),
        sa.UniqueConstraint("claim_id", "judge", name=op.f("uq_claim_scores_claim_id_judge")),
    )


def downgrade() -> None:
    op.drop_table("claim_scores")
    op.drop_table("claims")
