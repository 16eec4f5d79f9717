"""`flask events`: what the operator does with events that wait or were set aside."""

import click
from flask.cli import AppGroup

from database import db, writing
from realtime import backlog

events = AppGroup("events", help="Events that wait for the Pusher server, or were set aside.")


@events.command("list")
def list_events() -> None:
    """The events that were set aside, and how many wait."""
    lag = backlog.lag()
    for event in backlog.listed():
        when = f"{event.created_at:%Y-%m-%d %H:%M:%S}"
        click.echo(f"{event.id}  {when}  {event.name}  {event.channel}  {event.set_aside}")
    click.echo(f"{lag['waiting']} waiting, {lag['set_aside']} set aside.")


@events.command("retry")
@click.argument("event_id", type=int, required=False)
def retry_events(event_id: int | None) -> None:
    """Deliver events that were set aside after all: one, or all without an ID."""
    with writing():
        count = backlog.retry(event_id)
        db.session.commit()
    if event_id is not None and not count:
        raise click.ClickException(f"There is no event {event_id}.")
    click.echo(f"{count} to be tried again.")


@events.command("drop")
@click.argument("event_id", type=int)
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
