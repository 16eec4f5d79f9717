"""The least that a Flask view can do for the same answer: what the API is compared with.

The token is verified with PyJWT, the rest is the standard library's sqlite3 on the API's own
schema, durable as the API is: one BEGIN IMMEDIATE transaction, WAL, synchronous=FULL. With
FLOOR_MUTEX=1 the writers of a process queue at a mutex instead of SQLite's busy handler.
"""

import json
import os
import sqlite3
import threading
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

import jwt
from flask import Flask, Response, request
from werkzeug.exceptions import NotFound
from werkzeug.security import check_password_hash

DATABASE = os.environ["FLOOR_DATABASE"]
KEY = os.environ["JWT_SECRET_KEY"]
PASSWORD_HASH = os.environ.get("FLOOR_PASSWORD_HASH", "")

app = Flask(__name__)
local = threading.local()
mutex: AbstractContextManager[Any] = nullcontext()
if os.environ.get("FLOOR_MUTEX"):
    mutex = threading.Lock()


def database() -> sqlite3.Connection:
    if not hasattr(local, "connection"):
        local.connection = sqlite3.connect(DATABASE, timeout=10, isolation_level=None)
        local.connection.execute("PRAGMA journal_mode=WAL")
        local.connection.execute("PRAGMA synchronous=FULL")
    connection: sqlite3.Connection = local.connection
    return connection


def caller() -> int:
    token = request.headers["Authorization"].removeprefix("Bearer ")
    return int(jwt.decode(token, KEY, algorithms=["HS256"])["sub"])


def channel_of(user: int, channel: str) -> tuple[int, int]:
    """The channel's id and the other user in it."""
    low, high = map(int, channel.removeprefix("private-chat_").split("_"))
    row = (
        database()
        .execute(
            "SELECT id, low_id, high_id FROM channels"
            " WHERE low_id = ? AND high_id = ? AND ? IN (low_id, high_id)",
            (low, high, user),
        )
        .fetchone()
    )
    if row is None:
        raise NotFound
    return row[0], row[1] if row[2] == user else row[2]


@app.post("/api/send_message")
def send_message() -> Any:
    user = caller()
    body = request.get_json()
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    with mutex:
        database().execute("BEGIN IMMEDIATE")
        try:
            channel_id, peer = channel_of(user, body["channel"])
            message_id = (
                database()
                .execute(
                    "INSERT INTO messages"
                    " (channel_id, sender_id, text, created_at, transaction_id)"
                    " VALUES (?, ?, ?, ?, 0)",
                    (channel_id, user, body["message"], now),
                )
                .lastrowid
            )
            message = {
                "id": message_id,
                "channel_id": channel_id,
                "channel": body["channel"],
                "from_user": user,
                "to_user": peer,
                "message": body["message"],
                "created_at": now,
            }
            database().execute(
                "INSERT INTO events"
                " (transaction_id, channel, name, data, created_at, refusals)"
                " VALUES (0, ?, 'new_message', ?, ?, 0)",
                (body["channel"], json.dumps(message), now),
            )
            database().execute("COMMIT")
        except BaseException:
            database().execute("ROLLBACK")
            raise
    return message, 201


@app.get("/api/get_message/<channel>")
def get_message(channel: str) -> Any:
    channel_id, _ = channel_of(caller(), channel)
    rows = (
        database()
        .execute(
            "SELECT id, sender_id, text, created_at FROM messages"
            " WHERE channel_id = ? ORDER BY id DESC LIMIT ?",
            (channel_id, int(request.args["limit"])),
        )
        .fetchall()
    )
    return [
        {"id": row[0], "channel": channel, "from_user": row[1], "message": row[2], "at": row[3]}
        for row in reversed(rows)
    ]


@app.post("/api/login")
def login() -> Any:
    """Check the hash, and nothing else."""
    if not check_password_hash(PASSWORD_HASH, request.get_json()["password"]):
        return Response(status=401)
    return {}
