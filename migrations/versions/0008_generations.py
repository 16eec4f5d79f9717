"""Cursors of /api/sync name the database they are of."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = op.create_table(
        "generations",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_generations"),
    )
    op.bulk_insert(table, [{"number": secrets.randbits(63)}])


def downgrade() -> None:
    op.drop_table("generations")
