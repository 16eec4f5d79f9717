"""The chat page in a real browser."""

import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import text as sql

from config import Settings, load
from realtime import servers
from tests.support.browser import CUT_OFF, Windows, address, texts
from tests.support.people import (
    PASSWORD,
    ROOT,
    ChatServer,
    Person,
    looking_into,
)
from tests.support.servers import HOST, IN_CI, Soketi, eventually
from web.page import PUSHER_JS

pytestmark = pytest.mark.slow

DOCS = ROOT / "docs"
numbers = count(1)
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 640}, "has_touch": True}
DARK: dict[str, Any] = {"color_scheme": "dark"}


# Two people ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pusher", ["server", *(["server_with_soketi"] if IN_CI else [])])
def test_two_people_chat_in_two_browsers(
    pusher: str, window: Windows, request: pytest.FixtureRequest
) -> None:
    at = address(request.getfixturevalue(pusher))
    ada, bob = window(at), window(at)

    ada.registers(f"ada via {pusher}")
    bob.registers(f"bob via {pusher}")
    ada.is_live()
    bob.is_live()

    to_bob = ada.page.get_by_role("link", name="bob via")
    expect(to_bob).to_contain_text("Online")
    to_bob.click()
    ada.says("Hello!")
    ada.sees("Hello!")
    expect(bob.page.locator("#lists .count")).to_have_text("1 unread")
    expect(bob.page).to_have_title("(1) Chitchat")
    expect(ada.message("Hello!").get_by_title("Sent")).to_be_visible()

    bob.page.get_by_role("link", name="ada via").click()
    bob.sees("Hello!")
    expect(ada.message("Hello!").get_by_title("Read")).to_be_visible()
    expect(bob.page.locator("#lists .count")).to_have_count(0)

    expect(ada.page.locator("#peer-status")).to_have_text("Online")
    bob.composer.press_sequentially("Hi")

    def is_heard() -> bool:  # once both have subscribed to the chat's own channel
        bob.composer.fill("Hi")
        return ada.page.locator("#peer-status").inner_text() == "typing"

    assert eventually(is_heard)
    bob.composer.press("Enter")
    ada.sees("Hi")
    expect(ada.page.locator("#peer-status")).to_have_text("Online")

    bob.acts("Hi", "Edit")
    expect(bob.composer).to_have_value("Hi")
    bob.says("Hi, ada")
    ada.sees("Hi, ada")
    expect(ada.message("Hi, ada").get_by_text("edited")).to_be_visible()

    ada.acts("Hello!", "Delete")
    ada.agrees("Delete")
    bob.sees("This message was deleted.")
    assert ada.said() == bob.said() == ["This message was deleted.", "Hi, ada"]

    bob.page.close()
    expect(ada.page.locator("#peer-status")).to_have_text("Offline")


@pytest.fixture
def crowded(chromium: Browser) -> Iterator[ChatServer]:
    """Its soketi takes one person into a presence channel, as others take 100."""
    with Soketi(members=1) as soketi, ChatServer("flask", **soketi.env) as server:
        yield server


def test_a_full_presence_channel_spoils_nothing(crowded: ChatServer, window: Windows) -> None:
    ada, bob = (crowded.api.sign_up(name) for name in ("ada", "bob"))
    ada.said(ada.asks(bob).json, "Are you there?")
    first, refused = window(address(crowded)), window(address(crowded))
    first.is_of(ada, f"#/{bob.id}")
    first.is_live()
    expect(first.page.locator("#me")).to_be_visible()
    assert eventually(lambda: members(crowded) == 1)
    refused.is_of(bob, f"#/{ada.id}")
    refused.is_live()

    refused.says("I am")
    first.sees("I am")
    first.says("Good")
    refused.sees("Good")

    for each in (first, refused):
        expect(each.page.locator("#peer-status")).to_have_text("")
        expect(each.page.get_by_text("Online", exact=True)).to_have_count(0)
    first.page.close()
    refused.is_live()
    expect(refused.page.locator("#peer-status")).to_have_text("")


def members(server: ChatServer) -> int:
    """How many are in the presence channel, as the Pusher server counts them."""
    client = servers.server(load(server.environment())).client()
    count: int = len(client.users_info("presence-chitchat")["users"])
    return count


