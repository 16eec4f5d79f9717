"""Characters: which show, which belong to one name in all its spellings, which mark a script, and
where the words of a name begin.

Sources: Unicode Standard Annex 15 (stream-safe text), Annex 44 (Default_Ignorable_Code_Point) and
the toNFKC_Casefold operation of chapter 3.13.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import product

#: Non-starters that may follow each other (UAX 15, 12.1): what people write needs far fewer.
LONGEST_RUN = 30

# Only in such a run can there be too many marks: a character brings three of its own at most.
_MAYBE_LONG = re.compile(rf"(?:[^\w\s]|[\uff9e\uff9f]){{{LONGEST_RUN // 2 - 2}}}")

# Default_Ignorable_Code_Point: soft hyphens, joiners, zero-width spaces, variation selectors, ...
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
_BIDIRECTIONAL = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_ANNOTATIONS = re.compile("[\ufff9-\ufffb]")  # control characters in all but their category
_BLANK = "\u2800"  # the Braille pattern without dots
#: Of which a name uses one at most: many of their letters look alike.
_SCRIPTS = frozenset({"LATIN", "CYRILLIC", "GREEK"})

#: Letters that Unicode does not take apart into a letter and its marks: what people type instead.
_BARE = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "ŧ": "t"}
    | {"þ": "th"}
)
#: Letters that many people also write out: Østergård is Ostergard, Ostergaard or Oestergaard.
_WRITTEN_OUT = {"å": "aa", "ä": "ae", "ö": "oe", "ø": "oe", "ü": "ue"}
#: So many of them in a name are taken in both ways: each doubles the number of spellings.
MOST_WRITTEN_OUT = 3
#: Characters that count of where a word of a name begins, and what stands behind it.
LONGEST_BEGINNING = 100


def folded(text: str) -> str:
    """What all spellings of one text have in common, whatever their case, width and what does not
    show (NFKC_Casefold)."""
    if text.isascii():
        return text.lower()
    plain = _IGNORABLE.sub("", stream_safe(text))
    normal = unicodedata.normalize("NFKC", plain).casefold()
    return unicodedata.normalize("NFKC", _IGNORABLE.sub("", normal))


def without_marks(text: str) -> str:
    """The same, but letters have no marks, and those of _BARE are the ones that people type."""
    normal = folded(text)
    if normal.isascii():
        return normal
    bare = (
        each for each in unicodedata.normalize("NFKD", normal) if not unicodedata.combining(each)
    )
    return unicodedata.normalize("NFC", "".join(bare).translate(_BARE))


def beginnings(name: str) -> set[str]:
    """What a query can begin like to find a name: each of its words with what stands behind it, in
    all spellings and without marks."""
    normal = folded(name)
    return {
        spelling[:LONGEST_BEGINNING]
        for place in _beginnings_of_words(normal)
        for spelling in _spellings(normal[place:])
    }


def _beginnings_of_words(text: str) -> Iterator[int]:
    """The first character, those after white space, and letters and digits after others."""
    before = " "
    for place, each in enumerate(text):
        after_space = before.isspace() and not each.isspace()
        if not place or after_space or (_is_in_word(each) and not _is_in_word(before)):
            yield place
        before = each


def _is_in_word(character: str) -> bool:
    """Letters, digits and the marks that belong to them."""
    return character.isalnum() or unicodedata.category(character).startswith("M")


def _spellings(text: str) -> Iterator[str]:
    """A text without marks, and with its first letters of _WRITTEN_OUT written out or not."""
    places = [place for place, each in enumerate(text) if each in _WRITTEN_OUT]
    for chosen in product((False, True), repeat=len(places[:MOST_WRITTEN_OUT])):
        letters = list(text)
        for place, is_written_out in zip(places, chosen, strict=False):
            if is_written_out:
                letters[place] = _WRITTEN_OUT[text[place]]
        yield without_marks("".join(letters))


def stream_safe(text: str) -> str:
    """The text without what is longer than LONGEST_RUN in a run of combining marks.

    To normalize sorts each run, in a time that grows with the square of its length.
    """
    if text.isascii() or not _MAYBE_LONG.search(text):
        return text
    kept = []
    run = 0
    for character in text:
        first, last, only_marks = _marks(character)
        if run + first > LONGEST_RUN:
            continue
        run = run + first if only_marks else last
        kept.append(character)
    return "".join(kept)


@lru_cache(maxsize=8_192)
def _marks(character: str) -> tuple[int, int, bool]:
    """How many non-starters a character decomposes into at its begin and end, and whether into
    nothing else."""
    classes = [unicodedata.combining(each) for each in unicodedata.normalize("NFKD", character)]
    first = next((place for place, each in enumerate(classes) if not each), len(classes))
    last = next((place for place, each in enumerate(reversed(classes)) if not each), len(classes))
    return first, last, first == len(classes)


def is_visible(text: str) -> bool:
    """Whether something of the text shows."""
    return any(
        unicodedata.category(each)[0] in "LNPS" and each != _BLANK and not _IGNORABLE.match(each)
        for each in text
    )


def is_bare_at_an_end(text: str) -> bool:
    """Whether the text begins or ends with white space, or with what looks like it."""
    return text != text.strip() or text.startswith(_BLANK) or text.endswith(_BLANK)


def fault_of_name(name: str) -> str | None:
    """Why a text cannot be a name that people see, in words that follow the name of the member."""
    controls = any(unicodedata.category(each) in ("Cc", "Co", "Cn") for each in name)
    if controls or _ANNOTATIONS.search(name):
        return "must not have control, private-use or unassigned characters"
    if _BIDIRECTIONAL.search(name):
        return "must not have characters that turn the direction of writing"
    if not is_visible(name):
        return "must have a character that can be seen"
    found = {unicodedata.name(each, "").partition(" ")[0] for each in name if each.isalpha()}
    if len(_SCRIPTS & found) > 1:
        return "must not mix Latin, Cyrillic and Greek letters, because many of them look alike"
    return None
