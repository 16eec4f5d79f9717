"""`flask files`: what the operator does with the bytes of files."""

import tempfile
from dataclasses import replace
from pathlib import Path

import click

from chat import files as rows
from chat.storage import FILES, arriving, sweep_arriving
from realtime.commands import Commands
from web.runtime import runtime

#: So long a message may take that belongs to bytes which are stored by now.
HOUR = 3_600
#: Also of what was stored just now, by a clock that is ahead of ours.
ANY_AGE = -86_400

files = Commands("files", help="The bytes of files that people have sent.")


@files.command("prune")
@click.option("--yes", is_flag=True, help="For scripts. Nothing is asked anyway.")
def prune(yes: bool) -> None:  # noqa: ARG001
    """Remove bytes that no message refers to, once they are an hour old."""
    pruned = rows.prune(runtime().storage, HOUR)
    sweep_arriving(runtime().settings.folder, HOUR)
    click.echo(f"{pruned} removed.")


@files.command("copy")
@click.argument("url")
def copy(url: str) -> None:
    """Copy all files to another storage: s3://bucket/prefix, or `folder`, the instance folder.

    What is there already is left out, so that it can be run again, first while the server runs and
    then once it has stopped. Then set FILES_URL.
    """
    folder = runtime().settings.folder
    source = runtime().storage
    wanted = replace(runtime().settings, files_url="" if url == "folder" else url)  # checks it
    target = rows.storage(wanted.files_url, folder / FILES)
    there = set(rows.ours(target, ANY_AGE))
    copied = 0
    with tempfile.TemporaryDirectory(dir=arriving(folder)) as place:
        for key in rows.ours(source, ANY_AGE):
            if key in there:
                continue
            draft = Path(place, key)
            with source.open(key) as stored, draft.open("wb") as file:
                while some := stored.read(1 << 20):
                    file.write(some)
            target.put(key, draft)
            draft.unlink(missing_ok=True)
            copied += 1
    click.echo(f"{copied} copied, {len(there)} were there.")
