"""The words of a text as revisions 0003 and 0004 index them.

This stays as it is, whatever becomes of chat/words.py: a revision must do the same at any time.
"""

import re
import unicodedata
from collections.abc import Iterator
from operator import itemgetter

LONGEST = 64  # characters of a word that count

# Scripts whose writers put no spaces between words: Thai, Lao, Myanmar, Khmer, Tai Le, New Tai Lue,
# Tai Tham, Tai Viet, Balinese, Javanese, Kana, Bopomofo, Yi, Tangut, Nushu, and all Han (with its
# extensions beyond the basic plane).
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u1b00-\u1b7f"
    "\u3005-\u3007\u3040-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf"
    "\ua980-\ua9ff\uaa60-\uaadf\uf900-\ufaff"
    "\U00017000-\U00018d8f\U0001b000-\U0001b2ff\U00020000-\U0003ffff"
)
_RUN = re.compile(f"([{_UNSPACED}]+)|[^{_UNSPACED}]+")

_ASCII = {ord(each): each.lower() if each.isalnum() else " " for each in map(chr, range(128))}
_cut = itemgetter(slice(LONGEST))


def words(text: str) -> set[str]:
    """The words of a text as they are indexed."""
    if text.isascii():  # the same as below, in a tenth of the time
        return set(map(_cut, text.translate(_ASCII).split()))
    found = set()
    for run, unspaced in _runs(text):
        if unspaced:
            found |= {run[i : i + 2] for i in range(len(run))}
        else:
            found.add(run[:LONGEST])
    return found


# Characters inside words that only say how to show or break them: soft hyphen, grapheme joiner,
# Mongolian variation selectors, joiners, variation selectors.
_SHOWN_ONLY = re.compile(
    "[\u00ad\u034f\u180b-\u180f\u200c\u200d\u2060\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]"
)

# To normalize takes a time that grows with the square of a run of marks.
_LONG_RUN = re.compile(r"([^\w\s]{30})[^\w\s]+")


def _runs(text: str) -> Iterator[tuple[str, bool]]:
    """Runs of characters that belong together, and whether their script has no spaces."""
    spaced = "".join(character if _in_word(character) else " " for character in _normal(text))
    for word in spaced.split():
        for match in _RUN.finditer(word):
            if any(map(str.isalnum, match[0])):  # the marks of an emoji are not a word
                yield match[0], match[1] is not None


def _normal(text: str) -> str:
    """The text as it is compared; words are pieces of it."""
    if text.isascii():
        return text.lower()
    plain = _LONG_RUN.sub(r"\1", _SHOWN_ONLY.sub("", text))
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", plain).casefold())


def _in_word(character: str) -> bool:
    """Letters, digits and the marks that belong to them."""
    return character.isalnum() or unicodedata.category(character).startswith("M")
