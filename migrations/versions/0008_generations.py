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
    # 0 in a database that is in use: its cursors stay as processes of the old version, which may
    # still run beside the new ones, make and read them.
    in_use = op.get_bind().execute(sa.text("SELECT id FROM users LIMIT 1")).first()
    op.bulk_insert(table, [{"number": 0 if in_use else secrets.randbits(63)}])


def downgrade() -> None:
    op.drop_table("generations")
