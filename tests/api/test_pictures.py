"""Pictures that are strange, and names of files that are, do no harm."""

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from tests.api.test_files import TEXT, bytes_of, picture, sent
from tests.support.conversations import Chat
from tests.support.people import Person

JUNK = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40


def drawn(
    mode: str, kind: str = "PNG", size: tuple[int, int] = (900, 300), **options: Any
) -> bytes:
    made = io.BytesIO()
    Image.new(mode, size).save(made, kind, **options)
    return made.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    whole = name + content
    return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))


def with_chunk(name: bytes, content: bytes) -> bytes:
    """A PNG with one chunk more, behind its first."""
    plain = picture()
    return plain[:33] + chunk(name, content) + plain[33:]


def thumbnail(person: Person, message: dict[str, Any]) -> Image.Image:
    answer = bytes_of(person, message, "/thumbnail")
    assert answer.status == 200
    return Image.open(io.BytesIO(answer.body))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_pictures_of_every_depth_have_thumbnails(ada: Person, chat: Chat, mode: str) -> None:
    assert thumbnail(ada, sent(ada.sends(chat, "a.png", drawn(mode)))).size == (640, 213)


def test_a_picture_of_sixteen_bits_stays_as_dark(ada: Person, chat: Chat) -> None:
    content = io.BytesIO()
    Image.new("I;16", (900, 300), 0x4000).save(content, "PNG", transparency=0x5000)

    small = thumbnail(ada, sent(ada.sends(chat, "a.png", content.getvalue())))

    assert small.convert("L").getpixel((100, 100)) == pytest.approx(0x40, abs=3)


def test_a_picture_for_print_has_a_thumbnail(ada: Person, chat: Chat) -> None:
    assert thumbnail(ada, sent(ada.sends(chat, "a.jpg", drawn("CMYK", "JPEG")))).mode == "RGB"


@pytest.mark.parametrize("size", [(60_000, 1), (1, 60_000), (20_000, 1_500), (1, 1)])
def test_very_long_pictures_have_thumbnails(ada: Person, chat: Chat, size: tuple[int, int]) -> None:
    message = sent(ada.sends(chat, "a.png", drawn("L", size=size)))

    assert (message["file"]["width"], message["file"]["height"]) == size
    assert max(thumbnail(ada, message).size) <= 640


def test_the_first_picture_of_an_animation_is_small(ada: Person, chat: Chat) -> None:
    frames = [Image.new("RGB", (800, 400), colour) for colour in ("red", "green", "blue")]
    made = io.BytesIO()
    frames[0].save(made, "GIF", save_all=True, append_images=frames[1:])

    message = sent(ada.sends(chat, "a.gif", made.getvalue()))

    assert message["file"]["media_type"] == "image/gif"
    assert bytes_of(ada, message).body == made.getvalue()
    small = thumbnail(ada, message)
    red, green, _ = small.convert("RGB").resize((1, 1)).tobytes()
    assert (getattr(small, "n_frames", 1), red > 200, green < 60) == (1, True, True)


def test_see_through_pictures_stay_so(ada: Person, chat: Chat) -> None:
    message = sent(ada.sends(chat, "a.png", drawn("RGBA")))

    assert thumbnail(ada, message).getchannel("A").getextrema() == (0, 0)


@pytest.mark.parametrize(
    "content",
    [
        *(JUNK, b"RIFF\xff\xff\xff\xffWEBPVP8L" + b"\0" * 50, drawn("RGB", "WEBP")[:-20]),
        *(drawn("RGB", "JPEG")[:-300], drawn("P", "GIF")[:40], b"%PDF-1.7\n", b"\xff\xd8\xff"),
        # A text and a colour profile that unpack to a hundred million bytes.
        with_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8))),
        with_chunk(b"tRNS", b"x" * 999) + with_chunk(b"IHDR", b""),
    ],
)
def test_a_lying_file_is_stored_as_it_is(ada: Person, chat: Chat, content: bytes) -> None:
    message = sent(ada.sends(chat, "a.png", content))

    assert bytes_of(ada, message).body == content
    assert message["type"] in ("File", "Image")
    assert message["file"]["has_thumbnail"] is (message["type"] == "Image")
    assert bytes_of(ada, message, "/thumbnail").status == (
        200 if message["type"] == "Image" else 404
    )


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_directions_do_not_hide_a_picture(ada: Person, chat: Chat) -> None:
    """The bytes of its EXIF end early, or give an orientation that there is none of."""
    wrong = Image.Exif()
    wrong[0x0112] = 99
    for exif in (b"Exif\0\0MM\0*\0\0\0\x08\0\x05", wrong.tobytes()):
        message = sent(ada.sends(chat, "a.jpg", drawn("RGB", "JPEG", exif=exif)))
        assert thumbnail(ada, message).size == (640, 213)


@pytest.mark.parametrize(
    "content",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><script/></html>",
        b"GIF89a/*<svg/onload=alert(1)>*/=1;",
        picture() + b"<script>alert(1)</script>",
    ],
)
def test_nothing_that_could_run_is_shown_as_a_page(ada: Person, chat: Chat, content: bytes) -> None:
    message = sent(ada.sends(chat, "a.svg", content))
    path = ada.post(f"/api/files/{message['file']['id']}/url").json["url"]

    for answer in (bytes_of(ada, message), ada.api.get(path)):
        kind = answer.headers["content-type"]
        how = answer.headers["content-disposition"].partition(";")[0]
        assert (kind, how) in (
            ("image/png", "inline"),
            ("image/gif", "attachment"),
            ("application/octet-stream", "attachment"),
            ("text/xml", "attachment"),
        )
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("name", "kept", "shown"),
    [
        ('"; filename="x.exe', '"; filename="x.exe', r'filename="\"; filename=\"x.exe"'),
        ("a\r\nb: c.txt", "a%0D%0Ab: c.txt", 'filename="a%0D%0Ab: c.txt"'),  # as browsers send it
        ("a\x85\u2028b.txt", "a\u2028b.txt", "filename*=UTF-8''a%E2%80%A8b.txt"),
        ("\u202egpj.exe", "\u202egpj.exe", "filename=gpj.exe"),
        ("a'b;c%41.txt", "a'b;c%41.txt", 'filename="a\'b;c%41.txt"'),
        ("x" * 300 + ".jpeg", "x" * 250 + ".jpeg", "x" * 250 + ".jpeg"),
        ("." + "x" * 300, "." + "x" * 254, "." + "x" * 254),
        ("ä" * 300, "ä" * 255, "filename*=UTF-8''" + "%C3%A4" * 255),
    ],
)
def test_strange_names_are_kept_and_do_no_harm(
    ada: Person, chat: Chat, name: str, kept: str, shown: str
) -> None:
    message = sent(ada.sends(chat, name, TEXT))

    assert message["file"]["name"] == kept
    header = bytes_of(ada, message).headers["content-disposition"]
    assert header.startswith("attachment; filename")
    assert shown in header
    assert "\u202e" not in header
    assert "%E2%80%AE" not in header
