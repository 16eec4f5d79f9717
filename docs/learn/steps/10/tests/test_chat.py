"""What people can rely on, asked of a real server over a real network."""

import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

GONE = (OSError, HTTPException)  # no answer came


def test_bob_reads_what_ada_has_said(ada, bob):
    chat = ada.asks(bob)

    ada.says(chat, "Hello, Bob!")

    status, messages = bob.get(f"/get_message/{chat}")
    assert status == 200
    assert [(each["from_user"], each["message"]) for each in messages] == [(ada.id, "Hello, Bob!")]


def test_a_stranger_cannot_tell_that_a_chat_exists(ada, bob, eve):
    chat = ada.asks(bob)

    theirs = eve.get(f"/get_message/{chat}")
    nobodys = eve.get("/get_message/private-chat_998_999")

    assert theirs == nobodys
    assert theirs[0] == 404


def test_eight_at_once_store_one_message(ada, bob):
    chat = ada.asks(bob)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: ada.says(chat, "Once!", "a1"), range(8)))

    assert sorted(status for status, _ in answers) == [200] * 7 + [201]
    assert len(ada.get(f"/get_message/{chat}")[1]) == 1


def test_a_killed_server_loses_no_message(server, ada, bob):
    chat = ada.asks(bob)
    answered = threading.Event()

    def kill_soon():
        answered.wait()
        server.kill()

    killer = threading.Thread(target=kill_soon)
    killer.start()
    unanswered = []
    for number in range(60):
        try:
            ada.says(chat, f"number {number}", f"key {number}")
        except GONE:
            unanswered.append(number)
        if number == 20:
            answered.set()  # from here on it may die at any moment
    killer.join()
    assert unanswered, "the server should have died before the last message"

    server.start()
    for number in unanswered:  # Ada's client sends again what it had no answer to
        ada.says(chat, f"number {number}", f"key {number}")

    page = bob.get(f"/get_message/{chat}")[1]
    assert sorted(each["message"] for each in page) == sorted(f"number {n}" for n in range(60))
