"""Write docs/api.md anew, from contract/ and the routes: `make reference`.

It is the OpenAPI document as a page that can be read without a server.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app import create_app  # noqa: E402
from config import Settings  # noqa: E402
from contract import openapi  # noqa: E402
from contract.endpoints import ERRORS  # noqa: E402

PAGE = ROOT / "docs" / "api.md"
HEAD = """\
# Every endpoint

This page is made from `contract/` and the routes (`make reference`), and a test holds it to them.
A server has the same at `/api/docs`, to be tried out, and as OpenAPI 3.1 at `/api/openapi.json`.
For a first acquaintance take the [README's walk](../README.md#a-walk-through-the-seven-methods).

Every answer has `X-Request-ID`, which names the request in our log. Where nothing else is said, an
endpoint needs a token: `Authorization: Bearer <token>`.
"""
JSON = "application/json"
Part = dict[str, Any]


def document() -> Part:
    """The OpenAPI document of an application that serves nobody."""
    with TemporaryDirectory() as folder:
        return openapi.document(create_app(Settings(instance_path=folder)).url_map)


def kind(schema: Part) -> str:
    """A type in few words, with a link to the shape if it has one."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(kind(each) for each in choices))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'])}"
    if schema.get("format") == "binary":
        return "file"
    named = schema.get("type", "anything")
    return " or ".join(named) if isinstance(named, list) else str(named)


def limits(schema: Part) -> str:
    """What a value has to fit into."""
    parts = [schema, *(each for each in schema.get("anyOf", []) if each.get("type") != "null")]
    says = []
    for part in parts:
        least, most = part.get("minLength"), part.get("maxLength")
        if least and most:
            says.append(f"{least} to {most} characters.")
        elif most:
            says.append(f"At most {most} characters.")
        if part.get("maximum", 2**63) < 2**31:
            says.append(f"{part.get('minimum', 0)} to {part['maximum']}.")
    return " ".join(dict.fromkeys(says))


def headed(head: str, rows: Iterable[str]) -> Iterator[str]:
    """A table, if there are rows."""
    found = list(rows)
    if found:
        yield f"| {head} |"
        yield "|" + " --- |" * (head.count("|") + 1)
        yield from found
        yield ""


def members(schema: Part) -> Iterator[str]:
    """The members of a body or answer."""
    needed = schema.get("required", [])
    for name, each in schema.get("properties", {}).items():
        says = [*each.get("description", "").split(), *limits(each).split()]
        if name not in needed:
            says = ["May", "be", "left", "out.", *says]
        sort = kind(each) if name in needed else kind(each).removesuffix(" or null")
        yield f"| `{name}` | {sort} | {' '.join(says)} |"


def parameters(operation: Part) -> Iterator[str]:
    for each in operation.get("parameters", []):
        says = each.get("description") or each["schema"].get("description", "")
        sort = kind(each["schema"])
        yield f"| `{each['name']}` | {each['in']} | {sort} | {' '.join(says.split())} |"


def body_of(operation: Part, schemas: Part) -> Iterator[str]:
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return
    media = JSON if JSON in content else next(iter(content))
    others = [f"`{each}`" for each in content if each != media]
    schema = content[media]["schema"]
    table = list(
        members(schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema)
    )
    end = ":" if table else "."
    yield f"The body is `{media}`" + (f", or {' or '.join(others)}" if others else "") + end
    yield ""
    yield from headed("member | type | what it is", table)


def answers_of(operation: Part) -> Iterator[str]:
    """What each status means, and in one line which refusals there can be."""
    refusals = []
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            codes = answer["$ref"].rpartition("/")[2].split("_or_")
            refusals.append(f"{status} {' or '.join(f'`{code}`' for code in codes)}")
            continue
        content = answer.get("content", {})
        shown = kind(content[JSON]["schema"]) if JSON in content else f"`{next(iter(content), '')}`"
        shown = f" {shown}." if content else ""
        yield f"- **{status}**: {' '.join(answer['description'].split())}{shown}"
    if refusals:
        yield f"- [Refusals](#refusals): {', '.join(refusals)}"
    yield ""


def example_of(method: str, path: str, operation: Part, shown: set[str]) -> Iterator[str]:
    """A request, as the tests send it, and its answer if its shape was not shown before."""
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path" and "example" in parameter:
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
    content = operation.get("requestBody", {}).get("content", {})
    sent = content.get(JSON, {}).get("example")
    if sent is not None:
        yield from ("```json", json.dumps(sent, ensure_ascii=False, indent=2), "```", "")
    for status, answer in operation["responses"].items():
        content = answer.get("content", {}).get(JSON, {})
        if status.startswith("2") and "example" in content:
            if (shape := kind(content["schema"]).removeprefix("list of ")) not in shown:
                shown.add(shape)
                got = json.dumps(content["example"], ensure_ascii=False, indent=2)
                yield from (f"`{method.upper()} {path}` answers", "", "```json", got, "```", "")
            return


def endpoint(
    path: str, method: str, operation: Part, parts: Part, shown: set[str]
) -> Iterator[str]:
    yield f"### {method.upper()} {path}"
    yield ""
    open_to_all = operation.get("security") == []
    yield f"{operation['summary']}." + (" No token is needed." if open_to_all else "")
    yield from (operation[name] for name in ("description",) if operation.get(name))
    yield ""
    yield from headed("parameter | in | type | what it is", parameters(operation))
    yield from body_of(operation, parts["schemas"])
    yield from answers_of(operation)
    yield from example_of(method, path, operation, shown)


def errors() -> Iterator[str]:
    yield from (
        "## Refusals",
        "",
        "All have one shape, [Error](#error). `code` is for programs.",
        "",
    )
    yield from headed(
        "code | status | when",
        (f"| `{code}` | {status} | {when} |" for code, (status, when, _) in ERRORS.items()),
    )


def events(hooks: Part) -> Iterator[str]:
    yield from ("## Events", "", "What front ends hear ([Private channels](channels.md)).", "")
    told = {name: hook["post"] for name, hook in hooks.items()}
    yield from headed(
        "event | when | on | data",
        (
            f"| `{name}` | {post['summary']}. | {post['description'].removeprefix('On: ')} "
            f"| {kind(post['requestBody']['content'][JSON]['schema'])} |"
            for name, post in told.items()
        ),
    )


def shapes(schemas: Part) -> Iterator[str]:
    yield from ("## Shapes", "", "What stands above behind links.", "")
    for name, schema in schemas.items():
        yield f"### {name}"
        yield ""
        if said := " ".join(schema.get("description", "").split()):
            yield from (said, "")
        yield from headed("member | type | what it is", members(schema))


def written() -> str:
    """What belongs into the page."""
    whole = document()
    parts, lines, shown = whole["components"], [HEAD], set[str]()
    for tag in whole["tags"]:
        lines += [f"## {tag['name']}", ""]
        for path, methods in whole["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"]:
                    lines += endpoint(path, method, operation, parts, shown)
    lines += [*errors(), *events(whole["webhooks"]), *shapes(parts["schemas"])]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
