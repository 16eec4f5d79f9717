"""What schemathesis is told beyond the document: who it is, and which refusals are in order."""

import re
from itertools import count
from typing import Any

import requests
import schemathesis

PASSWORD = "correct horse"
#: Another name, too, because the next login is with the one that it registered.
ENDS_TOKENS = {"refresh", "change_password", "logout", "delete_account", "change_profile"}
#: What no schema can say: refusals of requests that are as the document describes.
IN_ORDER = re.compile(
    r"(since|cursor) is not a cursor of this database\. .*"
    r"|since is of a database that no longer exists\. .*"
    r"|emoji must be one emoji, percent-encoded in the path\."
    r"|You cannot block yourself\."
    r"|to_user is you; a chat has two people\."
    r"|to_user is not the other person of this channel\."
    r"|channel, channel_name and channel_id name different channels\."
    r"|give at most one of before, after and around\."
    r"|display_name must (have a character that can be seen|not .*)\."
    r"|username must (have 1 to 50 characters|not begin or end with white space)\."  # as NFKC
    r"|username must (have a character that can be seen|not mix Latin, Cyrillic and Greek .*)\."
    r"|username must not have (control, private-use or unassigned characters|characters that .*)\."
    r"|endpoint (has a host that cannot be found|must be at a public address)\."
    r"|endpoint must begin with https://\."
    r"|endpoint must be the address of a push service, such as .*"  # a port beyond 65535
    r"|keys\.p256dh must be a public key of the curve P-256\."
    r"|(new_)?password must not be (the user name|a common word or password, .*)\."
)


class Somebody:
    """With a peer and a chat; another one once the account is deleted."""

    def __init__(self) -> None:
        self.numbers = count(1)
        self.name = ""
        self.token = ""
        self.owned: dict[str, Any] = {}  # by the names of path parameters

    def logged_in(self, base: str) -> str:
        if self.token:
            return self.token
        if not self.log_in(base):
            self.name = f"somebody {next(self.numbers)}"
            peer = f"peer of {self.name}"
            ids = [self.register(base, name) for name in (self.name, peer)]
            assert self.log_in(base)
            chat = self.post(base, "request_chat", {"to_user": ids[1]}).json()
            message = {"channel": chat["channel_id"], "message": "hello"}
            sent = self.post(base, "send_message", message).json()
            self.owned = {"channel": sent["channel"], "message_id": sent["id"], "user_id": ids[1]}
        return self.token

    def log_in(self, base: str) -> bool:
        body = {"username": self.name, "password": PASSWORD}
        answer = self.post(base, "login", body)
        self.token = answer.json()["data"]["token"] if answer.status_code == 200 else ""
        return bool(self.token)

    def register(self, base: str, name: str) -> int:
        body = {"username": name, "password": PASSWORD}
        number: int = self.post(base, "register", body).json()["data"]["id"]
        return number

    def post(self, base: str, method: str, body: dict[str, Any]) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.post(f"{base}/api/{method}", json=body, headers=headers, timeout=60)


somebody = Somebody()


@schemathesis.auth(refresh_interval=None)
class Bearer:
    def get(self, case: Any, context: Any) -> str:
        return somebody.logged_in(case.operation.base_url.rstrip("/"))

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any]:
    """Half of what is made up would not be found: have it mean something that is there."""
    return {
        name: somebody.owned.get(name, value) if len(str(value)) % 2 else value
        for name, value in (path_parameters or {}).items()
    }


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    if case.operation.definition.raw["operationId"] in ENDS_TOKENS and response.status_code < 300:
        somebody.token = ""


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    if response.status_code == 414:  # gunicorn's own, to a URI of more than 4 KiB
        return False
    if response.status_code == 415 and response.request.url.endswith("/avatar"):
        return False  # bytes that are no picture
    refused = response.status_code == 400 and type(failure).__name__ == "RejectedPositiveData"
    return not (refused and IN_ORDER.fullmatch(response.json()["message"]))
