"""principals, to which everything that people do refers

Revision: b81e5f3a9c60, after 2f8c6d04a7b9.
"""

import sqlalchemy as sa
from alembic import op

revision = "b81e5f3a9c60"
down_revision = "2f8c6d04a7b9"
branch_labels = None
depends_on = None

_ACTORS = (
    ("audit_events", "actor_id"),
    ("claim_scores", "actor_id"),
    ("decisions", "actor_id"),
    ("demand_transitions", "actor_id"),
    ("exclusions", "actor_id"),
    ("suggestion_transitions", "actor_id"),
    ("webhooks", "created_by"),
)


def upgrade() -> None:
    op.create_table(
        "principals",
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_principals")),
    )
    # The ids of keys stand in all tables as those of actors, so that they become the ids of principals.
    op.execute("INSERT INTO principals (id, kind, name) SELECT id, 'key', name FROM api_keys")
    op.execute("INSERT INTO principals (id, kind, name) VALUES ('cli', 'command_line', 'command line')")
    op.execute("INSERT INTO principals (id, kind, name) SELECT 'feed:' || name, 'feed', 'feed ' || name FROM feeds")
    for table, column in _ACTORS:  # whoever is known no more
        op.execute(
            f"INSERT INTO principals (id, kind, name) SELECT DISTINCT {column}, 'unknown', {column} FROM {table}"  # noqa: S608
            f" WHERE {column} NOT IN (SELECT id FROM principals)"
        )
    op.add_column("api_keys", sa.Column("principal_id", sa.String(length=36), nullable=True))
    op.execute("UPDATE api_keys SET principal_id = id")
    with op.batch_alter_table("api_keys") as batch_op:
        batch_op.alter_column("principal_id", existing_type=sa.String(length=36), nullable=False)
        batch_op.create_foreign_key(batch_op.f("fk_api_keys_principal_id"), "principals", ["principal_id"], ["id"])
        batch_op.create_index(batch_op.f("ix_api_keys_principal_id"), ["principal_id"])
        batch_op.drop_column("name")
    for table, column in _ACTORS:
        with op.batch_alter_table(table) as batch_op:
            batch_op.create_foreign_key(batch_op.f(f"fk_{table}_{column}"), "principals", [column], ["id"])
    with op.batch_alter_table("claim_scores") as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_claim_scores_claim_id_judge"), type_="unique")
        batch_op.create_unique_constraint(
            batch_op.f("uq_claim_scores_claim_id_actor_id_judge"), ["claim_id", "actor_id", "judge"]
        )
    op.add_column("engagements", sa.Column("staff_id", sa.String(length=36), nullable=True))
    # Of several keys of one name the newest: whoever renewed a key gave the new one the name of the one before.
    op.execute("UPDATE engagements SET staff_id = (SELECT max(id) FROM principals WHERE kind = 'key' AND name = staff)")
    with op.batch_alter_table("engagements") as batch_op:
        batch_op.create_foreign_key(batch_op.f("fk_engagements_staff_id"), "principals", ["staff_id"], ["id"])
        for other in ("held_on", "next_step_on"):
            batch_op.create_index(batch_op.f(f"ix_engagements_staff_id_{other}"), ["staff_id", other])
    with op.batch_alter_table("idempotent_answers") as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_idempotent_answers_api_key_id_idempotency_key"), type_="unique")
        batch_op.drop_constraint(batch_op.f("fk_idempotent_answers_api_key_id"), type_="foreignkey")
        batch_op.alter_column("api_key_id", new_column_name="principal_id", existing_type=sa.String(length=36))
    # Apart from the renaming: together with it SQLite would be given no constraint.
    with op.batch_alter_table("idempotent_answers") as batch_op:
        batch_op.create_foreign_key(
            batch_op.f("fk_idempotent_answers_principal_id"), "principals", ["principal_id"], ["id"]
        )
        batch_op.create_unique_constraint(
            batch_op.f("uq_idempotent_answers_principal_id_idempotency_key"), ["principal_id", "idempotency_key"]
        )


def downgrade() -> None:
    op.execute("DELETE FROM idempotent_answers")  # they belong to principals, who may have several keys
    with op.batch_alter_table("idempotent_answers") as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_idempotent_answers_principal_id_idempotency_key"), type_="unique")
        batch_op.drop_constraint(batch_op.f("fk_idempotent_answers_principal_id"), type_="foreignkey")
        batch_op.alter_column("principal_id", new_column_name="api_key_id", existing_type=sa.String(length=36))
    with op.batch_alter_table("idempotent_answers") as batch_op:
        batch_op.create_foreign_key(
            batch_op.f("fk_idempotent_answers_api_key_id"), "api_keys", ["api_key_id"], ["id"], ondelete="CASCADE"
        )
        batch_op.create_unique_constraint(
            batch_op.f("uq_idempotent_answers_api_key_id_idempotency_key"), ["api_key_id", "idempotency_key"]
        )
    with op.batch_alter_table("engagements") as batch_op:
        for other in ("held_on", "next_step_on"):
            batch_op.drop_index(batch_op.f(f"ix_engagements_staff_id_{other}"))
        batch_op.drop_constraint(batch_op.f("fk_engagements_staff_id"), type_="foreignkey")
        batch_op.drop_column("staff_id")
    # Sheets that several entered for judges of one name are told apart by who did.
    op.execute(
        "UPDATE claim_scores SET judge = substr(judge, 1, 63) || ' ' || actor_id WHERE EXISTS (SELECT 1 FROM claim_scores"
        " AS other WHERE other.claim_id = claim_scores.claim_id AND other.judge = claim_scores.judge"
        " AND other.id < claim_scores.id)"
    )
    with op.batch_alter_table("claim_scores") as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_claim_scores_claim_id_actor_id_judge"), type_="unique")
        batch_op.create_unique_constraint(batch_op.f("uq_claim_scores_claim_id_judge"), ["claim_id", "judge"])
    for table, column in _ACTORS:
        with op.batch_alter_table(table) as batch_op:
            batch_op.drop_constraint(batch_op.f(f"fk_{table}_{column}"), type_="foreignkey")
    op.add_column("api_keys", sa.Column("name", sa.String(length=100), nullable=True))
    op.execute("UPDATE api_keys SET name = (SELECT name FROM principals WHERE principals.id = api_keys.principal_id)")
    with op.batch_alter_table("api_keys") as batch_op:
        batch_op.alter_column("name", existing_type=sa.String(length=100), nullable=False)
        batch_op.drop_index(batch_op.f("ix_api_keys_principal_id"))
        batch_op.drop_constraint(batch_op.f("fk_api_keys_principal_id"), type_="foreignkey")
        batch_op.drop_column("principal_id")
    op.drop_table("principals")
