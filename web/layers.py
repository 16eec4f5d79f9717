"""Layers: what every request meets before it comes to its route, the outermost last; and the
commands of `flask`."""

import signal
import sys

import click
from flask import Flask, request
from flask_migrate.cli import db as of_the_database
from werkzeug.middleware.proxy_fix import ProxyFix

from config import Settings
from realtime import commands
from web import access_log, backups, copies, file_commands, responses, uploads, user_commands
from web.access_log import AccessLog
from web.prefix import Prefix
from web.runtime import NAME, Runtime, runtime
from web.slots import WorkSlots


def wrap(app: Flask, settings: Settings, slots: int) -> None:
    """Put what every request meets around the application."""
    work_slots = WorkSlots(app.wsgi_app, slots, free_paths={"/health/live", "/metrics"})
    app.config["WHILE_WRITING"] = work_slots.released
    app.extensions[NAME] = running = Runtime(settings, work_slots)
    app.wsgi_app = AccessLog(  # type: ignore[method-assign]
        work_slots, running.metrics.count_request, writes=settings.access_log != "off"
    )
    access_log.note_requests_of(app)
    responses.set_headers_of(app, settings)
    app.before_request(begin_request)
    app.teardown_request(uploads.forget_upload)
    app.wsgi_app = Prefix(app.wsgi_app, settings.script_name)  # type: ignore[method-assign]
    count, prefix = settings.trusted_proxies, int(settings.trusted_prefix)
    if count or prefix:
        # The host is the proxy's own `Host`. X-Forwarded-Host is what clients send: few proxies
        # set it, and no cache asks whether two requests had the same one.
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=count, x_proto=count, x_host=0, x_port=0, x_prefix=prefix
        )


def begin_request() -> None:
    """Start what the process needs at its first request, and count this one."""
    if request.endpoint == "root.live":
        return
    if request.endpoint != "root.metrics":  # which tells it if the database is away
        runtime().start()
    runtime().rate_limits.hit("default")


def exit_on_sigterm() -> None:
    """Let `flask run` end by SIGTERM as by Ctrl-C: running its exit handlers, which finish the
    deliveries under way. Other servers see to their signals themselves."""
    command = click.get_current_context(silent=True)
    if command and command.info_name == "run":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def add_commands(app: Flask) -> None:
    """Give `flask` what operators need: events, users, files, backups and copies."""
    groups = (commands.events, user_commands.users, file_commands.files)
    for command in (*groups, backups.backup, backups.restore):
        app.cli.add_command(command)
    for command in (backups.new_generation, copies.copy_database):
        of_the_database.add_command(command)
