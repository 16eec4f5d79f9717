"""Bad input of every kind: a 4xx in the one shape, nothing left behind, from every server."""

import gzip
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPResponse, RemoteDisconnected
from typing import Any
from urllib.parse import urlencode

import pytest

from config import Settings, load
from tests.support.people import (
    JSON,
    PASSWORD,
    Answer,
    Api,
    ChatServer,
    InProcess,
    OverHttp,
    Person,
    refused,
    stored,
)
from tests.support.servers import HOST

Chat = dict[str, Any]
PATHS = ["/api/register", "/api/login", "/api/request_chat", "/api/send_message"]
BODIES = [*PATHS, "/api/pusher/auth"]


@pytest.fixture(scope="module")
def server(
    backend: str,
    new_database: Callable[[Any], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ChatServer]:
    """One API for all these tests, because a refused request leaves nothing behind."""
    folder = tmp_path_factory.mktemp("server")
    settings = {"INSTANCE_PATH": str(folder), "DATABASE_URL": new_database(folder)}
    with ChatServer("flask" if backend == "sqlite" else "gunicorn", **settings) as server:
        yield server


@pytest.fixture(scope="module")
def settings(server: ChatServer) -> Settings:
    return load(server.settings)


@pytest.fixture(scope="module")
def api(server: ChatServer) -> OverHttp:
    return server.api


@pytest.fixture(scope="module")
def ada(api: OverHttp) -> Person:
    return api.sign_up("ada")


@pytest.fixture(scope="module")
def bob(api: OverHttp) -> Person:
    return api.sign_up("bob")


@pytest.fixture(scope="module")
def chat(ada: Person, bob: Person) -> Chat:
    chat: Chat = ada.asks(bob).json
    return chat


@pytest.fixture(autouse=True)
def nothing_is_left_behind(settings: Settings, chat: Chat) -> Iterator[None]:
    tables = ("users", "sessions", "channels", "messages")
    before = stored(settings, *tables)
    yield
    assert stored(settings, *tables) == before


DEEP = 20_000
MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "white space": b" \n",
    "cut short": b'{"username": "ada"',
    "not quoted": b"{username: ada}",
    "single quotes": b"{'username': 'ada'}",
    "trailing comma": b'{"username": "ada",}',
    "two values": b"{}{}",
    "a comment": b"{} // ada",
    "not JSON": b"username=ada",
    "NaN": b'{"to_user": NaN, "username": NaN, "message": NaN, "socket_id": NaN}',
    "Infinity": b'{"to_user": -Infinity, "x": Infinity}',
    "a huge exponent": b'{"to_user": 1e999, "username": 1e999, "message": 1e999, "x": 1e999}',
    "another member huge": b'{"x": [{"y": -1e999}]}',
    "leading zero": b'{"to_user": 01}',
    "5,000 digits": b'{"to_user": ' + b"9" * 5_000 + b"}",
    "5,000 digits elsewhere": b'{"x": ' + b"9" * 5_000 + b"}",
    "nested lists": b"[" * DEEP + b"]" * DEEP,
    "nested lists, cut": b"[" * 60_000,
    "nested objects": b'{"x":' * 9_000 + b"1" + b"}" * 9_000,
    "nested in a member": b'{"message": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "a list": b'[{"username": "ada"}]',
    "a word": b'"ada"',
    "a number": b"7",
    "null": b"null",
    "true": b"true",
    "bad UTF-8": b'{"username": "\xff", "message": "\xc3"}',
    "overlong UTF-8": b'{"username": "\xc0\x80", "message": "\xc0\x80"}',
    "encoded surrogate": b'{"username": "\xed\xa0\x80", "message": "\xed\xa0\x80"}',
    "UTF-16": '{"username": "ada"}'.encode("utf-16"),
    "lone surrogate": rb'{"username": "\ud800", "message": "\ud800", "socket_id": "\ud800"}',
    "lone surrogate and NaN": rb'{"x": "\ud800", "y": NaN}',
    "lone surrogate and a cut": rb'{"x": "\ud800", ',
    "raw NUL": b'{"username": "a\0"}',
    "raw newline": b'{"username": "a\n"}',
    "bad escape": rb'{"username": "\x41"}',
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_json_is_refused_everywhere(ada: Person, kind: str) -> None:
    for path in BODIES:
        refused(ada.post(path, body=MALFORMED[kind], headers=JSON), 400, "invalid")


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 400, "-" + "9" * 400, "NaN"])
def test_a_number_beyond_floats_is_refused_anywhere(ada: Person, bob: Person, number: str) -> None:
    body = f'{{"to_user": {bob.id}, "x": [{{"y": {number}}}]}}'

    refused(ada.post("/api/request_chat", body=body.encode(), headers=JSON), 400, "invalid")


