"""The names of channels on the Pusher server, and how they are read."""

import re

MAX_ID = 2**63 - 1
PRESENCE_CHANNEL = "presence-chitchat"
CHAT_CHANNEL = re.compile(r"private-chat_([1-9][0-9]{0,18})_([1-9][0-9]{0,18})")


def chat_channel(low_id: int, high_id: int) -> str:
    """The name of a chat's channel, from the ids of its two people, the lower one first."""
    return f"private-chat_{low_id}_{high_id}"


def notification_channel(user_id: int) -> str:
    """The name of the channel on which one user hears of everything."""
    return f"private-notification_user_{user_id}"


def pair_of(chat_channel: str) -> tuple[int, int] | None:
    """The two ids in the name of a chat's channel, or None if it is no such name."""
    match = CHAT_CHANNEL.fullmatch(chat_channel)
    if match is None:
        return None
    low_id, high_id = int(match[1]), int(match[2])
    return (low_id, high_id) if max(low_id, high_id) <= MAX_ID else None
