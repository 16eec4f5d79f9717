"""Browsers are told of new messages, and chats can be muted."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in ("low_muted", "high_muted"):
        op.add_column(
            "channels", sa.Column(column, sa.Boolean(), server_default=sa.false(), nullable=False)
        )
    op.create_table(
        "push_subscriptions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("jti", sa.String(32), nullable=False),
        sa.Column("endpoint", sa.String(), nullable=False),
        sa.Column("p256dh", sa.String(), nullable=False),
        sa.Column("auth", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_push_subscriptions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_push_subscriptions_user_id_users"),
        sa.ForeignKeyConstraint(
            ["jti"],
            ["sessions.jti"],
            "fk_push_subscriptions_jti_sessions",
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("endpoint", name="uq_push_subscriptions_endpoint"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_push_subscriptions_user_id", "push_subscriptions", ["user_id"])
    op.create_index("ix_push_subscriptions_jti", "push_subscriptions", ["jti"])
    op.create_table(
        "pushes",
        sa.Column("subscription_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("retry_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", "message_id", name="pk_pushes"),
    )
    op.create_index(
        "ix_pushes_service_retry_at_message_id", "pushes", ["service", "retry_at", "message_id"]
    )


def downgrade() -> None:
    op.drop_table("pushes")
    op.drop_table("push_subscriptions")
    for column in ("low_muted", "high_muted"):
        op.drop_column("channels", column)
