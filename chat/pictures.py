"""Pictures: which files are pictures that every browser shows, and how they look when small.

Pillow reads them. What it cannot read whole is no picture, whatever its name says.
"""

import logging
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

#: Of a picture that is looked at. Each takes 4 to 15 bytes of memory, the most in a WebP.
MOST_PIXELS = 40_000_000
#: Of the longer side of a thumbnail.
THUMBNAIL_PIXELS = 640
#: Of each side of a picture that stands for somebody.
AVATAR_PIXELS = 256
KINDS = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
#: What pixels can be mixed in as they are.
SCALABLE = ("L", "LA", "RGB", "RGBA", "CMYK")
THUMBNAIL_TYPE = "image/webp"

log = logging.getLogger(f"app.{__name__}")

Image.MAX_IMAGE_PIXELS = None  # it would only warn; MOST_PIXELS is asked before pixels are read


@dataclass(frozen=True)
class Picture:
    """What is known of a picture: its size as it is shown, and its thumbnail's bytes."""

    media_type: str
    width: int
    height: int
    thumbnail: bytes


def look_at(path: Path) -> Picture | None:
    """The picture in a file, or None if it is none, or too large, or not whole."""
    try:
        with Image.open(path, formats=list(KINDS)) as image:
            return _looked_at(image)
    except UnidentifiedImageError:
        return None
    except Exception as error:  # readers of each format raise what they like for what is broken
        log.info("A picture cannot be read, and is taken as a file: %r.", error)
        return None


def square(content: bytes) -> bytes | None:
    """The middle of a picture as a square of AVATAR_PIXELS, or None if the bytes are no picture, or
    one that look_at() does not take."""
    try:
        with Image.open(BytesIO(content), formats=list(KINDS)) as image:
            if image.width * image.height > MOST_PIXELS:
                return None
            image.draft(None, (2 * AVATAR_PIXELS, 2 * AVATAR_PIXELS))
            middle = ImageOps.fit(ImageOps.exif_transpose(image), (AVATAR_PIXELS, AVATAR_PIXELS))
            return small(middle, middle.size)
    except Exception:  # readers of each format raise what they like for what is broken
        return None


def _looked_at(image: Image.Image) -> Picture | None:
    kind = KINDS[image.format or ""]
    width, height = image.size
    if width * height > MOST_PIXELS:
        return None
    if image.getexif().get(0x0112) in (5, 6, 7, 8):  # it lies on its side
        width, height = height, width
    # A JPEG is read at half or a quarter of its size where that is enough.
    image.draft(None, (THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    return Picture(kind, width, height, small(image, (THUMBNAIL_PIXELS, THUMBNAIL_PIXELS)))


def small(image: Image.Image, size: tuple[int, int]) -> bytes:
    """A picture of this size at most, upright and without what else stood in the file: when and
    where it was taken, and with what."""
    mode = "RGBA" if image.has_transparency_data else "RGB"
    if image.mode == "I;16":  # grey in 16 bits, all but the darkest of which would become white
        image = image.point(lambda grey: grey / 256).convert("L")
    shown = image if image.mode in SCALABLE else image.convert(mode)
    shown.thumbnail(size)  # in place and first: so that only one copy is large
    shown = ImageOps.exif_transpose(shown).convert(mode)
    made = BytesIO()
    shown.save(made, "WEBP", quality=80)
    return made.getvalue()
