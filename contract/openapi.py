"""The contract as OpenAPI 3.1, made from the routes and from the types that check requests and
shape answers."""

import re
from collections import defaultdict
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from werkzeug.routing import Map

from contract import answers, requests
from contract.endpoints import ENDPOINTS, ERRORS, EVENTS, Endpoint
from contract.names import MAX_ID

VERSION = "1.0.0"
DESCRIPTION = """\
Private one-to-one chat: JSON over HTTP, and events over the Pusher protocol.

Register, log in, and send the token with every other request: `Authorization: Bearer <token>`.
Every error has the shape `Error`. A method that a path does not take is a 405 with `Allow`.
In bodies, members that are not named here are ignored, and one that is `null` counts as left out.
The events below, under Webhooks, reach front ends through pusher-js, which `/api/config`
configures. Typing indicators are client events, `client-typing`, on the chat's channel;
`presence-chitchat` tells who is online.
"""
REF = "#/components/schemas/{model}"
JSON = "application/json"
#: Each has a name of its own: generated clients would otherwise send all of them at once.
FORMS = {"application/x-www-form-urlencoded": "Form", "multipart/form-data": "MultipartForm"}
#: What a picture is sent as. Others are taken as well, but generated clients know no pictures.
BYTES = "application/octet-stream"
EVERY_ENDPOINT: tuple[answers.ErrorCode, ...] = ("rate_limited", "internal", "unavailable")
WITH_TOKEN: tuple[answers.ErrorCode, ...] = ("unauthorized", "token_expired")
WITH_BODY: tuple[answers.ErrorCode, ...] = ("invalid", "too_large", "unsupported_media_type")

HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "X-Request-ID": (
        "Names the request; our log has it beside every error. A caller's own one is kept.",
        {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    ),
    "Link": ("The pages beside this one (RFC 8288).", {"type": "string"}),
    "Retry-After": ("Seconds to wait.", {"type": "integer", "minimum": 1}),
    "WWW-Authenticate": ("The scheme to use.", {"type": "string", "const": "Bearer"}),
    "Content-Range": ("Which bytes these are, and how many there are.", {"type": "string"}),
    "ETag": ("Names these bytes, for If-None-Match, If-Match and If-Range.", {"type": "string"}),
    "Accept-Ranges": ("Range may ask for a part.", {"type": "string", "const": "bytes"}),
    "Content-Disposition": (
        "Whether to show it (inline) or to save it (attachment), and its name (RFC 6266).",
        {"type": "string"},
    ),
    "Allow": ("The methods of this path.", {"type": "string"}),
}
HEADERS_OF_STATUS = {
    401: "WWW-Authenticate",
    405: "Allow",
    416: "Content-Range",
    429: "Retry-After",
}


