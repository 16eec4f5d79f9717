"""The right to deliver has a number, and no transaction that records events tells of them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fences",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fences"),
    )
    # The changes of all people are gone through in their order for somebody with many chats.
    op.create_index("ix_messages_transaction_id_id", "messages", ["transaction_id", "id"])
    op.drop_index("ix_messages_transaction_id", "messages")
    # A NOTIFY keeps all other commits of the server waiting until its own is on the disk. Events
    # of an older process, which tells nobody, are seen when the dispatcher next looks.
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER tell_of_events ON events")
        op.execute("DROP FUNCTION tell_of_events()")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION tell_of_events() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN PERFORM pg_notify('events', ''); RETURN NULL; END$$"
        )
        op.execute(
            "CREATE TRIGGER tell_of_events AFTER INSERT OR UPDATE OF set_aside ON events"
            " FOR EACH STATEMENT EXECUTE FUNCTION tell_of_events()"
        )
    op.create_index("ix_messages_transaction_id", "messages", ["transaction_id"])
    op.drop_index("ix_messages_transaction_id_id", "messages")
    op.drop_table("fences")
