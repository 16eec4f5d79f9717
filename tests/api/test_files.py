"""Files: sent as messages, kept in the storage, and given to the two people of the chat only."""

import io
import os
import time
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from flask import Flask
from PIL import Image
from sqlalchemy import update
from urllib3 import encode_multipart_formdata
from urllib3.fields import RequestField

from config import Settings
from models import Message as Row
from tests.support.conversations import (
    Chat,
    Message,
    News,
    block,
    changes,
    delete,
    edit,
    entry,
    found,
    meanwhile,
    now,
    ok,
    react,
    statements,
)
from tests.support.people import (
    Answer,
    Person,
    at_once,
    looking_into,
    refused,
    runtime_of,
    stored,
)
from tests.support.servers import eventually

TEXT = b"Meet me at noon."


def picture(kind: str = "PNG", size: tuple[int, int] = (1_000, 500), **options: Any) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", size, "red").save(made, kind, **options)
    return made.getvalue()


def sent(answer: Answer) -> Message:
    assert answer.status == 201, answer
    message: Message = answer.json
    return message


def bytes_of(person: Person, message: Message, what: str = "", **rest: Any) -> Answer:
    return person.get(f"/api/files/{message['file']['id']}{what}", **rest)


def kept(settings: Settings) -> list[str]:
    """What is in the storage and on its way there."""
    places = (Path(settings.instance_path, name) for name in ("files", "arriving"))
    return [str(path) for place in places for path in place.rglob("*") if path.is_file()]


@pytest.fixture
def notes(ada: Person, chat: Chat) -> Message:
    return sent(
        ada.sends(chat, "notes.txt", TEXT, message="Zanzibar plans", client_message_id="f1")
    )


@pytest.fixture
def photo(ada: Person, chat: Chat) -> Message:
    return sent(ada.sends(chat, "photo.png", picture()))


# Sending -----------------------------------------------------------------------------------------


def test_a_file_is_a_message_like_others(
    ada: Person, bob: Person, chat: Chat, settings: Settings
) -> None:
    since, news = now(bob), News(settings)

    message = sent(ada.sends(chat, "notes.txt", TEXT, message="Zanzibar plans"))

    assert (message["type"], message["message"]) == ("File", "Zanzibar plans")
    assert message["file"] | {"id": 0} == {
        "id": 0,
        "name": "notes.txt",
        "media_type": "application/octet-stream",
        "bytes": len(TEXT),
        "width": None,
        "height": None,
        "has_thumbnail": False,
    }
    (new_message, new_chat) = (data for _, _, data in news())
    assert new_message == new_chat["message"] == message
    assert bob.reads(chat).json == bob.reads(chat, limit=1).json == [message]
    assert changes(bob, since)["messages"] == [message]
    assert entry(bob, chat)["last_message"] == message
    assert entry(bob, chat)["unread"] == 1
    assert found(bob, "zanzibar") == ["Zanzibar plans"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_picture_is_told_from_its_bytes(ada: Person, chat: Chat, kind: str) -> None:
    message = sent(ada.sends(chat, "notes.txt", picture(kind)))

    assert message["type"] == "Image"
    file = message["file"]
    assert (file["width"], file["height"], file["has_thumbnail"]) == (1_000, 500, True)
    assert file["media_type"] == f"image/{kind.lower()}"


@pytest.mark.parametrize(
    "content",
    [
        *(b"\x89PNG\r\n\x1a\n", picture()[:-200], b"GIF89a" + b"\0" * 100, b"<svg></svg>"),
        picture("BMP"),
        # Says that it has 40,000 times 40,000 pixels.
        picture()[:16] + (40_000).to_bytes(4, "big") * 2 + picture()[24:],
        picture("PNG", (20_000, 3_000)),
    ],
)
def test_what_is_no_whole_picture_is_a_file(ada: Person, chat: Chat, content: bytes) -> None:
    message = sent(ada.sends(chat, "photo.png", content))

    assert (message["type"], message["file"]["has_thumbnail"]) == ("File", False)
    refused(bytes_of(ada, message, "/thumbnail"), 404, "not_found")
    assert bytes_of(ada, message).body == content


def test_a_thumbnail_is_small_upright_and_tells_nothing(ada: Person, chat: Chat) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its right side
    exif[0x010F] = "A camera of Ada's"

    message = sent(ada.sends(chat, "photo.jpg", picture("JPEG", exif=exif)))
    answer = bytes_of(ada, message, "/thumbnail")

    assert (message["file"]["width"], message["file"]["height"]) == (500, 1_000)
    assert answer.headers["content-type"] == "image/webp"
    small = Image.open(io.BytesIO(answer.body))
    assert small.size == (320, 640)
    assert not small.getexif()
    assert b"camera" not in answer.body


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        *(("a.txt", "a.txt"), ("../../etc/passwd", "passwd"), ("C:/x/y.exe", "y.exe")),
        *(("ü\N{GRINNING FACE}.txt", "ü\N{GRINNING FACE}.txt"), ("a\tb.txt", "ab.txt")),
        ('say "hi".txt', 'say "hi".txt'),
    ],
)
def test_a_name_is_kept_but_for_folders(ada: Person, chat: Chat, name: str, shown: str) -> None:
    assert sent(ada.sends(chat, name, TEXT))["file"]["name"] == shown


