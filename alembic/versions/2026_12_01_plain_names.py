"""plain names of organizations: the same firm under two sources

Revision: 7d20c4e98f1b, after 3c9d51e7b0a4.
"""

from unicodedata import normalize

import sqlalchemy as sa
from alembic import op

revision = "7d20c4e98f1b"
down_revision = "3c9d51e7b0a4"
branch_labels = None
depends_on = None

_PER_STATEMENT = 1_000


def _plain(name: str) -> str:
    """As ``store.organizations.plain_name`` did when this step was written."""
    folded = normalize("NFKC", name).casefold()
    return "".join(character for character in folded if character.isalnum()) or folded


def upgrade() -> None:
    op.add_column("organizations", sa.Column("plain_name", sa.String(length=400), nullable=True))
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id, name FROM organizations")).all()
    values = [{"id": row_id, "plain": _plain(name)} for row_id, name in rows]
    for start in range(0, len(values), _PER_STATEMENT):
        statement = sa.text("UPDATE organizations SET plain_name = :plain WHERE id = :id")
        connection.execute(statement, values[start : start + _PER_STATEMENT])
    with op.batch_alter_table("organizations") as batch_op:
        batch_op.alter_column("plain_name", existing_type=sa.String(length=400), nullable=False)
        batch_op.create_index(batch_op.f("ix_organizations_plain_name"), ["plain_name"])


def downgrade() -> None:
    with op.batch_alter_table("organizations") as batch_op:
        batch_op.drop_index(batch_op.f("ix_organizations_plain_name"))
        batch_op.drop_column("plain_name")
