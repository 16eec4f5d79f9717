"""People show themselves, are found by all words of their names, and see their logins."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from contract.characters import beginnings

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")
DUE = sa.text("has_words = (deleted_at IS NOT NULL)")
#: What a login counts from that an older version of the program stores, which does not say it.
NOW = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now')",
    "postgresql": "timezone('utc', now())",
}


def upgrade() -> None:
    for column in (
        sa.Column("display_name", sa.String(50)),
        sa.Column("about", sa.String(200)),
        sa.Column("avatar", sa.String(32)),
        sa.Column("has_words", sa.Boolean(), server_default=sa.false(), nullable=False),
    ):
        op.add_column("users", column)
    op.create_index("ix_users_avatar", "users", ["avatar"], unique=True)
    op.create_table(
        "name_words",
        sa.Column("word", KEY, nullable=False),
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("word", "user_id", name="pk_name_words"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_name_words_user_id_users"),
        sqlite_with_rowid=False,
    )
    _fill_words()
    op.create_index("ix_name_words_user_id", "name_words", ["user_id"])
    op.create_index("ix_users_words_due", "users", ["id"], sqlite_where=DUE, postgresql_where=DUE)
    _number_logins()


def _fill_words() -> None:
    """As profiles.index_due() does it. Those who register with an older version of the program
    from now on are left to that."""
    connection = op.get_bind()
    page = sa.text(
        "SELECT id, username FROM users WHERE id > :after AND deleted_at IS NULL"
        " ORDER BY id LIMIT 5000"
    )
    words = sa.table("name_words", sa.column("word"), sa.column("user_id"))
    after = 0
    while users := connection.execute(page, {"after": after}).all():
        rows = [
            {"word": word, "user_id": user.id}
            for user in users
            for word in sorted(beginnings(user.username))
        ]
        if rows:
            connection.execute(sa.insert(words), rows)
        after = users[-1].id
    connection.execute(sa.text("UPDATE users SET has_words = true WHERE deleted_at IS NULL"))


def _number_logins() -> None:
    """Give the logins ids, which SQLite cannot do without building the table anew."""
    dialect = op.get_bind().dialect.name
    more: tuple[sa.Column[Any], ...] = (
        sa.Column(
            "created_at", sa.DateTime(), server_default=sa.text(f"({NOW[dialect]})"), nullable=False
        ),
        sa.Column("last_used_at", sa.DateTime()),
        sa.Column("user_agent", sa.String()),
        sa.Column("remember", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    if dialect == "postgresql":
        op.drop_constraint("pk_sessions", "sessions")
        op.execute(
            "ALTER TABLE sessions ADD COLUMN id BIGSERIAL CONSTRAINT pk_sessions PRIMARY KEY"
        )
        op.create_unique_constraint("uq_sessions_jti", "sessions", ["jti"])
        for column in more:
            op.add_column("sessions", column)
        return
    op.rename_table("sessions", "old_sessions")
    for index in ("ix_sessions_user_id", "ix_sessions_expires_at"):
        op.drop_index(index, "old_sessions")
    op.create_table(
        "sessions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("jti", sa.String(32), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        *more,
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("jti", name="uq_sessions_jti"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_sessions_user_id_users"),
        sqlite_autoincrement=True,
    )
    _take_over("jti, user_id, expires_at")


def _take_over(columns: str) -> None:
    """Move the rows of the old table, and make the indexes."""
    op.execute(f"INSERT INTO sessions ({columns}) SELECT {columns} FROM old_sessions")  # noqa: S608
    op.drop_table("old_sessions")
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("uq_sessions_jti", "sessions")
        for column in ("id", "created_at", "last_used_at", "user_agent", "remember"):
            op.drop_column("sessions", column)
        op.create_primary_key("pk_sessions", "sessions", ["jti"])
    else:
        op.rename_table("sessions", "old_sessions")
        for index in ("ix_sessions_user_id", "ix_sessions_expires_at"):
            op.drop_index(index, "old_sessions")
        op.create_table(
            "sessions",
            sa.Column("jti", sa.String(32), nullable=False),
            sa.Column("user_id", sa.BigInteger(), nullable=False),
            sa.Column("expires_at", sa.DateTime(), nullable=False),
            sa.PrimaryKeyConstraint("jti", name="pk_sessions"),
            sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_sessions_user_id_users"),
        )
        _take_over("jti, user_id, expires_at")
    op.drop_index("ix_users_words_due", "users")
    op.drop_table("name_words")
    op.drop_index("ix_users_avatar", "users")
    for column in ("has_words", "avatar", "about", "display_name"):
        op.drop_column("users", column)