@pytest.mark.parametrize(
    ("name", "content", "members", "status", "code"),
    [
        ("a.txt", b"", {}, 400, "invalid"),
        ("..", TEXT, {}, 400, "invalid"),
        ("a.txt", TEXT, {"message": "  "}, 400, "invalid"),
        ("a.txt", TEXT, {"message": "x" * 5_001}, 400, "invalid"),
        ("a.txt", TEXT, {"from_user": 7_777}, 403, "forbidden"),
        ("a.txt", TEXT, {"to_user": 7_777}, 400, "invalid"),
        ("a.txt", TEXT, {"channel": "private-chat_1_7777"}, 404, "not_found"),
        ("a.txt", TEXT, {"reply_to": 7_777}, 404, "not_found"),
        ("a.txt", TEXT, {"message": "x" * 70_000}, 413, "too_large"),
    ],
)
def test_a_form_that_is_wrong_leaves_nothing_behind(
    *,
    ada: Person,
    chat: Chat,
    settings: Settings,
    name: str,
    content: bytes,
    members: dict[str, Any],
    status: int,
    code: str,
) -> None:
    refused(ada.sends(chat, name, content, **members), status, code)

    assert ada.reads(chat).json == []
    assert kept(settings) == []


@pytest.mark.parametrize("parts", [b"", b"--x\r\n\r\n", b"--x--\r\n", b"no form at all"])
def test_a_body_that_is_no_form_is_refused(ada: Person, settings: Settings, parts: bytes) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}

    refused(ada.post("/api/send_file", body=parts, headers=kind), 400, "invalid")

    assert kept(settings) == []


@pytest.mark.parametrize("member", ["message", "client_message_id", "channel"])
def test_a_part_that_is_no_text_is_refused(
    ada: Person, chat: Chat, settings: Settings, member: str
) -> None:
    parts = {"channel": chat["channel_name"], "file": ("a.txt", TEXT)} | {member: b"a\xff"}
    body, kind = encode_multipart_formdata(parts)

    answer = ada.post("/api/send_file", body=body, headers={"Content-Type": kind})

    assert member in refused(answer, 400, "invalid")
    assert kept(settings) == []


def test_a_caption_is_kept_as_it_was_sent(ada: Person, chat: Chat) -> None:
    caption = "\N{GRINNING FACE}\r\n\xe9\N{REPLACEMENT CHARACTER}"

    assert sent(ada.sends(chat, "a.txt", TEXT, message=caption))["message"] == caption


