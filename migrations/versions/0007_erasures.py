"""Accounts that have ended wait for their messages to be erased."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_erasures"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_erasures_user_id_users"),
    )


def downgrade() -> None:
    op.drop_table("erasures")
