"""The OpenAPI document: valid, whole, and true of what the API really does."""

import ast
import inspect
import io
import json
import re
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import jwt
import pytest
from flask import Flask
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from PIL import Image
from pydantic import BaseModel
from sqlalchemy import text, update
from urllib3 import encode_multipart_formdata

from config import Settings
from contract import requests
from contract.answers import ErrorCode
from contract.endpoints import ENDPOINTS, ERRORS, EVENTS, NEW_PASSWORD
from database import init_db, writing_on
from models import Generation
from tests.conftest import application
from tests.support.document import Contract, Judged, template
from tests.support.people import (
    CHEAP_HASH,
    JSON,
    ROOT,
    Answer,
    Api,
    InProcess,
    Person,
    events,
    looking_into,
)
from tests.support.servers import PATIENCE

Document = dict[str, Any]
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of an API with a database of its own, where the first user is number 1, and which
    is the one that the examples of cursors name."""
    settings = Settings(
        instance_path=str(tmp_path_factory.mktemp("instance")), password_hash=CHEAP_HASH
    )
    init_db(settings)
    with looking_into(settings) as connection, writing_on(connection):
        connection.execute(update(Generation).values(number=2718281828459045235))
    return settings


@pytest.fixture(scope="module")
def app(settings: Settings) -> Iterator[Flask]:
    with application(settings) as app:
        yield app


@pytest.fixture(scope="module")
def document(app: Flask) -> Document:
    answer = InProcess(app).get("/api/openapi.json")
    assert answer.status == 200
    document: Document = answer.json
    return document


@pytest.fixture(scope="module")
def contract(app: Flask, document: Document) -> Contract:
    return Contract(app.url_map, document)


@pytest.fixture(scope="module")
def api(app: Flask, contract: Contract) -> Judged:
    return Judged(InProcess(app), contract)


def operations(document: Document) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each operation, in the order of the conversation."""
    found = {
        operation["operationId"]: (method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    return {name: found[name] for name in sorted(found, key=list(ENDPOINTS).index)}


# The document --------------------------------------------------------------------------------


def test_the_document_is_valid_openapi(document: Document) -> None:
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


def test_document_and_routes_have_the_same_paths(app: Flask, document: Document) -> None:
    routes = {
        (method.lower(), template(rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(("/api/", "/health", "/metrics"))
        and not rule.endpoint.endswith("static")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    described = {(method, path) for path, item in document["paths"].items() for method in item}

    assert {method for method, _ in described} <= METHODS
    assert described == routes


def test_an_operation_has_the_name_of_its_view(app: Flask, document: Document) -> None:
    views = {name.rpartition(".")[2] for name in app.view_functions}

    assert set(operations(document)) <= views
    assert set(operations(document)) == set(ENDPOINTS)


def test_the_document_has_the_version_of_the_project(document: Document) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert document["info"]["version"] == project["version"]


def test_the_document_names_the_prefix_in_use(app: Flask) -> None:
    with app.test_client() as client:
        found = client.get("/api/openapi.json", environ_overrides={"SCRIPT_NAME": "/chat"})

    assert found.json is not None
    assert found.json["servers"] == [{"url": "/chat"}]


def test_an_operation_says_if_it_needs_a_token(document: Document, app: Flask) -> None:
    assert document["security"] == [{"bearer": []}]
    for method, path, operation in operations(document).values():
        answer = InProcess(app).request(method, re.sub("{.*?}", "1", path), headers=JSON, body=b"")
        needs = operation.get("security", document["security"]) == [{"bearer": []}]
        assert (answer.status == 401) == needs, (method, path)


# A conversation: its examples, said and heard ------------------------------------------------


@dataclass
class Conversation:
    """What came of the examples, which were sent in their order."""

    answers: dict[str, Answer] = field(default_factory=dict)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def told(self) -> list[dict[str, Any]]:
        return [event for events in self.events.values() for event in events]


@pytest.fixture(scope="module")
def conversation(api: Judged, settings: Settings, document: Document) -> Conversation:
    conversation = Conversation()
    person: Api = api
    for name, (method, path, operation) in operations(document).items():
        before = len(events(settings))
        if name == "file_thumbnail":
            assert isinstance(person, Person)
            path = f"/api/files/{send_picture(person)}/thumbnail"
        if name == "signed_file":
            path = conversation.answers["file_url"].json["url"]
        if name == "subscribe":
            operation = at_a_public_address(operation)
        answer = say_example(person, method, path, operation)
        conversation.answers[name] = answer
        if name == "register":
            assert api.register("bob").status == 201
        elif name in ("login", "refresh", "change_password"):
            person = Person(api, **answer.json["data"])
        elif name == "avatar":
            for header in ({"Range": "bytes=0-1"}, {"If-None-Match": answer.headers["etag"]}):
                person.get(path_of(path, operation), headers=header)
        elif name == "mark_read":
            assert say_example(api.sign_in("bob"), method, path, operation).status == 200
        elif {"200", "201"} <= set(operation["responses"]):
            assert say_example(person, method, path, operation).status == 200
        elif name in ("logout", "end_login"):
            person = Person(api, **api.login("ada", NEW_PASSWORD).json["data"])
        conversation.events[name] = events(settings)[before:]
    return conversation


def at_a_public_address(operation: dict[str, Any]) -> dict[str, Any]:
    """The same, without a name that would have to be found. Nothing is sent there."""
    made: dict[str, Any] = json.loads(json.dumps(operation).replace("push.example", "1.1.1.1"))
    return made


def say_example(person: Api, method: str, path: str, operation: dict[str, Any]) -> Answer:
    query = {
        each["name"]: each["example"]
        for each in operation.get("parameters", [])
        if each["in"] == "query" and "example" in each
    }
    content = operation.get("requestBody", {"content": {"application/json": {}}})["content"]
    if "application/octet-stream" in content:
        picture = content["application/octet-stream"]["example"].encode()
        return person.request(method, path, body=picture)
    if "application/json" not in content:
        form = content["multipart/form-data"]["example"]
        parts = form | {"file": ("notes.txt", form["file"])}
        body, kind = encode_multipart_formdata(parts)
        headers = {"Content-Type": kind, "X-Socket-ID": "123.456"}
        return person.post(path, body=body, headers=headers)
    return person.request(
        method,
        path_of(path, operation),
        content["application/json"].get("example"),
        headers={"X-Socket-ID": "123.456"},
        **query,
    )


def send_picture(person: Person) -> int:
    """The id of a picture that was sent to bob, who is number 2."""
    picture = io.BytesIO()
    Image.new("RGB", (1, 1)).save(picture, "PNG")
    chat = person.post("/api/request_chat", {"to_user": 2}).json
    answer = person.sends(chat, "dot.png", picture.getvalue())
    assert answer.status == 201, answer
    return int(answer.json["file"]["id"])


def path_of(path: str, operation: dict[str, Any]) -> str:
    examples = {
        each["name"]: each["example"]
        for each in operation.get("parameters", [])
        if "example" in each
    }
    return path.format(**examples)


def alike(example: Any, real: Any) -> bool:
    """Whether both are equal, except for times, tokens, signatures, keys and ports."""
    if isinstance(example, dict) and isinstance(real, dict):
        return list(example) == list(real) and all(alike(v, real[k]) for k, v in example.items())
    if isinstance(example, list) and isinstance(real, list):
        return len(example) == len(real) and all(map(alike, example, real))
    return example == real or (
        isinstance(example, str)
        and isinstance(real, str)
        and any(re.fullmatch(kind, example) and re.fullmatch(kind, real) for kind in VARYING)
    )


VARYING = [
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",
    r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{43}",
    r"/api/files/signed/eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{43}",
    r"[0-9a-f]+:[0-9a-f]{64}",
    r"/api/users/1/avatar\?v=[0-9a-f]{8}",
    r"[A-Z]\w+/[0-9.]+.*",  # how clients call themselves
    r"B[\w-]{86}",
    r"/api/files/signed/eyJ[\w.-]+",
]


@pytest.mark.parametrize("name", ENDPOINTS)
def test_an_example_is_answered_as_described(
    name: str, conversation: Conversation, document: Document
) -> None:
    _, _, operation = operations(document)[name]
    answer = conversation.answers[name]

    assert answer.status == min(map(int, operation["responses"])) or answer.status == 201, answer
    content = operation["responses"][str(answer.status)].get("content", {})
    example = content.get("application/json", {}).get("example")
    if name == "front_end_config":
        assert list(answer.json) == list(example)
    elif example is not None:
        assert alike(example, answer.json), answer.json


def test_every_body_and_answer_has_an_example(document: Document) -> None:
    for name, (_, _, operation) in operations(document).items():
        for content in operation.get("requestBody", {"content": {}})["content"].values():
            assert content["example"], name
        for status, response in operation["responses"].items():
            shown = response.get("content", {}).get("application/json")
            if status < "300" and shown and name not in ("openapi", "health"):
                assert shown["example"], name


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_view_parses_the_models_that_describe_it(name: str, app: Flask) -> None:
    endpoint = ENDPOINTS[name]
    described = set()
    if endpoint.body:
        form = ", form=True" if endpoint.form else ""
        optional = ", optional=True" if endpoint.may_lack_body else ""
        parse = "uploads.parse" if endpoint.upload else "parse"
        module = endpoint.body.__module__.rpartition(".")[2]
        described.add(f"{parse}({module}.{endpoint.body.__name__}{form}{optional})")
    if endpoint.query:
        described.add(f"query(requests.{endpoint.query.__name__})")

    (view,) = (view for each, view in app.view_functions.items() if each.rpartition(".")[2] == name)
    source = ast.parse(inspect.getsource(inspect.unwrap(view)))
    calls = [ast.unparse(node) for node in ast.walk(source) if isinstance(node, ast.Call)]

    parsing = ("parse(", "query(", "uploads.parse(")
    assert {call for call in calls if call.startswith(parsing)} == described


@pytest.mark.parametrize("name", ENDPOINTS)
def test_x_socket_id_is_described_where_it_matters(
    name: str, conversation: Conversation, document: Document
) -> None:
    _, _, operation = operations(document)[name]
    names = [each["name"] for each in operation.get("parameters", [])]

    heeded = {event["socket_id"] for event in conversation.events[name]}

    assert ("X-Socket-ID" in names) == ("123.456" in heeded)


def test_every_event_is_as_the_webhooks_say(
    conversation: Conversation, contract: Contract, document: Document
) -> None:
    assert {event["name"] for event in conversation.told} == set(document["webhooks"])
    for event in conversation.told:
        contract.judge_event(event["name"], event["data"])


def test_the_examples_of_events_are_real(conversation: Conversation, document: Document) -> None:
    for name, event in EVENTS.items():
        told = document["webhooks"][name]["post"]["requestBody"]["content"]["application/json"]
        assert told["example"] == event.example
        real = [each["data"] for each in conversation.told if each["name"] == name]
        assert any(alike(event.example, data) for data in real), (name, real)


def test_every_status_of_success_was_seen(
    conversation: Conversation, api: Judged, document: Document
) -> None:
    ask_for_parts(api)
    described = {
        (name, status)
        for name, (_, _, operation) in operations(document).items()
        for status in operation["responses"]
        if status < "400"
    }

    assert described <= api.seen


def ask_for_parts(api: Judged) -> None:
    """Of a picture: all that its bytes can be answered with."""
    fay, _ = api.sign_up("fay"), api.sign_up("guy")
    path = f"/api/files/{send_picture(fay)}"
    for each in (path, f"{path}/thumbnail", fay.post(f"{path}/url").json["url"]):
        tag = fay.get(each).headers["etag"]
        assert fay.get(each, headers={"Range": "bytes=0-3"}).status == 206
        assert fay.get(each, headers={"If-None-Match": tag}).status == 304


# Beyond the examples: shapes that only some answers have ---------------------------------------


def test_answers_of_every_shape_are_as_described(api: Judged, settings: Settings) -> None:
    ivy, jon, kim = (api.sign_up(name) for name in ("ivy", "jon", "kim"))
    chat = ivy.asks(jon).json
    sent = [ivy.said(chat, "\N{GRINNING FACE}" * 4_000, client_message_id=f"{n}") for n in range(4)]
    kim_and_jon = kim.asks(jon).json
    form = b"socket_id=1.2&channel_name=presence-chitchat"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}

    answers = [
        ivy.get("/api/users", limit=1),
        ivy.get("/api/users"),
        ivy.signs("presence-chitchat"),
        ivy.post("/api/pusher/auth", body=form, headers=kind),
        ivy.reads(chat),
        ivy.reads(chat, around=sent[1]["id"], limit=2),
        ivy.reads({"channel_name": "private-chat_1_1"}),
        ivy.get("/api/chats", limit=1),
        jon.get("/api/chats", limit=1),
        jon.request("PUT", f"/api/chats/{chat['channel_id']}/read"),
        jon.request("PUT", f"/api/chats/{kim_and_jon['channel_name']}/read"),
        jon.get("/api/sync"),
        kim.request("DELETE", "/api/me", {"password": "correct horse"}),
        jon.get("/api/chats"),
        jon.get("/api/me/export"),
        jon.post("/api/logout"),
        api.get("/api/openapi.json"),
    ]

    assert {answer.status for answer in answers} == {200, 204, 404}
    assert any(chat["user"]["username"] is None for chat in answers[13].json)
    assert "link" in answers[0].headers


def test_a_whole_number_may_have_a_point(api: Judged) -> None:
    gil, hal = api.sign_up("gil"), api.sign_up("hal")

    answer = gil.post("/api/request_chat", {"to_user": float(hal.id)})

    assert (answer.status, answer.json["to_user"]) == (201, hal.id)


@pytest.mark.parametrize("number", ["9223372036854775808", "9692886413151386420", "1" * 20])
@pytest.mark.parametrize(
    ("model", "member"),
    [
        (requests.ChatRequest, "to_user"),
        (requests.ReadMark, "message_id"),
        (requests.NewMessage, "channel"),
    ],
)
def test_a_number_beyond_64_bits_is_described_as_wrong(
    model: type[BaseModel], member: str, number: str
) -> None:
    """A generator of requests believes the description."""
    described = Draft202012Validator(model.model_json_schema())

    assert described.is_valid({"message": "Hello", member: "7"})
    assert not described.is_valid({"message": "Hello", member: number})


def test_events_that_are_cut_are_as_described(
    api: Judged, contract: Contract, settings: Settings
) -> None:
    lea, max_ = api.sign_up("lea"), api.sign_up("max")
    lea.said(lea.asks(max_).json, "\N{GRINNING FACE}" * 4_000)

    new_message, new_chat = events(settings)[-2:]

    assert new_message["data"]["truncated"]
    contract.judge_event("new_message", new_message["data"])
    contract.judge_event("new_chat", new_chat["data"])


def test_a_hosted_connection_is_as_described(contract: Contract, settings: Settings) -> None:
    hosted = replace(
        settings, pusher_app_id="1", pusher_key="k", pusher_secret="s", pusher_cluster="eu"
    )
    with application(hosted) as app:
        answer = Judged(InProcess(app), contract).get("/api/config")
        health = Judged(InProcess(app), contract).get("/health")

    assert answer.json["wsHost"] is None
    assert "sockets" not in health.json


# Errors --------------------------------------------------------------------------------------


def test_the_codes_are_those_of_the_table(document: Document) -> None:
    error = document["components"]["schemas"]["Error"]

    assert set(ERRORS) == set(get_args(ErrorCode))
    assert error["properties"]["code"]["enum"] == list(ERRORS)


def of_an_expired_token(api: Api, settings: Settings) -> Answer:
    claims = {"sub": "1", "jti": "a", "exp": time.time() - 1}
    token = jwt.encode(claims, settings.jwt_key, "HS256")
    return api.get("/api/me", headers={"Authorization": f"Bearer {token}"})


def of_a_blocker(api: Api, _: Settings) -> Answer:
    sue, tom = api.sign_up("sue"), api.sign_up("tom")
    assert sue.request("PUT", f"/api/blocks/{tom.id}").status == 204
    return tom.asks(sue)


def of_a_deleted_message(api: Api, _: Settings) -> Answer:
    uma, vic = api.sign_up("uma"), api.sign_up("vic")
    path = f"/api/messages/{uma.said(uma.asks(vic).json, 'hello')['id']}"
    assert uma.request("DELETE", path).status == 200
    return uma.request("PATCH", path, {"message": "hello again"})


def of_an_impostor(api: Api, _: Settings) -> Answer:
    wes = api.sign_up("wes")
    return wes.post("/api/request_chat", {"from_user": wes.id + 1, "to_user": 1})


def of_too_many(api: Api, _: Settings) -> Answer:
    for _try in range(10):
        assert api.login("nobody").status == 401
    return api.login("nobody")


def of_a_short_file(api: Api, _: Settings) -> Answer:
    zac = api.sign_up("zac")
    file = zac.sends(zac.asks(api.sign_up("zoa")).json, "dot.txt", b".").json["file"]
    return zac.get(f"/api/files/{file['id']}", headers={"Range": "bytes=1-"})


def of_other_bytes(api: Api, _: Settings) -> Answer:
    yul = api.sign_up("yul")
    file = yul.sends(yul.asks(api.sign_up("yun")).json, "dot.txt", b".").json["file"]
    return yul.get(f"/api/files/{file['id']}", headers={"If-Match": '"another"'})


def of_a_name_in_use(api: Api, _: Settings) -> Answer:
    api.register("yan")
    return api.register("Yan")


def of_a_fault(api: Api, settings: Settings) -> Answer:
    """The database refuses a row, which no code of ours expects."""
    with looking_into(settings) as connection:
        fault = "BEGIN SELECT RAISE(ABORT, 'no more users'); END"
        connection.execute(text(f"CREATE TRIGGER fault BEFORE INSERT ON users {fault}"))
        connection.commit()
        try:
            return api.register("zoe")
        finally:
            connection.execute(text("DROP TRIGGER fault"))
            connection.commit()


def of_a_locked_database(api: Api, settings: Settings) -> Answer:
    """Another writer keeps the database for too long."""
    with (
        pytest.MonkeyPatch.context() as patch,
        looking_into(settings) as connection,
        writing_on(connection),
    ):
        patch.setattr("database.BUSY_SECONDS", 0.1)
        return api.register("zoe")


def of_a_crowd(api: Api, _: Settings) -> Answer:
    """More passwords wait to be checked than may."""
    hashing, go_on = threading.Event(), threading.Event()

    def hash_for_long(*_: object) -> bool:
        hashing.set()
        return go_on.wait(PATIENCE)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor() as pool:
        patch.setattr("auth.check_password_hash", hash_for_long)
        patch.setattr("web.hash_queue.MOST_OF_ADDRESS", 0)
        pool.submit(api.login, "somebody")
        assert hashing.wait(PATIENCE)
        try:
            return api.login("somebody")
        finally:
            go_on.set()


WAYS: dict[str, Callable[[Api, Settings], Answer]] = {
    "invalid": lambda api, _: api.post("/api/register", {"password": "correct horse"}),
    "unauthorized": lambda api, _: api.get("/api/me"),
    "token_expired": of_an_expired_token,
    "forbidden": of_an_impostor,
    "blocked": of_a_blocker,
    "not_found": lambda api, _: api.sign_up("xia").get("/api/get_message/nowhere"),
    "method_not_allowed": lambda api, _: api.get("/api/register"),
    "taken": of_a_name_in_use,
    "conflict": of_a_deleted_message,
    "precondition_failed": of_other_bytes,
    "too_large": lambda api, _: api.post("/api/login", body=b"[" * 70_000, headers=JSON),
    "unsupported_media_type": lambda api, _: api.post("/api/login", body=b"username=ada"),
    "requested_range_not_satisfiable": of_a_short_file,
    "rate_limited": of_too_many,
    "internal": of_a_fault,
    "unavailable": of_a_locked_database,
    "busy": of_a_crowd,
}


@pytest.mark.parametrize("code", ERRORS)
def test_an_error_is_answered_as_its_example_says(
    code: ErrorCode, api: Judged, settings: Settings
) -> None:
    status, _, message = ERRORS[code]

    answer = WAYS[code](api, settings)

    assert (answer.status, answer.json["code"]) == (status, code)
    assert re.sub("[0-9a-f]{32}", "", answer.json["message"]) == re.sub("[0-9a-f]{32}", "", message)