def test_a_caption_may_name_its_charset(ada: Person, chat: Chat) -> None:
    caption = RequestField(
        "message", b"\xfc", headers={"Content-Type": "text/plain; charset=iso-8859-1"}
    )
    caption.make_multipart(content_type=caption.headers["Content-Type"])
    parts = {"channel": chat["channel_name"], "file": ("a.txt", TEXT)}
    body, kind = encode_multipart_formdata([*parts.items(), caption])

    answer = ada.post("/api/send_file", body=body, headers={"Content-Type": kind})

    assert sent(answer)["message"] == "\xfc"


def test_a_file_is_sent_as_a_form(ada: Person, chat: Chat) -> None:
    refused(ada.post("/api/send_file", {"channel": 1}), 415, "unsupported_media_type")


def test_strangers_and_the_blocked_cannot_send(
    ada: Person, bob: Person, eve: Person, chat: Chat, settings: Settings
) -> None:
    refused(eve.sends(chat, "a.txt", TEXT), 404, "not_found")
    block(bob, ada)
    refused(ada.sends(chat, "a.txt", TEXT), 403, "blocked")

    assert kept(settings) == []


def test_a_file_without_a_caption_has_an_empty_text(ada: Person, chat: Chat) -> None:
    assert sent(ada.sends(chat, "a.txt", TEXT))["message"] == ""
    assert sent(ada.sends(chat, "a.txt", TEXT, message=""))["message"] == ""


def test_a_retry_stores_nothing_again(
    ada: Person, chat: Chat, notes: Message, settings: Settings
) -> None:
    news = News(settings)

    again = ada.sends(chat, "notes.txt", TEXT, message="Zanzibar plans", client_message_id="f1")

    assert (again.status, again.json) == (200, notes)
    assert news() == []
    assert len(kept(settings)) == 1


@pytest.mark.parametrize(
    ("name", "content", "caption"),
    [
        ("notes.txt", b"Other bytes.....", "Zanzibar plans"),
        ("other.txt", TEXT, "Zanzibar plans"),
        ("notes.txt", TEXT, "Other plans"),
    ],
)
def test_a_retry_with_another_file_conflicts(
    *,
    ada: Person,
    chat: Chat,
    notes: Message,
    settings: Settings,
    name: str,
    content: bytes,
    caption: str,
) -> None:
    answer = ada.sends(chat, name, content, message=caption, client_message_id="f1")

    refused(answer, 409, "conflict")
    assert len(kept(settings)) == 1


def test_a_text_is_no_retry_of_a_file(ada: Person, chat: Chat, notes: Message) -> None:
    refused(ada.says(chat, "Zanzibar plans", client_message_id="f1"), 409, "conflict")


def test_retries_at_once_store_one_file(ada: Person, chat: Chat, settings: Settings) -> None:
    answers = at_once(4, lambda _: ada.sends(chat, "a.txt", TEXT, client_message_id="f2"))

    assert sorted(answer.status for answer in answers) == [200, 200, 200, 201]
    assert len(kept(settings)) == len(ada.reads(chat).json) == 1


def test_a_file_can_answer_and_be_answered(ada: Person, bob: Person, chat: Chat) -> None:
    asked = bob.said(chat, "Plans?")

    file = sent(ada.sends(chat, "a.png", picture(), reply_to=asked["id"]))
    reply = bob.said(chat, "Nice", reply_to=file["id"])

    assert file["reply_to"]["message"] == "Plans?"
    assert (reply["reply_to"]["type"], reply["reply_to"]["message"]) == ("Image", "")


# Limits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "members", [{"message": "x" * 200_000}, {f"member{n}": "x" for n in range(30)}]
)
def test_no_file_is_blamed_for_too_much_beside(
    ada: Person, chat: Chat, members: dict[str, str]
) -> None:
    sentence = refused(ada.sends(chat, "a.txt", TEXT, **members), 413, "too_large")

    assert "64 KiB" in sentence
    assert "20 parts" in sentence


def test_a_file_that_is_too_large_is_refused(make_api: Any, settings: Settings) -> None:
    api = make_api(file_max_bytes=10_000)
    ada, bob = api.sign_up("ada"), api.sign_up("bob")
    chat = ada.asks(bob).json

    assert ada.sends(chat, "a", b"x" * 10_000).status == 201
    for size in (10_001, 90_000):
        refused(ada.sends(chat, "a", b"x" * size), 413, "too_large")

    assert len(kept(settings)) == 1


