"""Users, channels, messages and the events that tell of them, with their verbs. All SQL is here.

Verbs leave the commit to their caller. Statements ask for columns rather than entities and
stand ready-made at the end of each module: to build them, and the unit of work, would cost more
than the database does.
"""

from models import inbox
from models.blocks import Block, Blocked
from models.channels import Channel, notification_channel
from models.events import Event, encode, recorded
from models.messages import Message
from models.users import CHAT_CHANNEL, PRESENCE_CHANNEL, Session, Taken, User

__all__ = [
    "CHAT_CHANNEL",
    "PRESENCE_CHANNEL",
    "Block",
    "Blocked",
    "Channel",
    "Event",
    "Message",
    "Session",
    "Taken",
    "User",
    "encode",
    "inbox",
    "notification_channel",
    "recorded",
]
