"""Let /api/users say since when somebody is there."""

from datetime import UTC, datetime, timedelta


def test_users_say_since_when(client):
    client.post("/api/register", json={"username": "ada"})

    (ada,) = client.get("/api/users").json

    assert ada["created_at"].endswith("Z"), "a time says its zone: Z is UTC"
    age = datetime.now(UTC) - datetime.fromisoformat(ada["created_at"])
    assert timedelta(0) <= age < timedelta(minutes=1)


def test_the_time_is_kept(client):
    client.post("/api/register", json={"username": "ada"})

    first = client.get("/api/users").json
    again = client.get("/api/users").json

    assert first == again


def test_each_has_a_time_of_their_own(client):
    for name in ("ada", "bob"):
        client.post("/api/register", json={"username": name})

    ada, bob = client.get("/api/users").json

    assert ada["created_at"] < bob["created_at"]
