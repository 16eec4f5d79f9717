"""Which addresses count as one client, and which are of this machine."""

import pytest

from web.addresses import counted_as, is_of_this_machine


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:5000", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:5000", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::9", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:5000", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("::ffff:c000:207", "192.0.2.7"),
        ("unknown", "unknown"),
        ("unknown:4711", "unknown:4711"),
        ("_hidden", "_hidden"),
    ],
)
def test_an_address_counts_as_its_client(address: str, counted: str) -> None:
    assert counted_as(address) == counted


def test_what_is_no_address_is_cut() -> None:
    assert counted_as("x" * 8_000) == "x" * 64


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", ""])
def test_loopback_addresses_are_of_this_machine(address: str) -> None:
    assert is_of_this_machine(address)


@pytest.mark.parametrize("address", ["203.0.113.7", "::2", "10.0.0.1", "unknown", "127.0.0.1.evil"])
def test_other_addresses_are_of_other_machines(address: str) -> None:
    assert not is_of_this_machine(address)
