"""Files in a bucket of S3, over HTTP, and what becomes of them when it fails."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event as Signal
from typing import Any

import boto3
import pytest
from flask import Flask
from moto.server import ThreadedMotoServer

from chat import bucket, files
from config import Settings
from database import db
from tests.api.test_files import TEXT, bytes_of, kept, picture, sent
from tests.chat.test_backups import done, run
from tests.support.conversations import Chat, Message, delete, meanwhile, ok
from tests.support.harmful_proxy import HarmfulProxy
from tests.support.interruptions import interrupting
from tests.support.people import Api, Person, at_once, refused, runtime_of
from tests.support.servers import HOST, PATIENCE, eventually

pytestmark = pytest.mark.slow

NAME = "photos"
URL = f"s3://{NAME}/chat"
FOREIGN = "chat/readme.txt"
#: More than a connection takes at once.
LARGE = os.urandom(3_000_000)


@pytest.fixture(scope="module")
def s3() -> Iterator[int]:
    """The port of a server that speaks like S3."""
    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()[1]
    finally:
        server.stop()


@pytest.fixture
def proxy(s3: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[HarmfulProxy]:
    with HarmfulProxy(s3) as proxy:
        variables = {
            "AWS_ENDPOINT_URL": f"http://{HOST}:{proxy.port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(bucket, "ANSWER_SECONDS", 1)
        yield proxy


@pytest.fixture
def client(proxy: HarmfulProxy) -> Iterator[Any]:
    """The bucket, which has an object of somebody else's."""
    client = boto3.client("s3")
    client.create_bucket(Bucket=NAME)
    for item in client.list_objects_v2(Bucket=NAME).get("Contents", []):
        client.delete_object(Bucket=NAME, Key=item["Key"])
    client.put_object(Bucket=NAME, Key=FOREIGN, Body=b"Not ours")
    yield client
    client.close()


@pytest.fixture
def api(client: Any, make_api: Any) -> Iterator[Any]:
    api = make_api(files_url=URL, ratelimit_enabled=False)
    yield api
    runtime_of(api.app).storage.close()


@pytest.fixture
def app(api: Any) -> Flask:
    app: Flask = api.app
    return app


def objects(client: Any) -> list[str]:
    listed = client.list_objects_v2(Bucket=NAME).get("Contents", [])
    return [item["Key"] for item in listed if item["Key"] != FOREIGN]


@pytest.fixture
def large(ada: Person, chat: Chat) -> Message:
    return sent(ada.sends(chat, "large.bin", LARGE))


def test_files_in_a_bucket_are_files_like_others(
    ada: Person, bob: Person, chat: Chat, large: Message, client: Any, settings: Settings
) -> None:
    photo = sent(ada.sends(chat, "photo.png", picture()))

    assert bytes_of(bob, photo).body == picture()
    assert bytes_of(bob, photo, "/thumbnail").headers["content-type"] == "image/webp"
    assert bytes_of(bob, large).body == LARGE
    part = bytes_of(bob, large, headers={"Range": "bytes=1000000-1999999"})
    assert (part.status, part.body) == (206, LARGE[1_000_000:2_000_000])
    refused(bytes_of(bob, large, headers={"Range": "bytes=3000000-"}), 416, REFUSED)
    assert len(objects(client)) == 3
    assert kept(settings) == []

    for message in (photo, large):
        ok(delete(ada, message))

    assert eventually(lambda: objects(client) == [])


REFUSED = "requested_range_not_satisfiable"


@pytest.mark.parametrize("hangs", [False, True])
def test_a_bucket_that_is_away_is_said(
    *,
    ada: Person,
    bob: Person,
    chat: Chat,
    large: Message,
    proxy: HarmfulProxy,
    client: Any,
    settings: Settings,
    hangs: bool,
) -> None:
    proxy.harm(after=0, hangs=hangs)

    answers = at_once(10, lambda _: ada.sends(chat, "a.png", picture()))
    for answer in answers:
        refused(answer, 503, "unavailable")
    refused(bytes_of(bob, large), 503, "unavailable")
    assert ada.says(chat, "Texts go on").status == 201
    assert kept(settings) == []

    proxy.heal()
    assert bytes_of(bob, large).body == LARGE
    assert ada.sends(chat, "a.png", picture()).status == 201
    assert [each["type"] for each in bob.reads(chat).json] == ["File", "Text", "Image"]


