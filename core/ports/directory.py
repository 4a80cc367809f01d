"""Who the staff are and whether a password is right: our own accounts, Active Directory or OpenLDAP."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

LONGEST_PASSWORD = 256
LONGEST_LOGIN = 256
# OWASP's second choice for argon2id (RFC 9106): 19 MiB, two passes, one lane.
HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
# What an unknown login is checked against, so that it takes the same time as a known one.
_NOBODY = HASHER.hash("nobody has this password")


class AccountState(StrEnum):
    """How an account stands in its directory; only OK may come in."""

    OK = "ok"
    DISABLED = "disabled"
    EXPIRED = "expired"
    LOCKED = "locked"
    MUST_CHANGE = "must-change"
    PASSWORD_EXPIRED = "password-expired"
    OUTSIDE_HOURS = "outside-hours"


class Verdict(StrEnum):
    """What a directory said of a password. REFUSED: it may be right, but the account's state forbids entry.

    HELD: it was not asked, because one more wrong password would lock the account there.
    """

    RIGHT = "right"
    WRONG = "wrong"
    REFUSED = "refused"
    HELD = "held"


@dataclass(frozen=True)
class Lockout:
    """When a directory locks an account by itself: after `most` wrong passwords within `window`.

    most 0: never. window None: it forgets wrong passwords only after a right one.
    """

    most: int
    window: timedelta | None


@dataclass(frozen=True)
class Group:
    """A group as the directory names it. id: the SID in Active Directory, entryUUID in OpenLDAP."""

    id: str
    name: str
    path: str = ""  # where it lies, for telling two of one name apart
    members: int | None = None


@dataclass(frozen=True)
class Entry:
    """What a directory says of one account. id: objectGUID or entryUUID; `groups` holds nested ones too, by id.

    lockout: None where it cannot be read. wrong_tries: what the directory counts now, wherever they were made, and
    None where the reading account does not see it.
    """

    id: str
    login: str
    name: str
    email: str = ""
    dn: str = field(default="", repr=False)
    state: AccountState = AccountState.OK
    groups: frozenset[str] = frozenset()
    password_set_at: datetime | None = None
    lockout: Lockout | None = None
    wrong_tries: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Answer:
    """The directory's word on one password, and its own reason for the record ("data 533")."""

    verdict: Verdict
    state: AccountState = AccountState.OK
    reason: str = ""


class Directory(Protocol):
    """A directory of staff. Everything raises core.errors.Away when no server of it answers in time.

    `known_as` takes the directory's own id in the ways that other services write it (as text, objectGUID in base64, the
    SID), and never a name. `find` needs exactly one account for a login in any of its spellings (name, user@domain, DOMAIN\\name), else None.
    `password_is_right` binds as that entry, unless it were the try that locks it, with `spare` tries kept for others.
    `lockouts` tells which rules there are, by name; "" holds for whoever has none of their own. The verbs below
    `answers` use the delegated account.
    """

    kind: str  # "ad", "openldap"
    writes: bool  # False without a delegated account

    def find(self, login: str) -> Entry | None: ...

    def look_up(self, entry_id: str) -> Entry | None: ...

    def known_as(self, identity: str) -> Entry | None: ...

    def password_is_right(self, entry: Entry, password: str, *, spare: int = 0) -> Answer: ...

    def lockouts(self) -> tuple[tuple[str, Lockout | None], ...]: ...

    def search_people(self, text: str, *, most: int = 50) -> tuple[Entry, ...]: ...

    def search_groups(self, text: str, *, most: int = 50) -> tuple[Group, ...]: ...

    def group(self, group_id: str) -> Group | None: ...

    def answers(self) -> bool: ...

    def create(
        self, *, login: str, name: str, email: str, password: str, groups: tuple[str, ...] = ()
    ) -> Entry: ...

    def set_enabled(self, entry_id: str, *, enabled: bool) -> None: ...

    def set_password(self, entry_id: str, password: str) -> None: ...

    def add_to_group(self, entry_id: str, group_id: str) -> None: ...

    def remove_from_group(self, entry_id: str, group_id: str) -> None: ...


class LocalAccounts:
    """Passwords of our own accounts, argon2id (RFC 9106): for practices without a directory, and for when it is away."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or HASHER
        self._nobody = _NOBODY if hasher is None else self._hasher.hash("nobody has this password")

    def password_is_right(self, login: str, password: str, *, verifier: str) -> bool:
        """True when the password is the account's. Unknown accounts cost the same time as known ones."""
        if not password or len(password) > LONGEST_PASSWORD:
            password, verifier = "x", ""
        try:
            return self._hasher.verify(verifier or self._nobody, password) and bool(verifier)
        except (VerifyMismatchError, VerificationError, InvalidHashError, UnicodeEncodeError):
            return False

    def new_verifier(self, password: str) -> str:
        """The argon2id hash to keep for this password."""
        return self._hasher.hash(password)

    def is_outdated(self, verifier: str) -> bool:
        """True when the hash was made with other parameters than today's."""
        return bool(verifier) and self._hasher.check_needs_rehash(verifier)
