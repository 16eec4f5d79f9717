"""Shows a chat, live, and misses nothing: python listen.py bob "correct horse" private-chat_1_2"""

import json
import os
import sys
import time
from urllib.request import Request, urlopen

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

API = f"http://localhost:{os.environ.get('FLASK_RUN_PORT', 5000)}/api"
PUSHER = f"ws://localhost:{os.environ.get('FLASK_PUSHER_PORT', 6001)}/app/key?protocol=7"


def ask(path, members=None, token=None):
    """Send a POST to the API, or a GET if there are no members, and give back what it answers."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if members is None else json.dumps(members).encode()
    with urlopen(Request(API + path, data, headers)) as answer:
        return json.load(answer)


def listen(token, channel):
    """Subscribe to a channel and give what comes in, for as long as the connection lasts."""
    with connect(PUSHER) as socket:
        for frame in socket:
            event = json.loads(frame)
            if event["event"] == "pusher:connection_established":
                socket_id = json.loads(event["data"])["socket_id"]
                asked = {"socket_id": socket_id, "channel_name": channel}
                signed = ask("/pusher/auth", asked, token)
                subscribe = {"event": "pusher:subscribe", "data": {"channel": channel, **signed}}
                socket.send(json.dumps(subscribe))
            elif event["event"] == "pusher:ping":
                socket.send('{"event": "pusher:pong", "data": {}}')
            yield event


def messages(token, channel):
    """Give every message of the chat once, in order, whatever happens to the connection."""
    last = 0
    while True:
        try:
            for event in listen(token, channel):
                if event["event"] == "pusher_internal:subscription_succeeded":
                    print("(listening)", flush=True)
                elif event["event"] != "new_message":
                    continue
                # Ask for what came since. The event itself is only the sign that there is more.
                while missed := ask(f"/get_message/{channel}?after={last}", token=token):
                    yield from missed
                    last = missed[-1]["id"]
        except (ConnectionClosed, OSError):
            pass  # the Pusher server or the API is away
        print("(no connection)", flush=True)
        time.sleep(1)


if __name__ == "__main__":
    name, password, channel = sys.argv[1:]
    token = ask("/login", {"username": name, "password": password})["data"]["token"]
    for message in messages(token, channel):
        print(f"{message['id']}: {message['message']}", flush=True)
