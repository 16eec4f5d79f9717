"""Files on the chat page, in a real browser: sent, shown, and kept while there is no connection."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from playwright.sync_api import Locator, Route, expect

from tests.support.browser import CUT_OFF, Window, Windows
from tests.support.people import ChatServer, Person
from tests.support.servers import eventually

pytestmark = pytest.mark.slow

Chat = dict[str, Any]

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
DARK: dict[str, Any] = {"color_scheme": "dark"}
KEPT = """() => new Promise((resolve) => {
  const opening = indexedDB.open("chat", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("files");
  opening.onsuccess = () => {
    const counting = opening.result.transaction("files").objectStore("files").count();
    counting.onsuccess = () => { opening.result.close(); resolve(counting.result); };
  };
})"""
GIVE = """async ([kind, bytes]) => {
  const file = new File([new Uint8Array(bytes)], "given.png", { type: "image/png" });
  const data = new DataTransfer();
  data.items.add(file);
  const target = document.querySelector(kind === "paste" ? "#text" : "#messages");
  const options = { bubbles: true, cancelable: true };
  target.dispatchEvent(kind === "paste"
    ? new ClipboardEvent("paste", { ...options, clipboardData: data })
    : new DragEvent("drop", { ...options, dataTransfer: data }));
}"""


def picture(kind: str = "PNG", size: tuple[int, int] = (1_000, 500), **options: Any) -> bytes:
    made = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(made, kind, **options)
    return made.getvalue()


def photograph(kind: str) -> bytes:
    """Taken with a phone on its side, at a place that it tells."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "A camera"
    exif[0x8825] = {1: "N", 2: (IFDRational(48), IFDRational(12), IFDRational(30))}
    more: dict[str, Any] = {"comment": b"At home"} if kind == "JPEG" else {}
    taken = picture(kind, exif=exif, **more)
    # Phones put a second picture behind the first, with all of this in it again.
    return taken + taken if kind == "JPEG" else taken


def attach(window: Window, *files: tuple[str, bytes]) -> None:
    payloads: list[Any] = [
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        for name, content in files
    ]
    window.page.locator("#file").set_input_files(payloads)
    for name, _ in files:
        expect(window.page.locator("#attached")).to_contain_text(name)


def send(window: Window) -> None:
    window.page.get_by_role("button", name="Send").click()


def photo(window: Window, name: str) -> Locator:
    return window.messages.get_by_role("img", name=f"Photo: {name}")


def is_shown(image: Locator) -> bool:
    return bool(image.evaluate("(image) => image.complete && image.naturalWidth > 0"))


def sent_files(person: Person, chat: Chat) -> list[str]:
    return [message["file"]["name"] for message in person.reads(chat).json if message["file"]]


# Sending and showing -------------------------------------------------------------------------


def test_a_picture_is_sent_shown_opened_and_saved(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    writer, reader = window(), window()
    writer.is_of(ada, f"#/{bob.id}")
    reader.is_of(bob, f"#/{ada.id}")
    reader.is_live()

    attach(writer, ("sunset.png", picture()))
    writer.says("From the bridge")
    expect(writer.message("From the bridge").get_by_title("Read")).to_be_visible()
    expect(writer.page.locator("#attached")).to_be_hidden()
    expect(writer.row(bob)).to_contain_text("You: Photo: From the bridge")

    image = photo(reader, "sunset.png")
    expect(image).to_have_attribute("width", "320")
    expect(image).to_have_attribute("height", "160")
    assert eventually(lambda: is_shown(image))
    announced = f"{ada.username}: Photo: From the bridge"
    expect(reader.page.locator("#announcements")).to_contain_text(announced)
    image.click()
    dialog = reader.page.get_by_role("dialog", name="sunset.png")
    whole = dialog.get_by_role("img", name="Photo: sunset.png")
    assert eventually(lambda: whole.evaluate("(image) => image.naturalWidth") == 1_000)
    with reader.page.expect_download() as saving:
        dialog.get_by_role("button", name="Download").click()
    assert saving.value.suggested_filename == "sunset.png"
    assert Path(saving.value.path()).read_bytes() == picture()
    reader.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(reader.messages.locator("button.photo")).to_be_focused()


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_a_picture_is_pasted_or_dropped(
    way: str, window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    writer = window()
    writer.is_of(ada, f"#/{bob.id}")
    expect(writer.composer).to_be_enabled()

    writer.page.evaluate(GIVE, [way, list(picture(size=(40, 30)))])
    expect(writer.page.locator("#attached img")).to_be_visible()
    send(writer)

    expect(writer.messages.get_by_title("Sent")).to_be_visible()
    assert sent_files(bob, chat) == ["given.png"]


def test_a_file_shows_its_name_and_size(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    ada.sends(chat, "zürich <b>.txt", b"x" * 3_000)
    reader = window()
    reader.is_of(bob)
    expect(reader.row(ada)).to_contain_text("zürich <b>.txt")
    reader.opens(ada)

    file = reader.messages.locator(".file")
    expect(file).to_have_text(re.compile("zürich <b>.txt.*3 kB"))
    with reader.page.expect_download() as saving:
        file.click()

    assert saving.value.suggested_filename.startswith("zürich")
    assert Path(saving.value.path()).read_bytes() == b"x" * 3_000


def test_a_small_file_has_its_size_in_bytes(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    for size in (1, 4):
        ada.sends(chat, f"{size}.txt", b"x" * size)
    for language, sizes in {"en": ["1 byte", "4 bytes"], "de": ["1 Byte", "4 Byte"]}.items():
        reader = window(locale=language)
        reader.is_of(bob, f"#/{ada.id}")

        expect(reader.messages.locator(".file small")).to_have_text(sizes)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photograph_does_not_tell_its_place(
    kind: str, window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    taken = photograph(kind)
    writer = window()
    writer.is_of(ada, f"#/{bob.id}")
    attach(writer, ("photo", taken))
    send(writer)
    expect(writer.messages.get_by_title("Sent")).to_be_visible()

    message = bob.reads(chat).json[0]
    arrived = bob.get(f"/api/files/{message['file']['id']}").body

    for trace in (b"A camera", b"At home"):
        assert trace in taken or kind != "JPEG"
        assert trace not in arrived
    before, after = (Image.open(io.BytesIO(content)) for content in (taken, arrived))
    assert before.getexif().get_ifd(0x8825)
    assert dict(after.getexif()) == ({0x0112: 6} if kind == "JPEG" else {})
    assert after.tobytes() == before.tobytes()
    assert after.info.get("icc_profile") == before.info.get("icc_profile")
    assert message["type"] == "Image"


def test_an_address_that_has_ended_is_asked_anew(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    ada.sends(chat, "sunset.png", picture())
    reader = window(expected="403")
    gone = {"status": 403, "json": {"status": "error", "code": "forbidden", "message": "Ended."}}
    reader.page.route("**/api/files/signed/*", lambda route: route.fulfill(**gone), times=1)

    reader.is_of(bob, f"#/{ada.id}")

    assert eventually(lambda: is_shown(photo(reader, "sunset.png")))


# What it survives ----------------------------------------------------------------------------


def test_a_picture_of_an_offline_person_is_sent_once(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    writer = window(expected=CUT_OFF)
    writer.is_of(ada, f"#/{bob.id}")
    writer.is_live()
    uploads: list[str] = []

    def lose(route: Route) -> None:
        uploads.append("")
        if len(uploads) == 2:
            route.fetch()  # arrives, but its answer does not
        route.abort()

    writer.page.route("**/api/send_file", lose)
    attach(writer, ("sunset.png", picture()), ("notes.txt", b"Noon"))
    writer.says("Look")
    expect(writer.message("Look").get_by_title("Waiting")).to_be_visible()
    assert eventually(lambda: is_shown(photo(writer, "sunset.png")))
    writer.page.reload()
    assert eventually(lambda: is_shown(photo(writer, "sunset.png")))
    expect(writer.row(bob)).to_contain_text("notes.txt")

    def is_lost() -> bool:
        writer.page.evaluate("dispatchEvent(new Event('online'))")
        writer.page.wait_for_timeout(50)  # has Playwright call `lose`
        return len(uploads) > 2

    assert eventually(is_lost)
    writer.page.unroute_all(behavior="ignoreErrors")
    writer.page.evaluate("dispatchEvent(new Event('online'))")

    expect(writer.messages.get_by_title("Sent")).to_have_count(2)
    assert sent_files(bob, chat) == ["sunset.png", "notes.txt"]
    assert eventually(lambda: writer.page.evaluate(KEPT) == 0)


def test_an_upload_holds_up_nobody_else(
    window: Windows, server: ChatServer, ada: Person, bob: Person, chat: Chat
) -> None:
    carol = server.api.sign_up(f"carol of {ada.username}")
    ada.asks(carol)
    writer = window(expected=CUT_OFF)
    writer.is_of(ada, f"#/{bob.id}")
    writer.is_live()
    writer.page.route("**/api/send_file", lambda route: None)  # never ends
    attach(writer, ("film.bin", b"x" * 100_000))
    send(writer)
    writer.says("After it")
    expect(writer.messages.get_by_role("progressbar", name="Upload of film.bin")).to_be_visible()

    bob.said(chat, "Are you there?")
    writer.sees("Are you there?")
    writer.opens(carol)
    writer.says("To carol")
    expect(writer.message("To carol").get_by_title("Sent")).to_be_visible()
    writer.opens(bob)
    expect(writer.message("After it").get_by_title("Waiting")).to_be_visible()
    writer.page.get_by_role("button", name="Cancel upload").press("Enter")

    expect(writer.composer).to_be_focused()
    expect(writer.message("After it").get_by_title("Sent")).to_be_visible()
    expect(writer.page.get_by_text("film.bin")).to_have_count(0)
    assert sent_files(bob, chat) == []
    assert eventually(lambda: writer.page.evaluate(KEPT) == 0)


def test_a_file_that_is_refused_says_why(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    writer = window(expected=CUT_OFF)
    writer.is_of(ada, f"#/{bob.id}")
    expect(writer.composer).to_be_enabled()
    writer.page.evaluate("""() => { const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(26_214_401)], "film.mp4"));
      data.items.add(new File([], "nothing.txt"));
      file.files = data.files; file.dispatchEvent(new Event("change")); }""")
    toast = writer.page.locator("#toast")
    expect(toast).to_contain_text(re.compile("“film.mp4” is too large.*“nothing.txt” is empty."))
    expect(writer.page.locator("#attached")).to_be_hidden()
    full = {"status": "error", "code": "too_large", "message": "You have no room left for files."}
    refusal = {"status": 413, "json": full}

    writer.page.route("**/api/send_file", lambda route: route.fulfill(**refusal))
    attach(writer, ("sunset.png", picture()))
    send(writer)

    expect(writer.page.get_by_text("Not sent: You have no room left for files.")).to_be_visible()
    writer.says("But this")
    expect(writer.message("But this").get_by_title("Sent")).to_be_visible()
    writer.page.unroute_all()
    writer.page.get_by_role("button", name="Try again").click()
    expect(writer.messages.get_by_title("Sent")).to_have_count(2)
    assert sent_files(bob, chat) == ["sunset.png"]


def test_a_file_too_large_is_not_sent(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    writer = window()
    writer.is_of(ada, f"#/{bob.id}")
    expect(writer.composer).to_be_enabled()

    writer.page.evaluate("""() => { const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(26_214_401)], "film.mp4"));
      file.files = data.files; file.dispatchEvent(new Event("change")); }""")

    sentence = "“film.mp4” is too large. The limit is 25 MB."
    expect(writer.page.locator("#toast")).to_have_text(sentence)
    expect(writer.page.get_by_role("button", name="Send")).to_be_disabled()


def test_files_wait_without_storage(window: Windows, ada: Person, bob: Person, chat: Chat) -> None:
    writer = window(expected=CUT_OFF)
    writer.page.add_init_script(
        "Object.defineProperty(window, 'indexedDB', { get() { throw new DOMException('No'); } });"
    )
    writer.is_of(ada, f"#/{bob.id}")
    writer.is_live()

    writer.page.route("**/api/send_file", lambda route: route.abort())
    attach(writer, ("sunset.png", picture()))
    send(writer)
    expect(writer.page.locator("#connection")).to_contain_text("it is lost if you close")
    writer.page.unroute_all()

    expect(writer.messages.get_by_title("Sent")).to_be_visible()
    assert sent_files(bob, chat) == ["sunset.png"]


def test_logging_out_leaves_no_file_behind(
    window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    writer = window(expected=CUT_OFF)
    writer.is_of(ada, f"#/{bob.id}")
    writer.is_live()
    writer.page.route("**/api/send_file", lambda route: route.abort())
    attach(writer, ("secret.png", picture()))
    send(writer)
    expect(writer.messages.get_by_title("Waiting")).to_be_visible()
    assert writer.page.evaluate(KEPT) == 1

    writer.page.locator("#logout").click()
    writer.agrees("Log out")
    expect(writer.page.get_by_label("Name")).to_be_visible()

    assert writer.page.evaluate(KEPT) == 0


# For everybody -------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, PHONE | DARK], ids=["light", "phone-dark"])
def test_axe_finds_no_fault_with_files(
    options: dict[str, Any], window: Windows, ada: Person, bob: Person, chat: Chat
) -> None:
    ada.sends(chat, "sunset.png", picture())
    bob.sends(chat, "notes.txt", b"Noon")
    seen = window(expected=CUT_OFF, **options)
    seen.is_of(ada, f"#/{bob.id}")
    assert eventually(lambda: is_shown(photo(seen, "sunset.png")))
    attach(seen, ("one.png", picture()), ("film.mp4", b"x"))
    assert seen.offends() == []
    assert not seen.overflows()

    seen.page.route("**/api/send_file", lambda route: None)
    send(seen)
    expect(seen.messages.get_by_role("progressbar").first).to_be_visible()
    assert seen.offends() == []
    seen.page.unroute_all()
    photo(seen, "sunset.png").click()
    expect(seen.page.get_by_role("dialog", name="sunset.png")).to_be_visible()
    assert seen.offends() == []
