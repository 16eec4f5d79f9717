"""Runs the revisions for init_db(), which hands over its connection, and for `flask db`."""

from alembic import context
from flask import current_app
from sqlalchemy import Connection

import models  # noqa: F401  (fills Base.metadata)
from database import Base, db, writing_on


def run(connection: Connection) -> None:
    # Batch mode, because SQLite changes a table by building it anew. One transaction for all
    # revisions, on SQLite too (our engine begins it): a kill leaves the old schema or the new one.
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with current_app.app_context(), db.engine.connect() as opened, writing_on(opened):
        run(opened)
