"""Words of new messages are indexed in batches, and PostgreSQL notifies us of new events."""

import sqlalchemy as sa
from alembic import op

from migrations.words import words

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "channels", sa.Column("indexed_id", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column(
        "channels", sa.Column("unindexed", sa.Integer(), nullable=False, server_default="0")
    )
    op.execute("UPDATE channels SET indexed_id = last_message_id")
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION tell_of_events() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN PERFORM pg_notify('events', ''); RETURN NULL; END$$"
        )
        op.execute(
            "CREATE TRIGGER tell_of_events AFTER INSERT OR UPDATE OF set_aside ON events"
            " FOR EACH STATEMENT EXECUTE FUNCTION tell_of_events()"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER tell_of_events ON events")
        op.execute("DROP FUNCTION tell_of_events()")
    _index_the_rest()
    op.drop_column("channels", "unindexed")
    op.drop_column("channels", "indexed_id")


def _index_the_rest() -> None:
    page = sa.text(
        "SELECT messages.id, channel_id, text FROM messages JOIN channels ON channels.id ="
        " channel_id AND messages.id > indexed_id WHERE messages.id > :after"
        " ORDER BY messages.id LIMIT 1000"
    )
    add = sa.text("INSERT INTO words (channel_id, word, message_id) VALUES (:channel, :word, :id)")
    after = 0
    while messages := op.get_bind().execute(page, {"after": after}).all():
        rows = [
            {"channel": each.channel_id, "word": word, "id": each.id}
            for each in messages
            for word in words(each.text)
        ]
        if rows:
            op.get_bind().execute(add, rows)
        after = messages[-1].id
