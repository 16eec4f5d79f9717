"""Edits and deletions, read marks, the inbox's order, search, blocks, deleted accounts."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.words import words

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")


def upgrade() -> None:
    op.add_column("users", sa.Column("deleted_at", sa.DateTime(), nullable=True))
    op.add_column("channels", number("low_read_id"))
    op.add_column("channels", number("high_read_id"))
    op.add_column("channels", number("last_message_id"))
    op.add_column(
        "channels",
        sa.Column("active_at", sa.DateTime(), nullable=False, server_default="1970-01-01 00:00:00"),
    )
    op.add_column("messages", sa.Column("edited_at", sa.DateTime(), nullable=True))
    op.add_column("messages", sa.Column("deleted_at", sa.DateTime(), nullable=True))
    op.add_column("messages", number("transaction_id"))
    op.add_column("events", sa.Column("message_id", sa.BigInteger(), nullable=True))
    op.create_table(
        "words",
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("word", KEY, nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("channel_id", "word", "message_id", name="pk_words"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "blocks",
        sa.Column("blocker_id", sa.BigInteger(), nullable=False),
        sa.Column("blocked_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("blocker_id", "blocked_id", name="pk_blocks"),
        sa.ForeignKeyConstraint(["blocker_id"], ["users.id"], name="fk_blocks_blocker_id_users"),
        sa.ForeignKeyConstraint(["blocked_id"], ["users.id"], name="fk_blocks_blocked_id_users"),
    )
    op.create_index("ix_blocks_blocked_id", "blocks", ["blocked_id"])
    _fill()
    op.drop_index("ix_channels_high_id", "channels")
    for side in ("low_id", "high_id"):
        op.create_index(f"ix_channels_{side}_active_at_id", "channels", [side, "active_at", "id"])
    op.create_index(
        "ix_messages_channel_id_transaction_id_id",
        "messages",
        ["channel_id", "transaction_id", "id"],
    )
    op.create_index("ix_messages_transaction_id", "messages", ["transaction_id"])
    op.create_index(
        "ix_messages_sender_id_not_deleted",
        "messages",
        ["sender_id", "id"],
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index("ix_events_message_id", "events", ["message_id"])


def _fill() -> None:
    """Fill the new columns and tables as if they had been there from the first message on."""
    for column, whose in (
        ("last_message_id", ""),
        ("low_read_id", "AND sender_id = channels.low_id"),
        ("high_read_id", "AND sender_id = channels.high_id"),
    ):
        latest = f"SELECT max(id) FROM messages WHERE channel_id = channels.id {whose}"  # noqa: S608
        op.execute(f"UPDATE channels SET {column} = coalesce(({latest}), 0)")  # noqa: S608
    op.execute(
        "UPDATE channels SET active_at = coalesce("
        "(SELECT created_at FROM messages WHERE id = channels.last_message_id), created_at)"
    )
    add = sa.text("INSERT INTO words (channel_id, word, message_id) VALUES (:channel, :word, :id)")
    for messages in _pages("id, channel_id, text FROM messages"):
        rows = [
            {"channel": each.channel_id, "word": word, "id": each.id}
            for each in messages
            for word in words(each.text)
        ]
        if rows:
            op.get_bind().execute(add, rows)
    about = sa.text("UPDATE events SET message_id = :message WHERE id = :id")
    for events in _pages("id, name, data FROM events"):
        for each in events:
            data = json.loads(each.data)
            message = data.get("message") if each.name == "new_chat" else data
            if message:
                op.get_bind().execute(about, {"message": message["id"], "id": each.id})


def _pages(columns: str) -> Iterator[Sequence[sa.Row[Any]]]:
    page = sa.text(f"SELECT {columns} WHERE id > :after ORDER BY id LIMIT 1000")
    after = 0
    while rows := op.get_bind().execute(page, {"after": after}).all():
        yield rows
        after = rows[-1].id


def downgrade() -> None:
    op.drop_table("blocks")
    op.drop_table("words")
    op.drop_index("ix_events_message_id", "events")
    op.drop_index("ix_messages_sender_id_not_deleted", "messages")
    op.drop_index("ix_messages_transaction_id", "messages")
    op.drop_index("ix_messages_channel_id_transaction_id_id", "messages")
    for side in ("high_id", "low_id"):
        op.drop_index(f"ix_channels_{side}_active_at_id", "channels")
    op.create_index("ix_channels_high_id", "channels", ["high_id"])
    for table, column in (
        ("events", "message_id"),
        ("messages", "transaction_id"),
        ("messages", "deleted_at"),
        ("messages", "edited_at"),
        ("channels", "active_at"),
        ("channels", "last_message_id"),
        ("channels", "high_read_id"),
        ("channels", "low_read_id"),
        ("users", "deleted_at"),
    ):
        op.drop_column(table, column)
