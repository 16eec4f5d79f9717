"""How commands of the operator run, and `flask events`: events that wait or were set aside."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as WaitedTooLong

import migrations
from contract.errors import ApiError, first_line
from contract.names import MAX_ID
from database import db, writing
from realtime import backlog

Command = Callable[..., None]


def on_the_database(command: Command) -> Command:
    """Run a command only on a database that is there and of this version: to look for one makes an
    empty file. What is wrong is said in a sentence."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            migrations.refuse_unready(db.engine)
            command(*arguments, **options)
        except ApiError as error:
            raise click.ClickException(error.message) from None
        except (DBAPIError, WaitedTooLong) as error:
            raise click.ClickException(f"The database failed: {first_line(error)}") from None
        except UnicodeEncodeError:
            raise click.ClickException("The command has something that is not in UTF-8.") from None
        except BrokenPipeError:  # `| head`, which click knows
            raise
        except OSError as error:
            raise click.ClickException(f"The disk failed: {error}") from None

    return run


class Commands(AppGroup):
    """Commands that are run so."""

    def command(self, *arguments: Any, **options: Any) -> Callable[[Command], click.Command]:  # type: ignore[override]
        make = super().command(*arguments, **options)
        return lambda command: make(on_the_database(command))


EVENT_ID = click.IntRange(1, MAX_ID)

events = Commands("events", help="Events that wait for the Pusher server, or were set aside.")


@events.command("list")
def list_events() -> None:
    """The events that were set aside, and how many wait."""
    lag = backlog.lag()
    for event in backlog.listed():
        when = f"{event.created_at:%Y-%m-%d %H:%M:%S}"
        click.echo(f"{event.id}  {when}  {event.name}  {event.channel}  {event.set_aside}")
    click.echo(f"{lag['waiting']} waiting, {lag['set_aside']} set aside.")


@events.command("retry")
@click.argument("event_id", type=EVENT_ID, required=False)
def retry_events(event_id: int | None) -> None:
    """Deliver events that were set aside after all: one, or all without an ID."""
    with writing():
        count = backlog.retry(event_id)
        db.session.commit()
    if event_id is not None and not count:
        raise click.ClickException(f"There is no event {event_id}.")
    click.echo(f"{count} to be tried again.")


@events.command("drop")
@click.argument("event_id", type=EVENT_ID)
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop_event(event_id: int, yes: bool) -> None:
    """Give up one event, set aside or waiting, for good."""
    yes or click.confirm(f"Drop event {event_id}, so that nobody hears of it?", abort=True)
    with writing():
        count = backlog.drop(event_id)
        db.session.commit()
    if not count:
        raise click.ClickException(f"There is no event {event_id}.")
    click.echo("Dropped.")
