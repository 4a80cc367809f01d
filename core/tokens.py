"""Secrets that are given away once: made from the operating system's dice, and kept only as hashes."""

from __future__ import annotations

import base64
import hashlib

from core.store.work import Work

_GROUP = 5


def hash_token(token: str) -> str:
    """What is kept of a token: SHA-256, in hex. Tokens are 128 random bits or more, so a plain hash is enough."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def new_token(work: Work) -> str:
    """256 random bits, URL-safe."""
    return base64.urlsafe_b64encode(work.dice(32)).rstrip(b"=").decode()


def new_code(work: Work) -> str:
    """128 random bits that a person can copy from paper: base32 in groups of five."""
    plain = base64.b32encode(work.dice(16)).decode().rstrip("=")
    return "-".join(plain[i : i + _GROUP] for i in range(0, len(plain), _GROUP))


def plain_code(typed: str) -> str:
    """A code as it was made, from what a person typed: blanks, hyphens and case do not count, nor do 0, 1 and 8."""
    kept = "".join(c for c in typed.upper() if c.isascii() and c.isalnum())[:60]
    kept = kept.translate(str.maketrans("018", "OIB"))
    return "-".join(kept[i : i + _GROUP] for i in range(0, len(kept), _GROUP))
