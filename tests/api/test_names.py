"""Names: nobody can be taken for somebody else."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import Settings
from contract.characters import folded, stream_safe
from tests.support.people import Api, refused, stored

JOINER, SOFT_HYPHEN, SELECTOR = "\u200d", "\u00ad", "\ufe0f"


@pytest.mark.parametrize(
    "same",
    [
        *("ad\u200ba", "\u200bada", "ada\u200b", f"a{JOINER}da", f"a{SOFT_HYPHEN}da"),
        *(f"ada{SELECTOR}", "ada\U000e0100", "ada\ufeff", "ada\u2060", "a\u034fda", "ada\u3164"),
        *("ＡＤＡ", "ad\u1d43", "ada\u180b", "ada\U000e0041"),
    ],
)
def test_what_does_not_show_makes_no_difference(api: Api, settings: Settings, same: str) -> None:
    api.register("ada")

    refused(api.register(same), 409, "taken")

    assert len(stored(settings, "users")["users"]) == 1
    assert api.login(same).json["data"]["username"] == "ada"


@pytest.mark.parametrize(
    ("username", "reason"),
    [
        *((name, "be seen") for name in ("\u200b", "\u00ad\u200d", "\u3164", "\u0301")),
        *((f"ada{sign}", "direction") for sign in "\u202e\u202a\u2066\u2069\u200e\u200f\u061c"),
        *((f"ad{sign}a", "control") for sign in "\x07\x9f\ue000\U0010fffd\u0378\ufffe\ufff9"),
        *(("\u0430da", "mix"), ("ada\u03b1", "mix"), ("\u03b1\u0430", "mix"), ("5 \u00b5m", "mix")),
        *(
            (name, "white space")
            for name in ("\u200b ada", "ada \u200b", "ada\u2800", "\u2800", "\u2800ada")
        ),
    ],
)
def test_a_misleading_name_is_refused(
    api: Api, settings: Settings, username: str, reason: str
) -> None:
    message = refused(api.register(username), 400, "invalid")

    assert message.startswith("username must ")
    assert reason in message
    assert not stored(settings, "users")["users"]


@pytest.mark.parametrize(
    "username",
    [
        *("Ада", "Ἄδα", "אדה", "आदा", "阿达", "エイダ", "ada_1", "Ada 阿达", "O'Neill", "❤️"),
        *("نیم\u200cفاصله", "👩\u200d💻", "Ada Ⅳ", "ada-é", "ａｄａ"),
    ],
)
def test_names_of_all_scripts_are_taken(api: Api, username: str) -> None:
    assert api.register(username).json["data"]["username"] == username
    assert api.login(username).json["data"]["username"] == username


@pytest.mark.parametrize("typed", [" ada", "ada ", "\tada\n", "\u00a0ada\u3000"])
def test_white_space_around_a_login_is_ignored(api: Api, typed: str) -> None:
    api.register("ada")

    assert api.login(typed).json["data"]["username"] == "ada"


def test_a_name_is_found_by_what_shows(api: Api) -> None:
    api.register("ad\u00ada")
    bob = api.sign_up("bob")

    found = bob.get("/api/users", q="ad\u200ba").json

    assert [each["username"] for each in found] == ["ad\u00ada"]


@given(st.text())
def test_folding_again_changes_nothing(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@given(st.text(st.sampled_from("a\u0301\u0316\u0345\u0f81\u1f82e\u200d"), max_size=100))
def test_no_run_of_marks_is_long(text: str) -> None:
    decomposed = unicodedata.normalize("NFKD", stream_safe(text))

    run = longest = 0
    for character in decomposed:
        run = run + 1 if unicodedata.combining(character) else 0
        longest = max(longest, run)
    assert longest <= 30


def test_ordinary_text_is_stream_safe_already() -> None:
    for text in ("Zoe\u0308", "Tiếng Việt", "ไม่ได้", "e" + "\u0301" * 30):
        assert stream_safe(text) == text
