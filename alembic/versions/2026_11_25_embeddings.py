"""embeddings

Revision: 4b7f2a90c1d3, after 5a0e7d42c6f9.
"""

import sqlalchemy as sa
from alembic import op

revision = "4b7f2a90c1d3"
down_revision = "5a0e7d42c6f9"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "embeddings",
        sa.Column("key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("encoder", sa.String(length=100), nullable=False),
        sa.Column("direction", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_embeddings")),
    )
    with op.batch_alter_table("embeddings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_embeddings_encoder"), ["encoder"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("embeddings", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_embeddings_encoder"))

    op.drop_table("embeddings")
