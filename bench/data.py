"""Databases to measure on: chats of two people each, with tokens for all of them."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from werkzeug.security import generate_password_hash

import config
from chat.words import words
from database import init_db

KEY = "a key for the bench that signs nothing else"
PASSWORD = "correct horse battery staple"
PASSWORD_HASH = generate_password_hash(PASSWORD, "scrypt:32768:8:3")
TEXT = "Shall we meet at the usual place at noon, or is the rain too much for you?"


def build(folder: Path, chats: int, *messages: int) -> None:
    """Make a database chat.db of that many chats, the first ones with these counts of messages.

    Chat n is that of the users 2n-1 and 2n.
    """
    init_db(config.load({"INSTANCE_PATH": str(folder)}))
    expires = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d %H:%M:%S.%f}"
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"
    users = range(1, 2 * chats + 1)
    with sqlite3.connect(folder / "chat.db") as database:
        database.executemany(
            "INSERT INTO users (id, username, username_key, password_hash, created_at)"
            " VALUES (?, ?, ?, ?, ?)",
            [(user, f"user{user}", f"user{user}", PASSWORD_HASH, now) for user in users],
        )
        database.executemany(
            "INSERT INTO sessions (jti, user_id, expires_at) VALUES (?, ?, ?)",
            [(f"{user:032x}", user, expires) for user in users],
        )
        database.executemany(
            "INSERT INTO channels (id, low_id, high_id, created_at, active_at)"
            " VALUES (?, ?, ?, ?, ?)",
            [(chat, 2 * chat - 1, 2 * chat, now, now) for chat in range(1, chats + 1)],
        )
        for chat, count in enumerate(messages, 1):
            database.execute(
                "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
                " INSERT INTO messages (channel_id, sender_id, text, created_at, transaction_id)"
                " SELECT ?, ?, ?, ?, ? + i FROM n",
                (count, chat, 2 * chat - 1, TEXT, now, sum(messages[: chat - 1])),
            )
        database.execute(
            "UPDATE channels SET last_message_id ="
            " (SELECT coalesce(max(id), 0) FROM messages WHERE channel_id = channels.id)"
        )
        database.execute("UPDATE channels SET indexed_id = last_message_id")
        database.executemany(
            "INSERT INTO words (channel_id, word, message_id)"
            " SELECT channel_id, ?, id FROM messages WHERE id % 10 = 0",
            [(word,) for word in words(TEXT)],
        )
    database.close()


def add_pictures(path: Path, chat: int) -> None:
    """Make every other message of a chat one with a picture. Its bytes are nowhere: a page of the
    history does not need them."""
    pictures = "SELECT id FROM messages WHERE channel_id = ? AND id % 2 = 0"
    with sqlite3.connect(path) as database:
        database.execute(f"UPDATE messages SET type = 'Image' WHERE id IN ({pictures})", (chat,))
        database.execute(
            "INSERT INTO files (message_id, user_id, key, name, media_type, bytes, width, height,"
            " sha256, created_at)"
            " SELECT id, sender_id, printf('%032x', id), 'photo.jpg', 'image/jpeg', 300000, 1600,"
            f" 1200, printf('%064x', id), created_at FROM messages WHERE id IN ({pictures})",
            (chat,),
        )
    database.close()


def add_events(path: Path, count: int, chats: int) -> None:
    """Add waiting events, as from `count // 2` messages to so many chats in turn."""
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"
    data = '{"message":"' + TEXT + '"}'
    rows = []
    for number in range(count // 2):
        chat = number % chats + 1
        rows.append((channel(chat), "new_message", data, now))
        rows.append((f"private-notification_user_{2 * chat}", "new_chat", data, now))
    with sqlite3.connect(path) as database:
        database.executemany(
            "INSERT INTO events (transaction_id, channel, name, data, created_at, refusals)"
            " VALUES (0, ?, ?, ?, ?, 0)",
            rows,
        )
    database.close()


def channel(chat: int) -> str:
    return f"private-chat_{2 * chat - 1}_{2 * chat}"


def token(user: int) -> str:
    now = datetime.now(UTC)
    claims = {"sub": str(user), "jti": f"{user:032x}", "iat": now, "exp": now + timedelta(days=1)}
    return jwt.encode(claims, KEY, "HS256")
