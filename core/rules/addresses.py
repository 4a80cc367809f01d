"""Addresses of browsers, as they may be counted and written down."""

from __future__ import annotations

from ipaddress import ip_address

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
