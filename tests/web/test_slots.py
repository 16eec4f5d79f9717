"""A request that waits, for a client or for a turn, keeps no other from being served."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import event
from werkzeug.security import check_password_hash

from database import db
from tests.support.conversations import sqlite_only
from tests.support.people import JSON, ChatServer, InProcess, Person
from tests.support.servers import HOST, PATIENCE

HEAD = "POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BODY = HEAD + 'Content-Length: 100\r\n\r\n{"username": '


@pytest.mark.abuse
@sqlite_only
@pytest.mark.parametrize("sent", [HEAD, BODY], ids=["head", "body"])
def test_clients_that_stall_hold_no_work_slot(start: Callable[..., ChatServer], sent: str) -> None:
    server = start("gunicorn")
    with ExitStack() as stack:
        for _ in range(60):
            silent = stack.enter_context(socket.create_connection((HOST, server.port)))
            silent.sendall(sent.encode())

        assert server.api.get("/health").status == 200


@sqlite_only
def test_logins_that_await_their_turn_hold_no_slot(
    make_api: Callable[..., InProcess], ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.WORK_SLOTS", 1)
    api = make_api()
    hashing, go_on = threading.Event(), threading.Event()

    def hash_for_long(*given: Any) -> bool:
        hashing.set()
        assert go_on.wait(PATIENCE)
        return check_password_hash(*given)

    monkeypatch.setattr("auth.check_password_hash", hash_for_long)

    with ThreadPoolExecutor() as pool:
        logins = [pool.submit(api.login, "ada") for _ in range(3)]
        assert hashing.wait(PATIENCE)
        try:
            answer = pool.submit(api.get, "/health").result(PATIENCE)
        finally:
            go_on.set()

    assert answer.status == 200
    assert [login.result().status for login in logins] == [200] * 3


@sqlite_only
def test_a_work_slot_is_for_one_request(
    make_api: Callable[..., InProcess], ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.WORK_SLOTS", 2)
    api = make_api()
    somebody = Person(api, ada.id, ada.username, ada.token, ada.expires_in)
    at_work, had_room = threading.Semaphore(2), []

    def work(*_: Any) -> None:
        room = at_work.acquire(blocking=False)
        had_room.append(room)
        time.sleep(0.002)  # long enough for others to come, if they can
        if room:
            at_work.release()

    for body in (b"{}", b"{", b" " * 70_000):  # these leave their slots and come back
        assert somebody.post("/api/request_chat", body=body, headers=JSON).status in (400, 413)
    assert api.login("ada").status == 200
    assert api.login("ada", "wrong").status == 401
    with api.app.app_context():
        event.listen(db.engine, "before_cursor_execute", work)

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: somebody.get("/api/me").status, range(64)))

    assert statuses == [200] * 64
    assert had_room == [True] * 64