@pytest.mark.parametrize("escape", [r"\ud800", r"\udc00\ud800", r"a\udfffb", r"\ud83d\u0041"])
@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("/api/register", "username"),
        ("/api/login", "password"),
        ("/api/pusher/auth", "socket_id"),
        ("/api/send_message", "message"),
        ("/api/send_message", "channel"),
    ],
)
def test_a_lone_surrogate_is_the_fault_of_its_member(
    ada: Person, path: str, member: str, escape: str
) -> None:
    goods = {"username": "carol", "password": PASSWORD, "message": "Hi", "channel": "x"}
    goods |= {"socket_id": "1.1", "channel_name": "private-chat_1_2"}
    del goods[member]
    body = json.dumps(goods)[:-1] + f', "{member}": "{escape}"}}'

    message = refused(ada.post(path, body=body.encode(), headers=JSON), 400, "invalid")

    assert message.startswith(f"{member} must be ")


@pytest.mark.parametrize(
    "rest",
    [
        rb'"x": "\ud800"',
        rb'"\ud800": 1',
        rb'"x": ["\ud800", ' + b"[" * 600 + b"1e5" + b"]" * 601,
        rb'"x": ["\ud800", ' + b"[" * 5_000 + b"1e5" + b"]" * 5_001,
    ],
    ids=["elsewhere", "name", "deep", "deeper"],
)
def test_a_lone_surrogate_in_ignored_members_is_malformed(
    ada: Person, bob: Person, rest: bytes
) -> None:
    body = b'{"to_user": %d, %b}' % (bob.id, rest)

    message = refused(ada.post("/api/request_chat", body=body, headers=JSON), 400, "invalid")

    assert "not valid JSON" in message


@pytest.mark.parametrize(
    ("path", "member"),
    [*zip(BODIES, ["username", "username", "to_user", "message", "socket_id"], strict=True)],
)
def test_an_empty_request_lacks_the_first_member(ada: Person, path: str, member: str) -> None:
    assert refused(ada.post(path), 400, "invalid") == f"{member} is missing."


NOT_AN_OBJECT_OF_TEXT = [0, 1, -1, 1.5, True, False, "", [], {}, [[]], {"a": None}, 10**30, "\0"]
MEMBERS = [
    *(("/api/register", "username"), ("/api/register", "password")),
    *(("/api/login", "username"), ("/api/login", "password")),
    *(("/api/request_chat", "from_user"), ("/api/request_chat", "to_user")),
    *(("/api/send_message", "from_user"), ("/api/send_message", "to_user")),
    *(("/api/send_message", "message"), ("/api/send_message", "client_message_id")),
    *(("/api/send_message", "channel"), ("/api/send_message", "channel_id")),
    *(("/api/pusher/auth", "socket_id"), ("/api/pusher/auth", "channel_name")),
]


@pytest.mark.parametrize(("path", "member"), MEMBERS)
def test_a_wrong_type_in_any_member_is_a_4xx(
    ada: Person, chat: Chat, path: str, member: str
) -> None:
    goods: dict[str, Chat] = {
        "/api/register": {"username": "carol", "password": "correct horse"},
        "/api/login": {"username": "carol", "password": "correct horse"},
        "/api/request_chat": {"to_user": 10**15},
        "/api/send_message": {"channel": chat["channel_name"], "message": ""},
        "/api/pusher/auth": {"socket_id": "1.1", "channel_name": "private-nobodys"},
    }

    for value in NOT_AN_OBJECT_OF_TEXT:
        answer = ada.post(path, {**goods[path], member: value})
        assert 400 <= answer.status < 500, (value, answer)
        refused(answer, answer.status, answer.json["code"])


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/xml", "text/html", "application/octet-stream", "json", "x"],
)
def test_a_body_of_another_kind_is_refused(ada: Person, path: str, content_type: str) -> None:
    headers = {"Content-Type": content_type} if content_type else {}

    refused(ada.post(path, body=b"{}", headers=headers), 415, "unsupported_media_type")


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip"])
def test_a_compressed_body_is_refused_as_such(ada: Person, path: str, encoding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}

    answer = ada.post(path, body=gzip.compress(b"{}"), headers=headers)

    assert "Content-Encoding" in refused(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("encoding", ["", "identity", "IDENTITY "])
def test_a_body_that_says_it_is_plain_is_read(ada: Person, bob: Person, encoding: str) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}

    answer = ada.post(
        "/api/request_chat", body=f'{{"to_user": {bob.id}}}'.encode(), headers=headers
    )

    assert answer.status in (200, 201)


