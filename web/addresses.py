"""Addresses: which count as one client, for limits and log alike, and which are of this machine."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from flask import request

#: What counts as one address together: all that is none. A proxy may pass on what a client made up.
UNKNOWN = "unknown"
#: IPv6 addresses whose last 32 bits are an IPv4 address: of the client of a translator (RFC 6052),
#: and as they were written once (RFC 4291, 2.5.5.1).
TRANSLATED, COMPATIBLE = IPv6Network("64:ff9b::/96"), IPv6Network("::/96")


@lru_cache(maxsize=4_096)  # it is asked for several times in each request
def counted_as(address: str) -> str:
    """What an address counts as: IPv6 as its /64, which one home or server has to itself, an IPv4
    address in IPv6 clothes as IPv4, each without port and zone. An empty text stays so."""
    if not address:
        return ""
    found = _parsed(address)
    if isinstance(found, IPv6Address):
        found = _within(found) or found
    if isinstance(found, IPv6Address):
        return str(ip_network((found, 64), strict=False))
    return str(found) if found else UNKNOWN


def of_client() -> str:
    """What the address counts as from which this request comes."""
    return counted_as(request.remote_addr or "")


def is_of_this_machine(address: str) -> bool:
    """Whether it is a loopback address, or none, as that of a UNIX socket."""
    found = _parsed(address)
    return found.is_loopback if found else not address


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    """The address of a text. Some proxies add brackets, or the port of their client: IPv6 has two
    colons at least, and seven if it is written in full."""
    text = address.strip(' \t"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1 or (text.count(":") == 8 and "::" not in text):
        text = text.rpartition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _within(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that is in an IPv6 one, if it has one: nobody gets 65,536 networks by it."""
    if address.sixtofour:
        return address.sixtofour
    last = int(address) & 0xFFFF_FFFF
    is_within = address in TRANSLATED or (address in COMPATIBLE and last > 0xFFFF)
    return IPv4Address(last) if is_within else None
