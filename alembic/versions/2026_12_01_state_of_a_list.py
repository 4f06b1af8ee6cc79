"""the state of the data that each list was ranked by

Revision: e4a17c35d902, after 7d20c4e98f1b.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from alembic import op

revision = "e4a17c35d902"
down_revision = "7d20c4e98f1b"
branch_labels = None
depends_on = None

_COLUMNS = {"events_as_of": sa.Integer(), "index_as_of": sa.Integer(), "ranked_on": sa.Date()}
_runs = sa.table(
    "match_runs",
    sa.column("id"),
    sa.column("created_at", sa.DateTime(timezone=True)),
    sa.column("events_as_of"),
    sa.column("index_as_of"),
)
_lists = sa.table("match_lists", sa.column("run_id"), *(sa.column(name, kind) for name, kind in _COLUMNS.items()))


def _day(at: datetime) -> object:
    aware = at if at.tzinfo is not None else at.replace(tzinfo=UTC)  # SQLite keeps no zone
    return aware.astimezone(ZoneInfo("Asia/Shanghai")).date()


def upgrade() -> None:
    """Give each list the state of its run. It may be a little older than that of the list."""
    for name, kind in _COLUMNS.items():
        op.add_column("match_lists", sa.Column(name, kind, nullable=True))
    connection = op.get_bind()
    for run in connection.execute(sa.select(_runs)).all():
        state = {"events_as_of": run.events_as_of, "index_as_of": run.index_as_of, "ranked_on": _day(run.created_at)}
        connection.execute(sa.update(_lists).where(_lists.c.run_id == run.id).values(**state))
    with op.batch_alter_table("match_lists") as batch_op:
        for name, kind in _COLUMNS.items():
            batch_op.alter_column(name, existing_type=kind, nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("match_lists") as batch_op:
        for name in _COLUMNS:
            batch_op.drop_column(name)
