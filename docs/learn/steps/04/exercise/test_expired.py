"""Let a token that has expired say so: the code is token_expired, and the client logs in again."""

import time

import jwt
import pytest

from app import app


def asked_with(client, **claims):
    token = jwt.encode(claims, app.config["SECRET_KEY"], "HS256")
    return client.get("/api/users", headers={"Authorization": f"Bearer {token}"})


def test_an_expired_token_says_so(client, ada):
    answer = asked_with(client, sub=str(ada.id), exp=time.time() - 1)

    assert (answer.status_code, answer.json["code"]) == (401, "token_expired")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", ""])
def test_any_other_token_is_unauthorized(client, token):
    answer = client.get("/api/users", headers={"Authorization": f"Bearer {token}"})

    assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")


def test_a_living_token_works(client, ada):
    assert asked_with(client, sub=str(ada.id), exp=time.time() + 60).status_code == 200