def test_a_user_has_room_for_so_many_bytes(make_api: Any, settings: Settings) -> None:
    api = make_api(files_bytes_per_user=100)
    ada, bob = api.sign_up("ada"), api.sign_up("bob")
    chat = ada.asks(bob).json
    first = sent(ada.sends(chat, "a", b"x" * 60, client_message_id="f1"))

    refused(ada.sends(chat, "b", b"x" * 41), 413, "too_large")

    assert len(kept(settings)) == 1
    assert ada.sends(chat, "a", b"x" * 60, client_message_id="f1").status == 200
    assert bob.sends(chat, "b", b"x" * 100).status == 201
    ok(delete(ada, first))
    assert ada.sends(chat, "b", b"x" * 100).status == 201


def test_files_sent_at_once_keep_to_the_room(make_api: Any) -> None:
    api = make_api(files_bytes_per_user=100)
    ada, bob = api.sign_up("ada"), api.sign_up("bob")
    chat = ada.asks(bob).json

    answers = at_once(4, lambda number: ada.sends(chat, f"{number}", b"x" * 40))

    assert sorted(answer.status for answer in answers) == [201, 201, 413, 413]


def test_a_disk_that_is_nearly_full_takes_no_file(make_api: Any, settings: Settings) -> None:
    api = make_api(files_free_bytes=10**15 - 1)
    ada, bob = api.sign_up("ada"), api.sign_up("bob")
    chat = ada.asks(bob).json

    refused(ada.sends(chat, "a", TEXT), 503, "unavailable")

    assert ada.says(chat, "Hello").status == 201
    assert kept(settings) == []


def test_files_count_as_messages(make_api: Any) -> None:
    api = make_api(ratelimit_messages="1 per minute")
    ada, bob = api.sign_up("ada"), api.sign_up("bob")
    chat = ada.asks(bob).json
    sent(ada.sends(chat, "a", TEXT))

    refused(ada.sends(chat, "a", TEXT), 429, "rate_limited")


# Serving -----------------------------------------------------------------------------------------


def test_both_people_get_the_bytes_and_nobody_else(
    ada: Person, bob: Person, eve: Person, notes: Message, photo: Message
) -> None:
    for message, content in ((notes, TEXT), (photo, picture())):
        for person in (ada, bob):
            answer = bytes_of(person, message)
            assert (answer.status, answer.body) == (200, content)
        missing = eve.get("/api/files/7777")
        for what in ("", "/thumbnail"):
            refused(bytes_of(eve, message, what), 404, "not_found")
        refused(eve.post(f"/api/files/{message['file']['id']}/url"), 404, "not_found")
        assert bytes_of(eve, message).timeless == missing.timeless


def test_nothing_in_a_file_runs(ada: Person, chat: Chat, photo: Message) -> None:
    page = sent(ada.sends(chat, "ü.html", b"<script>alert(1)</script>"))

    answer = bytes_of(ada, page)

    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert "filename*=UTF-8''%C3%BC.html" in answer.headers["content-disposition"]
    assert answer.headers["cache-control"] == "private, max-age=86400, immutable"
    shown = bytes_of(ada, photo).headers
    assert shown["content-disposition"] == "inline; filename=photo.png"
    assert shown["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-3", 206, TEXT[:4]),
        ("bytes=12-", 206, TEXT[12:]),
        ("bytes=-5", 206, TEXT[-5:]),
        ("bytes=0-999", 206, TEXT),
        ("lines=1-2", 200, TEXT),
        ("bytes=0-0,2-2", 200, TEXT),
        ("bytes=5-2", 200, TEXT),
        ("bytes", 200, TEXT),
        ("bytes=x", 200, TEXT),
        ("bytes=-99", 200, TEXT),
    ],
)
def test_a_range_is_answered_with_its_part(
    bob: Person, notes: Message, asked: str, status: int, part: bytes
) -> None:
    answer = bytes_of(bob, notes, headers={"Range": asked})

    assert (answer.status, answer.body) == (status, part)
    assert answer.headers["accept-ranges"] == "bytes"
    if status == 206:
        assert answer.headers["content-range"].endswith(f"/{len(TEXT)}")


