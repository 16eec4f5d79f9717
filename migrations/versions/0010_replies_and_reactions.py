"""Messages answer others, and people react to them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "messages", sa.Column("type", sa.String(5), server_default="Text", nullable=False)
    )
    op.add_column(
        "messages",
        sa.Column(
            "reply_to",
            sa.BigInteger(),
            sa.ForeignKey("messages.id", name="fk_messages_reply_to_messages"),
        ),
        inline_references=True,
    )
    op.add_column("messages", sa.Column("reactions", sa.JSON()))
    op.create_index(
        "ix_messages_reply_to",
        "messages",
        ["reply_to"],
        sqlite_where=sa.text("reply_to IS NOT NULL"),
        postgresql_where=sa.text("reply_to IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_messages_reply_to", "messages")
    for column in ("reactions", "reply_to", "type"):
        op.drop_column("messages", column)
