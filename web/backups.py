"""`flask db new-generation`, for what happens to a database outside of this program."""

import click
from flask.cli import with_appcontext
from flask_migrate.cli import db as of_the_database

import migrations
from database import db, writing


def add_commands() -> None:
    """Give `flask` these commands."""
    of_the_database.add_command(new_generation)


@click.command("new-generation")
@with_appcontext
def new_generation() -> None:
    """Void all cursors of /api/sync, so that clients load their chats anew.

    To be run once after a restore by other means than `flask restore`.
    """
    with writing():
        migrations.renew_generation(db.session.connection())
        db.session.commit()
    click.echo("No cursor from before is taken any more; clients load their chats anew.")