def test_a_byte_order_mark_before_json_is_ignored(ada: Person, bob: Person) -> None:
    body = f'{{"to_user": {bob.id}}}'.encode("utf-8-sig")

    answer = ada.post("/api/request_chat", body=body, headers=JSON)

    assert answer.status in (200, 201)
    twice = ada.post("/api/request_chat", body=b"\xef\xbb\xbf" + body, headers=JSON)
    refused(twice, 400, "invalid")


@pytest.mark.parametrize("path", PATHS)
def test_forms_are_for_pusher_auth_only(ada: Person, path: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    answer = ada.post(path, body=b"username=carol&password=correct+horse", headers=headers)

    refused(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "Application/JSON", "application/vnd.api+json"],
)
def test_json_may_be_declared_with_parameters(ada: Person, bob: Person, content_type: str) -> None:
    body = json.dumps({"to_user": bob.id}).encode()

    answer = ada.post("/api/request_chat", body=body, headers={"Content-Type": content_type})

    assert answer.status == 200


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"\xff=\xff&%zz=%"),
        ("application/x-www-form-urlencoded", b"&" * 60_000),
        ("application/x-www-form-urlencoded", b"socket_id=1.1&socket_id=1.1%00"),
        ("multipart/form-data", b"--b\r\n"),
        ("multipart/form-data; boundary=b", b"nonsense"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: x\r\n\r\n"),
        ("multipart/form-data; boundary=", b"--\r\n\r\n----"),
        ("multipart/form-data; boundary=\xff", b"--b"),
    ],
)
def test_a_malformed_form_is_refused(ada: Person, content_type: str, body: bytes) -> None:
    headers = {"Content-Type": content_type}

    refused(ada.post("/api/pusher/auth", body=body, headers=headers), 400, "invalid")


@pytest.mark.parametrize("path", BODIES)
def test_a_body_over_64_kib_is_too_large(ada: Person, path: str) -> None:
    body = b'{"x": "' + b"x" * 65_536 + b'"}'

    refused(ada.post(path, body=body, headers=JSON), 413, "too_large")


def test_a_body_of_64_kib_is_not_too_large(ada: Person, bob: Person) -> None:
    body = json.dumps({"to_user": bob.id}).encode()

    answer = ada.post("/api/request_chat", body=body + b" " * (65_536 - len(body)), headers=JSON)

    assert answer.status == 200


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/nothing", "/favicon.ico", "/api/get_message", "/api/Users"]
)
def test_an_unknown_path_is_not_found(ada: Person, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "BREW"):
        refused(ada.request(method, path), 404, "not_found")


@pytest.mark.parametrize(
    "path",
    [
        *("//nothing", "//api//users", "/api//users", "/api/users//", "/api/get_message//x"),
        *("/%2e%2e/etc/passwd", "/../etc/passwd", "/api/%00", "/api/users%00", "/%ff", "/api/%F0"),
        *(
            "/api/users;x=1",
            "/" + "x" * 3_000,
            "/api/get_message/a/b",
            "/<script>",
            "/%3Cscript%3E",
        ),
    ],
)
def test_a_strange_path_is_not_found_and_never_html(ada: Person, path: str) -> None:
    answer = ada.get(path)

    refused(answer, 404, "not_found")
    assert b"script" not in answer.body


ALLOWED = [
    *(("/api/register", {"POST"}), ("/api/login", {"POST"}), ("/api/request_chat", {"POST"})),
    *(("/api/pusher/auth", {"POST"}), ("/api/send_message", {"POST"}), ("/api/users", {"GET"})),
    *(("/api/get_message/1", {"GET"}), ("/api/config", {"GET"}), ("/health", {"GET"})),
]


@pytest.mark.parametrize(("path", "methods"), ALLOWED)
def test_a_wrong_method_is_told_the_right_ones(ada: Person, path: str, methods: set[str]) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - methods:
        answer = ada.request(method, path)
        refused(answer, 405, "method_not_allowed")
        allowed = {word.strip() for word in answer.headers["allow"].split(",")}
        assert allowed - {"HEAD", "OPTIONS"} == methods


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/me", 200),
        ("GET", "/api/users", 200),
        ("POST", "/api/login", 400),
        ("POST", "/api/me", 405),
        ("GET", "/nothing", 404),
    ],
)
def test_an_offer_to_speak_websocket_changes_nothing(
    ada: Person, method: str, path: str, status: int
) -> None:
    offer = {"Connection": "Upgrade", "Upgrade": "websocket"}

    answer = ada.request(method, path, headers=offer)

    assert answer.status == status
    assert answer.headers.get("allow") == ada.request(method, path).headers.get("allow")


