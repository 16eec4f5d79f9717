"""The limits of one gateway."""

from dataclasses import dataclass

KIB = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Each limit with its default. Times are in seconds."""

    connections: int = 10_000
    """Open connections in all. The next one is closed with 4100, after which clients try again."""

    connections_per_address: int = 0
    """Open connections of one client address; 0: no limit. The application says with each upgrade
    as which address it counts."""

    connections_per_right: int = 200
    """Connections that were signed for by one right. With one more, the oldest is closed with 4200,
    and comes back."""

    rights: int = 2_000
    """Rights that one connection was signed for by. With more it is closed with 4200: where a right
    cannot be remembered, nobody could close the connection when the right ends."""

    sign_within: float = 30
    """How long a client has for its first signed subscription or its sign-in; 0: no limit. Then it
    is closed with 4009, after which clients stay away. Where public channels are allowed,
    subscribing to one will do."""

    public_channels: bool = True
    """Whether clients may subscribe to channels that need no signature."""

    quiet_channels: frozenset[str] = frozenset()
    """Channels on which clients may send no events, though they are private or presence channels.
    In a crowded one, each event would be sent to everybody."""

    subscriptions: int = 1_000
    """Channels that one connection may be subscribed to."""

    presence_members: int = 0
    """Distinct users of one presence channel; 0: no limit (hosted Pusher allows 100)."""

    frame_bytes: int = 32 * KIB
    """The largest message a client may send; a larger one closes its connection with 1009."""

    send_buffer_bytes: int = 1024 * KIB
    """Bytes that may wait for one slow reader, on top of the operating system's buffer. With more,
    the connection is closed with 4100: a client would not notice a gap, but it notices a close."""

    frames_per_second: float = 100
    """Frames of any kind that one connection may send over time. A faster sender loses nothing:
    its socket is not read for a while, so TCP slows it down."""

    frames_at_once: int = 1_200
    """The burst that is read at full speed. A client subscribes to everything anew each time it
    connects, so this must stay above `subscriptions`."""

    client_events_per_second: int = 10
    """Client events of one connection. Those above are dropped and answered with error 4301."""

    event_bytes: int = 10_240
    """UTF-8 bytes of the data of one event, published or sent by a client."""

    activity_timeout: int = 30
    """Silence after which clients are told to ping us. 30, not Pusher's 120, because proxies drop a
    quiet connection after a minute (nginx: proxy_read_timeout 60s)."""

    ping_after: float = 45
    """Silence of a client after which we ping it: before a proxy that waits for a minute, as nginx
    does by itself, gives the connection up."""

    pong_within: float = 30
    """How long that client has to say anything at all before it counts as dead: 4201."""

    close_within: float = 5
    """How long a client has to answer our closing handshake before its socket is closed anyway."""