@cache
def document(url_map: Map) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the application with these routes; `servers` is left out."""
    shapes, components = shapes_and_components()
    return {
        "openapi": "3.1.0",
        "info": {"title": "Chat API", "version": VERSION, "description": DESCRIPTION},
        "security": [{"bearer": []}],
        "tags": [{"name": name} for name in dict.fromkeys(e.tag for e in ENDPOINTS.values())],
        "paths": paths(url_map, shapes),
        "webhooks": {name: webhook(name, shapes) for name in EVENTS},
        "components": {
            "schemas": components,
            "headers": {
                name: {"description": sentence, "schema": schema}
                for name, (sentence, schema) in HEADERS.items()
            },
            "responses": shared_refusals(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def undescribed(url_map: Map) -> set[str]:
    """Routes of the API without an entry in ENDPOINTS, and entries without a route."""
    routes = {
        rule.endpoint.rpartition(".")[2]
        for rule in url_map.iter_rules()
        if rule.rule.startswith(("/api/", "/health", "/metrics"))
        if not rule.endpoint.endswith(".static")
    }
    return routes ^ ENDPOINTS.keys()


def paths(url_map: Map, shapes: dict[Any, Any]) -> dict[str, Any]:
    """Every route that is described, in the order of ENDPOINTS."""
    routes = {rule.endpoint.rpartition(".")[2]: rule for rule in url_map.iter_rules()}
    found: dict[str, Any] = defaultdict(dict)
    for name, endpoint in ENDPOINTS.items():
        rule = routes[name]
        (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        found[path][method.lower()] = operation(name, endpoint, in_path(rule, endpoint), shapes)
    return dict(found)


def in_path(rule: Any, endpoint: Endpoint) -> list[dict[str, Any]]:
    """The parameters in the path of a route."""
    number = {"type": "integer", "minimum": 1, "maximum": MAX_ID}
    text = {"type": "string", "minLength": 1}
    what = {
        "channel": "A channel's name or id.",
        "emoji": "One emoji.",
        "ticket": "As it was given.",
    }
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": number if f"<id:{name}>" in rule.rule else text | {"description": what[name]},
            "example": endpoint.given[name],
        }
        for name in sorted(rule.arguments)
    ]


def operation(
    name: str, endpoint: Endpoint, parameters: list[dict[str, Any]], shapes: dict[Any, Any]
) -> dict[str, Any]:
    """The description of one route: its words, parameters, body and responses."""
    made: dict[str, Any] = {"operationId": name, "tags": [endpoint.tag]}
    made["summary"] = endpoint.summary
    if endpoint.description:
        made["description"] = endpoint.description
    if not endpoint.token:
        made["security"] = []
    if endpoint.query:
        parameters = parameters + in_query(endpoint.query, endpoint)
    if endpoint.events:
        parameters = [*parameters, SOCKET_ID]
    if parameters:
        made["parameters"] = parameters
    if endpoint.body:
        kinds = {JSON: shapes[endpoint.body]}
        if endpoint.upload:
            kinds = {"multipart/form-data": with_file(endpoint.body)}
        for kind, title in FORMS.items() if endpoint.form else ():
            kinds[kind] = endpoint.body.model_json_schema(schema_generator=Schemas)
            kinds[kind]["title"] = f"{endpoint.body.__name__}{title}"
        made["requestBody"] = {
            "required": not endpoint.may_lack_body,
            "content": {
                kind: {"schema": schema, "example": endpoint.sent} for kind, schema in kinds.items()
            },
        }
    if endpoint.picture:
        picture = {"schema": {"type": "string", "format": "binary"}, "example": endpoint.picture}
        made["requestBody"] = {"required": True, "content": {BYTES: picture}}
    responses = successes(endpoint, shapes)
    for status, codes in refusals(endpoint).items():
        responses[status] = {"$ref": f"#/components/responses/{'_or_'.join(codes)}"}
    made["responses"] = {str(status): responses[status] for status in sorted(responses)}
    return made


def with_file(body: type[requests.Parameters]) -> dict[str, Any]:
    """The schema of a form with a file beside these members."""
    schema = body.model_json_schema(schema_generator=Schemas)
    schema["properties"] = {name: not_null(each) for name, each in schema["properties"].items()}
    schema["properties"]["file"] = {"type": "string", "format": "binary", "minLength": 1}
    del schema["not"]  # which says in terms of null that a channel is named
    schema["required"] = ["channel", "file"]
    return schema


def not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a member where there is no null, as in forms and queries: clients leave it out
    by not sending it."""
    one: dict[str, Any] = next(
        (each for each in schema.get("anyOf", []) if each.get("type") != "null"), schema
    )
    return one


SOCKET_ID = {
    "name": "X-Socket-ID",
    "in": "header",
    "description": "The Pusher connection to leave out of the events; a malformed one is ignored.",
    "schema": {"type": "string"},
    "example": "123.456",
}


def in_query(model: type[requests.Parameters], endpoint: Endpoint) -> list[dict[str, Any]]:
    """The parameters in the query of an endpoint."""
    whole = model.model_json_schema(schema_generator=Schemas)
    parameters = []
    for name, schema in whole["properties"].items():
        one = not_null(schema)
        required = name in whole.get("required", [])
        parameter = {"name": name, "in": "query", "required": required, "schema": one}
        if name in endpoint.given:
            parameter["example"] = endpoint.given[name]
        parameters.append(parameter)
    return parameters


def successes(endpoint: Endpoint, shapes: dict[Any, Any]) -> dict[int, dict[str, Any]]:
    """The responses to requests that succeed, by status."""
    found = {}
    for status, sentence in endpoint.success.items():
        names = ["X-Request-ID", *headers_of_bytes(endpoint, status)]
        response: dict[str, Any] = {"description": sentence, "headers": headers(*names)}
        if endpoint.pages:
            relations = " and ".join(f'rel="{each}"' for each in endpoint.pages)
            link = {"description": f"{relations}, if there is more in that direction (RFC 8288)."}
            response["headers"]["Link"] = link | {"schema": HEADERS["Link"][1]}
        if endpoint.media == JSON and endpoint.shape:
            content: dict[str, Any] = {"schema": shapes[endpoint.shape]}
            if endpoint.got is not None:
                content["example"] = endpoint.got
            response["content"] = {JSON: content}
        elif endpoint.media != JSON and status != 304:
            response["content"] = {endpoint.media: {"schema": {"type": "string"}}}
            if endpoint.media == "*/*":  # which generated clients do not know
                any_bytes = {"schema": {"type": "string", "format": "binary"}}
                response["content"] = {BYTES: any_bytes, **response["content"]}
            if endpoint.shape:
                response["content"][endpoint.media]["x-line-schema"] = shapes[endpoint.shape]
        if endpoint.follow:
            response["links"] = {
                name: link_to(name, where) for name, where in endpoint.follow.items()
            }
        found[status] = response
    return found


