"""What people on the chat page see of each other, in a real browser."""

from functools import partial
from itertools import count
from typing import Any

import pytest
from playwright.sync_api import FilePayload, expect

from tests.support.browser import CUT_OFF, Window, Windows
from tests.support.people import PASSWORD, ChatServer, Person
from tests.support.servers import eventually

pytestmark = pytest.mark.slow

Chat = dict[str, Any]
numbers = count(1)


def listed_chats(window: Window) -> list[str]:
    names: list[str] = window.page.locator(
        "section[aria-labelledby=list-chats] .name"
    ).all_inner_texts()
    return names


def sees_nothing_of(window: Window, peer: Person) -> None:
    expect(window.row(peer).locator(".dot")).to_have_count(0)
    expect(window.page.locator("#peer-picture .dot")).to_have_count(0)
    expect(window.page.locator("#peer-status")).to_have_text("")


# Blocks --------------------------------------------------------------------------------------


def test_nobody_blocked_either_way_is_shown_as_online(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    ada.said(chat, "Hello")
    blocker, blocked = window(), window(expected="403")  # once, as it comes back
    blocker.is_of(ada, f"#/{bob.id}")
    blocked.is_of(bob, f"#/{ada.id}")
    for each, peer in ((blocker, bob), (blocked, ada)):
        each.is_live()
        expect(each.page.locator("#peer-status")).to_have_text("Online")
        expect(each.row(peer).locator(".dot")).to_be_visible()

    blocker.chooses("Block")
    blocker.agrees("Block")
    for each, peer in ((blocker, bob), (blocked, ada)):
        sees_nothing_of(each, peer)
    assert eventually(lambda: not blocked.offers("Block"))
    expect(blocker.page.get_by_role("button", name=f"Unblock {bob.username}")).to_be_visible()
    blocked.page.reload()
    blocked.is_live()
    sees_nothing_of(blocked, ada)
    assert eventually(lambda: not blocked.offers("Block"))

    blocker.page.get_by_role("button", name="Unblock").click()
    expect(blocker.page.locator("#peer-status")).to_have_text("Online")
    ada.said(chat, "Hello again")
    expect(blocked.page.locator("#peer-status")).to_have_text("Online")
    assert eventually(lambda: blocked.offers("Block"))


def test_a_stranger_who_has_blocked_is_not_online(
    window: Windows, ada: Person, bob: Person
) -> None:
    """There is no chat whose entry in the list could say so."""
    ada.request("PUT", f"/api/blocks/{bob.id}")
    blocker, blocked = window(), window(expected="403|404")  # there is no chat to begin with
    blocker.is_of(ada)
    blocked.is_of(bob, f"#/{ada.id}")
    blocked.is_live()
    blocker.is_live()

    expect(blocked.page.locator("#blank")).to_contain_text("blocked")
    sees_nothing_of(blocked, ada)
    assert not blocked.offers("Block")
    expect(blocked.composer).to_be_disabled()


def test_a_block_holds_in_all_windows_of_its_maker(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    ada.said(chat, "Hello")
    first = window(expected="403")
    first.is_of(ada, f"#/{bob.id}")
    second = window(beside=first, expected="403")
    second.is_of(ada, f"#/{bob.id}")
    elsewhere = window(expected="403")
    elsewhere.is_of(ada, f"#/{bob.id}")
    for each in (first, second, elsewhere):
        each.is_live()

    first.chooses("Block")
    first.agrees("Block")
    for each in (first, second, elsewhere):
        expect(each.composer).to_be_disabled()
        expect(each.composer).to_have_attribute("placeholder", "You have blocked them.")
    second.page.get_by_role("button", name="Unblock").click()

    for each in (first, second):
        expect(each.composer).to_be_enabled()
        assert eventually(partial(each.offers, "Block"))


def test_a_deleted_account_cannot_be_blocked(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    ada.said(chat, "Hello")
    bob.request("DELETE", "/api/me", {"password": PASSWORD})
    reader = window()
    reader.is_of(ada, f"#/{bob.id}")

    expect(reader.page.locator("#peer")).to_have_text("Deleted account")
    expect(reader.composer).to_have_attribute("placeholder", "This account was deleted.")
    expect(reader.page.locator("#unblock")).to_be_hidden()
    assert not reader.offers("Block")


def test_who_writes_to_a_deleted_account_learns_it(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    bob.said(chat, "Goodbye")
    writer = window(expected=CUT_OFF)
    writer.is_of(ada, f"#/{bob.id}")
    writer.is_live()
    writer.sees("Goodbye")
    assert bob.request("DELETE", "/api/me", {"password": PASSWORD}).status == 204

    writer.says("Wait!")

    expect(writer.page.get_by_text("Not sent: No such user")).to_be_visible()
    expect(writer.page.locator("#peer")).to_have_text("Deleted account")
    expect(writer.composer).to_have_attribute("placeholder", "This account was deleted.")


# The list ------------------------------------------------------------------------------------


def test_an_empty_chat_is_listed_only_where_opened(
    window: Windows, server: ChatServer, ada: Person, bob: Person
) -> None:
    looked_at, looking = window(), window(expected="404")  # there is no chat to begin with
    looked_at.is_of(bob)
    looked_at.is_live()
    looking.is_of(ada, f"#/{bob.id}")
    expect(looking.row(bob)).to_contain_text("No messages yet")
    assert listed_chats(looking) == [bob.username]
    carol = server.api.sign_up(f"carol {next(numbers)}")
    carol.said(carol.asks(bob).json, "Hello")

    expect(looked_at.row(carol)).to_contain_text("Hello")
    assert listed_chats(looked_at) == [carol.username]
    expect(looked_at.row(ada)).to_contain_text("Online")  # among the people
    looked_at.page.reload()
    expect(looked_at.row(carol)).to_contain_text("Hello")
    assert listed_chats(looked_at) == [carol.username]

    looking.visits("#/")
    expect(looking.page.locator("#nobody")).to_be_visible()
    assert listed_chats(looking) == [bob.username]
    looking.visits(f"#/{bob.id}")
    looking.says("I looked at you")
    expect(looked_at.row(ada)).to_contain_text("I looked at you")
    assert listed_chats(looked_at) == [ada.username, carol.username]


def test_a_crowd_that_looks_hides_no_chat(
    window: Windows, server: ChatServer, ada: Person, bob: Person, chat: Chat
) -> None:
    ada.said(chat, "Hello")
    for _ in range(4):
        server.api.sign_up(f"carol {next(numbers)}").asks(ada)
    reader = window()
    reader.page.route(
        "**/api/chats?*",
        lambda route: route.continue_(url=route.request.url.replace("limit=50", "limit=4")),
    )
    reader.is_of(ada)

    expect(reader.row(bob)).to_contain_text("Hello")
    assert listed_chats(reader) == [bob.username]


def test_a_draft_keeps_its_chat_in_the_list(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    writer = window()
    writer.is_of(ada, f"#/{bob.id}")
    writer.composer.fill("To be continued")

    writer.visits("#/")
    writer.page.reload()

    expect(writer.row(bob)).to_contain_text("Draft: To be continued")
    assert listed_chats(writer) == [bob.username]


def test_a_hit_of_the_search_leads_there_each_time(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    ada.said(chat, "The zebra crossing")
    for number in range(60):
        bob.said(chat, f"Word {number}")
    reader = window()
    reader.is_of(ada)
    reader.page.get_by_role("searchbox").fill("zebra")
    hit = reader.page.get_by_role("link", name="zebra")

    for _ in range(3):
        hit.click()
        expect(reader.message("The zebra crossing")).to_be_in_viewport()
        last = reader.page.locator("#messages")
        last.evaluate("(list) => { list.scrollTop = list.scrollHeight; }")
        expect(reader.message("The zebra crossing")).not_to_be_in_viewport()


def test_who_writes_has_left_what_was_found(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    found = ada.said(chat, "The zebra crossing")
    for number in range(60):
        bob.said(chat, f"Word {number}")
    writer = window(expected=CUT_OFF)
    writer.is_of(ada, f"#/{bob.id}/{found['id']}")
    expect(writer.message("The zebra crossing")).to_be_in_viewport()

    writer.says("And now?")

    expect(writer.message("And now?").get_by_title("Sent")).to_be_visible()
    writer.page.reload()
    expect(writer.message("And now?")).to_be_in_viewport()


# Leaving -------------------------------------------------------------------------------------


def test_logging_out_warns_of_drafts_that_are_there(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    writer = window()
    writer.is_of(ada, f"#/{bob.id}")
    log_out, dialog = writer.page.locator("#logout"), writer.page.get_by_role("dialog")

    def warns() -> bool:
        log_out.click()
        expect(dialog).to_be_visible()
        warned = "draft" in dialog.inner_text()
        writer.agrees("Cancel")
        return warned

    assert not warns()
    writer.composer.fill("  \n")
    assert not warns()
    writer.composer.fill("A thought")
    assert warns()
    writer.composer.press("Enter")
    expect(writer.message("A thought").get_by_title("Sent")).to_be_visible()
    assert not warns()
    notes: FilePayload = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"Notes"}
    writer.page.locator("#file").set_input_files(notes)
    expect(writer.page.locator("#attached")).to_contain_text("notes.txt")
    assert warns()
    writer.page.get_by_role("button", name="Remove notes.txt").click()
    assert not warns()
