"""The OpenAPI document as a judge of real answers and events."""

import copy
import json
import re
from typing import Any

from jsonschema_rs import Draft202012Validator
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from tests.support.people import Answer, Api

#: Headers that the document has wherever an answer has them.
TOLD = ["Link", "Retry-After", "ETag", "Accept-Ranges", "Content-Range", "Content-Disposition"]
TOLD += ["WWW-Authenticate", "Allow"]


def template(rule: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


class Contract:
    def __init__(self, url_map: Map, document: dict[str, Any]) -> None:
        self.urls = url_map.bind("localhost")
        self.document = document
        self.components = closed(document["components"])
        #: By the id of their schema. The schema is kept, because another could get its id.
        self.validators: dict[int, tuple[dict[str, Any], Draft202012Validator]] = {}

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        """What is said of such a request, if anything is."""
        try:
            rule, _ = self.urls.match(path.partition("?")[0], method, return_rule=True)
        except HTTPException:
            return None
        found: dict[str, Any] = self.document["paths"].get(template(rule.rule), {})
        return found.get(method.lower())

    def judge(self, method: str, path: str, answer: Answer) -> None:
        """Hold an answer to the document: no status, code, member or header beyond it."""
        operation = self.operation(method, path)
        if operation is None:
            shared = self.document["components"]["responses"]
            name = "method_not_allowed" if answer.status == 405 else "not_found"
            response = shared[name]
        else:
            responses = operation["responses"]
            assert str(answer.status) in responses, (method, path, answer)
            response = self.resolve(responses[str(answer.status)])

        for name, header in response["headers"].items():
            value = answer.headers.get(name.lower())
            may_lack = name == "Link" or (
                name == "Retry-After"
                and answer.status == 503
                and answer.json["code"] == "unavailable"
            )
            assert value is not None or may_lack, (method, path, name)
            if value is not None:
                schema = self.resolve(header)["schema"]
                self.check(int(value) if schema["type"] == "integer" else value, schema)
        for name in TOLD:
            told = name in response["headers"] or name.lower() not in answer.headers
            assert told, (method, path, name)

        if "content" not in response:
            assert answer.body == b"", (method, path, answer)
            return
        *_, (media, content) = response["content"].items()
        kind = answer.headers["content-type"].partition(";")[0]
        assert media in (kind, "*/*"), (method, path, answer)
        if media == "application/x-ndjson":
            for line in answer.body.splitlines():
                self.check(json.loads(line), content["x-line-schema"])
        elif media == "application/json":
            self.check(answer.json, content["schema"])
            if answer.status >= 400:
                assert answer.json["code"] in content["examples"], (method, path, answer)

    def judge_event(self, name: str, data: Any) -> None:
        told = self.document["webhooks"][name]["post"]["requestBody"]["content"]
        self.check(data, told["application/json"]["schema"])

    def check(self, value: Any, schema: dict[str, Any]) -> None:
        if id(schema) not in self.validators:
            whole = closed(schema) | {"components": self.components}
            self.validators[id(schema)] = schema, Draft202012Validator(whole)
        self.validators[id(schema)][1].validate(value)

    def resolve(self, found: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in found:
            return found
        _, _, kind, name = found["$ref"].split("/")
        resolved: dict[str, Any] = self.document["components"][kind][name]
        return resolved


def closed(schema: Any) -> Any:
    """The same, taking no member that it does not name."""
    schema = copy.deepcopy(schema)

    def close(part: Any) -> None:
        if isinstance(part, dict):
            if part.get("type") == "object" and "properties" in part:
                part["additionalProperties"] = False
            for each in part.values():
                close(each)
        elif isinstance(part, list):
            for each in part:
                close(each)

    close(schema)
    return schema


class Judged(Api):
    """An API whose every answer is held to the document."""

    def __init__(self, api: Api, contract: Contract) -> None:
        self.api = api
        self.contract = contract
        self.seen: set[tuple[str, str]] = set()

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        answer = self.api.send(method, path, body, headers)
        self.contract.judge(method, path, answer)
        operation = self.contract.operation(method, path)
        if operation:
            self.seen.add((operation["operationId"], str(answer.status)))
        return answer
