"""One script of behaviours, played to the embedded server and to soketi: where do they differ?

The answers of the embedded server are written down here for each behaviour; where soketi's are
others, they stand beside them, and docs/embedded-server.md explains each such difference.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from pusher import Pusher

from config import ROOT
from tests.support.gateway_client import KEY, signer
from tests.support.stage import Stage, closed, outcome, plain, soketi, the_embedded_server

DOCS = (ROOT / "docs/embedded-server.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def stages() -> Iterator[dict[str, Stage]]:
    with ExitStack() as stack:
        yield {
            "soketi": stack.enter_context(soketi()),
            "embedded": stack.enter_context(the_embedded_server()),
        }


# The script ----------------------------------------------------------------------------------

BEHAVIOURS: list[Callable[[Stage], Any]] = []


def behaviour(act: Callable[[Stage], Any]) -> Callable[[Stage], Any]:
    BEHAVIOURS.append(act)
    return act


@behaviour
def a_wrong_key(stage: Stage) -> Any:
    client = stage.server.connect(key="wrong")
    client.expect_close()
    return closed(client)


@behaviour
def an_old_protocol(stage: Stage) -> Any:
    client = stage.server.connect(query="?protocol=3")
    return plain(client.hear())


@behaviour
def no_protocol(stage: Stage) -> Any:
    return plain(stage.server.connect(query="").hear())


@behaviour
def a_socket_id(stage: Stage) -> Any:
    return bool(re.fullmatch(r"[0-9]+\.[0-9]+", stage.join().socket_id))


@behaviour
def a_ping(stage: Stage) -> Any:
    client = stage.join()
    client.say("pusher:ping", {})
    return client.hear()


@behaviour
def a_public_channel(stage: Stage) -> Any:
    return plain(stage.join().subscribe("news"))


@behaviour
def a_private_channel(stage: Stage) -> Any:
    return plain(stage.join().subscribe("private-room"))


@behaviour
def a_private_channel_unsigned(stage: Stage) -> Any:
    client = stage.join()
    client.say("pusher:subscribe", {"channel": "private-room"})
    return stage.told(client)


@behaviour
def a_forged_signature(stage: Stage) -> Any:
    client = stage.join()
    client.say("pusher:subscribe", {"channel": "private-room", "auth": f"{KEY}:{'0' * 64}"})
    return stage.told(client)


@behaviour
def a_signature_of_another_connection(stage: Stage) -> Any:
    ada, eve = stage.join(), stage.join()
    eve.say("pusher:subscribe", ada.subscription("private-room"))
    return stage.told(eve)


@behaviour
def a_private_channel_with_channel_data(stage: Stage) -> Any:
    """Signed as the hosted service has it, and the official libraries."""
    client = stage.join()
    signed = signer().authenticate("private-room", client.socket_id, {"user_id": "1"})
    client.say("pusher:subscribe", {"channel": "private-room", **signed})
    return stage.told(client)


@behaviour
def a_second_subscription(stage: Stage) -> Any:
    client = stage.join()
    client.subscribe("news-twice")
    client.subscribe("news-twice")
    stage.publisher.trigger("news-twice", "headline", "once")
    client.expect("headline")
    return stage.told(client)


@behaviour
def a_bad_channel_name(stage: Stage) -> Any:
    client = stage.join()
    client.say("pusher:subscribe", {"channel": "a b"})
    return stage.told(client)


@behaviour
def the_own_channel_of_another_user(stage: Stage) -> Any:
    client = stage.join()
    client.say("pusher:subscribe", {"channel": "#server-to-user-1"})
    return stage.told(client)


@behaviour
def a_presence_channel(stage: Stage) -> Any:
    ada, bob = stage.join(), stage.join()
    ada.subscribe("presence-room", "1", {"name": "ada"})
    seen = bob.subscribe("presence-room", "2", {"name": "bob"})["data"]["presence"]
    joined = ada.hear()["data"]
    bob.close()
    left = ada.hear()["data"]
    return seen["count"], sorted(seen["ids"]), seen["hash"], joined, left


@behaviour
def a_second_tab_in_a_presence_channel(stage: Stage) -> Any:
    ada, bob, tab = stage.join(), stage.join(), stage.join()
    ada.subscribe("presence-tabs", "1")
    bob.subscribe("presence-tabs", "2")
    ada.hear()
    count = tab.subscribe("presence-tabs", "2")["data"]["presence"]["count"]
    tab.close()
    return count, stage.told(ada)


@behaviour
def a_member_id_that_is_a_number(stage: Stage) -> Any:
    ada, tab = stage.join(), stage.join()
    ada.subscribe("presence-numbers", "10")
    return tab.subscribe("presence-numbers", 10)["data"]["presence"]["count"]


@behaviour
def a_client_event_on_a_private_channel(stage: Stage) -> Any:
    return client_event(stage)


def client_event(stage: Stage, channel: str = "private-room", name: str = "client-typing") -> Any:
    ada, bob = stage.join(), stage.join()
    for client, user in ((ada, "1"), (bob, "2")):
        client.subscribe(channel, user if channel.startswith("presence-") else None)
    stage.told(ada)
    ada.say(name, {"in": 7}, channel=channel, user_id="forged")
    return stage.told(ada), stage.told(bob)


@behaviour
def a_client_event_on_a_presence_channel(stage: Stage) -> Any:
    return client_event(stage, "presence-typing")


@behaviour
def a_client_event_on_a_public_channel(stage: Stage) -> Any:
    return client_event(stage, "news")


@behaviour
def a_client_event_without_its_prefix(stage: Stage) -> Any:
    return client_event(stage, name="new_message")


@behaviour
def a_client_event_with_its_prefix_within(stage: Stage) -> Any:
    return client_event(stage, name="xclient-typing")


@behaviour
def a_client_event_of_an_outsider(stage: Stage) -> Any:
    ada, eve = stage.join(), stage.join()
    ada.subscribe("private-room")
    eve.say("client-typing", {}, channel="private-room")
    return stage.told(eve), stage.told(ada)


@behaviour
def a_flood_of_client_events(stage: Stage) -> Any:
    client = stage.join()
    client.subscribe("private-flood")
    for _ in range(20):
        client.say("client-typing", {}, channel="private-flood")
    return sorted(set(stage.told(client)))


@behaviour
def a_cache_channel(stage: Stage) -> Any:
    early, late = stage.join(), stage.join()
    early.subscribe("cache-news")
    missed = stage.told(early)
    stage.publisher.trigger("cache-news", "headline", "kept")
    early.expect("headline")
    late.subscribe("cache-news")
    return missed, stage.told(late)


@behaviour
def a_channel_name_of_165_letters(stage: Stage) -> Any:
    client = stage.join()
    client.say("pusher:subscribe", {"channel": "x" * 165})
    return stage.told(client)


@behaviour
def text_that_is_not_json(stage: Stage) -> Any:
    client = stage.join()
    client.send("hello")
    return stage.told(client)


@behaviour
def an_unknown_command(stage: Stage) -> Any:
    client = stage.join()
    client.say("pusher:dance", {})
    return stage.told(client)


@behaviour
def a_binary_message(stage: Stage) -> Any:
    client = stage.join()
    client.send(b"hello")
    return stage.told(client)


@behaviour
def an_unsubscription(stage: Stage) -> Any:
    client = stage.join()
    client.subscribe("news-for-a-while")
    client.say("pusher:unsubscribe", {"channel": "news-for-a-while"})
    client.say("pusher:unsubscribe", {"channel": "news-for-a-while"})
    answers = stage.told(client)
    stage.publisher.trigger("news-for-a-while", "headline", 1)
    return answers, stage.told(client)


@behaviour
def an_event_for_all_but_one(stage: Stage) -> Any:
    ada, bob = stage.join(), stage.join()
    for client in (ada, bob):
        client.subscribe("news-but")
    said = stage.publishes("news-but", "headline", "text", ada.socket_id)
    return said, stage.told(ada), stage.told(bob)


@behaviour
def an_event_of_10_240_bytes(stage: Stage) -> Any:
    return stage.publishes("news", "headline", "é" * 5_120)


@behaviour
def an_event_of_10_241_bytes(stage: Stage) -> Any:
    return outcome(lambda: large_batch(stage.publisher, "é" * 5_120 + "!"))


def large_batch(publisher: Pusher, data: str) -> Any:
    return publisher.trigger_batch([{"channel": "c", "name": "n", "data": data}], True)


@behaviour
def a_batch_of_11(stage: Stage) -> Any:
    event = {"channel": "news", "name": "headline", "data": "1"}
    return outcome(lambda: stage.publisher.trigger_batch([dict(event)] * 11, True))


@behaviour
def a_publisher_with_a_wrong_secret(stage: Stage) -> Any:
    stranger = stage.server.publisher()
    stranger._pusher_client._secret = "wrong"
    return outcome(lambda: stranger.trigger("news", "headline", 1))


@behaviour
def who_is_there(stage: Stage) -> Any:
    stage.join().subscribe("presence-asked", "1")
    asked = stage.publisher.channel_info("presence-asked", ["user_count"])
    nobody = stage.publisher.channel_info("nobody-here")
    return (
        stage.publisher.users_info("presence-asked"),
        (asked["occupied"], asked["user_count"]),
        nobody["occupied"],
    )


@behaviour
def the_channels_that_are_occupied(stage: Stage) -> Any:
    stage.join().subscribe("presence-listed", "1")
    return stage.publisher.channels_info("presence-listed", ["user_count"])["channels"]


# Where they differ: the embedded server's answer, then soketi's ------------------------------

DIFFERENCES: dict[Callable[[Stage], Any], tuple[Any, Any]] = {
    an_old_protocol: ("error 4007", "connection_established"),
    a_private_channel_with_channel_data: (["subscription_succeeded"], ["subscription_error 401"]),
    a_bad_channel_name: (["error"], ["subscription_error 4009"]),
    a_channel_name_of_165_letters: (["error"], ["subscription_succeeded"]),
    the_own_channel_of_another_user: (["subscription_error 401"], ["subscription_succeeded"]),
    a_member_id_that_is_a_number: (1, 2),
    a_client_event_on_a_public_channel: ((["error"], []), ([], ['client-typing {"in": 7}'])),
    a_client_event_with_its_prefix_within: (([], []), ([], ['xclient-typing {"in": 7}'])),
    a_client_event_of_an_outsider: ((["error"], []), ([], [])),
    a_flood_of_client_events: (["error 4301"], []),
    text_that_is_not_json: (["error"], []),
    a_binary_message: (["closed 1003"], []),
    an_event_of_10_241_bytes: ("413", "200"),
    a_batch_of_11: ("400", "200 with error 400"),
    a_publisher_with_a_wrong_secret: ("PusherBadAuth", "200 with error 401"),
    the_channels_that_are_occupied: (
        {"presence-listed": {"user_count": 1}},
        {"presence-listed": {"subscription_count": 1, "occupied": True}},
    ),
}


def name(act: Callable[[Stage], Any]) -> str:
    return act.__name__.replace("_", " ").replace("json", "JSON")


@pytest.mark.parametrize("act", BEHAVIOURS, ids=name)
def test_both_behave_alike_or_differ_as_written_down(
    stages: dict[str, Stage], act: Callable[[Stage], Any]
) -> None:
    embedded, of_soketi = act(stages["embedded"]), act(stages["soketi"])

    if act in DIFFERENCES:
        assert (embedded, of_soketi) == DIFFERENCES[act]
    else:
        assert embedded == of_soketi


def test_the_docs_explain_each_difference_and_no_other() -> None:
    section = DOCS.partition("## Where it differs from soketi\n")[2].partition("\n## ")[0]
    explained = re.findall(r"^\| (.+?) \| .+ \| .+ \| .+ \|$", section, re.MULTILINE)

    assert explained[2:] == [name(act) for act in DIFFERENCES], "below the heads and the rule"
