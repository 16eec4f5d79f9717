"""Clients of a Pusher server that listen: python -m bench.listeners PORT KEY CONNECTIONS CHANNELS

Connection n subscribes to the public channel n modulo CHANNELS, if CHANNELS is at least 1. It says
"ready". Then each line of input is a number of events to wait for, and a line of output has the
seconds that each took. They count from the time that the event carries, because all processes of a
machine read the same clock.
"""

import json
import re
import selectors
import socket
import sys
import time

SENT = re.compile(rb"sent=([0-9]+\.[0-9]{9})")


def frame(text: str) -> bytes:
    """A client's text frame, masked with zeroes."""
    data = text.encode()
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + data


def connect(port: int, key: str) -> tuple[socket.socket, str]:
    """A WebSocket and its socket id, past the server's first frame."""
    sock = socket.create_connection(("127.0.0.1", port), 30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(
        f"GET /app/{key}?protocol=7 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    first = read_until(sock, b"activity_timeout")
    return sock, re.findall(r"[0-9]+\.[0-9]+", first.decode(errors="replace"))[-1]


def subscribe(sock: socket.socket, channel: str, auth: str = "") -> None:
    data = {"channel": channel, "auth": auth}
    sock.sendall(frame(json.dumps({"event": "pusher:subscribe", "data": data})))
    read_until(sock, b"subscription_succeeded")


def read_until(sock: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data:
        more = sock.recv(65_536)
        if not more:
            sys.exit(f"The server hung up after {data!r}")
        data += more
    return data


def main(port: str, key: str, connections: str, channels: str) -> None:
    selector = selectors.DefaultSelector()
    for number in range(int(connections)):
        sock, _ = connect(int(port), key)
        if int(channels):
            subscribe(sock, f"bench-{number % int(channels)}")
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, bytearray())
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(listen(selector, int(line))), flush=True)


def listen(selector: selectors.BaseSelector, events: int) -> list[float]:
    took: list[float] = []
    while len(took) < events:
        for key, _ in selector.select():
            assert isinstance(key.fileobj, socket.socket)
            key.data.extend(key.fileobj.recv(65_536))
            now = time.monotonic()
            end = 0
            for match in SENT.finditer(key.data):
                took.append(now - float(match[1]))
                end = match.end()
            del key.data[:end]
    return took


if __name__ == "__main__":
    main(*sys.argv[1:])
