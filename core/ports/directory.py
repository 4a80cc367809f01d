"""Who the staff are and whether a password is right. Active Directory will be a second body behind this Protocol."""

from __future__ import annotations

from typing import Protocol

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

LONGEST_PASSWORD = 256
# What an unknown login is checked against, so that it takes the same time as a known one.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$c29tZS1maXhlZC1zYWx0$0lUoMHyMvoeKqlY3gxzJhRvrORwaUy1pjNUJvEk3Fdg"


class Directory(Protocol):
    """Checks a password. `verifier` is what our own table keeps for the account, empty when it keeps nothing."""

    def password_is_right(self, login: str, password: str, *, verifier: str) -> bool: ...

    def new_verifier(self, password: str) -> str: ...


class LocalDirectory:
    """Accounts of our own, argon2id (RFC 9106), for practices without a directory."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()

    def password_is_right(self, login: str, password: str, *, verifier: str) -> bool:
        """True when the password is the account's. Unknown accounts cost the same time as known ones."""
        if not password or len(password) > LONGEST_PASSWORD:
            password, verifier = "x", ""
        try:
            return self._hasher.verify(verifier or _NOBODY, password) and bool(verifier)
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False

    def new_verifier(self, password: str) -> str:
        """The argon2id hash to keep for this password."""
        return self._hasher.hash(password)
