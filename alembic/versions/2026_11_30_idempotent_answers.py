"""idempotent answers: erased with the person they tell of

Revision: 2f8c6d04a7b9, after 5e0d97c2b418.
"""

import sqlalchemy as sa
from alembic import op

revision = "2f8c6d04a7b9"
down_revision = "5e0d97c2b418"
branch_labels = None
depends_on = None

_ANSWER = (("status", sa.Integer()), ("headers", sa.JSON()), ("body", sa.LargeBinary()))


def upgrade() -> None:
    with op.batch_alter_table("idempotent_answers") as batch_op:
        for name, kind in _ANSWER:
            batch_op.alter_column(name, existing_type=kind, nullable=True)
        batch_op.create_index(batch_op.f("ix_idempotent_answers_created_at"), ["created_at"])
    # Older answers may hold secrets, and nothing says of whom they tell. Their keys stay, so that nothing is done twice.
    op.execute("UPDATE idempotent_answers SET request_hash = '', status = NULL, headers = NULL, body = NULL")
    op.create_table(
        "idempotent_answer_profiles",
        sa.Column("answer_id", sa.String(length=36), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["answer_id"],
            ["idempotent_answers.id"],
            name=op.f("fk_idempotent_answer_profiles_answer_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("answer_id", "profile_id", name=op.f("pk_idempotent_answer_profiles")),
    )
    op.create_index(op.f("ix_idempotent_answer_profiles_profile_id"), "idempotent_answer_profiles", ["profile_id"])


def downgrade() -> None:
    op.drop_table("idempotent_answer_profiles")
    op.execute("DELETE FROM idempotent_answers WHERE status IS NULL")
    with op.batch_alter_table("idempotent_answers") as batch_op:
        batch_op.drop_index(batch_op.f("ix_idempotent_answers_created_at"))
        for name, kind in _ANSWER:
            batch_op.alter_column(name, existing_type=kind, nullable=False)
