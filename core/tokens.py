"""Secrets: those given away once are made from the operating system's dice and kept as hashes; the others are sealed."""

from __future__ import annotations

import base64
import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

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


class Unsealable(Exception):
    """A sealed secret that was changed, or was moved to a row that it was not sealed for."""


def seal(work: Work, secret: str, *, bound_to: str) -> bytes:
    """AES-256-GCM under the practice's key for secrets, bound to the row it belongs to (NIST SP 800-38D)."""
    nonce = work.dice(12)
    return nonce + AESGCM(work.keys["secrets"]).encrypt(nonce, secret.encode(), bound_to.encode())


def unseal(work: Work, box: bytes, *, bound_to: str) -> str:
    """What was sealed. Raises Unsealable."""
    try:
        return AESGCM(work.keys["secrets"]).decrypt(box[:12], box[12:], bound_to.encode()).decode()
    except (InvalidTag, ValueError):
        raise Unsealable from None
