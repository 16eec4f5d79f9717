"""Let "Ada" and "ada" be one name."""

import pytest


@pytest.mark.parametrize("spelling", ["Ada", "ada", "ADA", "ＡＤＡ"])
def test_a_name_is_taken_in_all_its_spellings(client, spelling):
    client.post("/api/register", json={"username": "Ada"})

    answer = client.post("/api/register", json={"username": spelling})

    assert (answer.status_code, answer.json["code"]) == (409, "taken")


def test_a_name_is_shown_as_registered(client):
    answer = client.post("/api/register", json={"username": "Ada"})

    assert answer.status_code == 201
    assert answer.json["data"]["username"] == "Ada"
    assert [user["username"] for user in client.get("/api/users").json] == ["Ada"]
