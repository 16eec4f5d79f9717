"""Passwords: which ones are too easy to guess to be taken."""

import runpy
from functools import cache
from importlib.metadata import distribution

from contract.characters import folded

SHORTEST = 8  # characters; shorter ones are refused anyway
MOST_COMMON = 10_000  # of each list


def fault_of_password(password: str, username: str) -> str | None:
    """Why a password cannot be this user's, in words that follow the name of the member."""
    if len(set(password)) == 1:
        return "must not be one character again and again"
    if folded(password) == folded(username):
        return "must not be the user name"
    if password.lower() in _common():
        return "must not be a common word or password, because those are guessed first"
    return None


@cache
def _common() -> frozenset[str]:
    """The most common passwords, names and words, in small letters.

    zxcvbn has each of them in one list only, the one where it is most common: "jennifer" is a name
    there, and a common password all the same. So all lists count.
    """
    # Not an import: that would keep the whole lists in memory, and what the package makes of them.
    file = distribution("zxcvbn").locate_file("zxcvbn/frequency_lists.py")
    lists: dict[str, list[str]] = runpy.run_path(str(file))["FREQUENCY_LISTS"]
    return frozenset(
        word for words in lists.values() for word in words[:MOST_COMMON] if len(word) >= SHORTEST
    )
