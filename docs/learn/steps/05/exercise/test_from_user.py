"""Some clients send from_user and to_user with everything. Let what they say there be true."""


def test_nobody_asks_in_the_name_of_another(ada, bob, eve):
    answer = eve.post("/api/request_chat", {"from_user": ada.id, "to_user": bob.id})

    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")


def test_nobody_speaks_in_the_name_of_another(ada, bob):
    chat = ada.post("/api/request_chat", {"to_user": bob.id}).json
    said = {"channel": chat["channel_name"], "message": "It is me, Ada."}

    answer = bob.post("/api/send_message", {**said, "from_user": ada.id})

    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert ada.get(f"/api/get_message/{chat['channel_name']}").json == []


def test_the_receiver_is_the_other_one(ada, bob, eve):
    chat = ada.post("/api/request_chat", {"to_user": bob.id}).json
    said = {"channel": chat["channel_name"], "message": "Hello, Eve."}

    answer = ada.post("/api/send_message", {**said, "to_user": eve.id})

    assert (answer.status_code, answer.json["code"]) == (400, "invalid")


def test_the_truth_may_be_said(ada, bob):
    pair = {"from_user": ada.id, "to_user": bob.id}
    chat = ada.post("/api/request_chat", pair).json

    said = {**pair, "channel": chat["channel_name"], "message": "Hello, Bob."}

    assert ada.post("/api/send_message", said).status_code == 201
