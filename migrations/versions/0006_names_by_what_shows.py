"""Names are unique by what shows of them; those that would now be the same stay as they are."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import IntegrityError

from contract.characters import folded

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("users", sa.Column("name_key", KEY, nullable=True))
    op.create_index("ix_users_name_key", "users", ["name_key"], unique=True)
    page = sa.text(
        "SELECT id, username FROM users WHERE id > :after AND deleted_at IS NULL"
        " ORDER BY id LIMIT 1000"
    )
    after = 0
    while users := op.get_bind().execute(page, {"after": after}).all():
        for user in users:
            _give_key(user.id, folded(user.username))
        after = users[-1].id


def _give_key(user_id: int, key: str) -> None:
    """Unless somebody who registered before has it."""
    give = sa.text("UPDATE users SET name_key = :key WHERE id = :id")
    try:
        with op.get_bind().begin_nested():
            op.get_bind().execute(give, {"key": key, "id": user_id})
    except IntegrityError:
        pass


def downgrade() -> None:
    op.drop_index("ix_users_name_key", "users")
    op.drop_column("users", "name_key")