def test_the_small_front_end_hears_after_its_token_ends(
    chromium: Browser, own_server: ChatServer, tmp_path: Path
) -> None:
    """It is run as it stands there, but for the addresses, from a site of its own."""
    server = own_server
    for name, password in (("ada", PASSWORD), ("bob", "battery staple")):
        server.api.post("/api/register", {"username": name, "password": password})
    shown = (DOCS / "front-end.md").read_text(encoding="utf-8")
    front_end = shown.partition("```html\n")[2].partition("```")[0]
    front_end = front_end.replace("http://localhost:5000/", address(server))
    page = chromium.new_page()
    readable = {"Access-Control-Allow-Origin": "*"}  # or the browser could not check integrity
    page.route(
        "https://cdn.jsdelivr.net/npm/*/**",
        lambda route: route.fulfill(path=PUSHER_JS, headers=readable),
    )
    (tmp_path / "index.html").write_text(front_end, encoding="utf-8")
    site = ThreadingHTTPServer((HOST, 0), partial(SimpleHTTPRequestHandler, directory=tmp_path))
    Thread(target=site.serve_forever).start()
    page.goto(f"http://{HOST}:{site.server_port}/")
    site.shutdown()
    site.server_close()
    ada, heard = server.api.sign_in("ada"), page.get_by_role("listitem")
    chat = ada.asks(Person(server.api, 2, "bob", "", 0)).json

    def is_heard(text: str) -> bool:
        ada.said(chat, text)
        return bool(heard.filter(has_text=text).count())

    assert eventually(lambda: is_heard("Hello"))
    server.stop()
    with looking_into(load(server.environment())) as connection:
        connection.execute(sql("DELETE FROM sessions"))
        connection.commit()
    server.start()
    ada = server.api.sign_in("ada")

    assert eventually(lambda: is_heard("Still there?"))
    # The server ends the connection, as it does when the token expires.
    token = server.api.login("bob", "battery staple").json["data"]["token"]
    bob = Person(server.api, 2, "bob", token, 0)
    assert bob.post("/api/logout", {"all": True}).status == 204
    assert eventually(lambda: is_heard("And now?"))
    page.close()


