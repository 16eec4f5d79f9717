import os
from tempfile import mkdtemp

import pytest

# The tests have a database of their own, and hashes that are cheap to make. The app reads this when
# it is imported.
os.environ["FLASK_SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{mkdtemp()}/test.db"
os.environ["FLASK_PASSWORD_HASH"] = "scrypt:128:8:1"

from app import app, db


@pytest.fixture
def client():
    """Sends requests to the app without a network. Its tables are empty at first."""
    with app.app_context():
        db.drop_all()
        db.create_all()
    return app.test_client()


class Person:
    """Somebody who is logged in."""

    def __init__(self, client, name):
        account = {"username": name, "password": "correct horse"}
        client.post("/api/register", json=account)
        data = client.post("/api/login", json=account).json["data"]
        self.client, self.id = client, data["id"]
        self.headers = {"Authorization": f"Bearer {data['token']}"}

    def get(self, path):
        return self.client.get(path, headers=self.headers)

    def post(self, path, members):
        return self.client.post(path, headers=self.headers, json=members)


@pytest.fixture
def ada(client):
    return Person(client, "ada")


@pytest.fixture
def bob(client):
    return Person(client, "bob")


@pytest.fixture
def eve(client):
    """The outsider."""
    return Person(client, "eve")
