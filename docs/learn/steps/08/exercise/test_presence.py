"""Let everybody who is logged in join presence-chitchat, where one sees who is online.

A presence channel has members. So what is signed also says who it is that subscribes: channel_data.
"""

import hashlib
import hmac
import json

from app import app


def test_presence_is_signed_with_who_it_is(ada):
    asked = {"socket_id": "123.456", "channel_name": "presence-chitchat"}

    answer = ada.post("/api/pusher/auth", asked)

    assert answer.status_code == 200
    data = answer.json["channel_data"]
    assert json.loads(data) == {
        "user_id": str(ada.id),
        "user_info": {"id": ada.id, "username": "ada"},
    }
    text = f"123.456:presence-chitchat:{data}"
    secret = app.config["PUSHER_SECRET"].encode()
    digest = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
    assert answer.json["auth"] == f"key:{digest}"


def test_nobody_says_who_they_are_themselves(ada):
    asked = {"socket_id": "123.456", "channel_name": "presence-chitchat"}
    lie = {"channel_data": '{"user_id": "7", "user_info": {"username": "eve"}}', "user_id": "7"}

    answer = ada.post("/api/pusher/auth", {**asked, **lie})

    assert json.loads(answer.json["channel_data"])["user_id"] == str(ada.id)


def test_other_presence_channels_are_refused(ada):
    asked = {"socket_id": "123.456", "channel_name": "presence-other"}

    assert ada.post("/api/pusher/auth", asked).status_code == 403