def headers_of_bytes(endpoint: Endpoint, status: int) -> list[str]:
    """The headers that tell of the bytes of a file or picture, if the endpoint gives any."""
    if endpoint.media != "*/*":
        return []
    names = ["ETag", "Accept-Ranges"]
    names += ["Content-Range"] if status == 206 else []
    return names + (["Content-Disposition"] if endpoint.named_file else [])


def link_to(name: str, where: Any) -> dict[str, Any]:
    """A link to another endpoint, with the places in the answer where its parameters are."""
    target = ENDPOINTS[name]
    kind = "parameters" if set(where) <= set(target.given) else "requestBody"
    return {"operationId": name, kind: dict(where)}


def refusals(endpoint: Endpoint) -> dict[int, list[answers.ErrorCode]]:
    """The codes that a request may be refused with, by status."""
    codes = [*EVERY_ENDPOINT, *endpoint.refusals]
    codes += WITH_TOKEN if endpoint.token else ()
    codes += WITH_BODY if endpoint.body else ()
    codes += ("invalid",) if endpoint.query else ()
    found: dict[int, list[answers.ErrorCode]] = defaultdict(list)
    for code, (status, _, _) in ERRORS.items():
        if code in codes:
            found[status].append(code)
    return found


def shared_refusals() -> dict[str, Any]:
    """The responses of all refusals, each written once; endpoints refer to them."""
    found: dict[str, Any] = {"method_not_allowed": refusal(405, ["method_not_allowed"])}
    for endpoint in ENDPOINTS.values():
        for status, codes in refusals(endpoint).items():
            found["_or_".join(codes)] = refusal(status, codes)
    return found


def refusal(status: int, codes: list[answers.ErrorCode]) -> dict[str, Any]:
    """The response of one status, with an example for each code."""
    more = [HEADERS_OF_STATUS[status]] if status in HEADERS_OF_STATUS else []
    more += ["Retry-After"] if "busy" in codes else []
    return {
        "description": " ".join(f"`{code}`: {ERRORS[code][1]}" for code in codes),
        "headers": headers("X-Request-ID", *more),
        "content": {
            JSON: {
                "schema": {"$ref": REF.format(model="Error")},
                "examples": {
                    code: {"value": {"status": "error", "code": code, "message": ERRORS[code][2]}}
                    for code in codes
                },
            }
        },
    }


def headers(*names: str) -> dict[str, Any]:
    """References to these headers."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def webhook(name: str, shapes: dict[Any, Any]) -> dict[str, Any]:
    """An event, in the form that OpenAPI has for webhooks."""
    event = EVENTS[name]
    return {
        "post": {
            "summary": event.summary,
            "description": f"On: {event.channels}",
            "requestBody": {
                "required": True,
                "content": {JSON: {"schema": shapes[event.shape], "example": event.example}},
            },
            "responses": {"200": {"description": "Front ends answer nothing."}},
        }
    }


# Schemas -------------------------------------------------------------------------------------


class Schemas(GenerateJsonSchema):
    """JSON Schema without titles, which would only repeat the names of members."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        """No field gets a title."""
        return False


def shapes_and_components() -> tuple[dict[Any, Any], dict[str, Any]]:
    """The schema of every body, answer and event, and the components that they refer to."""
    types: list[Any] = [answers.Error]
    for endpoint in ENDPOINTS.values():
        types += [each for each in (endpoint.body, endpoint.shape) if each]
    types += [event.shape for event in EVENTS.values()]
    made, whole = TypeAdapter.json_schemas(
        [(each, "validation", TypeAdapter(each)) for each in dict.fromkeys(types)],
        ref_template=REF,
        schema_generator=Schemas,
    )
    return {each: schema for (each, _), schema in made.items()}, whole["$defs"]
