"""MESSAGE_EXTRAS: what it may be, and the sentences that refuse the rest."""

import json
from pathlib import Path
from typing import Any

import pytest

from config import SettingsError, load
from tests.support.people import python

NOT_AN_OBJECT = 'MESSAGE_EXTRAS must be a JSON object, such as {"sentiment": {"polarity": 0}}.'
NAMES = {
    *("id", "channel_id", "channel", "from_user", "to_user", "type", "message", "created_at"),
    *("client_message_id", "edited_at", "deleted_at", "truncated", "message_type"),
}


@pytest.mark.parametrize(
    ("text", "extras"),
    [
        ("", {}),
        ("  ", {}),
        ("{}", {}),
        ('{"sentiment": {"polarity": 0}}', {"sentiment": {"polarity": 0}}),
        (
            ' {"read": null, "é🎈": [1, 2.5, true, "x"]} ',
            {"read": None, "é🎈": [1, 2.5, True, "x"]},
        ),
        ('{"Type": "other case", "messages": 0}', {"Type": "other case", "messages": 0}),
        (
            '{"nested": {"type": "fine", "message": ""}}',
            {"nested": {"type": "fine", "message": ""}},
        ),
    ],
)
def test_an_object_is_taken_as_it_is(text: str, extras: dict[str, Any]) -> None:
    assert load({"MESSAGE_EXTRAS": text}).extras == extras


@pytest.mark.parametrize(
    "text",
    [
        *("sentiment", "{", "{sentiment: 0}", "{'sentiment': 0}", '{"a": 1,}', '{"a": 1} {}'),
        *("[]", "[{}]", "null", "0", "true", '"text"'),
        *('{"a": NaN}', '{"a": Infinity}', '{"a": [-Infinity]}', '{"a": 1e400}', '{"a": -1e999}'),
        *('{"a": "\\ud800"}', '{"\\udfff": 0}', '{"a": ' + "9" * 5_000 + "}"),
        '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
    ids=lambda text: text[:20],
)
def test_text_that_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        load({"MESSAGE_EXTRAS": text})

    assert refusal.value.message == NOT_AN_OBJECT


@pytest.mark.parametrize("name", sorted(NAMES))
def test_names_of_members_are_refused(name: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        load({"MESSAGE_EXTRAS": json.dumps({name: 0, "mine": 0})})

    assert refusal.value.message == f"MESSAGE_EXTRAS must not name members of messages: {name}."


def test_several_names_of_members_are_all_told() -> None:
    with pytest.raises(SettingsError) as refusal:
        load({"MESSAGE_EXTRAS": json.dumps({"type": 0, "mine": 0, "id": 0})})

    assert refusal.value.message == "MESSAGE_EXTRAS must not name members of messages: id, type."


def test_extras_have_at_most_1024_bytes() -> None:
    frame = len('{"a":""}')
    fitting = {"a": "é" * ((1_024 - frame) // 2)}
    too_large = {"a": fitting["a"] + "é"}

    assert load({"MESSAGE_EXTRAS": json.dumps(fitting)}).extras == fitting
    with pytest.raises(SettingsError) as refusal:
        load({"MESSAGE_EXTRAS": json.dumps(too_large)})

    assert refusal.value.message == "MESSAGE_EXTRAS must have at most 1024 bytes."


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sentiment", NOT_AN_OBJECT),
        ('{"type": "Image"}', "MESSAGE_EXTRAS must not name members of messages: type."),
    ],
)
def test_wrong_extras_stop_the_start_with_a_sentence(
    text: str, sentence: str, tmp_path: Path
) -> None:
    environ = {"MESSAGE_EXTRAS": text, "INSTANCE_PATH": str(tmp_path)}

    end, said = python("-m", "flask", "run", env=environ)

    assert end != 0
    assert sentence in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())
