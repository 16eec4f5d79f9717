"""Addresses: which count as one client, for limits and log alike, and which are of this machine."""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from flask import request

LONGEST = 64  # characters; a proxy may pass on whatever a client has made up
#: Some proxies add the port of their client.
_WITH_PORT = re.compile(r"\[([^]]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+")


@lru_cache(maxsize=4_096)  # it is asked for several times in each request
def counted_as(address: str) -> str:
    """What an address counts as: IPv6 as its /64, which one home or server has to itself, an IPv4
    address in IPv6 clothes as IPv4, and each without its port. Other texts stay as they are."""
    found = _parsed(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, 64), strict=False))
    return str(found) if found else address[:LONGEST]


def of_client() -> str:
    """What the address counts as from which this request comes."""
    return counted_as(request.remote_addr or "")


def is_of_this_machine(address: str) -> bool:
    """Whether it is a loopback address, or none, as that of a UNIX socket."""
    found = _parsed(address)
    return found.is_loopback if found else not address


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    if match := _WITH_PORT.fullmatch(address):
        address = match[1] or match[2]
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
