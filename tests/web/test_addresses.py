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
        ("::FFFF:192.0.2.7%2", "192.0.2.7"),
        ("::192.0.2.7", "192.0.2.7"),
        ("64:ff9b::192.0.2.7", "192.0.2.7"),
        ("2002:c000:207:1::1", "192.0.2.7"),
        ("[2002:c000:207:ffff::1]:80", "192.0.2.7"),
        ("192.0.2.7:", "192.0.2.7"),
        ("192.0.2.7:99999", "192.0.2.7"),
        ("192.0.2.7:http", "192.0.2.7"),
        (" 192.0.2.7 ", "192.0.2.7"),
        ('"[2001:db8:1:2::9]:5000"', "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9%25eth0]:5000", "2001:db8:1:2::/64"),
        ("[fe80::1%eth0]", "fe80::/64"),
        ("2001:db8:1:2:3:4:5:6:5000", "2001:db8:1:2::/64"),
        ("2001:0db8:0001:0002:0000:0000:0000:0009", "2001:db8:1:2::/64"),
        ("1:2:3:4:5:6:7::", "1:2:3:4::/64"),
        ("::2:3:4:5:6:7:8", "0:2:3:4::/64"),
        ("::1", "::/64"),
        ("::", "::/64"),
    ],
)
def test_an_address_counts_as_its_client(address: str, counted: str) -> None:
    assert counted_as(address) == counted


@pytest.mark.parametrize(
    "text",
    [
        *("unknown", "unknown:4711", "_hidden", "x" * 8_000, "[", "[]", "[]:80", ":", "%", "é"),
        *("192.0.2", "192.0.2.256", "3221225991", "0xc0.0.2.7", "192.0.2.007", "2001:db8::1::2"),
    ],
)
def test_all_that_is_no_address_counts_as_one(text: str) -> None:
    assert counted_as(text) == "unknown"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", ""])
def test_loopback_addresses_are_of_this_machine(address: str) -> None:
    assert is_of_this_machine(address)


@pytest.mark.parametrize(
    "address",
    ["203.0.113.7", "::2", "10.0.0.1", "unknown", "127.0.0.1.evil", "64:ff9b::127.0.0.1"],
)
def test_other_addresses_are_of_other_machines(address: str) -> None:
    assert not is_of_this_machine(address)
