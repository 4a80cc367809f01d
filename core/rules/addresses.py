"""Addresses of browsers, as they may be counted and written down."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

UNKNOWN = "unknown"


def plain_address(said: str) -> str:
    """The address when it is one, else "unknown": what a browser's side says of itself is no text for the record.

    >>> plain_address("10.0.0.7"), plain_address("::ffff:10.0.0.7"), plain_address("<b>me</b>"), plain_address("")
    ('10.0.0.7', '10.0.0.7', 'unknown', 'unknown')
    """
    try:
        found = ip_address(said.partition("%")[0])
    except ValueError:
        return UNKNOWN
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def counted_address(address: str) -> str:
    """What tries from an address are counted under: of IPv6 the /64, which is one household's or one machine's to choose from.

    >>> counted_address("10.0.0.7"), counted_address("2001:db8:1:2:3:4:5:6"), counted_address("unknown")
    ('10.0.0.7', '2001:db8:1:2::/64', 'unknown')
    """
    plain = plain_address(address)
    return str(ip_network(f"{plain}/64", strict=False)) if ":" in plain else address