def test_a_range_beyond_the_file_is_refused(bob: Person, notes: Message) -> None:
    answer = bytes_of(bob, notes, headers={"Range": "bytes=99-"})

    refused(answer, 416, "requested_range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(TEXT)}"


def test_what_a_browser_has_is_not_sent_again(bob: Person, photo: Message) -> None:
    for what in ("", "/thumbnail"):
        etag = bytes_of(bob, photo, what).headers["etag"]
        again = bytes_of(bob, photo, what, headers={"If-None-Match": etag})
        assert (again.status, again.body) == (304, b"")
        part = {"Range": "bytes=0-3", "If-Range": etag}
        assert bytes_of(bob, photo, what, headers=part).status == 206


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("If-None-Match", "{etag}", 304),
        ("If-None-Match", "W/{etag}", 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", '"another"', 206),
        ("If-Range", "W/{etag}", 200),
        ("If-Range", '"another"', 200),
        ("If-Match", "{etag}", 206),
        ("If-Match", "*", 206),
        ("If-Match", '"another"', 412),
        ("If-Match", "W/{etag}", 412),
    ],
)
def test_conditions_come_before_the_range(
    bob: Person, notes: Message, name: str, value: str, status: int
) -> None:
    etag = bytes_of(bob, notes).headers["etag"]
    condition = {name: value.format(etag=etag)}

    assert bytes_of(bob, notes, headers={"Range": "bytes=0-3", **condition}).status == status
    whole = bytes_of(bob, notes, headers=condition)
    assert whole.status == (200 if status == 206 else status)
    if status == 412:
        refused(whole, 412, "precondition_failed")


def test_a_signed_address_needs_no_token(bob: Person, photo: Message) -> None:
    path = f"/api/files/{photo['file']['id']}/url"

    whole, small = bob.post(path).json["url"], bob.post(path, thumbnail="true").json["url"]

    assert bob.api.get(whole).body == picture()
    assert bob.api.get(small).headers["content-type"] == "image/webp"
    assert bob.api.get(whole, headers={"Range": "bytes=0-3"}).status == 206


def test_no_address_is_signed_without_a_thumbnail(bob: Person, notes: Message) -> None:
    answer = bob.post(f"/api/files/{notes['file']['id']}/url", thumbnail="true")

    refused(answer, 404, "not_found")


def test_a_signed_address_ends_with_the_message(ada: Person, bob: Person, photo: Message) -> None:
    url = bob.post(f"/api/files/{photo['file']['id']}/url").json["url"]
    bob.post("/api/logout", {"all": True})
    assert bob.api.get(url).status == 200

    ok(delete(ada, photo))

    refused(bob.api.get(url), 404, "not_found")


def test_a_signed_address_ends_after_ten_minutes(
    bob: Person, photo: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() - 601)
    url = bob.post(f"/api/files/{photo['file']['id']}/url").json["url"]
    monkeypatch.undo()

    refused(bob.api.get(url), 403, "forbidden")


def test_a_forged_address_is_refused(bob: Person, photo: Message) -> None:
    url = bob.post(f"/api/files/{photo['file']['id']}/url").json["url"]

    for forged in (url[:-4] + "aaaa", f"/api/files/signed/{bob.token}", "/api/files/signed/x"):
        refused(bob.api.get(forged), 403, "forbidden")
    bearer = {"Authorization": f"Bearer {url.rpartition('/')[2]}"}
    refused(bob.api.get("/api/me", headers=bearer), 401, "unauthorized")


