"""`flask users`: what the operator does with accounts, by the same rules as the API."""

import sys
import time

import click
from pydantic import ValidationError
from werkzeug.security import generate_password_hash

from chat import accounts, departure, files, logins, name_words
from contract import requests
from contract.faults import sentence
from contract.passwords import fault_of_password
from database import db, release, writing
from models import User
from realtime.commands import Commands
from web.erasures import PAUSE_SECONDS
from web.runtime import runtime

users = Commands("users", help="Accounts. USER is a name or an id.")

user_argument = click.argument("name_or_id", metavar="USER")
by_option = click.option(
    "--by", type=click.Choice(["name", "id"]), help="What USER is, where it could be both."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@users.command("list")
@click.option("--q", default="", help="Only those with a word in their names that begins so.")
def list_users(q: str) -> None:
    """Ids and names of all users."""
    beginning = name_words.key(q)
    for page in accounts.everyone():
        for user in page:
            words = name_words.of(user["username"], user["display_name"])
            if any(word.startswith(beginning) for word in words):
                click.echo(f"{user['id']}  {user['username']}")


@users.command("show")
@user_argument
@by_option
def show_user(name_or_id: str, by: str | None) -> None:
    """What there is of a user."""
    user = find(name_or_id, by)
    click.echo(f"id: {user.id}")
    click.echo(f"username: {user.username}")
    click.echo(f"created at: {user.created_at:%Y-%m-%d %H:%M:%S} UTC")
    click.echo(f"display name: {user.display_name or 'none'}")
    click.echo(f"about: {_on_one_line(user.about) or 'nothing'}")
    click.echo(f"picture: {'yes' if user.avatar else 'none'}")
    for what, count in accounts.figures(user).items():
        click.echo(f"{what}: {count}")


@users.command("set-password")
@user_argument
@by_option
@click.option("--password-stdin", is_flag=True, help="Read the password from the standard input.")
@yes_option
def set_password(name_or_id: str, by: str | None, password_stdin: bool, yes: bool) -> None:
    """Give a user another password, and end all of their logins."""
    user = find(name_or_id, by)
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        confirm(f"Replace the password of {user.username} (id {user.id}), ending all logins?", yes)
        password = click.prompt("New password", hide_input=True, confirmation_prompt=True)
    refuse_easy(password, user)
    release()
    password_hash = generate_password_hash(password, runtime().settings.password_hash)
    with writing():
        accounts.change_password(user, password_hash, None)
        db.session.commit()
    click.echo(f"{user.username} has a new password.")


@users.command("logout")
@user_argument
@by_option
@yes_option
def log_out(name_or_id: str, by: str | None, yes: bool) -> None:
    """End all logins of a user, and the connections that belong to them."""
    user = find(name_or_id, by)
    confirm(f"End all logins of {user.username} (id {user.id})?", yes)
    with writing():
        logins.end_all(user)
        db.session.commit()
    click.echo(f"{user.username} is logged out everywhere.")


@users.command("delete")
@user_argument
@by_option
@click.option("--erase", is_flag=True, help="Erase the user's messages, too.")
@yes_option
def delete_user(name_or_id: str, by: str | None, erase: bool, yes: bool) -> None:
    """End an account. The messages stay readable to the others, unless they are erased."""
    user = find(name_or_id, by)
    name = user.username
    what = "and erase all messages" if erase else "and leave the messages to the others"
    confirm(f"Delete {name} (id {user.id}) {what}?", yes)
    with writing():
        departure.leave(user, erase=erase)
        db.session.commit()
    if erase:
        erase_messages(user)
    click.echo(f"{name} is deleted.")


def erase_messages(user: User) -> None:
    """Erase all messages of an account that has ended, and the bytes of their files. What is cut
    off here goes on at the next start of a server."""
    storage = runtime().storage
    more = True
    with files.erased.connected_to(lambda keys: files.remove(storage, keys)):
        while more:
            with writing():
                more = departure.erase_some(user, None)
                db.session.commit()
            time.sleep(PAUSE_SECONDS)


def _on_one_line(text: str | None) -> str:
    """A text without what would move the cursor of a terminal, or colour it."""
    return "".join(each if each.isprintable() else " " for each in text or "")


def find(name_or_id: str, by: str | None) -> User:
    """The user that is meant. Raises ClickException if there is none, or if there are two."""
    found = accounts.named_or_id(name_or_id, by)
    if not found:
        raise click.ClickException(f"There is no user {name_or_id}.")
    if len(found) > 1:
        raise click.ClickException(
            f"{name_or_id} is the name of user {found[0].id}, and the id of another one. "
            "Say which: --by name, or --by id."
        )
    return found[0]


def confirm(question: str, yes: bool) -> None:
    """End the command unless the operator says yes."""
    if not yes:
        click.confirm(question, abort=True)


def refuse_easy(password: str, user: User) -> None:
    """Raise ClickException for a password that the API would not take."""
    try:
        requests.PasswordChange(current_password="", new_password=password)
    except ValidationError as error:
        said = sentence(error).removeprefix("new_password ")
        raise click.ClickException(f"The password {said}") from None
    if fault := fault_of_password(password, user.username):
        raise click.ClickException(f"The password {fault}.")