def test_a_search_finds_people_and_messages_and_leads_there(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    found = ada.said(chat, "The zebra crossing is closed")
    for number in range(120):
        bob.said(chat, f"Word {number}")
    reader = window()
    reader.is_of(ada)

    reader.page.get_by_role("searchbox").fill("ZEBR")
    expect(reader.page.get_by_role("log")).to_contain_text("0 people, 1 message")
    expect(reader.page.get_by_role("heading", name="People")).to_have_count(0)
    expect(reader.page.locator("mark")).to_have_text("zebr")
    reader.page.get_by_role("searchbox").fill("cross")
    expect(reader.page.locator("mark")).to_have_text("cross")
    reader.page.get_by_role("link", name="zebra").click()

    expect(reader.message(found["message"])).to_be_in_viewport()
    expect(reader.page.get_by_role("button", name="To the end")).to_be_visible()
    reader.page.get_by_role("button", name="To the end").click()
    expect(reader.message("Word 119")).to_be_in_viewport()

    reader.page.get_by_role("searchbox").fill(bob.username)
    expect(reader.page.get_by_role("log")).to_contain_text("1 person, 0 messages")
    expect(reader.row(bob)).to_be_visible()
    reader.page.get_by_role("searchbox").press("Escape")
    expect(reader.page.get_by_role("heading", name="Chats")).to_be_visible()


def test_the_chats_stand_in_the_order_of_the_api(
    window: Windows, server: ChatServer, ada: Person
) -> None:
    """A page at a time, without those in which nothing was said."""
    friends = [server.api.sign_up(f"friend {next(numbers)}") for _ in range(7)]
    chats = [ada.asks(friend).json for friend in friends]
    for place in (0, 3, 6, 2, 4):
        ada.said(chats[place], "Hello" if place in (0, 2) else "Good day")
    friends[0].request("DELETE", "/api/me", {"password": PASSWORD})
    known = [each for each in ada.get("/api/chats").json if each["last_message"]]
    in_order = [each["user"]["username"] or "Deleted account" for each in known]
    reader = window(expected="404")  # the account that was deleted

    def ask_for_four(route: Any) -> None:
        route.continue_(url=route.request.url.replace("limit=50", "limit=4"))

    reader.page.route("**/api/chats?*", ask_for_four)
    reader.is_of(ada)
    names = reader.page.get_by_role("region", name="Chats").locator(".name")
    expect(names).to_have_text(in_order)  # there is room for more than one page

    reader.page.get_by_role("searchbox").fill("Hello")
    found = reader.page.get_by_role("region", name="Messages").locator(".name")
    expect(found).to_have_text([friends[2].username, "Deleted account"])
    reader.page.get_by_role("searchbox").press("Escape")
    expect(names).to_have_text(in_order)
    new = server.api.sign_up(f"friend {next(numbers)}")
    ada.said(new.asks(ada).json, "Welcome")  # has the page ask again for the first four
    expect(names).to_have_text([new.username, *in_order])


def test_a_blocked_person_cannot_write_until_unblocked(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    blocker, blocked = window(), window(expected="403")
    blocker.is_of(ada, f"#/{bob.id}")
    blocked.is_of(bob, f"#/{ada.id}")
    blocker.chooses("Block")
    blocker.agrees("Block")
    expect(blocker.composer).to_be_disabled()

    blocked.says("Why?")
    expect(blocked.page.get_by_text("Not sent: One of you has blocked")).to_be_visible()
    expect(blocked.row(ada).locator("use")).to_have_attribute("href", "#icon-fault")
    unblock = blocker.page.get_by_role("button", name=f"Unblock {bob.username}")
    expect(unblock).not_to_have_attribute("aria-pressed", "true")  # its name says what it does
    unblock.click()
    expect(blocker.composer).to_be_enabled()
    blocked.page.get_by_role("button", name="Try again").click()

    blocker.sees("Why?")
    assert texts(ada, chat) == ["Why?"]


def test_logging_out_leaves_nothing_behind(
    window: Windows, server: ChatServer, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    device = window(expected=CUT_OFF)
    device.page.route(re.compile("/api/users[/?]"), lambda route: route.abort())
    device.is_of(ada, f"#/{bob.id}")
    device.is_live()
    device.composer.fill("A secret that was never sent")
    log_out = device.page.locator("#logout")
    dialog = device.page.get_by_role("dialog")
    log_out.click()
    expect(dialog).to_contain_text("Unsent drafts on this device will be deleted.")
    device.agrees("Cancel")

    carol = server.api.sign_up(f"carol {next(numbers)}")  # neither listed nor to be asked for
    device.visits(f"#/{carol.id}")
    expect(device.page.locator("#peer")).to_have_text("…")
    for said, lost in (("One", "1 unsent message"), ("A secret too", "2 unsent messages")):
        device.says(said)
        log_out.click()
        expect(dialog).to_contain_text(f"{lost} will be lost.")
        device.agrees("Cancel")
    log_out.click()
    device.agrees("Log out")

    expect(device.page.get_by_label("Name")).to_be_visible()
    kept = device.page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    assert "secret" not in kept
    assert ada.token not in kept
    assert ada.get("/api/me").status == 401


def test_a_wrong_password_and_a_bad_name_are_explained(window: Windows, ada: Person) -> None:
    visitor = window(expected="401|400|409")
    visitor.visits()
    name, password = visitor.page.get_by_label("Name"), visitor.page.get_by_label("Password")
    at_least = "At least 8 characters. A sentence is easy to remember."

    visitor.fills_in(ada.username, "not the password")
    expect(visitor.page.get_by_role("alert")).to_have_text("Wrong username or password.")
    expect(password).to_have_attribute("aria-invalid", "true")
    expect(password).to_have_accessible_description("Wrong username or password.")
    visitor.page.get_by_text("Create account").click()
    expect(password).to_have_attribute("aria-invalid", "false")
    expect(password).to_have_accessible_description(at_least)
    visitor.fills_in(ada.username)
    expect(name).to_be_focused()
    expect(name).to_have_attribute("aria-invalid", "true")
    expect(name).to_have_accessible_description("This username is in use. Choose another one.")
    visitor.fills_in("grace", "short")
    expect(visitor.page.get_by_role("alert")).to_have_text(
        "Password must have at least 8 characters."
    )
    expect(name).to_have_attribute("aria-invalid", "false")
    expect(password).to_have_attribute("aria-invalid", "true")


# What it survives ----------------------------------------------------------------------------


def test_messages_survive_a_restart_of_the_server(window: Windows, own_server: ChatServer) -> None:
    ada, bob = own_server.api.sign_up("ada"), own_server.api.sign_up("bob")
    chat = ada.asks(bob).json
    at = address(own_server)
    writer, reader = window(at, expected=CUT_OFF), window(at, expected=CUT_OFF)
    writer.is_of(ada, f"#/{bob.id}")
    reader.is_of(bob, f"#/{ada.id}")
    writer.is_live()
    reader.is_live()

    own_server.kill()
    expect(reader.page.get_by_role("status").first).to_contain_text("No connection")
    writer.says("Are you there?")
    expect(writer.message("Are you there?").get_by_title("Waiting")).to_be_visible()
    own_server.start()
    missed = ada.said(chat, "Said while nobody was connected")

    for window_ in (writer, reader):
        window_.sees(missed["message"])
        window_.sees("Are you there?")
        window_.is_live()
    reader.says("Yes")
    writer.sees("Yes")
    assert sorted(texts(ada, chat)) == sorted([missed["message"], "Are you there?", "Yes"])


def test_messages_wait_while_the_network_is_gone(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    writer = window(expected=CUT_OFF)
    writer.is_of(ada, f"#/{bob.id}")
    writer.is_live()

    writer.page.context.set_offline(True)
    expect(writer.page.get_by_role("status").first).to_contain_text("No connection")
    writer.says("One")
    writer.says("Two")
    writer.composer.fill("Still typing")
    expect(writer.messages.get_by_title("Waiting")).to_have_count(2)
    assert texts(bob, chat) == []
    writer.page.context.set_offline(False)

    expect(writer.messages.get_by_title("Sent")).to_have_count(2)
    expect(writer.page.locator("#connection")).to_be_empty()
    expect(writer.composer).to_have_value("Still typing")
    assert texts(bob, chat) == ["One", "Two"]


def test_a_lost_answer_sends_no_message_twice(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    writer = window(expected=CUT_OFF)
    writer.is_of(ada, f"#/{bob.id}")
    lost: list[int] = []

    def lose(route: Any) -> None:
        lost.append(route.fetch().status)
        route.abort()

    writer.page.route("**/api/send_message", lose, times=1)
    writer.says("Once")

    expect(writer.message("Once").get_by_title("Sent")).to_be_visible()
    assert lost == [201]
    assert texts(bob, chat) == ["Once"]

    writer.page.route("**/read", lambda route: route.abort(), times=1)
    with writer.page.expect_event("requestfailed"):
        bob.said(chat, "Did you see this?")

    def is_marked() -> bool:  # by anything that makes the page draw: it does not try at once
        writer.page.evaluate("dispatchEvent(new Event('online'))")
        return not ada.get("/api/chats").json[0]["unread"]

    assert eventually(is_marked)


def test_a_closed_window_loses_no_message(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    writer = window(expected=CUT_OFF)
    writer.is_of(ada, f"#/{bob.id}")
    writer.page.route("**/api/send_message", lambda route: route.abort())
    writer.says("Not yet")
    expect(writer.message("Not yet").get_by_title("Waiting")).to_be_visible()
    writer.composer.fill("A draft")

    writer.page.unroute_all()
    writer.page.reload()

    expect(writer.message("Not yet").get_by_title("Sent")).to_be_visible()
    expect(writer.composer).to_have_value("A draft")
    assert texts(bob, chat) == ["Not yet"]


def test_two_windows_of_one_person_stay_alike(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    bob.said(chat, "Hello")
    first = window()
    first.is_of(ada, f"#/{bob.id}")
    second = window(beside=first)
    second.is_of(ada)
    first.is_live()
    second.is_live()

    first.says("Here I am")
    expect(second.row(bob)).to_contain_text("You: Here I am")
    bob.said(chat, "Good")
    first.sees("Good")
    expect(second.row(bob)).to_contain_text("Good")
    expect(second.page.locator("#lists .count")).to_have_count(0)
    second.opens(bob)
    second.says("From the second")
    for each in (first, second):  # as sent: what waits in one window is shown in both
        expect(each.message("From the second").get_by_title("Sent")).to_be_visible()

    assert first.said() == second.said() == ["Hello", "Here I am", "Good", "From the second"]


TEXTS = [
    "<script>hacked = 1</script><img src=x onerror='hacked = 1'><b>bold</b>",
    "&lt;b&gt; &amp; \\u003c",
    "שלום, מה שלומך?",
    "مرحبا بالعالم",
    "नमस्ते दुनिया",
    "你好，世界",
    "สวัสดีชาวโลก",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽",
    "Z̸̢̛a̷͇͝l̶̰̈́g̵̱̀o̶̻̐",
    "javascript:alert(1) https://example.com/?q=<b>",
    "two\nlines   and\tspaces",
    "a" * 3_000,
]


def test_text_in_any_script_is_shown_and_never_run(
    window: Windows, server: ChatServer, bob: Person
) -> None:
    eve = server.api.sign_up(f"<img src=x onerror=hacked=1> {next(numbers)}")
    chat = eve.asks(bob).json
    for text in TEXTS:
        eve.said(chat, text)
    reader = window(**PHONE)
    reader.is_of(bob)
    reader.opens(eve)

    assert reader.said() == TEXTS
    assert reader.page.evaluate("typeof hacked") == "undefined"
    assert reader.page.locator(":is(#lists, #messages) :is(img, script, b)").count() == 0
    hebrew = reader.page.locator("#messages p").get_by_text("שלום")
    assert hebrew.evaluate("(p) => getComputedStyle(p).direction") == "rtl"
    assert not reader.overflows()


def test_a_message_of_five_thousand_emoji_arrives(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    writer, reader = window(), window()
    writer.is_of(ada, f"#/{bob.id}")
    reader.is_of(bob, f"#/{ada.id}")
    reader.is_live()

    writer.composer.fill("🦓" * 5_001)
    expect(writer.page.get_by_text("5001 of 5000 characters")).to_be_visible()
    expect(writer.page.get_by_role("button", name="Send")).to_be_disabled()
    writer.says("🦓" * 5_000)

    for side in (writer, reader):
        expect(side.page.locator("#messages .bubble > p")).to_have_text("🦓" * 5_000)


def test_a_chat_of_ten_thousand_messages_opens_quickly(
    window: Windows, server: ChatServer, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    first = ada.said(chat, "Message 1")["id"]
    columns = "channel_id, sender_id, text, created_at, transaction_id"
    with looking_into(Settings(instance_path=str(server.directory / "instance"))) as connection:
        connection.execute(
            sql(
                "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)"
                f" INSERT INTO messages ({columns})"
                " SELECT channel_id, sender_id, 'Message ' || i, created_at, transaction_id"
                " FROM messages, n WHERE id = :first"
            ),
            {"first": first},
        )
        connection.execute(
            sql("UPDATE channels SET last_message_id = last_message_id + 9999 WHERE id = :id"),
            {"id": chat["channel_id"]},
        )
        connection.commit()
    reader = window()
    reader.is_of(ada, f"#/{bob.id}")
    reader.sees("Message 10000")

    def scrolled_to(number: int) -> bool:
        reader.page.evaluate("document.getElementById('messages').scrollTop = 0")
        return bool(reader.message(f"Message {number}").count())

    for number in range(9_950, 9_600, -50):
        # More than once, if need be: as long as it is about to open, the page goes to the end.
        assert eventually(lambda number=number: scrolled_to(number))  # type: ignore[misc]
        assert reader.messages.count() <= 250
    assert len(set(reader.said())) == reader.messages.count()
    took = reader.page.evaluate(
        "async () => { const begin = performance.now(); location.hash += `/${"
        f"{first}"
        "}`; await new Promise((done) => new MutationObserver(() =>"
        " document.querySelector('.message.found') && done())"
        ".observe(document.getElementById('messages'), { childList: true }));"
        " return performance.now() - begin }"
    )
    expect(reader.message("Message 1")).to_be_in_viewport()
    assert took < 15_000
    reader.page.get_by_role("button", name="To the end").click()
    expect(reader.message("Message 10000")).to_be_in_viewport()


def test_a_deletion_wins_over_a_later_edit(
    window: Windows, server: ChatServer, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    """The server's clock has stepped back between the two."""
    message = bob.said(chat, "A secret")
    edited = {"message": "Another secret", "edited_at": "2126-01-01T00:00:00.000000Z"}
    reader = window()
    reader.page.route(
        "**/api/get_message/**", lambda route: route.fulfill(json=[{**message, **edited}]), times=1
    )
    reader.is_of(ada, f"#/{bob.id}")
    reader.sees("Another secret")

    assert bob.request("DELETE", f"/api/messages/{message['id']}").status == 200

    expect(reader.page.get_by_text("This message was deleted.")).to_be_visible()
    assert reader.message("Another secret").count() == 0


def test_the_page_works_without_pusher_js(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    reader = window(expected="400")
    reader.page.route(
        "**/vendor/pusher.js", lambda route: route.fulfill(body="", content_type="text/javascript")
    )
    reader.is_of(ada, f"#/{bob.id}")
    expect(reader.page.get_by_role("status").first).to_have_text(
        "Not live: checking for new messages every few seconds."
    )

    bob.said(chat, "Not live, but here")

    reader.sees("Not live, but here")

    def lose_the_cursor(route: Any) -> None:
        bob.said(chat, "What no sync tells of")
        route.fulfill(status=400, json={"code": "invalid", "message": "Another database's."})

    reader.page.route("**/api/sync?since=*", lose_the_cursor, times=1)
    reader.page.evaluate("dispatchEvent(new Event('online'))")  # has it look at once
    reader.sees("What no sync tells of")


# For everybody -------------------------------------------------------------------------------


def test_a_phone_shows_the_list_or_the_chat(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    bob.said(chat, "https://example.com/" + "long" * 40)
    phone = window(**PHONE)
    phone.is_of(ada)
    expect(phone.page.locator("#conversation")).to_be_hidden()

    phone.opens(bob)
    expect(phone.page.locator("#overview")).to_be_hidden()
    assert not phone.overflows()
    phone.page.get_by_role("link", name="Back").click()

    expect(phone.row(bob)).to_be_visible()
    assert not phone.overflows()


def test_the_page_follows_the_systems_dark_mode(window: Windows, ada: Person) -> None:
    def lightness(**options: Any) -> int:
        page = window(**options).page
        page.goto(window.address)
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour[4:-1].split(","))

    assert lightness(**DARK) < 200 < 600 < lightness()


def test_the_keyboard_alone_is_enough(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    bob.said(chat, "Hello")
    writer = window()
    writer.visits()
    keys = writer.page.keyboard
    keys.type(ada.username)
    keys.press("Tab")
    keys.type("correct horse")
    keys.press("Enter")
    expect(writer.row(bob)).to_be_visible()

    for _ in range(10):
        if writer.row(bob).evaluate("(row) => row === document.activeElement"):
            break
        keys.press("Tab")
    keys.press("Enter")
    expect(writer.composer).to_be_focused()
    for text in ("One", "Two"):
        keys.type(text)
        keys.press("Enter")
    expect(writer.messages.get_by_title("Sent")).to_have_count(2)

    keys.press("ArrowUp")
    expect(writer.composer).to_have_value("Two")
    keys.type("!")
    keys.press("Enter")
    writer.sees("Two!")
    keys.press("Shift+Tab")
    keys.press("ArrowUp")
    expect(writer.message("One")).to_be_focused()
    for _ in ("React", "Reply", "Copy", "Edit", "Delete"):
        keys.press("Tab")
    expect(writer.message("One").get_by_role("button", name="Delete")).to_be_focused()
    keys.press("Enter")
    keys.press("Tab")
    keys.press("Enter")

    writer.sees("This message was deleted.")
    assert texts(bob, chat) == ["Hello", "", "Two!"]


def test_arriving_messages_are_read_out(
    window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    bob.said(chat, "Old news")
    listener = window()
    listener.is_of(ada, f"#/{bob.id}")
    listener.sees("Old news")
    listener.is_live()

    bob.said(chat, "Fresh news")

    expect(listener.page.locator("#announcements")).to_have_text(f"{bob.username}: Fresh news")


@pytest.mark.parametrize("options", [{}, PHONE | DARK], ids=["light", "phone-dark"])
def test_axe_finds_no_fault_with_the_page(
    options: dict[str, Any], window: Windows, ada: Person, bob: Person, chat: dict[str, Any]
) -> None:
    bob.said(chat, "Hello")
    mine = ada.said(chat, "To be deleted")
    ada.request("DELETE", f"/api/messages/{mine['id']}")
    ada.said(chat, "https://example.com")
    bob.said(chat, "Unread")
    seen = window(expected="400", **options)

    seen.visits()
    assert seen.offends() == []
    seen.is_of(ada)
    expect(seen.page.locator("#lists .count")).to_be_visible()
    assert seen.offends() == []
    seen.opens(bob)
    assert seen.offends() == []
    seen.page.route("**/api/send_message", lambda route: route.continue_(post_data="{}"))
    seen.says("Refused")
    expect(seen.page.get_by_text("Not sent")).to_be_visible()
    seen.message("https://example.com").focus()
    assert seen.offends() == []
    seen.chooses("Block")
    assert seen.offends() == []


# The document --------------------------------------------------------------------------------


def test_markup_is_refused_by_the_browser_itself(window: Windows) -> None:
    visitor = window(expected="TrustedHTML|Trusted Types")
    visitor.visits()

    with pytest.raises(Exception, match="TrustedHTML"):
        visitor.page.evaluate("document.body.innerHTML = '<b>x</b>'")
