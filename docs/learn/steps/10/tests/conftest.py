"""Real servers and people for the tests. Nothing of the app is imported here."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection

import pytest


class Server:
    """The chat in a process of its own. It can be killed and started again."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            self.port = free.getsockname()[1]
        self.environment = {
            **os.environ,
            "FLASK_SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder}/chat.db",
            "FLASK_PASSWORD_HASH": "scrypt:128:8:1",
        }

    def start(self):
        command = [sys.executable, "-m", "flask", "run", "--port", str(self.port)]
        self.process = subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                return socket.create_connection(("localhost", self.port)).close()
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server has not started within a minute")

    def kill(self):
        """End it between any two of its steps, as a power cut would. It cannot object."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Person:
    """Somebody who is logged in."""

    def __init__(self, server, name):
        self.server, self.token = server, None
        account = {"username": name, "password": "correct horse"}
        self.post("/register", account)
        data = self.post("/login", account)[1]["data"]
        self.id, self.token = data["id"], data["token"]

    def ask(self, method, path, members=None):
        """The status and the JSON of the answer. Raises OSError if there is none."""
        connection = HTTPConnection("localhost", self.server.port, timeout=60)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        connection.request(method, f"/api{path}", json.dumps(members), headers)
        with connection.getresponse() as answer:
            return answer.status, json.load(answer)

    def get(self, path):
        return self.ask("GET", path)

    def post(self, path, members):
        return self.ask("POST", path, members)

    def asks(self, peer):
        return self.post("/request_chat", {"to_user": peer.id})[1]["channel_name"]

    def says(self, chat, text, key=None):
        return self.post(
            "/send_message", {"channel": chat, "message": text, "client_message_id": key}
        )


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def ada(server):
    return Person(server, "ada")


@pytest.fixture
def bob(server):
    return Person(server, "bob")


@pytest.fixture
def eve(server):
    """The outsider."""
    return Person(server, "eve")
