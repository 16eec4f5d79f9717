"""The words of a text that a search can find, made in one place for both databases.

Words are compared by prefix, without regard to case or width. Scripts without spaces (Chinese,
Japanese, Thai, ...) have no gaps to split at: there every two neighbouring characters are a word.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator
from operator import itemgetter

from contract.characters import stream_safe

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
_is_unspaced = re.compile(f"[{_UNSPACED}]").match

_ASCII = {ord(each): each.lower() if each.isalnum() else " " for each in map(chr, range(128))}
_cut = itemgetter(slice(LONGEST))


def words(text: str) -> set[str]:
    """The words of a text as they are indexed."""
    if text.isascii():  # the same as below, in a tenth of the time
        return set(map(_cut, text.translate(_ASCII).split()))
    found = set()
    for run, unspaced in _runs(_normal(text)):
        if unspaced:
            found |= {run[i : i + 2] for i in range(len(run))}
        else:
            found.add(run[:LONGEST])
    return found


def sought(text: str) -> set[str]:
    """The prefixes of a query. A text must have all of them; a query without any finds nothing."""
    found = set()
    for run, unspaced in _runs(_normal(text)):
        if unspaced and len(run) > 1:
            found |= {run[i : i + 2] for i in range(len(run) - 1)}
        else:
            found.add(run[:LONGEST])
    # A text that has "car" has "ca" too.
    return {word for word in found if not any(o != word and o.startswith(word) for o in found)}


def has_all(text: str, prefixes: Collection[str]) -> bool:
    """Whether each prefix begins a word of the text, as in the index."""
    normal = _normal(text)
    if not all(prefix in normal for prefix in prefixes):
        return False  # as nearly all texts of a search; splitting takes several times as long
    if text.isascii():
        spaced = f" {text.translate(_ASCII)}"
    else:
        spaced = "".join(f" {run}" for run, _ in _runs(normal))
    # To look for them takes a hundredth of the time of making the set of words.
    return all((each if _is_unspaced(each) else f" {each}") in spaced for each in prefixes)


# Characters inside words that only say how to show or break them: soft hyphen, grapheme joiner,
# Mongolian variation selectors, joiners, variation selectors.
_SHOWN_ONLY = re.compile(
    "[\u00ad\u034f\u180b-\u180f\u200c\u200d\u2060\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]"
)


def _runs(normal: str) -> Iterator[tuple[str, bool]]:
    """Runs of characters that belong together, and whether their script has no spaces."""
    for word in normal.translate(_SPACED).split():
        for match in _RUN.finditer(word):
            if any(map(str.isalnum, match[0])):  # the marks of an emoji are not a word
                yield match[0], match[1] is not None


def _normal(text: str) -> str:
    """The text as it is compared; words are pieces of it."""
    if text.isascii():
        return text.lower()
    plain = stream_safe(_SHOWN_ONLY.sub("", text))
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", plain).casefold())


class _Spaced(dict[int, str]):
    """For str.translate(): letters, digits and the marks that belong to them stay, and all else is
    a space. Found out once for each character."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        in_word = character.isalnum() or unicodedata.category(character).startswith("M")
        self[code] = character if in_word else " "
        return self[code]


_SPACED = _Spaced()
