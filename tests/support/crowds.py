"""Crowds: many logins at once against a real server, each by a connection of its own."""

import json
import socket
import time
from contextlib import closing, suppress
from http.client import HTTPResponse

from tests.support.people import Answer
from tests.support.servers import HOST, PATIENCE


class LoginOnItsWay:
    """A login that was sent, and whose answer nobody has read yet."""

    def __init__(self, port: int, username: str, address: str = "") -> None:
        body = json.dumps({"username": username, "password": "wrong password"})
        head = f"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        head += "Content-Type: application/json\r\n"
        head += f"X-Forwarded-For: {address}\r\n" if address else ""
        self.sock = socket.create_connection((HOST, port), timeout=PATIENCE)
        self.sock.sendall(f"{head}\r\n{body}".encode())

    def answer(self) -> Answer:
        with closing(HTTPResponse(self.sock)) as response:
            response.begin()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())

    def has_answer(self) -> bool:
        """Whether at least its first byte has arrived."""
        self.sock.settimeout(0)
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        finally:
            self.sock.settimeout(PATIENCE)

    def hang_up(self) -> None:
        with suppress(OSError):
            self.sock.close()


def answered(logins: list[LoginOnItsWay], count: int) -> bool:
    """Whether so many of them have an answer, once as many do or patience ends."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if sum(login.has_answer() for login in logins) >= count:
            return True
        time.sleep(0.05)
    return False