def test_head_answers_as_get_without_a_body(ada: Person) -> None:
    answer = ada.request("HEAD", "/api/users?limit=5")

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == "application/json"


def test_no_answer_is_html(ada: Person) -> None:
    for path in ("/api/users", "/api/login", "/api/get_message/1", "/nothing"):
        answer = ada.request("OPTIONS", path)
        assert "html" not in answer.headers.get("content-type", ""), (path, answer)


# Below HTTP ------------------------------------------------------------------------------------


def raw(server: ChatServer, request: bytes, *, then_close: bool = False) -> Answer | None:
    """The answer to exactly these bytes, or None if the server just closes."""
    with closing(socket.create_connection((HOST, server.port), timeout=60)) as connection:
        connection.sendall(request)
        if then_close:
            connection.shutdown(socket.SHUT_WR)
        with closing(HTTPResponse(connection)) as response:
            try:
                response.begin()
            except (RemoteDisconnected, ConnectionResetError):
                return None
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())


def head(ada: Person, path: str, *lines: str) -> bytes:
    start = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ada.token}\r\n"
    rest = ["Content-Type: application/json", "Connection: close", *lines]
    return (start + "\r\n".join(rest) + "\r\n\r\n").encode("latin-1")


@pytest.mark.abuse
@pytest.mark.parametrize("path", BODIES)
def test_20_megabytes_are_refused_before_they_are_read(
    server: ChatServer, ada: Person, path: str
) -> None:
    answer = raw(server, head(ada, path, "Content-Length: 20000000") + b'{"x": "')

    assert answer is not None
    refused(answer, 413, "too_large")


@pytest.mark.abuse
def test_20_megabytes_in_chunks_are_refused(server: ChatServer, ada: Person) -> None:
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"

    answer = raw(
        server,
        head(ada, "/api/send_message", "Transfer-Encoding: chunked") + chunk * 2 + b"0\r\n\r\n",
    )

    assert answer is not None
    refused(answer, 413, "too_large")


@pytest.mark.parametrize("in_chunks", [False, True])
@pytest.mark.parametrize("form", [False, True])
def test_chunks_may_hold_64_kib_and_no_more(
    server: ChatServer, ada: Person, form: bool, in_chunks: bool
) -> None:
    members = {"socket_id": "1.2", "channel_name": f"private-notification_user_{ada.id}"}
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    body = (f"{urlencode(members)}&x=" if form else json.dumps(members)).encode()

    def sent(size: int) -> int:
        padded = body + b" " * (size - len(body))
        length = f"Content-Length: {size}"
        if in_chunks:
            length = "Transfer-Encoding: chunked"
            padded = b"%x\r\n%b\r\n0\r\n\r\n" % (size, padded)
        start = head(ada, "/api/pusher/auth", length)
        answer = raw(server, start.replace(b"application/json", kind.encode()) + padded)
        assert answer is not None
        return answer.status

    assert (sent(65_536), sent(65_537)) == (200, 413)


def test_a_body_in_chunks_is_a_body(server: ChatServer, ada: Person, bob: Person) -> None:
    body = json.dumps({"to_user": bob.id}).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"

    answer = raw(server, head(ada, "/api/request_chat", "Transfer-Encoding: chunked") + chunks)

    assert answer is not None
    assert answer.status == 200


@pytest.mark.parametrize(
    "chunks", [b"zz\r\n{}\r\n0\r\n\r\n", b"-1\r\n{}\r\n0\r\n\r\n", b"5\r\n{}\r\n", b"5\r\n{}", b""]
)
def test_broken_chunks_are_refused(server: ChatServer, ada: Person, chunks: bytes) -> None:
    request = head(ada, "/api/send_message", "Transfer-Encoding: chunked") + chunks

    answer = raw(server, request, then_close=True)

    if answer:  # a server may also just close
        assert answer.status == 400


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json"])
def test_a_body_that_ends_early_is_refused(server: ChatServer, ada: Person, kind: str) -> None:
    members = {"socket_id": "1.2", "channel_name": f"private-notification_user_{ada.id}"}
    body = (json.dumps(members) if "json" in kind else urlencode(members)).encode()
    start = head(ada, "/api/pusher/auth", f"Content-Length: {len(body) + 1}")
    start = start.replace(b"application/json", kind.encode())

    answer = raw(server, start + body, then_close=True)

    if answer:
        refused(answer, 400, "invalid")