# Erasing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["notes", "photo"])
def test_a_deletion_erases_the_bytes(
    ada: Person, settings: Settings, request: pytest.FixtureRequest, app: Flask, name: str
) -> None:
    message = request.getfixturevalue(name)

    deleted = ok(delete(ada, message))

    assert (deleted["type"], deleted["file"]) == (message["type"], None)
    refused(bytes_of(ada, message), 404, "not_found")
    assert stored(settings, "files")["files"] == []
    assert eventually(lambda: kept(settings) == [])


def test_a_deletion_erases_names_in_waiting_events(
    ada: Person, notes: Message, settings: Settings
) -> None:
    ok(delete(ada, notes))

    assert "notes.txt" not in str(stored(settings, "events"))


def test_an_account_that_is_erased_leaves_no_files(
    ada: Person, bob: Person, chat: Chat, notes: Message, photo: Message, settings: Settings
) -> None:
    password = {"password": "correct horse", "erase": True}

    assert ada.request("DELETE", "/api/me", password).status == 204

    assert [message["file"] for message in bob.reads(chat).json] == [None, None]
    assert eventually(lambda: kept(settings) == [])


def test_a_caption_is_edited_and_the_file_stays(ada: Person, notes: Message) -> None:
    assert ok(edit(ada, notes, "Other plans"))["file"] == notes["file"]


def test_what_no_message_refers_to_is_pruned(
    app: Flask, notes: Message, photo: Message, settings: Settings
) -> None:
    before = kept(settings)
    lost = [
        Path(settings.instance_path, "files", "ab", "ab" * 16 + end) for end in ("", "-thumbnail")
    ]
    new = Path(settings.instance_path, "files", "cd", "cd" * 16)
    for path in (*lost, new):
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(TEXT)
    for path in (*lost, *map(Path, before)):
        os.utime(path, (time.time() - 4_000,) * 2)

    result = app.test_cli_runner().invoke(args=["files", "prune"])

    assert result.output == "1 removed.\n"
    assert sorted(kept(settings)) == sorted([*before, str(new)])


def test_what_an_older_version_deletes_shows_no_file(
    app: Flask, ada: Person, bob: Person, chat: Chat, notes: Message, settings: Settings
) -> None:
    """It knows of no files: text and time of the message are all that it changes."""
    react(bob, notes, "👍")
    signed = bob.post(f"/api/files/{notes['file']['id']}/url").json["url"]
    with looking_into(settings) as database:
        database.execute(update(Row).values(text="", deleted_at=datetime(2026, 1, 1)))
        database.commit()

    (message,) = bob.reads(chat).json
    assert (message["file"], message["reactions"]) == (None, [])
    refused(bytes_of(bob, notes), 404, "not_found")
    refused(bob.api.get(signed), 404, "not_found")
    for path in map(Path, kept(settings)):
        os.utime(path, (time.time() - 4_000,) * 2)

    app.test_cli_runner().invoke(args=["files", "prune"])

    assert stored(settings, "files")["files"] == []
    assert eventually(lambda: kept(settings) == [])


# Cost --------------------------------------------------------------------------------------------


def test_a_page_with_files_takes_no_more_statements(
    app: Flask, ada: Person, chat: Chat, notes: Message
) -> None:
    with statements(app) as before:
        ada.reads(chat, limit=50)
    for _ in range(5):
        sent(ada.sends(chat, "a.png", picture()))

    with statements(app) as after:
        ada.reads(chat, limit=50)

    assert len(after) == len(before)


def test_the_export_has_the_addresses_of_files(ada: Person, photo: Message) -> None:
    lines = ada.get("/api/me/export").body.decode().splitlines()

    assert f'"url":"/api/files/{photo["file"]["id"]}"' in lines[-1]


def test_pictures_are_looked_at_one_by_one(ada: Person, chat: Chat, app: Flask) -> None:
    done = Event()
    runtime_of(app).looking.submit(done.wait, 60)
    with meanwhile(lambda: ada.sends(chat, "a.png", picture())) as sending:
        assert ada.says(chat, "Others go on").status == 201
        assert not sending.done()
        done.set()
        assert sending.result().status == 201
