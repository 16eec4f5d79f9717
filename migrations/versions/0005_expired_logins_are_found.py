"""Expired logins are found quickly, so that their connections can be closed."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Those that have expired are void. Otherwise the first look would end them all at once, and on
    # a Pusher server that ends all connections of their users.
    logins = sa.table("sessions", sa.column("expires_at", sa.DateTime()))
    now = datetime.now(UTC).replace(tzinfo=None)
    op.execute(sa.delete(logins).where(logins.c.expires_at <= now))
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])


def downgrade() -> None:
    op.drop_index("ix_sessions_expires_at", "sessions")
