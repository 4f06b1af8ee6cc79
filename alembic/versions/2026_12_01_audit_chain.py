"""the audit log is a chain that cannot be changed, with the address of each caller

Revision: d3b7a9145e80, after c50e92d86b1f.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa
from alembic import op

revision = "d3b7a9145e80"
down_revision = "c50e92d86b1f"
branch_labels = None
depends_on = None

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXT = "audit_events is append-only"
_SQLITE = [
    f"CREATE TRIGGER audit_events_no_{verb} BEFORE {verb.upper()} ON audit_events "
    f"BEGIN SELECT RAISE(ABORT, '{_TEXT}'); END"
    for verb in ("update", "delete")
]
_FUNCTION = f"""
    CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '{_TEXT}'; END $$
"""
_TRIGGER = """
    CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()
"""


def upgrade() -> None:
    with op.batch_alter_table("audit_events") as batch_op:
        batch_op.add_column(sa.Column("address", sa.String(length=45), nullable=True))
        batch_op.add_column(sa.Column("seq", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("digest", sa.String(length=64), nullable=True))
    _link()
    with op.batch_alter_table("audit_events") as batch_op:
        batch_op.alter_column("seq", existing_type=sa.BigInteger(), nullable=False)
        batch_op.alter_column("digest", existing_type=sa.String(length=64), nullable=False)
        batch_op.create_unique_constraint(batch_op.f("uq_audit_events_seq"), ["seq"])
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else [_FUNCTION, _TRIGGER]:
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_events_no_update")
        op.execute("DROP TRIGGER audit_events_no_delete")
    else:
        op.execute("DROP TRIGGER audit_events_append_only ON audit_events")
        op.execute("DROP FUNCTION refuse_audit_change()")
    with op.batch_alter_table("audit_events") as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_audit_events_seq"), type_="unique")
        batch_op.drop_column("digest")
        batch_op.drop_column("seq")
        batch_op.drop_column("address")


def _link() -> None:
    """Number the rows that exist in the order of their ids, and link them."""
    rows = sa.table(
        "audit_events",
        *(sa.column(name) for name in ("id", "actor_id", "action", "entity", "entity_id", "request_id", "digest")),
        sa.column("seq", sa.BigInteger()), sa.column("at", sa.DateTime(timezone=True)), sa.column("detail", sa.JSON()),
    )  # fmt: skip
    connection = op.get_bind()
    linked: list[dict[str, Any]] = []
    digest = "0" * 64
    for seq, row in enumerate(connection.execute(sa.select(rows).order_by(rows.c.id)), start=1):
        at = row.at if row.at.tzinfo is not None else row.at.replace(tzinfo=UTC)
        moment = (at - _EPOCH) // timedelta(microseconds=1)
        values = [
            seq, row.id, moment, row.actor_id, row.action, row.entity, row.entity_id, row.request_id, None, row.detail
        ]  # fmt: skip
        digest = hashlib.sha256(digest.encode() + orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()
        linked.append({"of": row.id, "number": seq, "hashed": digest})
    update = rows.update().where(rows.c.id == sa.bindparam("of"))
    for start in range(0, len(linked), 5_000):
        connection.execute(
            update.values(seq=sa.bindparam("number"), digest=sa.bindparam("hashed")), linked[start : start + 5_000]
        )