@pytest.mark.parametrize(
    "lines",
    [
        ["Authorization: Bearer x"],
        ["Content-Type: text/plain"],
        ["X-Socket-ID: 1.1", "X-Socket-ID: 2.2"],
        ["Host: elsewhere"],
        ["Content-Length: 2", "Content-Length: 3"],
        ["Content-Length: -1"],
        ["Content-Length: 1_0"],
        ["Content-Length: ２"],
    ],
)
def test_malformed_headers_never_cause_a_server_fault(
    server: ChatServer, ada: Person, lines: list[str]
) -> None:
    encoded = [line.encode().decode("latin-1") for line in lines]

    answer = raw(server, head(ada, "/api/send_message", *encoded) + b"{}", then_close=True)

    assert answer is not None
    assert 400 <= answer.status < 500


@pytest.mark.parametrize(
    "host", ["", "a b", "a:99999", "a:x", "[::1", "[::1]:5000", "<script>", "a/b", "\xff", "a@b"]
)
def test_a_strange_host_causes_no_server_fault(server: ChatServer, ada: Person, host: str) -> None:
    for path in ("/api/config", "/api/users?limit=1", "/nothing"):
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {ada.token}"]
        request = "\r\n".join([*lines, "Connection: close", "", ""])

        answer = raw(server, request.encode("latin-1"))

        assert answer is not None
        assert answer.status < 500, answer
        if answer.status >= 400 and "x-request-id" in answer.headers:
            refused(answer, answer.status, answer.json["code"])


# All of them -----------------------------------------------------------------------------------


def test_every_answer_has_an_id_of_its_own(api: Api, ada: Person) -> None:
    answers = [
        ada.get("/api/users"),
        ada.get("/api/users?limit=1"),
        api.get("/api/users"),
        ada.get("/nothing"),
        ada.post("/api/users"),
        ada.request("OPTIONS", "/api/users"),
        ada.post("/api/send_message", body=b"x" * 70_000, headers=JSON),
        api.get("/health"),
        api.get("/api/config"),
    ]

    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


def test_any_origin_may_call_without_cookies(api: Api, ada: Person) -> None:
    for answer in (
        ada.get("/api/users"),  # a cache may give it to a page
        ada.get("/api/users", headers={"Origin": "https://app.example"}),
        api.get("/api/users", headers={"Origin": "https://app.example"}),
        api.get("/nothing", headers={"Origin": "null"}),
        api.post("/api/users", headers={"Origin": "https://app.example"}),
    ):
        exposed = {
            each.strip() for each in answer.headers["access-control-expose-headers"].split(",")
        }
        assert answer.headers["access-control-allow-origin"] == "*"
        assert exposed >= {"Link", "Retry-After", "X-Request-ID"}
        assert "access-control-allow-credentials" not in answer.headers
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/api/send_message", "/api/get_message/1", "/api/pusher/auth"])
def test_browsers_are_told_which_headers_they_may_send(api: Api, path: str) -> None:
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, x-socket-id",
    }

    answer = api.request("OPTIONS", path, headers=asked)

    assert answer.status in (200, 204)
    assert answer.headers["access-control-allow-origin"] == "*"
    allowed = answer.headers["access-control-allow-headers"].lower().split(",")
    assert {each.strip() for each in allowed} == {"authorization", "content-type", "x-socket-id"}
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in answer.headers


def test_only_named_origins_are_let_in(
    make_api: Callable[..., InProcess],
) -> None:
    api = make_api(cors_origins="https://a.example, http://[::1]:3000")

    def asked(origin: str) -> dict[str, str]:
        return api.get("/api/config", headers={"Origin": origin}).headers

    for origin in ("https://a.example", "http://[::1]:3000"):
        assert asked(origin)["access-control-allow-origin"] == origin
        assert "Origin" in asked(origin)["vary"]
    assert "access-control-allow-origin" not in api.get("/api/config").headers
    assert "Origin" in api.get("/api/config").headers["vary"]
    for origin in ("https://evil.example", "https://a.example.evil.org", "https://aXexample"):
        assert "access-control-allow-origin" not in asked(origin)
        assert "Origin" in asked(origin)["vary"]
