"""Emoji: what one is, and when two are the same.

Sources: Unicode Standard Annex 29 (grapheme clusters) and Unicode Technical Standard 51 (emoji).
"""

import regex

MOST_BYTES = 64
#: As an emoji, and not as text: without a meaning of its own.
_AS_EMOJI = "\ufe0f"
_PICTURE = regex.compile(
    r"\p{Extended_Pictographic}|\p{Regional_Indicator}{2}|[0-9#*]\ufe0f?\u20e3"
)
_CLUSTER = regex.compile(r"\X")


def is_emoji(text: str) -> bool:
    """Whether a text is one emoji: one grapheme cluster with a picture, a flag or a keycap in it,
    of MOST_BYTES in UTF-8 at most."""
    if len(text.encode()) > MOST_BYTES or not _CLUSTER.fullmatch(text):
        return False
    return bool(_PICTURE.search(text))


def key(emoji: str) -> str:
    """What all spellings of one emoji have in common."""
    return emoji.replace(_AS_EMOJI, "")
