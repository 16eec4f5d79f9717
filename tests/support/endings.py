"""How a login ends."""

from tests.support.conversations import ok
from tests.support.people import PASSWORD, Answer, Person


def log_out(person: Person) -> Answer:
    return person.post("/api/logout")


def log_out_everywhere(person: Person) -> Answer:
    return person.post("/api/logout", {"all": True})


def change_password(person: Person) -> Answer:
    body = {"current_password": PASSWORD, "new_password": "battery staple"}
    return person.request("PUT", "/api/me/password", body)


def refresh(person: Person) -> Answer:
    """Go on with another token."""
    answer = person.post("/api/refresh")
    person.token = ok(answer)["data"]["token"]
    return answer


def refresh_and_log_out(person: Person) -> Answer:
    refresh(person)
    return log_out(person)


def delete_account(person: Person) -> Answer:
    return person.request("DELETE", "/api/me", {"password": PASSWORD})
