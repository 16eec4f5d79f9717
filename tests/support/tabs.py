"""Browser tabs of people, and the bare connections of programs, that the API lets into channels."""

from typing import Any, Literal

from tests.support.gateway_client import APP_ID, KEY, SECRET, Client
from tests.support.gateway_client import Server as Sockets
from tests.support.people import ChatServer, Person
from tests.support.pusher_js import PusherJs
from tests.support.servers import HOST

#: The settings that have a server know the keys of `gateway_client`.
KEYS = {"EMBEDDED_APP_ID": APP_ID, "EMBEDDED_KEY": KEY, "EMBEDDED_SECRET": SECRET}


class Tab(PusherJs):
    """Somebody's browser tab."""

    def __init__(self, server: ChatServer, person: Person, version: Literal[8, 4] = 8) -> None:
        super().__init__(version)
        self.person = person
        self.notifications = f"private-notification_user_{person.id}"
        auth_url = f"http://{HOST}:{server.port}/api/pusher/auth"
        self.connect(server.api.get("/api/config").json, person.token, auth_url)
        self.subscribe(self.notifications)

    def heard(self, chat: dict[str, Any]) -> list[int]:
        """The ids of the messages on the chat's channel, in their order."""
        channel = chat["channel_name"]
        events = [e for e in self.events if e.name == "new_message" and e.channel == channel]
        return [event.data["id"] for event in events]

    def hears(self, chat: dict[str, Any], message: dict[str, Any]) -> None:
        event = self.wait_for("new_message", chat["channel_name"], lambda e: e.data == message)
        assert event.user_id is None


def join(sockets: Sockets, person: Person, channel: str) -> Client:
    """A connection that the API has let into a channel."""
    client = sockets.join()
    signed = person.signs(channel, client.socket_id)
    assert signed.status == 200, signed
    client.say("pusher:subscribe", {"channel": channel, **signed.json})
    client.expect("pusher_internal:subscription_succeeded")
    return client
