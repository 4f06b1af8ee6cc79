"""runs: progress, and the changes of each list

Revision: 5a0e7d42c6f9, after 3f6b0c8a91d2.
"""

import sqlalchemy as sa
from alembic import op

revision = "5a0e7d42c6f9"
down_revision = "3f6b0c8a91d2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # In place, and the defaults of old rows stay: without them SQLite would have to copy the tables.
    op.add_column("match_runs", sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("match_runs", sa.Column("worked_s", sa.Double(), nullable=False, server_default="0"))
    op.add_column("match_runs", sa.Column("n_kept", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("match_runs", sa.Column("events_as_of", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("match_runs", sa.Column("frequencies_version", sa.String(64), nullable=True))
    op.add_column("match_runs", sa.Column("stability", sa.Double(), nullable=True))
    for name in ("n_matches", "n_entered", "n_left", "n_moved"):
        op.add_column("match_lists", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.add_column("match_lists", sa.Column("changes", sa.JSON(), nullable=True))
    op.execute("UPDATE match_runs SET events_as_of = index_as_of")
    op.execute("UPDATE match_lists SET n_matches = (SELECT count(*) FROM matches WHERE list_id = match_lists.id)")


def downgrade() -> None:
    for name in ("changes", "n_moved", "n_left", "n_entered", "n_matches"):
        op.drop_column("match_lists", name)
    for name in ("stability", "frequencies_version", "events_as_of", "n_kept", "worked_s", "heartbeat_at"):
        op.drop_column("match_runs", name)