def test_a_bucket_that_is_missing_is_said(ada: Person, chat: Chat, client: Any) -> None:
    client.delete_object(Bucket=NAME, Key=FOREIGN)
    client.delete_bucket(Bucket=NAME)

    refused(ada.sends(chat, "a", TEXT), 503, "unavailable")

    assert ada.reads(chat).json == []


def test_bytes_that_cannot_be_read_are_said(bob: Person, large: Message, client: Any) -> None:
    [key] = objects(client)
    frozen = {"Bucket": NAME, "Key": key, "StorageClass": "GLACIER"}  # it can be found, not read
    client.copy_object(CopySource={"Bucket": NAME, "Key": key}, **frozen)

    refused(bytes_of(bob, large), 503, "unavailable")

    refused(bytes_of(bob, large, headers={"Range": "bytes=1000000-"}), 503, "unavailable")


def test_texts_go_on_while_a_bucket_hangs(
    ada: Person, bob: Person, chat: Chat, proxy: HarmfulProxy
) -> None:
    proxy.slow_down(0.5)

    def act(number: int) -> int:
        if number:
            return ada.sends(chat, "a", TEXT).status
        return bob.says(chat, "Hello").status

    assert at_once(6, act) == [201] * 6
    assert "Hello" in [each["message"] for each in bob.reads(chat).json]


def test_who_waits_for_a_bucket_holds_no_connection(
    app: Flask, bob: Person, large: Message, proxy: HarmfulProxy
) -> None:
    with app.app_context():
        pool: Any = db.engine.pool
    asking = Signal()
    proxy.harm(after=0, hangs=True)

    with (
        interrupting(app, "FROM files", lambda _: asking.set()),
        meanwhile(lambda: bytes_of(bob, large)) as download,
    ):
        assert asking.wait(PATIENCE)
        assert eventually(lambda: not pool.checkedout() or download.done())
        assert not download.done()


@pytest.mark.parametrize("hangs", [False, True])
def test_an_answer_cut_off_is_asked_for_again(
    bob: Person, large: Message, proxy: HarmfulProxy, *, hangs: bool
) -> None:
    proxy.harm(after=1_000_000, hangs=hangs, times=2)

    assert bytes_of(bob, large).body == LARGE


def test_bytes_that_are_gone_are_not_found(
    bob: Person, large: Message, client: Any, settings: Settings
) -> None:
    for key in objects(client):
        client.delete_object(Bucket=NAME, Key=key)

    refused(bytes_of(bob, large), 404, "not_found")


def test_a_bucket_is_pruned_of_what_is_ours(
    app: Flask, ada: Person, large: Message, client: Any
) -> None:
    before = objects(client)
    for end in ("", "-thumbnail"):
        client.put_object(Bucket=NAME, Key=f"chat/{'ab' * 16}{end}", Body=TEXT)
    client.put_object(Bucket=NAME, Key="others/" + "ab" * 16, Body=TEXT)

    with app.app_context():
        storage = runtime_of(app).storage
        assert files.prune(storage, 3_600) == 0
        assert files.prune(storage, -60) == 1

    assert sorted(objects(client)) == sorted([*before, "others/" + "ab" * 16])
    assert client.get_object(Bucket=NAME, Key=FOREIGN)["Body"].read() == b"Not ours"


def test_files_move_to_a_bucket_and_back(
    make_api: Any, client: Any, settings: Settings, tmp_path: Path
) -> None:
    api: Api = make_api()
    ada, bob = api.sign_up("ada"), api.sign_up("bob")
    chat = ada.asks(bob).json
    before = len(kept(settings))
    photo = sent(ada.sends(chat, "photo.png", picture()))

    assert "must look like s3://" in run(settings, "files", "copy", "photos")[1]
    assert f"{before + 2} copied, 0 were there" in done(run(settings, "files", "copy", URL))
    assert f"0 copied, {before + 2} were there" in done(run(settings, "files", "copy", URL))
    there = replace(settings, files_url=URL)
    in_bucket = make_api(files_url=URL)
    ada.api = in_bucket
    for path in map(Path, kept(settings)):
        path.unlink()
    assert bytes_of(ada, photo).body == picture()

    assert f"{before + 2} copied" in done(run(there, "files", "copy", "folder"))
    ada.api = make_api()
    assert bytes_of(ada, photo).body == picture()
    assert bytes_of(ada, photo, "/thumbnail").status == 200
