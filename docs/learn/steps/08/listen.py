"""Shows what somebody is told: python listen.py bob "correct horse" private-chat_1_2"""

import json
import os
import sys
from urllib.request import Request, urlopen

from websockets.sync.client import connect

API = f"http://localhost:{os.environ.get('FLASK_RUN_PORT', 5000)}/api"
PUSHER = f"ws://localhost:{os.environ.get('FLASK_PUSHER_PORT', 6001)}/app/key?protocol=7"


def ask(path, members, token=None):
    """Send a POST to the API, and give back what it answers."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    with urlopen(Request(API + path, json.dumps(members).encode(), headers)) as answer:
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


if __name__ == "__main__":
    name, password, channel = sys.argv[1:]
    token = ask("/login", {"username": name, "password": password})["data"]["token"]
    for event in listen(token, channel):
        print(event["event"], event.get("data", ""), flush=True)
