"""Let a client_message_id that was used for another message be a conflict."""

import pytest


@pytest.fixture
def chat(ada, bob):
    return ada.post("/api/request_chat", {"to_user": bob.id}).json


def test_another_text_is_a_conflict(ada, chat):
    said = {"channel": chat["channel_name"], "message": "Yes", "client_message_id": "a1"}
    ada.post("/api/send_message", said)

    answer = ada.post("/api/send_message", {**said, "message": "No"})

    assert (answer.status_code, answer.json["code"]) == (409, "conflict")


def test_another_chat_is_a_conflict(ada, eve, chat):
    said = {"channel": chat["channel_name"], "message": "Yes", "client_message_id": "a1"}
    ada.post("/api/send_message", said)
    with_eve = ada.post("/api/request_chat", {"to_user": eve.id}).json

    answer = ada.post("/api/send_message", {**said, "channel": with_eve["channel_name"]})

    assert (answer.status_code, answer.json["code"]) == (409, "conflict")


def test_the_same_message_is_none(ada, chat):
    said = {"channel": chat["channel_name"], "message": "Yes", "client_message_id": "a1"}
    first = ada.post("/api/send_message", said)

    again = ada.post("/api/send_message", {**said, "channel": chat["channel_id"]})

    assert (again.status_code, again.json) == (200, first.json)
